"""`/evaluations/{ref}/cases`: Detailed Results, a row a test case, and `/cases/{index}`, one of them in full."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from gateway.api.results import get_case, list_results
from gateway.auth import CurrentRole
from gateway.order import SORTED_SAMPLES, Sort
from gateway.paging import encode
from gateway.parts import PartsOf
from gateway.web.evaluation import frame
from gateway.web.render import page
from shared import texts
from shared.api import Case, CaseSample, Evaluation, Result, SampleRow
from shared.contracts import Outcome
from shared.errors import FieldError, Invalid

router = APIRouter(include_in_schema=False)

ROWS = 50
CELL_CHARS = 300
TEXT_CHARS = 20_000
SAMPLES = 20
MOST_Q = 500

OUTCOMES = {
    Outcome.SCORED: "Answered",
    Outcome.NO_ANSWER: "No answer",
    Outcome.MODEL_ERROR: "Model error",
    Outcome.INFRA_ERROR: "Not called",
}
CORRECT = {"true": "Correct", "false": "Not correct"}
SORTS = {
    Sort.INDEX: "In the order of the data",
    Sort.WRONG_FIRST: "Not correct first",
    Sort.RIGHT_FIRST: "Correct first",
    Sort.SLOWEST: "Slowest first",
    Sort.LATENCY: "Fastest first",
}


@router.get("/evaluations/{reference}/cases")
async def show_cases(
    reference: str,
    request: Request,
    parts: PartsOf,
    role: CurrentRole,
    outcome: str = "",
    correct: str = "",
    q: str = "",
    sort: str = "",
    cursor: str = "",
    start: Annotated[str, Query(alias="from")] = "",
) -> Response:
    """`from` is a row's number, from 1, where nothing is filtered; an empty value is the same as none, as forms send it."""
    values = await frame(parts, reference)
    evaluation: Evaluation = values["evaluation"]
    asked = {
        "outcome": one_of("outcome", outcome, OUTCOMES),
        "correct": one_of("correct", correct, CORRECT),
        "q": text_of(q),
        "sort": one_of("sort", sort, SORTS) or str(Sort.INDEX),
    }
    plain = not (asked["outcome"] or asked["correct"] or asked["q"]) and asked["sort"] == Sort.INDEX
    first = min(max(int(start), 1), 10**15) if plain and start.isdecimal() and len(start) < 16 else None
    found = await list_results(
        evaluation.id,
        parts,
        role,
        outcome=[Outcome(asked["outcome"])] if asked["outcome"] else None,
        correct=asked["correct"] == "true" if asked["correct"] else None,
        q=asked["q"] or None,
        sort=Sort(asked["sort"]),
        clip=CELL_CHARS,
        limit=ROWS,
        cursor=encode(first - 2) if first else cursor or None,
    )
    items = evaluation.progress.total // evaluation.samples_per_item
    return page(
        request,
        "evaluation_cases.html",
        tab="cases",
        **values,
        asked=asked,
        rows=[(row, *state(row, row.samples)) for row in found.items],
        following=address(values["base"], asked, cursor=found.next) if found.next else None,
        back=back(values["base"], found.items[0].index) if plain and found.items else None,
        begun=bool(cursor or first),
        plain=plain,
        items=items,
        sortable=evaluation.progress.total <= SORTED_SAMPLES,
        sorted_samples=SORTED_SAMPLES,
        outcomes=[(str(key), title, getattr(evaluation.progress, key)) for key, title in OUTCOMES.items()],
        corrects=CORRECT,
        sorts=sorts(evaluation),
        order=lambda sort: address(values["base"], {**asked, "sort": sort}),
    )


@router.get("/evaluations/{reference}/cases/{index}")
async def show_case(reference: str, index: int, request: Request, parts: PartsOf, role: CurrentRole) -> Response:
    values = await frame(parts, reference)
    case = await get_case(values["evaluation"].id, max(index, 0), parts, role, samples=SAMPLES, clip=TEXT_CHARS)
    items = values["evaluation"].progress.total // values["evaluation"].samples_per_item
    return page(
        request,
        "evaluation_case.html",
        tab="cases",
        **values,
        case=case,
        verdict=state(case.samples[0], list(case.samples)),
        samples=[(sample, *state(sample, None)) for sample in case.samples],
        items=items,
        facts=sample_facts,
        columns=columns(case),
    )


