"""Signing in, in a browser, where the gateway asks for keys."""

import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Browser, expect

import assay
from deploy.embedded.stack import Stack
from gateway.auth import SESSION_COOKIE
from tests.pages.visitor import Visitor
from tests.running import WORD_PROBLEMS

KEYS = {"viewer": "look-only", "runner": "may-run", "admin": "may-all"}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a stack with a key for each role, and the sample environment in it."""
    configured = ",".join(f"{role}:{key}" for role, key in KEYS.items())
    stack = Stack(tmp_path_factory.mktemp("locked"), port=0, predictors=1, environment={"ASSAY_API_KEYS": configured})
    stack.up()
    try:
        with assay.Client(stack.url, KEYS["admin"]) as client:
            client.environments.push(WORD_PROBLEMS)
        yield stack.url
    finally:
        stack.down()


@pytest.fixture
def visitor(browser: Browser, locked: str) -> Iterator[Visitor]:
    visitor = Visitor(browser, locked)
    yield visitor
    visitor.close()


def sign_in(visitor: Visitor, key: str) -> None:
    """From the page for it."""
    visitor.page.get_by_label("API key").fill(key)
    visitor.page.get_by_role("button", name="Sign in").click()


def test_who_signs_in_comes_where_they_were_going(visitor: Visitor, locked: str) -> None:
    page = visitor.go("/environments/word-problems?from=a%26b")
    expect(page).to_have_url(re.compile(r"/sign-in\?next="))
    sign_in(visitor, KEYS["viewer"])
    expect(page).to_have_url(f"{locked}/environments/word-problems?from=a%26b")
    expect(page.get_by_role("heading", level=1, name="Word problems")).to_be_visible()


def test_a_wrong_key_gets_a_message_and_no_session(visitor: Visitor) -> None:
    visitor.expected = ["401"]
    page = visitor.go("/models")
    sign_in(visitor, "guessed")
    expect(page.get_by_text("This API key is not known.")).to_be_visible()
    expect(page.get_by_label("API key")).to_have_attribute("aria-invalid", "true")
    assert visitor.context.cookies() == []
    # And the right one still leads on.
    sign_in(visitor, KEYS["admin"])
    expect(page).to_have_url(re.compile("/models$"))


def test_the_key_never_reaches_a_script(visitor: Visitor) -> None:
    page = visitor.go("/")
    sign_in(visitor, KEYS["admin"])
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    (cookie,) = [cookie for cookie in visitor.context.cookies() if cookie.get("name") == SESSION_COOKIE]
    assert cookie.get("httpOnly") is True
    assert cookie.get("sameSite") == "Strict"
    assert KEYS["admin"] not in str(cookie)
    assert KEYS["admin"] not in page.content()
    assert page.evaluate("document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)") == "{}{}"


def test_a_viewer_sees_what_there_is_and_nothing_to_start(visitor: Visitor) -> None:
    page = visitor.go("/environments/word-problems")
    sign_in(visitor, KEYS["viewer"])
    expect(page.get_by_role("heading", level=1, name="Word problems")).to_be_visible()
    expect(page.get_by_text("wp-001")).to_be_visible()
    visitor.go("/environments/word-problems/evaluate")
    expect(page.get_by_role("heading", name="Select a model to evaluate")).to_be_visible()
    expect(page.get_by_role("button", name="Run Evaluation")).to_have_count(0)
    visitor.go("/")
    expect(page.locator("input[type=file]")).to_have_count(0)


@pytest.mark.parametrize("role", ["runner", "admin"])
def test_a_runner_may_start(visitor: Visitor, role: str) -> None:
    page = visitor.go("/environments/word-problems/evaluate")
    sign_in(visitor, KEYS[role])
    expect(page.get_by_role("button", name="Run Evaluation")).to_be_visible()


def test_signing_out_ends_the_session(visitor: Visitor) -> None:
    page = visitor.go("/")
    sign_in(visitor, KEYS["admin"])
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in$"))
    assert visitor.context.cookies() == []
    visitor.go("/models")
    expect(page).to_have_url(re.compile(r"/sign-in\?next=/models$"))


def with_another_end(session: str) -> str:
    return session[:-1] + ("0" if session[-1] != "0" else "1")


@pytest.mark.parametrize("forge", [with_another_end, lambda session: "9" + session, lambda _: "x"])
def test_a_forged_session_leads_to_the_sign_in(visitor: Visitor, locked: str, forge: Callable[[str], str]) -> None:
    answer = httpx.post(f"{locked}/sign-in", data={"key": KEYS["admin"]})
    session = answer.cookies[SESSION_COOKIE]
    visitor.context.add_cookies([{"name": SESSION_COOKIE, "value": forge(session), "url": locked}])
    page = visitor.go("/operations")
    expect(page).to_have_url(re.compile(r"/sign-in\?next=/operations$"))


@pytest.mark.parametrize(
    "address", ["//example.org/", "/\\example.org/", "https://example.org/", "javascript:alert(1)"]
)
def test_signing_in_does_not_lead_off_the_site(visitor: Visitor, locked: str, address: str) -> None:
    page = visitor.page
    page.goto(f"{locked}/sign-in?next={address}")
    sign_in(visitor, KEYS["viewer"])
    expect(page).to_have_url(f"{locked}/")


def test_pages_of_another_origin_cannot_use_a_session(visitor: Visitor, locked: str) -> None:
    """Nor can they through a browser that would send it: the gateway looks at Origin."""
    page = visitor.go("/")
    sign_in(visitor, KEYS["admin"])
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    session = {cookie["name"]: cookie["value"] for cookie in visitor.context.cookies()}
    with httpx.Client(base_url=locked, cookies=session) as client:
        body = {"name": "x", "source": "platform", "base_url": "http://127.0.0.1:9/v1", "model": "x"}
        refused = client.post("/v1/models", json=body, headers={"Origin": "https://example.org"})
        assert refused.status_code == 403
        assert "Origin" in refused.json()["detail"]
        assert client.get("/v1/models").json()["items"] == []
