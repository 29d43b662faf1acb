"""Generates the word problems of this environment: `python environments/word-problems/generate.py`.

Each kind of problem draws its numbers so that the answer is exact (whole, or with two decimals), and writes the worked answer from
the very same numbers, so an answer is right by construction. The seed is fixed: the same code writes the same bytes.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import NamedTuple

SEED = 20_250_607
PER_KIND = 20
DEV_ITEMS = 100

NAMES = [
    "Ada",
    "Ben",
    "Carla",
    "Deniz",
    "Elif",
    "Farid",
    "Grace",
    "Hugo",
    "Ines",
    "Jonas",
    "Kemal",
    "Lena",
    "Mina",
    "Nadia",
    "Omar",
    "Priya",
    "Quinn",
    "Rosa",
    "Sven",
    "Tara",
]
TOWNS = ["Ashford", "Brookfield", "Cedarville", "Dunmore", "Eastwick", "Fairhaven", "Glenwood", "Harborough"]


class Problem(NamedTuple):
    """A question, the steps of its worked answer, and the answer itself."""

    question: str
    steps: list[str]
    answer: int | Decimal


Kind = Callable[[Random], Problem]
KINDS: dict[str, tuple[int, Kind]] = {}


def kind(difficulty: int) -> Callable[[Kind], Kind]:
    """Registers a kind of problem under its function's name, with its difficulty (1 to 5)."""

    def register(make: Kind) -> Kind:
        KINDS[make.__name__] = (difficulty, make)
        return make

    return register


def number(value: int | Decimal) -> str:
    """`1,234`, `-7`, `12.50`: thousands separators, and two decimals only where there are any."""
    return f"{int(value):,}" if value == int(value) else f"{value:,.2f}"


def money(value: int | Decimal) -> str:
    """`$12.50`, and `-$3` below zero."""
    return f"-${number(-value)}" if value < 0 else f"${number(value)}"


def price(rng: Random, low: int, high: int) -> Decimal:
    """A price in dollars, in steps of 5 cents: `low` and `high` are whole dollars."""
    return Decimal(rng.randrange(low * 20, high * 20 + 1)) * 5 / 100


def one_of(rng: Random, words: str) -> str:
    return rng.choice(words.split())


def two_of(rng: Random, words: str) -> tuple[str, str]:
    first, second = rng.sample(words.split(), 2)
    return first, second


@kind(1)
def shopping(rng: Random) -> Problem:
    name = rng.choice(NAMES)
    first, second = two_of(rng, "notebooks pens apples mugs lamps candles scarves puzzles")
    a, b, p, q = rng.randint(2, 12), rng.randint(2, 12), rng.randint(2, 25), rng.randint(2, 25)
    question = rng.choice(
        [
            f"{name} buys {a} {first} at ${p} each and {b} {second} at ${q} each. How many dollars does {name} spend?",
            f"At the market, {first} cost ${p} each and {second} cost ${q} each. {name} takes {a} {first} and {b} {second}. "
            "How many dollars is the bill?",
        ]
    )
    steps = [f"The {first} cost {a} * {p} = ${a * p}.", f"The {second} cost {b} * {q} = ${b * q}."]
    return Problem(question, [*steps, f"Together that is {a * p} + {b * q} = {money(a * p + b * q)}."], a * p + b * q)


@kind(1)
def distance(rng: Random) -> Problem:
    vehicle = one_of(rng, "bus truck train ferry car tram")
    v, h = rng.randint(20, 140), rng.randint(2, 14)
    question = rng.choice(
        [
            f"A {vehicle} travels at {v} kilometres per hour for {h} hours. How many kilometres does it cover?",
            f"How many kilometres does a {vehicle} cover in {h} hours if it keeps up a speed of {v} kilometres per hour?",
        ]
    )
    return Problem(question, [f"In {h} hours the {vehicle} covers {v} * {h} = {number(v * h)} kilometres."], v * h)


@kind(1)
def temperature(rng: Random) -> Problem:
    town = rng.choice(TOWNS)
    a, b = rng.randint(-9, 12), rng.randint(4, 25)
    question = rng.choice(
        [
            f"At noon it was {a} degrees in {town}. By midnight the temperature had fallen by {b} degrees. "
            "How many degrees was it at midnight?",
            f"The thermometer in {town} shows {a} degrees. Overnight the temperature drops by {b} degrees. What does the thermometer show then?",
        ]
    )
    return Problem(question, [f"After the fall it is {a} - {b} = {a - b} degrees."], a - b)


