"""The attributes of instance policies: which type has which, of which form."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keyrack.embedded.errors import BadBody, InvalidField
from keyrack.embedded.instances import PolicyType

Attributes = Mapping[str, Any]
"""As they came, JSON values; :func:`checked` gives them back with the types that a policy has."""
Checked = Mapping[str, bool | int | str | list[str]]
NETWORKS = ("public-and-private", "private-only")
MOST_NETWORKS = 500
"""Of one instance: they are looked through at each of its requests."""
FEWEST_MONTHS, MOST_MONTHS = 1, 12
_CIDR = re.compile(r"[0-9A-Fa-f.:]+/[0-9]{1,3}")


@dataclass(frozen=True, slots=True)
class _Attribute:
    kind: type
    """Of the JSON value."""
    check: Callable[[Any], None] = lambda value: None
    """Raises :class:`InvalidField`."""
    default: bool | None = None
    """``None``: it must be given."""


def require_months(months: int) -> None:
    """Return when a rotation's interval has 1 to 12 months; raises :class:`InvalidField`."""
    if not FEWEST_MONTHS <= months <= MOST_MONTHS:
        raise _invalid("interval_month", f"an integer between {FEWEST_MONTHS} and {MOST_MONTHS} (inclusive)")


def checked(kind: PolicyType, enabled: bool, attributes: Attributes) -> Checked:
    """The attributes of an instance policy, with the defaults; none of one that is disabled.

    Raises :class:`BadBody` where they do not belong to the type, and :class:`InvalidField` for a value.
    """
    known = _ATTRIBUTES[kind]
    for name in attributes:
        if name not in known or not enabled:
            raise _bad(f'json: unknown field "{name}"' if name not in known else _ONLY_ENABLED)
    if not enabled or not known:
        return {}
    if not attributes:
        raise _bad(f"the policy {kind} is enabled with the attributes {', '.join(known)}")
    return {name: _value(name, attribute, attributes) for name, attribute in known.items()}


_ONLY_ENABLED = "attributes are given with a policy that is enabled only"


def _value(name: str, attribute: _Attribute, attributes: Attributes) -> Any:
    if name not in attributes and attribute.default is not None:
        return attribute.default
    value = attributes.get(name)
    # In Python True is a number, and in JSON it is not.
    if type(value) is not attribute.kind:
        raise _bad(f'json: the field "{name}" misses, or is of another type')
    attribute.check(value)
    return value


def _check_network_name(name: str) -> None:
    if name not in NETWORKS:
        raise _invalid("allowed_network", f"one of {', '.join(NETWORKS)}")


def _check_networks(networks: list[Any]) -> None:
    if not 1 <= len(networks) <= MOST_NETWORKS:
        raise _invalid("allowed_ip", f"a list of 1 to {MOST_NETWORKS} subnets")
    for each in networks:
        if type(each) is not str:
            raise _bad('json: the field "allowed_ip" is a list of strings')
        if not _is_subnet(each):
            shown = each[:50]
            raise _invalid("allowed_ip", f"IPv4 or IPv6 subnets in CIDR notation like 192.0.2.0/24, and not {shown!r}")


def _is_subnet(text: str) -> bool:
    # Python would also take a netmask, a zone, and an address alone.
    if _CIDR.fullmatch(text) is None:
        return False
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _bad(why: str) -> BadBody:
    return BadBody(
        "Invalid body data was passed. Please ensure the data passed had valid formatting with no invalid characters: "
        + why
    )


def _invalid(field: str, form: str) -> InvalidField:
    return InvalidField(f"The field `{field}` must be: {form}", target=("field", field))


_ATTRIBUTES: Mapping[PolicyType, Mapping[str, _Attribute]] = {
    PolicyType.ALLOWED_NETWORK: {"allowed_network": _Attribute(str, _check_network_name)},
    PolicyType.DUAL_AUTH_DELETE: {},
    PolicyType.ALLOWED_IP: {"allowed_ip": _Attribute(list, _check_networks)},
    PolicyType.KEY_CREATE_IMPORT_ACCESS: {
        "create_root_key": _Attribute(bool, default=True),
        "create_standard_key": _Attribute(bool, default=True),
        "import_root_key": _Attribute(bool, default=True),
        "import_standard_key": _Attribute(bool, default=True),
        "enforce_token": _Attribute(bool, default=False),
    },
    PolicyType.METRICS: {},
    PolicyType.ROTATION: {"interval_month": _Attribute(int, require_months)},
}
"""Every type of instance policy is here."""
