"""``/root-keys``: the root keys of every key manager; one of them whole, its policies, and how far a rewrap is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.responses import Response

from keyrack.domain.rights import Right
from keyrack.ports.back_office import KeyManagerTold, RootKeyVersion
from keyrack.service.office.refusals import NotThere, Unusable
from keyrack.shell.config.whole import Config
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.console.rooms.root_keys_words import ACTS, STATES, UNKNOWN, Act, State
from keyrack.shell.console.showing import tells
from keyrack.shell.console.troubles import TOLD, trouble_of
from keyrack.shell.console.words import mark
from keyrack.shell.rest.v1 import root_keys as rest
from keyrack.shell.rest.v1.root_key_shapes import Looked, RewrapWanted, RootKeyNew, RootKeyPolicies, rewrap_of
from keyrack.shell.vaulting import terms_of

room = Room()
EMBEDDED = "embedded"
DESTROYED = 5
MOST_LISTED = 200
"""Root keys of one key manager on one page."""
tells(
    {
        "root-key-created": mark("The root key is made. It is usable at once."),
        "root-key-policies": mark("The policies are set."),
        "root-key-rewrap": mark("The rewrap goes on. It does so too when you leave this page."),
        "root-key-set-for-deletion": mark(
            "The root key is set for deletion, and works as before. Another security officer has to delete it."
        ),
        **{f"root-key-{act.name}": act.done for act in ACTS.values()},
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The root keys of one key manager."""

    manager: KeyManagerTold
    keys: Sequence[Looked] = ()
    more: int = 0
    """Those that are not shown."""
    deleted: int = 0
    """Those that are deleted, and were not asked for."""
    told: str = ""
    """Why they cannot be listed; empty where they can."""

    @property
    def administered(self) -> bool:
        """Whether its root keys are changed here."""
        return self.manager.type == EMBEDDED


@dataclass(frozen=True, slots=True)
class Bound:
    """How soon a revocation reaches every key, in seconds."""

    answering: float
    silent: float


@room.shows("/root-keys")
async def show_root_keys(call: Call) -> Response:
    """All of them, by key manager; deleted ones where they are asked for."""
    call.administration.require(Right.KEY_MANAGER_READ)
    deleted = call.typed.get("deleted") == "yes"
    shelves = [await _shelf(call, each, deleted=deleted) for each in await call.back_office.key_managers()]
    return call.show("root_keys/root_keys.html", shelves=shelves, deleted=deleted, state_of=state_of)


@room.shows("/root-keys/{manager}/new")
async def show_new(call: Call) -> Response:
    """The form for another one."""
    call.administration.require(Right.KEY_MANAGER_READ)
    manager = await _manager(call)
    return call.show("root_keys/new.html", manager=manager, may=call.may(Right.ROOT_KEY_CREATE))


@room.does("/root-keys/{manager}/new", again=show_new)
async def create(call: Call) -> Response:
    """Make it."""
    typed, manager = call.typed, call.path["manager"]
    wanted = RootKeyNew(
        name=typed.get("name"),
        description=typed.get("description"),
        expires_at=_midnight(typed.get("expires_at")),
        rotate_every_months=_months(typed.get("rotate_every_months")) or None,
        dual_authorisation="dual_authorisation" in typed,
    )
    made = await rest.create_root_key(call.known, manager, wanted, Response())
    return call.go(f"/root-keys/{manager}/{made.identifier}", done="root-key-created")


@room.shows("/root-keys/{manager}/{root_key}")
async def show_root_key(call: Call) -> Response:
    """One of them, whole."""
    found = await found_in(call)
    return call.show(
        "root_keys/root_key.html",
        base=base_of(call, found),
        found=found,
        state=state_of(found.told.state),
        acts=acts_of(found),
        versions=versions_of(found),
        bound=bound_of(call.config, call.path["manager"]),
        rewrap=rewrap_of(found, call.premises.paces, call.premises.clock() / 1000),
    )


