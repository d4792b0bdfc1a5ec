"""Material of purged root keys that is still to be destroyed.

A purge writes down which material it condemns in the same transaction that forgets the key; then the keepers destroy
it, and then the list forgets it. The other order would destroy the material of a key that is still there when the
transaction fails, and without the list a crash would leave material in an HSM that nobody knows of any more.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from keyrack.domain.secret import Secret
from keyrack.embedded.call import KEYRACK, Call
from keyrack.embedded.errors import KeystoreError
from keyrack.embedded.house import House
from keyrack.embedded.keys import Key
from keyrack.embedded.root_keys.port import VersionName
from keyrack.embedded.root_keys.sealing import Sealing
from keyrack.embedded.store.codec import decode, encode
from keyrack.embedded.store.reading import Reading
from keyrack.embedded.store.unit import Unit

LIST = "condemned material"
"""The name of the sealed value, and the purpose of the key that seals it.

An older list that somebody puts back does no harm: what it names belongs to keys that are gone for ever.
"""
DESTROYED = "root-key.destroy-material"
"""What the journal calls the end of a purge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condemned:
    """A version of a root key that was purged."""

    instance: str
    key: str
    version: str
    keeper: str
    kept: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Condemned:
    versions: tuple[Condemned, ...] = ()


def condemn(house: House, unit: Unit, key: Key) -> None:
    """Write down that the material of every version of this key is to be destroyed."""
    mine = tuple(
        Condemned(
            instance=key.instance, key=key.identifier, version=each.identifier, keeper=each.keeper, kept=each.kept
        )
        for each in key.versions
    )
    if mine:
        _write(house, unit, (*condemned(house, unit), *mine))


def condemned(house: House, reading: Reading) -> tuple[Condemned, ...]:
    """What is still to be destroyed; raises ``KeystoreDamaged`` where the list was changed."""
    sealed = reading.sealed_value(LIST)
    if sealed is None:
        return ()
    with _sealing(house).open(sealed, LIST) as text:
        return decode(_Condemned, text.reveal().decode()).versions


def carry_out(house: House) -> tuple[Condemned, ...]:
    """Destroy what is condemned; what could not be destroyed now, because its keeper does not answer.

    Two processes may do it at once.
    """
    with house.reading() as reading:
        found = condemned(house, reading)
    gone = {each for each in found if _destroyed(house, each)}
    if gone:
        with house.database.change() as unit:
            left = condemned(house, unit)
            _write(house, unit, (each for each in left if each not in gone))
            for key, instance in {(each.key, each.instance): None for each in left if each in gone}:
                unit.note(house.entry(Call(caller=KEYRACK, instance=instance), DESTROYED, key))
    return tuple(each for each in found if each not in gone)


def _destroyed(house: House, version: Condemned) -> bool:
    name = VersionName(version.instance, version.key, version.version)
    try:
        house.keeper_of(version.keeper).destroy(name, version.kept)
        # A move that was broken off may have left the material in another keeper, too.
        for keeper in house.keepers.values():
            if keeper.name != version.keeper:
                keeper.destroy(name, b"")
    except KeystoreError:
        return False
    return True


def _write(house: House, unit: Unit, versions: Iterable[Condemned]) -> None:
    text = encode(_Condemned(versions=tuple(versions)))
    with Secret(bytearray(text, "utf-8")) as secret:
        unit.put_sealed_value(LIST, _sealing(house).seal(secret, LIST))


def _sealing(house: House) -> Sealing:
    with house.keystore.derived(LIST) as key:
        return Sealing(key)
