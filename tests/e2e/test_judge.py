"""Answers judged by another model, through the whole stack: a rubric, pairs in both orders, and whatever may go wrong on the way."""

import asyncio
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import nats
import pytest

from assay.errors import Conflict, Invalid
from deploy.embedded.ports import free
from shared import subjects
from shared.api import Evaluation, EventOut, Model
from tests.pages.puppet import Puppet, Refusal
from tests.running import RunningStack

ITEMS = 24
RATED = {
    "scorer": "judge",
    "rubric": "Rate {{ output }} to {{ input }}, gold {{ target }}.",
    "system": "You judge {{ kind }}.",
    "columns": ["kind"],
}
PAIR = {"scorer": "judge", "rubric": "A: {{ output_a }}\nB: {{ output_b }}", "pairwise": {"against": "other"}}

PRICE = {"input": 0.5, "output": 1.5}


def number(text: str) -> int:
    """The item that a prompt or a question to the judge is about."""
    found = re.search(r"poem (\d+)", text)
    assert found
    return int(found[1])


def poet(prompt: str) -> str:
    return f"poem {number(prompt)}"


def judge(question: str) -> str:
    """The same verdict on the same answer, whoever asks and however often."""
    return f"Rather good.\nVerdict: {number(question) % 11}"


def first(question: str) -> str:
    """Prefers what stands first, but where one is a haiku, and that is always better."""
    better = [line[0] for line in question.splitlines() if "haiku" in line]
    return f"Verdict: {better[0] if len(better) == 1 else 'A'}"


@pytest.fixture(scope="module")
def puppet() -> Iterator[Puppet]:
    with Puppet({"poet": poet, "judge": judge}) as puppet:
        yield puppet


@pytest.fixture
def say(puppet: Puppet) -> Iterator[Callable[..., None]]:
    """Change what models say, for one test."""
    yield lambda **models: puppet.models.update(models)
    puppet.models.update(poet=poet, judge=judge)
    puppet.let_all()


@pytest.fixture(scope="module")
def model(stack: RunningStack, puppet: Puppet) -> Iterator[Model]:
    model = stack.client.models.add("poet", base_url=puppet.base_url, model="poet", max_concurrency=4, price=PRICE)
    yield model
    stack.remove_model(model.id)


@pytest.fixture(scope="module")
def referee(stack: RunningStack, puppet: Puppet) -> Iterator[Model]:
    price = {"input": 10.0, "output": 30.0}
    model = stack.client.models.add("referee", base_url=puppet.base_url, model="judge", max_attempts=1, price=price)
    yield model
    stack.remove_model(model.id)