@room.does("/root-keys/{manager}/{root_key}/policies", again=show_root_key)
async def set_policies(call: Call) -> Response:
    """What was changed of them: a policy that stays as it is is not written again."""
    found = await found_in(call)
    held = found.told.details
    months, dual = _months(call.typed.get("rotate_every_months")), "dual_authorisation" in call.typed
    wanted = RootKeyPolicies(
        rotate_every_months=months if held is None or months != (held.rotate_every_months or 0) else None,
        dual_authorisation=dual or None if held is None or dual != held.dual_authorisation else None,
    )
    if wanted.rotate_every_months is not None or wanted.dual_authorisation is not None:
        await rest.set_root_key_policies(call.known, call.path["manager"], found.told.identifier, wanted)
    return call.go(base_of(call, found), done="root-key-policies")


@room.does("/root-keys/{manager}/{root_key}/rewrap", again=show_root_key)
async def begin_rewrap(call: Call) -> Response:
    """Have keys under older versions rewrapped now, or go on with it."""
    found = await found_in(call)
    identifier = found.told.identifier
    await rest.begin_rewrap(call.known, call.premises, call.path["manager"], identifier, RewrapWanted())
    return call.go(base_of(call, found), done="root-key-rewrap")


@room.refreshes("/live/root-keys/{manager}/{root_key}/rewrap")
async def refresh_rewrap(call: Call) -> Response:
    """How far it is."""
    found = await found_in(call)
    rewrap = rewrap_of(found, call.premises.paces, call.premises.clock() / 1000)
    return call.show("root_keys/rewrap.html", base=base_of(call, found), found=found, rewrap=rewrap)


async def found_in(call: Call) -> Looked:
    """The root key that the address names."""
    return await rest.look_at(call.known, call.path["manager"], call.path["root_key"])


def base_of(call: Call, found: Looked) -> str:
    """The address of a root key's page."""
    return f"/root-keys/{call.path['manager']}/{found.told.identifier}"


def acts_of(found: Looked) -> Sequence[Act]:
    """What can be done with it in its state."""
    details = found.told.details
    if details is None:
        return ()
    marked = bool(details.set_for_deletion_by)
    return [act for act in ACTS.values() if act.possible(found.told) and (act.name != "keep" or marked)]


def versions_of(found: Looked) -> Sequence[tuple[RootKeyVersion, int | None]]:
    """Newest first, each with how many keys it has wrapped; ``None`` where only the sum of several is known."""
    details = found.told.details
    if details is None:
        return ()
    newest, *older = reversed(details.versions)
    known = found.behind if len(older) == 1 or found.behind == 0 else None
    return [(newest, found.wrapped - found.behind), *((each, known) for each in older)]


def bound_of(config: Config, manager: str) -> Bound | None:
    """How soon it counts that a root key of this key manager is out of use; ``None`` where it is not configured."""
    table = config.key_managers.get(manager)
    if table is None:
        return None
    terms = terms_of(table)
    return Bound(answering=terms.lease + terms.probe_timeout, silent=terms.outage_grace)


def state_of(number: int) -> State:
    """A state in words."""
    return STATES.get(number, UNKNOWN)


async def _shelf(call: Call, manager: KeyManagerTold, *, deleted: bool) -> Shelf:
    """One key manager that does not answer keeps the others from nothing."""
    try:
        found = await rest.look(call.known, manager.name)
    except TOLD as error:
        return Shelf(manager=manager, told=trouble_of(error).told)
    gone = sum(each.told.state == DESTROYED for each in found)
    shown = [each for each in found if (each.told.state == DESTROYED) is deleted]
    return Shelf(
        manager=manager,
        keys=shown[:MOST_LISTED],
        more=max(0, len(shown) - MOST_LISTED),
        deleted=0 if deleted else gone,
    )


async def _manager(call: Call) -> KeyManagerTold:
    for each in await call.back_office.key_managers():
        if each.name == call.path["manager"]:
            return each
    raise NotThere("there is no such key manager")


def _months(said: str) -> int:
    if not said:
        return 0
    if not said.isascii() or not said.isdigit() or int(said) > 12:
        raise Unusable("a root key is rotated every 1 to 12 months", field="rotate_every_months")
    return int(said)


def _midnight(said: str) -> datetime | None:
    if not said:
        return None
    try:
        return datetime.fromisoformat(said).replace(tzinfo=UTC)
    except ValueError:
        raise Unusable("that is no day; write it as 2030-01-31", field="expires_at") from None
