"""The newcomer's door to Tealight; needs Python 3.10 or newer and nothing else.

    python3 run.py demo                           a forecast, from training to emulated microcontrollers
    python3 run.py test [pytest's options]        the tests
    python3 run.py test --long [--seconds N]      the campaigns in tests/long, N seconds each
    python3 run.py VERB ...                       any verb of `toolkit`; `python3 run.py --help` lists them

The first start makes `.venv` beside this file from the pins in toolkit/constraints.txt. Standard library only; every
line before the version check must parse on Python 3.6.
"""

import configparser
import contextlib
import hashlib
import html.parser
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

if sys.version_info < (3, 10):  # noqa: UP036 - this file is what an older Python meets first
    sys.exit(f"error: this is Python {sys.version.split()[0]}; Tealight needs 3.10 or newer: try python3.12 run.py")

from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PINS = ROOT / "toolkit" / "constraints.txt"
STAMP = "tealight.stamp"  # inside .venv: what it was made from, or UNFINISHED
UNFINISHED = "unfinished"
LONG_SECONDS = "600"
NO_NETWORK = "no answer from {}: connect to the Internet, or set PIP_INDEX_URL to a mirror, and run the command again"


class SetupError(Exception):
    """Why the environment cannot be made, and what to do; one line, exit 1."""


# --- what pip would read: its index and certificates ---


def pip_settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """pip's `index-url` and `cert`, from the environment, else from the user's or the machine's pip.conf."""
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or "/nonexistent")
    files = [
        Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf",
        home / ".pip" / "pip.conf",
        home / "Library" / "Application Support" / "pip" / "pip.conf",
        Path(environment.get("APPDATA") or home) / "pip" / "pip.ini",
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
    ]
    if environment.get("PIP_CONFIG_FILE"):
        files.insert(0, Path(environment["PIP_CONFIG_FILE"]))
    settings = {"index-url": "https://pypi.org/simple", "cert": ""}
    for file in reversed(files):
        parser = configparser.RawConfigParser()
        with contextlib.suppress(OSError, configparser.Error, UnicodeDecodeError):
            parser.read(file, encoding="utf-8")
        for section in ("global", "install"):
            settings.update({k: parser.get(section, k) for k in settings if parser.has_option(section, k)})
    return {k: environment.get("PIP_" + k.upper().replace("-", "_")) or v for k, v in settings.items()}


class IndexPage(html.parser.HTMLParser):
    """The links of a simple-index page: (href, data-requires-python, yanked)."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[str, str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "a" and named.get("href"):
            self.links.append((named["href"] or "", named.get("data-requires-python") or "", "data-yanked" in named))


def find_wheel(page: str, *, base: str, version: str) -> tuple[str, str]:
    """(URL, sha256 or "") of pip's wheel of that version on an index page. Raises: SetupError when it has none."""
    parser = IndexPage()
    parser.feed(page)
    for href, _requires, yanked in parser.links:
        url, fragment = urllib.parse.urldefrag(urllib.parse.urljoin(base, href))
        if url.endswith(f"/pip-{version}-py3-none-any.whl") and not yanked:
            return url, fragment[7:] if fragment.startswith("sha256=") else ""
    raise SetupError(f"{base}: no wheel of pip {version} there: set PIP_INDEX_URL to a complete index")


