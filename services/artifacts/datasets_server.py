"""Splits of datasets from the Hugging Face Hub, through its datasets server: as Parquet where it has that, else row by row.

The REST API is that of https://huggingface.co/docs/dataset-viewer: `/splits`, `/parquet` (files by split, with addresses on the Hub)
and `/rows` (at most 100 at a time). What is fetched is for the inspection worker to read: here it is only stored.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import orjson

from services.artifacts.bundles import Limits
from services.artifacts.hub_client import HubClient, Refused
from services.artifacts.importers.presets import PRESETS, Preset
from services.artifacts.importers.source import wrong_option
from shared.archives import ArchiveWriter
from shared.errors import Invalid, TooLarge, Unavailable
from shared.explain import near
from shared.imports import HuggingFaceImport

PAGE = 100  # rows of an answer: the server's most
_MAX_ROWS = 100_000  # one by one; a dataset that is larger has Parquet


class Fetched(NamedTuple):
    """A zip, and a name for where it is from."""

    archive: Path
    name: str


async def fetch(hub: HubClient | None, options: HuggingFaceImport, folder: Path, limits: Limits) -> Fetched:
    """A zip in `folder` with the files of the splits that an import needs, each named after its split.

    Raises:
        Invalid: the deployment fetches nothing (`hub` is None); there is no such dataset, subset or split; it is not there as a whole.
        TooLarge: it is larger than what may be uploaded.
        Unavailable: the server does not answer.
    """
    preset = None if options.preset is None else PRESETS[options.preset]
    dataset = options.dataset or (preset.dataset if preset else None)
    if dataset is None:
        message = "is missing: send a file, or name a dataset of the Hub (such as openai/gsm8k) or a preset"
        raise wrong_option("dataset", message)
    if hub is None:
        message = f"{dataset} cannot be fetched: this deployment reaches no datasets server (ASSAY_HF_DATASETS_URL)"
        raise wrong_option("dataset", f"{message}; send the dataset's files instead")
    there = await _splits(hub, dataset)
    config = _subset(options, preset, dataset, there)
    archive = folder / "fetched.zip"
    room = limits.max_archive_bytes
    with ArchiveWriter(archive) as writer:
        for split in _wanted(options, preset, dataset, there[config]):
            for path in await _Split(hub, dataset, config, split).store(folder, room):
                room -= path.stat().st_size
                await asyncio.to_thread(writer.add_file, path.name, path)
                path.unlink()
    return Fetched(archive, f"{dataset} ({config})")


async def _splits(hub: HubClient, dataset: str) -> dict[str, list[str]]:
    """Of each subset."""
    try:
        found = (await hub.json("splits", {"dataset": dataset})).get("splits")
    except Refused as refused:
        if refused.status in (401, 403, 404):
            message = f"there is no dataset {dataset!r} that may be read; a private or gated one needs ASSAY_HF_TOKEN"
            raise wrong_option("dataset", message) from refused
        raise _unusable(dataset, f"it answered with HTTP {refused.status}") from refused
    there: dict[str, list[str]] = {}
    for one in found if isinstance(found, list) else []:
        if isinstance(one, dict) and isinstance(one.get("config"), str) and isinstance(one.get("split"), str):
            there.setdefault(one["config"], []).append(one["split"])
    if not there:
        raise _unusable(dataset, "it shows nothing of it")
    return there


def _subset(options: HuggingFaceImport, preset: Preset | None, dataset: str, there: Mapping[str, Sequence[str]]) -> str:
    """What the request says, else the preset, else the only one."""
    config = options.config or (preset.config if preset and preset.config in there else None)
    if config is None and len(there) == 1:
        config = next(iter(there))
    if config is None or config not in there:
        which = "is needed" if config is None else f"there is no subset {config!r}"
        raise wrong_option("config", f"{which}; {near(config or '', there, f'{dataset} has')}")
    return config


def _wanted(options: HuggingFaceImport, preset: Preset | None, dataset: str, there: Sequence[str]) -> list[str]:
    """The split that is evaluated, and the one with the few-shot examples."""
    evaluated = options.split or (preset.split if preset else "test" if "test" in there else there[0])
    wanted = {"split": evaluated}
    if options.num_fewshot and preset and (examples := options.fewshot_split or preset.fewshot_split):
        wanted["fewshot_split"] = examples
    for option, split in wanted.items():
        if split not in there:
            raise wrong_option(option, f"there is no split {split!r}; {near(split, there, f'{dataset} has')}")
    return list(dict.fromkeys(wanted.values()))


class _Split:
    def __init__(self, hub: HubClient, dataset: str, config: str, split: str) -> None:
        self._hub, self._dataset, self._config, self._split = hub, dataset, config, split

    async def store(self, folder: Path, room: int) -> list[Path]:
        """Its files in `folder`, of at most `room` bytes together."""
        addresses = await self._addresses()
        if not addresses:
            return [await self._rows(folder / f"{self._split}.jsonl", room)]
        paths = []
        for number, address in enumerate(addresses):
            path = folder / f"{self._split}-{number:05}-of-{len(addresses):05}.parquet"
            try:
                room -= await self._hub.download(address, path, room)
            except Refused as refused:
                raise _unusable(self._dataset, f"{path.name} was answered with HTTP {refused.status}") from refused
            paths.append(path)
        return paths

    async def _addresses(self) -> list[httpx.URL]:
        """Where its Parquet files are; empty where the server has none."""
        try:
            answer = await self._hub.json("parquet", {"dataset": self._dataset, "config": self._config})
        except (Refused, Unavailable):  # what it could not convert is an error of its own to it; the rows will tell
            return []
        if answer.get("partial"):
            raise _unusable(self._dataset, "it has only the beginning of it as Parquet")
        found = answer.get("parquet_files")
        mine = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        try:
            return [httpx.URL(one["url"]) for one in mine if one.get("split") == self._split]
        except (KeyError, TypeError, httpx.InvalidURL) as error:
            raise _unusable(self._dataset, "it names a file without an address") from error

    async def _rows(self, path: Path, room: int) -> Path:
        where = {"dataset": self._dataset, "config": self._config, "split": self._split, "length": str(PAGE)}
        count, total = 0, 1
        with path.open("wb") as file:
            while count < total:
                try:
                    answer = await self._hub.json("rows", {**where, "offset": str(count)})
                except Refused as refused:
                    why = f"its rows from {count} on were answered with HTTP {refused.status}"
                    raise _unusable(self._dataset, why) from refused
                rows, total = self._page(answer, count)
                data = b"".join(rows)
                room -= len(data)
                if room < 0:
                    raise TooLarge(f"{self._dataset} is larger than what may be uploaded")
                await asyncio.to_thread(file.write, data)
                count += len(rows)
        return path

    def _page(self, answer: Mapping[str, Any], count: int) -> tuple[list[bytes], int]:
        """The rows of an answer as lines of JSON, and how many there are in all."""
        rows, total = answer.get("rows"), answer.get("num_rows_total")
        if not isinstance(rows, list) or not isinstance(total, int) or answer.get("partial"):
            raise _unusable(self._dataset, "it does not give all rows")
        if total > _MAX_ROWS:
            most = f"at most {_MAX_ROWS:,} are fetched one by one"
            raise TooLarge(f"{self._dataset} has {total:,} rows and no Parquet files; {most}")
        if not rows and count < total:
            raise _unusable(self._dataset, f"it ends after {count} of {total} rows")
        lines = []
        for row in rows:
            if not isinstance(row, dict) or not isinstance(row.get("row"), dict):
                raise _unusable(self._dataset, "it answered with rows that are none")
            if cut := row.get("truncated_cells"):
                raise _unusable(
                    self._dataset, f"it cuts off the column {str(cut[0])[:100]!r} of row {row.get('row_idx')}"
                )
            lines.append(orjson.dumps(row["row"], option=orjson.OPT_APPEND_NEWLINE))
        return lines, total


def _unusable(dataset: str, why: str) -> Invalid:
    message = f"{dataset} cannot be fetched whole from the datasets server: {why}; send the dataset's files instead"
    return wrong_option("dataset", message)
