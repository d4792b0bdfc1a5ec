"""Acts on the root keys of an embedded key manager: done in a serving process, in the name of a person.

The law of states, waits and second persons is the key manager's own (``embedded``), as on the command line. What is
added here: who may, what stops, the words to be typed, and a record in the catalog's journal.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.domain.rights import Right
from keyrack.embedded import creation, lifecycle, policies
from keyrack.embedded.call import Call, Caller
from keyrack.embedded.errors import Refusal
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Right as KeyRight
from keyrack.embedded.instances import PolicyType
from keyrack.embedded.keys import Action, Key, RotationPolicy
from keyrack.ports.back_office import RootKeyTold
from keyrack.ports.catalog import Unit
from keyrack.ports.key_manager import KeyManagerRefused, RootKeyAdministration
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.moves.rewraps import Rewraps
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import NotThere, Refused
from keyrack.service.office.root_keys import User, confirm_root_key, users_of
from keyrack.shell.web.acts import Arguments, text, text_or_none
from keyrack.shell.web.root_key_law import refuse_alone, refused_as
from keyrack.shell.web.root_keys_told import told

T = TypeVar("T")
RATE: Final = 100.0
"""Keys in a second that are rewrapped where somebody has asked for it and names no other number."""
FASTEST: Final = 1000
UNREACHABLE: Final = (
    "no key under it is handed out any more, so that a machine or host that starts then stays without its disks; a "
    "running ESXi host keeps its keys until it restarts"
)


@dataclass(frozen=True, slots=True)
class Ground:
    """What the acts of one process work with."""

    catalog: WholeCatalog
    rewraps: Rewraps | None
    """``None`` where nothing is wrapped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """An embedded key manager, and who acts."""

    ground: Ground
    administration: Administration
    name: str
    """Of the key manager, as it is configured."""
    manager: EmbeddedKeyManager

    @property
    def call(self) -> Call:
        """Who acts, as the key manager's journal has it."""
        who = self.administration.administrator
        return Call(
            caller=Caller(identity=who.initiator),
            instance=self.manager.instance,
            address=who.address,
            correlation=who.correlation,
        )

    async def found(self, word: str) -> Key:
        """The root key of this identifier, alias or name; raises ``NotThere``; ``Refused`` where several have it."""
        return await self.manager.administered(lambda house: _found(house, self.manager.instance, word))

    async def done(self, right: KeyRight, key: Key, act: Callable[[House, Call], Key], *, makes: bool = False) -> Key:
        """What an act makes of a root key; that it was refused stands in the key manager's journal."""
        call = self.call

        def journaled(house: House) -> Key:
            try:
                return act(house, call)
            except Refusal as refusal:
                house.note_refused(call, right.value, key.identifier, refusal)
                raise

        with refused_as(key.name):
            return await self.manager.administered(journaled, makes=makes)

    async def users(self, key: Key) -> Sequence[User]:
        """The instances whose keys it wraps."""
        of_key = self.told(key)
        return (await users_of(self.administration, self.ground.catalog, self.name, [of_key]))[key.identifier]

    def told(self, key: Key) -> RootKeyTold:
        """The key, as everybody is told of it."""
        return told(self.manager.house, key)

    async def written(self, act: str, key: Key, **more: str | int) -> Mapping[str, Any]:
        """Write down what was done, in the catalog's journal too; what is answered.

        It is done by then: the record does not hang on rights that were taken away since.
        """
        detail = {"key_manager": self.name, "name": key.name, **more}
        entry = self.administration.entry(f"root-key.{act}", "", key.identifier, detail)
        await self.ground.catalog.commit(Unit(entries=(entry,)))
        return {"root_key": key.identifier}


def _found(house: House, instance: str, word: str) -> Key:
    with house.reading() as reading:
        keys = reading.select("instance = ? AND extractable = 0", (instance,), order="created_at, rowid")
    for called in (_identified, _aliased, _named):
        if len(those := [key for key in keys if called(key, word)]) == 1:
            return those[0]
        if those:
            raise Refused(f"{len(those)} root keys are called {word!r}; name one by its identifier")
    raise NotThere(f"there is no root key {word!r}")


