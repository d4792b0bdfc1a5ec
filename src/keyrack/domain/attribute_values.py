"""Which values an attribute may take: the rules that the table of attributes cannot say (KMIP 1.4, 3).

- ``accept(name, value, version) -> value``: a client's value as it is kept; raises where it makes no sense.
- ``sayable(value, version)``: whether a client of this protocol version can be told the value.
- ``check_order(attributes)``: the dates of an object against each other.
- ``check_changeable(managed, name, now)``: what depends on the object's state or on time.
- ``check_name(value, held, taken, refusal)``: a Name is one object's alone.
- ``companions(name, value, attributes) -> dict``: what the server sets along with Sensitive and Extractable.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Any, Final

from keyrack.domain.errors import (
    ApplicationNamespaceNotSupported,
    InvalidField,
    KmipError,
    PermissionDenied,
    WrongState,
)
from keyrack.domain.objects import Attributes, Indexed, ManagedObject
from keyrack.spec.enumerations import State
from keyrack.spec.structures import ApplicationSpecificInformation, Name, UsageLimits
from keyrack.spec.versions import V1_0, ProtocolVersion
from keyrack.spec.word import Word


def _name(value: Name) -> Name:
    if not value.name_value:
        raise InvalidField("a Name Value is not empty")
    return value


def _application(value: ApplicationSpecificInformation) -> ApplicationSpecificInformation:
    if value.application_data is None:
        raise ApplicationNamespaceNotSupported("the server makes no Application Data: send it with the namespace")
    return value


def _limits(value: UsageLimits) -> UsageLimits:
    """With the count that the server keeps: all of the total is left (KMIP 1.4, 3.21)."""
    if value.usage_limits_total < 0:
        raise InvalidField("a Usage Limits Total is not negative")
    if value.usage_limits_count not in (None, value.usage_limits_total):
        raise InvalidField("the Usage Limits Count is kept by the server: leave it out")
    return replace(value, usage_limits_count=value.usage_limits_total)


def _length(value: int) -> int:
    if value <= 0:
        raise InvalidField("a Cryptographic Length is a number of bits greater than 0")
    return value


ACCEPT: Final[Mapping[str, Callable[[Any], Any]]] = {
    "Name": _name,
    "Application Specific Information": _application,
    "Usage Limits": _limits,
    "Cryptographic Length": _length,
}


def accept(name: str, value: Any, version: ProtocolVersion) -> Any:
    """The value that is kept where a client of ``version`` sends ``value``.

    Raises :class:`InvalidField`, also for a word that the version does not have, or
    :class:`ApplicationNamespaceNotSupported` for Application Specific Information without Application Data
    (KMIP 1.4, 11.15).
    """
    if _newest(value) > version:
        raise InvalidField(f"the value of an attribute names what KMIP {version} does not have")
    rule = ACCEPT.get(name)
    return rule(value) if rule else value


def sayable(value: Any, version: ProtocolVersion) -> bool:
    """Whether ``version`` has words for the value; a structure's optional fields may be left unsaid, others not."""
    return _newest(value, optional=False) <= version


def _newest(value: Any, *, optional: bool = True) -> ProtocolVersion:
    """The first version that has all words of a value, or all but those in optional fields."""
    if isinstance(value, Word):
        return value.since
    if not is_dataclass(value) or isinstance(value, type):
        return V1_0
    counted = (getattr(value, each.name) for each in fields(value) if optional or each.default is MISSING)
    return max((_newest(each) for each in counted), default=V1_0)


ORDER: Final = (
    ("Activation Date", "Process Start Date"),
    ("Activation Date", "Deactivation Date"),
    ("Protect Stop Date", "Deactivation Date"),
    ("Process Start Date", "Deactivation Date"),
)
"""Pairs of dates of which the first is not later than the second (KMIP 1.4, 3.24 to 3.27).

Process Start Date and Protect Stop Date are free against each other: the profiles' own cases cross them.
"""


def check_order(attributes: Attributes) -> None:
    """The dates of one object against each other; raises :class:`InvalidField`."""
    for earlier, later in ORDER:
        first, second = attributes.get(earlier), attributes.get(later)
        if first and second and first[0].value > second[0].value:
            raise InvalidField(f"the {earlier} is later than the {later}")


UNTIL_ACTIVE: Final = frozenset({State.PRE_ACTIVE})
UNTIL_OVER: Final = frozenset({State.PRE_ACTIVE, State.ACTIVE})

DATES: Final[Mapping[str, tuple[frozenset[State], bool]]] = {
    "Activation Date": (UNTIL_ACTIVE, False),
    "Process Start Date": (UNTIL_OVER, True),
    "Protect Stop Date": (UNTIL_OVER, True),
    "Deactivation Date": (UNTIL_OVER, False),
}
"""In which states a client may set a date, and whether only until the old one has been reached (3.24 to 3.27)."""


def check_changeable(managed: ManagedObject, name: str, now: int) -> None:
    """Whether state and time still allow a change of this attribute.

    Raises :class:`WrongState` for dates, :class:`PermissionDenied` for Usage Limits of which something was allocated.
    """
    if name in DATES:
        states, unreached = DATES[name]
        if managed.state not in states:
            raise WrongState(f"the object is {managed.state.title}: its {name} can no longer be set")
        held = managed.value(name)
        if unreached and held is not None and held <= now:
            raise WrongState(f"the {name} has been reached: it can no longer be changed")
    if name == "Usage Limits":
        limits: UsageLimits | None = managed.value(name)
        if limits is not None and limits.usage_limits_count not in (None, limits.usage_limits_total):
            raise PermissionDenied("some of the Usage Limits has been allocated: they can no longer be changed")


def check_name(value: Name, held: Collection[Indexed], taken: Collection[str], refusal: type[KmipError]) -> None:
    """That no other object, and no other instance of this object's Name, has the Name Value (KMIP 1.4, 3.2).

    ``taken`` are the Name Values that other objects have; ``refusal`` is Invalid Field for a new object and Illegal
    Operation for an existing one (KMIP 1.4, 11.2 and 11.15).
    """
    if value.name_value in taken or any(each.value.name_value == value.name_value for each in held):
        raise refusal("another object has this Name already; a Name is unique")


def companions(name: str, value: Any, attributes: Attributes) -> dict[str, Any]:
    """What the server sets along with Sensitive and Extractable (KMIP 1.4, 3.49, 3.51): once broken, for ever."""
    if name == "Sensitive":
        held = attributes.get("Always Sensitive")
        return {"Always Sensitive": bool(value) and (held is None or held[0].value)}
    if name == "Extractable":
        held = attributes.get("Never Extractable")
        return {"Never Extractable": not value and (held is None or held[0].value)}
    return {}
