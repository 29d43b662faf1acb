"""A sample model: what it says to a question, as well as its skill says and always in the same way."""

import re
from hashlib import blake2b
from typing import Literal, NamedTuple

from assay.sample_choices import Chosen
from assay.sample_solver import Solved


def draw(*parts: str | int) -> float:
    """A number in [0, 1) that depends on the parts alone: the same in every process and whatever came before."""
    digest = blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / 2**53


Verdict = Literal["right", "wrong", "unknown"]


class Answer(NamedTuple):
    text: str
    verdict: Verdict


WRONG_BY = (1, -1, 2, 10)
"""What a wrong answer is off by."""

_WORDINGS = (
    "Let me work through this step by step. So the answer is {}.",
    "The answer is {}.",
    "Going through the numbers in the order they are given, I arrive at {}.",
    "I work out each part on its own and then put the parts together.\n#### {}",
    "Putting it all together, the result is **{}**.",
    "First I note what is known, then I compute what is asked for.\n\nAnswer: {}",
)

_CHOICE_WORDINGS = (
    "{}",
    "The answer is {}.",
    "({})",
    "Let me look at each of the choices. Only one of them fits, so the answer is **{}**.",
    "I rule out the others one by one.\n\nAnswer: {}",
    "The correct choice is {}.",
)


class SampleModel(NamedTuple):
    """A model that answers a question right with the probability `skill`, and each single one always in the same way."""

    name: str
    skill: float

    @classmethod
    def parse(cls, text: str) -> "SampleModel":
        """From `NAME=0.9`, or from a name that ends in a percentage, `sample-90`; any other name is always right."""
        name, equals, written = text.rpartition("=")
        if not equals:
            name = text
            percent = re.search(r"-(\d\d|100)$", name)
            written = str(int(percent[1]) / 100) if percent else "1"
        try:
            skill = float(written)
        except ValueError:
            skill = -1
        if not name or not 0 <= skill <= 1:
            raise ValueError(f"model {text!r}: must be NAME or NAME=SKILL, with a skill from 0 to 1")
        return cls(name, skill)

    def answers_right(self, question: str) -> bool:
        return draw("skill", self.name, question) < self.skill

    def answer(self, solved: Solved | Chosen | None) -> Answer:
        """What the model says: a text that ends in a number or names a choice, or that it doesn't know."""
        if solved is None:
            return Answer("I don't know.", "unknown")
        right = self.answers_right(solved.question)
        chance = draw("wording", self.name, solved.question)
        if isinstance(solved, Chosen):
            wrong = solved.letters.replace(solved.letter, "")
            letter = solved.letter if right or not wrong else wrong[int(chance * 997) % len(wrong)]
            wording = _CHOICE_WORDINGS[int(chance * len(_CHOICE_WORDINGS))]
            return Answer(wording.format(letter), "right" if letter == solved.letter else "wrong")
        number = solved.number if right else solved.number + WRONG_BY[int(chance * 997) % len(WRONG_BY)]
        wording = _WORDINGS[int(chance * len(_WORDINGS))]
        return Answer(wording.format(f"{number:,f}"), "right" if right else "wrong")
