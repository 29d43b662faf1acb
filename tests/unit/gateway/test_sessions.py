"""A browser's session: what it stands for, when it ends, and from where it is not taken."""

import time

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from gateway.auth import SESSION_COOKIE, SESSION_S, Guard, Keyring, Role, new_session
from gateway.web.sessions import local

KEYS = Keyring("viewer:look,runner:go,admin:all")


def session_of(key: str) -> str:
    session = new_session(KEYS, key)
    assert session
    return session


def test_a_session_has_the_role_of_its_key_until_it_is_over() -> None:
    now = time.time()
    for key, role in (("look", Role.VIEWER), ("go", Role.RUNNER), ("all", Role.ADMIN)):
        session = session_of(key)
        assert KEYS.role_of_session(session, now) is role
        assert KEYS.role_of_session(session, now + SESSION_S - 60) is role
        assert KEYS.role_of_session(session, now + SESSION_S + 60) is None


def test_an_unknown_key_gets_none_and_no_session_holds_its_key() -> None:
    assert new_session(KEYS, "other") is None
    assert new_session(KEYS, "") is None
    assert "look" not in session_of("look")


def test_a_key_that_is_taken_out_ends_its_sessions() -> None:
    session = session_of("go")
    assert Keyring("viewer:look,admin:all").role_of_session(session, time.time()) is None
    assert Keyring("runner:go2,admin:all").role_of_session(session, time.time()) is None


def test_a_forged_session_is_none() -> None:
    now = time.time()
    expires, _, signature = session_of("all").partition(".")
    later = str(int(expires) + 86400)
    forged = [
        f"{later}.{signature}",  # prolonged
        f"0{expires}.{signature}",
        f"{expires}.{signature[:-1]}",
        f"{expires}.{signature.upper()}",
        f"{expires}.{'0' * 64}",
        f"{expires}.",
        f"{expires}.\u00e9",
        f"-{expires}.{signature}",
        f"{later}e9.{signature}",
        f"\u0661{expires}.{signature}",  # a digit, but none of ASCII's
        f"{'9' * 5000}.{signature}",
        signature,
        ".",
        "",
    ]
    assert [session for session in forged if KEYS.role_of_session(session, now)] == []


@pytest.mark.parametrize("address", ["/", "/models", "/evaluations/12?tab=log#end", "/environments/a-b/evaluate"])
def test_signing_in_leads_on_within_the_site(address: str) -> None:
    assert local(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "//example.org",
        "///example.org",
        "/\\example.org",
        "/\t/example.org",  # browsers drop tabs and line ends from addresses
        "/\n/example.org",
        "\\\\example.org",
        "https://example.org",
        "javascript:alert(1)",
        "example.org",
        " //example.org",
        "",
    ],
)
def test_signing_in_leads_nowhere_else(address: str) -> None:
    assert local(address) == "/"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    state = Request(scope).state
    await JSONResponse({"role": state.role, "signed_in": state.signed_in})(scope, receive, send)


async def ask(method: str = "GET", path: str = "/models", session: str = "", **headers: str) -> httpx.Response:
    """What the guard lets through answers with the role that it found."""
    transport = httpx.ASGITransport(Guard(application, KEYS))
    cookies = {SESSION_COOKIE: session} if session else {}
    async with httpx.AsyncClient(transport=transport, base_url="https://assay.example", cookies=cookies) as client:
        return await client.request(method, path, headers=headers)


async def test_a_session_opens_pages_and_the_api() -> None:
    for path in ("/models", "/v1/models"):
        answer = await ask(path=path, session=session_of("go"))
        assert answer.json() == {"role": Role.RUNNER, "signed_in": True}


async def test_a_key_goes_before_the_session() -> None:
    answer = await ask(session=session_of("all"), Authorization="Bearer look")
    assert answer.json() == {"role": Role.VIEWER, "signed_in": False}
    assert (await ask(path="/v1/models", session=session_of("all"), Authorization="Bearer other")).status_code == 401


@pytest.mark.parametrize("session", ["", "1.abc", "nonsense"])
async def test_without_a_valid_session_a_page_leads_to_the_sign_in(session: str) -> None:
    answer = await ask(path="/compare?evaluations=1,2", session=session, Accept="text/html,*/*")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=/compare%3Fevaluations%3D1%2C2"
    # A program, and the API whoever asks, get a problem instead.
    assert (await ask(session=session)).status_code == 401
    assert (await ask(path="/v1/models", session=session, Accept="text/html")).status_code == 401


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://assay.example.evil", "https://assay.example:444", "null"]
)
async def test_a_session_is_not_taken_from_another_page(method: str, origin: str) -> None:
    answer = await ask(method, "/v1/models", session_of("all"), Origin=origin)
    assert answer.status_code == 403
    assert "Origin" in answer.json()["detail"]


async def test_a_session_is_taken_from_the_own_pages() -> None:
    assert (await ask("POST", "/v1/models", session_of("all"), Origin="https://assay.example")).status_code == 200
    # What changes nothing may be asked for from anywhere: the other page cannot read the answer.
    assert (await ask("GET", "/models", session_of("all"), Origin="https://evil.example")).status_code == 200


async def test_signing_in_needs_no_session() -> None:
    for path in ("/sign-in", "/static/x/base.css"):
        assert (await ask(path=path)).json() == {"role": None, "signed_in": False}
