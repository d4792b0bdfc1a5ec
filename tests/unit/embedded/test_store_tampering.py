"""A bit of the database flips, wherever it lies: what is read is right, or refused; it is never wrong.

Ten thousand bits in the long form: ``pytest -m slow tests/unit/embedded/test_store_tampering.py``.
"""

import logging
import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from keyrack.domain.journal_chain import link
from keyrack.domain.secret import Secret
from keyrack.embedded import aliases, creation, import_tokens, lifecycle, lookup, policies
from keyrack.embedded.actions import unwrap, wrap
from keyrack.embedded.call import KEYRACK, Call
from keyrack.embedded.creation import NewKey
from keyrack.embedded.destruction import condemn, condemned
from keyrack.embedded.errors import KeystoreDamaged, KeystoreError, Refusal
from keyrack.embedded.house import House
from keyrack.embedded.iam.records import ServiceId
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.iam.signing import make_first
from keyrack.embedded.iam.tokens import public_keys
from keyrack.embedded.instances import KeyManagerInstance, PolicyType
from keyrack.embedded.keys import Key, RotationPolicy
from keyrack.embedded.lookup import Query
from keyrack.embedded.store.database import database_path
from keyrack.embedded.store.reading import Reading
from keyrack.embedded.store.unit import EMPTY
from keyrack.testing.key_houses import INSTANCE, OTHER_INSTANCE, a_call, a_caller, a_house, an_instance, opened_again

_log = logging.getLogger(__name__)
Question = Callable[[House], Any]
Refused = (Refusal, KeystoreError, sqlite3.Error)
QUIET = replace(a_call(KEYRACK), journaled=False)
AAD = ("bound to", "this")


@dataclass(frozen=True)
class Whole:
    """A key manager as it was left, and all that can be asked of it."""

    closed: Path
    """After an orderly end: all is in the database."""
    crashed: Path
    """After a crash: the write-ahead log has half of it."""
    answers: Mapping[str, tuple[Question, Any]]
    lists: Mapping[str, tuple[Question, set[Any], set[Any]]]
    """Lists, each with all that may be in it. A list may be short, and a search may find another key: that is no
    secret and no plaintext. What is listed is true."""


def _files(directory: Path) -> list[Path]:
    database = database_path(directory / "keystore")
    log = database.with_name(f"{database.name}-wal")
    return [database, log] if log.exists() else [database]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Thirty keys of all kinds, in two instances and three key rings."""
    directory = tmp_path_factory.mktemp("whole")
    live = directory / "live"
    live.mkdir()
    house = a_house(live, rotate=0, state_change=0)
    an_instance(house, rings=("first", "second"))
    an_instance(house, OTHER_INSTANCE)
    make_first(house)
    sent = [_fill(house, 0)]
    house.close()
    house = opened_again(live, rotate=0, state_change=0)
    sent.append(_fill(house, 1))
    shutil.copytree(live, directory / "crashed", ignore=shutil.ignore_patterns("*-shm"))
    answers, lists = _answers(house, [each for some in sent for each in some]), _lists(house)
    house.close()
    live.rename(directory / "closed")
    kept = Whole(directory / "closed", directory / "crashed", answers, lists)
    assert [1, 2] == [len(_files(each)) for each in (kept.closed, kept.crashed)]
    return kept


def _fill(house: House, half: int) -> list[tuple[Key, bytes]]:
    """Keys, with a ciphertext of each root key's first version."""
    wrapped = []
    for number in range(half * 15, half * 15 + 15):
        call = a_call(instance=OTHER_INSTANCE if number % 5 == 4 else INSTANCE)
        if number % 5 != 4:
            call = replace(call, ring=[None, "first", "second"][number % 3])
        wanted = NewKey(
            name=f"key number {number}",
            extractable=number % 2 == 0,
            description="of a test" if number % 3 else "",
            tags=["a tag"],
            aliases=[f"alias-{number}"] if number % 3 else [],
            payload=Secret(bytearray(os.urandom(32))) if number % 4 < 2 else None,
            expires_at=house.now + 10**6 if number % 7 == 0 else None,
        )
        key = creation.create(house, call, wanted)
        if key.extractable:
            continue
        with Secret(bytearray(b"%032d" % number)) as plaintext:
            wrapped.append((key, wrap(house, call, key.identifier, plaintext, AAD).ciphertext))
        if not key.imported and number % 3 == 0:
            lifecycle.rotate(house, call, key.identifier)
            policies.set_key_policies(house, call, key.identifier, rotation=RotationPolicy(enabled=True, months=3))
        if number % 10 == 9:
            lifecycle.disable(house, call, key.identifier)
            lifecycle.enable(house, call, key.identifier)
    gone = creation.create(house, a_call(), NewKey(name="deleted", extractable=False))
    lifecycle.delete(house, a_call(), gone.identifier)
    disabled = creation.create(house, a_call(), NewKey(name="disabled", extractable=False))
    aliases.create_alias(house, a_call(), disabled.identifier, f"disabled-{half}")
    lifecycle.disable(house, a_call(), disabled.identifier)
    a_caller(house, Role.READER, Role.KEY_PURGE, ring="first")
    import_tokens.make(house, a_call(), 86_400, 5)
    policies.set_instance_policies(house, a_call(), {PolicyType.ROTATION: (True, {"interval_month": 2 + half})})
    with house.database.change() as unit:
        condemn(house, unit, gone)
    return wrapped


