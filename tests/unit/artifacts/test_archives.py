import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.artifacts.archives import SubmissionWriter, public_model, write_scoring_output
from shared.archives import ArchiveWriter
from tests.unit.artifacts.rows import evaluation

MODEL: dict[str, Any] = {
    "id": "md1",
    "name": "m0.26",
    "source": "running",
    "base_url": "http://user:hunter2@127.0.0.1:9000/v1?key=hunter2#hunter2",
    "model": "tiny",
    "has_api_key": True,
    "api_key": "hunter2",
    "api": "chat",
    "stream": False,
    "max_concurrency": 16,
    "requests_per_minute": None,
    "timeout_s": 120.0,
    "connect_timeout_s": 10.0,
    "max_attempts": 5,
    "price": None,
    "status": "running",
    "status_detail": "",
    "latency_ms": 3.2,
}
MANIFEST: dict[str, Any] = {"slug": "word-problems", "title": "Wörter \ud800", "prompt": {"template": "{{ input }}\n"}}


def submission(path: Path, item_ids: list[str], model: dict[str, Any] = MODEL) -> dict[str, Any]:
    with SubmissionWriter(path, evaluation(limit=3), model, MANIFEST, "0.1.0") as writer:
        for item_id in item_ids:
            writer.add_item_id(item_id)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        parsed: dict[str, Any] = json.loads(archive.read("submission.json"))
    return parsed


def test_archive_is_the_same_whenever_and_from_wherever_it_is_written(tmp_path: Path) -> None:
    content = b"line\n" * 500_000
    source = tmp_path / "source"
    source.write_bytes(content)
    source.chmod(0o755)
    for name in ("a.zip", "b.zip"):
        with ArchiveWriter(tmp_path / name) as archive:
            archive.add_bytes("first.txt", b"1")
            if name == "a.zip":
                archive.add_file("folder/second.txt", source)
            else:
                archive.add_bytes("folder/second.txt", content)
            with archive.open("third.txt") as stream:
                stream.write(b"3")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as written:
        assert written.testzip() is None
        assert written.namelist() == ["first.txt", "folder/second.txt", "third.txt"]
        assert {entry.date_time for entry in written.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.external_attr >> 16 for entry in written.infolist()} == {0o100644}
        assert written.read("folder/second.txt") == content


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../up.txt", "a/../b", "a\\b", "folder/", "a\0b"])
def test_archive_refuses_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="give a relative path"), ArchiveWriter(tmp_path / "a.zip") as archive:
        archive.add_bytes(name, b"")
    assert list(tmp_path.iterdir()) == []


def test_archive_refuses_a_name_twice(tmp_path: Path) -> None:
    def write_twice() -> None:
        with ArchiveWriter(tmp_path / "a.zip") as archive:
            archive.add_bytes("a.txt", b"")
            archive.add_bytes("a.txt", b"")

    with pytest.raises(ValueError, match=r"'a\.txt' is given twice"):
        write_twice()
    assert list(tmp_path.iterdir()) == []


def test_archive_that_fails_in_an_entry_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with ArchiveWriter(tmp_path / "a.zip") as archive, archive.open("a.txt") as stream:
            stream.write(b"half")
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_submission_says_what_is_evaluated(tmp_path: Path) -> None:
    parsed = submission(tmp_path / "a.zip", ["q1", 'q"2', "q\ud8003"])
    assert parsed == {
        "assay_version": "0.1.0",
        "environment": {"slug": "word-problems", "version": "9f2c1ab03d77e5c4"},
        "phase": "dev",
        "item_ids": ["q1", 'q"2', "q\ufffd3"],
        "params": {"temperature": 0.0, "max_tokens": 512},
        "samples_per_item": 1,
        "limit": 3,
        "model": {
            "name": "m0.26",
            "source": "running",
            "base_url": "http://127.0.0.1:9000/v1",
            "model": "tiny",
            "api": "chat",
            "stream": False,
            "limits": {
                "max_concurrency": 16,
                "requests_per_minute": None,
                "timeout_s": 120.0,
                "connect_timeout_s": 10.0,
                "max_attempts": 5,
            },
        },
    }
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert yaml.safe_load(archive.read("environment.yaml")) == MANIFEST | {"title": "Wörter \ufffd"}


def test_submission_holds_no_secret(tmp_path: Path) -> None:
    submission(tmp_path / "a.zip", ["q1"])
    assert b"hunter2" not in (tmp_path / "a.zip").read_bytes()


def test_public_model_keeps_an_address_of_ipv6() -> None:
    assert public_model(MODEL | {"base_url": "https://a:b@[::1]:8443/v1"})["base_url"] == "https://[::1]:8443/v1"


def test_submission_without_items_is_valid(tmp_path: Path) -> None:
    assert submission(tmp_path / "a.zip", [])["item_ids"] == []


def test_submission_is_the_same_on_every_rebuild(tmp_path: Path) -> None:
    ids = [f"q{number}" for number in range(1000)]
    submission(tmp_path / "a.zip", ids)
    submission(tmp_path / "b.zip", ids, dict(reversed(MODEL.items())) | {"status": "unreachable", "latency_ms": None})
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_submission_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with SubmissionWriter(tmp_path / "a.zip", evaluation(), MODEL, MANIFEST, "0.1.0") as writer:
            writer.add_item_id("q1")
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_submission_closes_once(tmp_path: Path) -> None:
    with SubmissionWriter(tmp_path / "a.zip", evaluation(), MODEL, MANIFEST, "0.1.0") as writer:
        writer.add_item_id("q1")
        writer.close()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert json.loads(archive.read("submission.json"))["item_ids"] == ["q1"]


def test_scoring_output_has_scores_and_what_was_printed(tmp_path: Path) -> None:
    extra = tmp_path / "curve.csv"
    extra.write_text("x,y\n")
    for name in ("a.zip", "b.zip"):
        write_scoring_output(
            tmp_path / name,
            {"b": 0.1, "a": None} if name == "a.zip" else {"a": None, "b": 0.1},
            "out \ud800",
            "err",
            [("z.txt", extra), ("curve.csv", extra)],
        )
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["scores.json", "stdout.txt", "stderr.txt", "curve.csv", "z.txt"]
        assert json.loads(archive.read("scores.json")) == {"a": None, "b": 0.1}
        assert archive.read("stdout.txt").decode() == "out \ufffd"
