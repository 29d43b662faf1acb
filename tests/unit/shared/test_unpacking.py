"""Unpacking hostile zips."""

import hashlib
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from shared.errors import Invalid, TooLarge
from shared.unpacking import ArchiveLimits, content_version, extract
from tests.unit.artifacts.bundles import Entry, write_zip

ROOT_FILE = "environment.yaml"
LIMITS = ArchiveLimits(max_total_bytes=100_000_000, max_file_bytes=50_000_000, max_entries=50, max_ratio=300)


def unpack(tmp_path: Path, *entries: Entry, limits: ArchiveLimits = LIMITS) -> dict[str, str]:
    tmp_path.mkdir(exist_ok=True)
    archive = write_zip(tmp_path / "bundle.zip", [(ROOT_FILE, b"slug: a"), *entries])
    return extract(archive, tmp_path / "out", ROOT_FILE, limits)


def refusal(tmp_path: Path, *entries: Entry) -> str:
    with pytest.raises(Invalid) as caught:
        unpack(tmp_path, *entries)
    outside = [path for path in tmp_path.iterdir() if path.name not in ("bundle.zip", "out")]
    assert not outside
    return f"{caught.value.errors[0]['loc'][0]}: {caught.value.errors[0]['msg']}"


def test_files_come_out_with_their_hashes(tmp_path: Path) -> None:
    digests = unpack(tmp_path, ("data/dev.jsonl", b"{}"), ("data/", b""))
    assert digests == {
        ROOT_FILE: hashlib.sha256(b"slug: a").hexdigest(),
        "data/dev.jsonl": hashlib.sha256(b"{}").hexdigest(),
    }
    assert (tmp_path / "out/data/dev.jsonl").read_bytes() == b"{}"


def test_one_top_folder_and_what_macos_adds_are_left_out(tmp_path: Path) -> None:
    entries = [("my env/environment.yaml", b"a"), ("my env/x.csv", b"b"), ("__MACOSX/my env/._x.csv", b"c")]
    archive = write_zip(tmp_path / "bundle.zip", [*entries, ("my env/.DS_Store", b"d")])
    assert sorted(extract(archive, tmp_path / "out", ROOT_FILE, LIMITS)) == [ROOT_FILE, "x.csv"]
    assert (tmp_path / "out/x.csv").read_bytes() == b"b"


def test_decomposed_names_are_composed(tmp_path: Path) -> None:
    assert "donn\u00e9es.csv" in unpack(tmp_path, ("donne\u0301es.csv", b""))


def test_a_version_depends_on_paths_and_contents_alone(tmp_path: Path) -> None:
    old = zipfile.ZipInfo(ROOT_FILE, (1999, 1, 1, 0, 0, 0))
    one = write_zip(tmp_path / "1.zip", [(old, b"a"), ("b", b"b")])
    two = write_zip(tmp_path / "2.zip", [("top/b", b"b"), (f"top/{ROOT_FILE}", b"a")], zipfile.ZIP_STORED)
    other = write_zip(tmp_path / "3.zip", [(ROOT_FILE, b"a"), ("b", b"c")])
    moved = write_zip(tmp_path / "4.zip", [(ROOT_FILE, b"a"), ("c", b"b")])
    first, second, third, fourth = (
        content_version(extract(archive, tmp_path / archive.stem, ROOT_FILE, LIMITS))
        for archive in (one, two, other, moved)
    )
    assert first == second
    assert len({first, third, fourth}) == 3
    assert len(first) == 64


def test_no_zip(tmp_path: Path) -> None:
    archive = tmp_path / "bundle.zip"
    archive.write_bytes(b"slug: a\n" * 100)
    with pytest.raises(Invalid, match="not a readable zip"):
        extract(archive, tmp_path / "out", ROOT_FILE, LIMITS)


def test_without_a_manifest_the_error_says_what_there_is(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "bundle.zip", [("environment.yml", b"a"), ("dev.jsonl", b"b")])
    with pytest.raises(Invalid, match=r"no environment\.yaml") as caught:
        extract(archive, tmp_path / "out", ROOT_FILE, LIMITS)
    assert caught.value.errors[0]["msg"].endswith("the zip has: dev.jsonl, environment.yml")


