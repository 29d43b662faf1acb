"""Competitions of Codabench as environments."""

import io
import json
import re
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.artifacts.bundles import Bundle, Limits
from shared.api import Imported
from shared.errors import TooLarge
from shared.scoring import ProgramScoring
from tests.unit.artifacts.importers.importing import errors, run, told

QUESTIONS = '{"id": "q1", "question": "1 + 1?"}\n{"id": "q2", "question": "2 + 2?"}\n'
PROGRAM = {"metadata.yaml": "command: python3 score.py /app/input /app/output\n", "score.py": "print('scored')\n"}


def competition(**changes: Any) -> dict[str, Any]:
    return {
        "version": 2,
        "title": "Sums of two",
        "description": "Add.",
        "image": "logo.png",
        "terms": "pages/terms.md",
        "docker_image": "codalab/codalab-legacy:py39",
        "pages": [{"title": "Overview", "file": "pages/overview.md"}, {"title": "Data", "file": "pages/data.html"}],
        "tasks": [task(0), task(1, reference_data="final/reference")],
        "solutions": [{"index": 0, "tasks": [0], "path": "solution/"}],
        "phases": [
            phase("Development", 0, start="1-1-2026", end="12-31-2098", max_submissions=100, max_submissions_per_day=5),
            phase("Final", 1, start=datetime(2099, 1, 1, 12), max_submissions=0, starting_kit="kit"),
        ],
        "leaderboards": [
            {
                "title": "Results",
                "key": "main",
                "submission_rule": "Force_Best",
                "columns": [
                    {"title": "Duration", "key": "duration", "index": 2, "sorting": "asc", "hidden": True},
                    {"title": "Accuracy", "key": "accuracy", "index": 0, "sorting": "desc", "precision": 3},
                    {"title": "F1", "key": "f1", "index": 1},
                    {"title": "Mean", "key": "mean", "index": 3, "computation": "avg", "computation_indexes": [0, 1]},
                ],
            }
        ],
    } | changes


def task(index: int, **changes: Any) -> dict[str, Any]:
    return {
        "index": index,
        "name": f"Task {index}",
        "input_data": "dev/input",
        "reference_data": "dev/reference",
        "scoring_program": "scoring_program/",
    } | changes


def phase(name: str, *tasks: int, **changes: Any) -> dict[str, Any]:
    return {"name": name, "tasks": list(tasks), "execution_time_limit": 600} | changes


def bundle(described: dict[str, Any] | str | None = None, **files: str | bytes | None) -> dict[str, str | bytes]:
    """The files of a good competition, with others in their place: `dev__input__a_csv=...`; None takes a file away."""
    text = described if isinstance(described, str) else yaml.safe_dump(described or competition(), sort_keys=False)
    content: dict[str, str | bytes | None] = {
        "competition.yaml": text,
        "logo.png": b"\x89PNG",
        "pages/terms.md": "Be good.",
        "pages/overview.md": "# Sums\n\nAdd two numbers.",
        "pages/data.html": "<h1>Data</h1><p>Two <b>numbers</b>.</p><script>alert(1)</script>",
        "dev/input/questions.jsonl": QUESTIONS,
        "dev/input/README.md": "About it",
        "dev/reference/answers.json": '{"q1": "2", "q2": "4"}',
        "final/reference/answers.json": '{"q1": "2", "q2": "4.0"}',
        "solution/model.py": "",
        **{f"scoring_program/{name}": text for name, text in PROGRAM.items()},
    }
    content |= {name.replace("__", "/").replace("_DOT_", "."): value for name, value in files.items()}
    return {name: value for name, value in content.items() if value is not None}


