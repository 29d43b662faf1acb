"""Leaderboards: read from MongoDB; where evaluations are put there by hand, the orchestrator does it."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from gateway import examples
from gateway.api.environments import Phase
from gateway.auth import RUNNER, VIEWER
from gateway.boards import find_board
from gateway.lookups import find_environment, find_evaluation
from gateway.openapi import example, problems
from gateway.paging import Cursor, Limit, decode, encode
from gateway.parts import PartsOf
from shared.api import Evaluation, LeaderboardAnswer
from shared.board_csv import csv_of

router = APIRouter(responses=problems(400, 401, 403, 404, 422, 503))

_CSV = {"text/csv": {"schema": {"type": "string"}}}
_RANKED: dict[int | str, dict[str, Any]] = example(200, "Best first", examples.LEADERBOARD)
_RANKED[200]["content"] |= _CSV
_ONE = example(200, "The evaluation", examples.EVALUATION)


@router.get(
    "/environments/{slug}/leaderboard",
    tags=["environments"],
    summary="Ranked evaluations of a phase",
    response_model=LeaderboardAnswer,
    dependencies=[VIEWER],
    responses=_RANKED,
)
async def get_leaderboard(
    slug: str,
    parts: PartsOf,
    phase: Phase = None,
    as_: Annotated[
        Literal["json", "csv"] | None,
        Query(alias="format", description="`csv`: all rows, whatever `limit` says; also by `Accept: text/csv`."),
    ] = None,
    accept: Annotated[str, Header()] = "",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """Best first, by the environment's `submission_rule`. Evaluations of other versions or of a part of the phase come last, unranked."""
    board = await find_board(parts.database, await find_environment(parts.database, slug), phase)
    if as_ == "csv" or (as_ is None and accept.split(",")[0].strip().lower().startswith("text/csv")):
        name = f"{board.environment['slug']}-{board.phase}-leaderboard.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Vary": "Accept"}
        return Response(csv_of(board.columns, board.rows), headers=headers, media_type="text/csv; charset=utf-8")
    start = 0 if cursor is None else max(0, decode(cursor, int)[0])
    page = board.rows[start:][:limit]
    end = start + len(page)
    return LeaderboardAnswer(
        environment=board.environment["slug"],
        phase=board.phase,
        version=board.environment["version"],
        submission_rule=board.leaderboard.submission_rule,
        columns=board.columns,
        items=page,
        next=encode(end) if end < len(board.rows) else None,
    )


@router.post(
    "/evaluations/{evaluation}/leaderboard",
    tags=["evaluations"],
    summary="Put an evaluation on the leaderboard",
    dependencies=[RUNNER],
    responses={**_ONE, **problems(409)},
)
async def put_on_leaderboard(evaluation: str, parts: PartsOf) -> Evaluation:
    """Where the environment's `submission_rule` is `add` or `add_and_delete`; it takes the place of another one of the same model."""
    return await _ask(parts, evaluation, "leaderboard.put_on")


@router.delete(
    "/evaluations/{evaluation}/leaderboard",
    tags=["evaluations"],
    summary="Take an evaluation off the leaderboard",
    dependencies=[RUNNER],
    responses={**_ONE, **problems(409)},
)
async def take_off_leaderboard(evaluation: str, parts: PartsOf) -> Evaluation:
    """Where the environment's `submission_rule` is `add_and_delete`."""
    return await _ask(parts, evaluation, "leaderboard.take_off")


async def _ask(parts: PartsOf, evaluation: str, verb: str) -> Evaluation:
    document = await find_evaluation(parts.database, evaluation, {"_id": 1})
    return Evaluation.model_validate(await parts.command("orchestrator", verb, {"id": document["_id"]}))