def _identified(key: Key, word: str) -> bool:
    return key.identifier == word


def _aliased(key: Key, word: str) -> bool:
    return any(each.name == word for each in key.aliases)


def _named(key: Key, word: str) -> bool:
    return key.name == word


async def _create(desk: Desk, arguments: Arguments) -> Mapping[str, Any]:
    """``name``, ``description``, ``expires_at``, ``rotate_every_months`` and ``dual_authorisation``."""
    months, expires = _number(arguments, "rotate_every_months"), _number(arguments, "expires_at")
    wanted = creation.NewKey(
        name=text(arguments, "name"),
        description=text_or_none(arguments, "description") or "",
        extractable=False,
        expires_at=expires,
    )
    dual = arguments.get("dual_authorisation") is True

    def make(house: House) -> Key:
        if months is None and not dual:
            return creation.create(house, desk.call, wanted)
        return creation.create_with_overrides(house, desk.call, _overridden(house, desk.call, wanted, months, dual))

    with refused_as(wanted.name):
        made = await desk.manager.administered(make, makes=True)
    return await desk.written("create", made)


def _overridden(house: House, call: Call, wanted: creation.NewKey, months: int | None, dual: bool) -> creation.NewKey:
    """With what was asked for; what was not asked for stays as the key manager instance has it."""
    with house.reading() as reading:
        instance = reading.instance(call.instance)
    usual = instance.enabled(PolicyType.ROTATION)
    if months is None and usual is not None:
        months = int(str(usual.attributes["interval_month"]))
    return replace(
        wanted,
        dual_auth_delete=dual or instance.enabled(PolicyType.DUAL_AUTH_DELETE) is not None,
        rotation=RotationPolicy(enabled=True, months=months) if months is not None else None,
    )


async def _rotate(desk: Desk, arguments: Arguments) -> Mapping[str, Any]:
    """The keys that older versions wrap begin to be rewrapped; nothing waits for that."""
    key = await desk.found(text(arguments, "root_key"))
    rotated = await desk.done(
        KeyRight.ROTATE, key, lambda house, call: lifecycle.rotate(house, call, key.identifier), makes=True
    )
    answer = await desk.written("rotate", rotated, version=rotated.newest.identifier)
    _begin(desk.ground, desk.administration, await desk.users(rotated), RATE)
    return answer


async def _disable(desk: Desk, arguments: Arguments) -> Mapping[str, Any]:
    """``confirmation``: the name of the root key."""
    key = await desk.found(text(arguments, "root_key"))

    def allowed(house: House, call: Call) -> Key:
        key.allow(Action.DISABLE, house.now)
        return key

    await desk.done(KeyRight.DISABLE, key, allowed)
    await _confirmed(desk, key, f"disable root key {key.name!r}: until it is enabled, {UNREACHABLE}", arguments)
    done = await desk.done(KeyRight.DISABLE, key, lambda house, call: lifecycle.disable(house, call, key.identifier))
    return await desk.written("disable", done)


async def _enable(desk: Desk, arguments: Arguments) -> Mapping[str, Any]:
    key = await desk.found(text(arguments, "root_key"))
    done = await desk.done(KeyRight.ENABLE, key, lambda house, call: lifecycle.enable(house, call, key.identifier))
    return await _back(desk, "enable", done)


