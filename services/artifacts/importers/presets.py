"""Benchmarks of the Hub that are known: their columns, how the field asks them, and what of that a chat endpoint can do.

Columns are those of the datasets named here; the conventional few-shot counts are lm-evaluation-harness's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from services.artifacts.importers.choices import ASK, choice_texts, reordered, target_of

_LETTERED = (
    "{{ question }}\n\n"
    '{% for choice in choices %}{{ "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[loop.index0] }}. {{ choice }}\n{% endfor %}\n'
    f"{ASK}"
)
_CHOICE: Mapping[str, Any] = MappingProxyType({"scorer": "choice", "choices": "choices"})

Values = dict[str, Any]


@dataclass(frozen=True)
class Preset:
    """`read` makes an item's row of one of the dataset's (raising `BadColumn`), `answer` names its column that ends a few-shot example.
    Examples for an item are those whose `group` column is the same, where there is one. `shots` is the field's usual number of them."""

    title: str
    dataset: str
    config: str
    split: str
    template: str
    fields: Mapping[str, str]
    scoring: Mapping[str, Any]
    read: Callable[[Values], Values]
    why: str
    comparable: bool = False
    answer: str | None = None
    fewshot_split: str | None = None
    group: str | None = None
    shots: int = 0


class BadColumn(Exception):
    """`msg` completes "column x ..."."""

    def __init__(self, column: str, msg: str) -> None:
        super().__init__(msg)
        self.column, self.msg = column, msg


def _as_it_is(values: Values) -> Values:
    return values


def _need(values: Values, *columns: str) -> list[Any]:
    for column in columns:
        if values.get(column) is None:
            raise BadColumn(column, f"is missing; the columns are {', '.join(values)}")
    return [values[column] for column in columns]


def _chosen(column: str, choices: list[str], index: int) -> Values:
    try:
        return {"choices": choices, "target": target_of(index, choices)}
    except ValueError as error:
        raise BadColumn(column, str(error)) from error


def _texts(column: str, value: Any) -> list[str]:
    try:
        return choice_texts(value)
    except ValueError as error:
        raise BadColumn(column, str(error)) from error


def _mmlu(values: Values) -> Values:
    """question, subject, choices (4 texts), answer (0..3, or its letter in some copies)."""
    _, found, answer = _need(values, "question", "choices", "answer")
    choices = _texts("choices", found)
    letters = "ABCD"
    index = letters.find(answer) if isinstance(answer, str) and len(answer) == 1 else answer
    if not isinstance(index, int):
        raise BadColumn("answer", f"holds {str(answer)[:100]!r}; an index from 0, or a letter, is needed")
    rest = {key: value for key, value in values.items() if key != "answer"}
    return {**rest, **_chosen("answer", choices, index)}


def _arc(values: Values) -> Values:
    """id, question, choices {text: [...], label: [...]}, answerKey, which is one of the labels."""
    _, found, key = _need(values, "question", "choices", "answerKey")
    if not isinstance(found, dict) or not isinstance(labels := found.get("label"), list):
        raise BadColumn("choices", 'must hold {"text": [...], "label": [...]}')
    choices = _texts("choices", found.get("text"))
    if len(labels) != len(choices) or key not in labels:
        raise BadColumn("answerKey", f"holds {str(key)[:100]!r}; the labels are {', '.join(map(str, labels))[:200]}")
    rest = {name: value for name, value in values.items() if name != "answerKey"}
    return {**rest, **_chosen("answerKey", choices, labels.index(key))}


def _truthfulqa(values: Values) -> Values:
    """question, mc1_targets {choices: [...], labels: [1, 0, ...]}: the right one always comes first, so their order is made anew."""
    question, found = _need(values, "question", "mc1_targets")
    if not isinstance(found, dict) or not isinstance(labels := found.get("labels"), list) or labels.count(1) != 1:
        raise BadColumn("mc1_targets", 'must hold {"choices": [...], "labels": [...]} with one label 1')
    choices = _texts("mc1_targets", found.get("choices"))
    if len(labels) != len(choices):
        raise BadColumn("mc1_targets", f"has {len(choices)} choices and {len(labels)} labels")
    ordered, right = reordered(str(question), choices, labels.index(1))
    rest = {key: value for key, value in values.items() if key not in ("mc1_targets", "mc2_targets")}
    return {**rest, **_chosen("mc1_targets", ordered, right)}


def _humaneval(values: Values) -> Values:
    _need(values, "task_id", "prompt", "test", "entry_point")
    return values


_LIKELIHOODS = "The usual scores compare the log-likelihoods of the choices, mostly with {shots} examples; here the model names a letter."


def _arc_preset(name: str, config: str) -> Preset:
    return Preset(
        title=name,
        dataset="allenai/ai2_arc",
        config=config,
        split="test",
        template=_LETTERED,
        fields=MappingProxyType({"id": "id", "input": "question"}),
        scoring=_CHOICE,
        read=_arc,
        answer="target",
        fewshot_split="train",
        shots=25,
        why=_LIKELIHOODS.format(shots=25),
    )


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "gsm8k": Preset(
            title="GSM8K",
            dataset="openai/gsm8k",
            config="main",
            split="test",
            template="Solve this problem. End with the answer as a number.\n\n{{ question }}",
            fields=MappingProxyType({"input": "question", "target": "answer"}),
            scoring=MappingProxyType({"scorer": "numeric"}),
            read=_as_it_is,
            answer="answer",
            fewshot_split="train",
            shots=5,
            why="The usual scores are with 5 to 8 worked examples, and take the number after #### alone; here the last number counts.",
        ),
        "mmlu": Preset(
            title="MMLU",
            dataset="cais/mmlu",
            config="all",
            split="test",
            template='This is a question about {{ (subject or "") | replace("_", " ") }}.\n\n' + _LETTERED,
            fields=MappingProxyType({"input": "question"}),
            scoring=_CHOICE,
            read=_mmlu,
            answer="target",
            fewshot_split="dev",
            group="subject",
            shots=5,
            why=_LIKELIHOODS.format(shots=5),
        ),
        "arc_easy": _arc_preset("ARC easy", "ARC-Easy"),
        "arc_challenge": _arc_preset("ARC challenge", "ARC-Challenge"),
        "humaneval": Preset(
            title="HumanEval",
            dataset="openai/openai_humaneval",
            config="openai_humaneval",
            split="test",
            template="Complete this Python function. Answer with the whole function in one code block.\n\n```python\n{{ prompt }}\n```",
            fields=MappingProxyType({"id": "task_id", "input": "prompt", "target": "canonical_solution"}),
            scoring=MappingProxyType({"scorer": "code", "prompt": "prompt"}),
            read=_humaneval,
            comparable=True,
            why="The original's tests decide, as pass@1; the function is asked for in a chat, as scores of chat models are measured.",
        ),
        "truthfulqa_mc1": Preset(
            title="TruthfulQA (MC1)",
            dataset="truthfulqa/truthful_qa",
            config="multiple_choice",
            split="validation",
            template=_LETTERED,
            fields=MappingProxyType({"input": "question"}),
            scoring=_CHOICE,
            read=_truthfulqa,
            why="MC1 compares the log-likelihoods of the choices after six fixed examples; here the model names a letter, and the choices are "
            "in another order, since the right one always comes first in the data.",
        ),
    }
)