@pytest.fixture(scope="module")
def poems(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> str:
    return push(stack, tmp_path_factory.mktemp("poems"), "poems", RATED)


def push(stack: RunningStack, folder: Path, slug: str, scoring: dict[str, Any]) -> str:
    rows = [
        {
            "q": f"Write poem {n}.",
            "a": f"gold {n}",
            "kind": "verse",
            "other": f"haiku {n}" if n % 3 == 0 else f"poem {n}",
        }
        for n in range(ITEMS)
    ]
    manifest = {
        "slug": slug,
        "title": slug.title(),
        "prompt": {"template": "{{ q }}"},
        "phases": [{"name": "test", "data": "rows.jsonl", "fields": {"input": "q", "target": "a"}}],
        "scoring": scoring,
    }
    (folder / "environment.yaml").write_text(json.dumps(manifest))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return stack.client.environments.push(folder).slug


def judged(stack: RunningStack, environment: str, model: Model, referee: Model) -> Evaluation:
    (evaluation,) = stack.wait(stack.evaluate(environment, [model], judge=referee.id))
    assert evaluation.status == "completed", evaluation.error
    return evaluation


def rows(stack: RunningStack, evaluation: Evaluation) -> list[dict[str, Any]]:
    """What two runs have in common."""
    found = stack.rows(evaluation)
    for row in found:
        row["judge"] = [
            {name: verdict[name] for name in ("output", "score", "error", "usage")} for verdict in row["judge"]
        ]
    return found


def questions(stack: RunningStack, referee: Model) -> int:
    """What JOBS holds for a judge."""

    async def count() -> int:
        told = stack.embedded.environment
        async with await nats.connect(told["ASSAY_NATS_URL"], token=told["ASSAY_NATS_TOKEN"]) as connection:
            info = await connection.jetstream().stream_info(
                subjects.JOBS, subjects_filter=subjects.model_jobs(referee.id)
            )
            return sum((info.state.subjects or {}).values())

    return asyncio.run(count())


def until(stack: RunningStack, evaluation: Evaluation, seen: Callable[[EventOut], bool]) -> None:
    """Returns when such an event has come."""
    assert any(seen(event) for event in stack.client.events(evaluation.id)), "it ended before"


def log(stack: RunningStack, evaluation: Evaluation) -> list[str]:
    return [event.data.get("message", "") for event in stack.client.events.history(evaluation.id)]


@pytest.fixture(scope="module")
def undisturbed(stack: RunningStack, poems: str, model: Model, referee: Model) -> Evaluation:
    return judged(stack, poems, model, referee)


def test_a_rubric_gives_each_answer_its_score(stack: RunningStack, undisturbed: Evaluation) -> None:
    found = rows(stack, undisturbed)
    scores = [n % 11 / 10 for n in range(ITEMS)]
    assert [row["scores"] for row in found] == [{"judge": pytest.approx(score)} for score in scores]
    assert [row["correct"] for row in found] == [score >= 0.5 for score in scores]
    assert found[7]["output"] == "poem 7"
    (verdict,) = found[7]["judge"]
    assert verdict["output"] == "Rather good.\nVerdict: 7"
    metrics = undisturbed.metrics
    assert metrics
    assert metrics["overall_score"] == pytest.approx(sum(scores) / ITEMS)
    assert metrics["tokens"]["total"] == metrics["judge"]["tokens"]["total"] == ITEMS * 30
    assert {name: metrics["judge"][name] for name in ("asked", "unread", "attempts")} == {
        "asked": ITEMS,
        "unread": 0,
        "attempts": ITEMS,
    }
    # A call has 20 tokens in and 10 out.
    assert metrics["cost"] == pytest.approx(ITEMS * (20 * 0.5 + 10 * 1.5) / 1e6)
    assert metrics["judge_cost"] == pytest.approx(ITEMS * (20 * 10 + 10 * 30) / 1e6)
    assert "Answers are judged by model referee" in log(stack, undisturbed)


def test_the_files_tell_of_the_judge(stack: RunningStack, undisturbed: Evaluation, referee: Model) -> None:
    with zipfile.ZipFile(BytesIO(stack.file(undisturbed, "submission.zip"))) as archive:
        submission = json.loads(archive.read("submission.json"))
    assert submission["judge"]["model"] == "judge"
    details = json.loads(stack.file(undisturbed, "detailed_results.json"))
    assert (details["evaluation"]["judge"], details["evaluation"]["judge_name"]) == (referee.id, "referee")
    assert details["items"][4]["judge"][0]["output"] == "Rather good.\nVerdict: 4"
    assert b"Rather good.\nVerdict: 4" in stack.file(undisturbed, "detailed_results.html")


def test_a_pair_is_judged_in_both_orders(
    stack: RunningStack, model: Model, referee: Model, say: Callable[..., None], tmp_path: Path
) -> None:
    say(judge=first)
    evaluation = judged(stack, push(stack, tmp_path, "pairs", PAIR), model, referee)
    found = rows(stack, evaluation)
    # The other one wins where it is a haiku; a judge that takes whatever stands first decides nothing.
    assert [row["scores"]["win"] for row in found] == [0 if n % 3 == 0 else 0.5 for n in range(ITEMS)]
    assert {len(row["judge"]) for row in found} == {2}
    assert evaluation.metrics
    assert evaluation.metrics["judge"]["asked"] == 2 * ITEMS
    assert evaluation.metrics["overall_score"] == pytest.approx(sum(row["scores"]["win"] for row in found) / ITEMS)


def test_what_is_not_judged_counts_nothing_and_says_why(
    stack: RunningStack, poems: str, model: Model, referee: Model, say: Callable[..., None]
) -> None:
    def silent(prompt: str) -> str:
        return {2: "", 3: f"poem 3 {'long ' * 300_000}"}.get(number(prompt), poet(prompt))

    def odd(question: str) -> str:
        if number(question) == 5:
            raise Refusal(400, json.dumps({"error": {"message": "too rude to be judged"}}))
        return "I cannot decide." if number(question) == 4 else judge(question)

    say(poet=silent, judge=odd)
    evaluation = judged(stack, poems, model, referee)
    found = rows(stack, evaluation)
    assert [(row["outcome"], row["judge"]) for row in found if not row["output"]] == [("no_answer", [])]
    # Longer than a message may be: it went through the object store, to the judge and back.
    assert len(found[3]["output"]) > 1024**2
    assert found[3]["scores"] == {"judge": pytest.approx(0.3)}
    for n, why in ((4, "the judge's answer has no verdict that scoring.pattern finds"), (5, "too rude to be judged")):
        assert found[n]["outcome"] == "scored"
        assert (found[n]["correct"], found[n]["scores"]) == (False, {"judge": 0})
        assert why in found[n]["judge"][0]["error"] == found[n]["detail"]
    assert evaluation.metrics
    assert evaluation.metrics["judge"]["unread"] == 2
    assert evaluation.metrics["coverage"] == 1


@pytest.mark.large
@pytest.mark.parametrize(
    "points", [("scorer.asked", "predictor.published"), ("scorer.written", "orchestrator.dispatching")]
)
def test_deaths_on_the_way_change_nothing(
    stack: RunningStack, poems: str, model: Model, referee: Model, undisturbed: Evaluation, points: tuple[str, str]
) -> None:
    for point in points:
        stack.arm(point)
    evaluation = judged(stack, poems, model, referee)
    assert not any(stack.armed(point) for point in points), "nothing has died there"
    assert rows(stack, evaluation) == rows(stack, undisturbed)
    assert evaluation.metrics
    assert undisturbed.metrics
    for name in ("overall_score", "accuracy", "correct", "called", "tokens"):
        assert evaluation.metrics[name] == undisturbed.metrics[name], name
    assert evaluation.metrics["judge"]["tokens"] == undisturbed.metrics["judge"]["tokens"]


def test_a_judge_that_fails_leaves_the_sample_to_a_redrive(
    stack: RunningStack,
    poems: str,
    model: Model,
    referee: Model,
    undisturbed: Evaluation,
    say: Callable[..., None],
) -> None:
    def failing(question: str) -> str:
        if number(question) == 9:
            raise Refusal(500, "{}")
        return judge(question)

    say(judge=failing)
    evaluation = judged(stack, poems, model, referee)
    assert evaluation.progress.infra_error == 1
    lost = rows(stack, evaluation)[9]
    assert lost["error"].startswith("the judge: HTTP 500")
    assert lost["output"] == "poem 9"
    say(judge=judge)
    stack.client.evaluations.redrive(evaluation.id)
    (again,) = stack.wait([evaluation])
    assert again.progress.infra_error == 0
    assert rows(stack, again) == rows(stack, undisturbed)


def test_a_judge_that_goes_away_is_waited_for(
    stack: RunningStack, poems: str, model: Model, undisturbed: Evaluation
) -> None:
    (port,) = free(1)
    with Puppet({"judge": judge}) as puppet:
        fragile = stack.client.models.add("fragile", base_url=puppet.base_url, model="judge", max_concurrency=2)
        puppet.let(3)
        (evaluation,) = stack.evaluate(poems, [model], judge=fragile.id)
        until(stack, evaluation, lambda event: event.data.get("done", 0) >= 3)
        stack.client.models.update(fragile.id, base_url=f"http://127.0.0.1:{port}/v1")
        puppet.let_all()
        until(stack, evaluation, lambda event: "Waiting for judge fragile until" in event.data.get("message", ""))
        under_way = f"evaluation #{evaluation.number} judged by model fragile is under way"
        with pytest.raises(Conflict, match=under_way):
            stack.client.models.delete(fragile.id)
        stack.client.models.update(fragile.id, base_url=puppet.base_url)
        (done,) = stack.wait([evaluation])
    assert done.status == "completed"
    assert rows(stack, done) == rows(stack, undisturbed)
    stack.client.models.delete(fragile.id)


def test_a_judge_that_never_comes_is_given_up(stack: RunningStack, poems: str, model: Model) -> None:
    (port,) = free(1)
    gone = stack.client.models.add("gone", base_url=f"http://127.0.0.1:{port}/v1", model="judge")
    (done,) = stack.wait(stack.evaluate(poems, [model], judge=gone.id, unreachable_wait_s=1))
    assert (done.status, done.progress.infra_error) == ("completed", ITEMS)
    assert all(row["error"].startswith("judge gone was unreachable for 1 s") for row in stack.rows(done))
    stack.client.models.delete(gone.id)


def test_a_slow_judge_holds_up_nobody_else_and_a_cancel_leaves_no_question_behind(
    stack: RunningStack, poems: str, model: Model, referee: Model, undisturbed: Evaluation
) -> None:
    with Puppet({"judge": judge}) as slow:
        slow.let(0)
        hung = stack.client.models.add("hung", base_url=slow.base_url, model="judge", max_concurrency=1)
        (evaluation,) = stack.evaluate(poems, [model], judge=hung.id)
        until(stack, evaluation, lambda event: event.type == "assay.evaluation.started")
        assert rows(stack, judged(stack, poems, model, referee)) == rows(stack, undisturbed)
        assert questions(stack, hung) > 0
        assert stack.client.evaluations.cancel(evaluation.id).status == "cancelled"
        stack.client.models.delete(hung.id)
    assert questions(stack, hung) == 0


def test_a_model_may_judge_itself(
    stack: RunningStack, poems: str, model: Model, undisturbed: Evaluation, say: Callable[..., None]
) -> None:
    say(poet=lambda prompt: judge(prompt) if prompt.startswith("Rate") else poet(prompt))
    assert rows(stack, judged(stack, poems, model, model)) == rows(stack, undisturbed)


def test_without_a_judge_nothing_is_started(stack: RunningStack, poems: str, model: Model) -> None:
    with pytest.raises(Invalid, match="choose one as judge"):
        stack.evaluate(poems, [model])
