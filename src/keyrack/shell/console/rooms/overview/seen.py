"""What the overview looks at: read at once, by indexed queries and kept counts, and only what whoever asks may see."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from keyrack.domain.approvals import Approval, ApprovalState
from keyrack.domain.instances import ClientCertificate, Hierarchy, Instance, SeenCertificate, TrustedAuthority
from keyrack.domain.journal import Entry
from keyrack.domain.rights import Right
from keyrack.ports.back_office import Trial, WorkerHealth
from keyrack.ports.catalog import Validation
from keyrack.ports.cluster import Node, Report, Rollback
from keyrack.ports.key_affairs import Holding
from keyrack.service.health.journal_health import Signed, signed
from keyrack.service.journal.forwarding import Lag, lags
from keyrack.service.office.approvals import wisher_of
from keyrack.service.vault.lease import Terms
from keyrack.shell.console.calls import Call
from keyrack.shell.console.rooms.connecting_place import Face, face_of
from keyrack.shell.nodes.identity import SILENT_AFTER
from keyrack.shell.rest.v1.readiness import Readiness
from keyrack.shell.vaulting import terms_of

DAY: Final = 86_400
PATIENCE: Final = 0.12
"""Seconds that a page waits for the serving processes; its live parts tell what they say later."""
OLD: Final = 30
"""Seconds after which what they have said does not count any more."""
RECENT: Final = 300
"""Seconds for which the server's look at a root key counts; it looks once a minute."""
KNOCKED: Final = 7 * DAY
"""Seconds for which a certificate that knocked calls for attention."""
MOST_CHANGES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSeen:
    """One instance."""

    instance: Instance
    held: Holding = Holding()
    validation: Validation | None = None
    """What the server has found out about its root key."""
    trials: Sequence[Trial] = ()
    """The last real unwrap with its root key, in each serving process."""
    all_withheld: bool = False
    """Whether the standard key of its wrapping key was deleted, so that no key of it opens."""

    @property
    def trial(self) -> Trial | None:
        """The one to tell of: a failed one, else the last."""
        return max(self.trials, key=lambda each: (bool(each.told), each.at), default=None)

    @property
    def untold(self) -> bool:
        """Whether a root key that unwraps now is stronger evidence than what was found before."""
        found, trial = self.validation, self.trial
        return trial is not None and not trial.told and (found is None or trial.at >= found.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lapse:
    """Something that is good until some day."""

    kind: str
    """``client``, ``authority`` or ``server``."""
    name: str
    not_after: int
    days: int
    """That are left, whole ones; negative once it is over."""
    instance: Instance | None = None
    link: str

    @property
    def level(self) -> str:
        """``bad``: a week or less; ``warn``: 90 days or less; ``good``."""
        return "bad" if self.days <= 7 else "warn" if self.days <= 90 else "good"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How soon a revocation in these key managers reaches every key."""

    key_managers: Sequence[str]
    terms: Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSeen:
    """What is of no instance."""

    readiness: Readiness | None
    """What the serving processes say; ``None`` while nobody has answered yet, or not for long."""
    waiting: float = 0.0
    """Seconds for which their answer is awaited."""
    nodes: Sequence[Node] = ()
    rollback: Rollback | None = None
    reports: Mapping[str, Report] = field(default_factory=dict)
    sinks: Sequence[Lag] = ()
    checkpoint: Signed | None = None
    certificate: Face | None = None
    """The KMIP listener's; ``None`` where it cannot be read."""

    def silent(self, node: Node, at: int) -> bool:
        """Whether a node has shown no sign of life for too long."""
        return at - node.seen_at > SILENT_AFTER

    @property
    def workers(self) -> Sequence[WorkerHealth]:
        """The serving processes of this node."""
        return self.readiness.workers if self.readiness is not None else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything that one look shows."""

    at: int
    instances: Sequence[InstanceSeen]
    lapses: Sequence[Lapse]
    """The first to end first."""
    bounds: Sequence[Bound]
    approvals: Sequence[Approval] = ()
    """Those that wait for whoever looks."""
    knocked: Sequence[SeenCertificate] = ()
    changes: Sequence[tuple[Entry, Instance]] = ()
    """Keys that changed state lately, the last one first."""
    server: ServerSeen | None = None
    """``None`` for whoever sees nothing of the server."""

    @property
    def keys(self) -> int:
        """In all these instances."""
        return sum(each.held.keys for each in self.instances)


async def look(call: Call) -> Seen:
    """One look with the rights of whoever asks."""
    call.premises.sampler.watched()
    instances = await _instances(call)
    server = await server_of(call) if call.may(Right.SERVER_READ) else None
    if server is not None:
        trials = [trial for worker in server.workers for trial in worker.trials]
        instances = [_tried(each, trials) for each in instances]
    by_identifier = {each.instance.identifier: each.instance for each in instances}
    return Seen(
        at=call.now,
        instances=instances,
        lapses=await lapses(call, by_identifier, server),
        bounds=bounds(call, {each.instance.key_manager for each in instances}),
        approvals=await _approvals(call),
        knocked=await _knocked(call),
        changes=_changes(call, by_identifier),
        server=server,
    )


async def _instances(call: Call) -> Sequence[InstanceSeen]:
    catalog = call.catalog
    instances, held, found = (
        await call.administration.instances(),
        await catalog.holdings(),
        await catalog.validations(),
    )
    seen = []
    for each in instances:
        wrapping = await catalog.wrapping_key(each.identifier) if each.hierarchy is Hierarchy.TWO_LEVEL else None
        seen.append(
            InstanceSeen(
                instance=each,
                held=held.get(each.identifier, Holding()),
                validation=found.get(each.identifier) if each.configured else None,
                all_withheld=wrapping is not None and wrapping.withheld_at is not None,
            )
        )
    return seen


def _tried(seen: InstanceSeen, trials: Sequence[Trial]) -> InstanceSeen:
    home = seen.instance.home
    its = [each for each in trials if (each.key_manager, each.root_key) == (home.key_manager, home.root_key)]
    return replace(seen, trials=its)


async def server_of(call: Call) -> ServerSeen:
    """What is of no instance, as it is known now."""
    catalog, config, premises = call.catalog, call.config, call.premises
    readiness, waiting = await premises.looking.soon(PATIENCE)
    if readiness is not None and call.now - readiness.at > OLD:
        readiness = None
    sinks = {name: each.required for name, each in config.journal.sinks.items()}
    return ServerSeen(
        readiness=readiness,
        waiting=waiting,
        nodes=await catalog.nodes(),
        rollback=await catalog.rollback(),
        reports=await catalog.reports(),
        sinks=await lags(catalog, sinks, call.now * 1000),
        checkpoint=await signed(catalog),
        certificate=await asyncio.to_thread(face_of, config),
    )


async def lapses(call: Call, instances: Mapping[str, Instance], server: ServerSeen | None) -> Sequence[Lapse]:
    """Certificates and authorities that whoever asks may see, the first to end first."""
    found = []
    if server is not None and server.certificate is not None:
        end = server.certificate.shown.not_after
        days = (end - call.now) // DAY
        found.append(Lapse(kind="server", name="", not_after=end, days=days, link="/server#certificate"))
    found += await _of_clients(call, instances)
    return sorted(found, key=lambda each: (each.not_after, each.name))


async def _of_clients(call: Call, instances: Mapping[str, Instance]) -> Sequence[Lapse]:
    seen = {name: each for name, each in instances.items() if call.may(Right.CERTIFICATE_READ, name)}
    held: list[tuple[str, ClientCertificate | TrustedAuthority, str]] = []
    held += [("client", each, "certificates") for each in await call.catalog.certificates()]
    held += [("authority", each, "authorities") for each in await call.catalog.authorities()]
    return [
        Lapse(
            kind=kind,
            name=each.name,
            not_after=each.not_after,
            days=(each.not_after - call.now) // DAY,
            instance=seen[each.instance],
            link=f"/instances/{each.instance}/{place}/{each.fingerprint}",
        )
        for kind, each, place in held
        if each.instance in seen
    ]


def bounds(call: Call, in_use: set[str]) -> Sequence[Bound]:
    """Of the key managers in use, those of equal terms together."""
    tables = call.config.key_managers
    by_terms: dict[tuple[float, float], list[str]] = {}
    terms_by: dict[tuple[float, float], Terms] = {}
    for name, table in tables.items():
        if any(each.partition("/")[0] == name for each in in_use):
            terms = terms_of(table)
            key = (terms.lease + terms.probe_timeout, terms.outage_grace)
            by_terms.setdefault(key, []).append(name)
            terms_by[key] = terms
    return [Bound(key_managers=names, terms=terms_by[key]) for key, names in by_terms.items()]


async def _approvals(call: Call) -> Sequence[Approval]:
    """Those that whoever asks could agree to: another has asked for them."""
    who = wisher_of(call.administration)
    return [
        each
        for each in await call.catalog.approvals()
        if each.state(call.now) is ApprovalState.WAITING
        and call.may(Right.APPROVAL_AGREE, each.instance)
        and not who.is_same_as(each.wisher)
    ]


async def _knocked(call: Call) -> Sequence[SeenCertificate]:
    if not call.may(Right.STRANGER_READ):
        return ()
    found = [each for each in await call.catalog.seen_certificates() if call.now - each.last_at < KNOCKED]
    return sorted(found, key=lambda each: -each.last_at)


def _changes(call: Call, instances: Mapping[str, Instance]) -> Sequence[tuple[Entry, Instance]]:
    found = call.premises.sampler.changed(
        lambda each: each in instances and call.may(Right.KEY_READ, each), MOST_CHANGES
    )
    return [(each, instances[each.instance]) for each in found]


def managers_tried(seen: Seen) -> Iterator[tuple[str, Trial]]:
    """Each key manager in use, with the last real unwrap there: a failed one only where none went well."""
    best: dict[str, Trial] = {}
    for each in seen.instances:
        for trial in each.trials:
            known = best.get(trial.key_manager)
            if known is None or (not trial.told, trial.at) > (not known.told, known.at):
                best[trial.key_manager] = trial
    yield from sorted(best.items())
