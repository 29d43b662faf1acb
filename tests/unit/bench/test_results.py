from pathlib import Path

import pytest

from bench.results import Section, Table, replace_section, save
from shared.errors import AssayError

TABLE = Table("Rates", ["", "items/s"], [["Assay", "2,850"]])


def section(name: str, what: str) -> Section:
    return Section(name, name.title(), what, [TABLE])


def test_a_section_is_put_in_the_place_of_the_former_one() -> None:
    page = replace_section("# Results\n", "one", "first")
    page = replace_section(page, "two", "second")

    replaced = replace_section(page, "one", "changed")

    assert replaced == page.replace("first", "changed")
    assert replaced.index("changed") < replaced.index("second")


def test_replacing_with_the_same_text_changes_nothing() -> None:
    page = replace_section("# Results\n", "one", "text")

    assert replace_section(page, "one", "text") == page


def test_a_section_without_its_end_is_not_guessed_at() -> None:
    with pytest.raises(AssayError, match="delete that section"):
        replace_section("# Results\n\n<!-- one -->\ntext\n", "one", "text")


def test_each_benchmark_keeps_the_others_sections(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    save(section("latency", "kept"), "first run", file)
    save(section("cost", "old"), "first run", file)

    save(section("cost", "new"), "second run", file)

    page = file.read_text()
    assert page.startswith("# Results\n")
    assert page.count("# Results\n") == 1
    assert "kept" in page
    assert "new" in page
    assert "old" not in page
    assert page.count("first run") == page.count("second run") == 1


def test_a_table_in_markdown() -> None:
    assert TABLE.markdown().splitlines() == [
        "**Rates**",
        "",
        "|  | items/s |",
        "| :--- | ---: |",
        "| Assay | 2,850 |",
    ]
