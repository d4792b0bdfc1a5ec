"""The Key Protect API as one ASGI application: its routers, its layers, and its description of itself."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from keyrack.shell.rest.key_protect import (
    actions,
    aliases,
    health,
    iam,
    import_tokens,
    instance_policies,
    key_policies,
    keys,
    kmip_adapters,
    kmip_objects,
    lifecycle,
    registrations,
    rings,
)
from keyrack.shell.rest.key_protect.answer import encoded
from keyrack.shell.rest.key_protect.door import TOO_LONG, Door
from keyrack.shell.rest.key_protect.envelope import JSON, error
from keyrack.shell.rest.key_protect.openapi import described
from keyrack.shell.rest.key_protect.premises import Premises
from keyrack.shell.rest.key_protect.refusals import HANDLERS
from keyrack.shell.rest.serving import Open

ROOT = "/api/v2"
DOCUMENT = f"{ROOT}/openapi.json"
ROUTERS = (
    actions.router,  # First what is asked most: each router before costs every request.
    registrations.router,  # Before keys: /keys/registrations is no key.
    keys.router,
    lifecycle.router,
    aliases.router,
    key_policies.router,
    instance_policies.router,
    rings.router,
    import_tokens.router,
    kmip_adapters.router,
    kmip_objects.router,
)
"""Each a file for one noun; ``calls.py`` says how one is written. A new one goes in here."""


class KeyProtectFace:
    """What :func:`keyrack.shell.rest.serving.serving` serves."""

    def __init__(self, premises: Premises) -> None:
        """Nothing is opened or closed: ``premises`` are the caller's."""
        self.premises = premises
        self.app = _made(premises)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self.app(scope, receive, send)

    def opened(self, address: Open) -> None:
        """Tell clients this address, unless another one is configured."""
        self.premises.port = address.port
        self.premises.url = self.premises.url or f"https://{address.address}"

    def malformed(self) -> tuple[str, bytes]:
        """The answer to what is no HTTP."""
        return JSON, bytes(encoded(error(400, TOO_LONG)))

    def document(self) -> Mapping[str, Any]:
        """The OpenAPI document."""
        description: Mapping[str, Any] = self.app.state.description
        return description


def _made(premises: Premises) -> FastAPI:
    app = _routed()
    app.state.premises = premises
    app.state.description = _description()
    document = Response(bytes(encoded(app.state.description)), media_type=JSON)

    async def openapi() -> Response:
        return document

    app.add_api_route(DOCUMENT, openapi, include_in_schema=False)
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.add_middleware(Door, premises=premises)
    return app


def _routed() -> FastAPI:
    app = FastAPI(
        title="Keyrack key manager",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=None,
    )
    for router in ROUTERS:
        app.include_router(router, prefix=ROOT)
    app.include_router(iam.router)
    app.include_router(health.router)
    return app


@cache
def _description() -> Mapping[str, Any]:
    """Made once for all faces of a process, while nobody waits: anybody may ask for it, without a token."""
    return described(_routed())