@pytest.mark.parametrize(
    ("name", "msg"),
    [
        ("../evil.txt", "must stay within the bundle"),
        ("a/../../evil.txt", "must stay within the bundle"),
        ("./a", "must stay within the bundle"),
        ("a//b", "must stay within the bundle"),
        ("/tmp/evil.txt", "absolute path"),
        ("C:/evil.txt", "absolute path"),
        ("..\\evil.txt", "backslash"),
        ("a\nb", "control characters"),
        ("a\x00b", "control characters"),
        ("gpj.\u202eexe", "control characters"),
        ("a" * 256, "part of over 255"),
        ("/".join(["a" * 200] * 6), "path of over 1024 bytes"),
    ],
)
def test_names_that_are_refused(tmp_path: Path, name: str, msg: str) -> None:
    # ZipInfo's constructor cuts at NUL as reading does.
    entry = zipfile.ZipInfo("x")
    entry.filename = name
    assert msg in refusal(tmp_path, (entry, b"evil"))


@pytest.mark.parametrize(
    ("kind", "msg"), [(stat.S_IFLNK, "is a link"), (stat.S_IFIFO, "special file"), (stat.S_IFCHR, "special file")]
)
@pytest.mark.parametrize("system", [0, 3])
def test_links_and_special_files_are_refused(tmp_path: Path, kind: int, msg: str, system: int) -> None:
    entry = zipfile.ZipInfo("dev.jsonl")
    entry.create_system = system
    entry.external_attr = (kind | 0o777) << 16
    assert msg in refusal(tmp_path, (entry, b"/etc/passwd"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, ("a", b"1"), ("a", b"2")) == "a: is in the zip twice"
    assert "both as a file and as a folder" in refusal(tmp_path, ("a", b"1"), ("a/b", b"2"))


def test_encrypted_entries_are_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "bundle.zip", [(ROOT_FILE, b"slug: a")])
    raw = bytearray(archive.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1  # the flags in the central directory
    archive.write_bytes(raw)
    with pytest.raises(Invalid) as caught:
        extract(archive, tmp_path / "out", ROOT_FILE, LIMITS)
    assert "is encrypted" in caught.value.errors[0]["msg"]


def test_other_methods_than_deflate_are_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "bundle.zip", [(ROOT_FILE, b"slug: a")], zipfile.ZIP_LZMA)
    with pytest.raises(Invalid) as caught:
        extract(archive, tmp_path / "out", ROOT_FILE, LIMITS)
    assert "method 14" in caught.value.errors[0]["msg"]


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="has 51 entries; at most 50"):
        unpack(tmp_path, *((f"{number}", b"") for number in range(50)))


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="more than 300 times"):
        unpack(tmp_path, ("zeros", bytes(20_000_000)))
    assert (tmp_path / "out/zeros").stat().st_size <= 11_000_000


def test_bytes_are_counted_over_all_files_and_for_each(tmp_path: Path) -> None:
    limits = ArchiveLimits(max_total_bytes=1000, max_file_bytes=600, max_entries=50, max_ratio=300)
    with pytest.raises(TooLarge, match="b unpacks to more than 600 bytes"):
        unpack(tmp_path / "1", ("b", bytes(601)), limits=limits)
    with pytest.raises(TooLarge, match="bundle unpacks to more than 1,000 bytes"):
        unpack(tmp_path / "2", ("b", bytes(600)), ("c", bytes(600)), limits=limits)


def test_a_size_that_lies_is_not_believed(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "bundle.zip", [(ROOT_FILE, bytes(5000))])
    raw = bytearray(archive.read_bytes())
    struct.pack_into("<I", raw, raw.index(b"PK\x01\x02") + 24, 10)
    archive.write_bytes(raw)
    with pytest.raises(Invalid) as caught:
        extract(archive, tmp_path / "out", ROOT_FILE, LIMITS)
    assert "cannot be unpacked" in caught.value.errors[0]["msg"]


def test_entries_that_share_bytes_are_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "bundle.zip", [(ROOT_FILE, b"slug: a"), ("b", b"1")])
    raw = bytearray(archive.read_bytes())
    second = raw.index(b"PK\x01\x02", raw.index(b"PK\x01\x02") + 4)
    struct.pack_into("<I", raw, second + 42, 0)  # the offset of its local header: that of the first file
    archive.write_bytes(raw)
    with pytest.raises(Invalid) as caught:
        extract(archive, tmp_path / "out", ROOT_FILE, LIMITS)
    assert "shares its packed bytes" in caught.value.errors[0]["msg"]


def test_damaged_contents_are_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "bundle.zip", [(ROOT_FILE, b"slug: a")], zipfile.ZIP_STORED)
    archive.write_bytes(archive.read_bytes().replace(b"slug: a", b"slug: b"))
    with pytest.raises(Invalid) as caught:
        extract(archive, tmp_path / "out", ROOT_FILE, LIMITS)
    assert "CRC" in caught.value.errors[0]["msg"]
