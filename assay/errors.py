"""What the SDK raises.

AssayError                  everything on purpose
+-- InvalidInput            wrong before anything was sent: an address, an id, a bundle folder (a ValueError, too)
+-- ConnectionFailed        no gateway answers, or the connection was lost and did not come back
+-- UnexpectedAnswer        something answers at that address, but it does not speak Assay's API
+-- ChecksumMismatch        a downloaded file is not the one on the list
+-- TimedOut                what was waited for has not happened in time (a TimeoutError, too)
+-- ApiError                the gateway said no (RFC 9457): `status`, `title`, `detail`, `errors`
    +-- BadRequest          400
    +-- Unauthorized        401  no key, or an unknown one
    +-- Forbidden           403  the key's role may not do this
    +-- NotFound            404
    +-- Conflict            409  against the state
    +-- Gone                410  an event cursor too old to be resumed
    +-- TooLarge            413
    +-- Invalid             422  `errors` says where and what would be right
    +-- Unavailable         502, 503, 504  a part of Assay does not answer
"""

import json
from typing import Any

from shared.errors import AssayError, FieldError

__all__ = [
    "ApiError",
    "AssayError",
    "BadRequest",
    "ChecksumMismatch",
    "Conflict",
    "ConnectionFailed",
    "FieldError",
    "Forbidden",
    "Gone",
    "Invalid",
    "InvalidInput",
    "NotFound",
    "TimedOut",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
    "api_error",
]


class InvalidInput(AssayError, ValueError):
    """Wrong before anything was sent; `errors` as in `ApiError`."""

    def __init__(self, detail: str, errors: list[FieldError] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []


class ConnectionFailed(AssayError):
    """No gateway answers at the address."""


class UnexpectedAnswer(AssayError):
    """The answer is not one of Assay's."""


class ChecksumMismatch(AssayError):
    """A download whose sha256 or size is not the listed one; nothing was left at the destination."""


class TimedOut(AssayError, TimeoutError):
    """Nothing is wrong; it only takes longer than the caller wanted to wait."""


class ApiError(AssayError):
    """A refusal by the gateway. `errors` lists single fields as `{loc, msg}`."""

    def __init__(self, status: int, title: str, detail: str, errors: list[FieldError] | None = None) -> None:
        super().__init__(detail or title)
        self.status = status
        self.title = title
        self.detail = detail or title
        self.errors = errors or []


class BadRequest(ApiError):
    """400"""


class Unauthorized(ApiError):
    """401"""


class Forbidden(ApiError):
    """403"""


class NotFound(ApiError):
    """404"""


class Conflict(ApiError):
    """409"""


class Gone(ApiError):
    """410, and close code 4410 of a websocket."""


class TooLarge(ApiError):
    """413"""


class Invalid(ApiError):
    """422"""


class Unavailable(ApiError):
    """502, 503, 504"""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    422: Invalid,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def api_error(status: int, body: bytes | str, reason: str = "") -> ApiError:
    """The error for a refusal. `body` is `application/problem+json`; anything else, such as a proxy's page, keeps only status and reason."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    title = str(problem.get("title") or reason or f"HTTP {status}")
    errors = [_field_error(error) for error in problem.get("errors") or [] if isinstance(error, dict)]
    return _BY_STATUS.get(status, ApiError)(status, title, str(problem.get("detail") or ""), errors)


def _field_error(error: dict[str, Any]) -> FieldError:
    read = FieldError(loc=list(error.get("loc", [])), msg=str(error.get("msg", "")))
    if isinstance(error.get("text"), str):
        read["text"] = error["text"]
    return read
