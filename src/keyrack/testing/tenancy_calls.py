"""Calls of the administration API as the proof of tenancy makes them, and the routes that an application has."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from keyrack.testing.tenancy import NOBODY, Caller, Tenant
from keyrack.testing.tenancy_rights import NEEDS


@dataclass(frozen=True, slots=True)
class Route:
    """One call that the application takes."""

    name: str
    method: str
    path: str
    open: bool
    parameters: Sequence[Mapping[str, Any]]
    body: Mapping[str, Any] | None
    schemas: Mapping[str, Any]


def routes_of(app: FastAPI) -> list[Route]:
    """Every route that the application has."""
    told = get_openapi(title="", version="", routes=app.routes)
    schemas = told.get("components", {}).get("schemas", {})
    return [
        Route(
            name=call["operationId"],
            method=method.upper(),
            path=path,
            open=call.get("x-open", False),
            parameters=call.get("parameters", ()),
            body=call.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema"),
            schemas=schemas,
        )
        for path, methods in told["paths"].items()
        for method, call in methods.items()
    ]


@dataclass(frozen=True, slots=True)
class Reference:
    """Something that a call names."""

    kind: str
    value: str
    there: bool
    """Whether it is there for whoever asks, where it is named."""
    real: bool
    """Whether it is there at all: then, where it is not ``there``, it is foreign."""


@dataclass(slots=True)
class Call:
    """One request to be."""

    route: Route
    caller: Caller | None
    path: str = ""
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)
    tenant: Tenant | None = None
    """The instance of the path, where there is one."""
    own: bool = False
    """Whether the path names what is the caller's own."""
    target: str = ""
    """Where a right is asked for that the path does not tell: an approval's instance."""
    subject: str = ""
    """What the path names below its instance."""
    person: Caller | None = None
    repeats: "Call | None" = None
    known: str = ""
    """What the caller knows besides: what is in a certificate that is sent."""

    @property
    def token(self) -> str:
        """What the caller shows."""
        return self.caller.token if self.caller else NOBODY

    @property
    def url(self) -> str:
        """Path and query."""
        told = "&".join(f"{name}={quote(value, safe='')}" for name, value in self.query.items())
        return f"{self.path}?{told}" if told else self.path

    @property
    def sent(self) -> bytes:
        """Everything that the caller has said."""
        return json.dumps([self.path, self.query, self.body, self.headers, self.known]).encode()

    def missing(self, kind: str | None = None) -> list[Reference]:
        """What it names and is not there for the caller."""
        return [each for each in self.references if not each.there and kind in {None, each.kind}]

    def __str__(self) -> str:
        """For whoever reads a failure."""
        who = f"{self.caller.name} {sorted(self.caller.grants)}" if self.caller else "nobody"
        return f"{self.route.name}: {self.route.method} {self.url} {self.body} {self.headers} by {who}"


def guarded(key: str) -> bool:
    """Whether no foreign client ever names the key: then it stands in no other tenant's journal."""
    return int(key[-1], 16) % 2 == 1


def unguarded_routes(routes: Sequence[Route]) -> set[str]:
    """Guarded calls of which nobody has said which right they need."""
    return {each.name for each in routes if not each.open} - NEEDS.keys()


def masked(text: bytes, references: Sequence[Reference]) -> bytes:
    """An answer without what the caller had sent."""
    for each in references:
        text = re.sub(re.escape(each.value.encode()), b"#", text, flags=re.IGNORECASE)
    return text
