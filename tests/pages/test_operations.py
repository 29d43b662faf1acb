"""The page of operations: numbers move by themselves, what is down is named, a lost connection heals, parked messages are acted on."""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import nats
from playwright.sync_api import expect

from shared import subjects
from tests.pages.visitor import Visitor, in_each_look
from tests.running import RunningStack

Visit = Callable[..., Visitor]

SHIFTS = """() => {
  window.shifts = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) window.shifts.push(entry.value);
  }).observe({ type: "layout-shift" });
}"""


def test_numbers_move_without_a_reload_and_nothing_shifts(visit: Visit, stack: RunningStack) -> None:
    stack.push_sample_environment()
    model = stack.add_model("sample-95", max_concurrency=8)
    # Slow enough that it still goes on when the numbers have moved: a row that goes away does move what is below.
    stack.endpoint.behave(latency_ms=500)
    stack.endpoint.gate(closed=True)
    try:
        (evaluation,) = stack.evaluate("word-problems", [model], phase="test")
        stack.endpoint.wait(model="sample-95", in_flight=8)
        visitor = visit()
        page = visitor.go("/operations")
        expect(page.locator("#connection")).to_have_text("Live")
        row = page.get_by_role("row", name=f"#{evaluation.number} ")
        expect(row).to_contain_text("0 of 400")
        waiting = page.locator("#waiting").inner_text()
        assert int(waiting.replace(",", "")) >= 400
        expect(page.locator("#models")).to_contain_text("8 of 8")
        expect(page.locator("#in-flight")).to_have_text("8")
        page.evaluate(SHIFTS)
    finally:
        stack.endpoint.gate(closed=False)
    expect(page.locator("#rate")).not_to_have_text("0.0")
    expect(page.locator("#waiting")).not_to_have_text(waiting)
    assert sum(page.evaluate("window.shifts")) < 0.01
    stack.endpoint.behave()
    stack.wait([evaluation])
    expect(row).to_have_count(0)
    expect(page.locator("#events li").filter(has_text="evaluation.completed").first).to_contain_text(
        f"#{evaluation.number}"
    )
    assert visitor.violations() == []


@in_each_look
def test_it_is_accessible_and_fits(visit: Visit, width: int, dark: bool) -> None:
    visitor = visit(width=width, dark=dark)
    page = visitor.go("/operations")
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#services")).to_contain_text("predictor")
    assert visitor.violations() == []
    assert not visitor.overflows()


def test_it_reads_without_a_script(visit: Visit) -> None:
    page = visit(script=False).go("/operations")
    expect(page.locator("#connection")).to_contain_text("As of")
    expect(page.locator("#running")).to_have_text(re.compile("^[0-9]+$"))
    expect(page.locator("#services li").filter(has_text="mongodb")).to_contain_text("up")


def test_a_service_that_is_down_is_named_and_a_lost_connection_heals(visit: Visit, stack: RunningStack) -> None:
    visitor = visit()
    visitor.expected = ["readyz", "ERR_CONNECTION", "WebSocket", "/v1/"]
    page = visitor.go("/operations")
    scorer = page.locator("#services li").filter(has_text="scorer")
    expect(scorer).to_contain_text("up")
    stack.take_down("scorer")
    try:
        expect(scorer).to_contain_text("down", timeout=20_000)
    finally:
        stack.bring_up("scorer")
    stack.kill("gateway")
    connection = page.locator("#connection")
    expect(connection).to_have_text("Connection lost, trying again")
    expect(connection).to_have_text("Live", timeout=30_000)
    stack.until_ready()
    expect(scorer).to_contain_text("up", timeout=20_000)


def test_a_parked_message_is_discarded_after_a_question(visit: Visit, stack: RunningStack) -> None:
    told = stack.embedded.environment
    evaluation = f"e{uuid4().hex}"
    subject = subjects.lifecycle(evaluation, "landed")

    async def publish_garbage() -> None:
        async with await nats.connect(told["ASSAY_NATS_URL"], token=told["ASSAY_NATS_TOKEN"]) as connection:
            await connection.jetstream().publish(subject, b"{")

    with ThreadPoolExecutor() as pool:  # the browser's own event loop runs in this thread
        pool.submit(asyncio.run, publish_garbage()).result()
    page = visit().go("/operations")
    row = page.locator("#parked tr").filter(has=page.locator(f"a[href='/evaluations/{evaluation}']"))
    expect(row).to_contain_text("cannot be read", timeout=20_000)
    row.get_by_role("button", name="Discard").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("cannot be read")
    dialog.get_by_role("button", name="Keep it").click()
    expect(row).to_have_count(1)
    row.get_by_role("button", name="Discard").click()
    dialog.get_by_role("button", name="Discard").click()
    expect(page.locator("#parked-told")).to_have_text("Discarded.")
    expect(row).to_have_count(0)
    assert subject not in [entry.subject for entry in stack.client.parked.list()]