def zipped(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


def imported(
    tmp_path: Path, files: dict[str, str | bytes], **options: Any
) -> tuple[Bundle, list[list[dict[str, Any]]], Imported, Path]:
    """And the folder of the bundle that it became."""
    found, items, report = run(tmp_path, files, "sums.zip", format="codabench", **options)
    return found, items, report, tmp_path / "out" / "bundle"


def scoring_of(found: Bundle) -> ProgramScoring:
    assert isinstance(found.manifest.scoring, ProgramScoring)
    return found.manifest.scoring


def test_a_competition_of_two_phases(tmp_path: Path) -> None:
    found, items, report, folder = imported(tmp_path, bundle())
    manifest = found.manifest
    assert (manifest.slug, manifest.title, manifest.description) == ("sums-of-two", "Sums of two", "Add.")
    dev, final = manifest.phases
    assert (dev.name, dev.start, dev.end) == (
        "Development",
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2098, 12, 31, tzinfo=UTC),
    )
    assert (dev.max_submissions, dev.max_submissions_per_day, dev.execution_time_limit_s) == (100, 5, 600)
    assert (final.name, final.start, final.end) == ("Final", datetime(2099, 1, 1, 12, tzinfo=UTC), None)
    assert (final.max_submissions, final.max_submissions_per_day) == (None, None)
    for phase_items in items:
        assert [(item["item_id"], item["input"], item["target"]) for item in phase_items] == [
            ("q1", "1 + 1?", ""),
            ("q2", "2 + 2?", ""),
        ]
        assert phase_items[0]["messages"] == [{"role": "user", "content": "1 + 1?"}]
    scoring = scoring_of(found)
    assert (scoring.image, scoring.files, scoring.time_limit_s) == ("codalab/codalab-legacy:py39", False, 600)
    for name, text in PROGRAM.items():
        assert (folder / scoring.program / name).read_text() == text
    assert scoring.reference is None
    assert [json.loads((folder / str(one.reference) / "answers.json").read_text())["q2"] for one in (dev, final)] == [
        "4",
        "4.0",
    ]
    assert found.overview == "## Overview\n\n# Sums\n\nAdd two numbers.\n\n## Data\n\n# Data\n\nTwo **numbers**."
    assert found.warnings == []
    assert report.comparable
    assert report.dropped == {"solutions": 1, "terms": 1, "image": 1, "starting_kit": 1}
    assert any("predictions.jsonl" in note for note in report.notes)
    assert any("codalab-legacy:py39 is not used" in note for note in report.notes)


def test_the_leaderboard(tmp_path: Path) -> None:
    found, _, _, _ = imported(tmp_path, bundle())
    board = found.manifest.leaderboard
    assert board.submission_rule == "force_best"
    assert [
        (column.key, column.title, column.sorting, column.precision, column.hidden) for column in board.columns
    ] == [
        ("accuracy", "Accuracy", "desc", 3, False),
        ("f1", "F1", "desc", 2, False),
        ("duration", "Duration", "asc", 2, True),
        ("mean", "Mean", "desc", 2, False),
    ]
    assert board.columns[3].computed is not None
    assert (board.columns[3].computed.operation, board.columns[3].computed.of) == ("avg", ["accuracy", "f1"])


def test_what_a_leaderboard_cannot_carry_is_said(tmp_path: Path) -> None:
    columns = [
        {"title": "Rank", "key": "rank", "index": 0, "computation": "avg_rank", "computation_indexes": [1]},
        {"title": "A", "key": "a", "index": 1},
        {"title": "Sum", "key": "s", "index": 2, "computation": "sum", "computation_indexes": "1"},
        {"title": "Of sums", "key": "t", "index": 3, "computation": "max", "computation_indexes": [1, 2]},
        {"title": "Of none", "key": "u", "index": 4, "computation": "max", "computation_indexes": [9]},
        {"title": "A again", "key": "a", "index": 5},
    ]
    boards = [{"title": "One", "key": "one", "columns": columns}, {"title": "Two", "key": "two", "columns": columns}]
    found, _, report, _ = imported(tmp_path, bundle(competition(leaderboards=boards)))
    assert [column.key for column in found.manifest.leaderboard.columns] == ["a", "s"]
    assert found.manifest.leaderboard.submission_rule == "all"
    assert (report.dropped["columns"], report.dropped["leaderboards"]) == (4, 1)
    said = "\n".join(report.notes)
    for words in (
        "'Rank' was left out: 'avg_rank' is not",
        "'Of sums' was left out",
        "'Of none' was left out",
        "'a' is there twice",
    ):
        assert words in said