def _answers(house: House, wrapped: list[tuple[Key, bytes]]) -> dict[str, tuple[Question, Any]]:
    """Every question, and the right answer."""
    questions: dict[str, Question] = {
        "journal": _journal,
        "condemned": lambda house: _reading(house, partial(condemned, house)),
        "public keys": public_keys,
        "private key of the import token": _import_key,
    }
    with house.reading() as reading:
        keys = reading.select("1 = 1", ())
        service_ids = reading.service_ids()
    for instance in (INSTANCE, OTHER_INSTANCE):
        questions[f"instance {instance}"] = partial(_instance, instance)
    for service_id in service_ids:
        questions[service_id.identifier] = partial(_service_id, service_id.identifier)
        questions[f"owner {service_id.identifier}"] = partial(_owner, service_id.api_keys[0].hash)
    for key in keys:
        call = replace(QUIET, instance=key.instance)
        for name in (key.identifier, *(alias.name for alias in key.aliases)):
            questions[f"key {name}"] = partial(_key, call, name)
            questions[f"payload {name}"] = partial(_payload, call, name)
    for key, ciphertext in wrapped:
        call = replace(QUIET, instance=key.instance)
        questions[f"unwrap {key.identifier}"] = partial(_unwrapped, call, key.identifier, ciphertext)
    return {name: (question, question(house)) for name, question in questions.items()}


def _lists(house: House) -> dict[str, tuple[Question, set[Any], set[Any]]]:
    everything = Query.parse({"state": "0,1,2,3,5", "limit": "5000"})
    some = Query.parse({"search": "NUMBER 1"})
    keys = set(lookup.page(house, QUIET, everything).keys)
    names = {(key.identifier, key.name) for key in keys if key.extractable}
    told = {told for key in keys for told in (key.identifier, key.name)}
    questions: dict[str, tuple[Question, set[Any] | None]] = {
        "page": (lambda house: set(lookup.page(house, QUIET, everything).keys), keys),
        "search": (lambda house: set(lookup.page(house, QUIET, some).keys), keys),
        "names": (lambda house: set(lookup.standard_names(house, QUIET, "key", "", 100)), names),
        "withdrawn": (_withdrawn, told),
        "instances": (lambda house: {each.identifier for each in _reading(house, Reading.instances)}, None),
        "service ids": (lambda house: set(_reading(house, Reading.service_ids)), None),
    }
    asked = {name: (question, question(house), possible) for name, (question, possible) in questions.items()}
    return {name: (question, right, possible or right) for name, (question, right, possible) in asked.items()}


def _withdrawn(house: House) -> set[str]:
    told = _reading(house, lambda each: each.withdrawn(0))
    return {*told.root_keys, *told.standard_keys}


def _reading(house: House, ask: Callable[[Any], Any]) -> Any:
    with house.reading() as reading:
        return ask(reading)


def _instance(identifier: str, house: House) -> KeyManagerInstance:
    with house.reading() as reading:
        return reading.instance(identifier)


def _service_id(identifier: str, house: House) -> ServiceId:
    with house.reading() as reading:
        return _there(reading.service_id(identifier))


def _owner(hashed: bytes, house: House) -> ServiceId:
    with house.reading() as reading:
        return _there(reading.owner_of(hashed))


def _there(found: ServiceId | None) -> ServiceId:
    if found is None:
        raise KeystoreDamaged("it is not there any more")
    return found


