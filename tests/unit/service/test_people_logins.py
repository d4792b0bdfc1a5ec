"""Log-ins: by password, proved again, ended; what is refused looks alike; guessing is slow."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.domain.people import PERSON_PATIENCE, Attempts
from keyrack.domain.rights import Grant, Right, Role
from keyrack.domain.secret import Secret
from keyrack.ports.catalog import Unit
from keyrack.ports.people import PeopleChanges
from keyrack.service.office.refusals import (
    Forbidden,
    NotRecognised,
    NotThere,
    ProofNeeded,
    TooManyAttempts,
    Unauthenticated,
    Unusable,
)
from keyrack.service.people import letting_in, logins, persons, tokens
from keyrack.service.people.door import caller_of_token
from keyrack.service.people.passwords import AT_ONCE, COST, WAITING, Cost, Passwords, check, normal
from keyrack.service.people.throttle import place_of
from keyrack.testing.catalogs import catalog_at, pages, rows
from keyrack.testing.people import ADDRESS, CHEAP, PASSWORD, House


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    catalog = await catalog_at(tmp_path / "catalog.db", "test")
    house = House(catalog)
    await house.person("anna", Grant(Role.SECURITY_OFFICER), Grant(Role.ADMINISTRATOR))
    yield house
    await catalog.close()


async def test_a_log_in_has_the_rights_of_its_person(house: House) -> None:
    begun = await house.log_in(" Anna ")

    who = await caller_of_token(house.catalog, begun.token, now=house.now, address=ADDRESS)

    assert tokens.is_session(begun.token)
    assert (who.initiator, who.address) == ("person-anna", ADDRESS)
    assert who.grants.allow(Right.KEY_DESTROY)
    assert begun.token not in repr(begun)
    assert any('"session.begin"' in text and "person-anna" in text for text in await house.journal())


async def test_nothing_in_the_catalog_lets_anybody_in(house: House, tmp_path: Path) -> None:
    """Neither a token nor a password is in any page of the database."""
    begun = await house.log_in("anna")
    await house.catalog.commit(Unit(entries=()))

    kept = pages(tmp_path / "catalog.db")

    assert b"$argon2id$v=19$" in kept
    assert begun.token.encode() not in kept
    assert begun.token[4:].encode() not in kept
    assert PASSWORD.encode() not in kept


@pytest.mark.parametrize("name", ["anna", "nobody", "disabled", "invited", "foreign"])
async def test_every_wrong_log_in_is_answered_alike(house: House, name: str) -> None:
    """Wrong password, unknown, locked out by an administrator, no password yet, another's issuer."""
    office = house.at_machine()
    await house.person("disabled")
    await persons.disable(office, house.catalog, await persons.person(office, house.catalog, "disabled"))
    await persons.add(office, house.catalog, "invited")
    await persons.add(office, house.catalog, "foreign@x", source="https://id.example.com", subject="1")
    compared = house.passwords.computed

    password = "another word entirely" if name == "anna" else PASSWORD
    with pytest.raises(NotRecognised) as refused:
        await house.log_in(name if name != "foreign" else "foreign@x", password)

    assert str(refused.value) == "name and password do not belong together; check both; an administrator can reset them"
    assert house.passwords.computed == compared + 1
    assert '"session.refused"' in (await house.journal())[-1]


async def test_what_nobody_is_called_is_not_kept(house: House) -> None:
    """Somebody types the password into the wrong field."""
    with pytest.raises(NotRecognised):
        await house.log_in("my secret passphrase", "x")

    assert not any("passphrase" in text for text in await house.journal())
    assert not any("passphrase" in row[0] for row in await rows(house.catalog, "SELECT name FROM attempt"))


async def test_unknown_names_take_as_long_as_known_ones(tmp_path: Path) -> None:
    """At the real cost; the bounds are wide, since what is left out would be all of it."""
    catalog = await catalog_at(tmp_path / "catalog.db", "test")
    house = House(catalog, Passwords())
    await house.person("anna")
    took: dict[str, list[float]] = {"anna": [], "nobody": []}
    for number in range(2):
        for name, times in took.items():
            begun = time.process_time()
            with pytest.raises(NotRecognised):
                await house.log_in(name, "wrong entirely", f"192.0.2.{number}:1")
            times.append(time.process_time() - begun)
    await catalog.close()

    known, unknown = (statistics.median(each) for each in took.values())
    assert 0.5 < unknown / known < 2
    assert unknown > 0.05


