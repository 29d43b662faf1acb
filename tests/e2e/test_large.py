"""Prompts and answers that no message of the broker holds go through the object store, and leave nothing there."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import yaml
from minio import Minio

from shared.api import Evaluation, Model
from tests.parrot import Parrot
from tests.running import RunningStack

MIB = 1024**2


def words(size: int) -> str:
    """Text that does not pack too well, or the bundle would be taken for a zip bomb."""
    return " " + Random(size).randbytes(size // 2).hex()


ROWS = [
    {"id": "small", "question": "10 END", "answer": "END"},
    {"id": "a large answer", "question": f"{3 * MIB} END", "answer": "END"},
    {"id": "a large prompt", "question": "10 END" + words(2 * MIB), "answer": "END"},
    {"id": "both, and not correct", "question": f"{2 * MIB} WRONG" + words(2 * MIB), "answer": "END"},
    {"id": "too large an answer", "question": f"{5 * MIB} END", "answer": "END"},
]


@pytest.fixture(scope="module")
def model(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    folder: Path = tmp_path_factory.mktemp("large")
    manifest = {
        "slug": "large",
        "title": "Large",
        "prompt": {"template": "{{ question }}"},
        "phases": [
            {"name": "all", "data": "all.jsonl", "fields": {"id": "id", "input": "question", "target": "answer"}}
        ],
        "scoring": {"scorer": "contains"},
    }
    (folder / "environment.yaml").write_text(yaml.safe_dump(manifest))
    (folder / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    stack.client.environments.push(folder)
    with Parrot() as parrot:
        yield stack.client.models.add("parrot", base_url=parrot.base_url, model="parrot", max_concurrency=4)


def left(stack: RunningStack, evaluation: Evaluation) -> list[str]:
    """Bodies of messages that the object store still holds."""
    told = stack.embedded.environment
    store = Minio(
        told["ASSAY_S3_ENDPOINT"].removeprefix("http://"),
        told["ASSAY_S3_ACCESS_KEY"],
        told["ASSAY_S3_SECRET_KEY"],
        secure=False,
        region="us-east-1",
    )
    return [
        str(found.object_name) for found in store.list_objects("assay", f"messages/{evaluation.id}/", recursive=True)
    ]


@pytest.mark.parametrize("point", [None, "predictor.called", "predictor.published", "scorer.written"])
def test_large_prompts_and_answers(stack: RunningStack, model: Model, point: str | None) -> None:
    if point:
        stack.arm(point)
    done = stack.wait(stack.evaluate("large", [model]))[0]
    assert not (point and stack.armed(point))
    assert done.status == "completed", done.error
    rows = list(stack.client.evaluations.results(done.id))
    assert [(row.item_id, row.outcome, row.correct) for row in rows] == [
        ("small", "scored", True),
        ("a large answer", "scored", True),
        ("a large prompt", "scored", True),
        ("both, and not correct", "scored", False),
        ("too large an answer", "model_error", False),
    ]
    assert len(rows[1].output) == 3 * MIB + len(" END")
    assert rows[4].error == "the answer is larger than 4 MiB"
    # A count of tokens that no database holds is none.
    assert rows[0].usage
    assert (rows[0].usage.prompt_tokens, rows[0].usage.completion_tokens) == (None, 1)
    assert left(stack, done) == []
