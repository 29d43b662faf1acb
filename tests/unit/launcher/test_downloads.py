"""Where what is downloaded may be put."""

import pytest

from services.launcher.checkpoints import CheckpointError
from services.launcher.downloads import inside


def test_a_key_is_a_path_below() -> None:
    assert str(inside("weights/model.safetensors")) == "weights/model.safetensors"


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/x", "a//b", "./a", "a\0b", "", ".listing.json"])
def test_a_key_that_leads_elsewhere_is_refused(key: str) -> None:
    with pytest.raises(CheckpointError, match="is no relative path of a file"):
        inside(key)