@kind(1)
def difference(rng: Random) -> Problem:
    first, second = rng.sample(TOWNS, 2)
    b = rng.randint(1_200, 80_000)
    a = b + rng.randint(150, 60_000)
    question = rng.choice(
        [
            f"{first} has {number(a)} inhabitants and {second} has {number(b)}. How many more people live in {first} than in {second}?",
            f"Last year {number(a)} people visited the museum in {first}, and {number(b)} visited the one in {second}. "
            "By how many visitors do the two differ?",
        ]
    )
    return Problem(question, [f"The difference is {number(a)} - {number(b)} = {number(a - b)}."], a - b)


@kind(2)
def change(rng: Random) -> Problem:
    name = rng.choice(NAMES)
    item = one_of(rng, "sandwiches postcards smoothies muffins magazines tickets")
    a, p = rng.randint(2, 6), price(rng, 1, 7)
    note = rng.choice([note for note in (20, 50, 100) if note > a * p])
    question = rng.choice(
        [
            f"{name} pays for {a} {item} at {money(p)} each with a ${note} bill. How many dollars of change does {name} get back?",
            f"One of the {item} costs {money(p)}. {name} buys {a} of them and hands over ${note}. How much change in dollars is due?",
        ]
    )
    steps = [
        f"The {item} cost {a} * {number(p)} = {money(a * p)}.",
        f"The change is {note} - {number(a * p)} = {money(note - a * p)}.",
    ]
    return Problem(question, steps, note - a * p)


@kind(2)
def factory(rng: Random) -> Problem:
    thing = one_of(rng, "bolts bottles bricks chargers tiles lightbulbs")
    a, b, c = rng.randint(1_050, 9_800), rng.randint(5, 30), rng.randint(100, 999)
    question = rng.choice(
        [
            f"A factory makes {number(a)} {thing} a day. In {b} days, {c} of them fail the inspection. How many good {thing} are left?",
            f"Each day {number(a)} {thing} leave a production line. Over {b} days {c} of these {thing} turn out to be broken. "
            "How many are not broken?",
        ]
    )
    steps = [f"In {b} days it makes {number(a)} * {b} = {number(a * b)} {thing}."]
    return Problem(question, [*steps, f"Good ones: {number(a * b)} - {c} = {number(a * b - c)}."], a * b - c)


@kind(2)
def savings(rng: Random) -> Problem:
    name = rng.choice(NAMES)
    thing = one_of(rng, "bicycle camera guitar laptop tent telescope")
    w, b, t = rng.randint(10, 60), rng.randint(20, 400), rng.randint(5, 40)
    c = b + w * t
    question = rng.choice(
        [
            f"{name} has already saved {money(b)} and saves another {money(w)} a week. "
            f"How many weeks does it take until there is enough for a {thing} that costs {money(c)}?",
            f"A {thing} costs {money(c)}. {name} has {money(b)} and puts aside {money(w)} every week. "
            f"After how many weeks can {name} buy the {thing}?",
        ]
    )
    steps = [
        f"{number(c)} - {number(b)} = {money(c - b)} is missing.",
        f"That takes {number(c - b)} / {w} = {t} weeks.",
    ]
    return Problem(question, steps, t)


@kind(2)
def discount(rng: Random) -> Problem:
    thing = one_of(rng, "jacket sofa watch backpack printer blender")
    p, r = rng.randint(2, 60) * 5, rng.choice([5, 10, 15, 20, 25, 30, 40, 60])
    off = Decimal(p * r) / 100
    question = rng.choice(
        [
            f"A {thing} costs {money(p)}. In a sale its price is cut by {r}%. How many dollars does it cost in the sale?",
            f"With a coupon, {rng.choice(NAMES)} gets {r}% off a {thing} priced at {money(p)}. What is left to pay, in dollars?",
        ]
    )
    steps = [
        f"{r}% of {money(p)} is {p} * {r} / 100 = {money(off)}.",
        f"So it costs {p} - {number(off)} = {money(p - off)}.",
    ]
    return Problem(question, steps, p - off)


