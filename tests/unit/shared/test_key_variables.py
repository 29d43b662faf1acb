"""Which variables may be a model's key."""

import pytest
from pydantic import ValidationError

from shared.key_variables import KeyVariables, read_patterns
from shared.settings import Settings


@pytest.mark.parametrize(
    ("patterns", "name", "allowed"),
    [
        ("*_API_KEY,HF_TOKEN", "OPENAI_API_KEY", True),
        ("*_API_KEY,HF_TOKEN", "HF_TOKEN", True),
        ("*_API_KEY,HF_TOKEN", "AWS_SECRET_ACCESS_KEY", False),
        ("*_API_KEY,HF_TOKEN", "openai_api_key", False),
        ("*_API_KEY", "ASSAY_API_KEY", False),
        ("ASSAY_SECRET_KEY", "ASSAY_SECRET_KEY", False),
        ("MODEL_KEY_*", "MODEL_KEY_A", True),
        ("", "OPENAI_API_KEY", False),
    ],
)
def test_a_name_is_allowed_by_the_operators_patterns_and_never_assays_own(
    patterns: str, name: str, allowed: bool
) -> None:
    refusal = KeyVariables(read_patterns(patterns)).refusal(name)
    assert (refusal is None) == allowed
    assert allowed or (refusal is not None and name in refusal)


@pytest.mark.parametrize("patterns", ["*", "*_*", "A B", "A,$B", "1A", "[A]_API_KEY"])
def test_patterns_that_are_none_or_let_everything_out_are_refused(patterns: str) -> None:
    with pytest.raises(ValidationError, match=r"is no name of a variable, nor a pattern of one such as \*_API_KEY"):
        Settings(key_variables=patterns)
