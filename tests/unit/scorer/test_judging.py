"""An answer before its judge, from message to message as they travel."""

import json
from typing import Any

import pytest

from services.scorer.judging import MAX_KEPT, Judged, Step, is_asked, step
from shared.contracts import Job, Outcome, Prediction, Usage, Verdict
from shared.generation import Generation
from shared.scoring import JudgePairwise, JudgeScoring

RATED = JudgeScoring(
    scorer="judge",
    system="You grade {{ subject }}.",
    rubric="Asked: {{ input }}\nGold: {{ target }}\nAnswer: {{ output }}",
    columns=["subject"],
    generation=Generation(temperature=0, max_tokens=200),
)
PAIR = JudgeScoring(
    scorer="judge", rubric="A: {{ output_a }}\nB: {{ output_b }}", pairwise=JudgePairwise(against="reference")
)
HINTS = {"input": "7 + 5?", "subject": "sums", "reference": "twelve"}


def answered(scoring: JudgeScoring = RATED, **changes: Any) -> Prediction:
    fields = {
        "evaluation": "e1",
        "model": "m1",
        "index": 4,
        "sample": 1,
        "round": 2,
        "dispatch": 3,
        "item_id": "i4",
        "target": "12",
        "hints": HINTS,
        "scoring": scoring,
        "judge": "m2",
        "outcome": Outcome.SCORED,
        "output": "It is 12.",
        "finish_reason": "stop",
        "usage": Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7),
        "attempts": 2,
        "started_at": 5.0,
        "latency_ms": 80.0,
        "ttft_ms": 9.0,
    }
    return Prediction(**{**fields, **changes})


def following(prediction: Prediction) -> Step:
    """As a worker is asked, through JSON both ways."""
    asked = json.loads(prediction.model_dump_json(exclude={"scoring"}))
    assert isinstance(prediction.scoring, JudgeScoring)
    return Step.model_validate_json(json.dumps(step(prediction.scoring, asked)))


def question(prediction: Prediction) -> Job:
    found = following(prediction)
    assert found.judged is None
    assert found.job
    return found.job


def said(job: Job, output: str, **changes: Any) -> Prediction:
    """The prediction that a predictor makes of a question."""
    fields = {name: getattr(job, name) for name in Job.model_fields if name in Prediction.model_fields}
    call = {"outcome": Outcome.SCORED, "output": output, "attempts": 1, "latency_ms": 30.0}
    made = Prediction(**{**fields, **call, **changes})
    return Prediction.model_validate_json(made.model_dump_json(exclude_defaults=True))


def end(prediction: Prediction) -> Judged:
    found = following(prediction)
    assert found.job is None
    assert found.judged
    return found.judged


def verdicts(found: Judged) -> list[Verdict]:
    assert found.prediction.judging
    return found.prediction.judging.verdicts


def plain(found: Judged) -> Prediction:
    """The prediction without what the judge said."""
    return found.prediction.model_copy(update={"judging": None})


def test_a_question_is_the_rubric_with_the_answer_in_it() -> None:
    job = question(answered())
    assert [(message.role, message.content) for message in job.messages] == [
        ("system", "You grade sums."),
        ("user", "Asked: 7 + 5?\nGold: 12\nAnswer: It is 12."),
    ]
    assert job.params == {"temperature": 0, "max_tokens": 200}
    assert (job.model, job.evaluation, job.judge) == ("m2", "e1", "m2")


def test_what_an_answer_says_is_no_template() -> None:
    job = question(answered(output="{{ target }}{% for x in y %}"))
    assert job.messages[1].content.endswith("Answer: {{ target }}{% for x in y %}")


def test_a_question_is_another_message_of_the_same_sample() -> None:
    before, job = answered(), question(answered())
    assert job.key() == before.key()
    assert (before.message_id(), job.message_id()) == ("e1:4:1:2:3", "e1:4:1:2:3:judge:0")
    assert said(job, "Verdict: 7").message_id() == job.message_id()


