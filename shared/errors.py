"""The error family.

    AssayError
    +-- Problem                 something to tell the caller, with an HTTP status (RFC 9457)
    |   +-- BadRequest          400  broken JSON, a bad cursor
    |   +-- NotFound            404  an unknown id
    |   +-- Conflict            409  against the state, or an Idempotency-Key used for another body
    |   +-- TooLarge            413
    |   +-- Invalid             422  understood, but wrong: `errors` says where and what
    |   +-- Unavailable         503  a part of Assay does not answer; names the part
    +-- LostOwnership           another orchestrator has taken this evaluation over

A `Problem` crosses the broker as `reply_problem` and is raised again on the other side by `raise_problem`.
"""

from typing import Any, NotRequired, TypedDict


class FieldError(TypedDict):
    """One wrong thing: `loc` is where (`["models", 0]`, `["bundle", "dev.jsonl", 12, "answer"]`), `msg` what would be right.

    `text` is the line of the file that it speaks of, where there is one; somebody else wrote it.
    """

    loc: list[str | int]
    msg: str
    text: NotRequired[str]


class AssayError(Exception):
    """Everything that Assay raises on purpose."""


class LostOwnership(AssayError):
    """A write to an evaluation matched no document with this epoch."""


class Problem(AssayError):
    """An error that a caller sees. `detail` is one sentence for a person; `errors` lists single fields."""

    status = 500
    title = "Internal error"

    def __init__(self, detail: str, errors: list[FieldError] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []

    def as_dict(self) -> dict[str, Any]:
        """The body of an `application/problem+json` answer."""
        body: dict[str, Any] = {
            "type": f"urn:assay:problem:{type(self).__name__.lower()}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = self.errors
        return body


class BadRequest(Problem):
    status, title = 400, "Bad request"


class NotFound(Problem):
    status, title = 404, "Not found"


class Conflict(Problem):
    status, title = 409, "Conflict"


class TooLarge(Problem):
    status, title = 413, "Too large"


class Invalid(Problem):
    status, title = 422, "Invalid input"


class Unavailable(Problem):
    status, title = 503, "Temporarily unavailable"


_BY_STATUS = {kind.status: kind for kind in (BadRequest, NotFound, Conflict, TooLarge, Invalid, Unavailable)}


def raise_problem(body: dict[str, Any]) -> None:
    """Raise again what `Problem.as_dict` made, with its own class."""
    raise _BY_STATUS.get(body["status"], Problem)(body["detail"], body.get("errors"))


def from_validation(errors: Any, prefix: list[str | int] | None = None) -> list[FieldError]:
    """Pydantic's `ValidationError.errors()` as field errors, without the input: it may hold a secret."""
    return [
        {"loc": [*(prefix or []), *error["loc"]], "msg": error["msg"].removeprefix("Value error, ")} for error in errors
    ]