async def _delete(desk: Desk, arguments: Arguments) -> Mapping[str, Any]:
    """``confirmation``. Under dual authorisation the first of two only sets it for deletion."""
    key = await desk.found(text(arguments, "root_key"))
    users = await desk.users(key)
    two = key.dual_auth_delete
    await refuse_alone(desk.administration, desk.ground.catalog, key, users)

    def allowed(house: House, call: Call) -> Key:
        key.allow(Action.DELETE, house.now)
        return key

    await desk.done(KeyRight.DELETE, key, allowed)
    if two and not desk.told(key).details.set_for_deletion_by:  # type: ignore[union-attr]
        told_of = f"set root key {key.name!r} for deletion: once another person deletes it too, {UNREACHABLE}"
        await _confirmed(desk, key, told_of, arguments)
        return await _marked(desk, key)
    await _confirmed(desk, key, f"delete root key {key.name!r}: until it is restored, {UNREACHABLE}", arguments)
    names = [each.instance.name for each in users]
    done = await desk.done(
        KeyRight.DELETE,
        key,
        lambda house, call: lifecycle.delete(house, call, key.identifier, force=True, used_by=names),
    )
    return await desk.written("delete", done)


async def _marked(desk: Desk, key: Key) -> Mapping[str, Any]:
    done = await desk.done(
        KeyRight.SET_FOR_DELETION, key, lambda house, call: lifecycle.set_for_deletion(house, call, key.identifier)
    )
    return {**await desk.written("set-for-deletion", done), "set_for_deletion": True}


async def _unset_for_deletion(desk: Desk, arguments: Arguments) -> Mapping[str, Any]:
    key = await desk.found(text(arguments, "root_key"))
    done = await desk.done(
        KeyRight.UNSET_FOR_DELETION, key, lambda house, call: lifecycle.unset_for_deletion(house, call, key.identifier)
    )
    return await desk.written("unset-for-deletion", done)


async def _restore(desk: Desk, arguments: Arguments) -> Mapping[str, Any]:
    key = await desk.found(text(arguments, "root_key"))
    done = await desk.done(KeyRight.RESTORE, key, lambda house, call: lifecycle.restore(house, call, key.identifier))
    return await _back(desk, "restore", done)


async def _back(desk: Desk, act: str, key: Key) -> Mapping[str, Any]:
    """It can be used again; a rewrap that it has broken off goes on."""
    answer = await desk.written(act, key)
    _begin(desk.ground, desk.administration, [each for each in await desk.users(key) if each.behind], RATE)
    return answer


async def _set_policies(desk: Desk, arguments: Arguments) -> Mapping[str, Any]:
    """``rotate_every_months`` (0: not by itself) and ``dual_authorisation``; what is not there stays."""
    key = await desk.found(text(arguments, "root_key"))
    months, dual = _number(arguments, "rotate_every_months"), arguments.get("dual_authorisation")
    rotation = None if months is None else RotationPolicy(enabled=months > 0, months=months or 1)
    given = {"dual_auth_delete": dual if isinstance(dual, bool) else None, "rotation": rotation}
    done = await desk.done(
        KeyRight.WRITE_POLICIES,
        key,
        lambda house, call: policies.set_key_policies(house, call, key.identifier, **given),  # type: ignore[arg-type]
    )
    more: dict[str, str | int] = {
        **({} if months is None else {"rotate_every_months": months}),
        **({} if given["dual_auth_delete"] is None else {"dual_authorisation": str(dual).lower()}),
    }
    return await desk.written("policy", done, **more)


async def _confirmed(desk: Desk, key: Key, told_of: str, arguments: Arguments) -> None:
    users, given = await desk.users(key), text_or_none(arguments, "confirmation")
    await confirm_root_key(desk.ground.catalog, key.name, users, told_of, given, desk.administration.now)


def _number(arguments: Arguments, name: str) -> int | None:
    number = arguments.get(name)
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _begin(ground: Ground, administration: Administration, users: Sequence[User], rate: float) -> None:
    if ground.rewraps is not None:
        for each in users:
            ground.rewraps.begin(each.instance, administration.administrator, rate=rate)


