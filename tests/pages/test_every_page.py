"""What holds for every page: no axe violation in either theme, no sideways scrolling, no error, nothing asked of another host, the keyboard."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.pages.places import PLACES, Seed, routes
from tests.pages.visitor import Visitor

Visit = Callable[..., Visitor]

MOST_TABS = 400

FOCUSED = """() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const again = element.reached === true;
  element.reached = true;
  const near = [element.labels?.[0]].filter(Boolean);
  for (let one = element; one && one.localName !== "main"; one = one.parentElement) near.push(one);
  const drawn = near.some((one) => ["", "::after"].some((pseudo) => {
    const style = getComputedStyle(one, pseudo || null);
    return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
  }));
  const box = element.getBoundingClientRect();
  return { again, drawn, seen: box.bottom > 0 && box.top < innerHeight, html: element.outerHTML.slice(0, 160) };
}"""

NOT_REACHED = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary")]
  .filter((element) => element.checkVisibility({ visibilityProperty: true }) && !element.disabled && element.tabIndex >= 0)
  // Of a group of radio buttons, Tab reaches the chosen one, and the arrows the others.
  .filter((element) => !element.reached && element.type !== "radio")
  .map((element) => element.outerHTML.slice(0, 160))"""


def tab_through(page: Page) -> None:
    """Press Tab until the focus is where it was before; each stop must be seen, and nothing that can be used left out."""
    ends = 0  # of the document; a page may begin with the focus in the middle of it
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused is None:
            ends += 1
            if ends == 2:
                break
            continue
        if focused["again"]:
            break
        assert focused["drawn"], f"the focus cannot be seen on {focused['html']}"
        assert focused["seen"], f"the focus is out of view on {focused['html']}"
    assert page.evaluate(NOT_REACHED) == []


def test_every_page_is_checked() -> None:
    """A new page belongs into `PLACES`, with an address that shows something."""
    assert sorted(set(routes()) - PLACES.keys()) == []
    assert sorted(PLACES.keys() - set(routes())) == []


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("width", "dark"),
    [
        pytest.param(1440, False, marks=pytest.mark.large),
        (390, True),
    ],  # the pages' own tests look at most of them wide and light
    ids=["wide and light", "narrow and dark"],
)
def test_accessible(visit: Visit, seed: Seed, subtests: pytest.Subtests, width: int, dark: bool) -> None:
    visitor = visit(width=width, dark=dark)
    for address in seed.addresses():
        with subtests.test(address):
            page = visitor.go(address)
            page.wait_for_load_state("networkidle")
            assert visitor.violations() == []
            assert not visitor.overflows()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("width", [pytest.param(1440, marks=pytest.mark.large), 390])
def test_the_keyboard_reaches_everything(visit: Visit, seed: Seed, subtests: pytest.Subtests, width: int) -> None:
    visitor = visit(width=width)
    for address in seed.addresses():
        with subtests.test(address):
            page = visitor.go(address)
            page.wait_for_load_state("networkidle")
            tab_through(page)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("width", [360, 768, 1920])
def test_other_widths(visit: Visit, seed: Seed, subtests: pytest.Subtests, width: int) -> None:
    visitor = visit(width=width)
    for address in seed.addresses():
        with subtests.test(address):
            visitor.go(address)
            assert not visitor.overflows()


@pytest.mark.timeout(300)
def test_without_a_script(visit: Visit, seed: Seed, subtests: pytest.Subtests) -> None:
    """A heading, a title of its own, and text, on each."""
    visitor = visit(script=False)
    titles: dict[str, str] = {}
    for address in seed.addresses():
        with subtests.test(address):
            page = visitor.go(address)
            expect(page.get_by_role("heading", level=1)).to_have_count(1)
            assert len(page.locator("main").inner_text()) > 20
            titles[address] = page.title()
    assert all(title.endswith(" \u00b7 Assay") for title in titles.values())


def test_the_first_tab_leads_past_the_navigation(visit: Visit, seed: Seed) -> None:
    page = visit().go("/models")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


def test_the_theme_is_kept(visit: Visit) -> None:
    """As the system, light, dark, and from one page to the next."""
    page = visit(dark=False).go("/")
    button = page.get_by_role("button", name="Theme")
    button.click()
    button.click()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.goto(page.url + "models")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_what_is_not_there_is_a_page_that_says_so(visit: Visit, subtests: pytest.Subtests) -> None:
    visitor = visit()
    visitor.expected = ["404", "400", "422"]
    for address in (
        "/environments/none",
        "/evaluations/999999",
        "/models/none",
        "/nothing/here",
        "/evaluations/x/cases",
    ):
        with subtests.test(address):
            page = visitor.go(address)
            expect(page.get_by_text("404")).to_be_visible()
            expect(page.get_by_role("link", name="All environments")).to_be_visible()
            assert visitor.violations() == []