async def test_guessing_is_slow(house: House) -> None:
    """One address and one name for a day: what gets through to argon2id in the first minute, hour and day."""
    begun, compared = house.now, house.passwords.computed
    through: list[int] = []
    while house.now < begun + 86_400 and len(through) < 200:
        try:
            await house.log_in("anna", "not this one, surely")
        except NotRecognised:
            through.append(house.now - begun)
        except TooManyAttempts as refused:
            house.clock.go_on(refused.wait)

    within = {name: sum(at < limit for at in through) for name, limit in (("minute", 60), ("hour", 3600))}
    assert len(through) == house.passwords.computed - compared
    assert within["minute"] <= 9
    assert within["hour"] <= 18
    assert len(through) <= 115
    house.clock.go_on(900)
    assert (await house.log_in("anna")).person.name == "anna"  # never for ever


async def test_a_thousand_guesses_at_once_are_not_one(house: House, tmp_path: Path) -> None:
    """From as many addresses: the count comes before the comparison, in the catalog that all processes share."""
    other = await catalog_at(tmp_path / "catalog.db", "other")
    second = House(other, house.passwords, house.clock)
    compared = house.passwords.computed

    tries = (
        (house, second)[n % 2].log_in("anna", "not this one, surely", f"198.51.{n // 200}.{n % 200}:1")
        for n in range(300)
    )
    results = await asyncio.gather(*tries, return_exceptions=True)
    await other.close()

    assert house.passwords.computed - compared <= PERSON_PATIENCE.free + 1
    assert {type(each) for each in results} <= {NotRecognised, TooManyAttempts}


async def test_one_address_guesses_many_names_slowly(house: House) -> None:
    """A few passwords for all names: the address waits. IPv6: its whole network does."""
    compared = house.passwords.computed
    for n in range(200):
        with pytest.raises((NotRecognised, TooManyAttempts)):
            await house.log_in(f"name{n}", "not this one, surely", f"2001:db8::{n:x}:4000")

    assert house.passwords.computed - compared <= 21


async def test_success_forgives(house: House) -> None:
    """The name begins anew; an address does not, or one account of one's own would be a way round the wait."""
    for _ in range(4):
        with pytest.raises(NotRecognised):
            await house.log_in("anna", "not this one, surely")
    await house.log_in("anna")

    held = await rows(house.catalog, "SELECT name, failures FROM attempt WHERE name NOT LIKE 'place:%'")
    assert held == [("address:192.0.2.7", 4)]


async def test_a_right_password_is_not_looked_at_during_the_wait(house: House) -> None:
    """And what is refused so says for how long."""
    for _ in range(6):
        with pytest.raises(NotRecognised):
            await house.log_in("anna", "not this one, surely")

    with pytest.raises(TooManyAttempts) as refused:
        await house.log_in("anna")
    assert refused.value.more == {"retry_after": 5}


async def test_log_ins_end(house: House) -> None:
    """After a quarter of an hour without a request, and after twelve hours in any case."""
    begun = await house.log_in("anna")
    house.clock.go_on(899)
    await house.known_by(begun.token)
    house.clock.go_on(899)
    await house.known_by(begun.token)
    house.clock.go_on(901)
    with pytest.raises(Unauthenticated):
        await house.known_by(begun.token)

    begun = await house.log_in("anna")
    for _ in range(51):
        house.clock.go_on(840)
        await house.known_by(begun.token)
    house.clock.go_on(840)
    with pytest.raises(Unauthenticated):
        await house.known_by(begun.token)


async def test_whatever_ends_a_log_in_counts_at_the_next_request(house: House) -> None:
    """Log-out, lock-out, another role, another password, an administrator's word."""
    office = house.at_machine()
    await house.person("root", Grant(Role.ADMINISTRATOR))

    async def log_out(token: str) -> None:
        await logins.log_out(await house.known_by(token), house.catalog)

    async def lock_out(token: str) -> None:
        who = await persons.disable(office, house.catalog, await persons.person(office, house.catalog, "anna"))
        await persons.enable(office, house.catalog, who)

    async def grant(token: str) -> None:
        who = await persons.person(office, house.catalog, "anna")
        await persons.grant(office, house.catalog, who, Grant(Role.VIEWER))

    async def password(token: str) -> None:
        who = await persons.person(office, house.catalog, "anna")
        await letting_in.set_password(office, house.catalog, house.passwords, who, PASSWORD)

    async def end(token: str) -> None:
        who = await persons.person(office, house.catalog, "anna")
        assert await logins.end_log_in(office, house.catalog, who, tokens.digest(token).hex()[:8]) == 1

    for act in (log_out, lock_out, grant, password, end):
        begun = await house.log_in("anna")
        await house.known_by(begun.token)
        await act(begun.token)
        with pytest.raises(Unauthenticated):
            await house.known_by(begun.token)


