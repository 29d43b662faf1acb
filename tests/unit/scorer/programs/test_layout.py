"""What a program finds in its folders."""

import os
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from services.scorer.programs.layout import Layout, result_file
from shared.scoring import PredictionsFile, ProgramScoring
from shared.storage.mongo import Document
from shared.unpacking import ArchiveLimits

LIMITS = ArchiveLimits(max_total_bytes=10**6, max_file_bytes=10**6, max_entries=100, max_ratio=300)


def result(index: int, **changes: Any) -> Document:
    return {
        "item_id": f"q{index}",
        "index": index,
        "sample": 0,
        "output": f"answer {index}",
        "outcome": "scored",
        "error": None,
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        "latency_ms": 200.5,
        "ttft_ms": None,
        "attempts": 1,
        "started_at": 100.0 + index,
        "landed_at": 101.0 + index,
        "target": "never shown to a program",
    } | changes


async def batches(*found: list[Document]) -> AsyncIterator[list[Document]]:
    for batch in found:
        yield batch


def laid_out(tmp_path: Path, scoring: ProgramScoring, *, reference: str | None = None) -> Layout:
    bundle = tmp_path / "bundle.zip"
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("top/environment.yaml", "slug: x")
        archive.writestr("top/program/metadata.yaml", "command: x")
        archive.writestr("top/program/lib/a.py", "")
        archive.writestr("top/gold/a.txt", "1")
        archive.writestr("top/program-2/other.py", "")
    layout = Layout(tmp_path)
    layout.unpack(bundle, scoring, reference, LIMITS)
    return layout


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_a_programs_folders(tmp_path: Path) -> None:
    layout = laid_out(tmp_path, ProgramScoring(scorer="program", program="program/"), reference="./gold")
    await layout.write_results(
        batches([result(0), result(1)], [result(2, output="", outcome="no_answer")]), files=False, samples=1
    )
    assert files(layout.program) == ["lib/a.py", "metadata.yaml"]
    assert files(layout.input) == ["ref/a.txt", "res/metadata", "res/metadata.json", "res/predictions.jsonl"]
    assert files(layout.output) == files(layout.shared) == []
    lines = [orjson.loads(line) for line in (layout.results / "predictions.jsonl").read_bytes().splitlines()]
    assert lines[0] == {
        "item_id": "q0",
        "sample": 0,
        "output": "answer 0",
        "outcome": "scored",
        "error": None,
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        "latency_ms": 200.5,
        "ttft_ms": None,
        "attempts": 1,
    }
    assert [line["item_id"] for line in lines] == ["q0", "q1", "q2"]
    assert yaml.safe_load((layout.results / "metadata").read_text()) == {
        "elapsedTime": 3.0,
        "exitCode": 0,
        "ingestionElapsedTime": None,
        "ingestionExitCode": None,
    }


async def test_a_file_a_sample(tmp_path: Path) -> None:
    layout = laid_out(tmp_path, ProgramScoring(scorer="program", program="program", files=True))
    rows = [result(0, item_id="a/../b"), result(1, output="half \ud800")]
    await layout.write_results(batches(rows), files=True, samples=1)
    assert files(layout.results) == ["a%2F..%2Fb.txt", "metadata", "metadata.json", "predictions.jsonl", "q1.txt"]
    assert (layout.results / "q1.txt").read_bytes() == b"half ?"
    assert files(layout.reference) == []


async def test_answers_in_the_programs_own_form(tmp_path: Path) -> None:
    layout = laid_out(tmp_path, ProgramScoring(scorer="program", program="program"))
    own = PredictionsFile.model_validate(
        {"name": "predictions.jsonl", "fields": {"id": "item_id", "prediction": "output"}}
    )
    await layout.write_results(batches([result(0)]), files=False, samples=1, form=own)
    assert files(layout.results) == ["metadata", "metadata.json", "predictions.jsonl"]
    assert orjson.loads((layout.results / "predictions.jsonl").read_bytes()) == {"id": "q0", "prediction": "answer 0"}


@pytest.mark.parametrize(
    ("item_id", "samples", "name"),
    [("a", 1, "a.txt"), ("a", 2, "a.3.txt"), ("..", 1, "...txt"), ("=7", 1, "%3D7.txt"), ("é" * 100, 1, "=7.txt")],
)
def test_names_of_files(item_id: str, samples: int, name: str) -> None:
    assert result_file(result(7, item_id=item_id, sample=3), samples) == name


def test_everybody_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        layout = laid_out(tmp_path, ProgramScoring(scorer="program", program="program"), reference="gold")
    finally:
        os.umask(before)
    layout.open_up()
    assert oct(layout.reference.stat().st_mode)[-3:] == "755"
    assert oct((layout.reference / "a.txt").stat().st_mode)[-3:] == "644"
    # A zip's own permissions are not kept, and a program may be a script.
    assert oct((layout.program / "lib/a.py").stat().st_mode)[-3:] == "755"
