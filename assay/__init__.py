"""Assay's SDK: `Client` and `AsyncClient`; `assay.errors` draws what they raise."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from assay.errors import (
    ApiError,
    AssayError,
    BadRequest,
    ChecksumMismatch,
    Conflict,
    ConnectionFailed,
    Forbidden,
    Gone,
    Invalid,
    InvalidInput,
    NotFound,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)

if TYPE_CHECKING:
    from assay.aio import AsyncClient
    from assay.client import Client

__all__ = [
    "ApiError",
    "AssayError",
    "AsyncClient",
    "BadRequest",
    "ChecksumMismatch",
    "Client",
    "Conflict",
    "ConnectionFailed",
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
]

_CLIENTS = {"AsyncClient": "assay.aio", "Client": "assay.client"}


def __getattr__(name: str) -> Any:
    """The clients, imported when first used: what they stand on would add half to the time that the sample endpoint takes to start."""
    if name not in _CLIENTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_CLIENTS[name]), name)
