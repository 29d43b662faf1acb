"""What a program leaves in its writable folders: anything, under any name. Nothing here follows a link."""

import contextlib
import os
import stat
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

DEEPEST = 32
"""Folders within each other."""


@dataclass(frozen=True)
class Output:
    """A regular file; `name` is its path in the folder, with `/`."""

    name: str
    path: Path
    size: int

    def open(self) -> BinaryIO:
        """For reading."""
        return open(os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


def collect(folder: Path, *, files: int, size: int) -> tuple[list[Output], list[str]]:
    """The regular files in a folder, sorted by name, and a sentence for each thing that is refused.

    Refused are links of both kinds, FIFOs, sockets and devices, names that are not plain text, folders more than `DEEPEST` deep, what cannot
    be read, and what exceeds `files` entries or `size` bytes in all. To be called when the program has ended.
    """
    found: list[Output] = []
    refused: list[str] = []
    entries, total = 0, 0
    folders = [(folder, "", 1)]
    while folders:
        inside, prefix, depth = folders.pop()
        for entry in _entries(inside):
            entries += 1
            if entries > files:
                refused.append(f"everything beyond {files} files and folders")
                return sorted(found, key=_name), refused
            name = f"{prefix}{entry.name}"
            state = entry.stat(follow_symlinks=False)
            if reason := _reason(entry.name, state, depth):
                refused.append(f"{_shown(name)}: {reason}")
            elif stat.S_ISDIR(state.st_mode):
                folders.append((Path(entry.path), f"{name}/", depth + 1))
            elif total + state.st_size > size:
                refused.append(f"{_shown(name)}: with it there are more than {size} bytes")
            else:
                total += state.st_size
                found.append(Output(name, Path(entry.path), state.st_size))
    return sorted(found, key=_name), refused


def filled(folder: Path, files: int) -> tuple[int, int]:
    """Entries and bytes on disk in a folder that is being written to; counting ends after `files` entries. Too deep a folder counts as too many."""
    entries, total = 0, 0
    folders = [(folder, 1)]
    while folders:
        inside, depth = folders.pop()
        try:
            with os.scandir(inside) as found:
                for entry in found:
                    entries += 1
                    if entries > files or depth > DEEPEST:
                        return files + 1, total
                    with contextlib.suppress(OSError):
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            folders.append((Path(entry.path), depth + 1))
        except OSError:
            continue
    return entries, total


def remove(folder: Path) -> None:
    """A folder with all that is in it, whatever its permissions and however deep: folders are moved up before they are emptied."""
    try:
        _open_up(folder)
    except FileNotFoundError:
        return
    waiting = [folder]
    while waiting:
        inside = waiting.pop()
        _open_up(inside)
        for entry in list(os.scandir(inside)):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
                continue
            if inside == folder:
                waiting.append(Path(entry.path))
                continue
            _open_up(entry.path)
            moved = folder / uuid.uuid4().hex
            os.rename(entry.path, moved)
            waiting.append(moved)
        if inside != folder:
            os.rmdir(inside)
    os.rmdir(folder)


def _open_up(folder: Path | str) -> None:
    # Not through a link: an entry that was a folder a moment ago, of a program that has ended.
    os.chmod(folder, 0o700)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        return os.scandir(folder)
    except PermissionError:
        _open_up(folder)
        return os.scandir(folder)


def _reason(name: str, state: os.stat_result, depth: int) -> str | None:
    if not name.isprintable():
        return "its name is not plain text"
    if stat.S_ISDIR(state.st_mode):
        return f"folders are more than {DEEPEST} deep" if depth >= DEEPEST else None
    if stat.S_ISLNK(state.st_mode):
        return "it is a symbolic link"
    if not stat.S_ISREG(state.st_mode):
        return "it is no regular file"
    return "it is a hard link" if state.st_nlink > 1 else None


def _shown(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def _name(output: Output) -> str:
    return output.name
