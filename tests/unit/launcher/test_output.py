"""What an engine prints, as it is shown."""

import re

import pytest

from services.launcher.output import KEPT_LINES, Output, clean
from services.launcher.templates import load_templates


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain \t text", "plain \t text"),
        ("\x1b[1;32mgreen\x1b[0m and \x1b[2Kbold", "green and bold"),
        ("\x1b]0;a title\x07shown", "shown"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b(Bset", "set"),
        ("bell \x07 and \u202e override", "bell [U+0007] and [U+202E] override"),
        ("token hf_secret.", "token ***."),
        ("hf\x1b[0m_secret", "***"),
        ("x" * 501, "x" * 499 + "…"),
    ],
)
def test_a_line(line: str, shown: str) -> None:
    assert clean(line, ["hf_secret"]) == shown


def test_lines_come_in_pieces_and_a_carriage_return_ends_one_too() -> None:
    output = Output([])
    for piece in (b"on", b"e\r", b"\ntw\xc3", b"\xb6\n10%\r20%\r", b"\n\n", b"end"):
        output.feed(piece)
    assert list(output.lines) == ["one", "twö", "10%", "20%"]
    output.end()
    output.end()
    assert list(output.lines) == ["one", "twö", "10%", "20%", "end"]


def test_what_a_template_leaves_out_is_not_kept() -> None:
    output = Output([])
    output.leave_out = re.compile(load_templates(None)["transformers"].leave_out or "")
    access = 'INFO:     127.0.0.1:41252 - "POST /v1/chat/completions HTTP/1.1"'
    output.feed(f"{access} 200 OK\nserving\n{access} 500 Internal Server Error\n".encode())
    assert list(output.lines) == ["serving", f"{access} 500 Internal Server Error"]


def test_a_secret_in_two_pieces_is_masked() -> None:
    output = Output(["hf_secret", ""])
    output.feed(b"token hf_se")
    output.feed(b"cret\n")
    assert list(output.lines) == ["token ***"]


def test_the_rest_of_an_endless_line_is_dropped() -> None:
    output = Output([])
    for _ in range(100):
        output.feed(b"x" * 1000)
    output.feed(b"\nnext\n")
    first, second = output.lines
    assert (len(first), second) == (500, "next")


def test_the_newest_lines_are_kept_and_told_with_a_word_on_the_others() -> None:
    output = Output([])
    output.feed(b"".join(b"line %d\n" % number for number in range(1000)))
    assert len(output.lines) == KEPT_LINES
    assert output.take(2) == ["... 998 lines left out", "line 998", "line 999"]
    assert output.take(2) == []
    output.say("[launcher] a word")
    assert output.take(2) == ["[launcher] a word"]
