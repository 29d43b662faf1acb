"""What a script writes into a page reads as what the server had written there: static/format.js against render.py and texts.py."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.web import assets, render
from shared import texts
from tests.pages import hostile
from tests.pages.visitor import Visitor

RATES = [None, 0, 1, 0.26, 0.005, 1 / 3, 2 / 3, 1 / 800, 3 / 800, 5 / 800, 0.99995, 0.999949, 1e-9]
NUMBERS = [None, 0, 1, 999, 1_000, 12_345, 1_234_567.4, 0.5, 1.5, 2.5]
TIMES_MS = [None, 0, 0.4, 12, 12.5, 999.4, 999.5, 1_000, 1_235, 1_245, 61_000, 1_234_567]
TIMES_S = [None, 0, 0.05, 45.2, 59.94, 59.95, 60, 130, 3_599, 3_600, 7_500, 90_000, 4_000_000]
SIZES = [0, 1, 999, 1_000, 1_049, 1_050, 1_450_000, 999_949, 999_950, 5_000_000_000, 2_500_000_000_000]
PLAIN = [None, 0, 1, 0.5, 0.12345, 0.00005, 1_234.5678, 1_234_567, -3.25]
DOLLARS = [None, 0, 1, 0.999, 0.125, 0.05, 0.0996, 0.001, 0.0021449, 1e-7, 1e-12, 12.345, 1_234.5, 2.5e6]
TEXTS = [*hostile.TEXTS.values(), "half a pair \ud83d alone, \udc00 too, \U0001f600 whole", "\t tab", ""]

FORMATS: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "percent": (texts.percent, RATES),
    "count": (texts.count, NUMBERS),
    "dollars": (texts.dollars, DOLLARS),
    "duration": (texts.duration, TIMES_MS),
    "seconds": (render.seconds, TIMES_S),
    "size": (render.size, SIZES),
    "plain": (texts.plain, PLAIN),
    "words": (render.words, ["exact_match", "f1", "", "a_b_c"]),
    "visible": (texts.visible, TEXTS),
}

CALL = """async ({ address, name, values }) => {
  const format = await import(address);
  return JSON.parse(values).map((value) => format[name](value));
}"""


@pytest.mark.parametrize("name", FORMATS)
def test_scripts_write_as_the_server_does(visit: Callable[..., Visitor], name: str) -> None:
    written, values = FORMATS[name]
    page = visit().go("/sign-in")
    # As JSON with escapes for all but ASCII: half a surrogate pair has no other way.
    asked = {"address": assets.url("format.js"), "name": name, "values": json.dumps(values)}
    assert page.evaluate(CALL, asked) == [written(value) for value in values]
