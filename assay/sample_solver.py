"""Finding the question in a prompt and its answer, in gold files or by solving it."""

import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import orjson

from assay.sample_choices import Chosen, solve_choice
from assay.sample_word_problems import solve


class Solved(NamedTuple):
    """The question that was found in a prompt, in single spaces, and the right answer to it."""

    question: str
    number: Decimal


class Solver:
    """Finds the question in a prompt and its answer: in gold files first, else by `solve_choice` or `solve`.

    A gold file is JSONL with `question` and `answer`, whose last line is `#### <number>` (or is the number). A prompt may be the
    question itself, or hold it as a line or a paragraph, after a label such as `Question:` or not; of several, the last one counts,
    since examples come before what is asked.
    """

    def __init__(self, gold_files: Iterable[Path] = ()) -> None:
        self._gold: dict[str, Decimal] = {}
        for path in gold_files:
            self._gold.update(_read_gold(path))
        self.look_up: Callable[[str], Solved | Chosen | None] = lru_cache(maxsize=65_536)(self._look_up)

    def _look_up(self, prompt: str) -> Solved | Chosen | None:
        texts = list(dict.fromkeys(_parts(prompt)))
        for text in texts if self._gold else ():
            if (number := self._gold.get(text)) is not None:
                return Solved(text, number)
        if (chosen := solve_choice(prompt)) is not None:
            return chosen
        for text in texts:
            if (number := solve(text)) is not None:
                return Solved(text, number)
        return None


_LABEL = re.compile(r"^[A-Za-z ]{1,20}:\s*")


def _parts(prompt: str) -> Iterator[str]:
    """Where a question may be: lines and paragraphs from the last to the first, then the whole, all with single spaces."""
    for separator in ("\n", "\n\n"):
        for part in reversed(prompt.split(separator)):
            if text := " ".join(part.split()):
                yield text
                yield _LABEL.sub("", text)
    yield " ".join(prompt.split())


def _read_gold(path: Path) -> dict[str, Decimal]:
    """Answers by question. Raises `ValueError` that names the file and the line."""
    gold = {}
    with path.open("rb") as lines:
        for position, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {position}"
            try:
                row = orjson.loads(line)
                question, answer = row["question"], row["answer"]
                gold[" ".join(question.split())] = _gold_number(answer)
            except orjson.JSONDecodeError as error:
                raise ValueError(f"{where}: is not JSON ({error})") from error
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{where}: must be an object with the texts question and answer") from error
            except InvalidOperation as error:
                raise ValueError(f"{where}: answer must end in a line `#### <number>`") from error
    return gold


def _gold_number(answer: str) -> Decimal:
    return Decimal(answer.rpartition("####")[2].strip().replace(",", "").replace("$", ""))
