"""Templates: the commands that come of the built-in ones, and what is wrong with wrong ones."""

from pathlib import Path

import pytest

from services.launcher.templates import Template, TemplateError, load_templates

GIVEN = {
    "checkpoint": "/c",
    "adapter": None,
    "revision": None,
    "served_name": "tuned",
    "form": "local",
    "host": "127.0.0.1",
    "port": "8000",
}
HUB = GIVEN | {"checkpoint": "org/name", "form": "hub"}
WHERE = "--host 127.0.0.1 --port 8000"
GOOD = """\
mine:
  title: Mine
  takes: [folder]
  requires: {program: mine, get: install it}
  command: [mine, "{checkpoint}", "--port={port}"]
"""


@pytest.mark.parametrize(
    ("name", "given", "command", "called"),
    [
        ("vllm", GIVEN, f"vllm serve /c {WHERE} --served-model-name tuned --disable-uvicorn-access-log", "tuned"),
        (
            "vllm",
            HUB | {"revision": "v2", "adapter": "/a"},
            f"vllm serve org/name {WHERE} --revision v2 --served-model-name tuned-base --enable-lora --lora-modules tuned=/a "
            "--disable-uvicorn-access-log",
            "tuned",
        ),
        (
            "sglang",
            GIVEN,
            f"python3 -m sglang.launch_server --model-path /c {WHERE} --served-model-name tuned --log-level-http warning",
            "tuned",
        ),
        (
            "sglang",
            HUB | {"revision": "v2", "adapter": "/a"},
            f"python3 -m sglang.launch_server --model-path org/name {WHERE} --served-model-name tuned --revision v2 "
            "--enable-lora --lora-paths adapter=/a --log-level-http warning",
            "tuned:adapter",
        ),
        (
            "llama.cpp",
            GIVEN | {"checkpoint": "/c.gguf", "adapter": "/a.gguf"},
            f"llama-server --model /c.gguf --alias tuned --lora /a.gguf {WHERE} --log-colors off",
            "tuned",
        ),
        ("llama.cpp", HUB, f"llama-server --hf-repo org/name --alias tuned {WHERE} --log-colors off", "tuned"),
        ("transformers", GIVEN, f"transformers serve /c {WHERE} --log-level info", "/c"),
        (
            "transformers",
            HUB | {"revision": "v2"},
            f"transformers serve org/name@v2 {WHERE} --log-level info",
            "org/name@v2",
        ),
    ],
)
def test_the_command_of_a_built_in_engine(name: str, given: dict[str, str | None], command: str, called: str) -> None:
    template = load_templates(None)[name]
    assert template.command_for(given, ["--more", "a b"]) == [*command.split(), "--more", "a b"]
    assert template.called_for(given) == called


def test_an_operators_file_adds_and_replaces(tmp_path: Path) -> None:
    own = tmp_path / "engines.yaml"
    own.write_text(GOOD + GOOD.replace("mine:", "vllm:"))
    templates = load_templates(own)
    assert set(templates) == {"mine", "vllm", "sglang", "llama.cpp", "transformers"}
    assert templates["vllm"].title == "Mine"
    assert templates["mine"].command_for(GIVEN, []) == ["mine", "/c", "--port=8000"]
    assert templates["mine"].called_for(GIVEN) == "tuned"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]", "must be a mapping with an engine's name as each key, such as my-engine"),
        (GOOD + "  tittle: x", "line 6: mine.tittle: unknown key 'tittle'; did you mean 'title'? "),
        (GOOD.replace("mine:", "My engine:"), "line 1: My engine: a name has at most 40 lower-case letters"),
        (GOOD.replace("  title: Mine\n", ""), "line 1: mine.title: title is missing"),
        (GOOD.replace("[folder]", "[folders]"), "line 3: mine.takes.0: did you mean 'folder'? Must be one of "),
        (GOOD.replace("[folder]", "[adapter]"), "line 1: mine: takes must have a form of a checkpoint"),
        (
            GOOD.replace("{checkpoint}", "{chekpoint}"),
            "line 5: mine.command: unknown placeholder {chekpoint}; did you mean",
        ),
        (GOOD.replace("{checkpoint}", "{checkpoint"), "line 5: mine.command: '{checkpoint': expected '}'"),
        (GOOD.replace("{port}", "8000"), "line 1: mine: command must have {port}: the launcher chooses"),
        (GOOD.replace("[folder]", "[folder, adapter]"), "line 1: mine: command must have {adapter} where takes has"),
        (GOOD.replace("program: mine, ", ""), "line 4: mine.requires: must have either program or module"),
        (GOOD + "  ready: v1/models", "line 6: mine.ready: must match "),
        (GOOD + "  leave_out: '('", "line 6: mine.leave_out: is no regular expression: missing ), unterminated"),
        (GOOD + '  called: ["{called}"]', "line 1: mine: called cannot hold {called}"),
        (GOOD + GOOD, "line 6, column 1: the key 'mine' is given twice"),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_field(tmp_path: Path, text: str, message: str) -> None:
    own = tmp_path / "engines.yaml"
    own.write_text(text)
    with pytest.raises(TemplateError) as failure:
        load_templates(own)
    assert str(failure.value)[: len(f"{own}: {message}")] == f"{own}: {message}"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"/none\.yaml: cannot be read: No such file or directory"):
        load_templates(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("args", "clash"),
    [
        (["--max-model-len", "100"], None),
        (["--host", "0.0.0.0"], "--host"),
        (["--port=1"], "--port"),
        (["--por", "1"], "--por"),
        (["-x", "--revision", "other"], "--revision"),
    ],
)
def test_an_argument_that_the_command_sets_is_found(args: list[str], clash: str | None) -> None:
    assert load_templates(None)["vllm"].clash(args) == clash


def test_what_is_missing_says_how_to_get_it(tmp_path: Path) -> None:
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\n")
    template = Template.model_validate(
        {
            "title": "Mine",
            "takes": ["folder"],
            "requires": {"program": "mine", "get": "install it"},
            "command": ["mine", "{port}"],
        }
    )
    assert template.requires.missing(str(tmp_path)) == "there is no program mine on PATH: install it"
    program.chmod(0o700)
    assert template.requires.missing(str(tmp_path)) is None
