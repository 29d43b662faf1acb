"""An answer before its judge, step by step: a question, its verdict, perhaps a second question, the result. Pure; see docs/judging.md.

For a worker process: a rubric is a template that a user wrote, and a pattern may backtrack over what the judge wrote.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from services.scorer.verdicts import Unread, agreed, read
from shared import rubrics
from shared.contracts import Answered, ChatMessage, Job, Judging, Outcome, Prediction, Verdict
from shared.rendering import TemplateError, Templates
from shared.scoring import JudgeScoring

MAX_KEPT = 50_000
"""Characters of a judge's answer that are kept, its end, where the verdict is."""


class Judged(BaseModel):
    """How an answer came off.

    `prediction` is the evaluated model's, as it was, or an `infra_error` where the judge could not be asked; its `judging` has all
    verdicts. `score` is in 0..1; where there is none `detail` says why, and it counts 0.
    """

    prediction: Prediction
    score: float = 0.0
    correct: bool = False
    detail: str | None = None


class Step(BaseModel):
    """One of the two: the next question, or the end."""

    job: Job | None = None
    judged: Judged | None = None


def is_asked(prediction: Prediction) -> bool:
    """Whether this is for the judge: an answer that it has to be asked about, or what it said. The rest has nothing to judge."""
    return prediction.judging is not None or prediction.outcome is Outcome.SCORED


def step(scoring: JudgeScoring, prediction: Mapping[str, Any]) -> dict[str, Any]:
    """What comes after a prediction, as a `Step` in JSON; `prediction` is in JSON too, without its scoring."""
    found = following(Prediction.model_validate({**prediction, "scoring": scoring}))
    after = Step(job=found) if isinstance(found, Job) else Step(judged=found)
    return after.model_dump(mode="json", exclude_defaults=True)


def following(prediction: Prediction) -> Job | Judged:
    """The next question to the judge, or the end of it."""
    scoring = prediction.scoring
    assert isinstance(scoring, JudgeScoring)
    if prediction.judging is None:
        return _question(prediction, scoring, Judging(answer=Answered(**_call(prediction))))
    answer, verdicts = prediction.judging.answer, prediction.judging.verdicts
    if prediction.outcome is Outcome.INFRA_ERROR:
        lost = answer.model_copy(update={"outcome": Outcome.INFRA_ERROR, "error": f"the judge: {prediction.error}"})
        return Judged(prediction=_own(prediction, lost, verdicts))
    verdict = _verdict(prediction, scoring, swapped=bool(verdicts))
    verdicts = [*verdicts, verdict]
    if verdict.score is None:
        return Judged(prediction=_own(prediction, answer, verdicts), detail=verdict.error)
    if scoring.pairwise and scoring.pairwise.swap and len(verdicts) == 1:
        return _question(prediction, scoring, Judging(answer=answer, verdicts=verdicts))
    score = agreed(verdicts)
    correct = score == 1 if scoring.pairwise else score >= scoring.threshold
    return Judged(prediction=_own(prediction, answer, verdicts), score=score, correct=correct)


def _question(prediction: Prediction, scoring: JudgeScoring, judging: Judging) -> Job | Judged:
    answer, verdicts = judging.answer, judging.verdicts
    values = rubrics.seen(scoring, prediction.hints, prediction.target, answer.output, swapped=bool(verdicts))
    try:
        messages = _templates(scoring.system, scoring.rubric).render(values, sorted(values))
    except TemplateError as error:
        # With the stand-in for an answer it could be rendered; with this one it cannot.
        detail = f"{'.'.join(map(str, error.loc))}: {error.msg}"
        return Judged(prediction=_own(prediction, answer, verdicts), detail=detail)
    return Job(
        **_sample(prediction) | {"model": prediction.judge, "judging": judging},
        messages=[ChatMessage(**message) for message in messages],
        params=scoring.generation.model_dump(mode="json", exclude_none=True),
    )


def _verdict(prediction: Prediction, scoring: JudgeScoring, *, swapped: bool) -> Verdict:
    score = error = None
    if prediction.outcome is Outcome.MODEL_ERROR:
        error = f"the judge's endpoint refused: {prediction.error}"
    else:
        try:
            score = read(prediction.output, scoring, swapped=swapped)
        except Unread as why:
            error = str(why)
    said = prediction.output
    return Verdict(
        output=said if len(said) <= MAX_KEPT else "…" + said[-MAX_KEPT:],
        score=score,
        error=error,
        usage=prediction.usage,
        attempts=prediction.attempts,
        latency_ms=prediction.latency_ms,
    )


def own(prediction: Prediction) -> Prediction:
    """The evaluated model's prediction, out of one that is for the judge."""
    judging = prediction.judging or Judging(answer=Answered(**_call(prediction)))
    return _own(prediction, judging.answer, judging.verdicts)


def _own(prediction: Prediction, answer: Answered, verdicts: list[Verdict]) -> Prediction:
    judging = Judging(answer=answer, verdicts=verdicts)
    return Prediction(**_sample(prediction) | _call(answer) | {"judging": judging})


def _sample(prediction: Prediction) -> dict[str, Any]:
    """What every message of the sample has in common."""
    own = {*Answered.model_fields, "judging"}
    return {name: getattr(prediction, name) for name in Prediction.model_fields if name not in own}


def _call(answered: Answered) -> dict[str, Any]:
    return {name: getattr(answered, name) for name in Answered.model_fields}


@lru_cache(maxsize=64)
def _templates(system: str | None, rubric: str) -> Templates:
    return rubrics.templates(JudgeScoring(scorer="judge", system=system, rubric=rubric))
