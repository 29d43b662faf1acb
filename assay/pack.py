"""Packs an environment's folder into the zip that the gateway takes."""

import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.errors import InvalidInput

MANIFEST = "environment.yaml"

_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can carry: the same folder gives the same bytes, hence the same version."""

_IGNORED = frozenset({"__pycache__", "__MACOSX"})


@contextmanager
def packed(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A zip of the bundle at `path` for as long as the context lasts: a folder is packed, a zip is taken as it is.

    Raises `InvalidInput` for what is neither, has no manifest, or holds links.
    """
    source = Path(path)
    if source.is_file():
        if not zipfile.is_zipfile(source):
            raise InvalidInput(f"{source} is neither a folder nor a zip file")
        yield source
    elif source.is_dir():
        if not (source / MANIFEST).is_file():
            raise InvalidInput(f"{source} has no {MANIFEST} at its root, so it is not an environment")
        with tempfile.TemporaryDirectory(prefix="assay-") as folder:
            target = Path(folder) / "bundle.zip"
            pack(source, target)
            yield target
    else:
        raise InvalidInput(f"{source} does not exist; give an environment's folder or zip")


@contextmanager
def packed_source(path: str | os.PathLike[str]) -> Iterator[Path]:
    """What is at `path` as one file, for an import: a file as it is, a folder as a zip. Raises `InvalidInput` for what is neither."""
    source = Path(path)
    if source.is_dir():
        with tempfile.TemporaryDirectory(prefix="assay-") as folder:
            target = Path(folder) / f"{source.resolve().name or 'source'}.zip"
            pack(source, target)
            yield target
    elif source.is_file():
        yield source
    else:
        raise InvalidInput(f"{source} does not exist; give a file or a folder")


def pack(source: Path, target: Path) -> None:
    """Writes the files of the folder `source` into the zip `target`, in the order of their names, without hidden files."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(_members(source)):
            info = zipfile.ZipInfo(name, _FIXED_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            with (source / name).open("rb") as read, archive.open(info, "w", force_zip64=True) as write:
                while chunk := read.read(1024 * 1024):
                    write.write(chunk)


def _members(source: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(source, onerror=_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _IGNORED]
        for name in [*folders, *files]:
            if (Path(folder) / name).is_symlink():
                raise InvalidInput(f"{Path(folder) / name} is a link; a bundle holds plain files only")
        for name in files:
            if not name.startswith("."):
                yield (Path(folder) / name).relative_to(source).as_posix()


def _unreadable(error: OSError) -> None:
    raise InvalidInput(f"{error.filename} cannot be read: {error.strerror}")
