"""What a model, a dataset or a user wrote is text on every page: nothing of it runs, and nothing of it breaks the page."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.pages import hostile
from tests.pages.places import Seed
from tests.pages.puppet import Puppet
from tests.pages.visitor import Visitor
from tests.running import RunningStack

INJECTED = """() => {
  const found = [];
  for (const element of document.querySelectorAll("*")) {
    for (const { name, value } of element.attributes) {
      if (name.startsWith("on")) found.push(`${element.localName} ${name}`);
      if (/^\\s*(javascript|data|vbscript):/i.test(value) && ["href", "src", "action", "formaction", "data", "xlink:href"].includes(name)) {
        found.push(`${element.localName} ${name}=${value.slice(0, 60)}`);
      }
      if (["src", "href", "data"].includes(name) && element.localName !== "a" && /^(https?:)?\\/\\//.test(value)
          && new URL(value, location.href).host !== location.host) found.push(`${element.localName} ${name}=${value.slice(0, 60)}`);
    }
  }
  const scripts = [...document.scripts].filter((script) => !script.src && script.type !== "application/json");
  for (const script of scripts) found.push(`script ${script.textContent.slice(0, 60)}`);
  for (const name of ["iframe", "object", "embed", "base", "animate", "body style", "main img"]) {
    if (document.querySelector(name)) found.push(name);
  }
  return found;
}"""
"""What no page of Assay has: handlers as attributes, inline scripts, links that run, frames, pictures of other hosts."""


@pytest.fixture(scope="module")
def attacked(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seed]:
    """A hostile environment, evaluated twice with models that answer with what they are asked."""
    folder = tmp_path_factory.mktemp("hostile")
    hostile.write_bundle(folder)
    stack.client.environments.push(folder)
    with Puppet({"hostile": hostile.say}) as puppet:
        models = [
            stack.client.models.add(name, base_url=puppet.base_url, model="hostile", max_attempts=1)
            for name in (hostile.NAME, f"{hostile.WIDE['word'][:160]}{hostile.UNSEEN['override']}")
        ]
        # One that refuses all it is asked, with a hostile text, to be told in its status and in the log; it is not waited for.
        models.append(stack.client.models.add(hostile.MARKUP["script"], base_url=puppet.base_url, model="</script>"))
        params = {"stop": [hostile.MARKUP["data"]]}
        ended = stack.wait(stack.evaluate(hostile.SLUG, models, params=params, unreachable_wait_s=0))
        assert [evaluation.status for evaluation in ended] == ["completed"] * 3
        yield Seed(hostile.SLUG, ended[0].number, ended[1].number, models[0].id)


def harmless(visitor: Visitor) -> None:
    page = visitor.page
    assert page.evaluate(INJECTED) == [], page.url
    assert hostile.SUM_RENDERED not in page.content(), page.url
    assert not visitor.overflows(), page.url
    assert page.evaluate("getComputedStyle(document.body).display") != "none"


@pytest.mark.parametrize("width", [pytest.param(1440, marks=pytest.mark.large), 390])
def test_every_page_shows_it_as_text(
    visit: Callable[..., Visitor], attacked: Seed, width: int, subtests: pytest.Subtests
) -> None:
    visitor = visit(width=width)
    for address in attacked.addresses():
        with subtests.test(address):
            page = visitor.go(address)
            page.wait_for_load_state("networkidle")
            harmless(visitor)


def test_each_test_case_opens(visit: Callable[..., Visitor], attacked: Seed) -> None:
    """A row opens to all that there is of it: input, gold, answer, difference."""
    visitor = visit()
    page = visitor.go(f"/evaluations/{attacked.evaluation}/cases")
    opened = open_all(page)
    assert opened >= len(hostile.TEXTS)
    harmless(visitor)
    text = page.locator("main").inner_text()
    assert hostile.MARKUP["script"] in text
    assert hostile.SUM in text
    # What cannot be seen is made visible, so that it cannot turn the text around it.
    for shown in ("[U+202E]", "[U+001B]", "[U+0000]"):
        assert shown in text
    for character in "\u202e\u2066\x1b\x00":
        assert character not in page.content()


def open_all(page: Page) -> int:
    """Open every row of the page; how many there are."""
    rows = page.get_by_role("button", name="Open test case")
    count = rows.count()
    for number in range(count):
        rows.nth(number).click()
    expect(page.locator(".case-row")).to_have_count(count)
    expect(page.get_by_text("Loading")).to_have_count(0)
    return count


def test_a_test_case_in_full(visit: Callable[..., Visitor], attacked: Seed, subtests: pytest.Subtests) -> None:
    """The page of each, one by one."""
    visitor = visit(width=390)
    for index in range(len(hostile.TEXTS) + 4):
        with subtests.test(str(index)):
            visitor.go(f"/evaluations/{attacked.evaluation}/cases/{index}")
            harmless(visitor)


def test_the_report_shows_it_as_text(visit: Callable[..., Visitor], attacked: Seed) -> None:
    visitor = visit()
    page = visitor.go(f"/v1/evaluations/{attacked.evaluation}/files/detailed_results.html")
    expect(page.get_by_text(hostile.MARKUP["script"]).first).to_be_attached()
    assert hostile.SUM_RENDERED not in page.content()
    assert page.locator("script, iframe, object, embed, base, img, svg[onload]").count() == 0
    assert not visitor.overflows()


def test_an_answer_of_a_megabyte_does_not_come_whole(visit: Callable[..., Visitor], attacked: Seed) -> None:
    """A page stays a page; the whole text is one step away."""
    visitor = visit()
    page = visitor.go(f"/evaluations/{attacked.evaluation}/cases?q={hostile.LONG}")
    assert len(page.content()) < 300_000


def test_searching_for_it_is_searching_for_text(visit: Callable[..., Visitor], attacked: Seed) -> None:
    visitor = visit()
    page = visitor.go(f"/evaluations/{attacked.evaluation}/cases")
    box = page.get_by_role("searchbox")
    box.fill(hostile.MARKUP["data"])
    box.press("Enter")
    expect(page).to_have_url(re.compile("q="))
    expect(page.get_by_text("1 test case that matches")).to_be_visible()
    harmless(visitor)


def test_a_hostile_log_is_text(visit: Callable[..., Visitor], attacked: Seed, stack: RunningStack) -> None:
    """Live and as history: the log of an evaluation whose model refuses with markup."""
    visitor = visit()
    page = visitor.go(f"/evaluations/{attacked.other + 1}/log")
    expect(page.get_by_role("log")).to_contain_text("Benchmark data loaded")
    harmless(visitor)
    assert hostile.MARKUP["script"] in page.get_by_role("log").inner_text()
