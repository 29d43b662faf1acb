"""Splits of datasets from the Hugging Face Hub, through its datasets server: as Parquet where it has that, else row by row.

The REST API is that of https://huggingface.co/docs/dataset-viewer: `/splits`, `/parquet` (files by split, with addresses on the Hub)
and `/rows` (at most 100 at a time). What is fetched is for the inspection worker to read: here it is only stored.
"""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import orjson
from pydantic import SecretStr

from services.artifacts.bundles import Limits
from services.artifacts.importers.presets import PRESETS
from services.artifacts.importers.source import wrong_option
from shared.archives import ArchiveWriter
from shared.errors import Invalid, Problem, TooLarge, Unavailable
from shared.explain import near
from shared.imports import HuggingFaceImport

logger = logging.getLogger("assay.artifacts")

PAGE = 100  # rows of an answer: the server's most
_MAX_ANSWER_BYTES = 64 * 1024**2
_MAX_ROWS = 100_000  # one by one; a dataset that is larger has Parquet
_MAX_REDIRECTS = 5
_TRIES = 4
_MAX_PAUSE_S = 10.0
_CHUNK = 1024 * 1024
_TIMEOUT = httpx.Timeout(60, connect=10)
_TRANSIENT = frozenset({429, 500, 502, 503, 504})


