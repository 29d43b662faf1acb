"""The items that every tool evaluates: GSM8K where it lies beside the checkout, else the problems of the sample environment."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.sample_model import SampleModel
from bench.fixtures import problems
from deploy.embedded.programs import ROOT

GSM8K = ROOT.parent / "shared" / "data" / "gsm8k" / "test.jsonl"
SIZE = 1_319
COPIES = 8

TEMPLATE = "{question}\n\nEnd with the answer as a number."
"""The one message of every call. Which call fails depends on its text, so every tool sends the same one."""
GENERATION = {"temperature": 0, "max_tokens": 512}

Row = dict[str, str]


@dataclass(frozen=True)
class Items:
    """Rows with `question` and `answer` (which ends in `#### number`), all different, and what they are, in words."""

    rows: Sequence[Row]
    what: str

    def write(self, file: Path, count: int) -> Path:
        """The first `count` rows as JSONL."""
        file.write_text("".join(json.dumps(row) + "\n" for row in self.rows[:count]))
        return file

    def right(self, model: str, count: int) -> int:
        """How many of the first `count` the endpoint's model answers right: the accuracy that a tool should find."""
        answering = SampleModel.parse(model)
        return sum(answering.answers_right(" ".join(row["question"].split())) for row in self.rows[:count])


def load(copies: int = COPIES, gsm8k: Path = GSM8K) -> Items:
    """`SIZE` items and so many times as much, in that order.

    A copy says which it is: a question asked twice would be the endpoint's second call for it, and a cache's hit.
    """
    if not gsm8k.exists():
        drawn = [{"question": row["question"], "answer": row["answer"]} for row in problems(SIZE * copies)]
        return Items(drawn, "generated word problems (GSM8K does not lie beside this checkout)")
    with gsm8k.open() as lines:
        rows: list[Row] = [json.loads(line) for line in lines]
    copied = [
        {**row, "question": f"{row['question']} (Copy {number}.)"} for number in range(2, copies + 1) for row in rows
    ]
    return Items([*rows, *copied], "GSM8K's test split, and eight times as much as marked copies of it")


def number(answer: str) -> str:
    """The gold number of a worked answer, without separators: `1234` of `... #### 1,234`."""
    return answer.rpartition("####")[2].strip().replace(",", "")
