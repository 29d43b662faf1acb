"""An evaluation's page: the live log, what it becomes at the end, and what can be done meanwhile."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from shared.api import Evaluation, Model
from tests.pages.logs import add_failed, add_long_log, said, shown
from tests.pages.visitor import Visitor, in_each_look
from tests.running import EndpointProcess, RunningStack

Visit = Callable[..., Visitor]
LONG_MS = 40_000
END = re.compile("Completed|Failed|Cancelled")
CUT = ("WebSocket", "ERR_CONNECTION_REFUSED", "Failed to load resource")


@pytest.fixture
def model(stack: RunningStack) -> Iterator[Model]:
    """A model that takes a tenth of a second, four calls at once: a sample of 100 items takes 2.5 s."""
    stack.push_sample_environment()
    stack.endpoint.behave(latency_ms=100)
    yield stack.add_model("slow", model="sample-80", max_concurrency=4)
    stack.endpoint.gate(closed=False)
    stack.endpoint.behave()


def start(stack: RunningStack, model: Model, **settings: object) -> Evaluation:
    return stack.evaluate("word-problems", [model], **settings)[0]


def last_line(page: Page) -> str:
    return page.locator("#log-lines .line-text").last.inner_text()


def test_the_log_runs_and_gives_way_to_the_scores(stack: RunningStack, visit: Visit, model: Model) -> None:
    evaluation = start(stack, model, limit=100)
    visitor = visit()
    page = visitor.go(f"/evaluations/{evaluation.number}")
    page.evaluate("window.sameDocument = true")
    lines = page.get_by_role("log")
    expect(lines).to_contain_text("Benchmark data loaded")
    expect(lines).to_contain_text(re.compile(r"Processing: \d+/100 \(\d+%\)"))
    expect(page.locator("#progress")).to_contain_text(re.compile(r"[1-9]\d* of 100"))
    expect(page.locator("#progress")).to_contain_text("items/s")
    expect(page.locator("#details")).to_contain_text("running")

    expect(page.locator("#tabs [aria-current]")).to_have_text("Score Breakdown", timeout=LONG_MS)
    expect(page.locator("#details .status")).to_have_text("completed")
    expect(page.locator("#log")).to_have_count(0)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    assert page.evaluate("window.sameDocument"), "the page was loaded again"

    page.get_by_role("link", name="Log", exact=True).click()
    expect(page.locator("#log-state")).to_have_text("Complete")
    expect(page.locator("#log-lines")).to_contain_text(re.compile(r"accuracy=\d+\.\d\d% correct=\d+/100"))
    assert shown(page) == said(stack, evaluation)
    assert last_line(page) == "Completed"


def test_cut_connections_and_reloads_lose_no_line(stack: RunningStack, visit: Visit, model: Model) -> None:
    stack.endpoint.gate(closed=True)
    evaluation = start(stack, model, limit=60)
    visitor = visit()
    visitor.expected += CUT
    sockets: list[str] = []

    def cut_now_and_then(socket: WebSocketRoute) -> None:
        sockets.append(socket.url)
        server = socket.connect_to_server()
        passed = 0

        def pass_on(message: str | bytes) -> None:
            nonlocal passed
            passed += 1
            if passed > 3:
                socket.close(code=3001)
            else:
                socket.send(message)

        server.on_message(pass_on)

    visitor.page.route_web_socket(re.compile(rf"/evaluations/{evaluation.id}/events/ws"), cut_now_and_then)
    page = visitor.go(f"/evaluations/{evaluation.number}/log")
    expect(page.get_by_role("log")).to_contain_text("Submission generated")
    stack.kill("gateway")
    expect(page.locator("#log-state")).to_have_attribute("data-state", "lost")
    expect(page.locator("#log-state")).to_have_attribute("data-state", "live", timeout=LONG_MS)
    stack.endpoint.gate(closed=False)
    expect(page.get_by_role("log")).to_contain_text("Processing: ", timeout=LONG_MS)
    page.reload()
    expect(page.locator("#details .status")).to_have_text("completed", timeout=LONG_MS)
    expect(page.locator("#log-state")).to_have_text("Complete", timeout=LONG_MS)
    assert shown(page) == said(stack, evaluation)
    assert len(sockets) > 3


def test_cancelling_asks_first(stack: RunningStack, visit: Visit, model: Model) -> None:
    stack.endpoint.gate(closed=True)
    evaluation = start(stack, model)
    page = visit().go(f"/evaluations/{evaluation.number}")
    expect(page.get_by_role("log")).to_contain_text("Started")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Let it run").click()
    expect(page.locator("#details .status")).to_have_text("running")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the evaluation").click()
    expect(page.locator("#state")).to_contain_text("Cancelled after 0 of 100")
    expect(page.locator("#details .status")).to_have_text("cancelled")
    expect(page.locator("#log-lines .line-text").last).to_have_text("Cancelled")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    assert stack.client.evaluations.get(evaluation.id).status == "cancelled"


def test_what_could_not_be_called_is_called_again(stack: RunningStack, visit: Visit) -> None:
    stack.push_sample_environment()
    endpoint = EndpointProcess()
    port = endpoint.url.rsplit(":", 1)[1]
    away = stack.client.models.add("away", base_url=endpoint.base_url, model="sample-95", max_concurrency=2)
    endpoint.kill()
    stack.client.models.probe(away.id)
    evaluation = start(stack, away, limit=20, unreachable_wait_s=0)
    stack.wait([evaluation])

    page = visit().go(f"/evaluations/{evaluation.number}")
    expect(page.locator("#state")).to_contain_text("20 of 20 could not be called")
    endpoint = EndpointProcess("--port", port)
    try:
        endpoint.behave(latency_ms=200)
        stack.client.models.probe(away.id)
        page.get_by_role("button", name="Call 20 samples again").click()
        expect(page.locator("#tabs [aria-current]")).to_have_text("Log")
        expect(page.get_by_role("log")).to_contain_text("Giving up")
        expect(page.locator("#tabs [aria-current]")).to_have_text("Score Breakdown", timeout=LONG_MS)
        expect(page.locator("#state .notice")).to_have_count(0)
        assert stack.client.evaluations.get(evaluation.id).progress.infra_error == 0
    finally:
        endpoint.stop()


def test_an_evaluation_that_waits_says_for_what(stack: RunningStack, visit: Visit) -> None:
    stack.push_sample_environment()
    endpoint = EndpointProcess()
    port = endpoint.url.rsplit(":", 1)[1]
    away = stack.client.models.add("asleep", base_url=endpoint.base_url, model="sample-95")
    endpoint.kill()
    stack.client.models.probe(away.id)
    evaluation = start(stack, away, limit=20, unreachable_wait_s=300)
    page = visit().go(f"/evaluations/{evaluation.number}")
    expect(page.locator("#state")).to_contain_text("asleep has not been reachable since")
    endpoint = EndpointProcess("--port", port)
    try:
        stack.client.models.probe(away.id)
        expect(page.locator("#tabs [aria-current]")).to_have_text("Score Breakdown", timeout=LONG_MS)
        expect(page.locator("#state .notice")).to_have_count(0)
    finally:
        endpoint.stop()


def test_a_failed_evaluation_says_why_and_what_to_do(stack: RunningStack, visit: Visit, model: Model) -> None:
    (like,) = stack.wait([start(stack, model, limit=4)])
    number = add_failed(stack, like, "no \u202escore\x00: <img src=x onerror=alert(1)>")
    page = visit().go(f"/evaluations/{number}")
    expect(page.locator("#state")).to_contain_text("no [U+202E]score[U+0000]: <img src=x onerror=alert(1)>")
    again = page.locator("#state").get_by_role("link", name="run it again")
    expect(again).to_have_attribute("href", re.compile(r"/environments/word-problems@[0-9a-f]+/evaluate\?phase=dev"))
    expect(page.locator("#tabs [aria-current]")).to_have_text("Log")


def test_a_long_log_is_searched_and_scrolled_with_few_elements(stack: RunningStack, visit: Visit, model: Model) -> None:
    (like,) = stack.wait([start(stack, model, limit=4)])
    number = add_long_log(stack, like, 30_000)
    page = visit().go(f"/evaluations/{number}/log")
    lines = page.locator("#log-lines .line")
    expect(page.locator("#log-count")).to_have_text("30,000 lines", timeout=LONG_MS)
    expect(lines.last).to_contain_text("Completed")

    page.get_by_role("log").press("Home")
    expect(lines.first).to_contain_text("Line number 0")
    expect(page.get_by_role("button", name="Jump to latest")).to_be_visible()
    for _ in range(8):
        page.locator("#log-lines").evaluate("place => { place.scrollTop = place.scrollHeight; }")
        page.evaluate("() => new Promise(requestAnimationFrame)")
    assert 150 < lines.count() <= 1000
    drawn = shown(page)
    numbers = [int(found) for line in drawn for found in re.findall(r"(?:number |: )(\d+)", line)]
    assert numbers == list(range(numbers[0], numbers[0] + len(drawn))), "a line is missing or doubled"
    page.get_by_role("button", name="Jump to latest").click()
    expect(lines.last).to_be_in_viewport()
    expect(lines.last).to_contain_text("Completed")

    page.get_by_role("searchbox", name="Search the log").fill("NUMBER 12340")
    expect(page.locator("#log-count")).to_have_text("1 of 30,000 lines")
    expect(page.locator("#log-lines mark")).to_have_text(["number 12340"])
    page.get_by_role("searchbox", name="Search the log").fill("")
    page.get_by_label("Level").select_option("info")
    expect(page.locator("#log-count")).to_have_text("3,001 of 30,000 lines")
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert len(copied) == 3001
    assert copied[0] == "2026-01-02T03:04:05.000Z INFO    Line number 0"


def test_the_end_is_followed_until_one_scrolls_up(stack: RunningStack, visit: Visit, model: Model) -> None:
    stack.endpoint.behave(latency_ms=300)
    evaluation = start(stack, model, limit=200)
    page = visit(height=620).go(f"/evaluations/{evaluation.number}")
    place = page.locator("#log-lines")
    place.evaluate(
        "async place => { while (place.scrollHeight < place.clientHeight + 200) await new Promise(requestAnimationFrame); }"
    )
    assert place.evaluate("place => place.scrollHeight - place.clientHeight - place.scrollTop") < 2
    place.hover()
    page.mouse.wheel(0, -150)
    latest = page.get_by_role("button", name=re.compile(r"Jump to latest · \d+ new"))
    expect(latest).to_be_visible()
    at = place.evaluate("place => place.scrollTop")
    expect(page.get_by_role("button", name=re.compile(r"Jump to latest · ([5-9]|\d\d) new"))).to_be_visible()
    assert place.evaluate("place => place.scrollTop") == at, "what is being read moved"
    latest.click()
    expect(latest).to_be_hidden()
    assert place.evaluate("place => place.scrollHeight - place.clientHeight - place.scrollTop") < 2
    stack.client.evaluations.cancel(evaluation.id)
    expect(page.locator("#log-lines .line-text").last).to_have_text("Cancelled")


def test_without_a_script_the_last_lines_are_there(stack: RunningStack, visit: Visit, model: Model) -> None:
    (evaluation,) = stack.wait([start(stack, model, limit=4)])
    page = visit(script=False).go(f"/evaluations/{evaluation.number}/log")
    assert shown(page) == said(stack, evaluation)
    expect(page.locator(".log-tools")).to_be_hidden()
    expect(page.get_by_role("link", name="Show newer ones")).to_be_visible()


@in_each_look
def test_the_log_is_accessible(stack: RunningStack, visit: Visit, model: Model, width: int, dark: bool) -> None:
    (evaluation,) = stack.wait([start(stack, model, limit=4)])
    visitor = visit(width=width, dark=dark)
    page = visitor.go(f"/evaluations/{evaluation.number}/log")
    expect(page.locator("#log-state")).to_have_text("Complete")
    assert visitor.violations() == []
    assert not visitor.overflows()
