"""Keys, roles, and what keeps foreign pages out."""

import pytest
from pydantic import SecretStr
from starlette.datastructures import Headers

from gateway.auth import Keyring, Role, SetupError, check_settings, chosen_subprotocol, foreign, given_key
from shared.networks import is_loopback
from shared.settings import Settings


def test_keys_have_roles() -> None:
    keys = Keyring("viewer:look, RUNNER:go:with:colons ,admin:all")
    assert keys.role("look") is Role.VIEWER
    assert keys.role("go:with:colons") is Role.RUNNER
    assert keys.role("all") is Role.ADMIN
    assert keys.role("other") is None


def test_no_keys_are_no_auth() -> None:
    assert not Keyring("")
    assert not Keyring("  ")


def test_keys_are_kept_as_hashes_only() -> None:
    assert "very-secret" not in repr(vars(Keyring("admin:very-secret")))


@pytest.mark.parametrize(
    ("configured", "place"),
    [
        ("very-secret", 1),
        ("admin:", 1),
        ("root:very-secret", 1),
        ("admin:fine,very-secret", 2),
        ("admin:fine,", 2),
        (",", 1),
    ],
)
def test_a_bad_entry_is_named_by_its_place_and_not_shown(configured: str, place: int) -> None:
    with pytest.raises(SetupError) as caught:
        Keyring(configured)
    assert f"entry {place} " in str(caught.value)
    assert "ASSAY_API_KEYS" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "fine" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1", "[::1]", "assay.localhost"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)
    assert not check_settings(Settings(host=host, api_keys=SecretStr("")))


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.168.1.5", "example.org", "127.0.0.1.example.org"])
def test_other_addresses_need_keys(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(SetupError, match="ASSAY_API_KEYS"):
        check_settings(Settings(host=host, api_keys=SecretStr("")))
    assert check_settings(Settings(host=host, api_keys=SecretStr("admin:key")))


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"host": "127.0.0.1:8080"}),
        ("POST", {"host": "localhost:8080"}),
        ("POST", {"host": "localhost:8080", "origin": "http://localhost:8080"}),
        (None, {"host": "[::1]:8080", "origin": "http://[::1]:8080"}),
        ("GET", {"host": "localhost:8080", "origin": "https://example.org"}),
    ],
)
def test_own_requests(method: str | None, headers: dict[str, str]) -> None:
    assert foreign(method, Headers(headers)) is None


@pytest.mark.parametrize(
    ("method", "headers", "named"),
    [
        ("GET", {"host": "example.org"}, "Host"),
        ("GET", {"host": "[broken"}, "Host"),
        ("GET", {}, "Host"),
        (None, {"host": "rebound.example.org:8080"}, "Host"),
        ("POST", {"host": "localhost:8080", "origin": "https://example.org"}, "Origin"),
        ("DELETE", {"host": "localhost:8080", "origin": "http://localhost:3000"}, "Origin"),
        ("POST", {"host": "localhost:8080", "origin": "null"}, "Origin"),
        (None, {"host": "localhost:8080", "origin": "https://example.org"}, "Origin"),
    ],
)
def test_requests_of_foreign_pages(method: str | None, headers: dict[str, str], named: str) -> None:
    assert named in (foreign(method, Headers(headers)) or "")


def test_where_a_key_is_given() -> None:
    assert given_key(Headers({"authorization": "Bearer abc"}), []) == "abc"
    assert given_key(Headers({"authorization": "bearer  abc "}), []) == "abc"
    assert given_key(Headers({}), ["assay.events", "assay.bearer.abc"]) == "abc"
    assert given_key(Headers({"authorization": "Basic abc"}), []) is None
    assert given_key(Headers({"authorization": "Bearer "}), []) is None
    assert given_key(Headers({}), []) is None


def test_a_subprotocol_that_was_offered_is_chosen() -> None:
    assert chosen_subprotocol(["assay.bearer.abc", "assay.events"]) == "assay.events"
    assert chosen_subprotocol(["assay.bearer.abc"]) == "assay.bearer.abc"
    assert chosen_subprotocol([]) is None
    assert chosen_subprotocol(["mqtt"]) is None
