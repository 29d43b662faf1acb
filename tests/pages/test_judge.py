"""Choosing the model that judges, and what it said: with a script and without."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import expect

from shared.api import Model
from tests.pages.puppet import Puppet
from tests.pages.visitor import Visitor
from tests.running import RunningStack

Visit = Callable[..., Visitor]

EVALUATE = "/environments/haiku/evaluate"


@dataclass(frozen=True)
class Place:
    poet: Model
    referee: Model


def referee(question: str) -> str:
    if "fog" in question:
        return "<b>I cannot</b> say."
    return "The second line is too long.\n\nVerdict: 6"


@pytest.fixture(scope="module")
def place(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Environments that are judged, one with a judge of its own, and two models; removed afterwards."""
    folder = tmp_path_factory.mktemp("haiku")
    rows = [{"q": f"A haiku about {subject}."} for subject in ("rain", "fog", "snow")]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    manifest = {
        "slug": "haiku",
        "title": "Haiku",
        "prompt": {"template": "{{ q }}"},
        "phases": [{"name": "test", "data": "rows.jsonl", "fields": {"input": "q"}}],
        "scoring": {"scorer": "judge", "rubric": "Rate this, asked for '{{ input }}':\n{{ output }}"},
    }
    for scoring in ({}, {"model": "referee"}):
        named = {"slug": "haiku-named"} if scoring else {}
        (folder / "environment.yaml").write_text(
            json.dumps({**manifest, **named, "scoring": {**manifest["scoring"], **scoring}})  # type: ignore[dict-item]
        )
        stack.client.environments.push(folder)
    with Puppet({"poet": lambda prompt: f"{prompt} It falls.", "referee": referee}) as puppet:
        models = [stack.client.models.add(name, base_url=puppet.base_url, model=name) for name in ("poet", "referee")]
        yield Place(*models)
        for model in models:
            stack.client.models.delete(model.id)


def test_a_judge_is_chosen_and_what_it_said_is_shown(visit: Visit, stack: RunningStack, place: Place) -> None:
    visitor = visit()
    page = visitor.go(f"{EVALUATE}?models={place.poet.id}")
    assert visitor.violations() == []
    page.get_by_role("button", name="Run Evaluation").click()
    visitor.expected.append("422")
    expect(page.locator('[data-error="judge"]')).to_contain_text("choose one as judge")
    judge = page.get_by_label("Judge")
    expect(judge).to_be_focused()
    judge.select_option(label="referee")
    page.get_by_role("button", name="Run Evaluation").click()
    page.wait_for_url(re.compile(r"/evaluations/\d+$"))
    number = page.url.rpartition("/")[2]
    done = stack.client.evaluations.wait(number)
    assert (done.status, done.judge_name) == ("completed", "referee")

    page.goto(f"{stack.url}/evaluations/{number}")
    expect(page.locator("#details")).to_contain_text("referee")
    expect(page.locator(".score-facts")).to_contain_text("of 3 questions to it")
    expect(page.locator(".score-facts")).to_contain_text("Not judged")
    again = page.get_by_role("link", name="Run with another model").get_attribute("href")
    assert again
    assert f"judge={place.referee.id}" in again
    page.goto(f"{stack.url}/environments/haiku/leaderboard")
    expect(page.locator(".board-model")).to_contain_text("Judged by referee")
    page.goto(f"{stack.url}{again}")
    expect(page.get_by_label("Judge")).to_have_value(place.referee.id)


@pytest.mark.parametrize("width", [1440, 390])
def test_a_case_has_the_judges_words(visit: Visit, stack: RunningStack, place: Place, width: int) -> None:
    (evaluation,) = stack.wait(stack.evaluate("haiku", [place.poet], judge=place.referee.id))
    visitor = visit(width=width)
    page = visitor.go(f"/evaluations/{evaluation.number}/cases/0")
    expect(page.get_by_role("heading", name="Judge")).to_contain_text("0.6")
    expect(page.get_by_role("group", name="Judge")).to_have_text("The second line is too long.\n\nVerdict: 6")
    assert visitor.violations() == []
    assert not visitor.overflows()
    visitor.go(f"/evaluations/{evaluation.number}/cases/1")
    expect(page.get_by_role("heading", name="Judge")).to_contain_text("no verdict")
    expect(page.get_by_role("group", name="Scoring")).to_contain_text("no verdict that scoring.pattern finds")
    expect(page.get_by_role("group", name="Judge")).to_have_text("<b>I cannot</b> say.")
    # The same, drawn by the script within the table.
    visitor.go(f"/evaluations/{evaluation.number}/cases")
    page.get_by_role("button", name="Open test case 2").click()
    expect(page.get_by_role("heading", name="Judge")).to_contain_text("no verdict")
    expect(page.get_by_role("group", name="Scoring")).to_contain_text("no verdict that scoring.pattern finds")
    expect(page.get_by_role("group", name="Judge")).to_have_text("<b>I cannot</b> say.")
    assert not visitor.overflows()


def test_without_a_script(visit: Visit, stack: RunningStack, place: Place) -> None:
    visitor = visit(script=False)
    page = visitor.go(f"{EVALUATE}?models={place.poet.id}&judge={place.referee.id}")
    expect(page.get_by_label("Judge")).to_have_value(place.referee.id)
    page.get_by_role("button", name="Run Evaluation").click()
    page.wait_for_url(re.compile(r"/evaluations/\d+$"))
    done = stack.client.evaluations.wait(page.url.rpartition("/")[2])
    assert done.judge == place.referee.id


def test_an_environment_that_names_its_judge_asks_for_none(visit: Visit, stack: RunningStack, place: Place) -> None:
    page = visit().go(f"/environments/haiku-named/evaluate?models={place.poet.id}")
    expect(page.get_by_label("Judge").locator("option:checked")).to_have_text("referee, as the environment says")
    page.get_by_role("button", name="Run Evaluation").click()
    page.wait_for_url(re.compile(r"/evaluations/\d+$"))
    assert stack.client.evaluations.wait(page.url.rpartition("/")[2]).judge_name == "referee"


def test_where_nobody_judges_nobody_is_asked_for(visit: Visit, stack: RunningStack) -> None:
    stack.push_sample_environment()
    page = visit().go("/environments/word-problems/evaluate")
    expect(page.get_by_label("Judge")).to_have_count(0)


def test_a_model_that_is_added_on_the_way_may_judge(visit: Visit, stack: RunningStack, place: Place) -> None:
    page = visit().go(f"{EVALUATE}?source=running")
    page.locator("[data-add='']").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("second referee")
    dialog.get_by_label("Address").fill(str(place.referee.base_url))
    dialog.get_by_label("Its name at the endpoint").fill("referee")
    dialog.get_by_role("button", name="Add model").click()
    expect(dialog).to_be_hidden()
    page.get_by_label("Judge").select_option(label="second referee")
    added = next(model for model in stack.client.models.list() if model.name == "second referee")
    expect(page.get_by_label("Judge")).to_have_value(added.id)
    stack.client.models.delete(added.id)
