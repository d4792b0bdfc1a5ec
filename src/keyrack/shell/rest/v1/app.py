"""The administration API as one ASGI application: its routers, its layers, and its description of itself."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from keyrack.shell.console.face import furnish, page_instead
from keyrack.shell.rest.serving import Open
from keyrack.shell.rest.v1 import (
    api_keys,
    approvals,
    authorities,
    certificates,
    health,
    instance_rules,
    instances,
    journal,
    key_managers,
    keys,
    metrics,
    oidc,
    people,
    root_keys,
    seen,
    sessions,
)
from keyrack.shell.rest.v1.door import Door
from keyrack.shell.rest.v1.openapi import described
from keyrack.shell.rest.v1.premises import Premises
from keyrack.shell.rest.v1.problems import HANDLERS, MEDIA, problem
from keyrack.shell.rest.v1.routing import JSON

ROOT: Final = "/api/v1"
DOCUMENT: Final = f"{ROOT}/openapi.json"
ROUTERS: Final[Sequence[APIRouter]] = (
    sessions.opened,
    sessions.router,
    oidc.opened,
    people.router,
    api_keys.router,
    instances.router,
    instance_rules.router,
    certificates.router,
    authorities.router,
    seen.router,
    seen.server,
    keys.router,
    approvals.router,
    key_managers.router,
    root_keys.router,
    journal.router,
    health.router,
)
"""Each a file for one noun; a new one goes in here, in the order of the document."""


class AdministrationFace:
    """What :func:`keyrack.shell.rest.serving.serving` serves."""

    def __init__(self, premises: Premises, routers: Sequence[APIRouter] = ROUTERS) -> None:
        """Nothing is opened or closed: ``premises`` are the caller's."""
        self.premises = premises
        self.app = _made(premises, routers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self.app(scope, receive, send)

    def opened(self, address: Open) -> None:
        """It takes connections now."""

    def malformed(self) -> tuple[str, bytes]:
        """The answer to what is no HTTP."""
        return MEDIA, bytes(problem("bad-request", "this is no HTTP request, or its head is too long").body)

    def document(self) -> Mapping[str, Any]:
        """The OpenAPI document."""
        description: Mapping[str, Any] = self.app.state.description
        return description


def _made(premises: Premises, routers: Sequence[APIRouter]) -> FastAPI:
    app = _routed(routers)
    app.state.premises = premises
    app.state.description = _description() if routers is ROUTERS else described(_routed(routers))
    document = Response(json.dumps(app.state.description, separators=(",", ":")).encode(), media_type=JSON)

    async def openapi() -> Response:
        return document

    app.add_api_route(DOCUMENT, openapi, include_in_schema=False)
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    furnish(app)
    app.add_middleware(Door, premises=premises, shown=page_instead)
    return app


def _routed(routers: Sequence[APIRouter]) -> FastAPI:
    app = FastAPI(
        title="Keyrack administration",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=None,
        generate_unique_id_function=_name_of,
    )
    for router in routers:
        app.include_router(router, prefix=ROOT)
    app.include_router(health.opened)
    app.include_router(metrics.opened)
    return app


@cache
def _description() -> Mapping[str, Any]:
    """Made once for all faces of a process, while nobody waits: anybody may ask for it, without a token."""
    return described(_routed(ROUTERS))


def _name_of(route: APIRoute) -> str:
    """The function's own name is the operation's identifier."""
    return route.name
