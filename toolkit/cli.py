"""The command line; its verbs: toolkit/verbs. Exit 0 done, 1 a mistake, 2 usage, 3 a failed budget or parity check."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: threads cost more than they bring on small matrices

from quantize.errors import QuantizeError
from toolkit import __version__
from toolkit.errors import CheckFailed, ToolkitError
from toolkit.verbs import boards, models, more, training
from toolkit.verbs.shared import Do, say


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py",
        description="Recurrent networks on microcontrollers: train, quantize, generate C, prove it on the board.",
    )
    parser.add_argument("--version", action="version", version=f"tealight {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, do: Do, text: str, example: str) -> argparse.ArgumentParser:
        lines = "; ".join(f"python3 run.py {name} {x}".strip() for x in example.split("\n"))
        p = verbs.add_parser(name, help=text, description=text, epilog=f"example: {lines}")
        p.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
        p.set_defaults(do=do)
        return p

    for module in (training, models, boards, more):
        module.add(verb)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console or a pipe that has no bars and no umlauts shows ?
    a = _parser().parse_args(arguments)
    try:
        result = a.do(a)
        if a.json:
            print(json.dumps(result, indent=2), flush=True)
    except CheckFailed as e:
        say(f"failed: {e}")
        return 3
    except (ToolkitError, QuantizeError) as e:
        say(f"error: {e}")
        return 1
    except KeyboardInterrupt:
        say("error: interrupted; files that were not finished were not written")
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it closes
        say("error: standard output was closed before everything was written, e.g. by | head")
        return 1
    except OSError as e:
        say(f"error: {e.filename or a.verb}: {e.strerror or e}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
