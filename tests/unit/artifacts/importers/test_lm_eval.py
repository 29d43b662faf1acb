"""Tasks of lm-evaluation-harness: what is carried over from good ones, and what is said of others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.scorer.scorers import score
from shared.errors import FieldError
from tests.unit.artifacts.importers import sources
from tests.unit.artifacts.importers.sources import Content, Import

DOCS = [
    {"question": "How many legs has a spider?", "answer": "Insects have 6.\n#### 8"},
    {"question": "What is 1000 + 250?", "answer": "#### 1,250"},
]
SHOTS = [{"question": f"What is {n} + {n}?", "answer": f"#### {2 * n}"} for n in (1, 2, 3)]
NUMBERS: dict[str, Any] = {
    "task": "numbers",
    "tag": ["sums"],
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "data/eval.jsonl", "train": "data/shots.jsonl"}},
    "output_type": "generate_until",
    "test_split": "test",
    "fewshot_split": "train",
    "doc_to_text": "Question: {{question}}\nAnswer:",
    "doc_to_target": "{{answer}}",
    "generation_kwargs": {"until": ["\n\n", "Question:"], "do_sample": False, "max_gen_toks": 64},
    "filter_list": [
        {
            "name": "strict",
            "filter": [{"function": "regex", "regex_pattern": r"#### (\-?[0-9\.\,]+)"}, {"function": "take_first"}],
        },
        {
            "name": "loose",
            "filter": [
                {"function": "regex", "group_select": -1, "regex_pattern": r"(-?[$0-9.,]{2,})|(-?[0-9]+)"},
                {"function": "take_first"},
            ],
        },
    ],
    "metric_list": [
        {
            "metric": "exact_match",
            "aggregation": "mean",
            "higher_is_better": True,
            "ignore_case": True,
            "regexes_to_ignore": [",", r"\$", "(?s).*#### ", r"\.$"],
        }
    ],
    "metadata": {"version": 1.0},
}
YAML, EVAL = "task.yaml", "data/eval.jsonl"
FILES: dict[str, Content] = {YAML: NUMBERS, EVAL: DOCS, "data/shots.jsonl": SHOTS}
PICK: dict[str, Any] = {
    "task": "pick",
    "dataset_path": "json",
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "Question: {{question}}\nAnswer:",
    "doc_to_target": "{{choices.label.index(key)}}",
    "doc_to_choice": "{{choices.text}}",
    "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
}
PICKED = [{"question": "Which is a fruit?", "choices": {"text": ["rock", "pear"], "label": ["1", "2"]}, "key": "2"}]


KEY = {"doc_to_target": "key"}


def run(tmp_path: Path, files: Mapping[str, Content] = FILES, **options: Any) -> Import:
    return sources.run(tmp_path, files, format="lm_eval", **options)


def refusal(tmp_path: Path, files: Mapping[str, Content] = FILES, **options: Any) -> FieldError:
    return sources.refusal(tmp_path, files, format="lm_eval", **options)


def changed(original: dict[str, Any], /, **changes: Any) -> dict[str, Any]:
    """The task with other keys; None takes one away."""
    return {key: value for key, value in (original | changes).items() if value is not None}


def numbers(**changes: Any) -> dict[str, Content]:
    return FILES | {"task.yaml": changed(NUMBERS, **changes)}


def test_a_task_that_generates(tmp_path: Path) -> None:
    found = run(tmp_path, FILES)
    assert found.manifest["slug"] == "numbers"
    assert found.manifest["tags"] == ["lm-evaluation-harness", "sums"]
    assert found.manifest["generation"] == {"temperature": 0.0, "max_tokens": 64, "stop": ["\n\n", "Question:"]}
    assert found.manifest["scoring"] == {
        "scorer": "regex",
        "pattern": r"#### (\-?[0-9\.\,]+)",
        "which": "first",
        "ignore": [",", r"\$", "(?s).*#### ", r"\.$"],
        "ignore_case": True,
    }
    assert found.bundle.phases == [("test", 2)]
    assert found.column("messages")[0] == [
        {"role": "user", "content": "Question: How many legs has a spider?\nAnswer:"}
    ]
    assert found.column("metadata")[1] == {"doc": {"question": DOCS[1]["question"]}}
    assert found.report.comparable
    assert found.report.dropped == {"filters": 1}
    assert "The filter loose is left out; scores are by the filter strict." in found.report.notes


@pytest.mark.parametrize(
    ("chosen", "answer", "correct"),
    [
        ("strict", "It has 8.\n#### 8", True),
        ("strict", "#### 8. Or #### 9", True),
        ("strict", "It has 8.", False),
        ("loose", "It has 10, no, 8.", True),
        ("loose", "It has 8, no, 10.", False),
    ],
)
def test_the_filter_and_the_metric_score_as_the_harness_does(
    tmp_path: Path, chosen: str, answer: str, correct: bool
) -> None:
    found = run(tmp_path, FILES, filter=chosen)
    assert score(answer, found.items[0]["target"], found.bundle.manifest.scoring, {}).correct is correct


def test_few_shot_examples_stand_before_each_question(tmp_path: Path) -> None:
    found = run(tmp_path, numbers(description="Sums about {{question[:3]}}."), num_fewshot=2)
    assert found.manifest["prompt"] == {"chat": "chat"}
    assert found.items[1]["messages"] == [
        {"role": "system", "content": "Sums about Wha."},
        {
            "role": "user",
            "content": "Question: What is 1 + 1?\nAnswer: #### 2\n\nQuestion: What is 2 + 2?\nAnswer: #### 4\n\n"
            "Question: What is 1000 + 250?\nAnswer:",
        },
    ]
    assert not found.report.comparable
    assert "at random" in found.report.comparable_why


def test_fixed_examples_leave_scores_comparable(tmp_path: Path) -> None:
    samples = {"sampler": "first_n", "samples": [{"question": "Hi?", "answer": "#### 0"}]}
    found = run(
        tmp_path,
        numbers(num_fewshot=1, fewshot_config=samples, target_delimiter="\n", fewshot_delimiter="\n---\n"),
    )
    assert found.items[0]["messages"][0]["content"].startswith(
        "Question: Hi?\nAnswer:\n#### 0\n---\nQuestion: How many"
    )
    assert found.report.comparable
    unlike = run(
        tmp_path / "unlike", numbers(num_fewshot=1, fewshot_config=samples | {"doc_to_text": "Asked: {{question}}"})
    )
    assert (unlike.report.comparable, unlike.report.dropped["keys"]) == (False, 1)


def test_examples_without_data_are_left_out_and_said_so(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        {name: FILES[name] for name in ("task.yaml", "data/eval.jsonl")},
        num_fewshot=3,
    )
    assert found.report.dropped["few-shot examples"] == 3
    assert (found.report.comparable, "are not there" in found.report.comparable_why) == (False, True)


def test_multiple_choice_becomes_letters(tmp_path: Path) -> None:
    found = run(tmp_path, {"pick.yaml": PICK, "test.json": PICKED})
    assert found.items[0]["messages"][0]["content"] == (
        "Question: Which is a fruit?\nAnswer:\n\nA. rock\nB. pear\n\nAnswer with the letter of the right choice."
    )
    assert (found.items[0]["target"], found.items[0]["hints"]) == ("B", {"choices": ["rock", "pear"]})
    assert found.manifest["scoring"]["scorer"] == "choice"
    assert not found.report.comparable
    assert "log-likelihoods" in found.report.comparable_why
    assert found.report.dropped == {"metrics": 1}


@pytest.mark.parametrize(
    ("changes", "doc", "choices", "target", "right"),
    [
        ({"doc_to_choice": ["no", "yes"], "doc_to_target": "key"}, {"key": 1}, ["no", "yes"], "B", "B"),
        ({"doc_to_choice": ["no", "yes"], "doc_to_target": "{{key}}"}, {"key": "yes"}, ["no", "yes"], "B", "B"),
        ({"doc_to_choice": "choices", "doc_to_target": 0}, {"choices": ["x", "y"]}, ["x", "y"], "A", "A"),
        ({"doc_to_choice": {"a": "x", "b": "y"}, "doc_to_target": "key"}, {"key": "1"}, ["x", "y"], "B", "B"),
        ({"doc_to_choice": "{{[one, two]}}"} | KEY, {"one": "B", "two": "A", "key": 0}, ["B", "A"], "B", "A"),
        ({"doc_to_choice": ["A", "B", "C"]} | KEY, {"key": "C"}, ["A", "B", "C"], "C", "C"),
        ({"doc_to_choice": "of"} | KEY, {"of": ["4", "2", "0", "1"], "key": 1}, ["4", "2", "0", "1"], "B", "B"),
    ],
)
def test_ways_to_name_the_right_choice(
    tmp_path: Path, changes: dict[str, Any], doc: dict[str, Any], choices: list[str], target: str, right: str
) -> None:
    found = run(tmp_path, {"pick.yaml": PICK | changes, "test.jsonl": [{"question": "?"} | doc]})
    item = found.items[0]
    assert (item["hints"]["choices"], item["target"]) == (choices, target)
    right_ones = [
        letter for letter in "ABCD" if score(letter, target, found.bundle.manifest.scoring, item["hints"]).correct
    ]
    assert right_ones == [right]


def test_several_gold_answers(tmp_path: Path) -> None:
    files = numbers(
        doc_to_target="answers", filter_list=None, metric_list=[{"metric": "exact_match", "ignore_punctuation": True}]
    )
    files["data/eval.jsonl"] = [{"question": "?", "answers": ["one", "two"]}, {"question": "?", "answers": ["three"]}]
    found = run(tmp_path, files)
    assert found.manifest["scoring"] == {
        "scorer": "exact_match",
        "ignore_punctuation": True,
        "references": "references",
    }
    assert [(item["target"], item["hints"]) for item in found.items] == [
        ("one", {"references": ["two"]}),
        ("three", {"references": []}),
    ]


def test_included_files_and_the_task_that_is_asked_for(tmp_path: Path) -> None:
    files: dict[str, Content] = {
        "tasks/_base.yaml": changed(
            NUMBERS, task=None, dataset_kwargs={"data_files": {"test": "/home/somebody/eval.jsonl"}}
        ),
        "tasks/plus.yaml": {"include": "_base.yaml", "task": "plus", "doc_to_text": "question"},
        "tasks/minus.yaml": {"include": "_base.yaml", "task": "minus"},
        "eval.jsonl": DOCS,
    }
    found = run(tmp_path / "plus", files, task="plus")
    assert found.column("input") == [doc["question"] for doc in DOCS]
    assert refusal(tmp_path / "none", files)["msg"] == "is needed, since there are 2 tasks: minus, plus"
    wrong = refusal(tmp_path / "wrong", files, task="plos")
    assert (wrong["loc"], "did you mean 'plus'?" in wrong["msg"]) == (["import", "task"], True)


def test_what_is_wrong_with_another_task_does_not_matter(tmp_path: Path) -> None:
    files: dict[str, Content] = {
        "_numbers_yaml": changed(NUMBERS, task=None),
        "good.yaml": {"include": "_numbers_yaml", "task": "good"},
        "bad.yaml": "task: bad\nprocess_docs: !function utils.docs\n",
        EVAL: DOCS,
    }
    assert len(run(tmp_path / "good", files, task="good").items) == 2
    found = refusal(tmp_path / "bad", files, task="bad")
    assert (found["loc"], "line 2" in found["msg"], "process_docs" in found["msg"]) == (["bad.yaml"], True, True)
    assert refusal(tmp_path / "none", files)["msg"] == "is needed, since there are 2 tasks: bad, good"


def test_the_beginning_of_the_answer_ends_the_question(tmp_path: Path) -> None:
    shots = {"sampler": "first_n", "samples": [{"question": "Hi?", "answer": "hm, #### 0"}]}
    task = numbers(
        gen_prefix="Let's think:\n",
        num_fewshot=1,
        fewshot_config=shots,
        doc_to_text="{{question}}\n",
        target_delimiter="",
    )
    found = run(tmp_path, task)
    assert found.items[0]["messages"][0]["content"] == (
        "Hi?\nLet's think:\nhm, #### 0\n\nHow many legs has a spider?\nLet's think:\n"
    )
    assert any(note.startswith("gen_prefix ends") for note in found.report.notes)


def test_a_right_choice_that_always_comes_first_is_moved(tmp_path: Path) -> None:
    docs = [{"question": f"Question {n}?", "of": [f"right {n}", f"wrong {n}", f"worse {n}"]} for n in range(20)]
    task = PICK | {"doc_to_target": 0, "doc_to_choice": "of"}
    found = run(tmp_path, {"pick.yaml": task, "test.jsonl": docs})
    assert {item["target"] for item in found.items} == {"A", "B", "C"}
    for at, item in enumerate(found.items):
        assert item["hints"]["choices"]["ABC".index(item["target"])] == f"right {at}"
    assert any("put into another order" in note for note in found.report.notes)


def test_examples_are_of_no_split_that_is_evaluated(tmp_path: Path) -> None:
    task = numbers(
        validation_split="validation",
        fewshot_split="validation",
        num_fewshot=1,
        dataset_kwargs=None,
        dataset_path="x/y",
    )
    files = task | {"test.jsonl": DOCS, "validation.jsonl": SHOTS}
    found = run(tmp_path / "one", files)
    assert found.bundle.phases == [("test", 2)]
    assert "The split validation is no phase: it gives the few-shot examples." in found.report.notes
    task = numbers(fewshot_split="test", num_fewshot=1, dataset_kwargs=None, dataset_path="x/y")
    alone = run(tmp_path / "two", task | {"test.jsonl": DOCS})
    assert alone.column("messages")[0][0]["content"].startswith("Question: How many")
    assert (alone.report.comparable, alone.report.dropped["few-shot examples"]) == (False, 1)
    one = run(tmp_path / "three", numbers(num_fewshot=1, dataset_kwargs={"data_files": "eval.jsonl"}))
    assert one.report.dropped["few-shot examples"] == 1


def test_no_column_tells_the_answer(tmp_path: Path) -> None:
    for at, (key, value) in enumerate(
        [("doc_to_target", "answer"), ("doc_to_target", "{% if answer %}{{ answer }}{% endif %}")]
    ):
        found = run(tmp_path / str(at), numbers(**{key: value}))
        assert [item["metadata"]["doc"] for item in found.items] == [{"question": doc["question"]} for doc in DOCS]
    picked = run(tmp_path / "pick", {"pick.yaml": PICK, "test.json": PICKED})
    assert picked.items[0]["metadata"] == {"doc": {"question": "Which is a fruit?"}}
    deep = "[" * 50_000 + "]" * 50_000
    nested = run(tmp_path / "deep", numbers() | {EVAL: [{"question": "?", "answer": deep}]})
    assert nested.items[0]["target"] == deep


def test_a_subset_has_a_folder_of_its_own(tmp_path: Path) -> None:
    files = numbers(dataset_path="x/y", dataset_name="big", dataset_kwargs=None)
    files |= {"small/test.jsonl": SHOTS, "big/test.jsonl": DOCS}
    assert run(tmp_path, files).column("target") == [doc["answer"] for doc in DOCS]


def test_both_splits_are_phases_and_the_harness_s_comes_first(tmp_path: Path) -> None:
    files = numbers(validation_split="validation", dataset_path="somebody/numbers", dataset_kwargs=None)
    files |= {
        "main/test-00000-of-00002.jsonl": DOCS[:1],
        "main/test-00001-of-00002.jsonl": DOCS[1:],
        "main/validation.json": SHOTS,
    }
    assert run(tmp_path, files).bundle.phases == [("test", 2), ("validation", 3)]


def test_metrics_over_texts(tmp_path: Path) -> None:
    for at, (metric, scoring) in enumerate(
        [("bleu", {"scorer": "bleu"}), ("rougeL", {"scorer": "rouge", "variant": "rougeL"}), ("f1", {"scorer": "f1"})]
    ):
        files = numbers(filter_list=None, metric_list=[{"metric": metric}])
        assert run(tmp_path / str(at), files).manifest["scoring"] == scoring


@pytest.mark.parametrize(
    ("files", "loc", "message"),
    [
        ({"data.jsonl": DOCS}, ["source"], "has no task YAML; it has: data.jsonl"),
        ({YAML: "task: [a"}, [YAML], "line 1"),
        ({YAML: "- a"}, [YAML], "must be a mapping with task, doc_to_text and doc_to_target"),
        (
            {YAML: "task: x\ndoc_to_text: !function utils.text\ndoc_to_target: y"},
            [YAML],
            "line 2, column 14: doc_to_text: !function utils.text is for the tool that it was written for: no code is run here",
        ),
        ({YAML: "task: x\nmetric_list: [{metric: !python x}]"}, [YAML], "metric: !python x is for the tool"),
        ({YAML: "a: &a [1]\nb: !!python/object/apply:os.system [ls]"}, [YAML], "line 2"),
        ({YAML: "group: all\ntask: [a, b]"}, [YAML, "task"], "of a group, send the YAML of its tasks"),
        (numbers(doc_to_text=None), [YAML, "doc_to_text"], "doc_to_text is missing"),
        (numbers(num_fewshot="five"), [YAML, "num_fewshot"], "line "),
        (numbers(process_docs="utils.f"), [YAML, "process_docs"], "process_docs is Python that changes the rows"),
        (numbers(include="other.yaml"), [YAML, "include"], "include 'other.yaml' is not in the source"),
        (numbers(include=YAML), [YAML, "include"], "leads through more than 10 files"),
        (numbers(output_type="loglikelihood"), [YAML, "output_type"], "needs log-likelihoods"),
        (numbers(test_split=None), [YAML, "test_split"], "which split is evaluated?"),
        (
            {YAML: changed(NUMBERS, dataset_path="openai/gsm8k", dataset_kwargs=None), "train.jsonl": SHOTS},
            [YAML, "dataset_path"],
            "'test' of openai/gsm8k from the Hub is not in the source",
        ),
        (
            numbers(dataset_kwargs={"data_files": "gone.jsonl"}),
            [YAML, "dataset_path"],
            "(gone.jsonl) is not in the source",
        ),
        (
            numbers(doc_to_text="{{ quesiton }}"),
            [YAML, "doc_to_text"],
            "'quesiton' is undefined; the columns are question, answer (with data/eval.jsonl, row 1)",
        ),
        (numbers(doc_to_text="{% for x in range(9999999999) %}{% endfor %}"), [YAML, "doc_to_text"], "Range too big"),
        (numbers(doc_to_text="{{ ''.__class__.__mro__ }}"), [YAML, "doc_to_text"], "not allowed in a prompt"),
        (numbers(doc_to_text="{{ question"), [YAML, "doc_to_text"], "line 1"),
        (numbers(metric_list=[{"metric": "perplexity"}]), [YAML, "metric_list"], "metric_list has perplexity; one of"),
        (
            numbers(filter_list=[{"name": "maj", "filter": [{"function": "majority_vote"}]}]),
            [YAML, "filter_list"],
            "the step majority_vote of the filter maj",
        ),
        (numbers(generation_kwargs={"until": [1]}), [YAML, "generation_kwargs"], "what becomes stop is wrong"),
        (
            numbers(generation_kwargs={"max_gen_toks": "9"}),
            [YAML, "generation_kwargs"],
            "what becomes max_tokens is wrong",
        ),
        (numbers(metric_list=[{"metric": "bleu"}]), [YAML, "metric_list"], "bleu of what a regex filter takes"),
        (FILES | {EVAL: "{"}, [EVAL, 1], "is not JSON"),
        (FILES | {EVAL: [{"question": "?", "answer": ""}]}, [YAML, "doc_to_target"], "no text"),
        ({YAML: changed(PICK, doc_to_choice=None), "test.jsonl": PICKED}, [YAML, "doc_to_choice"], "is missing"),
        (
            {YAML: PICK | KEY, "test.jsonl": [PICKED[0] | {"key": "7"}]},
            ["test.jsonl", 1],
            "'7', which is none of the choices",
        ),
        (
            {YAML: PICK | {"doc_to_choice": "question"}, "test.jsonl": PICKED},
            ["test.jsonl", 1],
            "must hold a list of 2 to 26 texts",
        ),
    ],
)
def test_what_cannot_be_imported(tmp_path: Path, files: dict[str, Content], loc: list[str | int], message: str) -> None:
    found = refusal(tmp_path, files)
    assert (found["loc"], message in found["msg"]) == (loc, True), found


@pytest.mark.parametrize(
    ("option", "message"),
    [({"filter": "lose"}, "did you mean 'loose'?"), ({"data": {"test": "x.csv"}}, "(x.csv) is not in the source")],
)
def test_options_that_fit_nothing(tmp_path: Path, option: dict[str, Any], message: str) -> None:
    assert message in refusal(tmp_path, FILES, **option)["msg"]


def test_a_hostile_source_does_not_flood_the_answer(tmp_path: Path) -> None:
    files: dict[str, Content] = {
        f"{n}.yaml": {"task": f"{n}" * 100_000, "doc_to_text": "x", "doc_to_target": "y"} for n in (1, 2)
    }
    assert len(refusal(tmp_path, files)["msg"]) < 2100
