"""Manifests: what is said of wrong ones, and where."""

from pathlib import Path

import pytest
import yaml

from services.artifacts.bundles import Limits, read_bundle
from shared.errors import Invalid
from tests.unit.artifacts.bundles import error, errors, manifest, read, write_zip

GOOD = yaml.safe_dump(manifest(), sort_keys=False)


@pytest.mark.parametrize(
    ("text", "msg"),
    [
        ("slug: [a\ntitle: b\n", "line 2, column 6: expected ',' or ']', but got ':'"),
        ("a: b: c", "line 1, column 5: mapping values are not allowed here"),
        ("\tslug: a", "line 1, column 1: found character '\\t' that cannot start any token"),
        ("- a", "must be a mapping with slug, title, prompt, phases and scoring"),
        ("", "must be a mapping with slug, title, prompt, phases and scoring"),
        ("slug: a\nslug: b", "line 2, column 1: the key 'slug' is given twice"),
        ("slug: a\n5: b", "line 2, column 1: a key must be text; put it in quotes"),
        ("slug: .inf", "line 1, column 7: a number must be finite"),
        ('slug: "\\ud800"', "line 1, column 7: half of a surrogate pair is not Unicode text"),
        ('"\\ud800": a', "line 1, column 1: half of a surrogate pair is not Unicode text"),
        ("slug: 2025-13-45", "is not YAML: a value does not fit its type: month must be in 1..12"),
        ("slug: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: &a [*a]", "nested deeper than 64 levels, or within itself"),
        ("a: " + "[" * 5000, "is nested deeper than 64 levels"),
        ("a: 1\n---\nb: 1", "but found another document"),
    ],
)
def test_broken_yaml(tmp_path: Path, text: str, msg: str) -> None:
    found = error(tmp_path, text)
    assert found["loc"] == ["environment.yaml"]
    assert msg in found["msg"]


def test_a_billion_laughs_are_refused_at_once(tmp_path: Path) -> None:
    text = "a0: &a0 [ha, ha]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    assert "more than 100,000 values" in error(tmp_path, text)["msg"]


def test_a_manifest_that_is_not_utf8(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "bundle.zip", [("environment.yaml", b"title: \xff")])
    with pytest.raises(Invalid, match="is not UTF-8: byte 0xff at position 8"):
        read_bundle(archive, tmp_path / "out", Limits())


def test_all_errors_of_a_manifest_are_said_at_once(tmp_path: Path) -> None:
    found = errors(tmp_path, manifest(slug="A B", scoring={"scorer": "nope"}, more=1))
    assert [one["loc"][1] for one in found] == ["slug", "scoring", "more"]


def test_aliases_in_the_manifest_are_fine(tmp_path: Path) -> None:
    text = """
slug: sums
title: Sums
prompt: {template: "{{ question }}"}
phases:
  - {name: one, data: dev.jsonl, fields: &fields {input: question, target: answer}}
  - {name: two, data: dev.jsonl, fields: {<<: *fields, id: id}}
scoring: {scorer: numeric}
"""
    bundle, _ = read(tmp_path, text)
    assert bundle.phases == [("one", 1), ("two", 1)]
    assert bundle.manifest.phases[1].fields.id == "id"
