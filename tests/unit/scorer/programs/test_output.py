"""What a program leaves: the archive of it, its page, its dataset."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from services.scorer.programs.log import Stream
from services.scorer.programs.output import check_dataset, pack, report_in, taken
from services.scorer.programs.scores import ProgramFailed
from services.scorer.sandbox import Output

MiB = 1024**2


def left(tmp_path: Path, **files: str) -> Path:
    folder = tmp_path / "output"
    folder.mkdir()
    for name, content in files.items():
        path = folder / name.replace("__", ".").replace("--", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return folder


def logs(tmp_path: Path) -> dict[Stream, Path]:
    paths: dict[Stream, Path] = {"stdout": tmp_path / "stdout.txt", "stderr": tmp_path / "stderr.txt"}
    for name, path in paths.items():
        path.write_text(f"{name}\n")
    return paths


def test_the_archive(tmp_path: Path) -> None:
    folder = left(tmp_path, scores__json='{"a": 1}', stdout__txt="mine", b__txt="b")
    (folder / "plots").mkdir()
    (folder / "plots" / "a.svg").write_text("<svg/>")
    written = taken(folder, MiB)
    pack(tmp_path / "1.zip", written, {"a": 1.0}, logs(tmp_path))
    os.utime(folder / "b.txt", (0, 0))
    pack(tmp_path / "2.zip", taken(folder, MiB), {"a": 1.0}, logs(tmp_path))
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        content = {name: archive.read(name).decode() for name in archive.namelist()}
    assert content == {
        "scores.json": '{"a": 1}',
        "stdout.txt": "stdout\n",
        "stderr.txt": "stderr\n",
        "b.txt": "b",
        "plots/a.svg": "<svg/>",
        "written/stdout.txt": "mine",
    }


def test_scores_are_there_as_json_however_they_were_written(tmp_path: Path) -> None:
    folder = left(tmp_path, scores__txt="a: 1")
    pack(tmp_path / "1.zip", taken(folder, MiB), {"a": 1.0}, logs(tmp_path))
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        assert json.loads(archive.read("scores.json")) == {"a": 1.0}
        assert archive.read("scores.txt") == b"a: 1"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    folder = left(tmp_path, scores__json="{}")
    (folder / "passwd").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    (folder / "back\\slash").write_text("")
    with pytest.raises(ProgramFailed) as caught:
        taken(folder, MiB)
    message = str(caught.value)
    assert message.startswith("the scoring program left what cannot be taken in /app/output: ")
    for part in (
        "passwd: it is a symbolic link",
        "pipe: it is no regular file",
        "back\\slash: it has a backslash in its name",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("names", "report"),
    [
        (["a.html", "detailed_results.html"], "detailed_results.html"),
        (["b.html", "a.html", "sub/0.html"], "a.html"),
        (["a.txt"], None),
    ],
)
def test_the_page(names: list[str], report: str | None) -> None:
    found = report_in({name: Output(name, Path(name), 0) for name in names})
    assert (found and found.name) == report


def dataset(tmp_path: Path, *lines: Any) -> str | None:
    path = tmp_path / "dataset.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return check_dataset(Output("dataset.jsonl", path, path.stat().st_size))


USER, ASSISTANT = {"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}


def test_a_good_dataset(tmp_path: Path) -> None:
    assert (
        dataset(tmp_path, {"messages": [USER, ASSISTANT]}, "", {"messages": [USER, ASSISTANT], "metadata": {}}) is None
    )
    assert dataset(tmp_path) is None


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("nonsense", "line 2 is not JSON: Expecting value: line 1 column 1 (char 0)"),
        ([], "line 2 must be an object with a list of messages"),
        ({"prompt": "a"}, "line 2 must be an object with a list of messages"),
        ({"messages": []}, "line 2 must be an object with a list of messages"),
        ({"messages": [{"role": "user"}]}, 'line 2 has a message that is not like {"role": "user", "content": "..."}'),
        ({"messages": [USER]}, "line 2 must end with a message of the assistant"),
    ],
)
def test_a_wrong_dataset(tmp_path: Path, line: Any, problem: str) -> None:
    assert dataset(tmp_path, {"messages": [USER, ASSISTANT]}, line) == problem
