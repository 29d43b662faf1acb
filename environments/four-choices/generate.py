"""Generates the questions of this environment: `python environments/four-choices/generate.py`.

Each kind of question draws its parts, computes its answer from them, and draws three wrong choices that look like it; where the right
one stands is drawn so that each place is right equally often. The seed is fixed: the same code writes the same bytes.
"""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

SEED = 20_261_126
PER_KIND = 50
DEV_PER_KIND = 10
LETTERS = "ABCD"

NAMES = ["Ada", "Ben", "Carla", "Deniz", "Elif", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Kemal", "Lena"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
COMPASS = ["north", "east", "south", "west"]
THINGS = {
    "a fruit": ["apple", "pear", "cherry", "plum", "banana", "grape"],
    "a tool": ["hammer", "saw", "chisel", "wrench", "pliers", "drill"],
    "a bird": ["sparrow", "owl", "heron", "robin", "eagle", "swan"],
    "a vehicle": ["tram", "bicycle", "lorry", "ferry", "scooter", "van"],
    "an instrument": ["violin", "flute", "drum", "harp", "trumpet", "cello"],
    "a metal": ["iron", "copper", "zinc", "silver", "tin", "nickel"],
}


class Question(NamedTuple):
    """`wrong` are the three choices that are not right."""

    text: str
    right: str
    wrong: list[str]


Kind = Callable[[Random], Question]
KINDS: dict[str, tuple[int, Kind]] = {}


def kind(difficulty: int) -> Callable[[Kind], Kind]:
    """Registers a kind of question under its function's name, with its difficulty (1 to 3)."""

    def register(make: Kind) -> Kind:
        KINDS[make.__name__] = (difficulty, make)
        return make

    return register


@kind(1)
def odd_one_out(rng: Random) -> Question:
    names = sorted(THINGS)
    asked, other = rng.sample(names, 2)
    return Question(f"Which of these is not {asked}?", rng.choice(THINGS[other]), rng.sample(THINGS[asked], 3))


@kind(1)
def sequence(rng: Random) -> Question:
    form = rng.choice(["constant", "growing", "doubling"])
    start, step = rng.randrange(2, 40), rng.randrange(3, 13)
    numbers = [start]
    for place in range(4):
        if form == "doubling":
            numbers.append(numbers[-1] * 2)
        else:
            numbers.append(numbers[-1] + step + (place if form == "growing" else 0))
    *shown, right = numbers
    near = [right + off for off in (-step, -2, -1, 1, 2, step) if off and right + off > 0]
    wrong = rng.sample(sorted(set(near)), 3)
    asked = ", ".join(map(str, shown))
    return Question(f"Which number comes next: {asked}?", str(right), [str(number) for number in wrong])


@kind(2)
def weekday(rng: Random) -> Question:
    today, days = rng.choice(DAYS), rng.randrange(8, 90)
    ahead = rng.random() < 0.5
    right = DAYS[(DAYS.index(today) + (days if ahead else -days)) % 7]
    asked = f"is it {days} days from now" if ahead else f"was it {days} days ago"
    text = f"Today is {today}. Which day of the week {asked}?"
    return Question(text, right, rng.sample([day for day in DAYS if day != right], 3))


@kind(2)
def direction(rng: Random) -> Question:
    name, start = rng.choice(NAMES), rng.choice(COMPASS)
    turns = [rng.choice(["right", "left", "around"]) for _ in range(rng.randrange(3, 6))]
    total = sum({"right": 1, "left": -1, "around": 2}[turn] for turn in turns)
    right = COMPASS[(COMPASS.index(start) + total) % 4]
    *first, last = [f"turns {turn}" for turn in turns]
    text = f"{name} faces {start}. {name} {', '.join(first)} and then {last}. Which way does {name} face now?"
    return Question(text, right, [way for way in COMPASS if way != right])


@kind(3)
def clock(rng: Random) -> Question:
    start = rng.randrange(0, 24 * 12) * 5
    hours, minutes = rng.randrange(1, 12), rng.randrange(1, 12) * 5
    right = start + 60 * hours + minutes
    what = rng.choice(["train leaves", "film starts", "night shift begins", "flight departs"])
    text = f"A {what} at {_time(start)} and takes {hours} hours and {minutes} minutes. At what time does it end?"
    wrong = [right + off for off in rng.sample([-120, -60, -30, -10, 10, 30, 60, 120], 3)]
    return Question(text, _time(right), [_time(moment) for moment in wrong])


def _time(minutes: int) -> str:
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"


@kind(3)
def order(rng: Random) -> Question:
    oldest_first = rng.sample(NAMES, 4)
    facts = []
    for older, younger in itertools.pairwise(oldest_first):
        turned = rng.random() < 0.5
        facts.append(f"{younger} is younger than {older}." if turned else f"{older} is older than {younger}.")
    rng.shuffle(facts)
    end = rng.choice(["oldest", "youngest"])
    right = oldest_first[0 if end == "oldest" else -1]
    wrong = [name for name in oldest_first if name != right]
    return Question(f"{' '.join(facts)} Who is the {end}?", right, wrong)


def rows() -> dict[str, list[dict[str, object]]]:
    """The rows of each file."""
    rng = Random(SEED)
    files: dict[str, list[dict[str, object]]] = {"dev.jsonl": [], "test.jsonl": []}
    seen: set[str] = set()
    made: list[dict[str, object]] = []
    for name, (difficulty, make) in KINDS.items():
        places = [place % len(LETTERS) for place in range(PER_KIND)]
        rng.shuffle(places)
        for number, place in enumerate(places):
            question = make(rng)
            while _key(question) in seen:
                question = make(rng)
            seen.add(_key(question))
            choices = rng.sample(question.wrong, 3)
            choices.insert(place, question.right)
            row = {"question": question.text, "choices": choices, "answer": LETTERS[place]}
            made.append({**row, "kind": name, "difficulty": difficulty, "dev": number < DEV_PER_KIND})
    rng.shuffle(made)
    for number, row in enumerate(made, 1):
        file = "dev.jsonl" if row.pop("dev") else "test.jsonl"
        files[file].append({"id": f"fc-{number:03}", **row})
    return files


def _key(question: Question) -> str:
    return json.dumps([question.text, sorted([question.right, *question.wrong])])


def files() -> dict[str, bytes]:
    """What the data files hold."""
    return {
        name: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in of_file).encode()
        for name, of_file in rows().items()
    }


if __name__ == "__main__":
    for name, data in files().items():
        (Path(__file__).parent / name).write_bytes(data)
