"""One process that imports mutated model files until it is told to stop: the crash, the hang and the gigabyte are its
own, and the campaign sees them. Speaks lines of JSON: first its limits, then a file in, what became of it out."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

MEMORY = 1 << 30
"""Bytes of new memory that one file may make us take."""


def main() -> None:
    from quantize.errors import QuantizeError
    from toolkit.errors import ToolkitError
    from toolkit.importers import FORMATS, Options, format_of, importer

    for name in FORMATS:
        importer(name)
    sys.modules.update(dict.fromkeys(("keras", "tf_keras")))  # their own reading of a file is not what is tested
    options = {
        k: Options("fuzz", None if k in ("tflite", "keras") else 4, None, False, None) for k in FORMATS
    }  # those fix it
    with open("/proc/self/statm") as f:
        used = int(f.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    print(json.dumps({"ready": used}), flush=True)
    for line in sys.stdin:
        path, begin = Path(json.loads(line)), time.process_time()
        try:
            kind = format_of(path)
            importer(kind).read(path, options[kind])
            result = "imported"
        except (ToolkitError, QuantizeError) as e:
            result = f"refused: {e}" if str(e).isprintable() and str(e) else f"bad message: {e!r}"
        except BaseException as e:  # a traceback is the bug that is looked for
            result = f"traceback: {type(e).__name__}: {e}"
        print(json.dumps({"result": result, "seconds": time.process_time() - begin}), flush=True)


if __name__ == "__main__":
    main()
