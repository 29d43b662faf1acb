"""The versions of a model's settings as the API tells them."""

from datetime import UTC, datetime
from typing import Any

from gateway.settings_versions import settings_versions

AT = datetime(2026, 1, 2, tzinfo=UTC)


def row(version: int, **settings: Any) -> dict[str, Any]:
    return {"version": version, "created_at": AT, "settings": settings}


def test_each_version_says_what_it_changed_newest_first() -> None:
    known = [row(4, a=1, old=2), row(5, a=1, price={"input": 1}), row(6, a=None, price={"input": 1})]
    told = settings_versions({"versions": known})
    assert [(one.version, [change.model_dump() for change in one.changes]) for one in told] == [
        (6, [{"name": "a", "before": 1, "after": None}]),
        (5, [{"name": "price", "before": None, "after": {"input": 1}}, {"name": "old", "before": 2, "after": None}]),
        (4, []),
    ]
    assert told[0].settings == {"a": None, "price": {"input": 1}}


def test_a_model_without_any_has_none() -> None:
    assert settings_versions({}) == []