async def test_an_act_that_stops_machines_wants_a_proof(house: House) -> None:
    """Within five minutes; an API key, and the machine, are never asked."""
    begun = await house.log_in("anna")
    house.clock.go_on(300)
    (await house.known_by(begun.token)).require(Right.KEY_DESTROY)
    house.clock.go_on(1)
    administration = await house.known_by(begun.token)
    administration.require(Right.KEY_READ)
    for right in (Right.KEY_DESTROY, Right.KEY_PURGE, Right.INSTANCE_REMOVE, Right.PERSON_CHANGE, Right.APPROVAL_AGREE):
        with pytest.raises(ProofNeeded):
            administration.require(right)

    with pytest.raises(NotRecognised):
        await logins.prove_again(administration, house.catalog, house.passwords, "not this one, surely")
    await logins.prove_again(administration, house.catalog, house.passwords, PASSWORD)
    (await house.known_by(begun.token)).require(Right.KEY_DESTROY)
    house.at_machine().require(Right.KEY_DESTROY)


async def test_proving_again_is_no_way_round_the_wait(house: House) -> None:
    """Whoever has stolen a log-in guesses no faster."""
    administration = await house.logged_in("anna")
    compared = house.passwords.computed
    for _ in range(30):
        with pytest.raises((NotRecognised, TooManyAttempts)):
            await logins.prove_again(administration, house.catalog, house.passwords, "not this one, surely")
    assert house.passwords.computed - compared <= PERSON_PATIENCE.free + 1


async def test_other_peoples_log_ins(house: House) -> None:
    """Are nobody's to see or end who has not the right; the own ones are."""
    await house.person("bernd", Grant(Role.OPERATOR))
    bernd = await house.logged_in("bernd")
    people = {each.name: each for each in await house.catalog.persons()}
    await house.log_in("anna")

    assert len(await logins.log_ins(bernd, house.catalog, people["bernd"])) == 1
    with pytest.raises(Forbidden):
        await logins.log_ins(bernd, house.catalog, people["anna"])
    with pytest.raises(Forbidden):
        await logins.end_log_in(bernd, house.catalog, people["anna"], None)
    with pytest.raises(NotThere):
        await logins.end_log_in(bernd, house.catalog, people["bernd"], "0000")
    assert await logins.end_log_in(bernd, house.catalog, people["bernd"], None) == 1


