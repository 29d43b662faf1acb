"""The JSON Schema of what people write: editors and programs check an `environment.yaml` with it."""

from functools import cache
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from shared.manifest import json_schema

router = APIRouter(prefix="/schemas", tags=["environments"])

MEDIA_TYPE = "application/schema+json"


@cache
def _environment() -> JSONResponse:
    # A day: an editor asks for it with each file that it opens.
    return JSONResponse(json_schema(), media_type=MEDIA_TYPE, headers={"Cache-Control": "public, max-age=86400"})


@router.get(
    "/environment.json",
    summary="The JSON Schema of environment.yaml",
    response_class=JSONResponse,
    responses={200: {"content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}},
)
async def environment_schema() -> Any:
    """Needs no key. An editor with a YAML language server takes it from a first line `# yaml-language-server: $schema=<this address>`."""
    return _environment()