def test_a_verdict_gives_back_the_answer_as_it_was() -> None:
    found = end(said(question(answered()), "Good. Verdict: 8", usage=Usage(total_tokens=20)))
    assert plain(found) == answered(model="m2")
    assert (found.score, found.correct, found.detail) == (0.8, True, None)
    (verdict,) = verdicts(found)
    assert (verdict.output, verdict.score, verdict.attempts) == ("Good. Verdict: 8", 0.8, 1)
    assert verdict.usage == Usage(total_tokens=20)
    assert verdict.latency_ms == 30


@pytest.mark.parametrize(("verdict", "correct"), [(4.9, False), (5, True)])
def test_correct_from_the_threshold_on(verdict: float, correct: bool) -> None:
    assert end(said(question(answered()), f"Verdict: {verdict}")).correct is correct


def test_pairwise_asks_in_both_orders() -> None:
    first = question(answered(PAIR))
    assert first.messages[0].content == "A: It is 12.\nB: twelve"
    second = question(said(first, "Verdict: A"))
    assert second.messages[0].content == "A: twelve\nB: It is 12."
    assert second.message_id() == "e1:4:1:2:3:judge:1"
    found = end(said(second, "Verdict: B"))
    assert (found.score, found.correct) == (1, True)
    assert [verdict.score for verdict in verdicts(found)] == [1, 1]
    assert found.prediction.output == "It is 12."


def test_a_judge_that_prefers_what_stands_first_decides_nothing() -> None:
    found = end(said(question(said(question(answered(PAIR)), "Verdict: A")), "Verdict: A"))
    assert (found.score, found.correct) == (0.5, False)


def test_without_swap_one_question_decides() -> None:
    once = PAIR.model_copy(update={"pairwise": JudgePairwise(against="reference", swap=False)})
    found = end(said(question(answered(once)), "Verdict: A"))
    assert (found.score, found.correct, len(verdicts(found))) == (1, True, 1)


def test_a_verdict_that_cannot_be_read_ends_it_without_a_second_question() -> None:
    found = end(said(question(answered(PAIR)), "I like both."))
    assert (found.score, found.correct) == (0, False)
    assert found.detail == "the judge's answer has no verdict that scoring.pattern finds"
    assert found.prediction.outcome is Outcome.SCORED
    assert [(verdict.output, verdict.score) for verdict in verdicts(found)] == [("I like both.", None)]


def test_a_judge_that_refuses_the_question_leaves_the_answer_unread() -> None:
    refused = said(question(answered()), "", outcome=Outcome.MODEL_ERROR, error="HTTP 400: too long")
    found = end(refused)
    assert found.prediction.outcome is Outcome.SCORED
    assert found.detail == "the judge's endpoint refused: HTTP 400: too long"


def test_a_judge_that_cannot_be_reached_ends_the_sample_as_not_called() -> None:
    second = question(said(question(answered(PAIR)), "Verdict: A"))
    lost = said(second, "", outcome=Outcome.INFRA_ERROR, error="HTTP 503")
    found = end(lost)
    assert found.prediction.outcome is Outcome.INFRA_ERROR
    assert found.prediction.error == "the judge: HTTP 503"
    assert found.prediction.output == "It is 12."
    assert [verdict.score for verdict in verdicts(found)] == [1]


def test_a_rubric_that_fails_with_this_answer_says_where() -> None:
    fussy = JudgeScoring(scorer="judge", rubric="Rate:\n{{ 1 / (output|length - 9) }}")
    found = end(answered(fussy))
    assert found.detail == "scoring.rubric: line 2 of the template: ZeroDivisionError: division by zero"
    assert (plain(found), verdicts(found)) == (answered(fussy), [])


def test_of_a_long_judgement_its_end_is_kept() -> None:
    found = end(said(question(answered()), "x" * 100_000 + "Verdict: 7"))
    assert found.score == 0.7
    assert len(verdicts(found)[0].output) == MAX_KEPT + 1
    assert verdicts(found)[0].output.endswith("xVerdict: 7")


@pytest.mark.parametrize("outcome", [Outcome.NO_ANSWER, Outcome.MODEL_ERROR, Outcome.INFRA_ERROR])
def test_where_nothing_was_answered_there_is_nothing_to_judge(outcome: Outcome) -> None:
    assert not is_asked(answered(output="", outcome=outcome))
    assert is_asked(answered())
    assert is_asked(said(question(answered()), "", outcome=outcome))
