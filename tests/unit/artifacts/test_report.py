import io
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import pytest

from services.artifacts.report import ReportWriter, summarize
from services.artifacts.report_case import TEXT_CHARS, case_view
from tests.unit.artifacts.rows import evaluation, item, metrics, result, without_answer, wrong

VOID = {"meta", "input", "link", "br", "img", "hr"}


class Page(HTMLParser):
    """A page read back: its elements, its attributes, the text in each, and whether all that is opened is closed."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.style = ""
        self.feed(data.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).replace("\u00a0", " ").split())


def render(
    rows: Sequence[tuple[dict[str, Any], Sequence[dict[str, Any]]]],
    scores: dict[str, Any] | None = None,
    max_cases: int = 5000,
    max_bytes: int = 1 << 30,
    **changes: Any,
) -> bytes:
    out = io.BytesIO()
    writer = ReportWriter(
        out, evaluation(**changes), metrics() if scores is None else scores, max_cases=max_cases, max_bytes=max_bytes
    )
    for each, results in rows:
        writer.add(each, results)
    writer.close()
    return out.getvalue()


def test_the_page_says_what_was_evaluated_and_how_it_did() -> None:
    page = Page(render([(item(0), [result(0)])], limit=100, round=2))
    for part in (
        "#678 m0.26",
        "Environment word-problems 9f2c1ab03d77",
        "Phase dev",
        "first 100 items",
        "round 2",
        "temperature 0.0",
        "Overall Score 26.00%",
        "Accuracy 26.00%",
        "95% interval 18.40% to 35.37%",
        "Exact match 25.00%",
        "Answer rate 97.00%",
        "Coverage 100.00%",
        "Correct 26 Wrong 69 No answer 3 Model error 2 Not answered 0",
        "46.20 items/s",
        "median 812 ms",
        "95th percentile 2.31 s",
        "14,313 9,702 in, 4,611 out",
    ):
        assert part in page.text
    assert "bounds" not in page.text


def test_where_samples_are_missing_bounds_stand_beside_the_rates() -> None:
    bounds = {"overall_score": [0.247, 0.297], "accuracy": [0.24, 0.29], "scores": {"f1": [0.3, 0.4]}}
    page = Page(render([], metrics(coverage=0.95, called=95, infra_error=5, bounds=bounds, scores={"f1": 0.35})))
    for part in (
        "5 of 100 samples were not answered",
        "bounds 24.70% to 29.70%",
        "bounds 24.00% to 29.00%",
        "f1 0.35 bounds 0.3 to 0.4",
        "95 of 100 samples",
    ):
        assert part in page.text


@pytest.mark.parametrize(
    "scores", [{}, {"overall_score": None, "accuracy": None, "accuracy_ci95": None, "latency_ms": None}]
)
def test_what_cannot_be_computed_is_a_dash(scores: dict[str, Any]) -> None:
    page = Page(render([], scores))
    assert "Overall Score \u2014" in page.text
    assert "Throughput \u2014" in page.text
    assert "None" not in page.text


def test_a_score_that_is_no_rate_is_no_percentage() -> None:
    assert "Overall Score 3.71" in Page(render([], metrics(overall_score=3.71))).text


def test_the_page_stands_alone() -> None:
    page = Page(render([(item(0), [wrong(0)])]))
    assert {"script", "link", "img", "iframe", "object", "form", "a"}.isdisjoint(page.tags)
    assert {"src", "href", "srcset", "action", "data"}.isdisjoint(name for name, _ in page.attributes)
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "url(" not in page.style
    assert "@import" not in page.style
    assert "prefers-color-scheme: dark" in page.style
    assert "@media print" in page.style


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'onmouseover='alert(1)",
    "</pre></td></table><style>*{display:none}</style>",
    "</title></style><!-- <svg/onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; &#60;",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_adds_no_element(text: str) -> None:
    def rows(word: str) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
        changes: dict[str, Any] = {
            "output": word,
            "prediction": word,
            "target": word,
            "error": word,
            "scores": {word: 0.5},
        }
        messages = [{"role": word, "content": word}]
        return [
            (
                item(0, item_id=word, input=word, target=word, messages=messages),
                [wrong(0, **changes, finish_reason=word)],
            )
        ]

    def whole(word: str) -> Page:
        named: dict[str, Any] = {"model_name": word, "environment": word, "phase": word, "params": {word: word}}
        return Page(render(rows(word), metrics(scores={word: 0.5}), **named))

    harmless, hostile = whole("word"), whole(text)
    assert hostile.tags == harmless.tags
    assert hostile.attributes == harmless.attributes
    assert hostile.text.count(" ".join(text.split())) >= 12


def test_what_cannot_be_seen_is_made_visible() -> None:
    unseen = "\x00\x1b[31m \x85 \u202eevil\u2066 \ud800 \uffff"
    data = render([(item(0, input=unseen), [wrong(0, output=unseen, error=unseen)])], model_name=unseen)
    assert "[U+0000][U+001B][31m [U+0085] [U+202E]evil[U+2066] [U+D800] [U+FFFF]" in Page(data).text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\uffff]", data.decode())


def test_the_table_is_clipped_and_the_details_say_what_is_missing() -> None:
    long = "W" * (TEXT_CHARS + 1234)
    page = Page(render([(item(0, input=long), [wrong(0, output=long, prediction=long)])]))
    runs = sorted(len(run) for run in re.findall("W{20,}", page.text))
    assert runs == [119, 299, TEXT_CHARS, TEXT_CHARS]
    assert "1,234 more characters are not shown here; predictions.jsonl holds the whole text." in page.text
    assert "1,234 more characters are not shown here; detailed_results.json holds the whole text." in page.text


def test_a_text_that_begins_with_a_newline_keeps_it() -> None:
    # An HTML parser drops the first newline of <pre>.
    assert b'<pre dir="auto">\n\n first' in render([(item(0), [wrong(0, output="\n first")])])


def test_misses_are_marked_in_words() -> None:
    rows = [
        (item(0), [result(0)]),
        (item(1), [wrong(1, prediction=None)]),
        (item(2), [without_answer(2, "no_answer")]),
        (item(3), [without_answer(3, "model_error", error="HTTP 400: refused")]),
        (item(4), [without_answer(4, "infra_error", usage=None, latency_ms=None, attempts=5, error="HTTP 503")]),
    ]
    views = [case_view(*row) for row in rows]
    assert [(view["kind"], view["label"]) for view in views] == [
        ("hit", "Correct"),
        ("miss", "Wrong"),
        ("miss", "No answer"),
        ("miss", "Model error"),
        ("open", "Not answered"),
    ]
    assert [view["missing"] for view in views[1:]] == ["nothing extracted", "no answer", "model error", "not answered"]
    text = Page(render(rows)).text
    assert "HTTP 400: refused" in text
    assert "Details 5 attempts Prompt" in text
    assert "Details 812 ms, 1 attempt, 143 tokens Prompt" in text


@pytest.mark.parametrize(
    ("results", "kind", "label"),
    [
        ([result(0), result(0, 1)], "hit", "2 of 2 correct"),
        ([result(0), wrong(0, 1)], "miss", "1 of 2 correct"),
        ([result(0), without_answer(0, "infra_error", 1)], "hit", "1 of 1 correct"),
        ([wrong(0), without_answer(0, "no_answer", 1)], "miss", "0 of 2 correct"),
        ([without_answer(0, "infra_error"), without_answer(0, "infra_error", 1)], "open", "Not answered"),
    ],
)
def test_several_samples_are_counted(results: list[dict[str, Any]], kind: str, label: str) -> None:
    view = case_view(item(0), results)
    assert (view["kind"], view["label"]) == (kind, label)
    assert (view["tokens"], view["attempts"]) == (286, 2)


def test_many_samples_are_cut_with_a_note() -> None:
    page = Page(render([(item(0), [result(0, sample) for sample in range(25)])], samples_per_item=25))
    assert "Sample 19" in page.text
    assert "Sample 20" not in page.text
    assert "5 more samples are not shown here" in page.text


def test_after_the_first_cases_the_page_points_to_the_whole() -> None:
    rows = [(item(index), [result(index)]) for index in range(12)]
    page = Page(render(rows, metrics(total=12), max_cases=10))
    assert page.tags.count("tbody") == 10
    assert "Test cases first 10 of 12" in page.text
    assert "This page shows the first 10 of 12 test cases. detailed_results.json has all of them." in page.text


def test_a_page_that_grows_too_large_ends_early_and_shows_only_first_cases() -> None:
    rows = [(item(index), [wrong(index, output="x" * 15_000)]) for index in range(12)]
    data = render(rows, metrics(total=12), max_bytes=100_000)
    shown = Page(data).tags.count("tbody")
    assert 1 < shown < 12
    assert len(data) < 130_000
    assert f"This page shows the first {shown} of 12 test cases." in Page(data).text


def test_scores_are_listed_but_not_those_that_have_a_card() -> None:
    summary = summarize(
        metrics(scores={"judge_score": 3.5, "f1": 0.25, "accuracy": 0.26}, bounds={"scores": {"judge_score": None}})
    )
    assert summary["scores"] == [("f1", 0.25, None), ("judge score", 3.5, None)]


def test_calls_and_first_tokens_are_shown_where_they_are_known() -> None:
    spread = {"p50": 120.0, "p95": 240.0, "mean": 130.0, "max": 300.0}
    text = Page(render([], metrics(ttft_ms=spread, attempts=1104, retries=4))).text
    assert "First token, median 120 ms 95th percentile 240 ms" in text
    assert "Calls 1,104 4 of them retries" in text
    assert "First token" not in Page(render([], metrics(ttft_ms=None))).text


def test_what_the_model_and_its_judge_cost_is_shown_where_it_is_known() -> None:
    judge = {"asked": 200, "tokens": {"total": 4000}}
    text = Page(render([], metrics(cost=0.0142, judge=judge, judge_cost=1.25))).text
    assert "Cost $0.014 Judge's tokens 4,000 of 200 questions, $1.25" in text
    assert "Judge's tokens 4,000 of 200 questions" in Page(render([], metrics(cost=None, judge=judge))).text
    assert "Cost" not in Page(render([], metrics(cost=None, judge=judge, judge_cost=None))).text
