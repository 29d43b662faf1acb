"""Scoring programs at upload: where they may be, and what is said of wrong ones."""

import io
import re
import shlex
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.artifacts.bundles import Limits, read_bundle
from services.artifacts.programs import Program, read_metadata, script_of
from shared.errors import Invalid
from tests.unit.artifacts.bundles import ITEMS, Entry, error, errors, manifest, phase, write_zip

METADATA = b"command: python3 score.py /app/input /app/output\n"
SCORING = {"program": "scoring_program/", "reference": "reference_data"}


def bundle(tmp_path: Path, scoring: dict[str, Any], *entries: Entry, **changes: Any) -> Path:
    text = manifest(scoring=scoring, **changes)
    tmp_path.mkdir(exist_ok=True)
    return write_zip(
        tmp_path / "bundle.zip",
        [("environment.yaml", yaml.safe_dump(text).encode()), ("dev.jsonl", ITEMS.encode()), *entries],
    )


def packed(*entries: Entry) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return whole.getvalue()


FOLDERS: tuple[Entry, ...] = (
    ("scoring_program/metadata.yaml", METADATA),
    ("scoring_program/score.py", b""),
    ("reference_data/gold.txt", b"1"),
)


def refused(tmp_path: Path, scoring: dict[str, Any], *entries: Entry, **changes: Any) -> str:
    with pytest.raises(Invalid) as caught:
        read_bundle(bundle(tmp_path, scoring, *entries, **changes), tmp_path / "out", Limits())
    (only,) = caught.value.errors
    return f"{'/'.join(map(str, only['loc']))}: {only['msg']}"


def test_folders(tmp_path: Path) -> None:
    found = read_bundle(bundle(tmp_path, SCORING, *FOLDERS), tmp_path / "out", Limits())
    assert found.program == {"command": "python3 score.py /app/input /app/output", "image": None}
    assert found.warnings == []


@pytest.mark.parametrize("top", ["", "program/"])
def test_zips_within_the_bundle(tmp_path: Path, top: str) -> None:
    program = packed((f"{top}metadata", b"command: python $program/score.py $input $output"), (f"{top}score.py", b""))
    scoring = {"program": "scoring_program.zip", "reference": "./gold.zip", "image": "codalab/codalab-legacy:py37"}
    entries = [("scoring_program.zip", program), ("gold.zip", packed(("gold.txt", b"1")))]
    found = read_bundle(bundle(tmp_path, scoring, *entries), tmp_path / "out", Limits())
    assert found.program == {
        "command": "python $program/score.py $input $output",
        "image": "codalab/codalab-legacy:py37",
    }
    assert found.warnings == []


def test_no_target_is_needed(tmp_path: Path) -> None:
    fields = {"id": "id", "input": "question", "target": "gold"}
    found = read_bundle(bundle(tmp_path, SCORING, *FOLDERS, phases=[phase(fields=fields)]), tmp_path / "out", Limits())
    assert found.phases == [("dev", 1)]


def test_a_phase_has_a_reference_of_its_own(tmp_path: Path) -> None:
    phases = [phase(), phase(name="final", reference="final_data")]
    archive = bundle(tmp_path, SCORING, *FOLDERS, ("final_data/gold.txt", b"2"), phases=phases)
    assert read_bundle(archive, tmp_path / "out", Limits()).warnings == []
    assert refused(tmp_path / "other", SCORING, *FOLDERS, phases=phases) == (
        "environment.yaml/phases/1/reference: line 14: there is no folder or zip 'final_data' in the bundle; "
        "its folders and zips are reference_data, scoring_program"
    )


def test_a_reference_that_nothing_reads_is_refused(tmp_path: Path) -> None:
    assert error(tmp_path, manifest(phases=[phase(reference="gold")]))["msg"] == (
        "phase 'dev' has a reference, which only a scoring program reads"
    )


def test_every_missing_part_is_named(tmp_path: Path) -> None:
    found = errors(tmp_path, manifest(scoring={"program": "prog", "reference": "ref"}))
    assert [(one["loc"], one["msg"]) for one in found] == [
        (
            ["environment.yaml", "scoring", "program"],
            "line 12: there is no folder or zip 'prog' in the bundle; it has neither",
        ),
        (
            ["environment.yaml", "scoring", "reference"],
            "line 13: there is no folder or zip 'ref' in the bundle; it has neither",
        ),
    ]


