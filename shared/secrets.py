"""API keys of models: encrypted at rest and on the broker, with one Fernet key (https://github.com/fernet/spec).

The key is `ASSAY_SECRET_KEY`, or else an object in the object store, so that a predictor needs no setting beyond broker and
object store. It is never on the broker: whoever reads the broker's buckets has only ciphertext.
"""

import asyncio

from cryptography.fernet import Fernet, InvalidToken
from nats.js.errors import KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from shared.errors import AssayError
from shared.settings import Settings
from shared.storage.objects import ObjectMissing, Objects

_KEY_OBJECT = "secrets/model-api-keys.fernet"


class SecretError(AssayError):
    """A stored API key cannot be decrypted with the present key."""


class Cipher:
    """Encrypts and decrypts API keys."""

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)

    def encrypt(self, plain: str) -> str:
        return self._fernet.encrypt(plain.encode()).decode()

    def decrypt(self, token: str) -> str:
        try:
            return self._fernet.decrypt(token.encode()).decode()
        except InvalidToken as error:
            raise SecretError("the API key was encrypted with another secret key; register it again") from error


async def load_cipher(settings: Settings, objects: Objects) -> Cipher:
    """The deployment's cipher; waits until an orchestrator has made the key."""
    if settings.secret_key:
        return Cipher(settings.secret_key.get_secret_value().encode())
    while True:
        try:
            return Cipher(await objects.get_bytes(_KEY_OBJECT))
        except ObjectMissing:
            await asyncio.sleep(0.2)


async def make_key(settings: Settings, objects: Objects, leases: KeyValue) -> None:
    """Make the key where there is none. The entry in `leases` lets one of several orchestrators do it; it expires by itself."""
    if settings.secret_key:
        return
    while True:
        try:
            await objects.get_bytes(_KEY_OBJECT)
            return
        except ObjectMissing:
            pass
        try:
            await leases.create("secret-key", b"")
        except KeyWrongLastSequenceError:
            await asyncio.sleep(0.2)
            continue
        await objects.put_bytes(_KEY_OBJECT, Fernet.generate_key())
