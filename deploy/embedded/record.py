"""What a stack leaves in its data folder: its credentials, made once, and where it runs, written at each start."""

import os
import secrets
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.embedded.errors import StackError


def _token() -> str:
    # A letter first, and nothing that any configuration file or address would read as syntax.
    return "a" + secrets.token_hex(20)


class Credentials(BaseModel):
    """Secrets of one data folder; kept, since the stores' clients may remember theirs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nats_token: str = Field(default_factory=_token, repr=False)
    mongo_key: str = Field(default_factory=_token, repr=False)
    s3_access_key: str = Field(default_factory=_token, repr=False)
    s3_secret_key: str = Field(default_factory=_token, repr=False)
    supervisor_password: str = Field(default_factory=_token, repr=False)


class Record(BaseModel):
    """A running stack: `environment` is what its services are told, secrets included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    supervisor_port: int
    supervisor_password: str = Field(repr=False)
    environment: dict[str, str] = Field(repr=False)


def credentials(data: Path) -> Credentials:
    """This folder's credentials, made at the first call.

    Raises:
        StackError: the file is not one of ours.
    """
    path = data / "credentials.json"
    if not path.exists():
        write_private(path, Credentials().model_dump_json(indent=2) + "\n")
    return _read(path, Credentials)


def save(data: Path, record: Record) -> None:
    write_private(data / "stack.json", record.model_dump_json(indent=2) + "\n")


def load(data: Path) -> Record | None:
    """Where this folder's stack runs, or ran before it crashed; None after a clean stop.

    Raises:
        StackError: the file is not one of ours.
    """
    path = data / "stack.json"
    return _read(path, Record) if path.exists() else None


def forget(data: Path) -> None:
    """After a clean stop: nothing runs, so no address is of any use."""
    for name in ("stack.json", "stack.env"):
        (data / name).unlink(missing_ok=True)


Kind = TypeVar("Kind", bound=BaseModel)


def _read(path: Path, kind: type[Kind]) -> Kind:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        # Without the error's text: it quotes the content, which is secret.
        raise StackError(f"{path} is damaged: restore it, or delete it while the stack is stopped") from error


def write_private(path: Path, text: str) -> None:
    """Replace the file as a whole; only its owner may read it, at every moment."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
