"""How an instance fares: its root key, now and as the server has found it, and what is sealed, withheld or left."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keyrack.domain.instances import Instance, InstanceStatus, Storage, WrappingKey
from keyrack.ports.catalog import Leftover, Validation
from keyrack.ports.key_manager import Reason
from keyrack.service.care.validation import UNLISTED, Look
from keyrack.service.health.findings import Finding, Level, ago, counted
from keyrack.service.health.remedies import Acts, remedy
from keyrack.service.vault.lease import Terms

FRESH: Final = 300
"""Seconds for which what the server has found counts beside what is seen now."""
DELETED_WITHIN: Final = 600
"""Seconds in which the server deletes what keys have left behind, if it can."""
SEAL_SECONDS: Final = 1
"""Within which a seal has emptied every process."""
_DEACTIVATED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What there is to know of an instance."""

    instance: Instance
    seen: Look | None
    """Its root key, just now; ``None`` where its key manager was not opened."""
    validation: Validation | None = None
    """What the server has found."""
    wrapping_key: WrappingKey | None = None
    leftovers: Sequence[Leftover] = ()
    acts: Acts | None = None
    """What to do in its key manager; ``None`` for an embedded one."""


def findings(known: Known, at: int) -> Iterator[Finding]:
    """Everything about one instance; ``at`` is seconds since 1970."""
    yield from _status(known)
    if not known.instance.configured:
        return
    yield root_key(known, at)
    yield from _sealed(known, at)
    yield from _withheld(known, at)
    yield from _moving(known)
    yield from _behind(known, at)
    yield from _strangers(known)
    yield from _leftovers(known, at)


def _status(known: Known) -> Iterator[Finding]:
    """Nothing of an instance that is Installed; of any other, why it is where it is."""
    instance = known.instance
    if instance.status is InstanceStatus.INSTALLED or instance.former is not None:
        return
    act = {
        InstanceStatus.INACTIVE: f"'keyrack instance activate {instance.name}' puts it into service",
        InstanceStatus.REMOVING: "remove it again: what was begun goes on",
    }.get(instance.status, "if nobody does that any more, configure it anew, or remove it")
    if not instance.configured:
        act = f"'keyrack instance configure {instance.name}' gives it a key manager and a root key"
    told = f"{instance.status}, and its clients are not served" + (f": {instance.reason}" if instance.reason else "")
    yield Finding(f"instance {instance.name}", Level.WARNING, told, act)


def root_key(known: Known, at: int) -> Finding:
    """Whether the root key is usable: as it is seen now, and where it is well now, as the server has found it."""
    instance, found = known.instance, known.validation
    what = f"root key of {instance.name}"
    recent = found is not None and at - found.at < FRESH
    if known.seen is not None and known.seen.reason:
        return _unwell(known, known.seen.reason, known.seen.told, known.seen.state)
    if found is not None and found.reason and (recent or known.seen is None):
        told = f"{found.told} ({_seen(found, at)})"
        return _unwell(known, found.reason, told, found.root_key_state)
    state = known.seen.state if known.seen is not None else found.root_key_state if found is not None else None
    if state == _DEACTIVATED:
        told = "it has expired: keys are still fetched, and no new one can be made"
        act = f"give the instance another one: 'keyrack instance change-root-key {instance.name} --root-key ID'"
        return Finding(what, Level.WARNING, told, act)
    if known.seen is not None:
        return Finding(what, Level.OK, f"{instance.key_manager} wraps and unwraps")
    if found is not None and recent:
        return Finding(what, Level.OK, f"{instance.key_manager} wrapped and unwrapped {ago(at - found.at)} ago")
    return Finding(what, Level.WARNING, f"not looked at: key manager {instance.key_manager!r} was not opened")


def _seen(found: Validation, at: int) -> str:
    last, first = ago(at - found.at), ago(at - found.since)
    return f"found {last} ago" if last == first else f"found {last} ago, and first {first} ago"


def _unwell(known: Known, reason: str, told: str, state: int | None) -> Finding:
    meant = remedy(reason, known.instance.root_key, 1 if state is None else state, known.acts)
    what, level, said = f"root key of {known.instance.name}", Level.FAILED, f"{told}; {meant.means}"
    if reason == Reason.READ_ONLY:
        level, said = Level.WARNING, meant.means
    elif told.startswith(UNLISTED):
        level, said = Level.WARNING, f"{told}; each is read by itself before its key is handed out"
    return Finding(what, level, said, meant.act, cause=str(reason))


