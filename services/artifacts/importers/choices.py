"""Multiple-choice items, as the scorer `choice` reads them."""

import hashlib
from collections.abc import Sequence
from string import ascii_uppercase

from services.artifacts.rows import scalar_text

MOST = len(ascii_uppercase)
ASK = "Answer with the letter of the right choice."


def choice_texts(value: object) -> list[str]:
    """The choices as texts. Raises `ValueError`, to be put after "column x", where they are no list of 2 to 26 texts that are not empty."""
    if not isinstance(value, list) or not 2 <= len(value) <= MOST:
        raise ValueError(f'must hold a list of 2 to {MOST} texts, such as ["yes", "no"]')
    texts = [scalar_text(one) for one in value]
    if not all(text.strip() for text in texts):
        raise ValueError("holds an empty choice")
    return texts


def lettered(choices: Sequence[str]) -> str:
    """`A. Paris`, a line each."""
    return "\n".join(f"{letter}. {choice}" for letter, choice in zip(ascii_uppercase, choices, strict=False))


def are_letters(choices: Sequence[str]) -> bool:
    """Whether these are nothing but A, B, C ...: then the question has their texts."""
    return [choice.strip(" ().") for choice in choices] == list(ascii_uppercase[: len(choices)])


def target_of(index: int, choices: Sequence[str]) -> str:
    """A target that can mean no other choice: its letter, or its text where a letter is also the text of a choice.

    Raises `ValueError` where neither does.
    """
    if not 0 <= index < len(choices):
        raise ValueError(f"is {index}; the choices are 0 to {len(choices) - 1}")
    folded = [choice.strip().casefold() for choice in choices]
    letter = ascii_uppercase[index]
    if are_letters(choices) or letter.casefold() not in folded:
        return letter
    if folded.count(folded[index]) == 1:
        return choices[index]
    raise ValueError("is a choice that another one cannot be told from")


def reordered(question: str, choices: Sequence[str], right: int) -> tuple[list[str], int]:
    """The choices in another order, and where the right one is then: for data in which it always stands at one place.

    The order is the same wherever and whenever it is made, and does not tell which is right.
    """
    order = sorted(range(len(choices)), key=lambda at: hashlib.sha256(f"{question}\0{choices[at]}".encode()).digest())
    return [choices[at] for at in order], order.index(right)
