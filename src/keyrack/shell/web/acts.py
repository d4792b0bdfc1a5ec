"""Acts that need a key manager: done in a serving process, in the name of a person who asked the web process.

Each is one function over the same use cases as the command line's. A new one goes into :data:`ACTS`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from keyrack.domain.instances import Hierarchy, Storage
from keyrack.domain.rights import EVERYWHERE, Right
from keyrack.service.office import installing
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import Unusable

Arguments = Mapping[str, Any]
"""What the web process has sent, as JSON has it. It was a model's there; here it is looked at again."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act."""

    right: Right
    """Asked for before anything else; the use case asks again."""
    do: Callable[[Administration, Arguments], Awaitable[Mapping[str, Any]]]
    instance: str = ""
    """The argument that names the instance which the right is for; empty: the right is for everywhere."""


async def _create(administration: Administration, arguments: Arguments) -> Mapping[str, Any]:
    """``name`` and ``description``, and the home: ``key_manager``, ``root_key``, ``storage``, ``hierarchy``."""
    made = await installing.create(
        administration,
        text_or_none(arguments, "name"),
        _wanted(arguments),
        description=text_or_none(arguments, "description") or "",
    )
    return {"instance": made.identifier}


async def _configure(administration: Administration, arguments: Arguments) -> Mapping[str, Any]:
    """``instance``, and the home as in :func:`_create`."""
    configured = await installing.configure(administration, text(arguments, "instance"), _wanted(arguments))
    return {"instance": configured.identifier}


ACTS: Final[Mapping[str, Act]] = {
    "instance.create": Act(Right.INSTANCE_CREATE, _create),
    "instance.configure": Act(Right.INSTANCE_CHANGE, _configure, instance="instance"),
}


async def perform(administration: Administration, name: str, arguments: Arguments) -> Mapping[str, Any]:
    """Do one of :data:`ACTS`; raises what its use case raises, and ``Unusable`` for what is none of them."""
    act = ACTS.get(name)
    if act is None:
        raise Unusable(f"there is no act {name!r} that a serving process does")
    where = EVERYWHERE
    if act.instance:
        where = (await administration.instance(text(arguments, act.instance))).identifier
    administration.require(act.right, where)
    return await act.do(administration, arguments)


def text(arguments: Arguments, name: str) -> str:
    """An argument that must be there."""
    value = text_or_none(arguments, name)
    if value is None:
        raise Unusable(f"{name} is missing", field=name)
    return value


def text_or_none(arguments: Arguments, name: str) -> str | None:
    """An argument that may be missing."""
    value = arguments.get(name)
    if value is not None and not isinstance(value, str):
        raise Unusable(f"{name} is not text", field=name)
    return value


def _wanted(arguments: Arguments) -> installing.Wanted:
    storage, hierarchy = text_or_none(arguments, "storage"), text_or_none(arguments, "hierarchy")
    try:
        return installing.Wanted(
            key_manager=text_or_none(arguments, "key_manager"),
            root_key=text_or_none(arguments, "root_key"),
            storage=Storage(storage) if storage is not None else None,
            hierarchy=Hierarchy(hierarchy) if hierarchy is not None else None,
        )
    except ValueError as error:
        raise Unusable(str(error)) from None
