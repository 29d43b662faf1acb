"""Versions of a model's settings: what matters to its answers, limits or cost, counted from 1 and kept in its document. Pure."""

from datetime import datetime

from shared.storage.mongo import Document

_NAMES = (
    "base_url",
    "engine",
    "model",
    "api",
    "stream",
    "api_key_env",
    "max_concurrency",
    "concurrency_ceiling",
    "requests_per_minute",
    "timeout_s",
    "connect_timeout_s",
    "first_token_timeout_s",
    "token_timeout_s",
    "max_attempts",
    "price",
)
MOST = 500
"""Kept of one model, the newest: they are read with its document."""


def settings_in(document: Document) -> Document:
    """The settings that versions are of. Of a key only whether there is one: another in its place is no other setting. Where an engine
    answers is none either, since its launcher finds a new address at each start."""
    names = [name for name in _NAMES if not (name == "base_url" and document.get("engine"))]
    return {**{name: document.get(name) for name in names}, "api_key": document.get("api_key") is not None}


def first_version(document: Document) -> Document:
    """The fields of a document that is registered."""
    return {"settings_version": 1, "versions": [_version(1, document["created_at"], settings_in(document))]}


def next_version(before: Document, after: Document, at: datetime) -> Document:
    """The fields of a document that is changed; none where no setting is another."""
    settings = settings_in(after)
    if settings == settings_in(before):
        return {}
    known = before if before.get("versions") else {**before, **first_version(before)}
    number = known["settings_version"] + 1
    return {
        "settings_version": number,
        "versions": [*known["versions"], _version(number, at, settings)][-MOST:],
    }


def _version(number: int, at: datetime, settings: Document) -> Document:
    return {"version": number, "created_at": at, "settings": settings}
