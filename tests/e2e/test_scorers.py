"""Scorers that run in worker processes, through the whole stack: four kinds at once, answers that never end, a scorer that is killed."""

import json
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import corpus_bleu

from assay.errors import Invalid
from shared.api import Evaluation, Model
from tests.pages.puppet import Puppet
from tests.running import RunningStack

GOLDS = ["The dog bit the man.", "It was not unexpected.", "The man bit him first.", "Nobody knows why."]
SAID = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him.", ""]
EXPRESSIONS = ["1/2", r"\sqrt{8}", r"\{1, 2\}", "x^2 - 1"]
SOLVED = [r"So $\boxed{0.5}$.", r"The answer is $2\sqrt{2}$.", r"$\{2, 1\}$", "I give up."]
PEOPLE = [{"name": "Ada", "age": 36}, {"name": "Bob", "age": 7}, {"name": "Eve", "age": 99}, {"name": "Mo", "age": 1}]
WRITTEN = [
    'It is ```json\n{"age": 36.0, "name": "Ada"}\n```',
    '{"name": "Bob", "age": 8}',
    '{"name": "Eve", "age": "99"}',
    "nothing",
]
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}}
ENDLESS = "$" + "{" * 5000 + "1" + "}" * 5000 + "$"

SCORINGS: dict[str, tuple[dict[str, Any], list[Any], list[str]]] = {
    "rouge": ({"scorer": "rouge", "variant": "rouge1"}, GOLDS, SAID),
    "bleu": ({"scorer": "bleu"}, GOLDS, SAID),
    "math": ({"scorer": "math"}, EXPRESSIONS, SOLVED),
    "json": ({"scorer": "json", "schema": SCHEMA, "threshold": 0.5}, PEOPLE, WRITTEN),
    "endless": ({"scorer": "math", "time_limit_s": 0.5}, ["1"] * 8, ["$1$", *[ENDLESS] * 6, "$2$"]),
}


def say(prompt: str) -> str:
    slug, number = prompt.split()
    return SCORINGS[slug][2][int(number)]


