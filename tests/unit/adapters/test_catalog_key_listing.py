"""Listings of keys in the database: what each filter lets through, sorting, cursors, last fetches, and their speed."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyrack.adapters.catalogs import key_affairs
from keyrack.domain import lifecycle
from keyrack.domain.objects import Indexed, ManagedObject
from keyrack.ports.catalog import Unit
from keyrack.ports.key_affairs import Holding, KeyFilter, KeyOrder, WrongCursor
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.spec.enumerations import ObjectType, State
from keyrack.spec.types import CustomValue, ItemType
from keyrack.testing.catalog_values import KEY, ONE, OTHER_KEY, TWO, certificate, entry, instance, key, named, numbered
from keyrack.testing.catalogs import catalog_at, rows

NOW = 1_800_000_000
Keys = list[ManagedObject]
THREE = "33333333-3333-4333-8333-333333333333"


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[WholeCatalog]:
    opened = await catalog_at(tmp_path / "catalog.db", "tests")
    await opened.commit(Unit(entries=(), instances=(instance(ONE, "one"), instance(TWO, "two"))))
    yield opened
    await opened.close()


def labelled(
    number: int, name: str = "", component: str = "Virtual Machine", *, over: int | None = None, **more: Any
) -> ManagedObject:
    """A key as vCenter labels it; ``over`` is its Deactivation Date."""
    if over is not None:
        more["Deactivation Date"] = over
    labels: dict[str, Any] = {"x-Product": "VMware vSphere", "x-Name": name, "x-Component": component} if name else {}
    values = {title: CustomValue(ItemType.TEXT_STRING, value) for title, value in labels.items()}
    return key(numbered(number), attributes={**values, **more}, date=1_700_000_000 + number)


async def listed(catalog: WholeCatalog, wanted: KeyFilter = KeyFilter(), **more: Any) -> list[int]:  # noqa: B008
    """The numbers of the keys on all pages, two on each."""
    numbers: list[int] = []
    cursor = None
    while True:
        page = await catalog.key_page(ONE, wanted, NOW, cursor=cursor, limit=2, **more)
        numbers += [int(row.managed.unique_identifier[-12:], 16) for row in page.rows]
        cursor = page.next
        if cursor is None:
            assert len(numbers) == await catalog.count_keys(ONE, wanted, NOW)
            return numbers


@pytest.fixture
async def filled(catalog: WholeCatalog) -> WholeCatalog:
    """Eight keys, one after the other, that differ in all that a filter asks for."""
    held: Keys = [
        labelled(1, "db01"),
        labelled(2, "db02", over=NOW - 1),
        labelled(3, "esx-1", "ESXi Server"),
        replace(labelled(4, "WEB_1"), state=State.PRE_ACTIVE),
        labelled(5),
        replace(labelled(6, Name=named("db of a client")), state=State.DESTROYED),
        replace(labelled(7, "100% db"), object_type=ObjectType.SECRET_DATA, withheld_at=NOW),
        replace(labelled(8), state=State.DESTROYED, sealed=None),
    ]
    gets = [(1, 5_000), (2, 9_000), (1, 7_000), (4, 1_000)]
    told = [entry(target=numbered(number), at=at * 1000, address=f"192.0.2.{at}:1") for number, at in gets]
    told.append(entry(target=numbered(3), at=9_999_000, outcome="Permission Denied"))
    await catalog.commit(Unit(entries=told, inserted=held))
    await catalog.commit(Unit(entries=(), inserted=(key(numbered(99), TWO),)))
    await catalog.catch_up()
    return catalog


FILTERS: dict[str, tuple[dict[str, Any], list[int]]] = {
    "everything": ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
    "a state that the dates make": ({"states": frozenset({State.DEACTIVATED})}, [2]),
    "two states": ({"states": frozenset({State.PRE_ACTIVE, State.DESTROYED})}, [4, 6, 8]),
    "a type": ({"object_type": ObjectType.SECRET_DATA}, [7]),
    "part of a name, in any case": ({"named": "DB"}, [1, 2, 6, 7]),
    "a per cent sign is itself": ({"named": "%"}, [7]),
    "an underscore is itself": ({"named": "_"}, [4]),
    "nobody's name": ({"named": "nothing"}, []),
    "a component": ({"component": "esxi"}, [3]),
    "a beginning": ({"prefix": numbered(5)[:35]}, [1, 2, 3, 4, 5, 6, 7, 8]),
    "a whole identifier": ({"prefix": numbered(5)}, [5]),
    "another instance's": ({"prefix": numbered(99)}, []),
    "made since": ({"created_since": 1_700_000_006}, [6, 7, 8]),
    "made before": ({"created_before": 1_700_000_003}, [1, 2]),
    "fetched since": ({"fetched_since": 7_000}, [1, 2]),
    "not fetched since": ({"not_fetched_since": 7_000}, [3, 4, 5, 6, 7, 8]),
    "never fetched": ({"never_fetched": True}, [3, 5, 6, 7, 8]),
    "withheld": ({"withheld": True}, [7]),
    "not labelled": ({"unlabelled": True}, [5, 6, 8]),
    "recoverable": ({"recoverable": True}, [6]),
    "several at once": ({"named": "db", "never_fetched": True, "states": frozenset({State.ACTIVE})}, [7]),
}


@pytest.mark.parametrize("what", FILTERS)
async def test_a_filter_lets_through_what_it_says(filled: WholeCatalog, what: str) -> None:
    """On all pages together, each once, oldest first; backwards the same."""
    asked, expected = FILTERS[what]

    assert expected == await listed(filled, KeyFilter(**asked))
    assert expected[::-1] == await listed(filled, KeyFilter(**asked), descending=True)


ORDERS = {KeyOrder.NAME: [5, 8, 7, 4, 6, 1, 2, 3], KeyOrder.FETCHED: [3, 5, 6, 7, 8, 4, 1, 2]}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("what", FILTERS)
async def test_in_another_order_a_filter_lets_through_the_same(
    filled: WholeCatalog, what: str, order: KeyOrder
) -> None:
    """Each once, backwards too, and in the order that all of them have."""
    asked, expected = FILTERS[what]
    found = await listed(filled, KeyFilter(**asked), order=order)
    assert found == [number for number in ORDERS[order] if number in expected]
    assert found[::-1] == await listed(filled, KeyFilter(**asked), order=order, descending=True)


async def test_a_key_with_several_names_stands_under_one_of_them(catalog: WholeCatalog) -> None:
    """And one whose name is empty under none."""
    names = (Indexed(0, CustomValue(ItemType.TEXT_STRING, "a")), Indexed(1, CustomValue(ItemType.TEXT_STRING, "z")))
    several = labelled(1)
    several = replace(several, attributes={**several.attributes, "x-Name": names})
    held = [several, labelled(2, "m"), labelled(3, Name=named("c")), labelled(4, Name=named(""))]
    await catalog.commit(Unit(entries=(), inserted=held))
    assert [4, 3, 2, 1] == await listed(catalog, order=KeyOrder.NAME)
    assert [1, 2, 3, 4] == await listed(catalog, order=KeyOrder.NAME, descending=True)


@pytest.mark.parametrize("order", KeyOrder)
async def test_a_page_leads_back_to_the_one_before_it(filled: WholeCatalog, order: KeyOrder) -> None:
    """In the opposite direction, from its first key on."""
    first = await filled.key_page(ONE, KeyFilter(), NOW, order=order, limit=3)
    second = await filled.key_page(ONE, KeyFilter(), NOW, order=order, limit=3, cursor=first.next)
    again = await filled.key_page(ONE, KeyFilter(), NOW, order=order, limit=3, cursor=second.back, descending=True)
    assert [row.managed for row in first.rows] == [row.managed for row in again.rows][::-1]
    assert again.next is None
    onward = await filled.key_page(ONE, KeyFilter(), NOW, order=order, limit=3, cursor=again.back)
    assert [row.managed for row in onward.rows] == [row.managed for row in second.rows]


async def test_keys_are_counted_by_the_states_that_their_dates_make(filled: WholeCatalog) -> None:
    counted = await filled.count_by_state(ONE, NOW)
    assert {State.PRE_ACTIVE: 1, State.ACTIVE: 4, State.DEACTIVATED: 1, State.DESTROYED: 2} == dict(counted)


async def test_keys_are_sorted_by_last_fetch_and_by_name(filled: WholeCatalog) -> None:
    """Those without come first, in the order of creation."""
    assert [3, 5, 6, 7, 8, 4, 1, 2] == await listed(filled, order=KeyOrder.FETCHED)
    assert [2, 1, 4, 8, 7, 6, 5, 3] == await listed(filled, order=KeyOrder.FETCHED, descending=True)
    assert [5, 8, 7, 4, 6, 1, 2, 3] == await listed(filled, order=KeyOrder.NAME)


@pytest.mark.parametrize("order", KeyOrder)
async def test_a_cursor_stays_good_while_keys_come_and_go(filled: WholeCatalog, order: KeyOrder) -> None:
    """No key is shown twice and none that stays is passed over."""
    before = await listed(filled, order=order)
    page = await filled.key_page(ONE, KeyFilter(), NOW, order=order, limit=3)
    new = [labelled(n, f"zz{n}") for n in (20, 21)]
    await filled.commit(Unit(entries=(), inserted=new))
    rest = []
    cursor = page.next
    while cursor is not None:
        more = await filled.key_page(ONE, KeyFilter(), NOW, order=order, cursor=cursor, limit=3)
        rest += [int(row.managed.unique_identifier[-12:], 16) for row in more.rows]
        cursor = more.next

    shown = [int(row.managed.unique_identifier[-12:], 16) for row in page.rows] + rest
    assert len(shown) == len(set(shown))
    assert before == [number for number in shown if number < 20]


@pytest.mark.parametrize("cursor", ["", "x", "bm9uZQ", "é", "W10", "WyJuYW1lIixmYWxzZSwxLDFd", "A" * 5])
async def test_a_cursor_of_another_listing_is_refused(filled: WholeCatalog, cursor: str) -> None:
    with pytest.raises(WrongCursor):
        await filled.key_page(ONE, KeyFilter(), NOW, cursor=cursor)
    page = await filled.key_page(ONE, KeyFilter(), NOW, limit=1)
    with pytest.raises(WrongCursor):
        await filled.key_page(ONE, KeyFilter(), NOW, cursor=page.next, descending=True)
    with pytest.raises(WrongCursor):
        await filled.key_page(ONE, KeyFilter(), NOW, cursor=page.next, order=KeyOrder.NAME)


async def test_states_in_a_listing_are_those_of_the_lifecycle(filled: WholeCatalog) -> None:
    """What the database computes of the dates is what ``domain.lifecycle.tick`` does."""
    for state in State:
        asked = KeyFilter(states=frozenset({state}))
        page = await filled.key_page(ONE, asked, NOW)
        assert {state} >= {lifecycle.tick(row.managed, NOW).state for row in page.rows}


async def test_the_last_fetch_is_told_with_whom_where_and_how_often(filled: WholeCatalog) -> None:
    """A Get that was refused counts for nothing; the latest counts, in whatever order they were written."""
    fetches = await filled.fetches(ONE)

    assert {numbered(1), numbered(2), numbered(4)} == set(fetches)
    first = fetches[numbered(1)]
    assert (7_000_000, "192.0.2.7000:1", 2) == (first.at, first.address, first.count)
    assert {numbered(2)} == set(await filled.fetches(ONE, [numbered(2), numbered(3)]))
    await filled.commit(Unit(entries=[entry(target=numbered(1), at=6_000_000, address="192.0.2.6:1")]))
    again = (await filled.fetches(ONE))[numbered(1)]
    assert (7_000_000, "192.0.2.7000:1", 3) == (again.at, again.address, again.count)


@settings(max_examples=20, deadline=None)
@given(gets=st.lists(st.tuples(st.sampled_from([KEY, OTHER_KEY]), st.integers(1, 50)), max_size=40), data=st.data())
def test_whatever_the_stretches_it_comes_to_the_same(gets: list[tuple[str, int]], data: st.DataObject) -> None:
    """Read in pieces while the journal grows, by one process or two, it is what the whole journal would tell."""
    asyncio.run(_compare(gets, data))


async def _compare(gets: Sequence[tuple[str, int]], data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_affairs, "STRETCH", data.draw(st.integers(1, 5)))
        one, two = [await catalog_at(Path(directory) / "catalog.db", name) for name in ("one", "two")]
        held = (key(KEY), key(OTHER_KEY))
        await one.commit(Unit(entries=(), instances=(instance(ONE, "one"),), inserted=held))
        for target, at in gets:
            await one.commit(Unit(entries=[entry(target=target, at=at), entry("Locate", at=at + 100)]))
            if data.draw(st.booleans()):
                await asyncio.gather(one.catch_up(), two.catch_up())
        found = await two.fetches(ONE)
        assert 0 == await one.catch_up()
        await one.close()
        await two.close()
    expected: dict[str, tuple[int, int]] = {}
    for target, at in gets:
        latest, count = expected.get(target, (0, 0))
        expected[target] = max(latest, at), count + 1
    assert expected == {target: (fetch.at, fetch.count) for target, fetch in found.items()}


async def test_what_each_instance_has_is_counted(filled: WholeCatalog) -> None:
    """Keys that are not destroyed, ways in, and the latest of all fetches; of one with nothing, nothing."""
    await filled.commit(Unit(entries=(), certificates=(certificate(),), instances=(instance(THREE, "three"),)))

    assert await filled.holdings() == {
        ONE: Holding(keys=6, certificates=1, fetched_at=9_000_000),
        TWO: Holding(keys=1),
        THREE: Holding(),
    }


async def test_fetches_go_with_their_object(filled: WholeCatalog) -> None:
    """Nothing is remembered of what is not there any more, and nothing comes back from the journal."""
    await filled.commit(Unit(entries=[entry(target=numbered(77), at=1)]))
    assert numbered(77) not in await filled.fetches(ONE)


async def test_a_get_does_not_touch_the_table_of_fetches(filled: WholeCatalog) -> None:
    """It is brought up to date before a read, never in the transaction of a Get."""
    filled_before = await rows(filled, "SELECT count, at FROM fetch ORDER BY 1, 2")
    await filled.commit(Unit(entries=[entry(target=numbered(1), at=99_000_000)]))

    assert filled_before == await rows(filled, "SELECT count, at FROM fetch ORDER BY 1, 2")
    assert 99_000_000 == (await filled.fetches(ONE))[numbered(1)].at


async def test_ten_thousand_keys_are_listed_in_no_time(catalog: WholeCatalog) -> None:
    """Measured at 100,000: a page by creation in 1 to 10 ms, by name or last fetch in 350 ms."""
    for begin in range(0, 10_000, 2_000):
        made = [labelled(n, f"vm-{n:05}") for n in range(begin + 1, begin + 2_001)]
        await catalog.commit(Unit(entries=(), inserted=made))

    began, cursor, seen = time.perf_counter(), None, 0
    while True:
        page = await catalog.key_page(ONE, KeyFilter(), NOW, cursor=cursor, limit=500)
        seen, cursor = seen + len(page.rows), page.next
        if cursor is None:
            break
    walked = time.perf_counter() - began
    began = time.perf_counter()
    found = await catalog.key_page(ONE, KeyFilter(named="vm-09999"), NOW)
    searched = time.perf_counter() - began

    assert (10_000, 1) == (seen, len(found.rows))
    assert walked < 5, f"{walked:.2f} s for 20 pages"
    assert searched < 1, f"{searched:.2f} s for a name"
