"""Fetching datasets: from a server that answers as the Hub's does, and from ones that do not."""

import json
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.artifacts.bundles import Limits
from services.artifacts.datasets_server import PAGE, fetch
from services.artifacts.hub_client import HubClient
from services.artifacts.importers import import_source
from shared.errors import Invalid, Problem, TooLarge, Unavailable
from shared.imports import HuggingFaceImport
from tests.datasets_server import Answer, Hub, Rows, serving

NUMBERS = [{"question": f"{n} + {n}?", "answer": f"#### {2 * n}"} for n in range(2 * PAGE + 5)]
CUT = {"row_idx": 0, "row": {"a": "x"}, "truncated_cells": ["a"]}
AGAIN = {"Retry-After": "0"}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub()) as hub:
        hub.datasets["openai/gsm8k"] = {
            "main": {"train": NUMBERS[:3], "test": NUMBERS},
            "socratic": {"test": NUMBERS[:1]},
        }
        yield hub


@pytest.fixture
async def client(hub: Hub) -> AsyncIterator[HubClient]:
    client = HubClient(hub.url, SecretStr("hf_secret"))
    yield client
    await client.aclose()


def options(**values: Any) -> HuggingFaceImport:
    return HuggingFaceImport(format="huggingface", **values)


def rows_in(archive: Path, tmp_path: Path) -> Rows:
    """What the preset's converter reads of it."""
    bundle, _ = import_source(archive, "openai/gsm8k", options(preset="gsm8k"), tmp_path / "import", Limits())
    with zipfile.ZipFile(bundle) as files:
        return [json.loads(line) for line in files.read("test.jsonl").splitlines()]


