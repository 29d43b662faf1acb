"""What programs write as scores, right and wrong, and how it fits a leaderboard."""

from pathlib import Path

import pytest

from services.scorer.programs.scores import Matched, ProgramFailed, match_columns, read_scores
from shared.manifest import Column, Computed


def written(folder: Path, **files: str | bytes) -> dict[str, float]:
    for name, content in files.items():
        (folder / f"scores.{name}").write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_scores(folder, columns=[]).scores


def refused(folder: Path, **files: str | bytes) -> str:
    with pytest.raises(ProgramFailed) as caught:
        written(folder, **files)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "scores"),
    [
        ('{"b": 1, "a": 0.5}', {"b": 1.0, "a": 0.5}),
        ('\ufeff{"a": "0.25", "set1 F1": -3e2}', {"a": 0.25, "set1 F1": -300.0}),
    ],
)
def test_json(tmp_path: Path, text: str, scores: dict[str, float]) -> None:
    assert list(written(tmp_path, json=text).items()) == list(scores.items())


@pytest.mark.parametrize(
    ("text", "scores"),
    [
        ("accuracy: 0.5\nduration: 12\n", {"accuracy": 0.5, "duration": 12.0}),
        ("correct:1", {"correct": 1.0}),
        ("set1_score: 0.1\r\n\r\n# comment\n'a': \"2\"", {"set1_score": 0.1, "a": 2.0}),
        ("task: f1: 0.5\nb: 1e-3", {"task: f1": 0.5, "b": 0.001}),
        ("---\na: .5", {"a": 0.5}),
        ("{a: 0.5, 'b': 2}\n", {"a": 0.5, "b": 2.0}),
    ],
)
def test_text(tmp_path: Path, text: str, scores: dict[str, float]) -> None:
    assert written(tmp_path, txt=text) == scores


def test_json_comes_first(tmp_path: Path) -> None:
    assert written(tmp_path, json='{"a": 1}', txt="a: 2") == {"a": 1.0}


IN_JSON = "scores.json of the scoring program"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"{IN_JSON} is not JSON: line 1, column 1: Expecting value"),
        ('{"a": 1,\n}', f"{IN_JSON} is not JSON: line 2, column 1: Expecting property name enclosed in double quotes"),
        ("[1]", f'{IN_JSON} must be an object such as {{"accuracy": 0.5}}, and is a list'),
        ("0.5", f'{IN_JSON} must be an object such as {{"accuracy": 0.5}}, and is a number'),
        ("{}", f"{IN_JSON} has no scores in it"),
        ('{"a": 1, "a": 2}', f"{IN_JSON} has the key 'a' twice"),
        ('{"a": NaN}', f"{IN_JSON}: 'a' is nan; a score must be a finite number"),
        ('{"a": -Infinity}', f"{IN_JSON}: 'a' is -inf; a score must be a finite number"),
        ('{"a": 1e999}', f"{IN_JSON}: 'a' is inf; a score must be a finite number"),
        ('{"a": ' + "9" * 400 + "}", f"{IN_JSON}: 'a' is inf; a score must be a finite number"),
        ('{"a": "nan"}', f"{IN_JSON}: 'a' is nan; a score must be a finite number"),
        ('{"a": null}', f"{IN_JSON}: 'a' is null; a score is one number"),
        ('{"a": true}', f"{IN_JSON}: 'a' is true; a score is one number"),
        ('{"a": [0.5]}', f"{IN_JSON}: 'a' is a list; a score is one number"),
        ('{"a": {"b": 1}}', f"{IN_JSON}: 'a' is an object; a score is one number"),
        ('{"a": "85 %"}', f"{IN_JSON}: 'a' is the text '85 %'; a score is a number"),
        ('{"": 1}', f"{IN_JSON} has the key ''; a key is a text of 1 to 200 printable characters"),
        ('{"a\\u0000": 1}', f"{IN_JSON} has the key 'a\\x00'; a key is a text of 1 to 200 printable characters"),
        ("[" * 100_000, f"{IN_JSON} is not JSON that can be read: RecursionError"),
        ('{"a": ' + "1" * 5000 + "}", f"{IN_JSON} is not JSON that can be read: ValueError"),
        (b'{"a\xff": 1}', f"{IN_JSON} is not UTF-8: byte at position 4"),
        ('{"a": 1}' + " " * 1024**2, f"{IN_JSON} is larger than 1,048,576 bytes"),
        ("{" + ",".join(f'"k{n}": 1' for n in range(1001)) + "}", f"{IN_JSON} has 1,001 keys; at most 1,000 are taken"),
    ],
)
def test_wrong_json(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert refused(tmp_path, json=text) == message


IN_TEXT = "scores.txt of the scoring program"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"{IN_TEXT} has no scores in it"),
        ("a: 1\n0.5", f"{IN_TEXT} has '0.5' in line 2; a line must look like 'accuracy: 0.5'"),
        (": 1", f"{IN_TEXT} has ': 1' in line 1; a line must look like 'accuracy: 0.5'"),
        ("a: 1\na: 2", f"{IN_TEXT} has the key 'a' twice"),
        ("a: nan", f"{IN_TEXT}: 'a' is nan; a score must be a finite number"),
        ("a: good", f"{IN_TEXT}: 'a' is the text 'good'; a score is a number"),
        ("a:", f"{IN_TEXT}: 'a' is the text ''; a score is a number"),
        ("{a: [1]}", f"{IN_TEXT}: 'a' is a list; a score is one number"),
        ("{a: !!python/object/apply:os.getcwd []}", f"{IN_TEXT} is not YAML: could not determine a constructor"),
    ],
)
def test_wrong_text(tmp_path: Path, text: str, message: str) -> None:
    assert refused(tmp_path, txt=text).startswith(message)


