"""An evaluation's results, as they land."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from gateway import examples
from gateway.auth import VIEWER, CurrentRole, sees_targets
from gateway.case import find_case
from gateway.lookups import find_evaluation
from gateway.openapi import example, problems
from gateway.order import SORTED_SAMPLES, Sort, check, cursor_of, place_of
from gateway.paging import Cursor, Limit, cut
from gateway.parts import PartsOf
from gateway.rows import Filter, find_rows
from shared.api import Case, Page, Result
from shared.contracts import Outcome

router = APIRouter(tags=["evaluations"], responses=problems(400, 401, 403, 404, 422, 503))

Clip = Annotated[
    int | None,
    Query(ge=1, le=1_000_000, description="Cut longer texts to so many characters, the last of them an ellipsis."),
]

_FIELDS = {"environment": 1, "phase": 1, "samples_per_item": 1, "progress": 1, "hide_targets": 1}


@router.get(
    "/evaluations/{evaluation}/results",
    summary="One row a test case",
    dependencies=[VIEWER],
    responses=example(200, "In the order of the items", examples.page(examples.RESULT)),
)
async def list_results(
    evaluation: str,
    parts: PartsOf,
    role: CurrentRole,
    outcome: Annotated[list[Outcome] | None, Query(description="Only with these outcomes.")] = None,
    correct: Annotated[bool | None, Query(description="Only correct ones, or only others.")] = None,
    q: Annotated[
        str | None,
        Query(
            max_length=500,
            pattern=r"^[^\x00]*$",
            description="Part of item_id, input, target, prediction or output, whatever its case.",
        ),
    ] = None,
    sort: Annotated[
        Sort, Query(description=f"By latency up to {SORTED_SAMPLES:,} samples; `correct` puts wrong ones first.")
    ] = Sort.INDEX,
    clip: Clip = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Result]:
    """With several samples an item, filters and orders look at sample 0, and the others stand in the row's `samples`.

    Where the phase hides its targets, `target` is null and not searched, but for admins.
    """
    document = await find_evaluation(parts.database, evaluation, _FIELDS)
    check(sort, document["progress"]["total"])
    wanted = Filter(outcome or (), correct, q)
    rows = await find_rows(
        parts.database,
        document,
        wanted,
        sort,
        place_of(sort, cursor),
        limit + 1,
        clip,
        targets=sees_targets(role, document),
    )
    page, following = cut(rows, limit, lambda row: cursor_of(sort, row))
    return Page(items=page, next=following)


@router.get(
    "/evaluations/{evaluation}/results/{index}",
    summary="One test case in full",
    dependencies=[VIEWER],
    responses=example(200, "Its prompt and its samples", examples.CASE),
)
async def get_case(
    evaluation: str,
    index: Annotated[int, Path(ge=0, le=2**53, description="The `index` of its row.")],
    parts: PartsOf,
    role: CurrentRole,
    samples: Annotated[int, Query(ge=1, le=1000, description="How many of its samples, from the first.")] = 20,
    clip: Clip = None,
) -> Case:
    """The messages as sent, the gold answer (null where its phase hides it), and what came back of each sample, with its difference."""
    document = await find_evaluation(parts.database, evaluation, _FIELDS)
    targets = sees_targets(role, document)
    return await find_case(parts.database, document, index, samples, clip, targets=targets)