def test_wrong_programs(tmp_path: Path) -> None:
    scoring = {"program": "scoring_program"}
    assert refused(tmp_path / "1", scoring, ("scoring_program/score.py", b"")) == (
        "scoring_program/metadata.yaml: is missing; write a line such as 'command: python3 score.py /app/input /app/output' "
        "into it (the program's folder has score.py)"
    )
    zipped = {"program": "p.zip"}
    assert refused(tmp_path / "2", zipped, ("p.zip", packed(("score.py", b"")))) == (
        "p.zip/metadata.yaml: must be at the root of the zip, or of its only folder; the zip has: score.py"
    )
    assert refused(tmp_path / "3", zipped, ("p.zip", b"PK nonsense")).startswith("p.zip: it is not a readable zip")
    assert refused(tmp_path / "4", zipped, ("p.zip", packed(("../metadata", METADATA)))) == (
        "p.zip/../metadata: has an empty part, '.' or '..' in its path; paths must stay within the bundle"
    )


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("command: python3 score.py", "python3 score.py"),
        ("description: x\ncommand: 'python3 a b'\n", "python3 a b"),
        ("\ufeffcommand: python3 score.py\r\n", "python3 score.py"),
        # No YAML, for want of quotes: a colon with a space after it, a tab, a percent sign in front.
        ("command: python $program/score.py $input $output\ndescription: Example: evaluation", None),
        ('command: "python" $program/score.py $input', '"python" $program/score.py $input'),
        ("command:\tpython score.py", "python score.py"),
    ],
)
def test_commands_are_read(tmp_path: Path, text: str, command: str | None) -> None:
    (tmp_path / "metadata").write_text(text)
    assert read_metadata(tmp_path / "metadata") == Program(command or "python $program/score.py $input $output", None)


def test_an_image_is_a_hint(tmp_path: Path) -> None:
    (tmp_path / "metadata").write_text("command: x\nimage: python:3.9")
    assert read_metadata(tmp_path / "metadata").image == "python:3.9"


EXAMPLE = "write 'command: python3 score.py /app/input /app/output'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"is not a mapping; {EXAMPLE}"),
        ("description: x", f"has no command; {EXAMPLE}"),
        ("description: x\ncommand:", f"line 2: command is empty; {EXAMPLE}"),
        ("command: ''", f"line 1: command is empty; {EXAMPLE}"),
        ("a: b: c", f"line 1: mapping values are not allowed here; {EXAMPLE}"),
        ("a: 1\ncommand: [python3, score.py]", "line 2: command must be one line of text, such as"),
        ("command: python3 'score.py", "line 1: command cannot be split into words: no closing quotation"),
        ("command: !!python/object/apply:os.system [id]", "line 1: could not determine a constructor"),
    ],
)
def test_wrong_metadata(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "metadata.yaml").write_text(text)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        read_metadata(tmp_path / "metadata.yaml")


def test_metadata_has_a_size(tmp_path: Path) -> None:
    (tmp_path / "metadata").write_text("command: x\n" + "#" * 65_536)
    with pytest.raises(ValueError, match="is larger than 65,536 bytes"):
        read_metadata(tmp_path / "metadata")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "metadata").write_bytes(b"command: \xff")
    with pytest.raises(ValueError, match="is not UTF-8: byte at position 10"):
        read_metadata(tmp_path / "metadata")


@pytest.mark.parametrize(
    ("command", "script"),
    [
        ("python3 -u score.py /app/input", "score.py"),
        ("python $program/lib/../score.py $input", "score.py"),
        ("bash ./run.sh", "run.sh"),
        ("/app/program/evaluate", "evaluate"),
        ("${ingestion_program}/a b", "a"),
        ("python3 -m score", None),
        ("python3 -c 'print(1)'", None),
        ("python3 /opt/score.py", None),
        ("python3 $other/score.py", None),
        ("python3", None),
        ("python3 -W ignore score.py", None),
        ("score", None),
        ("python3 ../score.py", None),
    ],
)
def test_what_a_command_runs(command: str, script: str | None) -> None:
    assert script_of(shlex.split(command)) == script


def test_a_command_that_runs_what_is_not_there(tmp_path: Path) -> None:
    scoring = {"program": "scoring_program"}
    entries = [("scoring_program/metadata.yaml", METADATA), ("scoring_program/scores.py", b"")]
    assert refused(tmp_path, scoring, *entries) == (
        "scoring_program/metadata.yaml: command runs 'score.py', which is not there; did you mean 'scores.py'? "
        "The program's files are metadata.yaml, scores.py"
    )