@kind(2)
def fraction(rng: Random) -> Problem:
    animals, colour = (
        one_of(rng, "sheep goats rabbits hens ducks"),
        one_of(rng, "brown white black spotted"),
    )
    y = rng.randint(3, 9)
    x, n = rng.randint(1, y - 1), y * rng.randint(6, 60)
    rest = n - n * x // y
    question = rng.choice(
        [
            f"There are {n} {animals} on a farm, and {x}/{y} of them are {colour}. How many {animals} are not {colour}?",
            f"Of the {n} {animals} in a village, {x}/{y} belong to one farmer. How many {animals} belong to somebody else?",
        ]
    )
    return Problem(
        question, [f"{x}/{y} of {n} is {n} / {y} * {x} = {n - rest}.", f"That leaves {n} - {n - rest} = {rest}."], rest
    )


@kind(2)
def temperature_swing(rng: Random) -> Problem:
    town = rng.choice(TOWNS)
    a, b, c = rng.randint(-18, 3), rng.randint(2, 12), rng.randint(5, 20)
    question = rng.choice(
        [
            f"In the morning it is {a} degrees in {town}. By noon it gets {b} degrees warmer, and by night {c} degrees colder again. "
            "What is the temperature at night?",
            f"A freezer in {town} is at {a} degrees. Its door stays open and it warms up by {b} degrees, then it cools down by {c} degrees. "
            "How many degrees is it at in the end?",
        ]
    )
    return Problem(
        question,
        [f"First it is {a} + {b} = {a + b} degrees.", f"Then it is {a + b} - {c} = {a + b - c} degrees."],
        a + b - c,
    )


@kind(3)
def two_legs(rng: Random) -> Problem:
    vehicle = one_of(rng, "train coach lorry van")
    v, w, h, k = rng.randint(40, 130), rng.randint(40, 130), rng.randint(2, 7), rng.randint(2, 7)
    question = rng.choice(
        [
            f"A {vehicle} drives at {v} kilometres per hour for {h} hours and then at {w} kilometres per hour for {k} hours. "
            "How many kilometres is the whole trip?",
            f"For the first {h} hours of its journey a {vehicle} does {v} kilometres "
            f"per hour, and for the remaining {k} hours {w} kilometres per hour. "
            "How long is the journey in kilometres?",
        ]
    )
    steps = [f"First leg: {v} * {h} = {v * h} kilometres.", f"Second leg: {w} * {k} = {w * k} kilometres."]
    return Problem(question, [*steps, f"Together: {v * h} + {w * k} = {number(v * h + w * k)}."], v * h + w * k)


@kind(3)
def work_rate(rng: Random) -> Problem:
    a, b, t = rng.randint(12, 60), rng.randint(12, 60), rng.randint(6, 90)
    n = (a + b) * t
    question = rng.choice(
        [
            f"One printer prints {a} pages a minute and another prints {b} pages a minute. "
            f"How many minutes do they need together to print {number(n)} pages?",
            f"{rng.choice(NAMES)} has to label {number(n)} jars with two machines. One labels {a} jars a minute, the other {b}. "
            "After how many minutes are all jars labelled if both run at once?",
        ]
    )
    return Problem(
        question,
        [f"Together they do {a} + {b} = {a + b} a minute.", f"That takes {number(n)} / {a + b} = {t} minutes."],
        t,
    )


@kind(3)
def fraction_left(rng: Random) -> Problem:
    name, first, second = rng.sample(NAMES, 3)
    things = one_of(rng, "stamps marbles stickers shells coins")
    y, z = rng.randint(2, 6), rng.randint(3, 7)
    n, x = y * z * rng.randint(2, 15), rng.randint(1, z - 1)
    given = n // y
    left = n - given
    again = left // z * x
    if left % z:
        return fraction_left(rng)
    question = rng.choice(
        [
            f"{name} has {n} {things}. {name} gives 1/{y} of them to {first} and then {x}/{z} of what is left to {second}. "
            f"How many {things} does {name} keep?",
            f"{name} collected {n} {things}, lost 1/{y} of them, and sold {x}/{z} of the rest. How many {things} are still there?",
        ]
    )
    steps = [
        f"First {n} / {y} = {given} go, which leaves {n} - {given} = {left}.",
        f"Then {left} / {z} * {x} = {again} go.",
    ]
    return Problem(question, [*steps, f"That leaves {left} - {again} = {left - again}."], left - again)