def test_zips_in_the_zip_and_a_folder_that_stands_for_its_zip(tmp_path: Path) -> None:
    described = competition(
        tasks=[task(0, input_data="input.zip", scoring_program="program.zip", reference_data="dev/reference.zip")],
        phases=[phase("Only", 0)],
    )
    files = bundle(
        described,
        **{"input_DOT_zip": zipped({"questions.csv": "question\n1 + 1?\n"}), "program_DOT_zip": zipped(PROGRAM)},
    )
    found, items, _, folder = imported(tmp_path, files)
    scoring = scoring_of(found)
    assert (scoring.program, scoring.reference) == ("scoring_program.zip", "reference_data")
    assert zipfile.ZipFile(folder / scoring.program).namelist() == list(PROGRAM)
    assert [item["input"] for item in items[0]] == ["1 + 1?"]


def test_a_top_folder_and_the_other_spelling(tmp_path: Path) -> None:
    files = bundle()
    files["competition.yml"] = files.pop("competition.yaml")
    found, _, _, _ = imported(tmp_path, {f"repo-main/bundle/{name}": content for name, content in files.items()})
    assert [name for name, _ in found.phases] == ["Development", "Final"]


def test_a_phase_of_two_tasks_becomes_two(tmp_path: Path) -> None:
    found, _, report, _ = imported(tmp_path, bundle(competition(phases=[phase("Dev phase (1)", 0, 1)])))
    assert [name for name, _ in found.phases] == ["Dev phase -1- - Task 0", "Dev phase -1- - Task 1"]
    assert any("is called 'Dev phase -1- - Task 0' here" in note for note in report.notes)


def test_tasks_with_different_programs_are_imported_one_by_one(tmp_path: Path) -> None:
    described = competition(tasks=[task(0), task(1), task(2, scoring_program="other")], phases=[phase("All", 0, 1, 2)])
    files = bundle(described, other__metadata="command: python3 other.py", other__other_DOT_py="")
    said = told(tmp_path / "all", files, "sums.zip", format="codabench")
    assert (
        "import.tasks: an environment has one scoring program, and these tasks have 2: [0, 1] (scoring_program/) and [2] (other)"
        in said
    )
    found, _, report, folder = imported(tmp_path / "one", files, tasks=[2], slug="other")
    assert [name for name, _ in found.phases] == ["All - Task 2"]
    assert (folder / "scoring_program" / "other.py").exists()
    assert report.dropped["tasks"] == 2


def test_the_same_program_twice_is_one(tmp_path: Path) -> None:
    described = competition(tasks=[task(0), task(1, scoring_program="copy")])
    copy = {f"copy__{name.replace('.', '_DOT_')}": text for name, text in PROGRAM.items()}
    found, _, _, _ = imported(tmp_path, bundle(described, **copy))
    assert len(found.phases) == 2


def test_input_files_are_items(tmp_path: Path) -> None:
    files = bundle(
        dev__input__questions_DOT_jsonl=None,
        **{f"dev__input__graph-{n}_DOT_json": json.dumps({"n": n}) for n in (1, 2)},
    )
    found, items, report, _ = imported(tmp_path, files, prompt="Solve: {{ input }}")
    assert [(item["item_id"], item["messages"][0]["content"]) for item in items[0]] == [
        ("graph-1", 'Solve: {"n": 1}'),
        ("graph-2", 'Solve: {"n": 2}'),
    ]
    assert scoring_of(found).files
    assert any("Each of the 2 files of dev/input is an item" in note for note in report.notes)


def test_the_lines_of_one_text_file_are_items(tmp_path: Path) -> None:
    files = bundle(dev__input__questions_DOT_jsonl=None, dev__input__text_DOT_txt="one\n\ntwo\n")
    found, items, _, _ = imported(tmp_path, files)
    assert [item["input"] for item in items[0]] == ["one", "two"]
    assert not scoring_of(found).files


