"""The Key Protect API on loopback over TLS, in a thread of its own, and a small client that shows what comes back."""

import asyncio
import http.client
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keyrack.embedded.call import Caller
from keyrack.embedded.house import House
from keyrack.embedded.iam.records import Grant
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.iam.service_ids import create_api_key, create_service_id
from keyrack.shell.rest.bounds import Bounds
from keyrack.shell.rest.key_protect.app import KeyProtectFace
from keyrack.shell.rest.key_protect.premises import Premises
from keyrack.shell.rest.serving import Listening, serving
from keyrack.testing.certificates import Algorithm, authority, server
from keyrack.testing.key_houses import ADMINISTRATOR, INSTANCE, sign_with_one_key

GRANT_TYPE = "urn:ibm:params:oauth:grant-type:apikey"
PATIENCE = 30.0
"""Seconds that the thread may take to begin and to end."""


@dataclass(frozen=True, slots=True)
class Told:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        """What the body says."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """IBM's code of a refusal; empty where there is none."""
        reasons = self.json["resources"][0].get("reasons") or [{}]
        return str(reasons[0].get("code", ""))

    @property
    def resource(self) -> Any:
        """The one resource of a collection."""
        (only,) = self.json["resources"]
        return only


@dataclass(slots=True)
class Address:
    """Where a face listens, and whom its clients trust."""

    host: str
    port: int
    authority: Path
    """PEM."""
    context: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        """Trust the authority."""
        self.context = ssl.create_default_context(cafile=str(self.authority))

    @property
    def url(self) -> str:
        """As clients write it."""
        return f"https://{self.host}:{self.port}"

    def connect(self) -> http.client.HTTPSConnection:
        """A connection, to be closed."""
        return http.client.HTTPSConnection(self.host, self.port, timeout=PATIENCE, context=self.context)

    def ask(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Told:
        """Make one request on a connection of its own."""
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Told(answer.status, names, answer.read())
        finally:
            connection.close()

    def login(self, api_key: str) -> str:
        """The token for an API key."""
        form = f"grant_type={GRANT_TYPE}&apikey={api_key}"
        return str(self.ask("POST", "/identity/token", form).json["access_token"])


@dataclass(slots=True)
class User:
    """A service ID with a token, and the instance that it works in."""

    address: Address
    api_key: str = field(repr=False)
    instance: str = INSTANCE
    token: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Log in."""
        self.token = self.address.login(self.api_key)

    def ask(self, method: str, path: str, content: Any = None, **headers: str) -> Told:
        """Make a request below ``/api/v2``; ``content`` is told as JSON unless it is bytes."""
        body = content if content is None or isinstance(content, bytes) else json.dumps(content)
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        signed = {"Authorization": f"Bearer {self.token}", "Bluemix-Instance": self.instance, **told}
        return self.address.ask(method, f"/api/v2{path}", body, signed)


def new_user(
    address: Address,
    house: House,
    *roles: Role,
    instance: str = INSTANCE,
    ring: str | None = None,
    key: str | None = None,
) -> User:
    """Somebody with these roles over the instance, over a key ring, or over a key."""
    return User(address, new_api_key(house, *roles, instance=instance, ring=ring, key=key), instance)


def new_api_key(
    house: House,
    *roles: Role,
    instance: str = INSTANCE,
    ring: str | None = None,
    key: str | None = None,
    caller: Caller = ADMINISTRATOR,
) -> str:
    """The API key of a new service ID with these roles."""
    sign_with_one_key(house)
    with house.reading() as reading:
        name = f"user {len(reading.service_ids())}"
    grants = [Grant(role=role, instance=instance, ring=ring, key=key) for role in roles]
    create_service_id(house, caller, name, grants=grants)
    _, shown = create_api_key(house, caller, name, "key")
    with shown:
        return shown.reveal().decode()


@contextmanager
def key_protect(
    house: House, directory: Path, *, bounds: Bounds | None = None, premises: Premises | None = None
) -> Iterator[Address]:
    """Serve the API of ``house`` as long as the block lasts."""
    root = authority()
    certificate, key = server(root, algorithm=Algorithm.EC_P256).write(directory, "api")
    (directory / "api-authority.pem").write_bytes(root.pem)
    premises = premises or Premises(house=house, bounds=bounds or Bounds())
    listening = Listening(host="127.0.0.1", port=0, certificate=certificate, key=key, bounds=premises.bounds)
    with _in_a_thread(KeyProtectFace(premises), listening) as port:
        yield Address("127.0.0.1", port, directory / "api-authority.pem")


@contextmanager
def _in_a_thread(face: KeyProtectFace, listening: Listening) -> Iterator[int]:
    begun = threading.Event()
    told: dict[str, Any] = {}

    async def serve() -> None:
        told["loop"], told["end"] = asyncio.get_running_loop(), asyncio.Event()
        async with serving(face, listening) as opened:
            told["port"] = opened.port
            begun.set()
            await told["end"].wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            told["error"] = error
        finally:
            begun.set()

    thread = threading.Thread(target=run, name="key-protect", daemon=True)
    thread.start()
    begun.wait(PATIENCE)
    if "port" not in told:
        raise AssertionError("the API does not begin") from told.get("error")
    try:
        yield told["port"]
    finally:
        told["loop"].call_soon_threadsafe(told["end"].set)
        thread.join(PATIENCE)
    if "error" in told:
        raise AssertionError("the API ended with an error") from told["error"]
