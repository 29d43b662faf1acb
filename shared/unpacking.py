"""Unpacking an uploaded zip, which is hostile until proven otherwise, into a folder.

Names are checked before anything is written, links and special files are never made (each entry is written as a plain file), and
sizes are counted on what really comes out: what the zip's headers say is never trusted. The format is PKWARE's APPNOTE.TXT.
"""

import hashlib
import re
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.errors import FieldError, Invalid, TooLarge

_CHUNK = 256 * 1024
_LOCAL_HEADER = 30  # bytes, without name and extra field
_MAX_NAME = 1024  # bytes of a path
_MAX_PART = 255  # bytes of one part of it: what file systems take
_RATIO_FROM = 10 * 1024**2  # below this many bytes, no ratio is suspicious
# zlib alone: the dictionary of an LZMA entry may ask for gigabytes, and bzip2 packs zeros a million times smaller.
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_BROKEN = (zipfile.BadZipFile, struct.error, zlib.error, EOFError, ValueError, OverflowError, NotImplementedError)


@dataclass(frozen=True)
class ArchiveLimits:
    """Bytes are unpacked bytes; `max_ratio` is unpacked to packed bytes of one file."""

    max_total_bytes: int = 4 * 1024**3
    max_file_bytes: int = 4 * 1024**3
    max_entries: int = 10_000
    max_ratio: float = 300


def extract(
    archive: Path,
    folder: Path,
    root_file: str | tuple[str, ...],
    limits: ArchiveLimits,
    wanted: Callable[[str], bool] = lambda name: True,
) -> dict[str, str]:
    """Unpack the zip `archive` into `folder`; gives relative path -> sha256 (hex) of every file.

    `root_file`, or one of several, must be at the root or in the one top folder, which is then left out of the paths; with `()` the
    zip is unpacked as it is. Only paths that are `wanted` are. Paths are in Unicode's NFC form; `__MACOSX` and `.DS_Store` are skipped.

    Raises:
        Invalid: not a zip, no `root_file`, or an entry that is not allowed.
        TooLarge: it unpacks to more than the limits.
    """
    try:
        source = zipfile.ZipFile(archive)
    except (*_BROKEN, OSError) as error:
        raise Invalid(f"bundle is not a readable zip archive: {error}") from error
    with source:
        entries = source.infolist()
        if len(entries) > limits.max_entries:
            raise Invalid(f"bundle has {len(entries):,} entries; at most {limits.max_entries:,} are allowed")
        _refuse_overlaps(entries)
        root_files = (root_file,) if isinstance(root_file, str) else root_file
        members = _without_top_folder(_members(entries), root_files)
        digests: dict[str, str] = {}
        total = 0
        for name, entry in members.items():
            if not wanted(name):
                continue
            size, digests[name] = _unpack(source, entry, folder / name, limits, limits.max_total_bytes - total)
            total += size
    return digests


def extract_part(
    archive: Path, root_file: str, part: str, folder: Path, part_root: tuple[str, ...], limits: ArchiveLimits
) -> bool:
    """Unpack what `part` names within a zip, a folder or a further zip, into the new `folder`; whether there is such a part.

    `root_file` is that of the zip, `part_root` that of a part that is a zip; see `extract`, also for what is raised.
    """
    name = inner_path(part)
    beside = folder.with_name(f"{folder.name}.whole")
    try:
        found = extract(archive, beside, root_file, limits, lambda path: path == name or path.startswith(f"{name}/"))
        if name in found:
            extract(beside / name, folder, part_root, limits)
        elif found:
            (beside / name).rename(folder)
        return bool(found)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def inner_path(written: str) -> str:
    """A path within a bundle as `extract` gives it, from how a person writes it: `./data/`, decomposed letters."""
    return unicodedata.normalize("NFC", written.strip()).removeprefix("./").rstrip("/")


def content_version(digests: Mapping[str, str]) -> str:
    """The sha256 (hex) over the sorted (relative path, sha256 of the file) pairs: blind to a zip's order, times and packing."""
    whole = hashlib.sha256()
    for name, digest in sorted(digests.items()):
        whole.update(f"{name}\0{digest}\n".encode())
    return whole.hexdigest()


def _refusal(name: str, msg: str) -> Invalid:
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name[:200])
    return Invalid("bundle holds a file that is not allowed", [FieldError(loc=[shown], msg=msg)])