def test_one_json_array_is_a_table(tmp_path: Path) -> None:
    files = bundle(
        dev__input__questions_DOT_jsonl=None, dev__input__q_DOT_json='[{"prompt": "one"}, {"prompt": "two"}]'
    )
    _, items, _, _ = imported(tmp_path, files)
    assert [item["input"] for item in items[0]] == ["one", "two"]


def test_an_object_of_objects_is_a_table(tmp_path: Path) -> None:
    text = json.dumps({"q7": {"question": "one"}, "q8": {"question": "two"}})
    files = bundle(dev__input__questions_DOT_jsonl=None, dev__input__q_DOT_json=text)
    _, items, _, _ = imported(tmp_path, files)
    assert [(item["item_id"], item["input"]) for item in items[0]] == [("q7", "one"), ("q8", "two")]


def test_any_text_file_that_is_named_has_an_item_a_line(tmp_path: Path) -> None:
    files = bundle(dev__input__iris_DOT_data="1.4 0.2\n", dev__input__iris_DOT_info="about")
    _, items, _, _ = imported(tmp_path, files, items="iris.data", prompt="Which iris? {{ input }}")
    assert items[0][0]["messages"][0]["content"] == "Which iris? 1.4 0.2"


def test_items_named_by_the_request(tmp_path: Path) -> None:
    described = competition(tasks=[task(0, input_data=None)], phases=[phase("Only", 0)])
    rows = '{"key": 7, "ask": "Why?", "gold": "so"}\n'
    _, items, _, _ = imported(
        tmp_path,
        bundle(described, cases_DOT_jsonl=rows),
        items="cases.jsonl",
        fields={"id": "key", "input": "ask", "target": "gold"},
        prompt={"system": "Be brief.", "template": "{{ ask }}"},
    )
    assert [(item["item_id"], item["input"], item["target"]) for item in items[0]] == [("7", "Why?", "so")]
    assert items[0][0]["messages"][0] == {"role": "system", "content": "Be brief."}


def test_items_are_looked_for_in_each_tasks_input(tmp_path: Path) -> None:
    described = competition(tasks=[task(0), task(1, input_data="final/input")])
    files = bundle(
        described,
        dev__input__train_DOT_csv="question,label\nno,1\n",
        final__input__train_DOT_csv="question,label\nno,1\n",
        final__input__questions_DOT_jsonl='{"id": "f", "question": "Final?"}\n',
    )
    _, items, _, _ = imported(tmp_path, files, items="questions.jsonl")
    assert [len(phase_items) for phase_items in items] == [2, 1]


def test_without_input_data_the_items_are_what_the_phase_makes_public(tmp_path: Path) -> None:
    described = competition(
        tasks=[task(0, input_data=None)], phases=[phase("Only", 0, public_data="public"), phase("Not", 0)]
    )
    _, items, report, _ = imported(tmp_path, bundle(described, public__q_DOT_csv="question\nPublic?\n"))
    assert [item["input"] for item in items[0]] == ["Public?"]
    assert any("those of public" in note for note in report.notes)


def test_items_may_be_in_the_reference_data(tmp_path: Path) -> None:
    described = competition(tasks=[task(0, input_data=None, reference_data="ref.zip")], phases=[phase("Only", 0)])
    files = bundle(described, ref_DOT_zip=zipped({"gold/test.csv": "question,answer\nWhy?,so\n"}))
    found, items, _, _ = imported(tmp_path, files, items="gold/test.csv", fields={"target": "answer"})
    assert [(item["input"], item["target"]) for item in items[0]] == [("Why?", "so")]
    assert scoring_of(found).reference == "reference_data.zip"


def test_reference_data_that_is_one_file(tmp_path: Path) -> None:
    described = competition(tasks=[task(0, reference_data="gold.csv")], phases=[phase("Only", 0)])
    found, _, _, folder = imported(tmp_path, bundle(described, gold_DOT_csv="q1,2\n"))
    assert (folder / str(scoring_of(found).reference) / "gold.csv").read_text() == "q1,2\n"


