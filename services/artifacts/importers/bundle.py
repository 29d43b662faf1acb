"""Writing the bundle that an import becomes."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import yaml

from services.artifacts.importers.source import wrong_option
from services.artifacts.manifests import MANIFEST
from services.artifacts.rows import Row
from shared.imports import Options


def write_manifest(out: Path, manifest: Mapping[str, Any]) -> None:
    """`environment.yaml` from the manifest's keys as plain data; what is None or empty is left out."""
    kept = {key: value for key, value in manifest.items() if value not in (None, [], {}, "")}
    (out / MANIFEST).write_text(yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")


def head(options: Options, *, title: str, description: str = "", tags: Iterable[str] = ()) -> dict[str, Any]:
    """The manifest's first keys: what the request says, else what the source does."""
    title = (options.title or title.strip() or "Imported")[:200]
    return {
        "slug": options.slug or slug_of(title),
        "title": title,
        "description": (description.strip() if options.description is None else options.description)[:2000],
        "tags": list(tags) if options.tags is None else options.tags,
    }


def slug_of(title: str) -> str:
    """A name for addresses. Raises `Invalid` for a title in which no letter or digit is ASCII's."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain)[:63].strip("-")
    if not slug:
        raise wrong_option("slug", f"is needed: no name for addresses can be made of the title {title!r}")
    return slug


def phase_name(text: str, default: str = "test") -> str:
    """`text` as a phase may be called: letters, digits, spaces, `_`, `.` and `-`; `default` where nothing of it is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9 _.-]+", "-", plain).strip(" _.-")[:63].rstrip() or default


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """JSONL; gives how many rows there were."""
    count = 0
    with path.open("wb") as file:
        for row in rows:
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count


def write_in_place(path: Path, rows: Iterable[Row]) -> None:
    """JSONL with each row on the line that it had in its own file, so that what is wrong with it is found there by its number."""
    line = 1
    with path.open("wb") as file:
        for row in rows:
            # Blank lines are passed over when it is read.
            file.write(b"\n" * (row.line - line) + orjson.dumps(row.values, option=orjson.OPT_APPEND_NEWLINE))
            line = max(line, row.line) + 1