def bundle(folder: Path, slug: str, scoring: Mapping[str, Any], targets: list[Any]) -> Path:
    folder.mkdir()
    manifest = {
        "slug": slug,
        "title": slug,
        "prompt": {"template": "{{ input }}"},
        "phases": [{"name": "test", "data": "rows.jsonl"}],
        "scoring": scoring,
    }
    rows = [{"input": f"{slug} {number}", "target": target} for number, target in enumerate(targets)]
    (folder / "environment.yaml").write_text(json.dumps(manifest, indent=1))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def model(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    folder = tmp_path_factory.mktemp("bundles")
    for slug, (scoring, targets, _) in SCORINGS.items():
        stack.client.environments.push(bundle(folder / slug, slug, scoring, targets))
    with Puppet({"writer": say}) as puppet:
        model = stack.client.models.add("writer", base_url=puppet.base_url, model="writer", max_concurrency=8)
        yield model
        stack.remove_model(model.id)


@pytest.fixture(scope="module")
def scored(stack: RunningStack, model: Model) -> dict[str, Evaluation]:
    """All but the endless one, at once."""
    started = {slug: stack.evaluate(slug, [model])[0] for slug in SCORINGS if slug != "endless"}
    return dict(zip(started, stack.wait(list(started.values())), strict=True))


def metrics_of(evaluation: Evaluation) -> dict[str, Any]:
    assert evaluation.status == "completed", evaluation.error
    assert evaluation.metrics
    return evaluation.metrics


def test_rouge_is_the_mean_of_what_rouge_score_gives(scored: dict[str, Evaluation]) -> None:
    metrics = metrics_of(scored["rouge"])
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    for name in ("rouge1", "rouge2", "rougeL"):
        each = [scorer.score(*pair)[name].fmeasure for pair in zip(GOLDS, SAID, strict=True)]
        assert metrics["scores"][name] == pytest.approx(sum(each) / 4)
    assert metrics["overall_score"] == metrics["scores"]["rouge1"]


def test_bleu_is_that_of_all_answers_together(scored: dict[str, Evaluation]) -> None:
    metrics = metrics_of(scored["bleu"])
    assert metrics["overall_score"] == metrics["scores"]["bleu"] == corpus_bleu(SAID, [GOLDS]).score / 100
    assert metrics["no_answer"] == 1
    assert metrics["intervals"]["overall_score"] is None


def test_math_counts_what_is_equivalent(scored: dict[str, Evaluation]) -> None:
    assert metrics_of(scored["math"])["overall_score"] == 0.75


def test_json_says_what_is_wrong_and_the_files_say_so_too(stack: RunningStack, scored: dict[str, Evaluation]) -> None:
    metrics = metrics_of(scored["json"])
    assert metrics["overall_score"] == metrics["scores"]["score"] == (1 + 0.5 + 0 + 0) / 4
    assert (metrics["scores"]["valid"], metrics["correct"]) == (0.75 - 0.25, 2)
    details = [
        None,
        "Wrong or missing: age.",
        "It does not fit the schema: '99' is not of type 'integer' (at /age). Wrong or missing: age.",
        "There is no JSON in the answer.",
    ]
    assert [row["detail"] for row in stack.rows(scored["json"])] == details
    kept = json.loads(stack.file(scored["json"], "detailed_results.json"))["items"]
    assert [item.get("detail") for item in kept] == details
    page = httpx.get(f"{stack.url}/evaluations/{scored['json'].number}/cases/1").raise_for_status().text
    assert "Wrong or missing: age." in page


def test_a_target_that_cannot_be_used_is_told_by_its_line(stack: RunningStack, model: Model, tmp_path: Path) -> None:
    wrong: dict[str, tuple[dict[str, Any], list[Any]]] = {
        "math": ({"scorer": "math", "time_limit_s": 0.5}, ["1", r"\frac{1", "three of them", ENDLESS]),
        "json": ({"scorer": "json", "schema": SCHEMA}, ['{"age": 1}', "{", '{"age": "x"}', "[]"]),
    }
    said = {}
    for name, (scoring, targets) in wrong.items():
        with pytest.raises(Invalid) as caught:
            stack.client.environments.push(bundle(tmp_path / name, f"wrong-{name}", scoring, targets))
        assert [error["loc"] for error in caught.value.errors] == [["rows.jsonl", line, "target"] for line in (2, 3, 4)]
        said[name] = [error["msg"] for error in caught.value.errors]
    assert said["math"][2] == "line 4: the target cannot be read: it takes more than 0.5 s of CPU time"
    assert said["json"][1].startswith("line 3: the target does not fit scoring.schema: 'x' is not of type 'integer'")
    with pytest.raises(Invalid, match=r"environment\.yaml: line \d+: is no JSON Schema: 'strin'"):
        stack.client.environments.push(
            bundle(tmp_path / "schema", "wrong-schema", {"scorer": "json", "schema": {"type": "strin"}}, [{}])
        )


@pytest.mark.large
def test_a_killed_scorer_loses_nothing_of_what_it_had_begun(stack: RunningStack, model: Model) -> None:
    # A fresh one, which has no workers yet but those of this test.
    stack.kill("scorer")
    stack.until_ready()
    (slow,) = stack.evaluate("endless", [model])
    for event in stack.client.events(slow.id):
        if event.type == "assay.evaluation.progress" and event.data["done"] >= 2:
            break
    (scorer,) = stack.pids("scorer")
    workers = [int(pid) for pid in Path(f"/proc/{scorer}/task/{scorer}/children").read_text().split()]
    assert len(workers) == 2
    os.kill(scorer, signal.SIGKILL)
    # Another one meanwhile, on the same model.
    (quick,) = stack.evaluate("math", [model])
    (slow, quick) = stack.wait([slow, quick])
    assert metrics_of(quick)["overall_score"] == 0.75
    assert quick.finished_at
    assert slow.finished_at
    assert quick.finished_at < slow.finished_at
    metrics = metrics_of(slow)
    assert (metrics["scored"], metrics["correct"], metrics["overall_score"]) == (8, 1, 1 / 8)
    rows = stack.rows(slow)
    assert [row["index"] for row in rows] == list(range(8))
    reasons = [row["detail"] for row in rows]
    assert reasons == [None, *["Not scored: it takes more than 0.5 s of CPU time"] * 6, None]
    assert not [pid for pid in workers if runs(pid)], "a worker has outlived its scorer"


def runs(pid: int) -> bool:
    """Whether there is such a process and it has not ended; one that has may be there until its new parent asks about it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
