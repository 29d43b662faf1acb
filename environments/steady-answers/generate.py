"""Generates the problems of this environment: `python environments/steady-answers/generate.py`.

Each kind of problem draws its numbers, computes the answer from them, and tells them in two ways, each with two people and two things. The
seed is fixed: the same code writes the same bytes.
"""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

SEED = 20_261_126
PER_KIND = 10
DEV_PER_KIND = 2

NAMES = ["Ada", "Ben", "Carla", "Deniz", "Elif", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Kemal", "Lena"]
THINGS = ["notebooks", "pens", "apples", "mugs", "lamps", "candles", "scarves", "puzzles"]
DEAR = ["a tent", "a camera", "a guitar", "a telescope", "a kayak", "a sewing machine"]
VEHICLES = ["bus", "truck", "train", "ferry", "car", "tram"]
BAKED = ["rolls", "muffins", "pretzels", "scones"]


class Problem(NamedTuple):
    """`tellings` makes a question of a person and a thing, in each of its two ways."""

    answer: int
    things: list[str]
    tellings: list[Callable[[str, str], str]]


Kind = Callable[[Random], Problem]
KINDS: list[Kind] = []


def kind(make: Kind) -> Kind:
    KINDS.append(make)
    return make


@kind
def shopping(rng: Random) -> Problem:
    a, b, p, q = rng.randint(2, 12), rng.randint(2, 12), rng.randint(2, 25), rng.randint(2, 25)
    return Problem(
        a * p + b * q,
        THINGS[1:],
        [
            lambda name, thing: (
                f"{name} buys {a} {thing} at ${p} each and {b} notebooks at ${q} each. How many dollars does {name} spend?"
            ),
            lambda name, thing: (
                f"At the market, {thing} cost ${p} each and notebooks cost ${q} each. {name} takes {a} {thing} and {b} notebooks. "
                "How many dollars is the bill?"
            ),
        ],
    )


@kind
def change(rng: Random) -> Problem:
    a, p = rng.randint(2, 9), rng.randint(2, 10)
    note = 100
    return Problem(
        note - a * p,
        THINGS,
        [
            lambda name, thing: (
                f"{name} pays for {a} {thing} at ${p} each with a ${note} bill. How many dollars of change does {name} get back?"
            ),
            lambda name, thing: (
                f"One of the {thing} costs ${p}. {name} buys {a} of them and hands over ${note}. How much change in dollars is due?"
            ),
        ],
    )


@kind
def savings(rng: Random) -> Problem:
    weeks, b, w = rng.randint(3, 30), rng.randint(10, 90), rng.randint(5, 40)
    c = b + weeks * w
    return Problem(
        weeks,
        DEAR,
        [
            lambda name, thing: (
                f"{name} has saved ${b} and saves another ${w} a week. How many weeks does it take until {name} can pay for "
                f"{thing} that costs ${c:,}?"
            ),
            lambda name, thing: (
                f"{thing.capitalize()} costs ${c:,}. {name} has ${b} and puts aside ${w} every week. "
                f"After how many weeks can {name} buy it?"
            ),
        ],
    )


@kind
def discount(rng: Random) -> Problem:
    r = rng.choice([10, 20, 25, 40, 50])
    p = rng.randint(2, 30) * 20
    return Problem(
        p - p * r // 100,
        DEAR,
        [
            lambda name, thing: (
                f"{thing.capitalize()} costs ${p}. In a sale its price is cut by {r}%. How many dollars does it cost in the sale?"
            ),
            lambda name, thing: f"{name} gets {r}% off {thing} priced at ${p}. What is left to pay, in dollars?",
        ],
    )


@kind
def distance(rng: Random) -> Problem:
    v, h = rng.randint(20, 140), rng.randint(2, 14)
    return Problem(
        v * h,
        VEHICLES,
        [
            lambda name, thing: (
                f"A {thing} travels at {v} kilometres per hour for {h} hours. How many kilometres does it cover?"
            ),
            lambda name, thing: (
                f"How many kilometres does a {thing} cover in {h} hours if it keeps up a speed of {v} kilometres per hour?"
            ),
        ],
    )


@kind
def bakery(rng: Random) -> Problem:
    a, b, p = rng.randint(3, 12), rng.randint(6, 24), rng.randint(2, 5)
    c = rng.randint(10, a * b)
    return Problem(
        a * b * p - c,
        BAKED,
        [
            lambda name, thing: (
                f"{name} bakes {a} trays of {b} {thing} and sells every one for ${p}. The ingredients cost ${c}. "
                f"How many dollars of profit does {name} make?"
            ),
            lambda name, thing: (
                f"{name} spends ${c} on ingredients and bakes {a} boxes with {b} {thing} in each. "
                f"All {thing} are sold at ${p} apiece. What is the profit in dollars?"
            ),
        ],
    )


Row = dict[str, str | int]


def rows() -> tuple[list[Row], list[Row]]:
    """The questions of the phases `dev` and `test`; those of a problem stand together."""
    rng = Random(SEED)
    made = [(make.__name__, place, make(rng)) for make in KINDS for place in range(PER_KIND)]
    rng.shuffle(made)
    phases: tuple[list[Row], list[Row]] = ([], [])
    for number, (name, place, problem) in enumerate(made, start=1):
        people, things = rng.sample(NAMES, 2), rng.sample(problem.things, 2)
        tellings = [(telling, who) for telling in problem.tellings for who in (0, 1)]
        rng.shuffle(tellings)
        for letter, (telling, who) in zip("abcd", tellings, strict=True):
            phases[place >= DEV_PER_KIND].append(
                {
                    "id": f"sa-{number:02}-{letter}",
                    "problem": f"sa-{number:02}",
                    "question": telling(people[who], things[who]),
                    "answer": problem.answer,
                    "kind": name,
                }
            )
    return phases


def files() -> dict[str, bytes]:
    """The data files by name, with what the scoring program compares with."""
    dev, test = rows()
    reference = [{"item_id": row["id"], "problem": row["problem"], "answer": row["answer"]} for row in (*dev, *test)]
    written = {"dev.jsonl": dev, "test.jsonl": test, "reference_data/problems.jsonl": reference}
    return {name: "".join(json.dumps(row) + "\n" for row in found).encode() for name, found in written.items()}


if __name__ == "__main__":
    for filename, data in files().items():
        Path(__file__).with_name("reference_data").mkdir(exist_ok=True)
        Path(__file__).parent.joinpath(filename).write_bytes(data)
