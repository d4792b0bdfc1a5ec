"""What needs somebody: judged from what was seen, each with how grave it is and where to go.

What is told of each kind, why and what to do, stands in ``templates/overview/needs.html``, a macro for each.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from keyrack.domain.instances import InstanceStatus
from keyrack.ports.cluster import BACKUP, PROOF
from keyrack.ports.key_manager import Reason
from keyrack.service.care.validation import UNLISTED
from keyrack.service.health.journal_health import LATE, LEAST
from keyrack.service.health.limits_health import NEAR
from keyrack.service.office.certificates import EXPIRY_ALARMS
from keyrack.shell.config.whole import Config
from keyrack.shell.console.rooms.overview.seen import RECENT, InstanceSeen, Lapse, Seen, ServerSeen

BAD: Final = "bad"
WARN: Final = "warn"
PATIENT: Final = 3.0
"""Seconds for which a serving process may keep a page waiting before that is told."""
_DEACTIVATED: Final = 3


@dataclass(frozen=True, slots=True)
class Need:
    """One thing."""

    kind: str
    """The name of its macro."""
    level: str
    link: str
    """Where something can be done about it."""
    values: Mapping[str, Any] = field(default_factory=dict)


def needs(seen: Seen, config: Config) -> Sequence[Need]:
    """All of them, the gravest first."""
    found = [*_of_server(seen, config), *_of_instances(seen), *_of_lapses(seen, config)]
    found += [Need("approval", WARN, f"/approvals/{each.identifier}", {"approval": each}) for each in seen.approvals]
    if seen.knocked:
        found.append(Need("knocked", WARN, "/seen", {"first": seen.knocked[0], "n": len(seen.knocked)}))
    return sorted(found, key=lambda each: each.level != BAD)


def _of_server(seen: Seen, config: Config) -> Iterator[Need]:
    server = seen.server
    if server is None:
        return
    yield from _rolled_back(server)
    yield from _serving(server)
    yield from _nodes(server, seen.at)
    yield from _copies(server, config, seen.at)
    yield from _journal(server, config, seen.at)


def _rolled_back(server: ServerSeen) -> Iterator[Need]:
    if server.rollback is not None:
        yield Need("rolled_back", BAD, "/server#copies", {"rollback": server.rollback})


def _serving(server: ServerSeen) -> Iterator[Need]:
    """Nobody there says all; else each process that does not do its work."""
    place = "/server#processes"
    if server.waiting > PATIENT:
        yield Need("slow", BAD, place, {"seconds": server.waiting})
    if server.readiness is None:
        return
    answering = [each for each in server.workers if each.at]
    if not answering:
        yield Need("nobody", BAD, place)
        return
    for each in server.workers:
        if not each.at:
            yield Need("silent", WARN, place, {"process": f"kmip-{each.worker}"})
        elif not each.listening:
            yield Need("deaf", WARN, place, {"process": f"kmip-{each.worker}"})
        elif not each.committing:
            yield Need("uncommitted", BAD, place, {"process": f"kmip-{each.worker}"})


def _nodes(server: ServerSeen, at: int) -> Iterator[Need]:
    for each in server.nodes:
        if server.silent(each, at):
            yield Need("node", BAD, "/server#nodes", {"node": each, "seconds": at - each.seen_at})
    if len({each.version for each in server.nodes}) > 1:
        yield Need("versions", WARN, "/server#nodes", {"nodes": server.nodes})


def _copies(server: ServerSeen, config: Config, at: int) -> Iterator[Need]:
    table = config.backup
    wanted = [(PROOF, "proof", table.oldest_proof)]
    if config.catalog_path is not None:
        wanted.insert(0, (BACKUP, "backup", table.oldest))
    for kind, named, oldest in wanted:
        last = server.reports.get(kind)
        if last is not None and not last.good:
            yield Need(f"{named}_failed", BAD, "/server#copies", {"report": last})
        elif oldest and (last is None or at - last.at > oldest):
            yield Need(f"{named}_late", WARN, "/server#copies", {"report": last, "oldest": oldest})


def _journal(server: ServerSeen, config: Config, at: int) -> Iterator[Need]:
    for each in server.sinks:
        if each.trouble or each.seconds > config.journal.sinks[each.name].lag_alarm_seconds:
            yield Need("sink", BAD if each.required else WARN, "/server#journal", {"sink": each})
    found = server.checkpoint
    if found is None or found.end <= found.through:
        return
    age = None if found.at is None else at - found.at // 1000
    if age is None or age > max(LATE * config.journal.checkpoint_seconds, LEAST):
        yield Need("checkpoint", WARN, "/server#journal", {"age": age})


def _of_instances(seen: Seen) -> Iterator[Need]:
    for each in seen.instances:
        yield from _status(each)
        if each.instance.configured:
            yield from _root_key(each, seen.at)
        yield from _keys(each)


def _status(seen: InstanceSeen) -> Iterator[Need]:
    instance, page = seen.instance, f"/instances/{seen.instance.identifier}"
    if instance.sealed_at is not None:
        yield Need("sealed", WARN, f"{page}/settings", {"instance": instance})
    if instance.former is not None:
        yield Need("moving", WARN, f"{page}/key-manager", {"instance": instance})
    elif instance.status is not InstanceStatus.INSTALLED:
        yield Need("not_installed", WARN, f"{page}/key-manager", {"instance": instance})
    elif not seen.held.certificates and not seen.held.authorities:
        yield Need("nobody_let_in", WARN, f"{page}/certificates", {"instance": instance})


def _root_key(seen: InstanceSeen, at: int) -> Iterator[Need]:
    """As a serving process has tried it a moment ago; else as the server's look, once a minute, has found it."""
    instance, found, trial = seen.instance, seen.validation, seen.trial
    link = f"/instances/{instance.identifier}/key-manager"
    since = found.since if found is not None and found.reason else None
    if trial is not None and trial.told:
        yield Need("root_key", BAD, link, {"instance": instance, "told": trial.told, "since": since})
    elif found is not None and found.reason and not seen.untold and at - found.at < RECENT:
        level = WARN if found.reason == Reason.READ_ONLY or found.told.startswith(UNLISTED) else BAD
        kind = {Reason.READ_ONLY: "read_only"}.get(Reason(found.reason), "root_key")
        yield Need(kind, level, link, {"instance": instance, "told": found.told, "since": since})
    elif found is not None and found.root_key_state == _DEACTIVATED:
        yield Need("root_key_expired", WARN, link, {"instance": instance})


