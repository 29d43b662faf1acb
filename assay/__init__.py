"""Assay's SDK: `Client` and `AsyncClient`; `assay.errors` draws what they raise."""

from assay.aio import AsyncClient
from assay.client import Client
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
