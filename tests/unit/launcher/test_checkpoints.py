"""What an engine is given to load, and what is said of what it cannot."""

from pathlib import Path
from typing import Any

import pytest

from services.launcher.checkpoints import CheckpointError, Loaded, resolve
from services.launcher.templates import load_templates
from shared.contracts import EngineSettings

TEMPLATES = load_templates(None)


async def resolved(name: str, fetched: Path | None = None, **settings: Any) -> Loaded:
    async def fetch(bucket: str, prefix: str) -> Path:
        assert (bucket, prefix) == ("bucket", "a/prefix")
        assert fetched
        return fetched

    return await resolve(name, TEMPLATES[name], EngineSettings(name=name, **settings), fetch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("config.json", "adapter_config.json", "model-00001-of-00002.gguf", "model-00002-of-00002.gguf"):
        (tmp_path / name).touch()
    return tmp_path


async def test_a_folder_and_an_adapter(folder: Path) -> None:
    loaded = await resolved("vllm", checkpoint=str(folder), adapter=str(folder))
    assert loaded == Loaded("local", str(folder), str(folder), None)


async def test_a_hub_id_is_handed_on(folder: Path) -> None:
    loaded = await resolved("vllm", checkpoint="org/name", adapter="org/adapter", revision="refs/pr/1")
    assert loaded == Loaded("hub", "org/name", "org/adapter", "refs/pr/1")


async def test_a_prefix_is_fetched_and_a_file_found_in_it(folder: Path) -> None:
    loaded = await resolved("llama.cpp", folder, checkpoint="s3://bucket/a/prefix/")
    assert loaded == Loaded("local", str(folder / "model-00001-of-00002.gguf"), None, None)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("vllm", {"checkpoint": "models/mine/v1"}, "checkpoint: 'models/mine/v1' must be an absolute path"),
        ("vllm", {"checkpoint": "-x"}, "checkpoint: '-x' must be an absolute path"),
        ("vllm", {"checkpoint": "s3://bucket"}, "checkpoint: 's3://bucket' must be s3://bucket/prefix, with a prefix"),
        ("vllm", {"checkpoint": "/no/such"}, "checkpoint: there is no /no/such on the launcher's machine ("),
        ("vllm", {"checkpoint": "{empty}"}, "checkpoint: {empty} has no config.json, which vllm needs"),
        ("vllm", {"checkpoint": "org/name", "adapter": "{empty}"}, "adapter: {empty} has no adapter_config.json"),
        ("vllm", {"checkpoint": "{folder}", "revision": "main"}, "revision: only a Hub id has one"),
        ("vllm", {"checkpoint": "org/name", "revision": "--x"}, "revision: must be a branch, a tag or a commit"),
        (
            "llama.cpp",
            {"checkpoint": "org/name", "revision": "main"},
            "revision: llama.cpp loads no other than the newest",
        ),
        ("llama.cpp", {"checkpoint": "{empty}"}, "checkpoint: {empty} has no *.gguf, which llama.cpp needs"),
        (
            "llama.cpp",
            {"checkpoint": "{two}"},
            "checkpoint: {two} has 2 files *.gguf, and llama.cpp loads one: name it",
        ),
        ("llama.cpp", {"checkpoint": "org/name", "adapter": "org/a"}, "adapter: llama.cpp takes a file *.gguf, or a"),
        ("transformers", {"checkpoint": "org/name", "adapter": "org/a"}, "adapter: transformers loads none"),
        ("transformers", {"checkpoint": "{folder}/config.json"}, "checkpoint: transformers takes a folder or an S3"),
    ],
)
async def test_what_cannot_be_loaded(folder: Path, name: str, settings: dict[str, Any], message: str) -> None:
    for other in ("empty", "two"):
        (folder / other).mkdir()
    for file in ("a.gguf", "b.gguf"):
        (folder / "two" / file).touch()

    def put(text: str) -> str:
        for word, path in {"empty": folder / "empty", "two": folder / "two", "folder": folder}.items():
            text = text.replace(f"{{{word}}}", str(path))
        return text

    given: dict[str, Any] = {key: put(value) for key, value in settings.items()}
    with pytest.raises(CheckpointError) as failure:
        await resolved(name, **given)
    assert str(failure.value)[: len(put(message))] == put(message)
