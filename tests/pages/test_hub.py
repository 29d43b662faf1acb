"""The hub in a browser: finding environments, and adding one with its errors by file, line and field."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.pages.visitor import Visitor
from tests.running import RunningStack

Visit = Callable[..., Visitor]

MANIFEST = """slug: {slug}
title: {title}
description: Capital cities of the world.
tags: [geography-{slug}]
prompt: {{template: "{{{{ question }}}}"}}
phases: [{{name: test, data: rows.jsonl, fields: {{input: question, target: answer}}}}]
scoring: {{scorer: contains}}
"""
ROWS = '{"question": "What is the capital of France?", "answer": "Paris"}\n'
BAD_ROWS = ROWS + '{"question": "What is the capital of <b>Peru</b>?"}\nnot JSON\n'


def bundle(slug: str, rows: str = ROWS, title: str = "Capitals") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("environment.yaml", MANIFEST.format(slug=slug, title=title))
        archive.writestr("rows.jsonl", rows)
    return data.getvalue()


def file(slug: str, rows: str = ROWS, title: str = "Capitals") -> dict[str, object]:
    """What Playwright chooses in a file dialog."""
    return {"name": f"{slug}.zip", "mimeType": "application/zip", "buffer": bundle(slug, rows, title)}


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_errors_of_a_bundle_by_file_line_and_field_and_then_the_mended_one(visit: Visit, script: bool) -> None:
    slug = f"capitals-{'a' if script else 'b'}"
    visitor = visit(script=script)
    visitor.expected.append("422")
    page = visitor.go("/")

    def send(rows: str) -> None:
        page.locator("input[type=file]").set_input_files(file(slug, rows))  # type: ignore[arg-type]
        if not script:
            page.get_by_role("button", name="Add environment").click()

    send(BAD_ROWS)
    errors = page.get_by_role("alert").get_by_role("listitem")
    expect(errors).to_have_count(2)
    expect(errors.nth(0)).to_contain_text("rows.jsonl")
    expect(errors.nth(0)).to_contain_text("line 2")
    expect(errors.nth(0)).to_contain_text("answer")
    expect(errors.nth(0)).to_contain_text('"What is the capital of <b>Peru</b>?"')
    expect(errors.nth(1)).to_contain_text("line 3")
    expect(errors.nth(1).locator(".wrong-text")).to_have_text("not JSON")
    assert not visitor.overflows()
    if script:
        assert visitor.violations() == []

    send(ROWS)
    page.wait_for_url(f"**/environments/{slug}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Capitals")


TABLE = "question,answer\nWhat is the capital of France?,Paris\n"


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_a_table_is_imported_and_what_was_guessed_is_shown(visit: Visit, script: bool) -> None:
    visitor = visit(script=script)
    visitor.expected.append("422")
    page = visitor.go("/")
    slug = f"table-{'a' if script else 'b'}"

    def send(options: str) -> None:
        page.get_by_label("Its format").select_option("table")
        if not script and not page.get_by_label("Title").is_visible():
            page.get_by_text("Options of an import").click()
        page.get_by_label("Name in addresses").fill(slug)
        page.get_by_label("Title").fill("A <b>table</b>")
        page.get_by_label("Options of the format").fill(options)
        file = {"name": "capitals.csv", "mimeType": "text/csv", "buffer": TABLE.encode()}
        page.locator("input[type=file]").set_input_files(file)  # type: ignore[arg-type]
        if not script:
            page.get_by_role("button", name="Add environment").click()

    send('{"fields": {"input": "qestion"}}')
    error = page.get_by_role("alert").get_by_role("listitem")
    expect(error).to_contain_text("fields.input")
    expect(error).to_contain_text("did you mean 'question'?")
    assert not visitor.overflows()
    if script:
        assert visitor.violations() == []
    expect(page.get_by_label("Options of the format")).to_have_value('{"fields": {"input": "qestion"}}')

    send('{"scoring": "contains"}')
    page.wait_for_url(f"**/environments/{slug}")
    expect(page.get_by_role("heading", level=1)).to_have_text("A <b>table</b>")


def test_options_that_are_no_json_are_not_sent(visit: Visit) -> None:
    page = visit().go("/")
    expect(page.get_by_label("Title")).to_be_hidden()
    page.get_by_label("Its format").select_option("huggingface")
    page.get_by_label("Options of the format").fill("{nope")
    page.get_by_role("button", name="Import by name").click()
    expect(page.get_by_role("alert")).to_contain_text("not JSON")


def test_a_file_dropped_anywhere_is_sent(visit: Visit) -> None:
    visitor = visit()
    page = visitor.go("/")
    transfer = page.evaluate_handle(
        """(bytes) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "dropped.zip", { type: "application/zip" }));
            return transfer;
        }""",
        list(bundle("dropped")),
    )
    page.dispatch_event("main", "dragenter", {"dataTransfer": transfer})
    page.dispatch_event("main", "drop", {"dataTransfer": transfer})
    page.wait_for_url("**/environments/dropped")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_search_by_title_and_by_tag(visit: Visit, stack: RunningStack, tmp_path: Path, script: bool) -> None:
    stack.push_sample_environment()
    slug = f"found-{'a' if script else 'b'}"
    (tmp_path / "rivers.zip").write_bytes(bundle(slug, title=f"Rivers {slug}"))
    stack.client.environments.push(tmp_path / "rivers.zip")
    visitor = visit(script=script)
    page = visitor.go("/")
    cards = page.locator("#environments").get_by_role("heading", level=2)
    search = page.get_by_role("searchbox")
    search.fill(f"rivers {slug}")
    if not script:
        page.get_by_role("button", name="Search").click()
    expect(cards).to_have_text([f"Rivers {slug}"])
    assert "q=rivers" in page.url
    if script:
        expect(page.get_by_role("status").first).to_have_text("1 found")
        expect(search).to_be_focused()
    search.fill("no such <b>thing</b>")
    if not script:
        page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    page.goto(f"{stack.url}/?q={slug}")
    page.locator("#environments").get_by_role("link", name=f"geography-{slug}").click()
    expect(cards).to_have_text([f"Rivers {slug}"])
    assert page.url == f"{stack.url}/?tag=geography-{slug}"
    search.fill("word problems")
    if not script:
        page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    page.get_by_role("navigation", name="Tags").get_by_role("link", name=f"geography-{slug}").click()
    expect(cards.first).to_have_text("Word problems")  # other tests' may have that title, too
    page.get_by_role("navigation", name="Tags").get_by_role("link", name="math").click()
    expect(cards.first).to_have_text("Word problems")  # other tests' may have that title, too
    assert page.url == f"{stack.url}/?q=word+problems&tag=math"
