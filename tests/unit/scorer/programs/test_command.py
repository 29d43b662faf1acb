"""Variables, words and interpreters of commands."""

import pytest

from services.scorer.programs.command import Command, command

PYTHON = "/opt/assay/bin/python"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("python3 score.py", [PYTHON, "score.py"]),
        ("python $program/score.py $input $output", [PYTHON, "/app/program/score.py", "/app/input", "/app/output"]),
        ("python ${program}/score.py ${input}/res", [PYTHON, "/app/program/score.py", "/app/input/res"]),
        ("bash $ingestion_program/run.sh $hidden", ["bash", "/app/program/run.sh", "/app/input/ref"]),
        ("a $predictions $shared $tmp", ["a", "/app/input/res", "/app/shared", "/app/output"]),
        ("a $submission_program", ["a", "/app/ingested_program"]),
        # As Codabench has it, a variable is replaced wherever its name stands.
        ("a $input_data $outputs/x", ["a", "/app/input_data", "/app/outputs/x"]),
        ("a $HOME ${x} $", ["a", "$HOME", "${x}", "$"]),
        ("$program/evaluate.exe '$input' \"a b\"", ["/app/program/evaluate.exe", "/app/input", "a b"]),
        # There is no shell.
        ("python3 score.py && rm -rf / > x", [PYTHON, "score.py", "&&", "rm", "-rf", "/", ">", "x"]),
        ("/usr/bin/python3 -u score.py", [PYTHON, "-u", "score.py"]),
        ("python2 score.py", ["python2", "score.py"]),
        ("pythonic score.py", ["pythonic", "score.py"]),
    ],
)
def test_words(written: str, words: list[str]) -> None:
    assert command(written, PYTHON) == Command(words, None)


def test_a_version_that_is_asked_for_is_told() -> None:
    assert command("/opt/conda/bin/python3.7 a.py", PYTHON) == Command([PYTHON, "a.py"], "python3.7")
