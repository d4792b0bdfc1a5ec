"""Five tenants in one house, and everybody who may ask it: for the proof that none of them sees another.

The model keeps what each tenant has and what each caller was granted. What may be is then read from the rights table
alone; nothing here asks the server's own checks.
"""

import random
import secrets
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from keyrack.domain.approvals import WINDOW, Approval
from keyrack.domain.instances import Admittance, InstanceStatus
from keyrack.domain.people import ApiKey, LoginSession, Person
from keyrack.domain.rights import EVERYWHERE, ROLES, Grant, Right, Role
from keyrack.ports.catalog import Unit
from keyrack.ports.key_affairs import KeyAffairs
from keyrack.ports.people import PeopleChanges
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.identity import Peer
from keyrack.service.people import tokens
from keyrack.testing.certificates import Identity, authority, client, issue
from keyrack.testing.rest import Answer
from keyrack.testing.tenancy_canaries import Canaries, marker

TENANTS: Final = 5
NOBODY: Final = ""
"""The token of whoever has none."""


class Doors(Protocol):
    """Both faces of a Keyrack, however they are reached."""

    async def rest(self, method: str, url: str, token: str, body: Any, headers: dict[str, str]) -> Answer:
        """One call of the administration API."""
        ...

    async def kmip(self, frame: bytes, who: "KmipClient") -> bytes | None:
        """One KMIP message; ``None`` where the connection is closed."""
        ...

    async def heard(self) -> None:
        """Every process has heard what was changed."""
        ...


@dataclass(slots=True)
class Tenant:
    """An instance, as the model has it."""

    identifier: str
    name: str
    marker: str
    address: str = ""
    present: bool = True
    off: bool = False
    """Whether its clients are turned away, for whichever reason."""
    keys: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    """Names that its objects were ever given."""
    fingerprints: list[str] = field(default_factory=list)
    """Of client certificates that are pinned."""
    authorities: list[str] = field(default_factory=list)
    admitted: list[str] = field(default_factory=list)
    """Fingerprints of clients of its authorities."""
    barred: set[str] = field(default_factory=set)


@dataclass(slots=True)
class KmipClient:
    """A client of a tenant's."""

    tenant: Tenant
    identity: Identity
    address: str
    admittance: Admittance | None = None
    moved: bool = False
    """Whether it has just come from another instance, which not every process need have heard."""

    @property
    def peer(self) -> Peer:
        """As TLS has it."""
        fingerprint = self.identity.fingerprint
        return Peer(fingerprint=fingerprint, address=self.address, tls="TLSv1.3", admittance=self.admittance)

    @property
    def trusted(self) -> bool:
        """Whether the tenant lets it in."""
        if self.admittance is None:
            return self.identity.fingerprint in self.tenant.fingerprints
        barred = self.identity.fingerprint in self.tenant.barred
        return self.admittance.authority in self.tenant.authorities and not barred


@dataclass(slots=True)
class Caller:
    """A person with one of the person's tokens, as the model has them."""

    name: str
    person: str
    token: str
    grants: set[Grant]
    roles: frozenset[Role] = frozenset()
    """What an API key is narrowed to."""
    api_key: str = ""
    session: bytes = b""
    stands: bool = True
    """Whether the token still counts."""

    def may(self, right: Right, tenant: str = EVERYWHERE) -> bool:
        """By the table of roles alone: how grants are read is read here a second time."""
        where = {EVERYWHERE, tenant} if right.scoped else {EVERYWHERE}
        return self.stands and any(
            each.instance in where and right in ROLES[each.role]
            for each in self.grants
            if not self.roles or each.role in self.roles
        )

    def sees(self, tenant: Tenant) -> bool:
        """Whether the tenant is there at all for the caller."""
        return tenant.present and self.may(Right.INSTANCE_READ, tenant.identifier)