def _key(call: Call, name: str, house: House) -> Key:
    return lookup.metadata(house, call, name)


def _payload(call: Call, name: str, house: House) -> bytes | None:
    _, payload = lookup.read(house, call, name)
    return None if payload is None else bytes(payload.reveal())


def _unwrapped(call: Call, name: str, ciphertext: bytes, house: House) -> tuple[bytes, str]:
    told = unwrap(house, call, name, ciphertext, AAD)
    return bytes(told.plaintext.reveal()), told.version


def _import_key(house: House) -> Any:
    with house.reading() as reading:
        token = reading.instance(INSTANCE).import_token
    assert token is not None
    return import_tokens._private_key(house, INSTANCE, token).private_numbers()


def _journal(house: House) -> list[str]:
    with house.reading() as reading:
        previous, texts = EMPTY.hash, []
        for line in reading.journal(limit=10_000):
            previous = link(previous, line.text)
            texts.append(line.text)
            if previous != line.hash:
                raise KeystoreDamaged("a record does not link")
        if (len(texts), previous) != (reading.journal_end.number, reading.journal_end.hash):
            raise KeystoreDamaged("the journal ends elsewhere")
    return texts


def _flip(directory: Path, chance: random.Random) -> str:
    """Flip one bit of a key manager's database; where it was."""
    files = _files(directory)
    bit = chance.randrange(8 * sum(path.stat().st_size for path in files))
    path = files[0]
    if bit >= 8 * path.stat().st_size:
        bit, path = bit - 8 * path.stat().st_size, files[1]
    with open(path, "r+b") as file:
        file.seek(bit // 8)
        (octet,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([octet ^ 1 << bit % 8]))
    return f"bit {bit % 8} of byte {bit // 8} of {path.name}"


def _asked(whole: Whole, directory: Path, place: str) -> str:
    """Ask everything of a key manager with a flipped bit; how it went."""
    try:
        house = opened_again(directory)
    except Refused:
        return "refused to open"
    refused, differs = False, False
    try:
        for name, (question, right) in whole.answers.items():
            try:
                told = question(house)
            except Refused:
                refused = True
            else:
                assert right == told, f"{name} is wrong after {place}"
        for name, (question, right, possible) in whole.lists.items():
            try:
                found = question(house)
            except Refused:
                refused = True
            else:
                assert found <= possible, f"the list of {name} is wrong after {place}"
                differs |= found != right
    finally:
        house.close()
    if differs:
        return "a list differs" if not refused else "refused something, and a list differs"
    return "refused something" if refused else "everything is right"


def _flip_many(whole: Whole, source: Path, directory: Path, number: int, seed: int) -> Counter[str]:
    chance, outcomes = random.Random(seed), Counter[str]()
    flipped = directory / "flipped"
    for _ in range(number):
        shutil.copytree(source, flipped)
        outcomes[_asked(whole, flipped, _flip(flipped, chance))] += 1
        shutil.rmtree(flipped)
    _log.info("%s: %s", source.name, dict(outcomes))
    return outcomes


@pytest.mark.parametrize("end", ["closed", "crashed"])
def test_nothing_is_refused_while_nothing_is_flipped(whole: Whole, tmp_path: Path, end: str) -> None:
    """The copy that the bits are flipped in is whole."""
    shutil.copytree(getattr(whole, end), tmp_path / "flipped")

    assert "everything is right" == _asked(whole, tmp_path / "flipped", "nothing")


@pytest.mark.parametrize(("end", "number"), [("closed", 350), ("crashed", 150)])
def test_a_flipped_bit_is_never_a_wrong_answer(whole: Whole, tmp_path: Path, end: str, number: int) -> None:
    """The short form; enough of them meet something that is read."""
    outcomes = _flip_many(whole, getattr(whole, end), tmp_path, number, 20_261_122)

    assert number == outcomes.total()
    assert outcomes["everything is right"] < 0.7 * number


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("end", "number"), [("closed", 8_000), ("crashed", 2_000)])
def test_ten_thousand_flipped_bits_are_never_a_wrong_answer(
    whole: Whole, tmp_path: Path, end: str, number: int
) -> None:
    """The long form, with other bits each time."""
    outcomes = _flip_many(whole, getattr(whole, end), tmp_path, number, random.SystemRandom().randrange(2**32))

    assert number == outcomes.total()
