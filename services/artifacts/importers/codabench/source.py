"""The files of a competition, as `competition.yaml` names them."""

import shutil
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from services.artifacts.bundles import Limits
from services.artifacts.importers.source import archive_limits, files_in, wrong_file
from shared.errors import Invalid
from shared.explain import Loc, near
from shared.unpacking import extract, inner_path
from shared.yamls import Lines

NAMES = ("competition.yaml", "competition.yml")


class Source:
    """The files below the folder that holds `competition.yaml`."""

    def __init__(self, folder: Path, scratch: Path, limits: Limits) -> None:
        """Zips within are unpacked into `scratch`. Raises `Invalid` where there is no such file, or more than one that might be meant."""
        all_files = files_in(folder)
        found = sorted(
            (name for name in all_files if name.rpartition("/")[2] in NAMES), key=lambda name: name.count("/")
        )
        if not found:
            there = ", ".join(list(all_files)[:20]) or "nothing"
            raise wrong_file(
                NAMES[0], f"is not there; a competition's bundle is a zip with it at the root, and this has: {there}"
            )
        first = found[0]
        if any(name.count("/") == first.count("/") for name in found[1:]):
            raise wrong_file(NAMES[0], f"is there more than once: {', '.join(found[:20])}; send one competition")
        self.name = first.rpartition("/")[2]
        self.folder = (folder / first).parent
        self.files = files_in(self.folder)
        self.lines = Lines()
        """Of `competition.yaml`, once it has been read."""
        self._folders = {parent.as_posix() for name in self.files for parent in Path(name).parents} - {"."}
        self._scratch = scratch
        self._limits = archive_limits(limits)
        self._unpacked: dict[Path, Path] = {}

    def at(self, written: str) -> Path | None:
        """The file or folder of that name; a folder may stand for its zip, and the other way round, as in sources of bundles."""
        name = inner_path(written.replace("\\", "/")).lstrip("/")
        for one in (name, name.removesuffix(".zip") if name.endswith(".zip") else f"{name}.zip"):
            # Only what was unpacked is looked up, so no path leads out of the source.
            if one in self.files or one in self._folders:
                return self.folder / one
        return None

    def part(self, written: str, what: str, loc: Loc) -> Path:
        """The file or folder that `loc` in `competition.yaml` names as `what` it is. Raises `Invalid` with the line."""
        path = self.at(written)
        if path is not None:
            return path
        if _is_key(written):
            raise self.wrong(f"{what} is a key of Codabench's ({written}); put the data itself into the bundle", loc)
        zips = {name for name in self.files if name.endswith(".zip")}
        raise self.wrong(
            f"{what}: there is no {written!r}; {near(written, self._folders | zips, 'the bundle has')}", loc
        )

    def unpacked(self, path: Path) -> Path:
        """A folder as it is; the one that a zip holds. All zips together may have what a bundle may. Raises `Invalid`, `TooLarge`."""
        if path.suffix != ".zip" or path.is_dir():
            return path
        if path not in self._unpacked:
            folder = self._scratch / str(len(self._unpacked))
            extract(path, folder, (), self._limits)
            size = sum(file.stat().st_size for file in files_in(folder).values())
            self._limits = replace(self._limits, max_total_bytes=self._limits.max_total_bytes - size)
            self._unpacked[path] = folder
        return self._unpacked[path]

    def close(self) -> None:
        """Remove what was unpacked."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def wrong(self, msg: str, loc: Loc) -> Invalid:
        return wrong_file(self.name, self.lines.told(loc, msg), *loc)


def _is_key(written: str) -> bool:
    try:
        UUID(written.strip())
    except ValueError:
        return False
    return True
