"""Word problems solved from their text: what the sample endpoint's models know.

`solve` knows the kinds of problems of the environment `word-problems` by their sentences, has no table of answers, and computes
with fractions, so an answer is exact. A text that fits no kind as a whole has no answer: it never guesses.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

_NUMBER = r"-?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_WORDS = r"[^\d.?!]+?"  # any words of one sentence, but no number: each number of a problem has to be understood


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    compute: Callable[..., Fraction]


def _rule(sentences: str, compute: Callable[..., Fraction]) -> _Rule:
    """A rule from sentences in which `{a}` is a number, the argument `a` of `compute`, and `*` is any words without one."""
    pattern = re.escape(sentences).replace(r"\*", _WORDS).replace(r"\ ", r"\s+")
    pattern = re.sub(r"\\{(\w)\\}", lambda name: f"(?P<{name[1]}>{_NUMBER})", pattern)
    return _Rule(re.compile(pattern, re.IGNORECASE), compute)


_RULES = [
    # Buying, selling, saving
    _rule(
        "buys {a} * at {p} each and {b} * at {q} each. How many dollars does * spend?", lambda a, b, p, q: a * p + b * q
    ),
    _rule(
        "* cost {p} each and * cost {q} each. * takes {a} * and {b} *. How many dollars is the bill?",
        lambda a, b, p, q: a * p + b * q,
    ),
    _rule(
        "pays for {a} * at {p} each with a {n} bill. How many dollars of change does * get back?",
        lambda a, p, n: n - a * p,
    ),
    _rule(
        "One of the * costs {p}. * buys {a} of them and hands over {n}. How much change in dollars is due?",
        lambda a, p, n: n - a * p,
    ),
    _rule("saved {b} and saves another {w} a week. How many weeks * costs {c}?", lambda b, w, c: (c - b) / w),
    _rule(
        "costs {c}. * has {b} and puts aside {w} every week. After how many weeks can * buy *?",
        lambda b, w, c: (c - b) / w,
    ),
    _rule(
        "costs {p}. In a sale its price is cut by {r}%. How many dollars does it cost in the sale?",
        lambda p, r: p * (1 - r / 100),
    ),
    _rule("gets {r}% off a * priced at {p}. What is left to pay, in dollars?", lambda p, r: p * (1 - r / 100)),
    _rule(
        "has {a} in an account. * pays a bill of {b}, deposits {c} and then pays {d} of rent. What is the balance",
        lambda a, b, c, d: a - b + c - d,
    ),
    _rule(
        "account starts the month at {a}. * takes {b} from it, * adds {c}, and * takes {d}. How many dollars does it show at the end",
        lambda a, b, c, d: a - b + c - d,
    ),
    _rule(
        "bakes {a} trays of {b} * sells every * for {p}. The ingredients cost {c}. How many dollars of profit",
        lambda a, b, p, c: a * b * p - c,
    ),
    _rule(
        "spends {c} on * bakes {a} boxes with {b} * in each. All * are sold at {p} apiece. What is the profit",
        lambda a, b, p, c: a * b * p - c,
    ),
    _rule(
        "buys {a} * for {b} in all. It sells {c} of them at {d} each and the rest at {r}% off that price. How many dollars of profit",
        lambda a, b, c, d, r: c * d + (a - c) * d * (1 - r / 100) - b,
    ),
    _rule(
        "pays {b} for {a} *, sells {c} of them for {d} apiece, and lets the others go {r}% cheaper. What is the profit",
        lambda a, b, c, d, r: c * d + (a - c) * d * (1 - r / 100) - b,
    ),
    _rule(
        "invites {n} guests, and each of them eats {s} slices *. * has {k} slices and costs {p}. * gets {r}% off * fee of {f}. How many dollars",
        lambda n, s, k, p, r, f: n * s / k * p * (1 - r / 100) + f,
    ),
    _rule(
        "For {n} children, * wants {s} pieces *. * come in {k} pieces for {p}, less a discount of {r}%, and the delivery adds {f}. What is the total",
        lambda n, s, k, p, r, f: n * s / k * p * (1 - r / 100) + f,
    ),
    _rule(
        "earns {p} an hour, and {m} times as much for each hour over {u} in a week. How many dollars does * earn in a week of {h} hours?",
        lambda p, m, u, h: u * p + (h - u) * m * p,
    ),
    _rule(
        "pays {p} for each of the first {u} hours of a week and {r}% more for each hour after that. * works {h} hours. How many dollars",
        lambda p, r, u, h: u * p + (h - u) * (1 + r / 100) * p,
    ),
    # Rates
    _rule("travels at {v} kilometres per hour for {h} hours. How many kilometres does it cover?", lambda v, h: v * h),
    _rule(
        "How many kilometres does a * cover in {h} hours if it keeps up a speed of {v} kilometres per hour?",
        lambda v, h: v * h,
    ),
    _rule(
        "drives at {v} * per hour for {h} hours and then at {w} * per hour for {k} hours. How many kilometres is the whole trip?",
        lambda v, h, w, k: v * h + w * k,
    ),
    _rule(
        "For the first {h} hours of its journey a * does {v} * per hour, and for the remaining {k} hours {w} * per hour. How long is the journey",
        lambda v, h, w, k: v * h + w * k,
    ),
    _rule(
        "One * prints {a} pages a minute and another prints {b} * minute. How many minutes * together to print {n}",
        lambda a, b, n: n / (a + b),
    ),
    _rule(
        "has to label {n} jars with two machines. One labels {a} jars a minute, the other {b}. After how many minutes",
        lambda a, b, n: n / (a + b),
    ),
    _rule(
        "holds {n} litres and has {c} litres in it. A pump adds {a} litres a minute while a leak loses {b} litres a minute. After how many minutes",
        lambda n, c, a, b: (n - c) / (a - b),
    ),
    _rule(
        "with room for {n} litres already contains {c} litres. Every minute {a} litres flow in and {b} litres drain away. How many minutes",
        lambda n, c, a, b: (n - c) / (a - b),
    ),
    _rule(
        "makes {a} * a day. In {b} days, {c} of them fail the inspection. How many good * are left?",
        lambda a, b, c: a * b - c,
    ),
    _rule(
        "Each day {a} * leave a production line. Over {b} days {c} of * turn out to be broken. How many are not",
        lambda a, b, c: a * b - c,
    ),
    # Parts of a whole
    _rule(
        "There are {n} * on a farm, and {x}/{y} of them are *. How many * are not *?", lambda n, x, y: n * (1 - x / y)
    ),
    _rule(
        "Of the {n} * in a village, {x}/{y} belong to one farmer. How many * belong to somebody else?",
        lambda n, x, y: n * (1 - x / y),
    ),
    _rule(
        "has {n} *. * gives {w}/{y} of them to * and then {x}/{z} of what is left to *. How many * keep?",
        lambda n, w, y, x, z: n * (1 - w / y) * (1 - x / z),
    ),
    _rule(
        "collected {n} *, lost {w}/{y} of them, and sold {x}/{z} of the rest. How many",
        lambda n, w, y, x, z: n * (1 - w / y) * (1 - x / z),
    ),
    _rule(
        "was {n}. It grew by {r}% in the first year and shrank by {s}% in the second. How many people",
        lambda n, r, s: n * (1 + r / 100) * (1 - s / 100),
    ),
    _rule(
        "had {n} readers. * raised that number by {r}%, and later {s}% of the readers left. How many readers stayed?",
        lambda n, r, s: n * (1 + r / 100) * (1 - s / 100),
    ),
    _rule(
        "share {n} in the ratio {x}:{y}. How many dollars more does * get than *?",
        lambda n, x, y: n * (x - y) / (x + y),
    ),
    _rule(
        "of {n} is split {x}:{y} between *. By how many dollars is the share of * larger",
        lambda n, x, y: n * (x - y) / (x + y),
    ),
    # Ages, averages
    _rule("is {k} years older than *. Together they are {s} years old. How old is", lambda k, s: (s + k) / 2),
    _rule(
        "The ages of * add up to {s}. * is {k} years younger than *. How many years old is", lambda k, s: (s + k) / 2
    ),
    _rule(
        "is {m} times as old as *. In {t} years their ages will add up to {s}. How old is * now?",
        lambda m, t, s: (s - 2 * t) / (m + 1),
    ),
    _rule(
        "{t} years from now, * will be {s} years old together. Today * is {m} times as old as *. What",
        lambda m, t, s: (s - 2 * t) / (m + 1),
    ),
    _rule(
        "scored {a}, {b} and {c} points in the first three of four tests. How many points * average of all four to {m}?",
        lambda a, b, c, m: 4 * m - a - b - c,
    ),
    _rule(
        "After three games a team has {a}, {b} and {c} points. To average {m} points over four games, how many",
        lambda a, b, c, m: 4 * m - a - b - c,
    ),
    # Temperatures, differences, lengths
    _rule("it was {a} degrees *. * had fallen by {b} degrees. How many degrees was it", lambda a, b: a - b),
    _rule(
        "thermometer in * shows {a} degrees. * drops by {b} degrees. What does the thermometer show then?",
        lambda a, b: a - b,
    ),
    _rule(
        "it is {a} degrees *. * gets {b} degrees warmer, and * {c} degrees colder again. What is the temperature",
        lambda a, b, c: a + b - c,
    ),
    _rule(
        "is at {a} degrees. * warms up by {b} degrees, then it cools down by {c} degrees. How many degrees",
        lambda a, b, c: a + b - c,
    ),
    _rule("has {a} inhabitants and * has {b}. How many more people live in", lambda a, b: a - b),
    _rule(
        "Last year {a} people visited *, and {b} visited *. By how many visitors do the two differ?",
        lambda a, b: abs(a - b),
    ),
    _rule(
        "garden {a} metres long and {b} metres wide. A fence * except for a gate {g} metres wide, and costs {c} a metre. How many dollars",
        lambda a, b, g, c: (2 * (a + b) - g) * c,
    ),
    _rule(
        "measures {a} metres by {b} metres. * at {c} per metre and leaves an opening of {g} metres. What does the fence cost",
        lambda a, b, g, c: (2 * (a + b) - g) * c,
    ),
]


def solve(text: str) -> Decimal | None:
    """The answer to the word problem in `text`, or None where no kind of problem that is known fits it."""
    for rule in _RULES:
        if match := rule.pattern.search(text):
            numbers = {name: Fraction(re.sub(r"[$,]", "", written)) for name, written in match.groupdict().items()}
            try:
                value = rule.compute(**numbers)
            except ZeroDivisionError:
                return None
            return Decimal(value.numerator) / value.denominator
    return None
