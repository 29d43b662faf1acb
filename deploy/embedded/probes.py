"""Whether a part answers: one question each, with an answer within a second or none."""

import http.client
import json
import socket
from urllib.parse import urlsplit

from deploy.embedded.ports import LOOPBACK

TIMEOUT_S = 1.0


def nats(port: int) -> bool:
    """The server greets each client with an INFO line, and listens only after JetStream has recovered."""
    try:
        with socket.create_connection((LOOPBACK, port), TIMEOUT_S) as connection:
            connection.settimeout(TIMEOUT_S)
            return connection.recv(5) == b"INFO "
    except OSError:
        return False


def mongo(url: str) -> bool:
    """Signs in and pings."""
    import pymongo  # here: it is a quarter of the start of a command that has nothing to do with a stack
    import pymongo.errors

    try:
        with pymongo.MongoClient[dict[str, object]](
            url, serverSelectionTimeoutMS=int(TIMEOUT_S * 1000), socketTimeoutMS=int(TIMEOUT_S * 1000)
        ) as client:
            client.admin.command("ping")
    except pymongo.errors.PyMongoError:
        return False
    return True


def objects(endpoint: str) -> bool:
    """Any answer will do: without a signature it is a refusal."""
    try:
        _get(endpoint, "/", TIMEOUT_S)
    except (OSError, http.client.HTTPException):
        return False
    return True


def gateway(url: str) -> str | None:
    """None if `/readyz` says yes, else what it says instead, or that it says nothing."""
    try:
        status, body = _get(url, "/readyz", 5 * TIMEOUT_S)
    except (OSError, http.client.HTTPException) as error:
        return f"the gateway does not answer ({type(error).__name__})"
    if status == http.HTTPStatus.OK:
        return None
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, LookupError, TypeError):
        return f"the gateway answers {status}"


def _get(url: str, path: str, timeout_s: float) -> tuple[int, bytes]:
    """Not with httpx: for each client it makes, it reads all certificates of the machine, 20 ms of CPU time a question."""
    address = urlsplit(url)
    assert address.hostname
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
