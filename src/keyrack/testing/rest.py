"""The administration API in this process, over a real catalog, and people to ask it as.

async with open_face(tmp_path) as face:
    mara = await face.person("mara", Grant(Role.ADMINISTRATOR))
    answer = await face.ask("GET", "/api/v1/instances", mara)
    assert (answer.status, answer.json()["items"]) == (200, [])
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from fastapi import APIRouter

from keyrack.domain.instances import Instance, InstanceStatus, Storage
from keyrack.domain.people import ApiKey, Person
from keyrack.domain.rights import Grant, Role
from keyrack.ports.back_office import (
    BackOffice,
    BackOfficeUnavailable,
    KeyManagerTold,
    OnBehalf,
    RootKeyTold,
    WorkerHealth,
)
from keyrack.ports.catalog import Unit
from keyrack.ports.people import PeopleChanges
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.people import tokens
from keyrack.shell.rest.v1.app import ROUTERS, AdministrationFace
from keyrack.shell.rest.v1.premises import Premises
from keyrack.testing.catalogs import catalog_at


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem; empty for another answer."""
        return str(self.json().get("code", "")) if self.body else ""

    @property
    def etag(self) -> str:
        """For ``If-Match``."""
        return self.headers["etag"]


class NobodyThere:
    """A back office in which no serving process answers."""

    async def key_managers(self) -> Sequence[KeyManagerTold]:
        """Nobody."""
        raise BackOfficeUnavailable("no serving process answers")

    async def root_keys(self, key_manager: str) -> Sequence[RootKeyTold]:
        """Nobody."""
        raise BackOfficeUnavailable("no serving process answers")

    async def act(self, who: OnBehalf, act: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Nobody."""
        raise BackOfficeUnavailable("no serving process answers")

    async def health(self) -> Sequence[WorkerHealth]:
        """Nobody."""
        raise BackOfficeUnavailable("no serving process answers")

    async def metrics(self) -> str:
        """Nobody."""
        raise BackOfficeUnavailable("no serving process answers")


@dataclass(slots=True)
class Face:
    """The API, its catalog, and how to ask it."""

    app: AdministrationFace
    catalog: WholeCatalog
    made: list[str] = field(default_factory=list)

    async def person(self, name: str, *grants: Grant, roles: frozenset[Role] = frozenset()) -> str:
        """A person with these grants in the catalog, and an API key of theirs, which is answered."""
        return await person_in(self.catalog, name, *grants, roles=roles)

    async def instance(self, name: str, **fields: Any) -> Instance:
        """An instance in the catalog, installed, of a key manager ``embedded``."""
        settings: dict[str, Any] = {
            "identifier": str(uuid.uuid4()),
            "name": name,
            "status": InstanceStatus.INSTALLED,
            "key_manager": "embedded",
            "root_key": str(uuid.uuid4()),
            "storage": Storage.CATALOG,
            "created_at": int(time.time()),
            **fields,
        }
        made = Instance(**settings)
        await self.catalog.commit(Unit(entries=(), instances=(made,)))
        return made

    async def ask(
        self,
        method: str,
        url: str,
        token: str | None = None,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        address: tuple[str, int] = ("192.0.2.7", 40000),
    ) -> Answer:
        """One request; ``body`` is sent as JSON, ``raw`` as it is."""
        sent = {"host": "localhost", **{name.lower(): value for name, value in (headers or {}).items()}}
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        octets = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        if body is not None:
            sent.setdefault("content-type", "application/json")
        if octets:
            sent.setdefault("content-length", str(len(octets)))
        return await asked(self.app, method, url, headers=sent, body=octets, address=address)


async def person_in(catalog: WholeCatalog, name: str, *grants: Grant, roles: frozenset[Role] = frozenset()) -> str:
    """Enter a person with these grants and an API key, narrowed to ``roles``; the key."""
    now = int(time.time())
    person = Person(identifier=str(uuid.uuid4()), name=name, grants=frozenset(grants), created_at=now)
    identifier = uuid.uuid4().hex
    token = tokens.new_api_key(identifier)
    key = ApiKey(
        identifier=identifier,
        person=person.identifier,
        name="tests",
        digest=tokens.digest(token),
        roles=roles,
        created_at=now,
        last_used_at=now,
    )
    await catalog.commit(Unit(entries=(), people=PeopleChanges(persons=(person,), api_keys=(key,))))
    return token


async def asked(
    app: Any,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes = b"",
    address: tuple[str, int] = ("192.0.2.7", 40000),
) -> Answer:
    """One request to an ASGI application, without a network."""
    parts = urlsplit(url)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": address,
        "server": ("127.0.0.1", 8443),
    }
    inbox = [{"type": "http.request", "body": body, "more_body": False}]
    outbox: list[Mapping[str, Any]] = []

    answered = asyncio.Event()

    async def receive() -> Mapping[str, Any]:
        if inbox:
            return inbox.pop(0)
        # Who leaves before the end gets only what was ready by then; of events, which have no end, the first.
        await answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        outbox.append(message)
        if message["type"] == "http.response.body" and (not message.get("more_body", False) or _endless(outbox[0])):
            answered.set()

    await app(scope, receive, send)
    start = outbox[0]
    told = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], told, b"".join(bytes(each.get("body", b"")) for each in outbox[1:]))


def _endless(start: Mapping[str, Any]) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in start["headers"])


@asynccontextmanager
async def open_face(
    directory: Path, *, back_office: BackOffice | None = None, routers: Sequence[APIRouter] = ROUTERS, **settings: Any
) -> AsyncIterator[Face]:
    """The API over a new catalog in ``directory``; ``settings`` are further fields of its premises."""
    catalog = await catalog_at(directory / "catalog.db", "web")
    try:
        premises = Premises(catalog=catalog, back_office=back_office or NobodyThere(), **settings)
        yield Face(AdministrationFace(premises, routers), catalog)
    finally:
        await catalog.close()
