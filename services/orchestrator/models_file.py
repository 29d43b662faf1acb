"""The models file: the platform models that an operator keeps in YAML (`ASSAY_MODELS_FILE`, docs/models.md), read and checked as a whole."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from services.orchestrator.addresses import check_base_url
from shared.api import ModelCreate
from shared.contracts import ModelSource
from shared.errors import FieldError, Invalid
from shared.explain import Loc, explained
from shared.key_variables import KeyVariables
from shared.networks import Networks
from shared.yamls import Lines, NotRead, parse_yaml

MAX_BYTES = 1024 * 1024
_MOST = 1000
_MOST_ERRORS = 20


class PlatformModel(ModelCreate):
    """One entry: the fields with which a model is registered, without what a file of platform models cannot say."""

    source: ModelSource = ModelSource.PLATFORM
    base_url: str = Field(min_length=1, max_length=2000)
    model: str = Field(min_length=1, max_length=300)

    @field_validator("source")
    @classmethod
    def _is_platform(cls, value: ModelSource) -> ModelSource:
        if value is not ModelSource.PLATFORM:
            raise ValueError("is platform for every model of this file; leave it out")
        return value

    @field_validator("engine", mode="before")
    @classmethod
    def _no_engine(cls, value: Any) -> Any:
        raise ValueError("is for models that a launcher starts; a platform model has a base_url")

    @field_validator("api_key", mode="before")
    @classmethod
    def _no_key_in_a_file(cls, value: Any) -> Any:
        raise ValueError("must not stand in a file; give api_key_env, the name of the variable that holds it")

    @model_validator(mode="before")
    @classmethod
    def _source_of_an_engine(cls, given: Any) -> Any:
        return given  # one error for an engine is enough


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    models: list[PlatformModel] = Field(max_length=_MOST)


async def read_models(data: bytes, file: str, networks: Networks, keys: KeyVariables) -> list[PlatformModel]:
    """The models of a file called `file`, with addresses as they are stored.

    Raises:
        Invalid: what is wrong, all of it up to a limit; each error has the file, the field and, in its message, the line.
    """
    if len(data) > MAX_BYTES:
        raise _wrong(file, [((), f"is larger than {MAX_BYTES:,} bytes")], Lines())
    try:
        document, lines = parse_yaml(data, "the key models")
    except NotRead as error:
        raise _wrong(file, [((), str(error))], Lines()) from error
    try:
        models = _File.model_validate(document).models
    except ValidationError as error:
        raise _wrong(file, explained(error, document, _File.model_json_schema()), lines) from error
    found: list[tuple[Loc, str]] = []
    first: dict[str, int] = {}
    for place, model in enumerate(models):
        if first.setdefault(model.name, place) != place:
            line = lines.get(("models", first[model.name], "name"))
            found.append((("models", place, "name"), f"{model.name!r} is there already, in line {line}"))
        try:
            model.base_url = await check_base_url(model.base_url, networks)
        except Invalid as error:
            found += [(("models", place, *one["loc"]), one["msg"]) for one in error.errors]
        if model.api_key_env and (refusal := keys.refusal(model.api_key_env)):
            found.append((("models", place, "api_key_env"), refusal))
    if found:
        raise _wrong(file, found, lines)
    return models


def _wrong(file: str, found: list[tuple[Loc, str]], lines: Lines) -> Invalid:
    errors = [FieldError(loc=[file, *loc], msg=lines.told(loc, msg)) for loc, msg in found[:_MOST_ERRORS]]
    said = f"{len(found)} error{'s' * (len(found) > 1)}"
    first = ".".join(map(str, errors[0]["loc"]))
    return Invalid(f"the models file has {said}: {first}: {errors[0]['msg']}", errors)
