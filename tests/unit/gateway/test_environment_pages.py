"""What the pages of environments say: errors of bundles by place, the leaderboard's order and figures."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.web.bundles import Wrong, place
from gateway.web.environment import item_address
from gateway.web.figures import shown
from gateway.web.leaderboard import Cell, cell, following, ordered, rates_of, with_bars
from gateway.web.render import templates
from gateway.web.versions import changes, with_the_one_before
from shared.api import Environment, Item, LeaderboardRow, PhaseInfo
from shared.manifest import Column

SCORE = Column(key="overall_score", title="Score")
ACCURACY = Column(key="accuracy")
DURATION = Column(key="duration_s", sorting="asc", precision=1)


def row(number: int, score: float | None, accuracy: float | None = None, **more: Any) -> LeaderboardRow:
    accuracy = score if accuracy is None else accuracy
    return LeaderboardRow(
        rank=number,
        evaluation=f"e{number}",
        number=number,
        model=f"m{number}",
        model_name=more.pop("name", f"model {number}"),
        environment_version="0a",
        overall_score=score,
        accuracy=accuracy,
        accuracy_ci95=(0.1, 0.9),
        coverage=1.0,
        total=10,
        finished_at=None,
        scores={"overall_score": score, "accuracy": accuracy, **more},
    )


@pytest.mark.parametrize(
    ("loc", "msg", "wrong"),
    [
        (
            ["dev.jsonl", 12, "answer"],
            "line 12: column 'answer' is missing",
            Wrong("dev.jsonl", "line 12", "answer", "column 'answer' is missing"),
        ),
        (["t.parquet", 3], "row 3: no", Wrong("t.parquet", "row 3", "", "no")),
        (
            ["environment.yaml", "phases", 0, "data"],
            "line 7: there is no file",
            Wrong("environment.yaml", "line 7", "phases[0].data", "there is no file"),
        ),
        (["environment.yaml"], "line 3, column 5: bad", Wrong("environment.yaml", "line 3", "", "bad")),
        (["bundle", "dev.jsonl", 3, "answer"], "missing", Wrong("dev.jsonl", "", "[3].answer", "missing")),
        (["bundle"], "the file is empty", Wrong("bundle", "", "", "the file is empty")),
    ],
)
def test_where_a_bundle_is_wrong(loc: list[str | int], msg: str, wrong: Wrong) -> None:
    assert place({"loc": loc, "msg": msg}) == wrong


def test_rows_by_a_column_with_those_without_a_value_last() -> None:
    rows = [row(1, 0.9, duration_s=3.0), row(2, 0.8), row(3, 0.8, duration_s=1.0), row(4, None, 0.5)]
    assert [found.number for found in ordered(rows, "duration_s", False)] == [3, 1, 2, 4]
    assert [found.number for found in ordered(rows, "duration_s", True)] == [1, 3, 2, 4]
    assert [found.number for found in ordered(rows, "overall_score", False)] == [2, 3, 1, 4]
    assert [found.number for found in ordered(rows, "overall_score", True)] == [1, 2, 3, 4]
    named = [row(1, 0.1, name="b"), row(2, 0.1, name="A")]
    assert [found.number for found in ordered(named, "model_name", False)] == [2, 1]


def test_a_click_asks_for_the_better_first_and_then_the_other_way_round() -> None:
    assert following(SCORE, "rank") == "-overall_score"
    assert following(SCORE, "-overall_score") == "overall_score"
    assert following(DURATION, "rank") == "duration_s"
    assert following(DURATION, "duration_s") == "-duration_s"


def test_a_rate_has_a_bar_with_its_interval_and_another_value_has_it_in_words() -> None:
    same, apart = row(1, 0.5), row(2, 0.7, 0.5)
    rates = {"overall_score", "accuracy"}
    assert with_bars([SCORE, ACCURACY, DURATION], [same], rates) == {"overall_score"}
    assert with_bars([SCORE, ACCURACY, DURATION], [apart], rates) == {"overall_score", "accuracy"}
    assert with_bars([DURATION, SCORE], [same], {"overall_score"}) == set()
    same.intervals = {"overall_score": (0.1, 0.9), "accuracy": (0.1, 0.9), "duration_s": (1.0, 2.5)}
    same.scores["duration_s"] = 2.0
    drawn = {"overall_score"}
    assert cell(same, SCORE, drawn, rates) == Cell("50.00%", 0.5, (0.1, 0.9))
    assert cell(same, ACCURACY, drawn, rates) == Cell("50.00%", said="10.0\u201390.0%")
    assert cell(same, DURATION, drawn, rates) == Cell("2.0", said="1.0 to 2.5")
    assert cell(apart, ACCURACY, drawn, rates) == Cell("50.00%")
    assert cell(row(3, None), SCORE, drawn, rates).text == "\u2014"


def test_figures_to_the_columns_precision() -> None:
    assert shown(0.9575, SCORE, rate=True) == "95.75%"
    assert shown(0.9575, Column(key="accuracy", precision=2), rate=True) == "96%"
    assert shown(1234.56, DURATION, rate=False) == "1,234.6"
    assert shown(None, DURATION, rate=False) == "\u2014"


def test_a_score_beyond_1_is_no_rate() -> None:
    assert rates_of([SCORE, ACCURACY, DURATION], [row(1, 0.5), row(2, None)]) == {"overall_score", "accuracy"}
    assert rates_of([SCORE, ACCURACY], [row(1, 0.5), row(2, 12.5, 0.5)]) == {"accuracy"}
    computed = Column.model_validate({"key": "accuracy", "computed": {"operation": "sum", "of": ["overall_score"]}})
    assert rates_of([computed], [row(1, 0.5)]) == set()


def item_card(target: str | None) -> str:
    """The HTML of a test case."""
    messages = [{"role": "system", "content": "Be <b>brief</b>."}, {"role": "user", "content": "x" * 3000}]
    return (
        templates()
        .from_string('{% from "items.html" import item_card with context %}{{ item_card(item, "dev") }}')
        .render(
            item=Item(id="1", index=4, input="x", messages=messages, target=target, metadata={"kind": "\u202etank"}),
            environment=SimpleNamespace(slug="sums", version="0a"),
            item_address=item_address,
        )
    )


def test_a_viewer_is_told_why_there_is_no_target() -> None:
    assert "Only a runner's or an admin's key shows it." in item_card(None)
    assert "Only a runner" not in item_card("42")


def test_an_item_without_a_target_has_no_empty_place_for_one() -> None:
    assert "Target" in item_card("42")
    assert "Target" not in item_card("")


def test_an_item_is_text_and_a_long_one_leads_to_the_whole() -> None:
    html = item_card("42")
    assert "Be &lt;b&gt;brief&lt;/b&gt;." in html
    assert "[U+202E]tank" in html
    assert "1,001 more characters" in html
    address = "/v1/environments/sums@0a/items?phase=dev&amp;limit=1&amp;cursor=WzNd"
    assert f'<a href="{address}">' in html


def version(name: str, **items: int) -> Environment:
    phases = [PhaseInfo(name=phase, items=count, items_sha256=f"{count:x}") for phase, count in items.items()]
    return Environment(
        slug="sums", version=name, title="Sums", phases=phases, created_at=datetime(2026, 1, 2, tzinfo=UTC)
    )


def test_what_a_version_changes_against_the_one_before() -> None:
    versions = [version("c", dev=3, test=5), version("b", dev=3, final=4), version("a", dev=3, final=4)]
    pairs = with_the_one_before(versions[:2], versions)
    assert [changes(*pair) for pair in pairs] == [["new phase test", "without phase final"], ["the same items"]]
    assert changes(version("b", dev=4), version("a", dev=3)) == ["other items in dev"]
    assert [before for _, before in with_the_one_before(versions, versions)][2] is None
    assert changes(versions[2], None) == []