class _Refused(Exception):
    """An answer other than 200 that trying again does not change."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Fetched(NamedTuple):
    """A zip, and a name for where it is from."""

    archive: Path
    name: str


class DatasetsServer:
    """Without a `base_url` nothing is fetched. `token` goes to the server, and to the Hub's own host (the domain that the server is in)."""

    def __init__(self, base_url: str | None, token: SecretStr | None) -> None:
        self._base = httpx.URL(base_url.rstrip("/")) if base_url else None
        self._token = token
        self._http = httpx.AsyncClient(timeout=_TIMEOUT)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def fetch(self, options: HuggingFaceImport, folder: Path, limits: Limits) -> Fetched:
        """A zip in `folder` with the files of the splits that an import needs, each named after its split.

        Raises:
            Invalid: the deployment fetches nothing; there is no such dataset, subset or split; it is not there as a whole.
            TooLarge: it is larger than what may be uploaded.
            Unavailable: the server does not answer.
        """
        dataset, config, splits = await self._asked(options)
        archive = folder / "fetched.zip"
        room = limits.max_archive_bytes
        with ArchiveWriter(archive) as writer:
            for split in splits:
                for path in await self._split(dataset, config, split, folder, room):
                    room -= path.stat().st_size
                    await asyncio.to_thread(writer.add_file, path.name, path)
                    path.unlink()
        return Fetched(archive, f"{dataset} ({config})")

    async def _asked(self, options: HuggingFaceImport) -> tuple[str, str, list[str]]:
        """Dataset, subset and splits: what the request says, else the preset, else the only one."""
        preset = None if options.preset is None else PRESETS[options.preset]
        dataset = options.dataset or (preset.dataset if preset else None)
        if dataset is None:
            raise wrong_option(
                "dataset", "is missing: send a file, or name a dataset of the Hub (such as openai/gsm8k) or a preset"
            )
        if self._base is None:
            raise wrong_option(
                "dataset",
                f"{dataset} cannot be fetched: this deployment reaches no datasets server (ASSAY_HF_DATASETS_URL); send the dataset's files instead",
            )
        try:
            found = (await self._json("splits", {"dataset": dataset})).get("splits")
        except _Refused as refused:
            if refused.status in (401, 403, 404):
                message = (
                    f"there is no dataset {dataset!r} that may be read; a private or gated one needs ASSAY_HF_TOKEN"
                )
                raise wrong_option("dataset", message) from refused
            raise _unusable(dataset, f"it answered with HTTP {refused.status}") from refused
        there: dict[str, list[str]] = {}
        for one in found if isinstance(found, list) else []:
            if isinstance(one, dict) and isinstance(one.get("config"), str) and isinstance(one.get("split"), str):
                there.setdefault(one["config"], []).append(one["split"])
        config = options.config or (
            preset.config if preset and preset.config in there else next(iter(there)) if len(there) == 1 else None
        )
        if config not in there:
            known = (
                near(config or "", there, f"{dataset} has") if there else f"{dataset} has nothing that the server shows"
            )
            raise wrong_option(
                "config", f"{'is needed' if config is None else f'there is no subset {config!r}'}; {known}"
            )
        wanted = [
            options.split or (preset.split if preset else "test" if "test" in there[config] else there[config][0])
        ]
        if options.num_fewshot and preset and (shots := options.fewshot_split or preset.fewshot_split):
            wanted.append(shots)
        for option, split in zip(("split", "fewshot_split"), wanted, strict=False):
            if split not in there[config]:
                raise wrong_option(
                    option, f"there is no split {split!r}; {near(split, there[config], f'{dataset} has')}"
                )
        return dataset, config, list(dict.fromkeys(wanted))

    async def _split(self, dataset: str, config: str, split: str, folder: Path, room: int) -> list[Path]:
        addresses = await self._parquet(dataset, config, split)
        if not addresses:
            return [await self._rows(dataset, config, split, folder / f"{split}.jsonl", room)]
        paths = []
        for number, address in enumerate(addresses):
            path = folder / f"{split}-{number:05}-of-{len(addresses):05}.parquet"
            room -= await self._download(address, path, room)
            paths.append(path)
        return paths

    async def _parquet(self, dataset: str, config: str, split: str) -> list[httpx.URL]:
        """Where the split's Parquet files are; empty where the server has none."""
        try:
            answer = await self._json("parquet", {"dataset": dataset, "config": config})
        except (_Refused, Unavailable):  # what it could not convert is an error of its own to it; the rows will tell
            return []
        if answer.get("partial"):
            raise _unusable(dataset, "it has only the beginning of it as Parquet")
        found = answer.get("parquet_files")
        mine = (
            [one for one in found if isinstance(one, dict) and one.get("split") == split]
            if isinstance(found, list)
            else []
        )
        try:
            return [httpx.URL(one["url"]) for one in mine]
        except (KeyError, TypeError, httpx.InvalidURL) as error:
            raise _unusable(dataset, "it names a file without an address") from error

    async def _rows(self, dataset: str, config: str, split: str, path: Path, room: int) -> Path:
        where = {"dataset": dataset, "config": config, "split": split, "length": str(PAGE)}
        count, total = 0, 1
        with path.open("wb") as file:
            while count < total:
                try:
                    answer = await self._json("rows", {**where, "offset": str(count)})
                except _Refused as refused:
                    why = f"its rows from {count} on were answered with HTTP {refused.status}"
                    raise _unusable(dataset, why) from refused
                rows, all_rows = answer.get("rows"), answer.get("num_rows_total")
                if not isinstance(rows, list) or not isinstance(all_rows, int) or answer.get("partial"):
                    raise _unusable(dataset, "it does not give all rows")
                if all_rows > _MAX_ROWS:
                    most = f"at most {_MAX_ROWS:,} are fetched one by one"
                    raise TooLarge(f"{dataset} has {all_rows:,} rows and no Parquet files; {most}")
                if not rows and count < all_rows:
                    raise _unusable(dataset, f"it ends after {count} of {all_rows} rows")
                data = _as_lines(dataset, rows)
                room -= len(data)
                if room < 0:
                    raise _too_large(dataset)
                await asyncio.to_thread(file.write, data)
                count, total = count + len(rows), all_rows
        return path

    async def _download(self, address: httpx.URL, path: Path, room: int) -> int:
        """Store what is there; gives its size."""
        for attempt in range(_TRIES):
            size = 0
            try:
                answer = await self._open(address)
                try:
                    if answer.status_code == 200:
                        with path.open("wb") as file:
                            async for chunk in answer.aiter_bytes(_CHUNK):
                                size += len(chunk)
                                if size > room:
                                    raise _too_large(path.name)
                                await asyncio.to_thread(file.write, chunk)
                        return size
                    await self._pause(attempt, answer)
                finally:
                    await answer.aclose()
            except httpx.TransportError as error:
                await self._pause(attempt, None, error)
            except _Refused as refused:
                raise _unusable(path.name, f"it was answered with HTTP {refused.status}") from refused
        raise AssertionError("the last pause raises")

    async def _json(self, call: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """An answer of the server. Raises `_Refused`."""
        assert self._base is not None
        address = self._base.copy_with(path=f"{self._base.path.rstrip('/')}/{call}", params=parameters)
        for attempt in range(_TRIES):
            try:
                answer = await self._open(address)
                try:
                    if answer.status_code == 200:
                        return await _body(answer)
                    await self._pause(attempt, answer)
                finally:
                    await answer.aclose()
            except httpx.TransportError as error:
                await self._pause(attempt, None, error)
        raise AssertionError("the last pause raises")

    async def _open(self, address: httpx.URL) -> httpx.Response:
        """The answer, to be read and closed, after redirects, of which each is looked at."""
        for _ in range(_MAX_REDIRECTS):
            self._check(address)
            headers = (
                {"Authorization": f"Bearer {self._token.get_secret_value()}"}
                if self._token and self._is_hub(address)
                else {}
            )
            answer = await self._http.send(self._http.build_request("GET", address, headers=headers), stream=True)
            if answer.next_request is None:
                return answer
            address = answer.next_request.url
            await answer.aclose()
        raise Unavailable("the datasets server redirects without end")

    def _check(self, address: httpx.URL) -> None:
        """Only TLS, or the very server that the deployment names: an answer must not lead anywhere else."""
        base = self._base
        assert base is not None
        same = (address.scheme, address.host, address.port) == (base.scheme, base.host, base.port)
        if not same and address.scheme != "https":
            raise Unavailable(f"the datasets server leads to an address without TLS, at {address.host!r}")

    def _is_hub(self, address: httpx.URL) -> bool:
        base = self._base
        assert base is not None
        return address.scheme == base.scheme and (address.host == base.host or base.host.endswith(f".{address.host}"))

    async def _pause(self, attempt: int, answer: httpx.Response | None, error: Exception | None = None) -> None:
        """Before the next try. Raises `_Refused` where that would change nothing, and `Unavailable` after the last."""
        if answer is not None and answer.status_code not in _TRANSIENT:
            raise _Refused(answer.status_code)
        if attempt == _TRIES - 1:
            why = type(error).__name__ if answer is None else f"HTTP {answer.status_code}"
            raise Unavailable(f"the datasets server does not answer ({why}); try again later") from error
        asked = "" if answer is None else answer.headers.get("Retry-After", "")
        await asyncio.sleep(min(_MAX_PAUSE_S, float(asked) if asked.isdecimal() else 2.0**attempt))


async def _body(answer: httpx.Response) -> dict[str, Any]:
    data = bytearray()
    async for chunk in answer.aiter_bytes(_CHUNK):
        data += chunk
        if len(data) > _MAX_ANSWER_BYTES:
            raise TooLarge(f"the datasets server answered with more than {_MAX_ANSWER_BYTES:,} bytes at once")
    try:
        found = await asyncio.to_thread(orjson.loads, bytes(data))
    except orjson.JSONDecodeError as error:
        raise Unavailable("the datasets server answered with something that is not JSON") from error
    if not isinstance(found, dict):
        raise Unavailable("the datasets server answered with something other than its API has")
    return found


def _as_lines(dataset: str, rows: list[Any]) -> bytes:
    lines = []
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("row"), dict):
            raise _unusable(dataset, "it answered with rows that are none")
        if cut := row.get("truncated_cells"):
            raise _unusable(dataset, f"it cuts off the column {str(cut[0])[:100]!r} of row {row.get('row_idx')}")
        lines.append(orjson.dumps(row["row"], option=orjson.OPT_APPEND_NEWLINE))
    return b"".join(lines)


def _unusable(what: str, why: str) -> Invalid:
    return wrong_option(
        "dataset", f"{what} cannot be fetched whole from the datasets server: {why}; send the dataset's files instead"
    )


def _too_large(what: str) -> Problem:
    return TooLarge(f"{what} is larger than what may be uploaded")
