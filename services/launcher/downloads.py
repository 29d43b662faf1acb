"""Checkpoints from S3: downloaded into a folder, complete or not at all, and kept for the next start."""

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from services.launcher.checkpoints import CheckpointError
from shared.settings import Settings
from shared.storage.objects import Listed, Objects, ObjectStoreError

MAX_FILES = 10_000
SPARE_BYTES = 256 * 1024**2
"""That the disk must have left after a download."""
_LISTING = ".listing.json"

Say = Callable[[str], None]
"""Takes one line for whoever waits."""


class Downloads:
    """Folders under `home`, one for each prefix that was fetched, with the listing of what is in it."""

    def __init__(self, settings: Settings, home: Path) -> None:
        self._settings = settings
        self._home = home
        self._locks: dict[Path, asyncio.Lock] = {}

    def sweep(self) -> None:
        """Remove what downloads of processes that are no more have left."""
        for draft in self._home.glob("*.part"):
            if not Path(f"/proc/{draft.suffixes[-2][1:]}").exists():
                shutil.rmtree(draft, ignore_errors=True)

    async def fetch(self, bucket: str, prefix: str, say: Say) -> Path:
        """The folder with all that lies under the prefix; what is there already and the same is not fetched again.

        Raises:
            CheckpointError: there is nothing, it does not fit, or the object store does not give it.
        """
        objects = Objects(self._settings.model_copy(update={"s3_bucket": bucket}))
        # Readable, and two prefixes never share a folder.
        name = f"{quote(f'{bucket}-{prefix}', safe='')[:80]}-{hashlib.sha256(f'{bucket}/{prefix}'.encode()).hexdigest()[:12]}"
        folder = self._home / name
        try:
            async with self._locks.setdefault(folder, asyncio.Lock()):
                return await self._fetch(objects, bucket, prefix, folder, say)
        except ObjectStoreError as error:
            raise CheckpointError(f"checkpoint: s3://{bucket}/{prefix}: {error}") from error
        except OSError as error:
            raise CheckpointError(f"checkpoint: s3://{bucket}/{prefix} cannot be stored: {error.strerror}") from error
        finally:
            await objects.aclose()

    async def _fetch(self, objects: Objects, bucket: str, prefix: str, folder: Path, say: Say) -> Path:
        if not await objects.reachable():
            raise CheckpointError(f"checkpoint: the object store has no bucket {bucket}")
        listed = [one for one in await objects.listed(f"{prefix}/", MAX_FILES + 1) if not one.key.endswith("/")]
        if not listed:
            raise CheckpointError(f"checkpoint: there is nothing under s3://{bucket}/{prefix}/")
        if len(listed) > MAX_FILES:
            raise CheckpointError(f"checkpoint: s3://{bucket}/{prefix}/ has more than {MAX_FILES:,} files")
        names = {one.key: inside(one.key.removeprefix(f"{prefix}/")) for one in listed}
        listing = json.dumps([[one.key, one.size, one.etag] for one in listed])
        total = sum(one.size for one in listed)
        if await asyncio.to_thread(_is_there, folder, listing):
            say(f"s3://{bucket}/{prefix} is here already: {len(listed)} files, {_size(total)}")
            return folder
        draft = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        try:
            free = await asyncio.to_thread(_make, draft)
            if free < total + SPARE_BYTES:
                raise CheckpointError(
                    f"checkpoint: s3://{bucket}/{prefix} has {_size(total)}, and {self._home} has {_size(free)} left"
                )
            for number, one in enumerate(listed, 1):
                say(
                    f"downloading {number} of {len(listed)} files: {names[one.key]}, {_size(one.size)} of {_size(total)} in all"
                )
                await self._fetch_one(objects, one, draft / names[one.key])
            await asyncio.to_thread(_put_in_place, draft, folder, listing)
        finally:
            await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
        return folder

    async def _fetch_one(self, objects: Objects, one: Listed, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        await objects.get_file(one.key, path)
        size = (await asyncio.to_thread(path.stat)).st_size
        if size != one.size:
            raise CheckpointError(f"checkpoint: {one.key} has {size:,} bytes, and its listing says {one.size:,}")


def inside(name: str) -> PurePosixPath:
    """A relative path that stays below where it is put: keys are what somebody wrote."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or str(path) != name or name == _LISTING:
        raise CheckpointError(f"checkpoint: the key {name!r} is no relative path of a file")
    return path


def _is_there(folder: Path, listing: str) -> bool:
    kept = folder / _LISTING
    return kept.is_file() and kept.read_text() == listing


def _make(folder: Path) -> int:
    """An empty folder; how many bytes its disk has left."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    return shutil.disk_usage(folder).free


def _put_in_place(draft: Path, folder: Path, listing: str) -> None:
    (draft / _LISTING).write_text(listing)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def _size(count: int) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count //= 1000
    return f"{count:,} {unit}"