@dataclass(slots=True)
class World:
    """Everything that there is."""

    dice: random.Random
    catalog: WholeCatalog
    doors: Doors
    root: str = ""
    """The token of somebody who may everything and is not part of the game."""
    canaries: Canaries = field(default_factory=Canaries)
    tenants: list[Tenant] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    clients: list[KmipClient] = field(default_factory=list)
    pems: dict[str, list[str]] = field(default_factory=dict)
    """Certificates that can be added, by the marker in their subjects."""
    strays: list[str] = field(default_factory=list)
    """Certificates that nobody has yet, and everybody may add."""
    fingerprints: dict[str, str] = field(default_factory=dict)
    """Of these certificates, by their PEM."""
    approvals: dict[str, str] = field(default_factory=dict)
    """Instances of the approvals that are known of."""
    lately: list[str] = field(default_factory=list)
    """Fingerprints of clients that were turned away a moment ago."""
    anchor: str = ""
    """PEM of the trusted authority."""
    born: int = field(default_factory=lambda: int(time.time()))

    @property
    def present(self) -> list[Tenant]:
        """Instances that are there."""
        return [each for each in self.tenants if each.present]

    def tenant(self, identifier: str) -> Tenant | None:
        """The instance of this identifier."""
        return next((each for each in self.tenants if each.identifier == identifier), None)

    def own(self, tenant: Tenant, *told: str) -> None:
        """Plant canaries of a tenant's."""
        self.canaries.plant(tenant.identifier, *told)

    def absent(self, like: str) -> str:
        """What nobody has, in the form of something."""
        try:
            uuid.UUID(like)
            if len(like) == 36:  # noqa: PLR2004 - with its hyphens
                return str(uuid.UUID(int=self.dice.getrandbits(128), version=4))
        except ValueError:
            pass
        if all(each in "0123456789abcdef" for each in like):
            return "".join(self.dice.choice("0123456789abcdef") for _ in like)
        return "".join(self.dice.choice("bdfghjkmpqrstvwxz") if each.isalnum() else each for each in like)

    # Making it ------------------------------------------------------------------------------------------------------

    async def found(self, tenants: int = TENANTS) -> None:
        """Make the tenants, their clients and the people."""
        self.root = (await self.enter("root", {Grant(Role.ADMINISTRATOR), Grant(Role.SECURITY_OFFICER)})).token
        for number in range(tenants):
            await self._tenant(number)
        await self._trust_authority(self.tenants[-1])
        for which in range(8):
            stray = client(name=f"stray {which}")
            self.strays.append(stray.pem.decode())
            self.fingerprints[self.strays[-1]] = stray.fingerprint
            self.clients.append(KmipClient(self.tenants[0], stray, f"203.0.113.{which}:5000"))
        for each in self._cast():
            self.callers.append(await each)

    async def asked(self, method: str, path: str, body: Any = None) -> Any:
        """As root; the answer's JSON, which must be a success."""
        answer = await self.doors.rest(method, f"/api/v1{path}", self.root, body, {})
        if answer.status >= 300:  # noqa: PLR2004 - no success
            raise AssertionError(f"{method} {path}: {answer.status} {answer.body!r}")
        return answer.json() if answer.body else None

    async def _tenant(self, number: int) -> None:
        word = marker(self.dice.getrandbits(48))
        made = await self.asked(
            "POST", "/instances", {"name": f"{word}-prod", "description": f"of {word}", "new_root_key": True}
        )
        tenant = Tenant(made["identifier"], made["name"], word, address=f"198.51.100.{10 + number}")
        self.tenants.append(tenant)
        self.own(tenant, tenant.identifier, word, tenant.address, made["root_key"])
        self.pems[word] = []
        for which in range(6):
            self._certificate(tenant, client(name=f"{word} vcenter {which}"), which)
        for pem in self.pems[word][:2]:
            await self.asked("POST", f"/instances/{tenant.identifier}/certificates", {"pem": pem})
            tenant.fingerprints.append(self.fingerprints[pem])

    def _certificate(self, tenant: Tenant, identity: Identity, which: int) -> None:
        pem = identity.pem.decode()
        self.pems[tenant.marker].append(pem)
        self.fingerprints[pem] = identity.fingerprint
        self.own(tenant, identity.fingerprint)
        self.clients.append(KmipClient(tenant, identity, f"{tenant.address}:{4000 + which}"))

    async def _trust_authority(self, tenant: Tenant) -> None:
        anchor = authority(f"{tenant.marker} authority")
        leaf = issue(f"{tenant.marker} host", issuer=anchor)
        self.own(tenant, anchor.fingerprint, leaf.fingerprint)
        tenant.admitted.append(leaf.fingerprint)
        self.anchor = anchor.pem.decode()
        self.clients.append(KmipClient(tenant, leaf, f"{tenant.address}:4999", await self._trusted(tenant)))

    async def _trusted(self, tenant: Tenant) -> Admittance:
        """A new act of trust in the authority."""
        await self.asked("POST", f"/instances/{tenant.identifier}/authorities", {"pem": self.anchor})
        (kept,) = await self.catalog.authorities(tenant.identifier)
        tenant.authorities.append(kept.fingerprint)
        return Admittance(
            instance=tenant.identifier,
            authority=kept.fingerprint,
            number=kept.number,
            since=self.born - 1000,
            until=self.born + 100_000_000,
        )

    def _cast(self) -> Iterator[Any]:
        """Each role for one instance, for two and for all; narrowed keys; a log-in; and nobody in particular."""
        ids = [each.identifier for each in self.tenants]
        for number, role in enumerate(ROLES):
            one, other = ids[number % len(ids)], ids[(number + 1) % len(ids)]
            yield self.enter(f"{role}-one", {Grant(role, one)})
            yield self.enter(f"{role}-two", {Grant(role, one), Grant(role, other)})
            yield self.enter(f"{role}-all", {Grant(role)})
        a, b, c = ids[0], ids[1], ids[2]
        mixed = {Grant(Role.VIEWER, a), Grant(Role.SECURITY_OFFICER, b), Grant(Role.AUDITOR, c)}
        yield self.enter("mixed", mixed)
        for role in (Role.VIEWER, Role.SECURITY_OFFICER, Role.AUDITOR):
            yield self.enter(f"mixed-{role}", mixed, roles=frozenset({role}))
        yield self.enter("all-but-viewer", {Grant(Role.ADMINISTRATOR)}, roles=frozenset({Role.VIEWER}))
        yield self.enter("officer-in", {Grant(Role.SECURITY_OFFICER, a)}, log_in=True)
        yield self.enter("administrator-in", {Grant(Role.ADMINISTRATOR)}, log_in=True)
        yield self.enter("everything-on-one", {Grant(role, a) for role in ROLES})
        yield self.enter("officer-second", {Grant(Role.SECURITY_OFFICER)})
        yield self.enter("nobody", set())
        yield self.enter("gone", {Grant(Role.ADMINISTRATOR)}, disabled=True)

    async def enter(
        self,
        name: str,
        grants: set[Grant],
        *,
        roles: frozenset[Role] = frozenset(),
        log_in: bool = False,
        disabled: bool = False,
    ) -> Caller:
        """Somebody new in the catalog, with an API key or a log-in."""
        person = Person(
            identifier=str(uuid.uuid4()),
            name=f"{name}-{secrets.token_hex(4)}",
            grants=frozenset(grants),
            created_at=self.born,
            disabled_at=self.born if disabled else None,
        )
        caller = Caller(name, person.identifier, "", set(grants), roles, stands=not disabled)
        if log_in:
            caller.token = tokens.new_session()
            caller.session = tokens.digest(caller.token)
            session = LoginSession(
                digest=caller.session,
                person=person.identifier,
                created_at=self.born,
                seen_at=self.born,
                expires_at=self.born + 40_000,
                stepped_up_at=self.born,
                address="192.0.2.9:1",
            )
            changes = PeopleChanges(persons=(person,), sessions=(session,))
        else:
            caller.api_key = uuid.uuid4().hex
            caller.token = tokens.new_api_key(caller.api_key)
            key = ApiKey(
                identifier=caller.api_key,
                person=person.identifier,
                name=f"key {name}",
                digest=tokens.digest(caller.token),
                roles=roles,
                created_at=self.born,
                last_used_at=self.born + 10_000_000,
            )
            changes = PeopleChanges(persons=(person,), api_keys=(key,))
        await self.catalog.commit(Unit(entries=(), people=changes))
        return caller

    def settle(self, who: KmipClient) -> None:
        """A client speaks for the instance that has its certificate now."""
        for each in self.tenants:
            if who.identity.fingerprint in each.fingerprints and who.tenant is not each:
                who.tenant, who.moved = each, True

    # Keeping it going -----------------------------------------------------------------------------------------------

    async def tend(self) -> None:
        """Put back into service what the game has taken out of it, and let others in for those who were locked out."""
        for number, caller in enumerate(self.callers):
            if not caller.stands and caller.name != "gone":
                first = self.callers[number]
                self.callers[number] = await self.enter(
                    first.name, _cast_again(self, first), roles=first.roles, log_in=bool(first.session)
                )
        for tenant in self.tenants[:TENANTS]:
            await self._restore(tenant)
            await self._wish(tenant)
        for extra in self.tenants[TENANTS:]:
            if extra.present and self.dice.random() < 0.3:  # noqa: PLR2004 - some stay
                await self._remove(extra)
        for each in self.clients:
            if each.admittance is not None:
                await self._let_in_again(each)
        self.lately.clear()
        await self.doors.heard()

    async def _let_in_again(self, who: KmipClient) -> None:
        """A client of the authority."""
        if not who.tenant.authorities:
            who.admittance = await self._trusted(who.tenant)
        for fingerprint in who.tenant.barred.intersection(who.tenant.admitted):
            path = f"/instances/{who.tenant.identifier}/admitted-certificates/{fingerprint}/unbar"
            await self.asked("POST", path)
            who.tenant.barred.discard(fingerprint)

    async def _restore(self, tenant: Tenant) -> None:
        held = {each.identifier: each for each in await self.catalog.instances()}[tenant.identifier]
        wanted = replace(held, status=InstanceStatus.INSTALLED, sealed_at=None, credential=None, reason="")
        if wanted != held:
            await self.catalog.commit(Unit(entries=(), instances=(wanted,)))
        tenant.off = False
        for pem in self.pems[tenant.marker][:2]:
            if self.fingerprints[pem] not in await self._pinned():
                await self.asked("POST", f"/instances/{tenant.identifier}/certificates", {"pem": pem})
                tenant.fingerprints.append(self.fingerprints[pem])

    async def _wish(self, tenant: Tenant) -> None:
        """Something waits for a second person."""
        if not tenant.keys or self.dice.random() < 0.6:  # noqa: PLR2004 - not always
            return
        wish = Approval(
            identifier=str(uuid.uuid4()),
            act="key.purge",
            instance=tenant.identifier,
            target=self.dice.choice(tenant.keys),
            arguments={"keys": self.dice.choice(tenant.keys)},
            why=f"of {tenant.marker}",
            asked_by="person-somebody",
            asked_at=self.born,
            expires_at=self.born + WINDOW,
        )
        await self.catalog.commit(Unit(entries=(), key_affairs=KeyAffairs(approvals=(wish,))))
        self.approvals[wish.identifier] = tenant.identifier
        self.own(tenant, wish.identifier)

    async def _pinned(self) -> set[str]:
        return {each.fingerprint for each in await self.catalog.certificates()}

    async def _remove(self, tenant: Tenant) -> None:
        held = await self.doors.rest("GET", f"/api/v1/instances/{tenant.identifier}", self.root, None, {})
        done = await self.doors.rest(
            "DELETE", f"/api/v1/instances/{tenant.identifier}", self.root, None, {"if-match": held.headers["etag"]}
        )
        tenant.present = done.status != 204  # noqa: PLR2004 - No Content


def _cast_again(world: World, gone: Caller) -> set[Grant]:
    """The grants for whoever takes the place of somebody who was locked out: what was granted last, or something."""
    if gone.grants:
        return set(gone.grants)
    return {Grant(world.dice.choice(list(Role)), world.dice.choice(world.present).identifier)}