def names(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as files:
        return files.namelist()


async def refused(client: HubClient | None, tmp_path: Path, limits: Limits = Limits(), **values: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        await fetch(client, options(**({"preset": "gsm8k"} | values)), tmp_path, limits)
    assert not (tmp_path / "fetched.zip").exists()
    assert "hf_secret" not in str(caught.value.as_dict())
    return caught.value


async def test_a_split_comes_as_parquet(hub: Hub, client: HubClient, tmp_path: Path) -> None:
    hub.as_parquet = 2
    archive, _ = await fetch(client, options(preset="gsm8k"), tmp_path, Limits())
    assert names(archive) == ["test-00000-of-00002.parquet", "test-00001-of-00002.parquet"]
    assert rows_in(archive, tmp_path) == NUMBERS
    assert [path.name for path in tmp_path.glob("*.parquet")] == []


async def test_a_split_without_parquet_comes_row_by_row(hub: Hub, client: HubClient, tmp_path: Path) -> None:
    hub.as_parquet = 0
    archive, _ = await fetch(client, options(preset="gsm8k"), tmp_path, Limits())
    assert names(archive) == ["test.jsonl"]
    assert rows_in(archive, tmp_path) == NUMBERS
    assert [httpx.URL(path).params["offset"] for path, _ in hub.seen if path.startswith("/rows")] == ["0", "100", "200"]


async def test_examples_come_with_their_split(hub: Hub, client: HubClient, tmp_path: Path) -> None:
    archive, _ = await fetch(client, options(preset="gsm8k", num_fewshot=2), tmp_path, Limits())
    assert names(archive) == ["test-00000-of-00001.parquet", "train-00000-of-00001.parquet"]


async def test_subset_and_split_that_are_asked_for(hub: Hub, client: HubClient, tmp_path: Path) -> None:
    hub.as_parquet = 0
    archive, name = await fetch(client, options(dataset="openai/gsm8k", config="socratic"), tmp_path, Limits())
    assert (names(archive), name) == (["test.jsonl"], "openai/gsm8k (socratic)")
    assert "config=socratic" in hub.seen[-1][0]


async def test_the_token_goes_to_the_hub_alone(hub: Hub, client: HubClient, tmp_path: Path) -> None:
    await fetch(client, options(preset="gsm8k"), tmp_path, Limits())
    assert {authorization for _, authorization in hub.seen} == {"Bearer hf_secret"}
    with serving(Hub()) as other:
        hub.answers["/files/openai/gsm8k/main/test/0"] = [(302, {"Location": f"{other.url}/files/x"}, b"")]
        problem = await refused(client, tmp_path)
        assert other.seen == []
    assert "without TLS, at '127.0.0.1'" in problem.detail


async def test_a_redirect_within_the_server_is_followed(hub: Hub, client: HubClient, tmp_path: Path) -> None:
    where = "/files/openai/gsm8k/main/train/0"
    hub.answers["/files/openai/gsm8k/main/test/0"] = [(302, {"Location": where}, b"")]
    archive, _ = await fetch(client, options(preset="gsm8k"), tmp_path, Limits())
    assert rows_in(archive, tmp_path) == NUMBERS[:3]


@pytest.mark.parametrize("path", ["/splits", "/parquet", "/files/openai/gsm8k/main/test/0"])
async def test_a_passing_failure_is_tried_again(hub: Hub, client: HubClient, tmp_path: Path, path: str) -> None:
    hub.answers[path] = [(503, AGAIN, b""), (429, AGAIN, b"")]
    archive, _ = await fetch(client, options(preset="gsm8k"), tmp_path, Limits())
    assert rows_in(archive, tmp_path) == NUMBERS
    assert hub.answers[path] == []


async def test_a_deployment_that_fetches_nothing_says_so(tmp_path: Path) -> None:
    problem = await refused(None, tmp_path)
    assert problem.errors[0]["loc"] == ["import", "dataset"]
    assert "openai/gsm8k cannot be fetched" in problem.detail
    assert "ASSAY_HF_DATASETS_URL" in problem.detail


async def test_a_server_that_is_away(tmp_path: Path) -> None:
    with serving(Hub()) as gone:
        url = gone.url
    problem = await refused(HubClient(url, None, tries=1), tmp_path)
    assert isinstance(problem, Unavailable)
    assert problem.detail == "the datasets server does not answer (ConnectError); try again later"


@pytest.mark.parametrize(
    ("values", "loc", "message"),
    [
        ({"preset": None}, "dataset", "is missing: send a file, or name a dataset"),
        ({"dataset": "openai/gsm9k"}, "dataset", "there is no dataset 'openai/gsm9k' that may be read"),
        ({"config": "mian"}, "config", "there is no subset 'mian'; did you mean 'main'?"),
        ({"preset": None, "dataset": "openai/gsm8k"}, "config", "is needed; openai/gsm8k has main, socratic"),
        ({"split": "tset"}, "split", "there is no split 'tset'; did you mean 'test'?"),
        ({"config": "socratic", "num_fewshot": 1}, "fewshot_split", "there is no split 'train'"),
    ],
)
async def test_what_is_not_there(
    client: HubClient, tmp_path: Path, values: dict[str, Any], loc: str, message: str
) -> None:
    problem = await refused(client, tmp_path, **values)
    assert isinstance(problem, Invalid)
    assert (problem.errors[0]["loc"], message in problem.errors[0]["msg"]) == (["import", loc], True), problem.errors


def page(**changes: Any) -> bytes:
    return json.dumps({"rows": [{"row_idx": 0, "row": {"a": 1}}], "num_rows_total": 1} | changes).encode()


@pytest.mark.parametrize(
    ("path", "answer", "kind", "message"),
    [
        ("/splits", (200, {}, b"<html>"), Unavailable, "something that is not JSON"),
        ("/splits", (200, {}, b"[]"), Unavailable, "something other than its API has"),
        ("/splits", (200, {}, b"{}"), Invalid, "it shows nothing of it"),
        ("/splits", (401, {}, b""), Invalid, "a private or gated one needs ASSAY_HF_TOKEN"),
        ("/splits", (302, {"Location": "/splits"}, b""), None, ""),
        ("/parquet", (200, {}, b'{"partial": true}'), Invalid, "only the beginning of it as Parquet"),
        ("/parquet", (200, {}, b'{"parquet_files": [{"split": "test"}]}'), Invalid, "a file without an address"),
        ("/parquet", (200, {}, b'{"parquet_files": [{"split": "test", "url": "file:///etc/passwd"}]}'), Unavailable, "without TLS"),
        ("/files/openai/gsm8k/main/test/0", (403, {}, b""), Invalid, "was answered with HTTP 403"),
        ("/rows", (200, {}, page(rows=[CUT])), Invalid, "it cuts off the column 'a' of row 0"),
        ("/rows", (200, {}, page(rows=[1])), Invalid, "rows that are none"),
        ("/rows", (200, {}, page(rows=[])), Invalid, "it ends after 0 of 1 rows"),
        ("/rows", (200, {}, page(partial=True)), Invalid, "does not give all rows"),
        ("/rows", (200, {}, page(num_rows_total=10**6)), TooLarge, "has 1,000,000 rows and no Parquet files"),
        ("/rows", (404, {}, b""), Invalid, "its rows from 0 on were answered with HTTP 404"),
    ],
)  # fmt: skip
async def test_answers_that_are_wrong(
    hub: Hub,
    client: HubClient,
    tmp_path: Path,
    path: str,
    answer: Answer,
    kind: type[Problem] | None,
    message: str,
) -> None:
    hub.as_parquet = 0 if path == "/rows" else 1
    hub.answers[path] = [answer] * (1 if kind else 5)
    problem = await refused(client, tmp_path)
    assert type(problem) is (kind or Unavailable)
    assert (message or "redirects without end") in problem.detail


@pytest.mark.parametrize("as_parquet", [0, 1])
async def test_what_is_too_large_is_not_stored(hub: Hub, client: HubClient, tmp_path: Path, as_parquet: int) -> None:
    hub.as_parquet = as_parquet
    assert isinstance(await refused(client, tmp_path, Limits(max_archive_bytes=1000)), TooLarge)
    hub.answers["/splits"] = [(200, {}, b" " * (65 * 1024**2))]
    assert "67,108,864 bytes at once" in (await refused(client, tmp_path)).detail
