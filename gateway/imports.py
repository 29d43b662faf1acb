"""What is to be imported, and by which options: from a request's JSON to a checked model."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from gateway.uploads import FIELD, IMPORT_FIELD, MAX_OPTIONS_BYTES
from shared.errors import FieldError, Invalid
from shared.explain import explained
from shared.imports import IMPORT, Import


def options_from(value: Any, *, has_file: bool) -> Import:
    """The member `import` of a body, checked. Raises `Invalid` with an error for each wrong option, `loc` beginning with `import`."""
    try:
        options = IMPORT.validate_python(value)
    except ValidationError as error:
        errors: list[FieldError] = [
            {"loc": [IMPORT_FIELD, *loc], "msg": msg} for loc, msg in explained(error, value, IMPORT.json_schema())
        ]
        told = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in errors]
        raise Invalid("; ".join(told), errors) from None
    if options.needs_file and not has_file:
        message = f"is missing: {options.format} is imported from a file; send it as {FIELD} of multipart/form-data, with {IMPORT_FIELD} beside it"
        raise Invalid(f"{FIELD}: {message}", [FieldError(loc=[FIELD], msg=message)])
    return options


def options_from_text(text: str, *, has_file: bool) -> Import:
    """The same, from the text of a multipart field."""
    if len(text.encode()) > MAX_OPTIONS_BYTES:
        raise _wrong(f"is larger than {MAX_OPTIONS_BYTES:,} bytes")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(f"is not JSON: {error}") from None
    return options_from(value, has_file=has_file)


FORM_FIELDS = ("format", "slug", "title", "options")
"""Of the page's form, beside its file; `options` is JSON with all others."""


def options_from_form(texts: Mapping[str, str], *, has_file: bool) -> Import | None:
    """The same, from the fields of the page's form; None where the file is a bundle as it is."""
    given = {name: text for name in FORM_FIELDS if (text := texts.get(name, "").strip())}
    if "format" not in given:
        if given:
            field = next(iter(given))
            message = "goes with an import alone; choose the format of the file, or leave this empty"
            raise Invalid(f"{field}: {message}", [FieldError(loc=[field], msg=message)])
        return None
    text = given.pop("options", "{}")
    try:
        more = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(f"options are not JSON: {error}") from None
    if not isinstance(more, dict):
        raise _wrong('options must be a JSON object, such as {"fields": {"input": "question", "target": "answer"}}')
    return options_from({**more, **given}, has_file=has_file)


def _wrong(message: str) -> Invalid:
    return Invalid(f"{IMPORT_FIELD}: {message}", [FieldError(loc=[IMPORT_FIELD], msg=message)])