def _sealed(known: Known, at: int) -> Iterator[Finding]:
    instance = known.instance
    if instance.sealed_at is not None:
        told = f"sealed for {ago(at - instance.sealed_at)}: no client gets or makes one"
        act = f"'keyrack instance unseal {instance.name}' takes it into use again"
        yield Finding(f"keys of {instance.name}", Level.WARNING, told, act)


def _withheld(known: Known, at: int) -> Iterator[Finding]:
    instance, found = known.instance, known.validation
    what = f"keys of {instance.name}"
    act = _restoring(known)
    if known.wrapping_key is not None and known.wrapping_key.withheld_at is not None:
        told = "all are withheld: the standard key of the wrapping key was deleted in the key manager"
        yield Finding(what, Level.FAILED, told, act, cause=str(Reason.DELETED))
    elif found is not None and found.withheld:
        told = f"{counted(found.withheld, 'key')} withheld: the standard key was deleted in the key manager"
        told += _counted_at(found, at)
        yield Finding(what, Level.WARNING, told, act, cause=str(Reason.DELETED))


def _counted_at(found: Validation, at: int) -> str:
    """The server counts once a minute: what was mended since then is told all the same."""
    return f" (counted {ago(at - found.at)} ago)"


def _restoring(known: Known) -> str:
    where = "by the key manager's API: POST /api/v2/keys/ID/restore"
    if known.acts is not None:
        where = "there: the instance ▸ Keys ▸ (filter Destroyed) ▸ … ▸ Restore, within 30 days"
    listed = f"'keyrack key list {known.instance.name}' shows which are withheld"
    return f"if that was not meant, restore it {where}; it is given again within a minute. {listed}"


def _moving(known: Known) -> Iterator[Finding]:
    instance = known.instance
    if instance.former is not None:
        told = f"they move from {instance.former.key_manager} ({instance.former.root_key}), and open at both places"
        command = f"keyrack instance change-root-key {instance.name} --root-key {instance.root_key}"
        if instance.former.key_manager != instance.key_manager:
            command += f" --key-manager {instance.key_manager}"
        act = f"'{command}' goes on with it, where it was broken off"
        yield Finding(f"keys of {instance.name}", Level.WARNING, told, act)


def _behind(known: Known, at: int) -> Iterator[Finding]:
    found, name = known.validation, known.instance.name
    if found is not None and found.behind:
        told = (
            f"{counted(found.behind, 'key')} wrapped by an older version of the root key, which opens them all the same"
            f"{_counted_at(found, at)}"
        )
        act = f"the server wraps them anew in the background; 'keyrack root-key rewrap {name}' does it now"
        yield Finding(f"keys of {name}", Level.WARNING, told, act)


def _strangers(known: Known) -> Iterator[Finding]:
    found, name = known.validation, known.instance.name
    if known.instance.storage is Storage.KEY_MANAGER and found is not None and found.strangers:
        told = (
            f"{counted(found.strangers, 'standard key')} in {known.instance.key_manager} named as Keyrack names its"
            " own, which nothing here has: of a crash, of another deployment, or of IBM's KMIP for VMware"
        )
        yield Finding(
            f"keys of {name}", Level.WARNING, told, f"'keyrack verify {name}' lists them; Keyrack deletes none"
        )


def _leftovers(known: Known, at: int) -> Iterator[Finding]:
    old = [each for each in known.leftovers if at - each.at > DELETED_WITHIN]
    if old:
        told = f"{counted(len(old), 'old standard key')} of no use any more, still in the key manager"
        act = "Keyrack deletes them once it may"
        if known.acts is not None:
            act = (
                "Keyrack deletes them once it may: give the service ID the service role Manager, or the table"
                " `deleting` a credential that has it. Or delete them there yourself"
            )
        yield Finding(f"keys of {known.instance.name}", Level.WARNING, told, act)


def bound(name: str, terms: Terms) -> Finding:
    """How soon a revocation in this key manager reaches every key."""
    told = (
        f"revocation counts within {terms.lease + terms.probe_timeout:.0f} s while the key manager answers, within"
        f" {ago(terms.outage_grace)} while it does not, and a seal within {SEAL_SECONDS} s; a running ESXi host keeps"
        " its keys until it restarts"
    )
    return Finding(f"lease of {name}", Level.OK, told)


def bounds(key_managers: Mapping[str, Terms]) -> Iterator[Finding]:
    """Of each key manager, by its configured name."""
    for name, terms in key_managers.items():
        yield bound(name, terms)
