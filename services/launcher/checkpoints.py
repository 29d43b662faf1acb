"""What an engine loads: a folder or file on this machine, a prefix in an S3 bucket, or a model of the Hugging Face Hub."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from services.launcher.templates import Template
from shared.contracts import EngineSettings
from shared.errors import AssayError

_HUB = re.compile(r"\w[\w.-]{0,95}(/\w[\w.-]{0,95})?(:\w[\w.-]{0,95})?", re.ASCII)
_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<prefix>.*[^/])/?", re.ASCII)
_REVISION = re.compile(r"\w[\w./-]{0,199}", re.ASCII)
_LATER_PART = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.")

Form = Literal["folder", "file", "s3", "hub"]
Fetch = Callable[[str, str], Awaitable[Path]]
"""Downloads what lies under a prefix of a bucket, and returns the folder."""


class CheckpointError(AssayError):
    """The checkpoint cannot be loaded; the message names what is wrong, and what would be right."""


@dataclass(frozen=True)
class Loaded:
    """What the template's placeholders stand for, see `Template.command_for`."""

    form: Literal["local", "hub"]
    checkpoint: str
    adapter: str | None
    revision: str | None


async def resolve(name: str, template: Template, settings: EngineSettings, fetch: Fetch) -> Loaded:
    """Find, check and where it must be fetch what the engine is to load.

    Raises:
        CheckpointError: it is not there, or not of a kind that this engine takes.
    """
    form = await asyncio.to_thread(form_of, settings.checkpoint, "checkpoint")
    _check_form(name, template, form, settings.checkpoint)
    if settings.revision is not None:
        if form != "hub":
            raise CheckpointError("revision: only a Hub id has one")
        if not _REVISION.fullmatch(settings.revision):
            raise CheckpointError("revision: must be a branch, a tag or a commit of the Hub's repository")
        if "{revision}" not in str([*template.command, *template.called]):
            raise CheckpointError(f"revision: {name} loads no other than the newest")
    adapter = settings.adapter
    if adapter is not None:
        if "adapter" not in template.takes:
            raise CheckpointError(f"adapter: {name} loads none; merge it into the checkpoint, or choose another engine")
        its_form = await asyncio.to_thread(form_of, adapter, "adapter")
        if its_form == "hub" and template.adapter_file:
            raise CheckpointError(
                f"adapter: {name} takes a file {template.adapter_file}, or a folder or S3 prefix with one"
            )
        adapter = await _located(name, adapter, its_form, "adapter", template.adapter_has, template.adapter_file, fetch)
    return Loaded(
        form="hub" if form == "hub" else "local",
        checkpoint=await _located(
            name, settings.checkpoint, form, "checkpoint", template.checkpoint_has, template.checkpoint_file, fetch
        ),
        adapter=adapter,
        revision=settings.revision,
    )


def form_of(text: str, field: str) -> Form:
    """Which of the forms it has; of a path only what lies there tells whether it is a folder or a file."""
    if text.startswith("s3:"):
        if not _S3.fullmatch(text):
            raise CheckpointError(f"{field}: {text!r} must be s3://bucket/prefix, with a prefix")
        return "s3"
    if text.startswith("/"):
        path = Path(text)
        if not path.exists():
            raise CheckpointError(f"{field}: there is no {text} on the launcher's machine ({socket.gethostname()})")
        return "folder" if path.is_dir() else "file"
    if _HUB.fullmatch(text):
        return "hub"
    raise CheckpointError(
        f"{field}: {text!r} must be an absolute path on the launcher's machine, s3://bucket/prefix, or a Hub id such as org/name"
    )


def _check_form(name: str, template: Template, form: Form, text: str) -> None:
    if form in template.takes:
        return
    words = {"folder": "a folder", "file": "a file", "s3": "an S3 prefix", "hub": "a Hub id"}
    taken = [word for known, word in words.items() if known in template.takes]
    what = f" ({text} is taken for one, since it is no absolute path)" if form == "hub" else ""
    raise CheckpointError(f"checkpoint: {name} takes {' or '.join(taken)}, not {words[form]}{what}")


async def _located(
    name: str, text: str, form: Form, field: str, has: str | None, file: str | None, fetch: Fetch
) -> str:
    if form == "hub":
        return text
    path = Path(text)
    if form == "s3":
        found = _S3.fullmatch(text)
        assert found
        path = await fetch(found["bucket"], found["prefix"])
    return await asyncio.to_thread(_handed, name, text, path, field, has, file)


def _handed(name: str, text: str, path: Path, field: str, has: str | None, file: str | None) -> str:
    """What the engine is given of what lies at `path`: it, or the file in it."""
    if path.is_file():
        return str(path)
    if file is None:
        if has and not any(path.glob(has)):
            raise CheckpointError(f"{field}: {text} has no {has}, which {name} needs")
        return str(path)
    files = [one for one in sorted(path.glob(file)) if not _LATER_PART.search(one.name)]
    if not files:
        raise CheckpointError(f"{field}: {text} has no {file}, which {name} needs")
    if len(files) > 1:
        raise CheckpointError(
            f"{field}: {text} has {len(files)} files {file}, and {name} loads one: name it, such as {files[0]}"
        )
    return str(files[0])
