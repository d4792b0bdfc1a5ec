"""A small real HTTPS server that says what a test tells it, byte by byte if need be, and keeps what it was asked."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keyrack.adapters.key_managers.ibm.key_protect import KeyProtect
from keyrack.adapters.key_managers.ibm.settings import ApiKey, IamSettings, Settings
from keyrack.testing.certificates import authority, server

INSTANCE = "0b7d1c7e-6a53-4f6b-9f0e-2f1d3a5c7e91"
ROOT_KEY = "11111111-2222-4333-8444-555555555555"
PATIENCE = 10.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        """What the body says."""
        return json.loads(self.body)


Talk = Callable[[socket.socket], None]
"""Says something on a connection, which is closed afterwards."""
Script = Callable[[Asked], bytes | Talk]
"""What is answered: whole bytes, or something that is said by hand."""


@dataclass(slots=True)
class Stage:
    """The server. The script may be changed at any time; IAM answers by itself unless ``iam`` is given."""

    port: int
    ca: Path
    api_key: Path
    script: Script
    iam: Script
    asked: list[Asked] = field(default_factory=list)
    """Requests but for those to IAM."""
    logins: list[Asked] = field(default_factory=list)
    connections: int = 0
    open: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        """As clients write it."""
        return f"https://127.0.0.1:{self.port}"

    def settings(self, **changes: Any) -> Settings:
        """An instance here, with an API key."""
        told: dict[str, Any] = {
            "name": "kp",
            "url": self.url,
            "instance": INSTANCE,
            "iam": IamSettings(source=ApiKey(self.api_key), url=self.url),
            "ca_bundle": self.ca,
        }
        return Settings(**{**told, **changes})

    def adapter(self, **changes: Any) -> KeyProtect:
        """An adapter that asks here; close it."""
        return KeyProtect(self.settings(**changes))

    def hang_up(self) -> None:
        """Close every connection that is open, as a server does with idle ones."""
        for each in self.open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self.open.clear()


def answer(status: int, content: Any = None, **headers: str) -> bytes:
    """A whole answer; ``content`` is told as JSON, or is bytes."""
    body = b"" if content is None else content if isinstance(content, bytes) else json.dumps(content).encode()
    told = {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
    lines = [f"HTTP/1.1 {status} Told", *(f"{name}: {text}" for name, text in told.items())]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


def error(status: int, code: str = "", text: str = "it says why", **headers: str) -> bytes:
    """A refusal in Key Protect's envelope."""
    resource: dict[str, Any] = {"errorMsg": f"Phrase: {text}"}
    if code:
        resource["reasons"] = [{"code": code, "message": text, "status": status}]
    return answer(status, {"metadata": {"collectionTotal": 1}, "resources": [resource]}, **headers)


def key(identifier: str = ROOT_KEY, **fields: Any) -> dict[str, Any]:
    """A key as it is described: an active root key, unless ``fields`` say otherwise."""
    return {
        "id": identifier,
        "name": "root",
        "state": 1,
        "extractable": False,
        "imported": False,
        "keyRingID": "default",
        "creationDate": "2026-01-02T03:04:05Z",
        "keyVersion": {"id": "v1", "creationDate": "2026-01-02T03:04:05Z"},
        "deleted": False,
        **fields,
    }


def keys(*told: dict[str, Any], **metadata: Any) -> bytes:
    """A collection of keys."""
    collection = {"metadata": {"collectionType": "key", "collectionTotal": len(told), **metadata}}
    return answer(200, {**collection, "resources": list(told)} if told else collection)


def token(text: str = "first", life: int = 3600) -> bytes:
    """What IAM answers."""
    told = {"access_token": text, "token_type": "Bearer", "expires_in": life, "expiration": 1, "scope": "ibm openid"}
    return answer(200, told)


@contextmanager
def stage(directory: Path, *, hosts: Sequence[str] = ("127.0.0.1", "localhost")) -> Iterator[Stage]:
    """A server as long as the block lasts; its certificate is of an authority that ``Stage.ca`` holds."""
    root = authority()
    certificate, private = server(root, hosts).write(directory, "stage")
    (directory / "stage-ca.pem").write_bytes(root.pem)
    api_key = directory / "stage-api-key"
    api_key.write_text("an API key\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        made = Stage(
            port=listener.getsockname()[1],
            ca=directory / "stage-ca.pem",
            api_key=api_key,
            script=lambda _: answer(500),
            iam=lambda _: token(),
        )
        threading.Thread(target=_accept, args=(made, listener, context), daemon=True).start()
        try:
            yield made
        finally:
            # A closed listener does not wake a thread that waits in it.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            made.hang_up()


def _accept(made: Stage, listener: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        while True:
            plain, _ = listener.accept()
            made.connections += 1
            threading.Thread(target=_serve, args=(made, plain, context), daemon=True).start()


def _serve(made: Stage, plain: socket.socket, context: ssl.SSLContext) -> None:
    plain.settimeout(PATIENCE)
    with contextlib.suppress(OSError, ValueError), context.wrap_socket(plain, server_side=True) as secured:
        made.open.append(secured)
        while (asked := read_request(secured)) is not None:
            to_iam = asked.path == "/identity/token"
            (made.logins if to_iam else made.asked).append(asked)
            told = (made.iam if to_iam else made.script)(asked)
            if not isinstance(told, bytes):
                told(secured)
                return
            secured.sendall(told)


def read_request(connection: socket.socket) -> Asked | None:
    """The next request; ``None`` at the end."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        octet = connection.recv(1)
        if not octet:
            return None
        head += octet
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
    body = b""
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65_536)
    return Asked(method, path, headers, body)
