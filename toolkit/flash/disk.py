"""Writes a disk image to a USB disk: never to one that is mounted, holds the system, or cannot be taken out."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from toolkit.errors import CheckFailed, ToolkitError

_BLOCK = 1 << 20


def describe(device: Path) -> dict[str, Any]:
    """What lsblk says of a disk. Raises: ToolkitError when it is none, or nothing here can tell."""
    try:
        if not stat.S_ISBLK(device.stat().st_mode):
            raise ToolkitError(f"{device}: not a disk: expected one like /dev/sdb")
        command = ["lsblk", "--json", "--bytes", "-o", "PATH,TYPE,RM,HOTPLUG,SIZE,MODEL,MOUNTPOINTS", str(device)]
        found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["blockdevices"][0]
    except FileNotFoundError as e:
        raise ToolkitError(f"{e.filename}: not here; the image can be written by any tool for USB disks") from None
    except (OSError, subprocess.CalledProcessError, ValueError, LookupError) as e:
        raise ToolkitError(f"{device}: cannot be looked at: {e}") from None
    return dict(found)


def _mounts(found: dict[str, Any]) -> Iterator[str]:
    yield from (m for m in found.get("mountpoints") or () if m)
    for child in found.get("children") or ():
        yield from _mounts(child)


def refuse(device: Path, found: dict[str, Any], needed: int) -> None:
    """Raises: ToolkitError when a disk must not be written."""
    if found.get("type") != "disk":
        raise ToolkitError(f"{device}: a {found.get('type')}: expected the whole disk")
    mounts = list(_mounts(found))
    if mounts:
        raise ToolkitError(f"{device}: in use at {', '.join(mounts)}: nothing was written; unmount it first")
    if not (found.get("rm") or found.get("hotplug")):
        raise ToolkitError(f"{device}: not a disk that can be taken out: nothing was written")
    if int(found["size"]) < needed:
        raise ToolkitError(f"{device}: {found['size']} bytes: the image has {needed}")


def confirm(device: Path, found: dict[str, Any], ask: Callable[[str], str]) -> None:
    """Everything on the disk is lost: its path has to be typed. Raises: ToolkitError when it was not."""
    size = int(found["size"]) / 1e9
    text = f"{device}: {found.get('model') or 'disk'}, {size:.1f} GB: all of it is lost. Type {device} to write it: "
    if ask(text).strip() != str(device):
        raise ToolkitError(f"{device}: not confirmed: nothing was written")


def write(image: Path, device: Path, say: Callable[[str], None]) -> None:
    """Copies an image to the start of a disk and reads it back.

    Raises: ToolkitError when the disk went away; CheckFailed when it reads back as something else."""
    data = image.read_bytes()
    done = 0
    try:
        with device.open("r+b", buffering=0) as f:
            while done < len(data):
                done += f.write(data[done : done + _BLOCK]) or 0
                say(f"{device}: {done} of {len(data)} bytes")
            os.fsync(f.fileno())
        with device.open("rb") as f:
            same = f.read(len(data)) == data
    except OSError as e:
        raise ToolkitError(f"{device}: {done} of {len(data)} bytes written: {e.strerror}; write it again") from None
    if not same:
        raise CheckFailed(f"{device}: reads back as something else; write it again, or take another disk")