def download_pip(into: Path) -> Path:
    """pip's wheel, checked against the index's sha256. A Python without ensurepip (bare Debian) can do this."""
    settings = pip_settings()
    base = settings["index-url"].rstrip("/") + "/pip/"
    pinned = re.search(r"^pip==(\S+)", PINS.read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned, PINS
    try:
        context = ssl.create_default_context(cafile=settings["cert"] or None)
        with urllib.request.urlopen(base, timeout=30, context=context) as answer:
            page = answer.read().decode()
        url, sha256 = find_wheel(page, base=base, version=pinned[1])
        with urllib.request.urlopen(url, timeout=60, context=context) as answer:
            wheel = answer.read()
    except urllib.error.HTTPError as e:
        raise SetupError(f"{e.url}: HTTP {e.code} {e.reason}: set PIP_INDEX_URL to an index that has pip") from None
    except OSError as e:
        raise SetupError(f"{NO_NETWORK.format(base)} ({getattr(e, 'reason', e)})") from None
    if sha256 and hashlib.sha256(wheel).hexdigest() != sha256:
        raise SetupError(f"{url}: its sha256 is not the index's {sha256}: run the same command again")
    path = into / url.rpartition("/")[2]
    path.write_bytes(wheel)
    return path


# --- the environment ---


def venv_python() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def wanted_stamp() -> str:
    """What `.venv` is to be made from: line 1 this Python and this folder, line 2 the pins."""
    version = ".".join(map(str, sys.version_info[:2]))
    return f"Python {version} in {ROOT}\n{hashlib.sha256(PINS.read_bytes()).hexdigest()}\n"


def stamp_of() -> str | None:
    """What `.venv` was made from; None if there is no stamp, UNFINISHED if it broke off or its Python is gone."""
    try:
        stamp = (VENV / STAMP).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return stamp if venv_python().exists() else UNFINISHED


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One run at a time makes the environment; the lock ends with its holder, however that ends."""
    with open(path, "a+") as file:
        if sys.platform == "win32":
            import msvcrt

            while True:  # LK_LOCK gives up after 10 s
                with contextlib.suppress(OSError):
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
        else:
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("waiting for another run.py that is making .venv", file=sys.stderr)
                fcntl.flock(file, fcntl.LOCK_EX)
        os.set_inheritable(file.fileno(), True)  # pip holds it too, should run.py be killed
        yield


def pip_install(wheel: Path, log: Path, *, started: float) -> None:
    """Installs the pins with the pip in `wheel`, showing what pip last said. Raises: SetupError."""
    command = [str(venv_python()), str(wheel / "pip"), "install", "--no-deps", "--only-binary=:all:", "--no-compile",
               "--progress-bar=off", "--disable-pip-version-check", "--no-input", "-r", str(PINS)]  # fmt: skip
    environment = {"PIP_RETRIES": "2", **os.environ, "PIP_REQUIRE_VIRTUALENV": "0", "PIP_USER": "0"}
    with open(log, "w", encoding="utf-8") as out:
        pip = subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=ROOT, close_fds=False)
        try:
            show_progress(pip, log, started=started)
        finally:
            if pip.poll() is None:
                pip.terminate()
            pip.wait()
    if pip.returncode:
        said = log.read_text(encoding="utf-8", errors="replace")
        if re.search(r"Retrying \(|NewConnectionError|ConnectTimeout|Connection refused|Read timed out", said):
            raise SetupError(NO_NETWORK.format(pip_settings()["index-url"]))
        errors = re.findall(r"^ERROR: (.*)", said, re.MULTILINE) or [f"pip ended with exit code {pip.returncode}"]
        raise SetupError(f"{errors[-1]} (all of it: {log})")


def show_progress(pip: "subprocess.Popen[bytes]", log: Path, *, started: float) -> None:
    """On a terminal one line that keeps moving; elsewhere a line every 10 s."""
    live = sys.stderr.isatty()
    shown = time.monotonic()
    while pip.poll() is None:
        time.sleep(0.1)
        if time.monotonic() - shown < (0.2 if live else 10):
            continue
        shown = time.monotonic()
        said = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2].strip()
        text = re.sub(r"https?://\S+/", "", said)[: shutil.get_terminal_size().columns - 14]
        before, after = ("\r\033[K", "") if live else ("", "\n")
        print(f"{before}  {shown - started:4.0f} s  {text}", end=after, file=sys.stderr, flush=True)
    if live:
        sys.stderr.write("\r\033[K")


def make_environment() -> None:
    """Makes `.venv`, or brings it up to the pins. A broken-off one is begun anew. Raises: SetupError."""
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"  {time.monotonic() - started:4.0f} s  {text}", file=sys.stderr, flush=True)

    wanted, stamp = wanted_stamp(), stamp_of()
    if stamp == wanted:
        return
    if stamp is None and VENV.exists():
        raise SetupError(f"{VENV} was not made by run.py: move it away, then run the same command again")
    print("making the environment .venv (once; about 160 MB to download)", file=sys.stderr)
    if stamp is not None and stamp.partition("\n")[0] != wanted.partition("\n")[0]:
        say("removing the old .venv: it is unfinished, or of another Python or folder")
        shutil.rmtree(VENV)
    fresh = not VENV.exists()
    VENV.mkdir(exist_ok=True)
    (VENV / STAMP).write_text(UNFINISHED, encoding="utf-8")
    if fresh:
        say(f"Python {sys.version.split()[0]} without pip")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], check=True)
        site = subprocess.run([str(venv_python()), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
                              check=True, stdout=subprocess.PIPE, text=True).stdout.strip()  # fmt: skip
        Path(site, "tealight.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    say("pip from the package index")
    wheel = download_pip(VENV)
    say(f"the packages of {PINS.relative_to(ROOT)}")
    pip_install(wheel, VENV / "pip.log", started=started)
    wheel.unlink()
    (VENV / STAMP).write_text(wanted, encoding="utf-8")
    say("ready")


def ensure_environment() -> None:
    """Nothing but two small reads when `.venv` is as it should be. Raises: SetupError."""
    if stamp_of() == wanted_stamp():
        return
    try:
        with locked(ROOT / ".venv.lock"):
            make_environment()
    except subprocess.CalledProcessError:
        raise SetupError("python3 -m venv failed, see above: try apt-get install python3-venv") from None
    except OSError as e:
        raise SetupError(f"{e.filename or VENV}: {e.strerror or e}: run.py must be able to write there") from None


# --- what to run in it ---


def pytest_arguments(arguments: list[str], environment: dict[str, str]) -> list[str]:
    """pytest's command line for `run.py test ARGUMENTS`; `--long` and `--seconds N` are ours, the rest is pytest's."""
    command = ["-m", "pytest", "-n", "2", "--dist", "worksteal"]  # neighbours share fixtures; nobody waits for a tail
    if "--long" not in arguments:
        return command + arguments
    rest = [a for a in arguments if a != "--long"]
    seconds = LONG_SECONDS
    if "--seconds" in rest:
        at = rest.index("--seconds")
        seconds = "".join(rest[at + 1 : at + 2])
        del rest[at : at + 2]
    if not seconds.isdigit():
        raise SetupError(f'--seconds "{seconds}": expected whole seconds per campaign, e.g. --seconds 60')
    environment["TEALIGHT_LONG_SECONDS"] = seconds
    return [*command, "-rP", "tests/long", *rest]


def main(arguments: list[str]) -> int:
    """Makes the environment if need be and hands over to pytest or to toolkit."""
    if not arguments:
        print(__doc__)
        return 2
    environment = {
        "ZIG_GLOBAL_CACHE_DIR": str(VENV / "zig-cache"),
        **os.environ,
    }  # zig hangs if HOME is read-only
    try:
        if arguments[0] == "test":
            command = pytest_arguments(arguments[1:], environment)
            os.chdir(ROOT)
        else:
            command = ["-m", "toolkit", *arguments]
        ensure_environment()
    except SetupError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the next run begins .venv anew", file=sys.stderr)
        return 130
    python = str(venv_python())
    if os.name == "nt":
        return subprocess.call([python, *command], env=environment)
    os.execve(python, [python, *command], environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
