"""Prompt templates and their limits."""

from typing import Any

import pytest

from shared.rendering import Source, TemplateError, Templates


def render(text: str, max_bytes: int = 10_000, **values: Any) -> str:
    templates = Templates([Source(["prompt", "template"], "user", text)], time_limit_s=0.2, max_bytes=max_bytes)
    (message,) = templates.render(values, list(values))
    assert message["role"] == "user"
    return message["content"]


def refusal(text: str, **values: Any) -> str:
    with pytest.raises(TemplateError) as caught:
        render(text, **values)
    assert caught.value.loc == ["prompt", "template"]
    return caught.value.msg


def test_messages_keep_their_order_and_roles() -> None:
    sources = [Source([0], "system", "Be brief."), Source([1], "user", "{{ q }} <{{ n + 1 }}>")]
    templates = Templates(sources, time_limit_s=1, max_bytes=100)
    assert templates.render({"q": "a & b", "n": 1}, ["q", "n"]) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a & b <2>"},
    ]


def test_an_undefined_name_is_said_with_its_line_and_the_columns() -> None:
    assert refusal("a\n{{ questoin }}", question="", answer="") == (
        "line 2 of the template: 'questoin' is undefined; the columns are question, answer"
    )
    assert render("{{ hint if hint is defined else 'none' }}") == "none"


@pytest.mark.parametrize(
    ("text", "msg"),
    [
        ("a\n{% if %}", "line 2 of the template: Expected an expression"),
        ("{{ q|nope }}", "line 1 of the template: No filter named 'nope'"),
        ("{{ 1 / 0 }}", "line 1 of the template: ZeroDivisionError"),
        ("\n{{ ''.__class__.__mro__ }}", "line 2 of the template: not allowed in a prompt"),
        ("{{ q.append(1) }}", "line 1 of the template: not allowed in a prompt"),
        ("{% include 'x' %}", "no loader"),
        ("{{ lipsum() }}", "'lipsum' is undefined"),
        ("{{ [1, 2]|random }}", "No filter named 'random'"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
        ("{{ " + "(" * 5000, "RecursionError"),
        ("{{ 10 ** 1000 ** 1000 ** 1000 }}", "a power of over"),
        ("{{ 'a' * 10 ** 12 }}", "a repetition of over"),
        ("{{ 10 ** 12 * [1] }}", "a repetition of over"),
        ("{{ 'a'|center(10 ** 15) }}", "needs too much memory"),
        ("{{ '\\ud800' }}", "surrogate"),
        (" {# nothing #} ", "renders to no text"),
    ],
)
def test_templates_that_fail(text: str, msg: str) -> None:
    assert msg in refusal(text, q=[1])


def test_an_endless_loop_is_ended() -> None:
    loop = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"
    assert refusal(loop) == "takes more than 0.2 s for one item; is there an endless loop?"
    assert render("{{ 2 ** 10 }}") == "1024"


def test_output_is_bounded_over_all_messages() -> None:
    assert "more than 10,000 bytes" in refusal("{% for a in range(100000) %}xxxxxxxxxx{% endfor %}")
    assert render("é" * 50, max_bytes=100) == "é" * 50
    with pytest.raises(TemplateError, match="more than 100 bytes"):
        render("é" * 51, max_bytes=100)
    sources = [Source([0], "system", "x" * 60), Source([1], "user", "x" * 60)]
    with pytest.raises(TemplateError, match="more than 100 bytes") as caught:
        Templates(sources, time_limit_s=1, max_bytes=100).render({}, [])
    assert caught.value.loc == [1]
