"""Two catalogs over one PostgreSQL database, as two nodes have them, at once: what one has promised holds for both."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from keyrack.adapters.catalogs.postgres.catalog import PostgresCatalog
from keyrack.adapters.catalogs.postgres.connecting import Place, connect
from keyrack.domain.approvals import Approval
from keyrack.domain.instances import Quotas
from keyrack.domain.people import Actor
from keyrack.ports.catalog import (
    AlreadyThere,
    Conflict,
    InstanceSealed,
    JournalRecord,
    NotAuthorised,
    OutcomeUnknown,
    QuotaReached,
    Unit,
)
from keyrack.ports.journal import JournalQuery
from keyrack.ports.key_affairs import KeyAffairs
from keyrack.service.journal.chain import verify
from keyrack.spec.enumerations import State
from keyrack.testing.catalog_values import (
    FINGERPRINT,
    KEY,
    ONE,
    PRINCIPAL,
    certificate,
    entry,
    instance,
    key,
    named,
    numbered,
)
from keyrack.testing.people_contract import ADMINISTRATOR, ANNA, BERND, change, person
from keyrack.testing.postgres import ACCOUNT, binaries
from keyrack.testing.postgres_catalogs import Fresh

pytestmark = pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL")
Pair = tuple[PostgresCatalog, PostgresCatalog]
Connection = Any
GET = Unit(entries=(entry(),), principal=PRINCIPAL, seen={KEY: 1})


@pytest.fixture
async def pair(postgres: Fresh) -> AsyncIterator[Pair]:
    """Two nodes, an instance with a certificate and a key."""
    one, two = await postgres.catalog("one/kmip-0"), await postgres.catalog("two/kmip-0")
    await one.commit(Unit(entries=(), instances=(instance(),), certificates=(certificate(),), inserted=(key(),)))
    yield one, two
    await one.close()
    await two.close()


@pytest.fixture
async def superuser(postgres: Fresh) -> AsyncIterator[Connection]:
    """Whoever owns the server."""
    connection = await connect(Place(postgres.cluster.url(ACCOUNT, postgres.name), "tests"))
    yield connection
    connection.terminate()


async def at_once(*acts: Awaitable[None]) -> list[str]:
    """How each of them has ended."""
    ends = await asyncio.gather(*acts, return_exceptions=True)
    return sorted("done" if end is None else type(end).__name__ for end in ends)


async def warm(catalog: PostgresCatalog) -> None:
    """Serve the key, until everything about it is known."""
    for _ in range(2):
        await catalog.load(ONE, KEY)
        await catalog.commit(GET)


async def test_a_name_is_given_once(pair: Pair) -> None:
    for n in range(10):
        units = [
            Unit(entries=(), inserted=(key(numbered(100 + 2 * n + m), Name=named(f"db{n}")),), new_names=(f"db{n}",))
            for m in range(2)
        ]
        assert await at_once(*(each.commit(unit) for each, unit in zip(pair, units, strict=True))) == [
            "AlreadyThere",
            "done",
        ]


async def test_no_quota_is_passed(pair: Pair) -> None:
    await pair[0].commit(Unit(entries=(), instances=(replace(instance(), quotas=Quotas(keys=6)),)))
    made = [key(numbered(200 + n)) for n in range(20)]
    ends = await at_once(
        *(
            pair[n % 2].commit(Unit(entries=(entry("Create"),), principal=PRINCIPAL, inserted=(each,)))
            for n, each in enumerate(made)
        )
    )
    assert ends == [QuotaReached.__name__] * 15 + ["done"] * 5
    assert await pair[0].living(ONE) == 6


async def test_two_administrators_do_not_take_each_other_away(pair: Pair) -> None:
    one, two = pair
    await change(one, persons=(person(grants=ADMINISTRATOR), person(BERND, "bernd", grants=ADMINISTRATOR)))
    assert await at_once(
        change(one, Actor(ANNA, 1), persons=(person(BERND, "bernd", revision=2),)),
        change(two, Actor(BERND, 1), persons=(person(revision=2),)),
    ) == ["RightsChanged", "done"]


async def test_the_last_administrator_stays_whoever_goes_first(pair: Pair) -> None:
    """Each removes himself, and counts on the other."""
    one, two = pair
    await change(one, persons=(person(grants=ADMINISTRATOR), person(BERND, "bernd", grants=ADMINISTRATOR)))
    assert await at_once(
        change(one, persons=(person(revision=2),)), change(two, persons=(person(BERND, "bernd", revision=2),))
    ) == ["LastAdministrator", "done"]


async def test_an_approval_is_given_once(pair: Pair) -> None:
    asked = Approval(
        identifier="a", act="key.purge", instance=ONE, target=KEY, asked_by="person-anna", asked_at=1, expires_at=9
    )
    await pair[0].commit(Unit(entries=(), key_affairs=KeyAffairs(approvals=(asked,))))
    agreed = [replace(asked, agreed_by=name, agreed_at=2) for name in ("person-bernd", "person-carla")]
    acts = [
        each.commit(Unit(entries=(), key_affairs=KeyAffairs(approvals=(approval,))))
        for each, approval in zip(pair, agreed, strict=True)
    ]
    assert await at_once(*acts) == ["Conflict", "done"]


async def test_one_version_of_an_object_follows_another(pair: Pair) -> None:
    """Of two changes of one version, one is made."""
    for version in range(1, 11):
        changed = replace(key(), version=version + 1)
        assert await at_once(*(each.commit(Unit(entries=(), updated=(changed,))) for each in pair)) == [
            "Conflict",
            "done",
        ]


async def test_a_chain_that_two_processes_write_stays_one(postgres: Fresh, pair: Pair) -> None:
    """As where an old process of the same name has not ended yet."""
    twin = await postgres.catalog("one/kmip-0")
    for _ in range(10):
        await asyncio.gather(
            *(each.commit(Unit(entries=(entry(), entry("Locate")))) for each in (pair[0], twin) for _ in range(3))
        )
    await twin.close()

    records = await pair[1].journal(limit=1000)
    assert (120, 120) == (len(records), (await pair[1].journal_heads())["one/kmip-0"])
    assert verify(records).flaws == ()


# --- what a warm request stands on, which is asked in the message that writes its record ---


async def test_a_warm_request_asks_twice(pair: Pair) -> None:
    """Once for the object, once for everything else."""
    one, _ = pair
    await warm(one)
    told: list[str] = []
    connection = one._writer._connection
    assert connection is not None
    with connection.query_logger(lambda record: told.append(record.query)):
        await one.commit(GET)
        await asyncio.gather(*(one.commit(GET) for _ in range(5)))
    assert [query.partition("(")[0] for query in told] == ["SELECT add_records"] * 2


@pytest.mark.parametrize(
    ("change_", "told"),
    [
        (Unit(entries=(), removed_certificates=(FINGERPRINT,)), NotAuthorised),
        (Unit(entries=(), instances=(replace(instance(), sealed_at=1),)), InstanceSealed),
        (Unit(entries=(), updated=(replace(key(), version=2, state=State.DESTROYED),)), Conflict),
    ],
)
async def test_what_another_node_has_changed_counts_at_once(pair: Pair, change_: Unit, told: type[Exception]) -> None:
    """At the very next commit, however warm; and no record says that a key was handed out."""
    one, two = pair
    await warm(one)
    before = len(await two.journal(limit=100))
    await two.commit(change_)
    with pytest.raises(told):
        await one.commit(GET)
    assert len(await two.journal(limit=100)) == before


async def test_a_change_of_another_object_hinders_nobody(pair: Pair) -> None:
    one, two = pair
    await two.commit(Unit(entries=(), inserted=(key(numbered(50)),)))
    await warm(one)
    await two.commit(Unit(entries=(), updated=(replace(key(numbered(50)), version=2),)))
    await one.commit(GET)
    assert verify(await two.journal(limit=100)).flaws == ()


async def test_an_answer_that_does_not_come_is_no_answer(pair: Pair, superuser: Connection) -> None:
    """The server ends the session while it writes: nobody knows whether the record was kept, and nobody is told."""
    one, two = pair
    await warm(one)
    blocker = superuser.transaction()
    await blocker.start()
    await superuser.execute("SELECT begin_unit('one/kmip-0', false)")
    waiting = asyncio.ensure_future(one.commit(GET))
    while not await superuser.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"):
        await asyncio.sleep(0.01)
    await superuser.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
    with pytest.raises(OutcomeUnknown):
        await waiting
    await blocker.rollback()
    await warm(one)
    assert verify(await two.journal(limit=100)).flaws == ()


# --- readers of the journal ---


class Follower:
    """Reads on and on behind what it has read, as a sink does."""

    def __init__(self, catalog: PostgresCatalog) -> None:
        self.catalog, self.records = catalog, list[JournalRecord]()

    async def look(self) -> None:
        behind = self.records[-1].number if self.records else 0
        self.records += await self.catalog.journal(behind, 7)


async def _slow_writer(superuser: Connection) -> Any:
    """Has a number, and commits later."""
    transaction = superuser.transaction()
    await transaction.start()
    await superuser.execute("SELECT begin_unit('slow', false)")
    await superuser.execute(r"INSERT INTO journal (chain, sequence, text, hash) VALUES ('slow', 1, '{}', '\x00')")
    return transaction


async def _followed(pair: Pair, superuser: Connection) -> Sequence[str]:
    """The chains of the records that a follower gets while one writer is slow and another quick."""
    one, two = pair
    follower = Follower(two)
    slow = await _slow_writer(superuser)
    await one.commit(Unit(entries=(entry(),)))
    await follower.look()
    await slow.commit()
    await follower.look()
    return [record.chain for record in follower.records]


async def test_no_reader_passes_a_record_that_is_not_committed_yet(pair: Pair, superuser: Connection) -> None:
    """A smaller number may be committed later: who reads on from a greater one would never see it."""
    assert await _followed(pair, superuser) == ["slow", "one/kmip-0"]


async def test_the_greatest_number_is_no_horizon(pair: Pair, superuser: Connection) -> None:
    """The test above sees it where somebody takes the greatest number for the horizon."""
    await superuser.execute(
        "CREATE OR REPLACE FUNCTION settled_number() RETURNS BIGINT LANGUAGE sql VOLATILE AS "
        "'SELECT coalesce(max(number), 0) FROM journal'"
    )
    assert await _followed(pair, superuser) == ["one/kmip-0"]


async def test_followers_get_each_record_once_whatever_goes_on(postgres: Fresh, pair: Pair) -> None:
    """Three writers in batches of any size, refusals among them, two readers that look all the time."""
    chance, third = random.Random(7), await postgres.catalog("three/kmip-0")
    writers = (*pair, third)
    followers = [Follower(pair[0]), Follower(pair[1])]
    over = asyncio.Event()

    async def write(catalog: PostgresCatalog) -> int:
        kept = 0
        for _ in range(40):
            spoilt = [Unit(entries=(entry(),), inserted=(key(),))] * chance.randint(0, 1)
            good = [Unit(entries=(entry(),) * chance.randint(1, 3)) for _ in range(chance.randint(1, 4))]
            ends = await asyncio.gather(*map(catalog.commit, (*good, *spoilt)), return_exceptions=True)
            assert [type(end) for end in ends if end] == [AlreadyThere] * len(spoilt)
            kept += sum(len(unit.entries) for unit in good)
        return kept

    async def follow(follower: Follower) -> None:
        while not over.is_set():
            await follower.look()
            await asyncio.sleep(0)

    reading = [asyncio.ensure_future(follow(each)) for each in followers]
    kept = sum(await asyncio.gather(*map(write, writers)))
    over.set()
    await asyncio.gather(*reading)
    for follower in followers:
        while len(follower.records) < kept:
            await asyncio.wait_for(follower.look(), 5)
        assert len({record.number for record in follower.records}) == len(follower.records) == kept
        assert verify(follower.records).flaws == ()
    await third.close()


@pytest.mark.parametrize("identifier", ["\0", "x\0y", KEY + "\0", "%", "'; DROP TABLE object; --", "\ufffd" * 300])
async def test_what_is_no_identifier_is_not_there(pair: Pair, identifier: str) -> None:
    """And spoils nothing for those who ask at the same moment."""
    found = await asyncio.gather(pair[0].load(ONE, identifier), pair[0].load(ONE, KEY))
    assert list(found) == [None, key()]


@pytest.mark.parametrize("sent", ["\0", "a\0b\\\0", "\\u0000", "\U0001f511", "\ud800", '"'])
async def test_whatever_a_client_has_sent_the_journal_can_be_looked_through(pair: Pair, sent: str) -> None:
    """PostgreSQL's JSON has no zero character; a record that has one must not stop those who read."""
    one, two = pair
    told = [entry(target=sent, outcome="Item Not Found"), entry(target=KEY), entry("Locate", detail={"asked": sent})]
    await one.commit(Unit(entries=told, principal=PRINCIPAL))
    assert (await two.fetches(ONE))[KEY].count == 1
    uses, _ = await two.last_uses(ONE)
    assert list(uses) == [FINGERPRINT]
    found = await two.find(JournalQuery(since=1, target=sent))
    assert [record.sequence for record in found.records] == [1]
    assert verify(await two.journal(limit=100)).flaws == ()
