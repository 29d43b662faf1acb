"""Make the secrets of the containers: `python3 -m deploy.make_secrets`. Needs nothing but Python."""

import base64
import os
import secrets
import sys
from pathlib import Path

DEFAULT = Path(".env")


def make() -> dict[str, str]:
    """Fresh random values. None contains what a shell, an address or a configuration file reads as syntax."""
    return {
        # nats-server reads a value that begins with a digit as a number.
        "ASSAY_NATS_TOKEN": "t" + secrets.token_hex(24),
        "MONGO_PASSWORD": secrets.token_hex(24),
        "ASSAY_S3_ACCESS_KEY": "assay-" + secrets.token_hex(6),
        "ASSAY_S3_SECRET_KEY": secrets.token_hex(20),
        # A Fernet key: 32 bytes in URL-safe base64.
        "ASSAY_SECRET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "ASSAY_API_KEYS": "admin:" + secrets.token_hex(24),
    }


def write(path: Path) -> bool:
    """Write fresh secrets for the owner's eyes alone; False if the file is there already, which is then left as it is."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write("# Secrets of this deployment. Any other setting of .env.example may be added here.\n")
        file.writelines(f"{name}={value}\n" for name, value in make().items())
    return True


def missing(path: Path) -> list[str]:
    """The secrets that an existing file lacks or leaves empty."""
    pairs = (line.partition("=") for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
    present = {name.strip() for name, _, value in pairs if value.strip()}
    return [name for name in make() if name not in present]


def main(path: Path = DEFAULT) -> int:
    """Say what was done; 1 if the file is there but incomplete."""
    if write(path):
        print(f"wrote {path}; the admin's API key is its ASSAY_API_KEYS, after `admin:`")
        return 0
    if lacking := missing(path):
        print(f"{path} exists and is left as it is, but lacks {', '.join(lacking)}: add or delete it", file=sys.stderr)
        return 1
    print(f"{path} exists and is left as it is")
    return 0


if __name__ == "__main__":
    sys.exit(main())
