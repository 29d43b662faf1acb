"""Large environments: 100,000 items from the upload to the scores, and a bundle of 200 MB without a peak of memory."""

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import httpx
import pytest
import yaml

from bench.memory import MB, Watch, peaks
from shared.contracts import Status
from tests.running import RunningStack

ITEMS = 100_000
MOST_MB = {"gateway": 150, "artifacts": 400, "artifacts child": 400, "scorer": 300, "orchestrator": 300}
"""What a process may have in memory at its peak: a few times what it has when it does nothing, and far below what it handles."""


pytestmark = [pytest.mark.large, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """One that nothing else has used: what memory a process has at its peak depends on what it did before."""
    with RunningStack(tmp_path_factory.mktemp("size")) as running:
        yield running


def manifest(slug: str, **more: object) -> str:
    fields = {"id": "id", "input": "question", "target": "answer"}
    return yaml.safe_dump(
        {
            "slug": slug,
            "title": slug,
            "prompt": {"template": "{{ question }}"},
            "phases": [{"name": "all", "data": "all.jsonl", "fields": fields}],
            "scoring": {"scorer": "numeric"},
            **more,
        }
    )


@contextmanager
def within_bounds(stack: RunningStack) -> Iterator[None]:
    """No process of the stack has more than `MOST_MB` meanwhile."""
    for part in ("gateway", "artifacts", "scorer", "orchestrator"):
        for pid in stack.pids(part):
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # from here on the kernel counts the peak anew: proc(5)
    with Watch(stack.embedded) as watch:
        yield
    found = {name: held // MB for name, held in peaks(watch.samples).items() if name in MOST_MB}
    assert {"gateway", "artifacts"} <= found.keys()
    assert {name: held for name, held in found.items() if held > MOST_MB[name]} == {}


def test_a_hundred_thousand_items(stack: RunningStack, tmp_path: Path) -> None:
    (tmp_path / "environment.yaml").write_text(manifest("hundred-thousand", tags=["huge"]))
    with (tmp_path / "all.jsonl").open("w") as lines:
        for n in range(ITEMS):
            question = f"Ada buys {n} pens at $2 each and 1 mugs at $3 each. How many dollars does Ada spend?"
            lines.write(json.dumps({"id": f"i{n}", "question": question, "answer": 2 * n + 3}) + "\n")
    with within_bounds(stack):
        registered = stack.client.environments.push(tmp_path)
        assert [phase.items for phase in registered.phases] == [ITEMS]
        assert [found.slug for found in stack.client.environments.list(tags=["huge"])] == ["hundred-thousand"]

        ids: list[str] = []
        cursor: str | None = None
        while cursor is not None or not ids:
            query: dict[str, str | int] = {"limit": 1000, **({"cursor": cursor} if cursor else {})}
            page = httpx.get(f"{stack.url}/v1/environments/hundred-thousand/items", params=query, timeout=30).json()
            ids += [item["id"] for item in page["items"]]
            cursor = page["next"]
        assert ids == [f"i{n}" for n in range(ITEMS)]
        last = httpx.get(f"{stack.url}/environments/hundred-thousand/phases?first={ITEMS - 1}", timeout=30).text
        assert last.count("<article") == 2
        assert f"Ada buys {ITEMS - 1} pens" in last

        model = stack.add_model("sample-95", max_concurrency=128)
        (done,) = stack.wait(stack.evaluate("hundred-thousand", [model]), timeout=270)
    assert (done.status, done.progress.done) == (Status.COMPLETED, ITEMS)
    assert done.metrics is not None
    assert (done.metrics["called"], done.metrics["scored"]) == (ITEMS, ITEMS)
    assert done.metrics["accuracy"] == pytest.approx(0.95, abs=0.005)


def test_a_bundle_of_200_mb(stack: RunningStack, tmp_path: Path) -> None:
    text = Random(1).randbytes(100_000).hex()
    archive = tmp_path / "bundle.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as bundle:
        bundle.writestr("environment.yaml", manifest("two-hundred-megabytes"))
        with bundle.open("all.jsonl", "w") as lines:
            for n in range(1000):
                row = {"id": f"i{n}", "question": f"What is {n} + 1?", "answer": n + 1, "document": f"{n} {text}"}
                lines.write(json.dumps(row).encode() + b"\n")
    assert archive.stat().st_size > 200 * MB
    with within_bounds(stack):
        registered = stack.client.environments.push(archive)
    assert [phase.items for phase in registered.phases] == [1000]
    item = next(stack.client.environments.items("two-hundred-megabytes"))
    assert item.metadata["document"] == f"0 {text}"