@kind(3)
def growth(rng: Random) -> Problem:
    town = rng.choice(TOWNS)
    n, r, s = rng.randint(2, 45) * 10_000, rng.randint(2, 15), rng.randint(2, 15)
    first = n * (100 + r) // 100
    second = first * (100 - s) // 100
    question = rng.choice(
        [
            f"The population of {town} was {number(n)}. It grew by {r}% in the first year and shrank by {s}% in the second. "
            "How many people live there after the two years?",
            f"A website had {number(n)} readers. A campaign raised that number by {r}%, and later {s}% of the readers left. How many readers stayed?",
        ]
    )
    steps = [f"After the rise: {number(n)} * {100 + r} / 100 = {number(first)}."]
    return Problem(question, [*steps, f"After the fall: {number(first)} * {100 - s} / 100 = {number(second)}."], second)


@kind(3)
def age_sum(rng: Random) -> Problem:
    older, younger = rng.sample(NAMES, 2)
    y, k = rng.randint(4, 40), rng.randint(2, 25)
    s = 2 * y + k
    question = rng.choice(
        [
            f"{older} is {k} years older than {younger}. Together they are {s} years old. How old is {older}?",
            f"The ages of {older} and {younger} add up to {s}. {younger} is {k} years younger than {older}. How many years old is {older}?",
        ]
    )
    steps = [f"Twice the age of {older} is {s} + {k} = {s + k}.", f"So {older} is {s + k} / 2 = {y + k} years old."]
    return Problem(question, steps, y + k)


@kind(3)
def account(rng: Random) -> Problem:
    name = rng.choice(NAMES)
    a, b, c, d = rng.randint(200, 2_500), rng.randint(200, 2_000), rng.randint(50, 900), rng.randint(400, 2_600)
    question = rng.choice(
        [
            f"{name} has {money(a)} in an account. {name} pays a bill of {money(b)}, deposits {money(c)} and then pays {money(d)} of rent. "
            "What is the balance in dollars (below zero if the account is overdrawn)?",
            f"An account starts the month at {money(a)}. A repair takes {money(b)} from it, a "
            f"refund adds {money(c)}, and a holiday takes {money(d)}. "
            "How many dollars does it show at the end, with a minus sign if it is overdrawn?",
        ]
    )
    left = a - b
    steps = [f"After the first payment: {a} - {b} = {left}.", f"After the deposit: {left} + {c} = {left + c}."]
    return Problem(question, [*steps, f"In the end: {left + c} - {d} = {number(left + c - d)}."], left + c - d)


@kind(3)
def bakery(rng: Random) -> Problem:
    a, b, p, c = rng.randint(4, 20), rng.choice([6, 8, 12, 20, 24]), price(rng, 1, 4), rng.randint(15, 45)
    sold = a * b * p
    question = rng.choice(
        [
            f"A bakery bakes {a} trays of {b} rolls and sells every roll for {money(p)}. The ingredients cost {money(c)}. "
            "How many dollars of profit does it make?",
            f"{rng.choice(NAMES)} spends {money(c)} on flour and bakes {a} boxes with {b} cookies in each. "
            f"All cookies are sold at {money(p)} apiece. What is the profit in dollars?",
        ]
    )
    steps = [f"There are {a} * {b} = {a * b} to sell.", f"They bring in {a * b} * {number(p)} = {money(sold)}."]
    return Problem(question, [*steps, f"The profit is {number(sold)} - {c} = {money(sold - c)}."], sold - c)


@kind(3)
def fourth_test(rng: Random) -> Problem:
    name = rng.choice(NAMES)
    a, b, c, m = rng.randint(60, 95), rng.randint(60, 95), rng.randint(60, 95), rng.randint(72, 88)
    fourth = 4 * m - a - b - c
    if not 40 <= fourth <= 100:
        return fourth_test(rng)
    question = rng.choice(
        [
            f"{name} scored {a}, {b} and {c} points in the first three of four tests. "
            f"How many points in the fourth test bring the average of all four to {m}?",
            f"After three games a team has {a}, {b} and {c} points. To average {m} points over four games, how many must it score in the last one?",
        ]
    )
    steps = [f"All four add up to 4 * {m} = {4 * m}.", f"The first three add up to {a} + {b} + {c} = {a + b + c}."]
    return Problem(question, [*steps, f"The fourth is {4 * m} - {a + b + c} = {fourth}."], fourth)