async def _rewrap(ground: Ground, administration: Administration, arguments: Arguments) -> Mapping[str, Any]:
    """``rate``: keys in a second at most. Of whatever key manager: it is Keyrack's own work."""
    name, word = text(arguments, "key_manager"), text(arguments, "root_key")
    rate = min(max(_number(arguments, "rate") or int(RATE), 1), FASTEST)
    manager = administration.key_managers.get(name)
    if isinstance(manager, EmbeddedKeyManager):
        desk = Desk(ground=ground, administration=administration, name=name, manager=manager)
        of_key = desk.told(await desk.found(word))
    elif isinstance(manager, RootKeyAdministration):
        known = {each.identifier: each for each in await manager.list_root_keys()}
        if word not in known:
            raise NotThere(f"there is no root key {word!r}")
        key = known[word]
        of_key = RootKeyTold(
            identifier=key.identifier,
            name=key.name,
            state=key.state,
            version=key.version,
            created_at=key.created_at,
        )
    else:
        raise NotThere(f"no key manager {name!r} with root keys is configured")
    users = (await users_of(administration, ground.catalog, name, [of_key]))[of_key.identifier]
    detail: dict[str, str | int] = {"key_manager": name, "name": of_key.name, "rate": rate}
    await administration.commit("root-key.rewrap", "", of_key.identifier, detail)
    _begin(ground, administration, users, rate)
    return {"root_key": of_key.identifier}


@dataclass(frozen=True, slots=True)
class _Act:
    right: Right
    do: Callable[[Desk, Arguments], Awaitable[Mapping[str, Any]]]
    elsewhere: str
    """IBM's command for the same."""


_ACTS: Final[Mapping[str, _Act]] = {
    "root-key.create": _Act(Right.ROOT_KEY_CREATE, _create, "ibmcloud kp key create NAME"),
    "root-key.rotate": _Act(Right.ROOT_KEY_ROTATE, _rotate, "ibmcloud kp key rotate {}"),
    "root-key.disable": _Act(Right.ROOT_KEY_DISABLE, _disable, "ibmcloud kp key disable {}"),
    "root-key.enable": _Act(Right.ROOT_KEY_RESTORE, _enable, "ibmcloud kp key enable {}"),
    "root-key.delete": _Act(Right.ROOT_KEY_DELETE, _delete, "ibmcloud kp key delete {}"),
    "root-key.unset-for-deletion": _Act(Right.ROOT_KEY_DELETE, _unset_for_deletion, "ibmcloud kp key cancel-delete {}"),
    "root-key.restore": _Act(Right.ROOT_KEY_RESTORE, _restore, "ibmcloud kp key restore {}"),
    "root-key.policy": _Act(Right.ROOT_KEY_POLICY, _set_policies, "ibmcloud kp key policy-update"),
}
REWRAP: Final = "root-key.rewrap"
ROOT_KEY_ACTS: Final = frozenset({*_ACTS, REWRAP})
"""Each has ``key_manager`` among its arguments and, but for the making of one, ``root_key``."""


async def perform_on_root_key(
    ground: Ground, administration: Administration, name: str, arguments: Arguments
) -> Mapping[str, Any]:
    """Do one of :data:`ROOT_KEY_ACTS`; answers ``root_key``. Raises what its use case raises."""
    if name == REWRAP:
        administration.require(Right.ROOT_KEY_ROTATE)
        return await _rewrap(ground, administration, arguments)
    act = _ACTS[name]
    administration.require(act.right)
    called = text(arguments, "key_manager")
    manager = administration.key_managers.get(called)
    if manager is None:
        raise NotThere(f"no key manager {called!r} is configured")
    if not isinstance(manager, EmbeddedKeyManager):
        command = act.elsewhere.format(text_or_none(arguments, "root_key") or "KEY")
        raise Refused(
            f"the root keys of {called!r} are administered at IBM, and nothing was changed",
            hint=f"do it there, in the console of IBM Cloud or with '{command}'",
        )
    desk = Desk(ground=ground, administration=administration, name=called, manager=manager)
    try:
        return await act.do(desk, arguments)
    except KeyManagerRefused as error:
        raise Refused(str(error)) from error