def test_a_phase_that_ends_as_it_begins(tmp_path: Path) -> None:
    described = competition(phases=[phase("Day", 0, start="11-01-2025", end="11-01-2025")])
    found, _, report, _ = imported(tmp_path, bundle(described))
    assert found.manifest.phases[0].end is None
    assert any("'Day' ends as it begins" in note for note in report.notes)


def test_zips_within_have_the_bundles_limit_together(tmp_path: Path) -> None:
    part = zipped({"q.csv": "question\n" + "0123456789\n" * 100})
    described = competition(tasks=[task(0, input_data="a.zip"), task(1, input_data="b.zip")])
    limits = Limits(max_unpacked_bytes=6_000)
    files = bundle(described, a_DOT_zip=part, b_DOT_zip=part)
    run(tmp_path / "fits", files, "sums.zip", format="codabench", limits=limits)
    files = bundle(described, a_DOT_zip=part, b_DOT_zip=zipped({"q.csv": "question\n" + "0123456789\n" * 500}))
    with pytest.raises(TooLarge, match="unpacks to more than"):
        run(tmp_path / "does-not", files, "sums.zip", format="codabench", limits=limits)


def test_a_row_is_the_input_where_only_a_prompt_is_given(tmp_path: Path) -> None:
    files = bundle(dev__input__questions_DOT_jsonl=None, dev__input__iris_DOT_csv="petal,sepal\n1.4,0.2\n")
    _, items, report, _ = imported(tmp_path, files, prompt="Petal {{ petal }}, sepal {{ sepal }}: which iris?")
    assert items[0][0]["messages"][0]["content"] == "Petal 1.4, sepal 0.2: which iris?"
    assert json.loads(items[0][0]["input"]) == {"petal": "1.4", "sepal": "0.2"}
    assert any("whole row" in note for note in report.notes)


def test_an_ingestion_program_makes_scores_incomparable(tmp_path: Path) -> None:
    described = competition(tasks=[task(0, ingestion_program="ingestion/"), task(1, ingestion_program="ingestion/")])
    _, _, report, folder = imported(tmp_path, bundle(described, ingestion__run_DOT_py=""))
    assert not report.comparable
    assert "ingestion program" in report.comparable_why
    assert report.dropped["ingestion programs"] == 1
    assert not list(folder.rglob("run.py"))


IN_MS = {"execution_time_limit_ms": 5000}


def test_phases_that_are_over_are_told_and_can_be_opened(tmp_path: Path) -> None:
    described = competition(
        phases=[
            phase(
                "Old",
                0,
                start="2019-12-12 13:30:00",
                end="2020-02-01",
                execution_time_limit_ms=5000,
                execution_time_limit=None,
            )
        ]
    )
    found, _, report, _ = imported(tmp_path / "kept", bundle(described))
    assert found.manifest.phases[0].end == datetime(2020, 2, 1, tzinfo=UTC)
    assert found.manifest.phases[0].execution_time_limit_s == 5
    assert any("has ended: Old" in note for note in report.notes)
    found, _, report, _ = imported(tmp_path / "open", bundle(described), keep_dates=False)
    assert (found.manifest.phases[0].start, found.manifest.phases[0].end) == (None, None)
    assert not any("has ended" in note for note in report.notes)


def test_what_yaml_reads_as_numbers_and_keys_given_twice(tmp_path: Path) -> None:
    text = yaml.safe_dump(competition(title=2024, docker_image=None), sort_keys=False) + "solutions: []\n"
    found, _, report, _ = imported(tmp_path, bundle(text))
    assert found.manifest.title == "2024"
    assert "solutions" not in report.dropped


OLD = "title: Old\ndescription: From CodaLab\nphases:\n    1:\n        phasenumber: 1\n        scoring_program: p.zip\n"