def one_of(name: str, value: str, known: Mapping[Any, str]) -> str:
    """A value of a filter, or none; raises `Invalid` for one that is not known."""
    if value and value not in {str(key) for key in known}:
        error: FieldError = {"loc": [name], "msg": f"must be one of {', '.join(map(str, known))}"}
        raise Invalid(f"{name} {error['msg']}", [error])
    return value


def text_of(q: str) -> str:
    """What is looked for; raises `Invalid` where it is too long, or has what no text in the database can have."""
    if len(q) > MOST_Q or "\0" in q:
        error: FieldError = {"loc": ["q"], "msg": f"must be at most {MOST_Q} characters, without NUL"}
        raise Invalid(f"q {error['msg']}", [error])
    return q


def sorts(evaluation: Evaluation) -> list[tuple[str, str]]:
    """The orders that this evaluation can be shown in."""
    few = evaluation.progress.total <= SORTED_SAMPLES
    return [(str(sort), title) for sort, title in SORTS.items() if few or "latency" not in sort]


def address(base: str, asked: Mapping[str, str], **more: str) -> str:
    """The address of these rows; what is at its default is left out."""
    given = {name: value for name, value in {**asked, **more}.items() if value and (name, value) != ("sort", "index")}
    return f"{base}/cases?{urlencode(given)}" if given else f"{base}/cases"


def back(base: str, index: int) -> str | None:
    """The page before the one that begins with this index, where nothing is filtered."""
    if index <= 0:
        return None
    return f"{base}/cases?from={max(index - ROWS, 0) + 1}"


def state(first: Result | SampleRow, samples: list[SampleRow] | None) -> tuple[str, str, str]:
    """How a row or a sample is marked: a class, a sign, words. Of several samples it says how many are correct."""
    if samples is None or len(samples) < 2:
        if first.outcome == Outcome.SCORED:
            if first.correct is None:
                return "open", "\u2013", OUTCOMES[Outcome.SCORED]
            return ("hit", "\u2713", "Correct") if first.correct else ("miss", "\u2715", "Wrong")
        kind = "open" if first.outcome == Outcome.INFRA_ERROR else "miss"
        return kind, "\u2013" if kind == "open" else "\u2715", OUTCOMES[first.outcome]
    called = [sample for sample in samples if sample.outcome != Outcome.INFRA_ERROR]
    hits = sum(bool(sample.correct) for sample in called)
    if not called:
        return "open", "\u2013", OUTCOMES[Outcome.INFRA_ERROR]
    if any(sample.correct is None for sample in called):
        return "open", "\u2013", f"{len(called)} answers"
    kind = "hit" if hits == len(called) else "miss"
    return kind, "\u2713" if kind == "hit" else "\u25d0" if hits else "\u2715", f"{hits} of {len(called)} correct"


def columns(case: Case) -> str | None:
    """The data's other columns as `name: value`, or None where it has none."""
    return ", ".join(f"{name}: {value}" for name, value in case.metadata.items()) or None


def sample_facts(sample: CaseSample) -> list[tuple[str, str]]:
    """A sample's figures as (term, value)."""
    usage = sample.usage
    return [
        *((name.replace("_", " "), texts.plain(value)) for name, value in sorted(sample.scores.items())),
        ("Latency", texts.duration(sample.latency_ms)),
        *([("First token", texts.duration(sample.ttft_ms))] if sample.ttft_ms is not None else []),
        ("Attempts", texts.count(sample.attempts)),
        ("Finish reason", sample.finish_reason or "\u2014"),
        ("Tokens in", texts.count(usage.prompt_tokens if usage else None)),
        ("Tokens out", texts.count(usage.completion_tokens if usage else None)),
        *([("Round", texts.count(sample.round))] if sample.round else []),
    ]