@kind(4)
def fence(rng: Random) -> Problem:
    name = rng.choice(NAMES)
    a, b, g, c = rng.randint(12, 60), rng.randint(6, 40), rng.randint(2, 5), price(rng, 6, 30)
    length = 2 * (a + b) - g
    question = rng.choice(
        [
            f"{name} has a garden {a} metres long and {b} metres wide. A fence goes all around it except for a gate {g} metres wide, "
            f"and costs {money(c)} a metre. How many dollars does the fence cost?",
            f"A rectangular field measures {a} metres by {b} metres. Its owner fences it in at {money(c)} per metre and leaves an opening "
            f"of {g} metres. What does the fence cost in dollars?",
        ]
    )
    steps = [
        f"All around it is 2 * ({a} + {b}) = {2 * (a + b)} metres.",
        f"The fence is {2 * (a + b)} - {g} = {length} metres.",
    ]
    return Problem(question, [*steps, f"It costs {length} * {number(c)} = {money(length * c)}."], length * c)


@kind(4)
def tank(rng: Random) -> Problem:
    b, net, c, t = rng.randint(2, 12), rng.randint(5, 40), rng.randint(40, 900), rng.randint(8, 75)
    a, n = b + net, c + net * t
    question = rng.choice(
        [
            f"A tank holds {number(n)} litres and has {c} litres in it. A pump adds {a} litres a minute while a leak loses {b} litres a minute. "
            "After how many minutes is the tank full?",
            f"A pool with room for {number(n)} litres already contains {c} litres. Every minute {a} litres flow in and {b} litres drain away. "
            "How many minutes does it take to fill up?",
        ]
    )
    steps = [f"{number(n)} - {c} = {number(n - c)} litres are missing.", f"Each minute adds {a} - {b} = {net} litres."]
    return Problem(question, [*steps, f"It takes {number(n - c)} / {net} = {t} minutes."], t)


@kind(4)
def overtime(rng: Random) -> Problem:
    name = rng.choice(NAMES)
    p, over = rng.randint(11, 38), rng.randint(2, 18)
    h, extra = 40 + over, Decimal(p) * 3 / 2
    total = 40 * p + over * extra
    question = rng.choice(
        [
            f"{name} earns {money(p)} an hour, and 1.5 times as much for each hour over 40 in a week. "
            f"How many dollars does {name} earn in a week of {h} hours?",
            f"A job pays {money(p)} for each of the first 40 hours of a week and 50% more for each hour after that. "
            f"{name} works {h} hours. How many dollars is that week's pay?",
        ]
    )
    steps = [
        f"The first 40 hours pay 40 * {p} = {money(40 * p)}.",
        f"The other {over} hours pay {over} * {number(extra)} = {money(over * extra)}.",
    ]
    return Problem(question, [*steps, f"Together: {number(40 * p)} + {number(over * extra)} = {money(total)}."], total)


@kind(4)
def ratio(rng: Random) -> Problem:
    first, second = rng.sample(NAMES, 2)
    x, y, share = rng.randint(2, 9), rng.randint(1, 8), rng.randint(15, 250)
    if x <= y:
        return ratio(rng)
    n = (x + y) * share
    question = rng.choice(
        [
            f"{first} and {second} share {money(n)} in the ratio {x}:{y}. How many dollars more does {first} get than {second}?",
            f"A prize of {money(n)} is split {x}:{y} between {first} and {second}. "
            f"By how many dollars is the share of {first} larger than that of {second}?",
        ]
    )
    steps = [f"There are {x} + {y} = {x + y} parts of {number(n)} / {x + y} = {money(share)}."]
    return Problem(
        question, [*steps, f"The difference is ({x} - {y}) * {share} = {money((x - y) * share)}."], (x - y) * share
    )


@kind(4)
def age_multiple(rng: Random) -> Problem:
    older, younger = rng.sample(NAMES, 2)
    m, b, t = rng.randint(3, 6), rng.randint(3, 12), rng.randint(3, 15)
    s = (m + 1) * b + 2 * t
    question = rng.choice(
        [
            f"{older} is {m} times as old as {younger}. In {t} years their ages will add up to {s}. How old is {younger} now?",
            f"{t} years from now, {older} and {younger} will be {s} years old together. Today {older} is {m} times as old as {younger}. "
            f"What is the age of {younger} today?",
        ]
    )
    steps = [
        f"Today their ages add up to {s} - 2 * {t} = {s - 2 * t}.",
        f"That is {m} + 1 = {m + 1} times the age of {younger}.",
    ]
    return Problem(question, [*steps, f"So {younger} is {s - 2 * t} / {m + 1} = {b}."], b)


