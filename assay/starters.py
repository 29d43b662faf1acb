"""What `assay env new` starts an environment with: for each scorer a few rows, a prompt and the options without which it says little."""

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Starter:
    """`template` and `system` are the prompt's; `scoring` the options beside `scorer`; `target` and `columns` which columns hold what;
    `files` further ones by their path; `hint` what to look at first."""

    about: str
    template: str
    rows: list[Row]
    scoring: Row = field(default_factory=dict)
    system: str | None = None
    target: str | None = "answer"
    board: list[Row] = field(default_factory=lambda: [{"key": "overall_score", "title": "Score"}])
    files: dict[str, str] = field(default_factory=dict)
    hint: str = ""


def _rows(*pairs: tuple[str, str], **more: list[Any]) -> list[Row]:
    return [
        {
            "id": f"q{n + 1}",
            "question": question,
            "answer": answer,
            **{name: values[n] for name, values in more.items()},
        }
        for n, (question, answer) in enumerate(pairs)
    ]


_CAPITALS = _rows(
    ("What is the capital of France?", "Paris"),
    ("What is the capital of Peru?", "Lima"),
    ("What is the capital of Kenya?", "Nairobi"),
)

_SCORE_PY = '''"""Scores all answers together: called once, when all are there. Standard library only; numpy and scikit-learn are there, too."""

import json
import sys
from pathlib import Path

source, output = Path(sys.argv[1]), Path(sys.argv[2])
gold = json.loads((source / "ref" / "answers.json").read_text())
lines = (source / "res" / "predictions.jsonl").read_text().splitlines()
answers = {line["item_id"]: line["output"] for line in map(json.loads, lines)}

right = [gold[item].lower() in answers.get(item, "").lower() for item in gold]
scores = {"accuracy": sum(right) / len(right), "words": sum(len(text.split()) for text in answers.values()) / len(answers)}
(output / "scores.json").write_text(json.dumps(scores))
'''

