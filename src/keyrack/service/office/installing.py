"""Instances come to be: entered without a key manager, made whole, or configured later; nothing serves before its root
key was proved.

While a root key is proved, the instance is Installing or Configuring, and its name is taken. What is refused leaves no
new instance behind, and one that was there Inactive, with the reason.
"""

import re
import secrets
import string
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from keyrack.domain.instance_status import StatusEvent, after
from keyrack.domain.instances import Hierarchy, Instance, InstanceStatus, Storage, WrappingKey
from keyrack.domain.moments import rfc3339
from keyrack.domain.rights import Right
from keyrack.ports.catalog import AlreadyThere, CatalogUnavailable, Conflict, TooMany, Unit
from keyrack.ports.key_manager import KeyManager, KeyManagerFailed
from keyrack.service.office.changing import changed, step
from keyrack.service.office.founding import root_key_for, telling_of, wrapping_key_for
from keyrack.service.office.refusals import LimitReached, NameTaken, Refused, Unusable, WrongStatus

if TYPE_CHECKING:
    from keyrack.service.office.administration import Administration

LONGEST_DESCRIPTION: Final = 240
"""Characters; as long as Key Protect lets a KMIP adapter's be."""
NOT_CONFIGURED: Final = "no key manager is configured yet"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_LETTERS: Final = string.ascii_lowercase + string.digits
_DRAWS: Final = 20
"""How many names of one length are tried before a longer one is."""

Letters = Callable[[int], str]
"""So many random letters and digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The home that an instance is to have. ``None`` leaves it to the instance, or to what there is."""

    key_manager: str | None = None
    """Its configured name; ``None``: the only one."""
    root_key: str | None = None
    """``None``: a new one, which the key manager makes."""
    storage: Storage | None = None
    hierarchy: Hierarchy | None = None


def check_instance_name(name: str) -> None:
    """Raise :class:`Unusable` for what cannot be the name of an instance."""
    if not _NAME.fullmatch(name):
        raise Unusable(
            f"{name!r} cannot be an instance's name; "
            "use letters, digits, '.', '_' and '-', a letter or digit first, at most 63 in all",
            field="name",
        )


def check_description(description: str) -> None:
    """Raise :class:`Unusable` for what cannot be shown on one line."""
    if len(description) > LONGEST_DESCRIPTION or not description.isprintable():
        raise Unusable(
            f"a description is one line of at most {LONGEST_DESCRIPTION} printable characters", field="description"
        )


def random_letters(count: int) -> str:
    """So many letters and digits that nobody can guess."""
    return "".join(secrets.choice(_LETTERS) for _ in range(count))


def free_name(taken: Collection[str], letters: Letters = random_letters) -> str:
    """``kmip-xx`` that nobody has, with more than two letters where those are hard to find."""
    length = 2
    while True:
        for _ in range(_DRAWS):
            name = f"kmip-{letters(length)}"
            if name not in taken:
                return name
        length += 1


async def create(
    administration: "Administration",
    name: str | None,
    wanted: Wanted | None,
    *,
    description: str = "",
    letters: Letters = random_letters,
) -> Instance:
    """Make an instance: without ``wanted`` it is Inactive until it is configured, with it usable at once.

    Without a name it gets one of its own. Raises ``Refused`` and the key manager's two failures; then there is no
    instance, and a root key that was made for it is named.
    """
    administration.require(Right.INSTANCE_CREATE)
    check_description(description)
    if name is not None:
        check_instance_name(name)
    manager_name, _ = _key_manager(administration, wanted.key_manager) if wanted is not None else ("", None)
    entered = await _entered(administration, name, manager_name, description, letters, lasting=wanted is None)
    if wanted is None:
        return entered
    try:
        return await _founded(administration, entered, wanted)
    except BaseException:
        await _taken_back(administration, entered)
        raise