@kind(5)
def party(rng: Random) -> Problem:
    name = rng.choice(NAMES)
    s, k, pizzas = rng.randint(2, 4), rng.choice([6, 8, 12]), rng.randint(3, 20)
    if pizzas * k % s:
        return party(rng)
    n, p, fee, r = pizzas * k // s, price(rng, 7, 16), rng.randint(3, 12), rng.choice([10, 20, 40])
    full = pizzas * p
    off = full * r / 100
    if off * 100 % 1:
        return party(rng)
    question = rng.choice(
        [
            f"{name} invites {n} guests, and each of them eats {s} slices of pizza. A pizza has {k} slices and costs {money(p)}. "
            f"{name} gets {r}% off the pizzas and pays a delivery fee of {money(fee)}. How many dollars does {name} pay?",
            f"For {n} children, {name} wants {s} pieces of cake each. Cakes come in {k} pieces for {money(p)}, less a discount of {r}%, "
            f"and the delivery adds {money(fee)}. What is the total in dollars?",
        ]
    )
    steps = [
        f"{n} * {s} = {n * s} pieces are {n * s} / {k} = {pizzas} whole ones.",
        f"They cost {pizzas} * {number(p)} = {money(full)}.",
    ]
    steps.append(f"With {r}% off: {number(full)} - {number(off)} = {money(full - off)}.")
    return Problem(
        question, [*steps, f"With the fee: {number(full - off)} + {fee} = {money(full - off + fee)}."], full - off + fee
    )


@kind(5)
def trader(rng: Random) -> Problem:
    things = one_of(rng, "umbrellas chairs kettles lanterns rugs")
    a, d, r = rng.randint(20, 90), rng.randint(2, 12) * 5, rng.choice([20, 40, 50, 60])
    c = rng.randint(5, a - 5)
    b = rng.randint(a * d // 2, a * d)
    reduced = Decimal(d * (100 - r)) / 100
    first, rest = c * d, (a - c) * reduced
    question = rng.choice(
        [
            f"A shop buys {a} {things} for {money(b)} in all. It sells {c} of them at {money(d)} each and the rest at {r}% off that price. "
            "How many dollars of profit does it make (a loss counts as negative)?",
            f"A trader pays {money(b)} for {a} {things}, sells {c} of them for {money(d)} apiece, and lets the others go {r}% cheaper. "
            "What is the profit in dollars, negative if it is a loss?",
        ]
    )
    steps = [
        f"The first {c} bring in {c} * {d} = {money(first)}.",
        f"The other {a - c} go for {d} * {100 - r} / 100 = {money(reduced)} each.",
    ]
    steps.append(f"They bring in {a - c} * {number(reduced)} = {money(rest)}.")
    return Problem(
        question,
        [*steps, f"The profit is {number(first)} + {number(rest)} - {number(b)} = {money(first + rest - b)}."],
        first + rest - b,
    )


def rows() -> list[dict[str, str | int]]:
    """All problems in a fixed random order, no question twice."""
    rng = Random(SEED)
    drawn: dict[str, tuple[str, int, Problem]] = {}
    for name, (difficulty, make) in KINDS.items():
        wanted = len(drawn) + PER_KIND
        while len(drawn) < wanted:
            problem = make(rng)
            drawn.setdefault(problem.question, (name, difficulty, problem))
    shuffled = list(drawn.values())
    rng.shuffle(shuffled)
    return [
        {
            "id": f"wp-{index:03}",
            "question": problem.question,
            "answer": "\n".join([*problem.steps, f"#### {number(problem.answer)}"]),
            "kind": name,
            "difficulty": difficulty,
        }
        for index, (name, difficulty, problem) in enumerate(shuffled, start=1)
    ]


def files() -> dict[str, bytes]:
    """The data files by name: the first `DEV_ITEMS` rows are the phase `dev`, the others `test`."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows()]
    return {"dev.jsonl": "".join(lines[:DEV_ITEMS]).encode(), "test.jsonl": "".join(lines[DEV_ITEMS:]).encode()}


if __name__ == "__main__":
    for filename, data in files().items():
        Path(__file__).with_name(filename).write_bytes(data)
