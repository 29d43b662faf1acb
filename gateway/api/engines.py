"""Engines: what a launcher can start a checkpoint with."""

from fastapi import APIRouter

from gateway import examples
from gateway.auth import VIEWER
from gateway.openapi import example, problems
from gateway.parts import PartsOf
from shared.api import Page
from shared.contracts import EngineTemplate

router = APIRouter(prefix="/engines", tags=["models"], responses=problems(401, 403, 422, 503))


@router.get(
    "",
    summary="List engines",
    dependencies=[VIEWER],
    responses=example(200, "By name", examples.page(examples.ENGINE)),
)
async def list_engines(parts: PartsOf) -> Page[EngineTemplate]:
    """The engines that a model's `engine.name` may name; `missing` says what has to be installed where one cannot be used."""
    answer = await parts.command("launcher", "engines", {})
    return Page(items=[EngineTemplate.model_validate(row) for row in answer["engines"]])
