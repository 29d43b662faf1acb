"""Numbers out of real-looking answers, compared exactly."""

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.scorers import Score, check_target, score
from services.scorer.scorers.numeric import canonical, number
from shared.scoring import NumericScoring

NUMERIC = NumericScoring(scorer="numeric")
GSM8K = Path(__file__).parents[3].parent / "shared" / "data" / "gsm8k" / "test.jsonl"


def read(text: str) -> str | None:
    value = number(text)
    return None if value is None else canonical(value)


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        # The last number of prose
        ("18", "18"),
        ("The answer is 18.", "18"),
        ("She has 16 - 3 - 4 = 9 eggs left, and makes 9 * 2 = $18 every day.", "18"),
        ("Therefore, the total is **18**.", "18"),
        ("It takes _18_ hours", "18"),
        ("so `18`", "18"),
        ("(18)", "18"),
        ("答案是18。", "18"),
        ("Answer: 18 (eighteen) dollars", "18"),
        ("18apples", "18"),
        ("5-10", "10"),
        ("between 5 – 10", "10"),
        ("1, 2, 3", "3"),
        ("1,2,3", "3"),
        ("1.2.3", "3"),
        ("at 10:30", "30"),
        ("on 2024-01-15", "15"),
        ("on 3/4/2024", "2024"),
        ("7/0", "0"),
        # Thousands
        ("1,234", "1234"),
        ("1,234,567.89", "1234567.89"),
        ("1\u202f234", "1234"),
        ("1\u2009234\u2009567", "1234567"),
        ("1\u00a0234", "1234"),
        ("1'234", "1234"),
        ("1,2345", "2345"),
        ("100,200", "100200"),
        ("276003", "276003"),
        # Signs
        ("-3", "-3"),
        ("+3", "3"),
        ("\u22123", "-3"),
        ("it is –3 degrees", "-3"),
        ("x=-3", "-3"),
        ("- 3 apples", "3"),
        ("$-3.50", "-3.5"),
        ("-$3.50", "-3.5"),
        ("\u2212£1,234.50", "-1234.5"),
        ("-0", "0"),
        # Decimals and fractions
        ("18.00", "18"),
        ("0.10", "0.1"),
        (".5", "0.5"),
        ("costs $.50", "0.5"),
        ("No.5", "5"),
        ("wait...5", "5"),
        ("3/4", "0.75"),
        ("It is 3/4.", "0.75"),
        ("24 / 4", "6"),
        ("1/3", "1/3"),
        ("-1/3", "-1/3"),
        ("2/6", "1/3"),
        ("1 1/2 cups", "1.5"),
        ("-1 1/2", "-1.5"),
        ("½", "0.5"),
        ("1½", "1.5"),
        ("2 ⅓", "7/3"),
        ("1/1,000", "0.001"),
        # Currency, percent and units
        ("$18", "18"),
        ("18€", "18"),
        ("18 USD", "18"),
        ("USD18", "18"),
        ("Rs500", "500"),
        ("Rs. 500", "500"),
        ("12%", "12"),
        ("12.5 %.", "12.5"),
        ("18 m^2", "18"),
        ("18 m²", "18"),
        ("18 cm^{-2}", "18"),
        ("18 g of H2O", "18"),
        ("x_1 is 7, unlike x_2", "7"),
        # Powers of ten
        ("1e3", "1000"),
        ("1.5E-3", "0.0015"),
        ("5 × 10^3", "5000"),
        ("2x10^{-3}", "0.002"),
        (r"2 \times 10^{3}", "2000"),
        ("1e400", "1" + "0" * 400),
        # GSM8K's form wins over what follows
        ("16-3-4=9\n#### 18", "18"),
        ("#### 18\nI checked it 3 times", "18"),
        ("#### -10", "-10"),
        ("#### $2,125.", "2125"),
        ("####18", "18"),
        ("#### **18** dollars", "18"),
        ("#### 9 * 2 = 18 dollars", "18"),
        ("#### Final Answer: 18\nas 9 * 2", "18"),
        ("#### 1\n#### 2", "2"),
        ("#### 1. Count the eggs\nThat gives 18", "18"),
        ("#### Step 2: Add\nso 18", "18"),
        ("#### 18\n#### Check", "18"),
        # Boxes
        (r"\boxed{18} after 3 steps", "18"),
        (r"$\boxed{\$18}$", "18"),
        (r"\boxed{18 \text{ m}^2}", "18"),
        (r"\boxed{x = 18}", "18"),
        (r"\boxed{\frac{3}{4}}", "0.75"),
        (r"\boxed{-\dfrac{1}{3}}", "-1/3"),
        (r"\boxed{1\frac12}", "1.5"),
        (r"\boxed{1{,}234}", "1234"),
        (r"\boxed{1,\!234}", "1234"),
        (r"\boxed{12\%}", "12"),
        (r"18 \boxed{B}", "18"),
        (r"\boxed{5} #### 6", "6"),
        (r"The sum is \(\frac{1}{2}\).", "0.5"),
        # Digits of other scripts
        ("१२", "12"),
        ("１８", "18"),
        # Far from the end
        ("18 " + "H2O " * 400, "18"),
        ("1234 " + "H2O " * 15 + "H2", "1234"),
        ("7" + " " * 200_000, "7"),
        # Nothing to take
        ("", None),
        ("no idea", None),
        ("eighteen", None),
        ("H2O", None),
        ("####", None),
        (r"\boxed{}", None),
        ("#### ....", None),
        ("1e999999999", None),
        ("1e-999999999", None),
        ("9" * 2000, None),
        ("#### " + "9" * 5000, None),
        ("m0.26", "26"),
    ],
)
def test_reads_the_number(answer: str, wanted: str | None) -> None:
    assert read(answer) == wanted