@pytest.mark.parametrize(
    "token",
    ["", "krs_", "krs_" + "A" * 43, "krk_" + "0" * 32 + "_" + "A" * 43, "krk_zz_x", "Bearer", "krs_" + "ä" * 43, "\0"],
)
async def test_what_is_no_token_lets_nobody_in(house: House, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await caller_of_token(house.catalog, token, now=house.now, address=ADDRESS)


async def test_a_cheap_hash_is_made_anew(house: House) -> None:
    """At the next log-in, at the cost of today."""
    dearer = Passwords(Cost(memory=128, passes=2))
    begun = await logins.log_in(house.catalog, dearer, "anna", PASSWORD, visitor=house.visitor())

    found = await house.catalog.person_called("anna")
    assert found is not None
    assert "m=128,t=2" in found.password
    await house.known_by(begun.token)
    assert await dearer.match(normal(PASSWORD), found.password)


async def test_who_comes_when_many_wait_is_told_to_come_again() -> None:
    """Two threads at the most, and a short queue: guessing takes neither the memory nor the cores of others."""
    passwords = Passwords(Cost(memory=8192, passes=2))
    encoded = await passwords.encoded(Secret(bytearray(b"x")))
    tries = [asyncio.ensure_future(passwords.match(Secret(bytearray(b"y")), encoded)) for _ in range(WAITING + 20)]
    results = await asyncio.gather(*tries, return_exceptions=True)

    assert sum(isinstance(each, TooManyAttempts) for each in results) == 20
    assert passwords._threads._max_workers == AT_ONCE == 2
    assert await passwords.match(Secret(bytearray(b"x")), encoded)


async def test_the_loop_goes_on_meanwhile() -> None:
    """A hash at the real cost is computed beside the loop."""
    passwords = Passwords()
    work = asyncio.ensure_future(passwords.encoded(Secret(bytearray(b"x"))))
    beats = 0
    while not work.done():
        await asyncio.sleep(0.005)
        beats += 1

    assert beats >= 5
    assert work.result().startswith(f"$argon2id$v=19$m={COST.memory},t={COST.passes},p=1$")


def test_the_cost_is_no_less_than_what_is_advised() -> None:
    """OWASP: 19 MiB and 2 passes; here more."""
    assert COST.memory >= 64 * 1024
    assert COST.passes >= 3
    assert COST.covers("$argon2id$v=19$m=65536,t=3,p=1$a$b")
    for older in ("$argon2id$v=19$m=19456,t=3,p=1$a$b", "$argon2id$v=19$m=65536,t=2,p=1$a$b", "$2b$12$a", ""):
        assert not COST.covers(older)
    assert not replace(CHEAP, memory=65).covers("$argon2id$v=19$m=64,t=1,p=1$a$b")


@pytest.mark.parametrize(
    ("password", "told"),
    [
        ("short", "5 characters"),
        ("x9" * 129, "258 characters"),
        ("Password1234!", "everybody tries first"),
        ("P@ssw0rd!2024", "everybody tries first"),
        ("keyrack-2024-anna", "everybody tries first"),
        ("Anna.Smith.99", "everybody tries first"),
        ("correcthorsebatterystaple", "everybody tries first"),
        ("aaaaaaaaaaaaaaaa", "repeats itself"),
        ("123456789012", "repeats itself"),
        ("qwertyuiopasdfghjkl", "repeats itself"),
        ("abcabcabcabcabc", "repeats itself"),
    ],
)
def test_passwords_that_everybody_tries_are_refused(password: str, told: str) -> None:
    with pytest.raises(Unusable) as refused:
        check(password, ("anna.smith", "Anna Smith"))
    assert told in str(refused.value)
    assert refused.value.field == "password"
    assert password not in str(refused.value)


@pytest.mark.parametrize(
    "password", [PASSWORD, "correct horse battery staple", "839201748265", "ÄÖÜßéèêñ漢字仮名x", "nur kleine buchstaben"]
)
def test_nobody_has_to_mix_kinds_of_characters(password: str) -> None:
    check(password, ("anna.smith", "Anna Smith"))


async def test_what_looks_alike_is_the_same_password(house: House) -> None:
    """Two keyboards write an ö in two ways."""
    await house.person("otto", password="Bo\u0308hmische Dörfer")

    await house.log_in("otto", "B\u00f6hmische D\u00f6rfer")


async def test_the_wait_grows_and_ends() -> None:
    """Doubled each time, never longer than a quarter of an hour, begun anew after a day."""
    waits = [PERSON_PATIENCE.wait(failures) for failures in range(20)]
    assert waits == [0] * 6 + [5, 10, 20, 40, 80, 160, 320, 640] + [900] * 6

    attempts = Attempts(of="name:x")
    for _ in range(50):
        attempts = attempts.counted(PERSON_PATIENCE, 1000)
    assert attempts.counted(PERSON_PATIENCE, 1000 + 86_400).failures == 1


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.1:4000", "192.0.2.1"),
        ("2001:db8::1:4000", "2001:db8::/64"),
        ("[2001:db8:0:0:ffff::9]:4000", "2001:db8::/64"),
        ("::ffff:192.0.2.1:4000", "192.0.2.1"),
        ("fe80::1%eth0:4000", "fe80::/64"),
        ("testclient:50000", "testclient"),
    ],
)
def test_the_place_of_an_address(address: str, place: str) -> None:
    assert place_of(address) == place


async def test_a_log_in_beside_a_lock_out(house: House) -> None:
    """Whose password was right, and who was locked out before the log-in is committed, is not logged in."""
    anna = await house.catalog.person_called("anna")
    assert anna is not None
    await house.person("root", Grant(Role.ADMINISTRATOR))
    begin = logins.begin(house.catalog, anna, "password", visitor=house.visitor())
    changed = replace(anna, disabled_at=1, revision=anna.revision + 1)
    await house.catalog.commit(Unit(entries=(), people=PeopleChanges(persons=(changed,))))

    with pytest.raises(NotRecognised):
        await begin
    assert list(await house.catalog.login_sessions(anna.identifier)) == []
