"""Whose the wrapped keys are that a key manager holds, where their instances are at home, and which copy counts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from keyrack.domain.instances import Home
from keyrack.service.copies.copies import Copy
from keyrack.service.copies.recovered import is_wrapping_key

Copies = Mapping[str, Sequence[Copy]]
"""The copies of each object, by its Unique Identifier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """Copies by whose they are."""

    own: Mapping[str, Copies]
    """This deployment's, by instance and object."""
    foreign: Mapping[tuple[str, str], Copies]
    """Those of others, by deployment and instance, and object."""
    other: Sequence[Copy] = ()
    """What is not a wrapped key of Keyrack at all."""


def sort(copies: Iterable[Copy], deployment: str) -> Sorted:
    """Sort by what the copies say of themselves; nothing of it is checked yet."""
    found: dict[tuple[str, str], dict[str, list[Copy]]] = {}
    other = []
    for copy in copies:
        if copy.blob is None:
            other.append(copy)
            continue
        header = copy.blob.header
        owner = found.setdefault((header.deployment, header.instance), {})
        owner.setdefault(copy.unique_identifier, []).append(copy)
    return Sorted(
        own={instance: held for (whose, instance), held in found.items() if whose == deployment},
        foreign={owner: held for owner, held in found.items() if owner[0] != deployment},
        other=other,
    )


def home_of(copy: Copy) -> Home | None:
    """The home that a wrapped key names itself; ``None`` for one that lies under a wrapping key."""
    blob = copy.wrapped
    return None if blob.header.two_level else Home(copy.label.key_manager, blob.header.root_key)


@dataclass(frozen=True, slots=True)
class Homes:
    """Where an instance is at home, and where some of its keys come from."""

    home: Home
    former: Home | None = None
    others: Sequence[Home] = field(default=())
    """Homes of still other keys, which such an instance cannot open."""


class Undecided(Exception):
    """As many keys are wrapped at one home as at another; the text names them."""


def homes(copies: Copies, usable: Iterable[Home]) -> Homes:
    """Where most of the keys are wrapped, and where the next most are: an instance that moved may have been cut off.

    A home whose root key is not ``usable`` yields to one whose is. Raises :class:`Undecided`.
    """
    there = set(usable)
    named = [{home_of(copy) for copy in held} - {None} for held in copies.values()]
    counts = Counter(home for found in named for home in found if home is not None)
    ranked = sorted(counts, key=lambda home: (home in there, counts[home]), reverse=True)
    if not ranked:
        raise Undecided("its keys lie under a wrapping key, and no copy of that one was found")
    if len(ranked) > 1 and (ranked[0] in there, counts[ranked[0]]) == (ranked[1] in there, counts[ranked[1]]):
        told = " and ".join(f"{home.root_key} of {home.key_manager}" for home in ranked[:2])
        raise Undecided(f"as many of its keys are wrapped by one root key as by another ({told})")
    return Homes(ranked[0], ranked[1] if len(ranked) > 1 else None, ranked[2:])


def wrapping_key_of(copies: Copies) -> str | None:
    """The wrapping key that most of the keys lie under, or that is there alone; ``None`` for a direct instance."""
    under = Counter(blob.header.root_key for held in copies.values() if (blob := held[0].wrapped).header.two_level)
    for unique_identifier, held in copies.items():
        if is_wrapping_key(held[0].wrapped):
            under[unique_identifier] += 0
    return max(under, key=lambda unique_identifier: under[unique_identifier], default=None)


def ranked(copies: Iterable[Copy], homes: Sequence[Home], newest: Mapping[Home, str]) -> Sequence[Copy]:
    """The copies of one object, the one that counts first: at home, and wrapped by the newest version of its root key.

    ``newest`` tells that version, as far as it is known. The others follow, for the case that the first is spoilt.
    """

    def rank(copy: Copy) -> tuple[int, int, bool]:
        blob, home = copy.wrapped, home_of(copy)
        if home is None:
            managers = [each.key_manager for each in homes]
            manager = copy.label.key_manager
            return -blob.header.context.key_version, managers.index(manager) if manager in managers else 9, False
        at = homes.index(home) if home in homes else 9
        return -blob.header.context.key_version, at, newest.get(home) != blob.wrapped_by

    return sorted(copies, key=rank)


def born(copies: Sequence[Copy]) -> int:
    """When the object of these copies was made, in seconds since 1970."""
    return copies[0].wrapped.header.context.created_at
