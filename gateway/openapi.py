"""The contract: what FastAPI derives from the routes, and what it cannot know of problems and websockets."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field

from gateway.problems import MEDIA_TYPE
from shared.imports import IMPORT

DESCRIPTION = """Benchmarks live inference endpoints.

Register an **environment** (a benchmark) and **models**, start **evaluations**, follow their **events**, read results and files.

Timestamps are RFC 3339 UTC, durations end in `_s` (seconds) or `_ms` (milliseconds), rates are fractions 0..1. Errors are
`application/problem+json` (RFC 9457). Lists answer `{"items": [...], "next": cursor or null}`.

Events also come over websockets, each message one CloudEvents 1.0 JSON object with a `cursor`:
`/v1/events/ws?after=&evaluation=&type=` and `/v1/evaluations/{id}/events/ws?after=`. A key goes into `Authorization`, or, from a
browser, into the subprotocol `assay.bearer.<key>` (offer `assay.events` beside it). Close codes: 1000 the evaluation's log has
ended, 1012 the gateway stops, 1013 this client is too slow or a part does not answer (resume later), 4400 a bad parameter,
4404 no such evaluation, 4410 `after` is no longer kept, 4422 an unknown value.
"""

TAGS = [
    {"name": "environments", "description": "Benchmarks: their versions, test cases and leaderboards."},
    {"name": "models", "description": "What answers: endpoints and their limits."},
    {"name": "evaluations", "description": "One model run over one phase of one environment version."},
    {"name": "events", "description": "What happened, as history and live."},
    {"name": "parked", "description": "Messages that were set aside because they are themselves bad."},
    {"name": "health", "description": "Liveness and readiness."},
]

_MEANINGS = {
    400: "Broken JSON, a bad cursor",
    401: "No API key, or an unknown one",
    403: "The key's role is too low",
    404: "No such thing",
    409: "Against the state, or an Idempotency-Key that came with another body",
    410: "No longer kept",
    413: "Too large",
    422: "Understood, but wrong: `errors` says where and what",
    503: "A part does not answer; `detail` names it",
}


class WrongField(BaseModel):
    loc: list[str | int] = Field(examples=[["models", 0]])
    msg: str
    text: str | None = Field(default=None, description="The line of the file that this speaks of, where there is one.")


class ProblemBody(BaseModel):
    """RFC 9457."""

    type: str = Field(examples=["urn:assay:problem:notfound"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no evaluation 678"])
    errors: list[WrongField] | None = None


Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """`responses` of a route or router."""
    schema = {"$ref": "#/components/schemas/ProblemBody"}
    return {
        status: {"description": _MEANINGS[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses
    }


def example(status: int, description: str, value: Any) -> Responses:
    """`responses` with an example of the answer that succeeds."""
    return {status: {"description": description, "content": {"application/json": {"example": value}}}}


def install(app: FastAPI) -> None:
    """Make `/openapi.json` complete."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            body = ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            schemas.update({**body.pop("$defs"), "ProblemBody": body})
            options = IMPORT.json_schema(ref_template="#/components/schemas/{model}")
            schemas.update({**options.pop("$defs"), "Import": options})
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
