"""Phases and leaderboards in a browser, of an environment that has all of their options."""

import csv
import io
import json
import re
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import expect

from shared.api import Evaluation
from tests.pages.visitor import Visitor, in_each_look
from tests.running import RunningStack

Visit = Callable[..., Visitor]

MANIFEST = """
slug: contest
title: Contest
prompt: {template: "{{ question }}"}
scoring: {scorer: contains}
leaderboard:
  submission_rule: add_and_delete
  columns:
    - {key: accuracy, title: Right}
    - {key: secret, hidden: true, computed: {operation: min, of: [accuracy, answer_rate]}}
    - {key: mean, title: Mean, precision: 2, computed: {operation: avg, of: [accuracy, answer_rate]}}
    - {key: answer_rate, title: Answered}
    - {key: duration_s, title: Duration, sorting: asc, precision: 1}
phases:
  - {name: main, data: rows.jsonl, fields: {input: question, target: answer},
     max_submissions: 3, max_submissions_per_day: 1, execution_time_limit_s: 600, hide_targets: true,
     start: 2020-01-01, end: 2099-01-01}
  - {name: early, data: rows.jsonl, fields: {input: question, target: answer}, start: 2099-01-02T03:04:05Z}
  - {name: late, data: rows.jsonl, fields: {input: question, target: answer}, end: 2020-01-01}
"""


@pytest.fixture(scope="session")
def contest(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> list[Evaluation]:
    """Two completed evaluations, of which none is on the leaderboard yet."""
    folder = tmp_path_factory.mktemp("contest")
    rows = [{"question": f"Which number is {n}?", "answer": str(n)} for n in range(20)]
    more = [
        f"  - {{name: extra {n}, data: rows.jsonl, fields: {{input: question, target: answer}}}}\n" for n in range(5)
    ]
    (folder / "environment.yaml").write_text(MANIFEST + "".join(more))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stack.client.environments.push(folder)
    models = [stack.add_model(f"contestant-{n}", model="sample-95") for n in (1, 2)]
    done = stack.wait(stack.evaluate("contest", models))
    assert [evaluation.status for evaluation in done] == ["completed", "completed"]
    return done


def test_evaluations_are_put_on_it_and_taken_off(visit: Visit, stack: RunningStack, contest: list[Evaluation]) -> None:
    first, second = (evaluation.number for evaluation in contest)
    page = visit(script=False).go("/environments/contest/leaderboard")
    expect(page.get_by_text("Nothing stands here yet")).to_be_visible()
    for number in (first, second):
        page.get_by_role("button", name=f"Put on the leaderboard: #{number}").click()
        expect(page.locator(".board tbody").get_by_role("link", name=f"#{number}", exact=True)).to_be_visible()
    rows = page.locator(".board tbody tr")
    expect(rows).to_have_count(2)
    expect(page.get_by_role("heading", name="Not on the leaderboard")).to_have_count(0)
    expect(page.locator(".board-rank", has_text="tied")).to_have_count(2)
    heads = page.locator(".board thead th")
    assert heads.all_inner_texts() == [
        "Rank",
        "Model",
        "Right",
        "Mean",
        "Answered",
        "Duration",
        "Finished",
        "Evaluation",
    ]
    page.get_by_role("button", name=f"Take off #{first}").click()
    expect(rows).to_have_count(1)
    expect(page.get_by_role("button", name=f"Put on the leaderboard: #{first}")).to_be_visible()
    assert [row.number for row in stack.client.environments.leaderboard("contest").items] == [second]

    address = page.get_by_role("link", name="CSV").get_attribute("href")
    text = httpx.get(f"{stack.url}{address}").raise_for_status().text
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["evaluation"] == str(second)
    assert float(row["accuracy_low"]) <= float(row["accuracy"]) <= float(row["accuracy_high"])
    assert "secret" not in row


def test_of_many_phases_one_is_chosen_from_a_list(visit: Visit, contest: list[Evaluation]) -> None:
    page = visit(script=False).go("/environments/contest/leaderboard")
    page.get_by_label("Phase", exact=True).select_option("extra 3")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/leaderboard?phase=extra+3")
    expect(page.get_by_label("Phase", exact=True)).to_have_value("extra 3")
    expect(page.get_by_text("No completed evaluation of this phase yet")).to_be_visible()


def test_phases_say_what_they_allow(visit: Visit, contest: list[Evaluation]) -> None:
    page = visit(script=False).go("/environments/contest/phases")
    main, early, late, *_ = page.locator(".phase").all()
    for text in (
        r"open, closes in [0-9,]+ days",
        "at most 3, at most 1 a day",
        "Time limit",
        "shown to admins only",
    ):
        expect(main).to_contain_text(re.compile(text))
    expect(early).to_contain_text(re.compile("opens in [0-9,]+ days"))
    expect(late).to_contain_text("closed")


def test_a_model_that_has_used_up_its_evaluations_cannot_be_chosen(
    visit: Visit, stack: RunningStack, contest: list[Evaluation]
) -> None:
    fresh = stack.add_model("contestant-3", model="sample-95")
    page = visit().go("/environments/contest/evaluate")
    phases = page.get_by_label("Phase", exact=True).locator("option").all_inner_texts()
    assert "opens 2099-01-02" in phases[1]
    assert "closed 2020-01-01" in phases[2]
    spent = page.locator(f'[data-model="{contest[0].model}"]')
    expect(spent.get_by_role("checkbox")).to_be_disabled()
    expect(spent).to_contain_text("has used 1 of its 1 evaluations a day (UTC) in phase main; the next is possible at")
    other = page.locator(f'[data-model="{fresh.id}"]')
    expect(other.get_by_role("checkbox")).to_be_enabled()
    expect(other.locator(".choice-spent")).to_be_hidden()


@in_each_look
def test_they_are_accessible(visit: Visit, contest: list[Evaluation], width: int, dark: bool) -> None:
    visitor = visit(width=width, dark=dark)
    for tab in ("phases", "leaderboard", "evaluate"):
        visitor.go(f"/environments/contest/{tab}")
        assert visitor.violations() == [], tab
        assert not visitor.overflows(), tab