def _refuse_overlaps(entries: list[zipfile.ZipInfo]) -> None:
    """Entries that share packed bytes are how a small zip unpacks to petabytes (D. Fifield, "A better zip bomb", 2019)."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise _refusal(entry.filename, "shares its packed bytes with another file, as a zip bomb does")
        end = entry.header_offset + _LOCAL_HEADER + entry.compress_size


def _members(entries: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The files to unpack by their path; folders are made as files need them."""
    members: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    for entry in entries:
        name = _checked_name(entry)
        parts = name.split("/")
        if entry.is_dir() or parts[0] == "__MACOSX" or parts[-1] == ".DS_Store":
            continue
        if name in members:
            raise _refusal(name, "is in the zip twice")
        members[name] = entry
        folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    for name in folders & members.keys():
        raise _refusal(name, "is in the zip both as a file and as a folder")
    return members


def _checked_name(entry: zipfile.ZipInfo) -> str:
    """The entry's path in NFC, without a folder's last slash."""
    # `filename` is cut at a NUL byte, `orig_filename` is what the zip says.
    raw = entry.orig_filename
    if any(unicodedata.category(letter) in ("Cc", "Cf", "Cs") for letter in raw):
        raise _refusal(raw, "has control characters in its name")
    if "\\" in raw:
        raise _refusal(raw, "has a backslash in its name; folders are separated by /")
    if raw.startswith("/") or re.match("[A-Za-z]:", raw):
        raise _refusal(raw, "has an absolute path; paths must be relative to the bundle's root")
    name = unicodedata.normalize("NFC", raw.removesuffix("/"))
    parts = name.split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        raise _refusal(raw, "has an empty part, '.' or '..' in its path; paths must stay within the bundle")
    if len(name.encode()) > _MAX_NAME or any(len(part.encode()) > _MAX_PART for part in parts):
        raise _refusal(raw, f"has a path of over {_MAX_NAME} bytes, or a part of over {_MAX_PART}")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "a special file"
        raise _refusal(raw, f"is {what}; only files and folders are allowed")
    if entry.flag_bits & 0x41:
        raise _refusal(raw, "is encrypted; make the zip without a password")
    if entry.compress_type not in _METHODS:
        raise _refusal(raw, f"is packed with method {entry.compress_type}; use deflate (the usual one) or store")
    return name


def _without_top_folder(members: dict[str, zipfile.ZipInfo], root_files: tuple[str, ...]) -> dict[str, zipfile.ZipInfo]:
    if not root_files or not members.keys().isdisjoint(root_files):
        return members
    tops = {name.split("/")[0] for name in members}
    if len(tops) == 1:
        top = f"{tops.pop()}/"
        if any(f"{top}{root_file}" in members for root_file in root_files):
            return {name.removeprefix(top): entry for name, entry in members.items()}
    there = ", ".join(sorted(members)[:20]) or "nothing"
    missing = " or ".join(root_files)
    msg = f"must be at the root of the zip, or of its only folder; the zip has: {there}"
    raise Invalid(f"bundle has no {missing}", [FieldError(loc=[root_files[0]], msg=msg)])


def _unpack(
    source: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, limits: ArchiveLimits, room: int
) -> tuple[int, str]:
    """Write one file; gives its size and sha256. `room` is how many bytes may still be unpacked."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    size = 0
    try:
        packed = source.open(entry)
    except _BROKEN as error:
        raise _refusal(entry.filename, f"cannot be unpacked: {error}") from error
    with packed, target.open("xb") as file:
        while True:
            try:
                chunk = packed.read(_CHUNK)
            except _BROKEN as error:
                raise _refusal(entry.filename, f"cannot be unpacked: {error}") from error
            if not chunk:
                return size, digest.hexdigest()
            size += len(chunk)
            if size > room:
                raise TooLarge(f"bundle unpacks to more than {limits.max_total_bytes:,} bytes")
            if size > limits.max_file_bytes:
                raise TooLarge(f"{entry.filename} unpacks to more than {limits.max_file_bytes:,} bytes")
            if size > _RATIO_FROM and size > limits.max_ratio * entry.compress_size:
                raise TooLarge(
                    f"{entry.filename} unpacks to more than {limits.max_ratio:g} times its size, as a zip bomb does"
                )
            digest.update(chunk)
            file.write(chunk)
