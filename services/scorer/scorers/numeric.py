r"""The numeric scorer: takes a number from an answer and compares it exactly.

Which number: the last `#### 18` (the form of GSM8K's worked answers), else the last `\boxed{18}`, else the last number of the
text. Where a `####` line or a box holds an equation, what follows its last `=` counts.

How it is read, as `fractions.Fraction`, so that 0.1 equals 1/10 and 276003 is not 276000:
- thousands by comma, apostrophe, LaTeX `{,}` or a no-break, thin or narrow space: `1,234`. `1, 2, 3` and `1,2,3` are three
  numbers, `100,200` is one; a decimal comma is not understood, since `1,234` would have two meanings;
- signs `-`, `+`, U+2212 and dashes, where they touch the number and do not follow one (`5-10` ends in 10);
- `.5`, `3/4`, `1 1/2`, `1½`, `\frac{3}{4}`, `1e3`, `5 × 10^3`; a currency sign before it, any unit after it;
- a percentage is the number before the sign: 12% equals 12, and not 0.12;
- digits that belong to a word or are an exponent (`H2O`, `m^2`, `x_1`) are no numbers.

Numbers of about `WIDEST` characters and more, or with an exponent beyond `MAX_EXPONENT` are not read. Only the last `MAX_LOOKED`
characters are looked at, in windows: an answer of a megabyte of digits costs no more than another.
"""

import re
import unicodedata
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from math import isfinite
from typing import Any

from services.scorer.scorers.score import Score, compared
from shared.scoring import NumericScoring

MAX_LOOKED = 100_000
MAX_EXPONENT = 400
MAX_PLACES = 400
WIDEST = 1000
"""Characters that are read to find one number."""
_NARROW = 64
"""Width of the first window: enough for all but giant numbers, and cheap to scan."""
_MARGIN = 32
"""A match that starts this close to a window's cut edge may have lost its front (`123,` or `1 `) and is read again in a wide one."""
_FORMS_TRIED = 8
"""How many `####` or boxes without a number are passed over, from the end."""

