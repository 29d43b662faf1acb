"""Overviews: what somebody wrote becomes HTML that can do nothing."""

import re
import time

import pytest

from gateway.web.markdown import MAX_CHARS, to_html

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&#58;alert(1))",
    "[x](java\nscript:alert(1))",
    "[x](vbscript:x)",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](//evil.example/)",
    "[x](/v1/models)",
    "![x](https://evil.example/x.png)",
    "![x](data:image/png;base64,AAAA)",
    "<javascript:alert(1)>",
    "[a]: javascript:alert(1)\n\n[a]",
    '```"><script>alert(1)</script>\ncode\n```',
    '[x](https://a.example "\\"onmouseover=alert(1)")',
    "| a |\n|:-:|\n| <b onclick=x> |",
    "a\u202eb\x00c",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    html = to_html(text)
    tags = re.findall(r"<(\w+)([^>]*)>", html)
    assert {name for name, _ in tags} <= {
        *("p", "a", "pre", "code", "table", "thead", "tbody", "tr", "th", "td", "div"),
    }
    for _, attributes in tags:
        names = set(re.findall(r'([\w-]+)="[^"]*"', attributes))
        assert names <= {"href", "rel", "title", "class", "tabindex", "role", "aria-label"}
        assert re.sub(r'[\w-]+="[^"]*"', "", attributes).strip() == ""
    for href in re.findall(r'href="([^"]*)"', html):
        assert href.startswith(("https://", "http://", "mailto:"))
    assert "\u202e" not in html
    assert "\x00" not in html


def test_links_lead_out_without_a_way_back() -> None:
    assert to_html("[x](https://a.example/b)") == '<p><a href="https://a.example/b" rel="noopener nofollow">x</a></p>\n'
    assert 'href="mailto:a@b.example"' in to_html("<a@b.example>")


def test_headings_nest_without_a_gap_under_the_pages_own() -> None:
    html = to_html("# Title\n#### A\n## B\n### C\n# D", title="Title")
    assert re.findall(r"<(h\d)>(\w+)</h\d>", html) == [("h2", "A"), ("h2", "B"), ("h3", "C"), ("h2", "D")]


def test_a_heading_that_is_not_the_title_stays() -> None:
    assert "<h2>Other</h2>" in to_html("# Other\n\ntext", title="Title")


def test_a_tables_alignment_is_a_class_and_an_empty_head_is_none() -> None:
    html = to_html("| a | |\n|--:|---|\n| 1 | 2 |")
    assert '<th class="right">a</th>' in html
    assert "<td></td>" in html
    assert "<thead>" not in to_html("| | |\n|---|---|\n| size | 2 |")


@pytest.mark.parametrize("text", ["[", "> ", "*a ", "![](", "#\n", "- a\n", "|a|b|\n|-|-|\n", "_a__b", "a\n"])
def test_no_text_takes_long(text: str) -> None:
    started = time.process_time()
    to_html(text * (2 * MAX_CHARS // len(text)))
    assert time.process_time() - started < 10