STARTERS: dict[str, Starter] = {
    "numeric": Starter(
        about="Short calculations, each with one number as its answer.",
        template="{{ question }}\n\nEnd with the answer as one number.",
        rows=_rows(("What is 12 * 12?", "144"), ("What is a quarter of 10?", "2.5"), ("What is 7 - 19?", "-12")),
    ),
    "exact_match": Starter(
        about="Questions that are answered with one word and nothing else.",
        template="{{ question }} Answer with the name alone.",
        rows=_CAPITALS,
        scoring={"ignore_case": True, "ignore_punctuation": True},
    ),
    "contains": Starter(
        about="Questions whose answer is somewhere in what the model says.",
        template="{{ question }}",
        rows=_CAPITALS,
    ),
    "choice": Starter(
        about="Questions with choices, of which exactly one is right.",
        template=(
            "{{ question }}\n\n{% for choice in choices -%}\n"
            '{{ "ABCDEFGH"[loop.index0] }}. {{ choice }}\n{% endfor %}\nEnd with the letter of the right choice.'
        ),
        rows=_rows(
            ("Which of these is a metal?", "B"),
            ("Which of these is a bird?", "A"),
            ("Which of these is a planet?", "C"),
            choices=[["salt", "copper", "glass"], ["heron", "bat", "bee"], ["Sirius", "the Moon", "Venus"]],
        ),
        scoring={"choices": "choices"},
        hint="`answer` is a letter, a choice's text, or its index from 0.",
    ),
    "regex": Starter(
        about="Answers in a form of their own, from which a pattern takes what counts.",
        template="{{ question }}\n\nEnd with a line `Answer: <name>`.",
        rows=_CAPITALS,
        scoring={"pattern": r"Answer:\s*(\w+)"},
    ),
    "f1": Starter(
        about="Short answers that share words with the right one.",
        template="{{ question }} Answer in a few words.",
        rows=_rows(
            ("What do bees make?", "honey and wax"),
            ("What is water made of?", "hydrogen and oxygen"),
            ("What causes the tides?", "the gravity of the Moon and the Sun"),
        ),
        scoring={"threshold": 0.6},
    ),
    "rouge": Starter(
        about="Summaries, compared with one that a person wrote.",
        template="Summarise in one sentence:\n\n{{ question }}",
        rows=_rows(
            ("The bridge was closed on Monday after engineers found cracks.", "Cracks closed the bridge on Monday."),
            (
                "Rain fell for three days, and the river flooded the old town.",
                "The old town flooded after three days of rain.",
            ),
        ),
        scoring={"variant": "rougeL", "threshold": 0.4},
    ),
    "bleu": Starter(
        about="Translations, compared with one that a person made.",
        template="Translate into English:\n\n{{ question }}",
        rows=_rows(
            ("Der Zug hat zehn Minuten Verspätung.", "The train is ten minutes late."),
            ("Das Museum ist montags geschlossen.", "The museum is closed on Mondays."),
        ),
        scoring={"threshold": 0.4},
    ),
    "math": Starter(
        about="Mathematics whose answers may be written in many ways.",
        template="{{ question }}\n\nPut the final answer in \\boxed{}.",
        rows=_rows(
            ("What is the derivative of x^3?", "3x^2"),
            ("What is one half plus one third?", r"\frac{5}{6}"),
            ("Solve x^2 = 9 for positive x.", "3"),
        ),
    ),
    "json": Starter(
        about="Facts that are taken out of a text as JSON.",
        template="Give name and age as a JSON object with the keys name and age:\n\n{{ question }}",
        rows=_rows(
            ("Ada turned 36 last week.", '{"name": "Ada", "age": 36}'),
            ("At 41, Ben is the eldest.", '{"name": "Ben", "age": 41}'),
        ),
        scoring={
            "schema": {
                "type": "object",
                "required": ["name", "age"],
                "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            }
        },
        hint="`answer` is JSON as text; without one only the schema counts.",
    ),
    "code": Starter(
        about="Functions to write in Python, each with its unit tests.",
        template="{{ question }}\n\nAnswer with the code alone, in one block.",
        rows=[
            {
                "id": "add",
                "question": "Write a Python function add(a, b) that returns the sum of two numbers.",
                "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(-1, 1) == 0\n",
                "entry_point": "add",
            },
            {
                "id": "reverse",
                "question": "Write a Python function reverse(text) that returns the text backwards.",
                "test": "def check(candidate):\n    assert candidate('abc') == 'cba'\n    assert candidate('') == ''\n",
                "entry_point": "reverse",
            },
        ],
        scoring={"tests": "test", "entry_point": "entry_point", "time_limit_s": 5},
        target=None,
        hint="`test` defines `check(candidate)`, which fails by an assertion; it runs in a sandbox.",
    ),
    "judge": Starter(
        about="Open questions whose answers another model judges.",
        template="{{ question }} Explain it in three sentences.",
        rows=_rows(
            ("Why is the sky blue?", "Air scatters short waves of light more than long ones."),
            ("Why do leaves turn yellow?", "The green chlorophyll breaks down and the yellow that was there shows."),
        ),
        scoring={
            "rubric": (
                "How well does this answer explain it to a child of ten?\n\nQuestion: {{ input }}\n"
                "What a good answer says: {{ target }}\nAnswer: {{ output }}\n\n"
                "Say why in two sentences, then end with a line `Verdict: <number from 0 to 10>`."
            ),
            "scale": [0, 10],
        },
        hint="An evaluation names the model that judges (`assay eval ... --judge NAME`), or `scoring.model` does.",
    ),
    "program": Starter(
        about="Answers that a program of yours scores, all together.",
        template="{{ question }} Answer with the name alone.",
        rows=[{"id": row["id"], "question": row["question"]} for row in _CAPITALS],
        scoring={"program": "scoring_program", "reference": "reference_data"},
        target=None,
        board=[
            {"key": "accuracy", "title": "Accuracy"},
            {"key": "words", "title": "Words", "sorting": "asc", "precision": 1},
        ],
        files={
            "scoring_program/metadata.yaml": "command: python3 score.py $input $output\n",
            "scoring_program/score.py": _SCORE_PY,
            "reference_data/answers.json": '{"q1": "Paris", "q2": "Lima", "q3": "Nairobi"}\n',
        },
        hint="`scoring_program/score.py` gets all answers once they are there, and writes scores.json; its keys are the leaderboard's columns.",
    ),
}
