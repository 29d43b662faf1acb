"""Packing an environment's folder."""

import os
import zipfile
from pathlib import Path

import pytest

from assay import InvalidInput
from assay.pack import packed


def folder(at: Path) -> Path:
    at.mkdir()
    for name in (
        "environment.yaml",
        "data/b.jsonl",
        "data/a.jsonl",
        ".git/config",
        "data/.hidden",
        "__pycache__/x.pyc",
    ):
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_text(name)
    return at


def test_the_same_content_gives_the_same_bytes_whatever_the_times(tmp_path: Path) -> None:
    first, second = folder(tmp_path / "one"), folder(tmp_path / "two")
    os.utime(second / "environment.yaml", (10**9, 10**9))
    with packed(first) as one, packed(second) as two:
        assert one.read_bytes() == two.read_bytes()
        with zipfile.ZipFile(one) as archive:
            assert archive.namelist() == ["data/a.jsonl", "data/b.jsonl", "environment.yaml"]
            assert archive.read("data/a.jsonl") == b"data/a.jsonl"
    assert not one.exists()


def test_a_zip_is_taken_as_it_is(tmp_path: Path) -> None:
    with packed(folder(tmp_path / "one")) as made:
        (tmp_path / "given.zip").write_bytes(made.read_bytes())
    with packed(tmp_path / "given.zip") as taken:
        assert taken == tmp_path / "given.zip"
    assert taken.exists()


def test_what_is_no_bundle_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    linked = folder(tmp_path / "linked")
    (linked / "data/c.jsonl").symlink_to("/etc/passwd")
    wrong = {
        "nowhere": "does not exist",
        "text": "neither a folder nor a zip",
        "": "has no environment.yaml at its root",
        "linked": "data/c.jsonl is a link",
    }
    for name, message in wrong.items():
        with pytest.raises(InvalidInput, match=message), packed(tmp_path / name):
            pass
