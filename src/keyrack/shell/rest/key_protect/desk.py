"""Who calls, for which instance: each request is admitted here before anything else is done for it."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Annotated, Concatenate, Final, ParamSpec, TypeVar

from fastapi import Depends
from starlette.requests import Request

from keyrack.embedded.call import Call, Caller
from keyrack.embedded.errors import NO_ACCESS, InvalidField, InvalidInstance, NoBody, Unauthorised
from keyrack.embedded.house import House
from keyrack.embedded.iam.tokens import caller_in
from keyrack.embedded.network import check_network
from keyrack.shell.rest.key_protect.bodies import B
from keyrack.shell.rest.key_protect.intake import Vault, parsed, received
from keyrack.shell.rest.key_protect.premises import Premises

P = ParamSpec("P")
T = TypeVar("T")
UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
RING: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
NO_INSTANCE: Final = "Request requires valid Bluemix-Instance Header containing a valid UUID"
STRANGER: Final = Caller(identity="unknown")
"""Who is written into the journal where nobody has proved to be anybody."""


@dataclass(slots=True)
class Desk:
    """Where one request is dealt with."""

    request: Request
    premises: Premises
    call: Call
    exits: AsyncExitStack
    """What is done once the answer is out."""
    vault: Vault = field(default_factory=Vault)

    @property
    def house(self) -> House:
        """The key manager."""
        return self.premises.house

    async def act(
        self, use_case: Callable[Concatenate[House, Call, P], T], *arguments: P.args, **options: P.kwargs
    ) -> T:
        """Run a use case for this request."""
        return await self.premises.act(use_case, self.call, *arguments, **options)

    async def act_at_length(
        self, use_case: Callable[Concatenate[House, Call, P], T], *arguments: P.args, **options: P.kwargs
    ) -> T:
        """The same for what may take a second or answer megabytes: one at a time, one of a caller until that is out."""
        await self.exits.enter_async_context(self.premises.turn(self.call.caller.identity))
        async with self.premises.long_work:
            return await self.act(use_case, *arguments, **options)

    async def body(self, kind: type[B]) -> B:
        """The body; raises :class:`NoBody` and what :meth:`Body.of` raises."""
        body = await self.maybe_body(kind)
        if body is None:
            raise NoBody("Missing body in request")
        return body

    async def maybe_body(self, kind: type[B]) -> B | None:
        """The body; ``None`` where there is none, or a literal ``null``."""
        if self.request.headers.get("content-encoding", "identity").lower() != "identity":
            raise InvalidField("The body must not be compressed", target=("header", "Content-Encoding"))
        value = parsed(await received(self.request.receive, self.premises.bounds.body), self.vault)
        return None if value is None else kind.of(value, self.vault)

    @property
    def minimal(self) -> bool:
        """Whether the identifier alone is wanted (``Prefer: return=minimal``)."""
        return "return=minimal" in self._preferences

    @property
    def representation(self) -> bool:
        """Whether the whole record is wanted (``Prefer: return=representation``)."""
        return "return=representation" in self._preferences

    @property
    def _preferences(self) -> set[str]:
        told = ",".join(self.request.headers.getlist("prefer"))
        return {"".join(part.split()).replace('"', "").lower() for part in re.split("[,;]", told)}


async def at_desk(request: Request) -> AsyncIterator[Desk]:
    """Admit a request; raises the refusal. Key material that it has brought is wiped at its end."""
    premises: Premises = request.app.state.premises
    address = request.client.host if request.client else ""
    call = Call(
        caller=STRANGER,
        instance=request.headers.get("bluemix-instance", "").lower(),
        ring=request.headers.get("x-kms-key-ring") or None,
        address=address,
        private=premises.private,
        correlation=request.state.correlation,
    )
    # The journal holds nothing of a header that is no UUID.
    request.state.call = call if UUID.fullmatch(call.instance) else replace(call, instance="")
    # On the event loop: these few rows are read sooner than a thread is woken, and nobody waits behind a slow use case
    # to hear that he may not come in.
    call = _admitted(premises.house, call, _bearer(request))
    request.state.call = call
    premises.slow_down(premises.callers, call.caller.identity)
    async with AsyncExitStack() as exits:
        exits.enter_context(premises.guest(call.caller.identity))
        desk = Desk(request, premises, call, exits)
        exits.callback(desk.vault.wipe)
        yield desk


AtDesk = Annotated[Desk, Depends(at_desk)]


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorised("The request has no bearer token: exchange an API key for one at /identity/token")
    return token.strip()


def _admitted(house: House, call: Call, bearer: str) -> Call:
    """The call with who makes it, once instance and network are looked at; the right is each use case's to ask."""
    with house.reading() as reading:
        known = replace(call, caller=caller_in(house, reading, bearer))
        if not UUID.fullmatch(call.instance):
            raise InvalidInstance(NO_INSTANCE, target=("header", "Bluemix-Instance"))
        if call.ring is not None and not RING.fullmatch(call.ring):
            raise InvalidField("The key ring's identifier is not one", target=("header", "X-Kms-Key-Ring"))
        service_id = reading.service_id(known.caller.service_id or "")
        if service_id is None or not service_id.belongs_to(call.instance):
            # Alike for another tenant's instance and for one that is not there.
            raise Unauthorised(NO_ACCESS)
        try:
            reading.instance(call.instance)
        except InvalidInstance:
            raise InvalidInstance(NO_INSTANCE, target=("header", "Bluemix-Instance")) from None
        check_network(reading, known)
    return known