async def _entered(
    administration: "Administration",
    name: str | None,
    key_manager: str,
    description: str,
    letters: Letters,
    *,
    lasting: bool,
) -> Instance:
    """The instance with its name, which from now on nobody else gets."""
    at, by = administration.now, administration.administrator.initiator
    while True:
        taken = {each.name for each in await administration.catalog.instances()}
        made = Instance(
            identifier=str(uuid.uuid4()),
            name=free_name(taken, letters) if name is None else name,
            description=description,
            status=InstanceStatus.INSTALLING,
            key_manager=key_manager,
            root_key="",
            storage=Storage.CATALOG,
            created_at=at,
            created_by=by,
            reason=f"{by} is making it since {rfc3339(at)}, and its root key is being proved; if nobody is any "
            "more, 'keyrack instance configure' goes on with it, and 'keyrack instance remove' takes it away",
        )
        try:
            if not lasting:
                # What is being made is not an act yet: its entry in the journal comes with the instance that serves.
                await administration.catalog.commit(
                    Unit(
                        entries=(),
                        actor=administration.administrator.actor,
                        instances=(made,),
                        new_instance_names=(made.name,),
                    )
                )
                return made
            made = after(made, StatusEvent.ENTER, NOT_CONFIGURED)
            detail: dict[str, str | int] = {"name": made.name, "status": str(made.status)}
            await administration.commit(
                "instance.create",
                made.identifier,
                made.identifier,
                detail,
                instances=(made,),
                new_instance_names=(made.name,),
            )
            return made
        except AlreadyThere:
            if name is not None:
                raise NameTaken(
                    f"there is an instance {name!r} already; choose another name, or look at it with 'instance show'",
                    field="name",
                ) from None


async def _founded(administration: "Administration", entered: Instance, wanted: Wanted) -> Instance:
    """The instance in service, once its root key was proved."""
    manager_name, manager = _key_manager(administration, wanted.key_manager)
    storage, hierarchy = wanted.storage or Storage.CATALOG, wanted.hierarchy or Hierarchy.DIRECT
    found = await root_key_for(manager_name, manager, wanted.root_key, entered.name, storage)
    with telling_of(found if wanted.root_key is None else None):
        at_home = replace(
            entered, key_manager=manager_name, root_key=found, storage=storage, hierarchy=hierarchy, reason=""
        )
        wrapping_key = await _wrapping_key(administration, at_home)
        made = after(at_home, StatusEvent.READY)
        return await install(administration, made, wrapping_key=wrapping_key, seen=entered)


async def _wrapping_key(administration: "Administration", instance: Instance) -> WrappingKey | None:
    if instance.hierarchy is Hierarchy.DIRECT:
        return None
    if administration.vault is None:
        raise Refused("an instance of two levels needs a wrapping key, and nothing here can wrap one")
    return await wrapping_key_for(administration.vault, instance)


async def _taken_back(administration: "Administration", entered: Instance) -> None:
    """Nobody has an instance that was not made; one that somebody has changed meanwhile stays, and says where it is."""
    with suppress(Conflict, CatalogUnavailable):
        await administration.catalog.commit(
            Unit(
                entries=(),
                seen_instances=(entered,),
                bare=(entered.identifier,),
                removed_instances=(entered.identifier,),
            )
        )


async def install(
    administration: "Administration",
    instance: Instance,
    *,
    wrapping_key: WrappingKey | None = None,
    most: int | None = None,
    seen: Instance | None = None,
) -> Instance:
    """Enter an instance that was described whole, and answer it as it is kept; nothing of it is checked.

    ``seen``: what stands there for it until now. Raises :class:`NameTaken`, or :class:`LimitReached` where its key
    manager has ``most`` instances already.
    """
    made = replace(instance, created_by=administration.administrator.initiator)
    try:
        await administration.commit(
            "instance.create",
            made.identifier,
            made.identifier,
            {"name": made.name, **_home_detail(made)},
            seen_instances=(seen,) if seen is not None else (),
            instances=(made,),
            wrapping_keys=(wrapping_key,) if wrapping_key is not None else (),
            most_instances=most,
        )
    except AlreadyThere:
        raise NameTaken(f"there is an instance {made.name!r} already; choose another name", field="name") from None
    except TooMany:
        raise LimitReached(
            f"key manager {made.key_manager!r} has {most} instances, and more it may not have; remove one first"
        ) from None
    return made


def _home_detail(instance: Instance) -> dict[str, str | int]:
    return {
        "key_manager": instance.key_manager,
        "root_key": instance.root_key,
        "storage": str(instance.storage),
        "hierarchy": str(instance.hierarchy),
    }


