"""The parts of the sandbox that need no bubblewrap: what programs leave behind, what they say, what they use."""

import os
import socket
import threading
from pathlib import Path
from typing import cast

import pytest

from services.scorer.sandbox import collect, remove
from services.scorer.sandbox.files import DEEPEST, filled
from services.scorer.sandbox.limits import Limits, Mount
from services.scorer.sandbox.lines import LEAST, LONGEST, Lines
from services.scorer.sandbox.process import Process
from services.scorer.sandbox.run import Run
from services.scorer.sandbox.unconfined import translated
from services.scorer.sandbox.usage import usage


def test_regular_files_are_taken_and_the_rest_is_refused_by_name(tmp_path: Path) -> None:
    outside = tmp_path / "secret"
    outside.write_text("secret")
    folder = tmp_path / "output"
    (folder / "plots").mkdir(parents=True)
    (folder / "scores.json").write_text("{}")
    (folder / "plots" / "é a.png").write_bytes(b"png")
    (folder / "link").symlink_to(outside)
    (folder / "linked folder").symlink_to(tmp_path)
    os.mkfifo(folder / "fifo")
    os.link(outside, folder / "hard")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / "socket"))
    listening.close()
    (folder / "two\nlines").write_text("")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).write_text("")
    found, refused = collect(folder, files=100, size=1000)
    assert [(output.name, output.size, output.open().read()) for output in found] == [
        ("plots/é a.png", 3, b"png"),
        ("scores.json", 2, b"{}"),
    ]
    assert sorted(refused) == [
        "'\\udcff': its name is not plain text",
        "'two\\nlines': its name is not plain text",
        "fifo: it is no regular file",
        "hard: it is a hard link",
        "link: it is a symbolic link",
        "linked folder: it is a symbolic link",
        "socket: it is no regular file",
    ]


def test_too_much_is_refused(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}").write_bytes(b"x" * 10)
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(10 * 1024**3)
    found, refused = collect(tmp_path, files=100, size=50)
    assert len(found) == 5
    assert refused == ["sparse: with it there are more than 50 bytes"]
    found, refused = collect(tmp_path, files=3, size=10**12)
    assert len(found) == 3
    assert refused == ["everything beyond 3 files and folders"]


def test_folders_too_deep_are_refused_and_cleared_away(tmp_path: Path) -> None:
    folder = tmp_path / "output"
    folder.mkdir()
    (folder / "last").write_text("")
    # Far deeper than a path can be written down.
    inside = os.open(folder, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deep", dir_fd=inside)
        below = os.open("deep", os.O_RDONLY, dir_fd=inside)
        os.close(inside)
        inside = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=inside))
    os.close(inside)
    found, refused = collect(folder, files=10_000, size=1000)
    assert [output.name for output in found] == ["last"]
    assert refused == [f"{'deep/' * (DEEPEST - 1)}deep: folders are more than {DEEPEST} deep"]
    assert filled(folder, 10_000)[0] == 10_001
    remove(folder)
    assert list(tmp_path.iterdir()) == []


def test_what_may_not_be_read_is_cleared_away_and_links_are_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("kept")
    folder = tmp_path / "output"
    (folder / "closed" / "inner").mkdir(parents=True)
    (folder / "closed" / "inner" / "file").write_text("")
    (folder / "closed" / "link").symlink_to(kept)
    (folder / "closed" / "inner").chmod(0)
    (folder / "closed").chmod(0)
    remove(folder)
    remove(folder)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "kept"]
    assert (kept / "file").read_text() == "kept"


def test_a_file_that_is_swapped_for_a_link_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text("{}")
    found, _ = collect(tmp_path, files=10, size=1000)
    (tmp_path / "scores.json").unlink()
    (tmp_path / "scores.json").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        found[0].open()


def test_lines_are_whole_short_and_counted() -> None:
    lines = Lines()
    assert lines.feed(b"one\r\ntw") == ["one"]
    assert lines.feed(b"o\n\n\xff") == ["two", ""]
    assert lines.counted == 3 * LEAST
    assert lines.feed(b"") == ["\ufffd"]
    assert lines.feed(b"x" * (2 * LONGEST + 1)) == ["x" * LONGEST] * 2
    assert lines.feed(b"y\n" + b"z" * (LONGEST + 2) + b"\n") == ["xy", "z" * LONGEST, "zz"]


def test_paths_are_translated_where_they_are_paths() -> None:
    mounts = [
        Mount(Path("/t/in"), "/app/input"),
        Mount(Path("/t/ref"), "/app/input/ref"),
        Mount(Path("/t/o"), "/app/output/"),
    ]
    assert translated("/app/input/ref/x /app/input/res --to=/app/output", mounts) == "/t/ref/x /t/in/res --to=/t/o"
    assert translated("/app/inputs my/app/input /app/output2", mounts) == "/app/inputs my/app/input /app/output2"
    assert translated("as it is", []) == "as it is"


class Starting:
    """A process whose sandbox is still being made: what is its root folder then is this machine's."""

    root = "/"

    def has_started(self) -> bool:
        return False


def test_what_this_machine_runs_is_not_counted_while_the_sandbox_is_being_made(tmp_path: Path) -> None:
    limits = Limits(wall_s=60, cpu_s=0, memory_bytes=0, processes=1)
    run = Run(cast(Process, Starting()), limits, [tmp_path], lambda *_: None, threading.Event())
    assert run._too_much() is None
    assert usage("/", 1, 0)
