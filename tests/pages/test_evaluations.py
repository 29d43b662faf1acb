"""The list of evaluations: filtered, live, and chosen from to compare."""

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.pages.visitor import Visitor, in_each_look
from tests.running import RunningStack

Visit = Callable[..., Visitor]


def test_rows_live_and_new_ones_are_told_of(stack: RunningStack, visit: Visit) -> None:
    stack.push_sample_environment()
    model = stack.add_model("listed", model="sample-95", max_concurrency=4)
    stack.endpoint.gate(closed=True)
    (evaluation,) = stack.evaluate("word-problems", [model], limit=40)
    page = visit().go(f"/evaluations?model={model.id}")
    row = page.locator(f'tr[data-evaluation="{evaluation.id}"]')
    expect(row).to_contain_text(re.compile("queued|running"))
    expect(row.get_by_role("checkbox")).to_be_disabled()
    (another,) = stack.evaluate("word-problems", [model], limit=4)
    expect(page.get_by_role("link", name="1 new evaluation")).to_be_visible()
    stack.endpoint.gate(closed=False)
    expect(row).to_contain_text("completed", timeout=30_000)
    expect(row).to_contain_text("40 of 40")
    expect(row.locator('[data-show="score"]')).to_have_text(re.compile(r"\d+\.\d\d%"))
    expect(row.get_by_role("checkbox")).to_be_enabled()

    stack.wait([another])
    page.get_by_role("link", name="1 new evaluation").click()
    for one in (evaluation, another):
        page.get_by_role("checkbox", name=f"Compare #{one.number} ").check()
    expect(page.get_by_text("2 chosen")).to_be_visible()
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url(f"**/compare?evaluations={another.number},{evaluation.number}")


def test_filters_are_links_and_say_when_nothing_is_left(stack: RunningStack, visit: Visit) -> None:
    stack.push_sample_environment()
    model = stack.add_model("filtered", model="sample-60")
    stack.wait(stack.evaluate("word-problems", [model], limit=4))
    page = visit().go("/evaluations")
    page.get_by_label("Model").select_option("filtered")
    page.wait_for_url(f"**model={model.id}*")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_label("Status").select_option("Failed")
    expect(page.get_by_role("heading", name="No evaluation is like that")).to_be_visible()
    page.get_by_role("link", name="Clear").click()
    expect(page.locator("tbody tr").first).to_be_visible()


@in_each_look
def test_the_list_is_accessible(stack: RunningStack, visit: Visit, width: int, dark: bool) -> None:
    stack.push_sample_environment()
    stack.wait(stack.evaluate("word-problems", [stack.add_model("seen", model="sample-60")], limit=4))
    visitor = visit(width=width, dark=dark)
    visitor.go("/evaluations")
    assert visitor.violations() == []
    assert not visitor.overflows()
