"""Every error as `application/problem+json` (RFC 9457), whoever raised it.

Beside `shared.errors` the gateway has three problems of HTTP alone: 401, 403 and 410.
"""

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from shared.errors import BadRequest, FieldError, Invalid, NotFound, Problem, TooLarge, Unavailable
from shared.storage.mongo import OUTAGES
from shared.storage.objects import ObjectStoreError

logger = logging.getLogger("assay.gateway")

MEDIA_TYPE = "application/problem+json"

RETRY_AFTER_S = 2
"""What dies is started again within about this time."""


class Unauthorized(Problem):
    status, title = 401, "Not authenticated"


class Forbidden(Problem):
    status, title = 403, "Not allowed"


class Gone(Problem):
    status, title = 410, "No longer available"


class MethodNotAllowed(Problem):
    status, title = 405, "Method not allowed"


_OF_HTTP: dict[int, type[Problem]] = {
    kind.status: kind for kind in (BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, TooLarge, Invalid)
}


def respond(problem: Problem, *, headers: Mapping[str, str] | None = None, **more: Any) -> JSONResponse:
    """The answer to a problem; `more` are further members of its body."""
    added = dict(headers or {})
    if problem.status == 401:
        added["WWW-Authenticate"] = 'Bearer realm="assay"'
    if problem.status == 503:
        added["Retry-After"] = str(RETRY_AFTER_S)
    return JSONResponse({**problem.as_dict(), **more}, problem.status, added, MEDIA_TYPE)


def from_request_validation(errors: Any) -> Problem:
    """What FastAPI found wrong with a request, never with the input itself: it may hold a secret.

    `loc` names the field alone (`["models", 0]`, `["limit"]`), without FastAPI's `body` or `query` before it.
    """
    for error in errors:
        if error["type"] == "json_invalid":
            return BadRequest(f"the body is not JSON: {error['ctx']['error']} at character {error['loc'][-1]}")
    found: list[FieldError] = [
        {"loc": list(error["loc"][1:]), "msg": error["msg"].removeprefix("Value error, ")} for error in errors
    ]
    told = [f"{'.'.join(map(str, error['loc'])) or 'the body'}: {error['msg']}" for error in found]
    return Invalid("; ".join(told), found)


def from_exception(error: Exception) -> Problem:
    """The problem that an exception stands for; anything unforeseen is a 500 that tells nothing of the inside."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, OUTAGES):
        return Unavailable("mongodb does not answer")
    if isinstance(error, ObjectStoreError):
        return Unavailable(f"objects: {error}")
    return Problem("something unforeseen went wrong; the gateway's log says what")


Show = Callable[[Request, Problem], Response]
"""A problem as whoever asked wants it: JSON, or a page."""


def install(app: FastAPI, show: Show) -> None:
    """Register the handlers. What is unforeseen is left to `gateway.exchange`, which also logs it."""

    async def known(request: Request, error: Exception) -> Response:
        problem = from_exception(error)
        if problem.status >= 500:
            cause = error.__cause__ or error
            text = "%s %s: %d %s (%s)"
            logger.warning(text, request.method, request.url.path, problem.status, problem.detail, type(cause).__name__)
        return show(request, problem)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return show(request, from_request_validation(error.errors()))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = _OF_HTTP.get(error.status_code)
        if kind is NotFound:
            return show(request, NotFound(f"there is no {request.url.path}"))
        if kind is MethodNotAllowed:
            allowed = (error.headers or {}).get("Allow", "")
            detail = f"{request.method} is not possible here, only {allowed}"
            return respond(MethodNotAllowed(detail), headers=error.headers)
        if kind is None:
            title = HTTPStatus(error.status_code).phrase
            body = {"type": "about:blank", "title": title, "status": error.status_code, "detail": error.detail}
            return JSONResponse(body, error.status_code, error.headers, MEDIA_TYPE)
        return respond(kind(error.detail), headers=error.headers)

    for kind in (Problem, ObjectStoreError, *OUTAGES):
        app.add_exception_handler(kind, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
