"""How one text differs from another, word by word."""

import re
from difflib import SequenceMatcher
from itertools import groupby

from shared.api import DifferencePart

MOST_WORDS = 400
"""Between what two texts begin and end with in common; beyond that one is shown as removed and the other as added as a whole,
since the time that a comparison takes grows with the square."""

_WORD = re.compile(r"\s*\S+|\s+\Z")


def difference(first: str, second: str) -> list[DifferencePart]:
    """The runs of words that lead from the first text to the second: put together without `added` they are the first, without
    `removed` the second. Space belongs to the word that it stands before."""
    old, new = _WORD.findall(first), _WORD.findall(second)
    head = _shared(old, new)
    tail = _shared(old[head:][::-1], new[head:][::-1])
    old_rest, new_rest = old[head : len(old) - tail], new[head : len(new) - tail]
    parts = [("same", old[:head]), *_middle(old_rest, new_rest), ("same", old[len(old) - tail :])]
    joined = [
        (kind, "".join(word for _, words in group for word in words))
        for kind, group in groupby(parts, key=lambda part: part[0])
    ]
    return [DifferencePart.model_validate({"kind": kind, "text": text}) for kind, text in joined if text]


def _middle(old: list[str], new: list[str]) -> list[tuple[str, list[str]]]:
    if len(old) > MOST_WORDS or len(new) > MOST_WORDS:
        return [("removed", old), ("added", new)]
    parts: list[tuple[str, list[str]]] = []
    for kind, start, end, new_start, new_end in SequenceMatcher(None, old, new).get_opcodes():
        if kind == "equal":
            parts.append(("same", old[start:end]))
        else:
            parts += [("removed", old[start:end]), ("added", new[new_start:new_end])]
    return [part for part in parts if part[1]]


def _shared(first: list[str], second: list[str]) -> int:
    """With how many equal words both begin."""
    found = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        found += 1
    return found
