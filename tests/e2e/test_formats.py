"""Benchmarks in other formats, from what somebody has to scores: imported through the gateway, evaluated, scored as their tools would."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay import Invalid
from shared.api import EnvironmentDetail, Model
from tests.datasets_server import Hub
from tests.e2e.test_gsm8k import MANIFEST
from tests.parrot import Parrot
from tests.running import MARKED_TOKEN, EndpointProcess, RunningStack

PROBLEMS = [
    {"question": f"Ann has {n} pens and buys 3. How many has she?", "answer": f"#### {n + 3}"} for n in range(30)
]
TASK = {
    "task": "own_sums",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "sums.json"}},
    "test_split": "test",
    "doc_to_text": "{{say}}\nQuestion: {{question}}\nAnswer:",
    "doc_to_target": "{{answer}}",
    "filter_list": [
        {"name": "number", "filter": [{"function": "regex", "regex_pattern": r"=(\S+)"}, {"function": "take_first"}]}
    ],
    "metric_list": [{"metric": "exact_match", "regexes_to_ignore": [",", r".*#### "]}],
}
# The endpoint answers with the second word of the last message; see Parrot.
SUMS = [
    {"say": "0 it=1,250", "question": "1000 + 250?", "answer": "so #### 1250"},
    {"say": "0 it=1,251", "question": "1000 + 250?", "answer": "so #### 1250"},
]
SAMPLES: list[dict[str, Any]] = [
    {"id": "a", "input": "0 Lima.", "target": ["Ciudad", "lima"]},
    {
        "id": "b",
        "input": [{"role": "system", "content": "Maps."}, {"role": "user", "content": "0 Cusco"}],
        "target": "Lima",
    },
]
IDEALS: list[dict[str, Any]] = [
    {"input": [{"role": "user", "content": "0 Parisian"}], "ideal": ["Rome", "Paris"]},
    {"input": [{"role": "user", "content": "0 paris"}], "ideal": "Paris"},
]
CODE = [
    {
        "task_id": f"own/{name}",
        "prompt": f'def {name}(x):\n    """{name} x."""\n',
        "canonical_solution": f"    return {times} * x\n",
        "test": f"def check(candidate):\n    assert candidate(2) == {2 * times}\n",
        "entry_point": name,
    }
    for name, times in (("double", 2), ("triple", 3))
]


@pytest.fixture(scope="module")
def parrot(stack: RunningStack) -> Iterator[Model]:
    """A model that answers with what it is told."""
    with Parrot() as endpoint:
        model = stack.client.models.add("parrot", base_url=endpoint.base_url, model="parrot")
        yield model
        stack.remove_model(model.id)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def scores(stack: RunningStack, environment: EnvironmentDetail, model: Model) -> list[tuple[str | None, bool | None]]:
    """What was taken of each answer, and whether it is right."""
    evaluation = stack.wait(stack.evaluate(environment.slug, [model]), timeout=60)[0]
    assert evaluation.status == "completed"
    return [(row["prediction"], row["correct"]) for row in stack.rows(evaluation)]


def test_a_task_of_the_harness(stack: RunningStack, parrot: Model, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(TASK))
    (tmp_path / "sums.json").write_text(json.dumps(SUMS))
    environment = stack.client.environments.import_("lm_eval", tmp_path, title="Own sums")
    assert environment.imported is not None
    assert (environment.imported.format, environment.imported.comparable) == ("lm_eval", True)
    assert (environment.slug, environment.tags) == ("own-sums", ["lm-evaluation-harness"])
    assert scores(stack, environment, parrot) == [("1250", True), ("1251", False)]


def test_samples_of_inspect(stack: RunningStack, parrot: Model, tmp_path: Path) -> None:
    file = write(tmp_path / "capitals.jsonl", SAMPLES)
    environment = stack.client.environments.import_("inspect", file, scorer="match", slug="capitals")
    assert scores(stack, environment, parrot) == [("lima", True), (None, False)]


def test_samples_of_openai_evals(stack: RunningStack, parrot: Model, tmp_path: Path) -> None:
    file = write(tmp_path / "samples.jsonl", IDEALS)
    environment = stack.client.environments.import_("openai_evals", file, eval_class="match", slug="ideals")
    assert scores(stack, environment, parrot) == [("Paris", True), (None, False)]


def test_a_dataset_is_fetched_and_its_preset_scores_it(stack: RunningStack, hub: Hub, tmp_path: Path) -> None:
    hub.datasets["openai/gsm8k"] = {"main": {"train": PROBLEMS[:5], "test": PROBLEMS}}
    environment = stack.client.environments.import_("huggingface", preset="gsm8k", num_fewshot=2, slug="fetched")
    assert environment.imported is not None
    assert environment.imported.source == "openai/gsm8k (main)"
    assert {authorization for _, authorization in hub.seen} == {f"Bearer {MARKED_TOKEN}"}
    (first, *_) = stack.client.environments.items("fetched")
    assert [message["role"] for message in first.messages] == ["user", "assistant"] * 2 + ["user"]
    assert first.messages[1]["content"] == PROBLEMS[0]["answer"]
    endpoint = EndpointProcess("--answers", str(write(tmp_path / "answers.jsonl", PROBLEMS)))
    try:
        model = stack.client.models.add("sample-80", base_url=endpoint.base_url, model="sample-80")
        evaluation = stack.wait(stack.evaluate("fetched", [model]), timeout=60)[0]
        assert evaluation.metrics is not None
        assert 0 < evaluation.metrics["correct"] == endpoint.stats()["sample-80"]["right"] < len(PROBLEMS)
        stack.remove_model(model.id)
    finally:
        endpoint.stop()


def test_code_is_run_against_its_tests(stack: RunningStack, tmp_path: Path) -> None:
    file = write(tmp_path / "test.jsonl", CODE)
    environment = stack.client.environments.import_("huggingface", file, preset="humaneval", slug="own-code")
    assert environment.imported is not None
    assert environment.imported.comparable
    answer = "Here it is:\n```python\ndef double(x):\n    return x + x\n```"
    with Parrot(lambda prompt: answer) as endpoint:
        coder = stack.client.models.add("coder", base_url=endpoint.base_url, model="coder")
        assert [correct for _, correct in scores(stack, environment, coder)] == [True, False]
        stack.remove_model(coder.id)


def test_gsm8k_by_preset_is_the_bundle_that_was_written_by_hand(
    stack: RunningStack, gsm8k: Path, tmp_path: Path
) -> None:
    (tmp_path / "environment.yaml").write_text(MANIFEST)
    (tmp_path / "test.jsonl").write_bytes(gsm8k.read_bytes())
    by_hand = stack.client.environments.push(tmp_path)
    imported = stack.client.environments.import_("huggingface", gsm8k, preset="gsm8k")
    assert (imported.slug, imported.title) == (by_hand.slug, by_hand.title)
    assert imported.scoring["scorer"] == "numeric"
    assert [(phase.name, phase.items, phase.items_sha256) for phase in imported.phases] == [
        ("test", 1319, by_hand.phases[0].items_sha256)
    ]


@pytest.mark.parametrize(
    ("format", "options", "loc", "message"),
    [
        ("lm_eval", {}, ["task.yaml"], "line 2, column 14: doc_to_text: !function utils.text"),
        ("lm_eval", {"filtr": "x"}, ["import", "filtr"], "did you mean 'filter'?"),
        ("huggingface", {"dataset": "me/own"}, ["import", "dataset"], "there is no dataset 'me/own'"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_stays(
    stack: RunningStack, tmp_path: Path, format: str, options: dict[str, Any], loc: list[str], message: str
) -> None:
    (tmp_path / "task.yaml").write_text("task: x\ndoc_to_text: !function utils.text\ndoc_to_target: y\n")
    before = {environment.slug for environment in stack.client.environments.list()}
    source = None if format == "huggingface" else tmp_path
    with pytest.raises(Invalid) as caught:
        stack.client.environments.import_(format, source, slug="wrong", **options)
    assert (caught.value.errors[0]["loc"], message in caught.value.errors[0]["msg"]) == (loc, True), caught.value.errors
    assert {environment.slug for environment in stack.client.environments.list()} == before