async def configure(administration: "Administration", name: str, wanted: Wanted) -> Instance:
    """Give an instance its key manager and root key, and put it into service once that was proved.

    An instance that has keys keeps the root key that wraps them: it is proved again. Raises ``Refused`` and the key
    manager's two failures; then the instance is Inactive, and its reason says why.
    """
    found = await administration.instance(name)
    administration.require(Right.INSTANCE_CHANGE, found.identifier)
    wanted = await _fitting(administration, found, wanted)
    manager_name, manager = _key_manager(administration, wanted.key_manager)
    at, by = administration.now, administration.administrator.initiator
    told = f"root key {wanted.root_key}" if wanted.root_key is not None else "a new root key"
    reason = f"{told} of key manager {manager_name!r} is being proved since {rfc3339(at)}, as {by} wants it"
    configuring = step(found, StatusEvent.CONFIGURE, reason)
    await changed(administration, "instance.configuring", found, configuring, {"key_manager": manager_name})
    try:
        root_key = await root_key_for(
            manager_name, manager, wanted.root_key, found.name, wanted.storage or found.storage
        )
        with telling_of(root_key if wanted.root_key is None else None):
            at_home = replace(
                configuring,
                key_manager=manager_name,
                root_key=root_key,
                storage=wanted.storage or found.storage,
                hierarchy=wanted.hierarchy or found.hierarchy,
            )
            there = await administration.catalog.wrapping_key(found.identifier)
            wrapping_key = await _wrapping_key(administration, at_home) if there is None else None
            installed = after(at_home, StatusEvent.READY)
            await changed(
                administration,
                "instance.configure",
                configuring,
                installed,
                _home_detail(installed),
                wrapping_keys=(wrapping_key,) if wrapping_key is not None else (),
            )
            return installed
    except BaseException as error:
        await _left_inactive(administration, configuring, error)
        raise


async def _fitting(administration: "Administration", found: Instance, wanted: Wanted) -> Wanted:
    """What is wanted, filled up; raises :class:`Refused` where the instance's keys are wrapped by something else."""
    if found.former is not None:
        raise WrongStatus(
            f"the keys of instance {found.name!r} are moving to root key {found.root_key} of {found.key_manager!r}; "
            f"finish that first: keyrack instance change-root-key {found.name} --root-key {found.root_key}"
        )
    # An instance that never came to serve, or lost all, may go elsewhere; what is wrapped stays with its root key.
    has_keys = await administration.catalog.count(found.identifier) > 0
    if not found.root_key or not (has_keys or await administration.catalog.wrapping_key(found.identifier)):
        return wanted
    same = replace(
        wanted,
        key_manager=wanted.key_manager or found.key_manager,
        root_key=wanted.root_key or found.root_key,
        storage=wanted.storage or found.storage,
        hierarchy=wanted.hierarchy or found.hierarchy,
    )
    if (same.key_manager, same.root_key) != (found.key_manager, found.root_key):
        raise Refused(
            f"the keys of instance {found.name!r} are wrapped by root key {found.root_key} of {found.key_manager!r}; "
            f"activate it, then move them: keyrack instance change-root-key {found.name} --root-key ID",
            field="root_key",
        )
    if (same.storage, same.hierarchy) != (found.storage, found.hierarchy):
        raise Refused(
            f"instance {found.name!r} has keys, which are kept as they are; activate it, then change their storage: "
            f"keyrack instance storage set {found.name} key_manager|catalog",
            field="storage",
        )
    return same


async def _left_inactive(administration: "Administration", configuring: Instance, error: BaseException) -> None:
    """The instance is Inactive with the reason; whatever else has happened to it meanwhile stands."""
    known = isinstance(error, Refused | KeyManagerFailed)
    told = str(error).splitlines()[0] if known and str(error) else "proving its root key was broken off"
    refused = after(configuring, StatusEvent.REFUSE, f"it could not be configured: {told}")
    with suppress(Conflict, CatalogUnavailable, Refused):
        await changed(
            administration, "instance.configure", configuring, refused, {"cause": told[:200]}, outcome="refused"
        )


def _key_manager(administration: "Administration", name: str | None) -> tuple[str, KeyManager]:
    managers = administration.key_managers
    known = ", ".join(managers)
    if name is None:
        if len(managers) != 1:
            raise Refused(
                f"there is more than one key manager ({known}); name one with --key-manager"
                if managers
                else "no key manager is configured here",
                field="key_manager",
            )
        name = next(iter(managers))
    manager = managers.get(name)
    if manager is None:
        raise Refused(f"no key manager {name!r} is configured; use one of: {known}", field="key_manager")
    return name, manager