def _keys(seen: InstanceSeen) -> Iterator[Need]:
    instance, found = seen.instance, seen.validation
    keys = f"/instances/{instance.identifier}/keys"
    if seen.all_withheld:
        yield Need("all_withheld", BAD, keys, {"instance": instance})
    elif found is not None and found.withheld:
        yield Need("withheld", WARN, f"{keys}?withheld=yes", {"instance": instance, "n": found.withheld})
    if (held := seen.held.keys) >= NEAR * instance.quotas.keys:
        level = BAD if held >= instance.quotas.keys else WARN
        yield Need("quota", level, f"/instances/{instance.identifier}/settings", {"instance": instance, "held": held})


def _of_lapses(seen: Seen, config: Config) -> Iterator[Need]:
    """One for the server's certificate, and one for the clients and one for the authorities of each instance."""
    soon = [each for each in seen.lapses if each.days <= EXPIRY_ALARMS[0]]
    together: dict[tuple[str, str], list[Lapse]] = {}
    for each in soon:
        owner = each.instance.identifier if each.instance is not None else ""
        together.setdefault((each.kind, owner), []).append(each)
    for (kind, owner), some in together.items():
        first, link = some[0], some[0].link
        if len(some) > 1:
            link = f"/instances/{owner}/certificates"
        values = {"first": first, "n": len(some), "refused": config.kmip.expired_clients == "refuse"}
        yield Need(f"{kind}_lapses", first.level, link, values)


@dataclass(frozen=True, slots=True)
class Verdict:
    """All in a line."""

    kind: str
    """``good``, ``warn``, ``bad``, or nothing while it is being looked at."""
    needs: Sequence[Need]
    looking: bool = False
    """Whether the serving processes have not answered yet."""


def verdict(seen: Seen, config: Config) -> Verdict:
    """What the first line says."""
    found = needs(seen, config)
    looking = seen.server is not None and seen.server.readiness is None
    if not found:
        return Verdict("" if looking else "good", (), looking)
    return Verdict(BAD if any(each.level == BAD for each in found) else WARN, found, looking)
