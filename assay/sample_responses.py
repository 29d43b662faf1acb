"""Responses of the sample endpoint that are no answer of a model."""

from typing import Any

import orjson
from aiohttp import web
from pydantic import ValidationError


class Refused(Exception):
    """Raised where a request is refused, with the response that says why."""

    def __init__(self, response: web.Response) -> None:
        self.response = response


def json_response(data: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(data), status=status, content_type="application/json")


def error_response(
    status: int, message: str, *, code: str | None = None, param: str | None = None, kind: str = "invalid_request_error"
) -> web.Response:
    return json_response({"error": {"message": message, "type": kind, "param": param, "code": code}}, status)


def first_wrong(error: ValidationError) -> tuple[str, str]:
    """The first wrong field (empty where it is the whole) and a message that names it."""
    first = error.errors(include_url=False, include_context=False)[0]
    name = ".".join(map(str, first["loc"]))
    return name, f"{name}: {first['msg']}" if name else first["msg"]