WRONG: dict[str, tuple[dict[str, str | bytes], dict[str, Any], str]] = {
    "no competition": ({"a/readme.txt": "", "b.csv": ""}, {}, r"^competition\.yaml: is not there; .*this has: a/readme\.txt, b\.csv$"),
    "two competitions": (
        {"a/competition.yaml": "", "b/competition.yaml": ""}, {}, r"^competition\.yaml: is there more than once: a/competition\.yaml, b/"
    ),
    "version 1": (bundle(OLD), {}, r"^competition\.yaml\.version: has no version, which means version 1: a competition of the old CodaLab\. Only"),
    "version 1, said": (bundle(competition(version=1)), {}, r"version: line 1: is of version 1: a competition of the old CodaLab"),
    "broken YAML": (bundle("version: 2\ntitle: [1"), {}, r"^competition\.yaml: line 2, column \d+: "),
    "a tag that runs code": (
        bundle("version: 2\ntitle: !!python/object/apply:os.system [id]"), {}, r"^competition\.yaml: line 2.*could not determine a constructor"
    ),
    "half a zip": ({"sums.zip": b"PK\x03\x04 and no more"}, {"name": None}, r"^sums\.zip: is no zip, or not the whole of one$"),
    "no direction": (
        bundle(competition(leaderboards=[{"title": "R", "columns": [{"key": "loss", "sorting": "upwards"}]}])), {},
        r"leaderboards\.0\.columns\.0\.sorting: line \d+: must be .*asc.*desc"
    ),
    "no tasks": (bundle("version: 2\ntitle: A\nphases: [{name: a, tasks: [0]}]"), {}, r"^competition\.yaml\.tasks: tasks is missing$"),
    "a task without an index": (
        bundle(competition(tasks=[{"name": "A", "scoring_program": "scoring_program"}])), {}, r"tasks\.0\.index: line \d+: index is missing"
    ),
    "a task without a program": (
        bundle(competition(tasks=[task(0), task(1, scoring_program=None)])), {}, r"tasks\.1: line \d+: task 1 has no scoring_program"
    ),
    "a task by key": (
        bundle(competition(tasks=[{"index": 0, "key": "3fa85f64-5717-4562-b3fc-2c963f66afa6"}, task(1)])),
        {},
        r"tasks\.0\.key: line \d+: task 0 is a task of Codabench's by its key",
    ),
    "data by key": (
        bundle(competition(tasks=[task(0, reference_data="3fa85f64-5717-4562-b3fc-2c963f66afa6"), task(1)])),
        {},
        r"tasks\.0\.reference_data: line \d+: reference_data of task 0 is a key of Codabench's",
    ),
    "two tasks of one index": (bundle(competition(tasks=[task(0), task(0)])), {}, r"tasks\.1\.index: line \d+: the index 0 is"),
    "a phase of no task": (bundle(competition(phases=[phase("A", 7)])), {}, r"phases\.0\.tasks: line \d+: there is no task 7; the tasks' "),
    "a phase without tasks": (bundle(competition(phases=[{"name": "A"}])), {}, r"phases\.0\.tasks: line \d+: tasks is missing"),
    "a date that is none": (bundle(competition(phases=[phase("A", 0, start="soon")])), {}, r"phases\.0\.start: line \d+: 'soon' is no date"),
    "an end before the start": (
        bundle(competition(phases=[phase("A", 0, start="2026-02-01", end="2026-01-01")])), {}, r"phases\.0\.end: line \d+: end must be after start"
    ),
    "a program that is not there": (
        bundle(competition(tasks=[task(0, scoring_program="scoring_programm"), task(1)])),
        {},
        r"tasks\.0\.scoring_program: line \d+: scoring_program of task 0: there is no 'scoring_programm'; did you mean 'scoring_program'\?",
    ),
    "a program outside": (
        bundle(competition(tasks=[task(0, scoring_program="../../etc"), task(1)])), {}, r"there is no '\.\./\.\./etc'"
    ),
    "a program that is a file": (
        bundle(competition(tasks=[task(0, scoring_program="logo.png"), task(1)])), {}, r"'logo\.png' is neither a folder nor a zip"
    ),
    "a program without metadata": (bundle(scoring_program__metadata_DOT_yaml=None), {}, r"scoring_program/metadata\.yaml: is missing"),
    "an unknown task": (bundle(), {"tasks": [5]}, r"^import\.tasks: there is no task 5; the tasks are 0, 1$"),
    "no input data": (
        bundle(competition(tasks=[task(0, input_data=None)], phases=[phase("A", 0)])),
        {},
        r"^import\.items: is needed: task 0 has no input_data, so there is nothing to put to a model\. Add a file",
    ),
    "several tables": (
        bundle(dev__input__train_DOT_csv="a,b\n"), {}, r"^import\.items: is needed: task 0 has several tables \(dev/input/questions"
    ),
    "nothing but binary data": (
        bundle(dev__input__questions_DOT_jsonl=None, dev__input__x_DOT_npy=b"\x93NUMPY\x00"),
        {},
        r"^import\.items: is needed: nothing in dev/input/x\.npy \(task 0\) can be put to a model",
    ),
    "items that are not there": (bundle(), {"items": "cases.csv"}, r"^import\.items: there is no file or folder 'cases\.csv'"),
    "no column for the question": (
        bundle(dev__input__questions_DOT_jsonl='{"a": 1, "b": 2}\n'), {}, r"^import\.fields\.input: is needed: which column"
    ),
    "an unknown column": (bundle(), {"fields": {"id": "key"}}, r"^import\.fields\.id: there is no column 'key'; the columns of dev/input/"),
    "a broken row": (bundle(dev__input__questions_DOT_jsonl=QUESTIONS + "{"), {}, r"^dev/input/questions\.jsonl\.3: line 3: is not JSON"),
    "files of several kinds": (
        bundle(dev__input__questions_DOT_jsonl=None, dev__input__iris_DOT_data="1 2", dev__input__iris_DOT_info="3"),
        {},
        r"^import\.items: is needed: task 0 has files of several kinds \(dev/input/iris\.data, dev/input/iris\.info\)",
    ),
    "one file of which nothing is known": (
        bundle(dev__input__questions_DOT_jsonl=None, dev__input__setup_DOT_yaml="a: 1\nb: 2\n"),
        {},
        r"^import\.items: is needed: nothing says what in dev/input/setup\.yaml \(task 0\) is a test case",
    ),
    "one JSON object": (
        bundle(dev__input__questions_DOT_jsonl=None, dev__input__q_DOT_json='{"a": "one", "b": "two"}'),
        {},
        r"^dev/input/q\.json\.1: row 1: is not an object; the file must be an array of objects",
    ),
    "several arrays": (
        bundle(dev__input__questions_DOT_jsonl=None, dev__input__a_DOT_json="[{}]", dev__input__b_DOT_json="[{}]"),
        {},
        r"^import\.items: is needed: task 0 has several tables \(dev/input/a\.json, dev/input/b\.json\)",
    ),
    "no header": (
        bundle(dev__input__questions_DOT_jsonl=None, dev__input__x_DOT_csv="1.5,2.5\n3,4\n"),
        {"prompt": "Which?"},
        r"^dev/input/x\.csv\.1: line 1: is all numbers",
    ),
    "an id that is there twice": (
        bundle(dev__input__questions_DOT_jsonl=QUESTIONS + QUESTIONS), {}, r"^items/dev/input/questions\.jsonl\.3\.id: line 3: the id"
    ),
    "an empty input file": (
        bundle(dev__input__questions_DOT_jsonl=None, dev__input__a_DOT_txt="a", dev__input__b_DOT_txt=" \n"), {}, r"^dev/input/b\.txt: is empty"
    ),
    "a title that makes no name": (bundle(competition(title="題")), {}, r"^import\.slug: is needed"),
}  # fmt: skip


def test_an_error_quotes_its_line(tmp_path: Path) -> None:
    (error,) = errors(tmp_path / "a", bundle(competition(version=1)), "sums.zip", format="codabench")
    assert error["text"] == "version: 1"
    (error,) = errors(tmp_path / "b", bundle(dev__input__questions_DOT_jsonl="nope\n"), "sums.zip", format="codabench")
    assert error["text"] == "nope"


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, case: str) -> None:
    files, options, said = WRONG[case]
    found = told(tmp_path, files, **{"name": "sums.zip", "format": "codabench", **options})
    assert re.search(said, found), found
