"""Liveness and readiness."""

import asyncio
import json
from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from nats.errors import Error
from starlette.responses import JSONResponse

from gateway.openapi import problems
from gateway.parts import Parts, PartsOf
from gateway.problems import respond
from shared import subjects
from shared.errors import Unavailable
from shared.service import SERVICES

router = APIRouter(tags=["health"])

ASK_S = 4.5
"""A service takes up to 3 s to find out that a part of its own hangs; the answer must be there within 5."""


AGAIN_S = 0.4


class NotReady(Unavailable):
    title = "Not ready"


@router.get(
    "/healthz",
    summary="Whether the gateway lives",
    responses={200: {"content": {"application/json": {"example": {"status": "ok"}}}}},
)
async def healthz() -> dict[str, str]:
    """Says nothing about the other parts."""
    return {"status": "ok"}


@router.get("/readyz", summary="Whether every part answers", response_model=dict[str, Any], responses=problems(503))
async def readyz(parts: PartsOf) -> JSONResponse:
    """A round trip to each part, all at once, within 5 s. A service is ready when one replica of it finds all its parts."""
    states = await part_states(parts)
    failing = [f"{name} {state}" for name, state in states.items() if state != "ok"]
    if failing:
        return respond(NotReady("; ".join(failing)), parts=states)
    return JSONResponse({"status": "ready", "parts": states})


async def part_states(parts: Parts) -> dict[str, str]:
    """Each part by its name: `ok`, or what is wrong with it."""
    own, *services = await asyncio.gather(parts.service.health(), *(service_state(parts, name) for name in SERVICES))
    if any(state != "ok" for state in services):
        # What went away while the services were asked is the reason, and is to be named.
        with suppress(TimeoutError):
            own = await asyncio.wait_for(parts.service.health(), AGAIN_S)
    return {**own["parts"], **dict(zip(SERVICES, services, strict=True))}


async def service_state(parts: Parts, name: str) -> str:
    """`ok` as soon as one replica says so, else what the first one found wrong, or that none answers.

    Every replica answers, so one that hangs or is cut off does not hide those that work.
    """
    if not parts.connected:
        return "cannot be asked without nats"
    nc = parts.service.nc
    found: str | None = None
    try:
        async with asyncio.timeout(ASK_S):
            inbox = nc.new_inbox()
            answers = await nc.subscribe(inbox)
            try:
                await nc.publish(subjects.health(name), b"{}", reply=inbox)
                while True:
                    answer = await answers.next_msg(timeout=ASK_S)
                    if (answer.headers or {}).get("Status") == "503":
                        return "is not running"
                    wrong = [
                        f"{part} {state}" for part, state in json.loads(answer.data)["parts"].items() if state != "ok"
                    ]
                    if not wrong:
                        return "ok"
                    found = found or f"finds: {', '.join(wrong)}"
            finally:
                await answers.unsubscribe()
    except (TimeoutError, Error):
        return found or "does not answer"