def test_no_file(tmp_path: Path) -> None:
    (tmp_path / "scores.json").symlink_to("/etc/hostname")
    (tmp_path / "scores.txt").mkdir()
    assert refused(tmp_path) == "the scoring program wrote neither scores.json nor scores.txt into /app/output"


def test_keys_and_columns() -> None:
    columns = [
        Column(key="hidden", hidden=True),
        Column(key="mean", computed=Computed(operation="avg", of=["a", "hidden"])),
        Column(key="a"),
        Column(key="coverage"),
        Column(key="c"),
    ]
    found = match_columns({"b": 1.0, "a": 2.0, "hidden": 3.0}, columns, {"coverage", "overall_score"})
    assert found == Matched(unmatched=["b"], missing=["c"], main="a")


def test_the_first_column_may_be_assays_own_or_nobodys() -> None:
    own = {"coverage", "overall_score"}
    assert match_columns({"a": 1.0}, [Column(key="coverage"), Column(key="a")], own).main == "coverage"
    assert match_columns({"a": 1.0}, [Column(key="b"), Column(key="a")], own) == Matched([], ["b"], None)


def test_without_a_column_of_its_own_the_first_key_is_the_overall_score() -> None:
    own = {"coverage", "overall_score"}
    assert match_columns({"b": 1.0, "a": 2.0}, [Column(key="overall_score")], own) == Matched(["a"], [], "b")
    assert match_columns({"b": 1.0, "overall_score": 2.0}, [Column(key="overall_score")], own).main == "overall_score"


@pytest.mark.parametrize("file", ["json", "txt"])
def test_what_is_no_number_and_has_no_column_is_set_aside(tmp_path: Path, file: str) -> None:
    text = '{"accuracy": 0.5, "model": "m-1", "loss": "0.25"}'
    (tmp_path / f"scores.{file}").write_text(text if file == "json" else "accuracy: 0.5\nmodel: m-1\nloss: 0.25")
    found = read_scores(tmp_path, columns=["accuracy"])
    assert found.scores == {"accuracy": 0.5, "loss": 0.25}
    assert found.aside == {"model": "a text"}


@pytest.mark.parametrize(
    ("value", "columns"),
    [
        ('"m-1"', ["accuracy", "model"]),
        ('"m-1"', ["other"]),
        ("NaN", ["accuracy"]),
        ('"nan"', ["accuracy"]),
        ("1e999", ["accuracy"]),
    ],
)
def test_what_ranks_or_was_meant_as_a_number_must_be_one(tmp_path: Path, value: str, columns: list[str]) -> None:
    (tmp_path / "scores.json").write_text(f'{{"accuracy": 0.5, "model": {value}}}')
    with pytest.raises(ProgramFailed, match="'model' is"):
        read_scores(tmp_path, columns)
