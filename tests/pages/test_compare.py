"""Evaluations beside each other: what differs is counted, listed, filtered, paged and opened; and one is helped to choose."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from shared.api import Evaluation
from tests.pages.visitor import Visitor, in_each_look
from tests.running import RunningStack

Visit = Callable[..., Visitor]


@pytest.fixture(scope="module")
def pair(stack: RunningStack) -> list[Evaluation]:
    stack.push_sample_environment()
    models = [stack.add_model("sample-95", max_concurrency=32), stack.add_model("sample-60", max_concurrency=32)]
    return stack.wait(stack.evaluate("word-problems", models, phase="dev"))


def test_what_differs_is_counted_listed_and_opened(visit: Visit, stack: RunningStack, pair: list[Evaluation]) -> None:
    first, second = pair
    rows = list(zip(*(stack.client.evaluations.results(one.id) for one in pair), strict=True))
    only_first = [a.item_id for a, b in rows if a.correct and not b.correct]
    only_second = [b.item_id for a, b in rows if b.correct and not a.correct]
    differing = [a.item_id for a, b in rows if a.correct != b.correct]
    both = sum(a.correct and b.correct for a, b in rows)
    assert len(differing) > 25, "the pages of this test need more than one"

    visitor = visit()
    page = visitor.go(f"/compare?evaluations={first.number},{second.number}")
    legend = page.locator(".legend")
    expect(legend).to_contain_text(f"Both right {both}")
    expect(legend).to_contain_text(f"Only A right {len(only_first)}")
    expect(legend).to_contain_text(f"Only B right {len(only_second)}")
    accuracy = page.get_by_role("row", name="Accuracy").get_by_role("cell")
    expect(accuracy.nth(0)).to_contain_text("best")
    expect(accuracy.nth(1)).not_to_contain_text("best")
    expect(page.get_by_role("row", name="Name at the endpoint")).to_contain_text("sample-60")

    items = page.locator("tbody th.c-item")
    shown = items.all_inner_texts()
    page.get_by_role("link", name="Next page").click()
    page.wait_for_url("**cursor=**")
    assert shown + items.all_inner_texts() == differing

    page.get_by_role("link", name="Only A right").click()
    page.wait_for_url(f"**show={first.number}**")
    assert items.all_inner_texts() == only_first[:25]
    row = next(entry for entry in rows if entry[0].item_id == only_first[0])
    body = page.locator("table.cases tbody").first
    expect(body.locator("td.of-one").nth(0)).to_contain_text("Right")
    expect(body.locator("td.of-one").nth(1)).to_contain_text("Wrong")
    body.get_by_text("Outputs").click()
    for answer in row:
        expect(body.locator(".outputs")).to_contain_text(answer.output)
    assert visitor.violations() == []
    body.get_by_role("link", name=f"Whole case {row[0].item_id} of #{second.number}").click()
    expect(page.locator("main")).to_contain_text(row[1].output)


@in_each_look
def test_it_is_accessible_and_fits(visit: Visit, pair: list[Evaluation], width: int, dark: bool) -> None:
    visitor = visit(width=width, dark=dark)
    page = visitor.go(f"/compare?evaluations={pair[0].number},{pair[1].number}")
    page.get_by_text("Outputs").first.click()
    assert visitor.violations() == []
    assert not visitor.overflows()
    visitor.go("/compare")
    assert visitor.violations() == []
    assert not visitor.overflows()


def test_one_chooses_and_is_told_what_cannot_be_compared(
    visit: Visit, stack: RunningStack, pair: list[Evaluation]
) -> None:
    model = stack.add_model("sample-80", max_concurrency=32)
    (other,) = stack.wait(stack.evaluate("word-problems", [model], phase="test", limit=5))
    visitor = visit(script=False)
    visitor.expected = ["status of 4(04|22)"]
    alert = visitor.page.get_by_role("alert")
    visitor.go("/compare?evaluations=1,987654")
    expect(alert).to_have_text("there is no evaluation 987654")
    visitor.go(f"/compare?evaluations={pair[0].number}")
    expect(alert).to_contain_text("at least two evaluations")
    visitor.go(f"/compare?evaluations={pair[0].number},{other.number}")
    expect(alert).to_contain_text(f"#{other.number} ran word-problems, phase test")

    form = visitor.page.get_by_role("group", name="phase dev")
    for one in pair:
        form.get_by_role("checkbox", name=f"#{one.number} ").check()
    visitor.page.locator("form", has=form).get_by_role("button", name="Compare").click()
    expect(visitor.page.get_by_role("heading", name="Items they differ on")).to_be_visible()
