"""An evaluation's results, as they land."""

from typing import Annotated

from fastapi import APIRouter, Query

from gateway import examples
from gateway.auth import VIEWER
from gateway.lookups import find_evaluation
from gateway.openapi import example, problems
from gateway.paging import Cursor, Limit, cut, decode, encode
from gateway.parts import PartsOf
from gateway.rows import Filter, find_rows
from shared.api import Page, Result
from shared.contracts import Outcome

router = APIRouter(tags=["evaluations"], responses=problems(400, 401, 403, 404, 422, 503))

_FIELDS = {"environment": 1, "phase": 1, "samples_per_item": 1, "progress": 1}


@router.get(
    "/evaluations/{evaluation}/results",
    summary="One row a test case",
    dependencies=[VIEWER],
    responses=example(200, "In the order of the items", examples.page(examples.RESULT)),
)
async def list_results(
    evaluation: str,
    parts: PartsOf,
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
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Result]:
    """With several samples an item, filters look at sample 0, and the others stand in the row's `samples`."""
    document = await find_evaluation(parts.database, evaluation, _FIELDS)
    after = -1 if cursor is None else decode(cursor, int)[0]
    wanted = Filter(outcome or (), correct, q)
    rows = await find_rows(parts.database, document, wanted, after, limit + 1)
    page, following = cut(rows, limit, lambda row: encode(row.index))
    return Page(items=page, next=following)
