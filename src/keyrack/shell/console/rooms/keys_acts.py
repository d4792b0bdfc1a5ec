"""What is done with keys: a page for each act, with what may stop before its words are typed; one key, or many at once.

``/instances/{instance}/keys/{key}/{act}`` for one, ``/instances/{instance}/key-acts`` for those that were chosen.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response

from keyrack.domain import lifecycle
from keyrack.domain.instances import Instance
from keyrack.ports.key_affairs import KeyRow
from keyrack.service.office import key_acts, keys
from keyrack.service.office.impact import words_of
from keyrack.service.office.key_steps import MOST_AT_ONCE
from keyrack.service.office.keys import Windows, destroyed_at
from keyrack.service.office.refusals import LimitReached, NotThere, Unusable
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.console.rooms.instances import framed
from keyrack.shell.console.rooms.keys import base_of, line_of
from keyrack.shell.console.rooms.keys_asked import Asked
from keyrack.shell.console.rooms.keys_words import ACTS, Act
from keyrack.shell.console.showing import tells
from keyrack.shell.console.words import mark
from keyrack.shell.office import windows_of
from keyrack.spec.enumerations import RevocationReasonCode

room = Room()
_DO: Final[Mapping[str, Callable[..., Awaitable[Sequence[KeyRow]]]]] = {
    "activate": key_acts.activate,
    "restore": key_acts.restore,
    "recover": key_acts.recover,
    "deactivate": key_acts.deactivate,
    "compromise": key_acts.compromise,
    "destroy": key_acts.destroy,
    "purge": key_acts.purge,
}
REASONS: Final[Mapping[str, Mapping[str, str]]] = {
    "deactivate": {
        "Cessation of Operation": mark("Cessation of Operation: its machine is gone"),
        "Superseded": mark("Superseded: another key has taken its place"),
        "Privilege Withdrawn": mark("Privilege Withdrawn: its users may not have it any more"),
        "Affiliation Changed": mark("Affiliation Changed: its users belong elsewhere now"),
        "Unspecified": mark("Unspecified"),
    },
    "compromise": {
        "Key Compromise": mark("Key Compromise: somebody else has the key"),
        "CA Compromise": mark("CA Compromise: the authority of its clients cannot be trusted"),
    },
}
"""KMIP's revocation reasons, by act, with what they mean here."""
_CODES: Final[Mapping[str, RevocationReasonCode]] = {code.title: code for code in RevocationReasonCode}
tells({"keys-acted": mark("Done, with all of these keys.")})


@room.shows("/instances/{instance}/keys/{key}/{act}")
async def show_act(call: Call) -> Response:
    """What an act would do to one key, and its form."""
    instance, act = await framed(call), _act(call.path["act"])
    return await _shown(call, instance, act, [call.path["key"]])


@room.does("/instances/{instance}/keys/{key}/{act}", again=show_act)
async def act_on_key(call: Call) -> Response:
    """Do it."""
    instance, act = await framed(call), _act(call.path["act"])
    (row,) = await _done(call, instance, act, [call.path["key"]])
    return call.go(f"{base_of(call, instance)}/keys/{row.managed.unique_identifier}", done=f"key-{act.name}")


@room.shows("/instances/{instance}/key-acts")
async def show_act_on_many(call: Call) -> Response:
    """The same for all that were chosen in the table, or that its filter lets through."""
    instance, act = await framed(call), _act(call.typed.get("act"))
    return await _shown(call, instance, act, await _chosen(call, instance))


@room.does("/instances/{instance}/key-acts", again=show_act_on_many)
async def act_on_many(call: Call) -> Response:
    """Do it, with all or none."""
    instance, act = await framed(call), _act(call.typed.get("act"))
    await _done(call, instance, act, await _chosen(call, instance))
    return call.go(f"{base_of(call, instance)}/keys", done="keys-acted")


def _act(name: str) -> Act:
    if name not in ACTS:
        raise NotThere("there is no such act")
    return ACTS[name]


async def _chosen(call: Call, instance: Instance) -> Sequence[str]:
    """Identifiers, as the form repeats them or the table's address has them; or all that the address's filter means."""
    named = call.typed.get("keys").split() or call.typed.all("key")
    if not call.typed.get("all") or named:
        return list(dict.fromkeys(named))
    wanted = Asked.of(call.typed).filter(call.now)
    found = await keys.page(call.administration, call.catalog, instance, wanted, limit=MOST_AT_ONCE)
    if found.next is not None:
        raise LimitReached(
            f"more than {MOST_AT_ONCE} keys match, and that is the most for one act", hint="narrow the filter"
        )
    return [row.managed.unique_identifier for row in found.rows]


async def _shown(call: Call, instance: Instance, act: Act, meant: Sequence[str]) -> Response:
    rows, impact = await keys.at_stake(call.administration, call.catalog, instance, meant)
    windows = windows_of(call.config)
    lines = [line_of(row, call.now) for row in rows]
    fitting = [act.possible(lifecycle.tick(row.managed, call.now)) for row in rows]
    return call.show(
        "keys/act.html",
        instance=instance,
        tab="keys",
        base=base_of(call, instance),
        act=act,
        lines=lines,
        alone="key" in call.path,
        misfits=[line for line, fits in zip(lines, fitting, strict=True) if not fits],
        impact=impact.as_json(),
        words_to_type=words_of(impact),
        reasons=REASONS.get(act.name, {}),
        until=call.now + windows.destroyed,
        days=windows.destroyed // 86_400,
        earliest=_earliest(rows, windows) if act.name == "purge" else 0,
        may=call.may(act.right, instance.identifier),
    )


def _earliest(rows: Sequence[KeyRow], windows: Windows) -> int:
    """From when on all of them can be purged."""
    return max(((destroyed_at(row.managed) or 0) + windows.purge for row in rows), default=0)


async def _done(call: Call, instance: Instance, act: Act, meant: Sequence[str]) -> Sequence[KeyRow]:
    typed = call.typed
    more: dict[str, Any] = {} if act.name == "activate" else {"why": typed.get("why")}
    if act.stops:
        more["confirmation"] = typed.get("confirmation") or None
    if act.waits:
        more["windows"] = windows_of(call.config)
    if act.name in REASONS:
        more["reason"] = _CODES.get(typed.get("reason") or next(iter(REASONS[act.name])))
        if more["reason"] is None:
            raise Unusable("that is not one of KMIP's revocation reasons", field="reason")
    if act.name == "compromise":
        more["occurred_at"] = _day(typed.get("occurred_at"))
    return await _DO[act.name](call.administration, call.catalog, instance, meant, **more)


def _day(said: str) -> int | None:
    if not said:
        return None
    try:
        return int(datetime.fromisoformat(said).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise Unusable("that is no day; write it as 2026-01-31", field="occurred_at") from None
