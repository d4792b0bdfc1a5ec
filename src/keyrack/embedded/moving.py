"""Moving root keys from one keeper to another: out of the software, into an HSM. No way leads back.

Each version is a step of its own: its material is taken in, proved, and then the database says where it is, in one
transaction. What a broken-off move has left in the target is found by the next one, or destroyed with the key. Nothing
is destroyed here: another move may have finished the same version meanwhile.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from keyrack.domain.secret import Secret, randomize
from keyrack.embedded.administration import require_administrator
from keyrack.embedded.call import Call
from keyrack.embedded.errors import Contradiction, KeyRootRequired, KeystoreDamaged, UnprocessableCiphertext
from keyrack.embedded.house import House
from keyrack.embedded.keys import Key, KeyVersion
from keyrack.embedded.root_keys.port import Keeper, VersionName

MOVE = "root-key.move"
"""What the journal calls the move of one version."""
PAGE = 200
_PROBE = 32
_BOUND = b"move"


@runtime_checkable
class Giving(Protocol):
    """A keeper that can give its material away; no HSM does."""

    def material(self, version: VersionName, kept: bytes) -> Secret:
        """The material in clear, which the caller wipes; raises :class:`KeystoreDamaged`."""
        ...


@dataclass(frozen=True, slots=True)
class NotMoved:
    """A version that stays where it is, and why."""

    key: str
    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move has done."""

    versions: int
    """How many went over."""
    there: int
    """How many were in the target already, or are gone."""
    not_moved: tuple[NotMoved, ...] = ()


def move_versions(
    house: House,
    call: Call,
    target_keeper_name: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    key: str | None = None,
) -> Moved:
    """Move every version of the root key, or of all root keys of all instances, to the keeper of this name.

    Deleted keys go along while they are there. ``progress`` is told how many versions are done, of how many. Broken
    off at any point, it goes on when it is called again; called twice, it does nothing more. A version whose material
    is damaged, or that the target cannot work with, stays where it is, works as before, and is told in the answer.
    Only an administrator may do it. Raises :class:`Contradiction` where a version lies in a keeper that gives nothing
    away, ``KeeperUnavailable`` where a keeper is missing or does not answer, and ``KeyNotFound``.
    """
    require_administrator(call.caller)
    target = house.keeper_of(target_keeper_name)
    target.probe()
    steps = list(_steps(house, call, key))
    away = [step for step in steps if step.keeper != target.name]
    for keeper in {step.keeper for step in away}:
        _giving(house, keeper, target)
    progress(0, len(away))
    moved, not_moved = 0, []
    for done, step in enumerate(away, 1):
        try:
            moved += _move(house, call, step, target)
        except (KeystoreDamaged, UnprocessableCiphertext) as error:
            not_moved.append(NotMoved(step.name.key, step.name.version, str(error)))
        progress(done, len(away))
    return Moved(moved, len(steps) - moved - len(not_moved), tuple(not_moved))


@dataclass(frozen=True, slots=True)
class _Step:
    name: VersionName
    keeper: str


def _steps(house: House, call: Call, key: str | None) -> Iterator[_Step]:
    for each in _root_keys(house, call, key):
        for version in each.versions:
            yield _Step(each.version_name(version), version.keeper)


def _root_keys(house: House, call: Call, name: str | None) -> Iterator[Key]:
    if name is not None:
        with house.reading() as reading:
            key = reading.key(call.instance, name)
        if key.extractable:
            raise KeyRootRequired(f"The key {key.identifier} is a standard key: only root keys lie in a keeper")
        yield key
        return
    after = ""
    while True:
        with house.reading() as reading:
            page = reading.select("extractable = 0 AND id > ?", (after,), limit=PAGE)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].identifier


def _move(house: House, call: Call, step: _Step, target: Keeper) -> bool:
    """Whether the version went over now; not so when it is there already, or gone with its key."""
    with house.reading() as reading:
        version = _found(reading.select("id = ?", (step.name.key,)), step)
    if version is None or version.keeper == target.name:
        return False
    source = house.keeper_of(version.keeper)
    with _giving(house, version.keeper, target).material(step.name, version.kept) as material:
        kept = target.take(step.name, material)
    after = replace(version, keeper=target.name, kept=kept)
    _prove(step.name, source, version.kept, target, kept)
    _prove(step.name, target, kept, source, version.kept)
    if not _written(house, call, step, version, after):
        return False
    source.destroy(step.name, version.kept)
    return True


def _written(house: House, call: Call, step: _Step, before: KeyVersion, after: KeyVersion) -> bool:
    with house.database.change() as unit:
        keys = unit.select("id = ?", (step.name.key,))
        if _found(keys, step) == before:
            versions = tuple(after if each == before else each for each in keys[0].versions)
            unit.put_key(replace(keys[0], versions=versions))
            told = {"version": step.name.version, "from": before.keeper, "to": after.keeper}
            unit.note(house.entry(replace(call, instance=step.name.instance), MOVE, step.name.key, **told))
            return True
    if not keys:
        # Purged meanwhile, and nobody will ask for it again.
        house.keeper_of(after.keeper).destroy(step.name, after.kept)
    return False


def _found(keys: list[Key], step: _Step) -> KeyVersion | None:
    versions = keys[0].versions if keys else ()
    return next((each for each in versions if each.identifier == step.name.version), None)


def _giving(house: House, name: str, target: Keeper) -> Giving:
    keeper = house.keeper_of(name)
    if not isinstance(keeper, Giving):
        raise Contradiction(
            f"Root keys cannot move from {name!r} to {target.name!r}: what was made in an HSM, or taken into it, never "
            "leaves it. Make a new root key there, and let it wrap what the old one has wrapped"
        )
    return keeper


def _prove(name: VersionName, one: Keeper, kept_by_one: bytes, other: Keeper, kept_by_other: bytes) -> None:
    """Return when what one keeper enciphers the other deciphers; raises :class:`UnprocessableCiphertext`."""
    probe = bytearray(_PROBE)
    randomize(probe)
    with Secret(probe) as secret:
        enciphered = one.encipher(name, kept_by_one, secret, _BOUND)
        try:
            with other.decipher(name, kept_by_other, enciphered, _BOUND) as back:
                same = back.matches(secret)
        except UnprocessableCiphertext:
            same = False
    if not same:
        raise UnprocessableCiphertext(
            f"what {one.name!r} enciphers with this material, {other.name!r} does not decipher: a move needs an HSM "
            "that does AES-GCM with a nonce and associated data of the caller's, and 'mechanism' must let it"
        )