_VULGAR = {char: Fraction(unicodedata.normalize("NFKC", char).replace("\u2044", "/")) for char in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞↉"}
_VULGAR_CLASS = "¼-¾⅐-⅞↉"
_SPACES = "\u00a0\u2009\u202f"
_MINUS = "-\u2212\u2012\u2013\ufe63\uff0d"
_SIGN = f"[{_MINUS}+]"
_CURRENCY = "$€£¥₹"

_LAST_DIGIT = re.compile(rf"(?s).*[\d{_VULGAR_CLASS}]")

_NUMBER = re.compile(
    rf"""
    (?=[\d{_MINUS[1:]}+.{_CURRENCY}{_VULGAR_CLASS}-])      # most characters end here: half the time of a scan
    (?:(?<![\w.)\]}}%{_CURRENCY}])(?P<outer>{_SIGN}))?      # -$5, -5
    (?:[{_CURRENCY}]\s?(?P<inner>{_SIGN})?)?                # $-5
    (?:
        (?:(?<![A-Za-z^\d])(?<![A-Za-z]_)(?<!\^\{{)(?<!\^[{_MINUS}])(?<!\^\{{[{_MINUS}])
         |(?<=USD)|(?<=EUR)|(?<=GBP)|(?<=INR)|(?<=Rs))
        (?P<whole>\d{{1,3}}(?:(?P<by>[,'’{_SPACES}])\d{{3}}(?:(?P=by)\d{{3}})*)(?!\d)|\d+)
        (?:
            (?P<part>\.\d+)?(?:[eE](?P<e>{_SIGN}?\d+)(?!\w)|\s?[x×*]\s?10\^\{{?(?P<ten>{_SIGN}?\d+)\}}?)
          | (?P<places>\.\d+)
          | [ {_SPACES}]?(?P<vulgar>[{_VULGAR_CLASS}])
          | [ {_SPACES}](?P<top>\d+)[/⁄](?P<bottom>0*[1-9]\d*)
          | \s?[/⁄]\s?(?P<over>0*[1-9]\d*(?:,\d{{3}})*)(?!\.?\d)
        )?
      | (?<![\w.])(?P<point>\.\d+)
      | (?P<alone>[{_VULGAR_CLASS}])
    )
    """,
    re.VERBOSE,
)

_BOXES = ("\\boxed{", "\\fbox{")
_FRAC = re.compile(r"(?P<before>\d)?\s?\\[dt]?frac\s?(?:\{\s?(\d{1,50})\s?\}\s?\{\s?(\d{1,50})\s?\}|(\d)(\d))")
_LATEX = (
    ("{,}", ","),
    ("\\!", ""),
    ("\\$", "$"),
    ("\\%", "%"),
    ("\\times", "×"),
    ("\\cdot", "×"),
    ("\\,", "\u2009"),
    ("\\left", ""),
)
_HASHES_HEADING = re.compile(r"\s*\**\d+(?:[.):]\s+\S|\s*[-–—]\s+[A-Za-z])")
_HASHES_LEAD = re.compile(
    rf"(?i)[\s*_`]*+(?:(?:final\s+)?answer[\s*_]*+(?:is)?[\s*_:]*+)?(?=[*_~≈=\s({_CURRENCY}+.{_MINUS[1:]}-]*[\d{_VULGAR_CLASS}])"
)


def score(output: str, target: str, scoring: NumericScoring, hints: Mapping[str, Any]) -> Score:
    """Compare the numbers of an answer and of a target; equal numbers are equal canonical texts."""
    wanted = number(target)
    if wanted is None:
        return compared(None, target.strip(), False)
    wanted_text = canonical(wanted)
    found = number(output)
    if found is None:
        return compared(None, wanted_text, False)
    text = canonical(found)
    correct = text == wanted_text
    if not correct and scoring.tolerance:
        correct = abs(Fraction(found) - wanted) <= _tolerance(scoring.tolerance)
    return compared(text, wanted_text, correct)


def check_target(target: str, scoring: NumericScoring, hints: Mapping[str, Any]) -> str | None:
    if number(target) is None:
        return "the target holds no number that can be read; write one such as 18, 1,234.5, 3/4 or a worked answer that ends in '#### 18'"
    return None


def number(text: str) -> int | Fraction | None:
    """The number that a text gives as its answer, or None."""
    text = text.rstrip()[-MAX_LOOKED:]
    if "####" in text:
        found = _hashes(text)
        if found is not None:
            return found
    if "\\" in text:
        found = _boxed(text)
        if found is not None:
            return found
        text = _plain(text)
    return _last(text)


def canonical(value: int | Fraction) -> str:
    """Equal numbers as equal text: `18`, `0.25`, and `1/3` where the decimals do not end (or not within `MAX_PLACES`)."""
    if isinstance(value, int):
        return str(value)
    top, bottom = value.numerator, value.denominator
    if bottom == 1:
        return str(top)
    places = _decimal_places(bottom)
    if places is None:
        return f"{top}/{bottom}"
    digits = str(abs(top) * 10**places // bottom).rjust(places + 1, "0")
    return f"{'-' if top < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def _decimal_places(denominator: int) -> int | None:
    twos = (denominator & -denominator).bit_length() - 1
    rest, fives = denominator >> twos, 0
    while rest % 5 == 0:
        rest //= 5
        fives += 1
    places = max(twos, fives)
    return places if rest == 1 and places <= MAX_PLACES else None


@lru_cache(maxsize=64)
def _tolerance(tolerance: float) -> Fraction | float:
    """The tolerance as it was written: 0.3 is 3/10, not the slightly smaller double."""
    return Fraction(repr(tolerance)) if isfinite(tolerance) else tolerance


def _hashes(text: str) -> int | Fraction | None:
    """The number of the last `#### 18`; Markdown headings (`#### Step 1`, `#### 2. Add`) are not of that form."""
    end = len(text)
    for _ in range(_FORMS_TRIED):
        at = text.rfind("####", 0, end)
        if at < 0:
            return None
        end = at
        segment = text[at + 4 : at + 4 + 2 * WIDEST].lstrip().partition("\n")[0]
        if _HASHES_HEADING.match(segment):
            continue
        segment = _plain(segment)
        lead = _HASHES_LEAD.match(segment)
        if lead:
            found = _first(segment[lead.end() :])
            if found is not None:
                return found
    return None


def _boxed(text: str) -> int | Fraction | None:
    end = len(text)
    for _ in range(_FORMS_TRIED):
        at = max(text.rfind(box, 0, end) for box in _BOXES)
        if at < 0:
            return None
        end = at
        found = _first(_plain(braced(text[at : at + 2 * WIDEST])))
        if found is not None:
            return found
    return None


def braced(text: str) -> str:
    """What the first pair of braces of a short text holds; to its end where they are not closed."""
    start, depth = text.find("{") + 1, 0
    for at in range(start, len(text)):
        char = text[at]
        if char == "{":
            depth += 1
        elif char == "}":
            if depth == 0:
                return text[start:at]
            depth -= 1
    return text[start:]


def _plain(text: str) -> str:
    r"""LaTeX's ways to write a number as plain ones: `1{,}234`, `\$5`, `1\frac{1}{2}`."""
    if "\\" not in text and "{" not in text:
        return text
    for latex, plain in _LATEX:
        text = text.replace(latex, plain)
    return _FRAC.sub(_plain_fraction, text) if "frac" in text else text


def _plain_fraction(match: re.Match[str]) -> str:
    before = match["before"]
    return f"{before + ' ' if before else ''}{match[2] or match[4]}/{match[3] or match[5]}"


def _first(text: str) -> int | Fraction | None:
    """The first number after the last `=`."""
    match = _NUMBER.search(text, text.rfind("=") + 1)
    return _value(match) if match and match.end() - match.start() <= WIDEST - _MARGIN else None


def _last(text: str) -> int | Fraction | None:
    """The last number of a text, found from its end in windows."""
    end = len(text)
    while found := _LAST_DIGIT.match(text, 0, end):
        digit = found.end()
        start = max(0, digit - _NARROW)
        match = _last_in(text, start, digit)
        if match is None:
            end = _run_end(text, start, digit)
            if end < digit:
                continue
        elif match.start() >= start + _MARGIN or start == 0:
            return _value(match)
        else:
            digit = match.end()
        start = max(0, digit - WIDEST)
        match = _last_in(text, start, digit)
        return _value(match) if match and (match.start() >= start + _MARGIN or start == 0) else None
    return None


def _run_end(text: str, start: int, end: int) -> int:
    """Where the run of digits ends that a window's edge cuts: `start` where it cuts none, at most `end`."""
    if start and text[start - 1].isdecimal():
        while start < end and text[start].isdecimal():
            start += 1
    return start


def _last_in(text: str, start: int, end: int) -> re.Match[str] | None:
    """The last number that ends at or before `end`; one more character is shown, for what must not follow a number."""
    match = None
    for match in _NUMBER.finditer(text, start, end + 1):  # noqa: B007 - the last one is what is wanted
        pass
    return match


def _integer(digits: str) -> int:
    """Digits of any script, with a sign of any sort."""
    if digits[0] in _MINUS:
        return -int(digits[1:])
    return int(digits)


def _value(match: re.Match[str]) -> int | Fraction | None:
    outer, inner, whole, by, part, e, ten, places, vulgar, top, bottom, over, point, alone = match.groups()
    value: int | Fraction
    if whole is not None:
        value = int(whole.replace(by, "") if by else whole)
        if e or ten:
            exponent = e or ten
            if len(exponent) > 5 or abs(power := _integer(exponent)) > MAX_EXPONENT:
                return None
            value = (value + _decimals(part)) * Fraction(10) ** power
        elif places:
            value += _decimals(places)
        elif vulgar:
            value += _VULGAR[vulgar]
        elif bottom:
            value += Fraction(int(top), int(bottom))
        elif over:
            value = Fraction(value, int(over.replace(",", "")))
    else:
        value = _decimals(point) if point else _VULGAR[alone]
    return -value if (outer and outer in _MINUS) or (inner and inner in _MINUS) else value


def _decimals(part: str | None) -> Fraction | int:
    """`.25` as 1/4."""
    return Fraction(int(part[1:]), 10 ** (len(part) - 1)) if part else 0
