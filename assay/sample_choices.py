"""Multiple-choice questions solved from their text: what the sample endpoint's models know beside word problems.

`solve_choice` knows the kinds of questions of the environment `four-choices` by their sentences, has no table of answers, and never
guesses: a text that fits no kind, or whose answer is not among the choices, has no answer.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
COMPASS = ("north", "east", "south", "west")
KINDS_OF_THINGS: dict[str, frozenset[str]] = {
    "a fruit": frozenset({"apple", "pear", "cherry", "plum", "banana", "grape"}),
    "a tool": frozenset({"hammer", "saw", "chisel", "wrench", "pliers", "drill"}),
    "a bird": frozenset({"sparrow", "owl", "heron", "robin", "eagle", "swan"}),
    "a vehicle": frozenset({"tram", "bicycle", "lorry", "ferry", "scooter", "van"}),
    "an instrument": frozenset({"violin", "flute", "drum", "harp", "trumpet", "cello"}),
    "a metal": frozenset({"iron", "copper", "zinc", "silver", "tin", "nickel"}),
}
"""What the questions for the odd one out are made of."""

_CHOICE = re.compile(r"^([A-Z])[.)] (.+)$")


class Chosen(NamedTuple):
    """The question in a prompt with its choices, in single spaces, the letter of the right one, and the letters of all."""

    question: str
    letter: str
    letters: str


def solve_choice(prompt: str) -> Chosen | None:
    """The right choice of the question in `prompt`, which stands before its choices, each on a line `A. text`."""
    lines = [line.strip() for line in prompt.splitlines() if line.strip()]
    first = next((place for place, line in enumerate(lines) if line.startswith(("A. ", "A) "))), None)
    if not first:
        return None
    found: list[tuple[str, str]] = []
    for line in lines[first:]:
        match = _CHOICE.match(line)
        if match is None or ord(match[1]) != ord("A") + len(found):
            break
        found.append((match[1], match[2].strip()))
    question = " ".join(lines[first - 1].split())
    texts = [text for _, text in found]
    for pattern, answer in _KINDS:
        if asked := pattern.search(question):
            right = answer(asked, texts)
            letters = [letter for letter, text in found if text == right]
            if len(letters) != 1:
                return None
            return Chosen(" ".join([question, *texts]), letters[0], "".join(letter for letter, _ in found))
    return None


def _weekday(asked: re.Match[str], choices: Sequence[str]) -> str:
    days = int(asked["days"]) * (1 if asked["way"] == "from now" else -1)
    return DAYS[(DAYS.index(asked["today"]) + days) % 7]


def _direction(asked: re.Match[str], choices: Sequence[str]) -> str:
    turns = {"right": 1, "left": -1, "around": 2}
    total = sum(turns[turn] for turn in re.findall(r"\b(?:right|left|around)\b", asked["turns"]))
    return COMPASS[(COMPASS.index(asked["start"]) + total) % 4]


def _order(asked: re.Match[str], choices: Sequence[str]) -> str | None:
    above: dict[str, set[str]] = {}
    for one, than, other in re.findall(r"(\w+) is (older|younger) than (\w+)\.", asked["facts"]):
        higher, lower = (one, other) if than == "older" else (other, one)
        above.setdefault(lower, set()).add(higher)
        above.setdefault(higher, set())
    ends = above if asked["end"] == "oldest" else _turned(above)
    return _only(name for name, others in ends.items() if not others)


def _turned(above: dict[str, set[str]]) -> dict[str, set[str]]:
    return {name: {lower for lower, higher in above.items() if name in higher} for name in above}


def _odd(asked: re.Match[str], choices: Sequence[str]) -> str | None:
    things = KINDS_OF_THINGS.get(asked["kind"], frozenset())
    return _only(choice for choice in choices if choice not in things)


def _next(asked: re.Match[str], choices: Sequence[str]) -> str | None:
    numbers = [Fraction(number) for number in asked["numbers"].split(", ")]
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    if len(set(steps)) == 1:
        return str(numbers[-1] + steps[0])
    growth = {after - before for before, after in itertools.pairwise(steps)}
    if len(growth) == 1:
        return str(numbers[-1] + steps[-1] + growth.pop())
    rates = {after / before for before, after in itertools.pairwise(numbers)}
    return str(numbers[-1] * rates.pop()) if len(rates) == 1 else None


def _clock(asked: re.Match[str], choices: Sequence[str]) -> str:
    hours, minutes = map(int, asked["at"].split(":"))
    end = (60 * hours + minutes + 60 * int(asked["h"]) + int(asked["m"])) % (24 * 60)
    return f"{end // 60:02}:{end % 60:02}"


def _only(found: Iterable[str]) -> str | None:
    every = [*found]
    return every[0] if len(every) == 1 else None


_KINDS: list[tuple[re.Pattern[str], Callable[[re.Match[str], Sequence[str]], str | None]]] = [
    (
        re.compile(
            rf"Today is (?P<today>{'|'.join(DAYS)})\. Which day of the week (?:is|was) it (?P<days>\d+) days (?P<way>from now|ago)\?"
        ),
        _weekday,
    ),
    (re.compile(rf"faces (?P<start>{'|'.join(COMPASS)})\. (?P<turns>.+?)\. Which way does \w+ face now\?"), _direction),
    (re.compile(r"(?P<facts>(?:\w+ is (?:older|younger) than \w+\. ?)+)Who is the (?P<end>oldest|youngest)\?"), _order),
    (re.compile(r"Which of these is not (?P<kind>an? \w+)\?"), _odd),
    (re.compile(r"Which number comes next: (?P<numbers>\d+(?:, \d+){3,})\?"), _next),
    (re.compile(r"at (?P<at>\d\d:\d\d) and takes (?P<h>\d+) hours and (?P<m>\d+) minutes\."), _clock),
]
