"""An answer before its judge, step by step: a question, its verdict, perhaps a second question, the result. Pure; see docs/judging.md.

For a worker process: a rubric is a template that a user wrote, and a pattern may backtrack over what the judge wrote.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from services.scorer.verdicts import Unread, agreed, read
from shared import rubrics
from shared.contracts import Answered, ChatMessage, Job, Judging, Outcome, Prediction, Verdict
from shared.manifest import JudgeScoring
from shared.rendering import TemplateError, Templates

MAX_KEPT = 50_000
"""Characters of a judge's answer that are kept, its end, where the verdict is."""


@dataclass(frozen=True)
class Judged:
    """How an answer came off. `score` is in 0..1; `detail` says why it has none, and counts 0 then.

    `prediction` is that of the evaluated model, as it was, or an `infra_error` where the judge could not be asked.
    """

    prediction: Prediction
    verdicts: list[Verdict]
    score: float = 0.0
    correct: bool = False
    detail: str | None = None


def is_asked(prediction: Prediction) -> bool:
    """Whether this is for the judge: an answer that it has to be asked about, or what it said. The rest has nothing to judge."""
    answered = prediction.outcome is Outcome.SCORED
    return prediction.judging is not None or (isinstance(prediction.scoring, JudgeScoring) and answered)


def step(prediction: Prediction) -> Job | Judged:
    """The next question to the judge, or the end of it."""
    scoring = prediction.scoring
    assert isinstance(scoring, JudgeScoring)
    if prediction.judging is None:
        return _question(prediction, scoring, Judging(answer=Answered(**_call(prediction))))
    verdicts = prediction.judging.verdicts
    if prediction.outcome is Outcome.INFRA_ERROR:
        failed = _own(prediction).model_copy(
            update={"outcome": Outcome.INFRA_ERROR, "error": f"the judge: {prediction.error}"}
        )
        return Judged(failed, verdicts)
    verdict = _verdict(prediction, scoring, swapped=bool(verdicts))
    so_far = [*verdicts, verdict]
    if verdict.score is None:
        return Judged(_own(prediction), so_far, detail=verdict.error)
    if scoring.pairwise and scoring.pairwise.swap and len(so_far) == 1:
        return _question(prediction, scoring, Judging(answer=prediction.judging.answer, verdicts=so_far))
    score = agreed(so_far)
    correct = score == 1 if scoring.pairwise else score >= scoring.threshold
    return Judged(_own(prediction), so_far, score, correct)


def _question(prediction: Prediction, scoring: JudgeScoring, judging: Judging) -> Job | Judged:
    values = rubrics.seen(
        scoring, prediction.hints, prediction.target, judging.answer.output, swapped=bool(judging.verdicts)
    )
    fields = _sample(prediction) | {"model": prediction.judge, "judging": judging}
    try:
        messages = _templates(scoring.system, scoring.rubric).render(values, sorted(values))
    except TemplateError as error:
        # With the stand-in for an answer it could be rendered; with this one it cannot.
        detail = f"{'.'.join(map(str, error.loc))}: {error.msg}"
        return Judged(_own(prediction.model_copy(update={"judging": judging})), judging.verdicts, detail=detail)
    return Job(
        **fields,
        messages=[ChatMessage(**message) for message in messages],
        params=scoring.generation.model_dump(mode="json", exclude_none=True),
    )


def _verdict(prediction: Prediction, scoring: JudgeScoring, *, swapped: bool) -> Verdict:
    score = None
    error = None
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


def _own(prediction: Prediction) -> Prediction:
    """The prediction of the evaluated model that a judge's one carries."""
    assert prediction.judging is not None
    return Prediction(**_sample(prediction), **_call(prediction.judging.answer))


def _sample(prediction: Prediction) -> dict[str, Any]:
    """What every message of the sample has in common."""
    own = {*Answered.model_fields, "judging"}
    return {name: getattr(prediction, name) for name in Prediction.model_fields if name not in own}


def _call(answered: Answered) -> dict[str, Any]:
    return {name: getattr(answered, name) for name in Answered.model_fields}


@lru_cache(maxsize=64)
def _templates(system: str | None, rubric: str) -> Templates:
    return rubrics.templates(JudgeScoring(scorer="judge", system=system, rubric=rubric))
