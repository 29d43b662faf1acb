"""Markdown that somebody wrote, as HTML that can do nothing: no markup of its own, no images, links only to where one may go."""

import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from shared.texts import visible

MAX_CHARS = 100_000
"""Of a text that is rendered: the parser takes up to 10 microseconds a character, so it belongs into a thread."""

_MAX_NESTING = 20
_FIRST_LEVEL = 2
"""What the text's highest heading becomes: the page has its own `h1`."""

_LINKED = re.compile(r"(https?://|mailto:)", re.IGNORECASE)


@lru_cache(maxsize=32)
def to_html(text: str, title: str = "") -> Markup:
    """The first `MAX_CHARS` of `text`. A heading that repeats `title` at its beginning is left out.

    The HTML holds to the pages' Content-Security-Policy: no style attribute, nothing that is loaded.
    """
    parser = _parser()
    tokens = parser.parse(visible(text[:MAX_CHARS]))
    if len(tokens) > 2 and tokens[0].type == "heading_open" and tokens[1].content.strip() == title.strip():
        tokens = tokens[3:]
    _nest_headings(tokens)
    _align_by_class(tokens)
    for token in _all(tokens):
        if token.type == "link_open":
            token.attrSet("rel", "noopener nofollow")
    return Markup(parser.renderer.render(_without_empty_heads(tokens), parser.options, {}))  # noqa: S704


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:
        return _LINKED.match(url) is not None


@cache
def _parser() -> MarkdownIt:
    """CommonMark with tables and strikethrough. HTML in the text is text."""
    parser = _Parser("js-default", {"html": False, "maxNesting": _MAX_NESTING})
    parser.disable("image")  # it would be asked for from another host
    parser.add_render_rule("table_open", _open_table)
    parser.add_render_rule("table_close", _close_table)
    return parser


def _open_table(*_: object) -> str:
    # A wide table scrolls in its frame, which the keyboard must reach for that.
    return '<div class="table-frame" tabindex="0" role="group" aria-label="Table">\n<table>\n'


def _close_table(*_: object) -> str:
    return "</table>\n</div>\n"


def _all(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


def _nest_headings(tokens: Sequence[Token]) -> None:
    """Headings one level below another each, whatever levels the text skips: what reads a page aloud goes by them."""
    above: list[int] = []
    for opening, _, closing in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if opening.type != "heading_open":
            continue
        level = int(opening.tag[1:])
        while above and above[-1] >= level:
            above.pop()
        above.append(level)
        opening.tag = closing.tag = f"h{min(6, _FIRST_LEVEL + len(above) - 1)}"


def _align_by_class(tokens: Sequence[Token]) -> None:
    """A column's alignment, which the parser writes as a style attribute."""
    for token in tokens:
        style = token.attrs.pop("style", None)
        if style is not None:
            token.attrSet("class", str(style).removeprefix("text-align:"))


def _without_empty_heads(tokens: Sequence[Token]) -> list[Token]:
    """Tables without a first row in which nothing stands: Markdown demands one, a table of names and values has no use for it."""
    kept: list[Token] = []
    head: list[Token] | None = None
    for token in tokens:
        if token.type == "thead_open":
            head = []
        (kept if head is None else head).append(token)
        if token.type == "thead_close" and head is not None:
            if any(part.type == "inline" and part.content.strip() for part in head):
                _mark_empty_cells(head)
                kept += head
            head = None
    return kept


def _mark_empty_cells(head: Sequence[Token]) -> None:
    """A cell of a head in which nothing stands is the head of nothing."""
    for opening, content, closing in zip(head, head[1:], head[2:], strict=False):
        if opening.type == "th_open" and not content.content.strip():
            opening.tag = closing.tag = "td"
