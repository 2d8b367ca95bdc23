"""Writes docs/sweep.md: `python docs/sweep.py` runs the sweep that the page shows, ends it by Ctrl-C and goes on."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMAND = ["sweep", "docs/examples/room.toml", "--space", "docs/examples/sweep/space.toml", "--trials", "20"]
STOP = 8  # trials before the Ctrl-C
TEXT = """# Sweep

Made by `python docs/sweep.py`, which runs what it shows.

```
{command}
```

trains {trials} configurations drawn from a space of keys, a TOML beside the run.toml:

```toml
{space}```

and prints those that no other beats in all three of: the validation error, in standard deviations of the target; the
flash that weights and tables take on the board, in bytes; and the cycles of a forecast there.

- **The cycles are counted, not guessed:** each new shape is built for the board and runs in its emulator, before it is
  trained (about two seconds; kept in `build/cost/`, so the next time at once). They are *estimated* cycles: the
  instructions are exact, and each has the price of the core's manual with zero wait states
  ([profile.md](profile.md)). A core without a table counts instructions; where no emulator knows the board, such as
  `host`, the third objective is the multiply-accumulates. `print(model)` and the dashboard show the same number.
  `--board` chooses the board.
- **Pruning:** after {warm} epochs a trial ends when its best validation loss is above the median of those finished
  trials that take no more flash and no more cycles: a small network is not ended by large ones.
- **The same again:** with `--jobs 1` a sweep gives the same trials every time, also when it is interrupted or killed
  and goes on with `--resume`. With more jobs the trials depend on which ended first.
- `--resume` refuses another space, configuration or board, and names what differs. `TEALIGHT_` variables count when a
  sweep begins; the trials read the folder's own `config.toml`.
- `--dask ADDRESS` sends the trials to a cluster that is there, each with this folder and a compiler.

Ended by Ctrl-C and resumed:

```
{interrupted}
```

The same with `--jobs 2 --dask ADDRESS` on a local cluster of two workers (another order, so other trials):

```
{dask}
```
"""


def run(arguments: list[str], stop: int = 0) -> str:
    """What it prints, stderr first; Ctrl-C after `stop` trials."""
    command = [sys.executable, "-m", "toolkit", *COMMAND, *arguments]
    lines = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None and process.stdout is not None
        for line in process.stderr:
            lines.append(line)
            if stop and f"({stop}/" in line:
                process.send_signal(signal.SIGINT)
        return "".join([*lines, process.stdout.read()])


def page() -> str:
    """The page's text."""
    from dask.distributed import LocalCluster

    from toolkit.train.sweep import WARM

    with tempfile.TemporaryDirectory() as folder:
        first = run(["--jobs", "2", "--out", f"{folder}/one"], stop=STOP)
        second = run(["--jobs", "2", "--out", f"{folder}/one", "--resume"])
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
            third = run(["--jobs", "2", "--dask", cluster.scheduler_address, "--out", f"{folder}/two"])
        trials = json.loads(Path(folder, "one", "sweep.json").read_text("utf-8"))["trials"]
        texts = [
            re.sub(r".*gap-free segments\n", "", t).replace(folder, "runs/room").strip() for t in (first, second, third)
        ]
    return TEXT.format(
        command="toolkit " + " ".join([*COMMAND, "--jobs", "2"]),
        space=(ROOT / "docs/examples/sweep/space.toml").read_text("utf-8"),
        trials=trials,
        warm=WARM,
        interrupted=f"{texts[0]}\n$ toolkit sweep ... --resume\n{texts[1]}",
        dask=texts[2],
    )


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    (ROOT / "docs" / "sweep.md").write_text(page(), "utf-8")