@pytest.mark.parametrize(
    ("answer", "target", "tolerance", "correct"),
    [
        ("18.00", "18", 0, True),
        ("276003", "276000", 0, False),
        ("276,000", "276000", 0, True),
        ("0.1", "1/10", 0, True),
        ("0.3333", "1/3", 0, False),
        ("0.3333", "1/3", 0.001, True),
        ("12%", "12", 0, True),
        ("0.12", "12%", 0, False),
        ("1.3", "1", 0.3, True),
        ("1.31", "1", 0.3, False),
        ("-1", "1", 2, True),
        ("-18", "18", 0, False),
        ("18", "9*2=<<9*2=18>>18 dollars\n#### 18", 0, True),
        ("100000000000000000001", "100000000000000000000", 0, False),
    ],
)
def test_compares_exactly(answer: str, target: str, tolerance: float, correct: bool) -> None:
    scoring = NumericScoring(scorer="numeric", tolerance=tolerance)
    assert score(answer, target, scoring, {}).correct is correct


def test_says_what_was_compared() -> None:
    assert score("So $1,234.50.", "#### 1,300", NUMERIC, {}) == Score("1234.5", "1300", False, {})
    assert score("no idea", "18", NUMERIC, {}) == Score(None, "18", False, {})


def test_a_target_without_a_number_is_refused_and_never_matched() -> None:
    assert "no number" in (check_target("eighteen", NUMERIC, {}) or "")
    assert check_target("#### 18", NUMERIC, {}) is None
    assert score("18", "eighteen", NUMERIC, {}) == Score(None, "eighteen", False, {})


FORMS = [
    "{}",
    "{:,}",
    "${:,}",
    "{}€",
    "{} %",
    "**{:,}**",
    "{}.",
    "{}.00",
    "#### {}",
    "\\boxed{{{}}}",
    "The answer is {:,} eggs.",
    "1, 2, {}",
    "{}/1",
    "{}e0",
    "so x = {}",
]


@given(st.integers(-(10**30), 10**30), st.sampled_from(FORMS))
def test_an_integer_survives_every_form(value: int, form: str) -> None:
    assert read(form.format(value)) == str(value)


@given(st.integers(-(10**15), 10**15), st.sampled_from(["\u202f", "\u2009", "\u00a0", "'", "{,}", ",\\!"]))
def test_an_integer_survives_every_separator(value: int, separator: str) -> None:
    assert read(f"\\({value:,}\\)".replace(",", separator)) == str(value)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=6))
def test_a_decimal_is_read_exactly(value: Decimal) -> None:
    assert number(f"about {value}.") == Fraction(value)


@given(st.fractions(), st.fractions())
def test_equal_numbers_are_equal_texts(left: Fraction, right: Fraction) -> None:
    assert (canonical(left) == canonical(right)) == (left == right)
    assert Fraction(canonical(left)) == left


@pytest.mark.skipif(not GSM8K.exists(), reason=f"the GSM8K test split is not at {GSM8K}")
def test_gsm8k_gold_answers_score_against_themselves() -> None:
    with GSM8K.open(encoding="utf-8") as lines:
        golds = [json.loads(line)["answer"] for line in lines]
    assert len(golds) == 1319
    for gold in golds:
        final = int(gold.rpartition("####")[2].replace(",", ""))
        assert check_target(gold, NUMERIC, {}) is None
        assert score(gold, gold, NUMERIC, {}) == Score(str(final), str(final), True, {})
        assert score(f"So the answer is {final:,}.", gold, NUMERIC, {}).correct
        assert not score(gold, str(final + 1), NUMERIC, {}).correct
