"""Lists of keys: what is shown to whom, searched, filtered, sorted and paged, compared with a model in plain Python."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyrack.embedded.call import Caller
from keyrack.embedded.errors import InvalidQueryParam, KeySearchTooBroad
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.keys import Alias, Key, KeyState
from keyrack.embedded.lookup import Query, page, standard_names, total
from keyrack.testing.key_houses import INSTANCE, OTHER_INSTANCE, a_call, a_caller, a_house, an_instance, go_on, revision
from keyrack.testing.some_keys import a_root_key, a_standard_key, refusal

NOW = 1_800_000_000
DATES = {
    "creationDate": "created_at",
    "lastUpdateDate": "updated_at",
    "lastRotateDate": "rotated_at",
    "deletionDate": "deleted_at",
    "expirationDate": "expires_at",
}
SORTS = {"id": "identifier", "extractable": "extractable", "imported": "imported", **DATES}
NAMES = ["Alpha", "alphabet", "BETA", "beta", "Schlüssel", "SCHLÜSSEL", "100%", "under_score", "not:alpha", "x:y", "ab"]
MOMENTS = [NOW - 100, NOW - 50, NOW, NOW + 50, NOW + 100]


def date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def some_keys() -> list[Key]:
    """Sixty keys of all kinds; the numbers are chosen so that every pair of properties differs somewhere."""
    made = []
    for number in range(60):
        state = list(KeyState)[number % 5]
        pick = [None, *MOMENTS]
        aliases = [f"alias-{number}", f"Beta-{number}"][: number % 3]
        made.append(
            Key(
                identifier=str(uuid.UUID(int=(number * 7919 % 60 << 64) + 0x4000_8000_0000_0000_0000, version=4)),
                instance=INSTANCE if number % 10 else OTHER_INSTANCE,
                ring=["default", "first", "second"][number % 3],
                name=NAMES[number % len(NAMES)],
                extractable=number % 4 < 2,
                imported=number % 7 < 3,
                state=state,
                created_at=MOMENTS[number % 5],
                created_by="somebody",
                updated_at=MOMENTS[number % 3],
                state_changed_at=NOW,
                rotated_at=pick[number % 6],
                deleted_at=NOW - number if state is KeyState.DESTROYED else None,
                expires_at=pick[number // 6 % 6],
                aliases=tuple(Alias(name=name, created_at=NOW, created_by="somebody") for name in aliases),
            )
        )
    return made


KEYS = some_keys()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One for the whole file: these tests change nothing."""
    house = a_house(tmp_path_factory.mktemp("listing"))
    an_instance(house, rings=("first", "second"))
    an_instance(house, OTHER_INSTANCE, rings=("first", "second"))
    with house.database.change() as unit:
        for key in KEYS:
            unit.put_key(key)
    yield house
    house.close()


COMPARE = {
    "": lambda one, other: one == other,
    "lt:": lambda one, other: one < other,
    "lte:": lambda one, other: one <= other,
    "gt:": lambda one, other: one > other,
    "gte:": lambda one, other: one >= other,
}
dates = st.tuples(
    st.sampled_from(sorted(DATES)), st.sampled_from(sorted(COMPARE)), st.sampled_from([*MOMENTS, NOW - 49.5])
)
nothing = st.tuples(st.sampled_from(sorted(DATES)), st.just("none"), st.sampled_from(["none", "None"]))
states = st.tuples(
    st.just("state"), st.just("states"), st.lists(st.sampled_from(list(KeyState)), min_size=1, max_size=5)
)
kinds = st.tuples(st.just("extractable"), st.just("is"), st.sampled_from(["true", "FALSE"]))
terms = st.lists(dates | nothing | states | kinds, max_size=4, unique_by=lambda term: term[0])
sorts = st.lists(
    st.tuples(st.sampled_from(["", "-"]), st.sampled_from(["state", *SORTS])),
    max_size=3,
    unique_by=lambda each: each[1],
)
searches = st.none() | st.tuples(
    st.lists(st.sampled_from(["not", "exact", "alias", "name"]), max_size=3),
    st.sampled_from(
        [*NAMES, "alpha", "ÜSS", "alias-1", "beta-", "Beta-5", "%", "_", "z", KEYS[3].identifier, "escape"]
    ),
)


def told(name: str, kind: str, value: Any) -> str:
    if kind in ("none", "is"):
        return f"{name}={value}"
    if kind == "states":
        return f"{name}={','.join(f'{state:d}' for state in value)}"
    return f'{name}={kind}"{date(value)}"'


def holds(key: Key, name: str, kind: str, value: Any) -> bool:
    if kind == "states":
        return key.state_at(NOW) in value
    if kind == "is":
        return str(key.extractable).lower() == str(value).lower()
    found = getattr(key, DATES[name])
    return found is None if kind == "none" else found is not None and COMPARE[kind](found, value)


def searched(key: Key, options: list[str], query: str) -> bool:
    scopes = [scope for scope in ("name", "alias") if scope in options] or ["name", "alias"]
    texts = [key.name] if "name" in scopes else []
    texts += [alias.name for alias in key.aliases] if "alias" in scopes else []
    folded = query.casefold()
    found = any(folded == text.casefold() if "exact" in options else folded in text.casefold() for text in texts)
    return (found or key.identifier == query) != ("not" in options)


def looked_up(keys: list[Key], options: list[str], query: str) -> list[Key]:
    if "not" in options:
        return []
    by_alias = "alias" in options or "name" not in options
    return [
        key for key in keys if query == key.identifier or (by_alias and query in [alias.name for alias in key.aliases])
    ]


def sorted_by(keys: list[Key], sort: list[tuple[str, str]]) -> list[Key]:
    """By identifier; where a sort is asked for and two are alike, as they were made."""
    found = keys[:] if sort else sorted(keys, key=lambda key: key.identifier)
    for sign, name in reversed(sort):

        def value(key: Key, name: str = name) -> tuple[bool, Any]:
            told = key.state_at(NOW) if name == "state" else getattr(key, SORTS[name])
            return told is not None, told or 0

        found.sort(key=value, reverse=sign == "-")
    return found


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    filtered=terms,
    sort=sorts,
    search=searches,
    part=st.tuples(st.sampled_from([None, "default", "first"]), st.integers(1, 70), st.integers(0, 40)),
)
def test_a_list_is_what_the_model_says(
    house: House,
    filtered: list[tuple[str, str, Any]],
    sort: list[tuple[str, str]],
    search: tuple[list[str], str] | None,
    part: tuple[str | None, int, int],
) -> None:
    """For every mixture of filters, search options, sorts, rings and pages; the total as well."""
    ring, limit, offset = part
    parameters = {
        "filter": " ".join(told(*term) for term in filtered),
        "sort": ",".join(sign + name for sign, name in sort),
        "limit": str(limit),
        "offset": str(offset),
    }
    space = [key for key in KEYS if key.instance == INSTANCE and ring in (None, key.ring)]
    if all(name != "state" for name, _, _ in filtered):
        space = [key for key in space if key.state is not KeyState.DESTROYED]
    space = [key for key in space if all(holds(key, *term) for term in filtered)]
    expected = sorted_by(space, sort)
    if search is not None:
        options, query = search
        parameters["search"] = ":".join((*options, "escape", query))
        first = looked_up(space, options, query)
        expected = [*first, *(key for key in expected if searched(key, options, query) and key not in first)]

    call = a_call(ring=ring)
    found = page(house, call, Query.parse(parameters))

    assert expected[offset : offset + limit] == list(found.keys), parameters
    assert not found.incomplete
    assert len(space) == total(house, call, Query.parse({**parameters, "search": ""}))


def identifiers(house: House, caller: Caller | None = None, **parameters: str) -> list[str]:
    call = a_call() if caller is None else a_call(caller)
    return [key.identifier for key in page(house, call, Query.parse(parameters)).keys]


def test_the_parameters_of_their_own_say_the_same_as_a_filter(house: House) -> None:
    """``state`` and ``extractable``, which are older."""
    assert identifiers(house, state="1,5", extractable="false") == identifiers(
        house, filter="state=1,5 extractable=false"
    )
    assert identifiers(house, filter="state=0,1,2,3") == identifiers(house)


def test_a_search_tells_how_it_was_understood(house: House) -> None:
    """Query, scopes and options, whatever their order; ``escape:`` ends them."""
    for text, expected in {
        "foobar": ("foobar", ("name", "alias"), False, False),
        "not:exact:foobar": ("foobar", ("name", "alias"), True, True),
        "exact:not:foobar": ("foobar", ("name", "alias"), True, True),
        "exact:escape:not:foobar": ("not:foobar", ("name", "alias"), False, True),
        "alias:not:foobar": ("foobar", ("alias",), True, False),
        "name:exact:foobar": ("foobar", ("name",), False, True),
        "alias:name:foobar": ("foobar", ("name", "alias"), False, False),
        "escape:alias:": ("alias:", ("name", "alias"), False, False),
        "other:foobar": ("other:foobar", ("name", "alias"), False, False),
        "Not:foobar": ("Not:foobar", ("name", "alias"), False, False),
    }.items():
        understood = page(house, a_call(), Query.parse({"search": text})).searched
        assert understood is not None
        assert expected == (understood.query, understood.scopes, understood.inverted, understood.exact)
    assert page(house, a_call(), Query()).searched is None


def test_an_empty_parameter_asks_nothing(house: House) -> None:
    """IBM's SDK sends ``state=`` with every list."""
    names = ("limit", "offset", "state", "extractable", "search", "sort", "filter")

    assert Query() == Query.parse(dict.fromkeys(names, ""))
    assert Query() == Query.parse({"unknown": "x"})


ILL_FORMED: list[Mapping[str, str]] = [
    *({"limit": text} for text in ("0", "-1", "5001", "x", "1.5", " 1", "1e3", "9" * 5000, "٣", "1\n")),
    *({"offset": text} for text in ("-1", "x", "9" * 16, "0x1", "²")),
    *({"state": text} for text in ("4", "6", "1,", ",1", "1, 2", "one", "1,2,3,5,0,1,2,3,5,0", "," * 100_000)),
    *({"extractable": text} for text in ("1", "yes", "true ", "none")),
    *({"search": text} for text in ("not:", "exact:alias:", "escape:", "x" * 301, "\ud800", "name:" * 100_000)),
    *(
        {"sort": text}
        for text in ("name", "-", "--id", "id,id", "id,-id", "id,", "state;DROP TABLE keys", "," * 100_000)
    ),
    *(
        {"filter": text}
        for text in (
            "state",
            "state=",
            "state=4",
            "state=lt:3",
            "extractable=maybe",
            "extractable=gte:true",
            "extractable=none",
            "name=x",
            "id=x",
            "imported=true",
            "creationDate=2022",
            "creationDate=x",
            'creationDate="2022-02-15"',
            'creationDate="2022-02-15T00:00:00"',
            'creationDate="2022-02-30T00:00:00Z"',
            'creationDate="2022-02-15T25:00:00Z"',
            'creationDate="2022-W07-2T00:00:00Z"',
            'creationDate="0001-01-01T00:00:00+23:59',
            'creationDate=eq:"2022-02-15T00:00:00Z"',
            'creationDate=lt:lt:"2022-02-15T00:00:00Z"',
            "creationDate=lt:none",
            'creationDate="2022-02-15T00:00:00Z"state=1',
            'creationDate="2022-02-15T00:00:00Z" and state=1',
            "creationDate=none " * 4,
            "state=1\nstate=2",
            "state=1;state=2",
            "=" * 2000,
            "state=1 " * 100_000,
            '"' * 2000,
        )
    ),
    {"state": "1", "filter": "state=1"},
    {"extractable": "true", "filter": "state=1 extractable=true"},
]


@pytest.mark.parametrize("parameters", ILL_FORMED, ids=lambda parameters: str(parameters)[:60])
def test_what_is_not_in_the_grammar_is_refused(parameters: Mapping[str, str]) -> None:
    """With the query parameter that is wrong, and before anything is looked up."""
    with pytest.raises(InvalidQueryParam) as refused:
        Query.parse(parameters)

    assert (400, "INVALID_QUERY_PARAM_ERR") == (refused.value.status, refused.value.code)
    assert refused.value.target is not None
    assert ("query_param", True) == (refused.value.target[0], refused.value.target[1] in parameters)
    assert len(str(refused.value)) < 300


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["limit", "offset", "state", "extractable", "search", "sort", "filter"]),
        st.text(max_size=30)
        | st.text("not:exactlinmsp,-10235=\"<>gtDeZ' ", max_size=30)
        | st.sampled_from(["1", "true", "state", "-creationDate,id", "creationDate=none", "exact:name:x"]),
        max_size=4,
    )
)
def test_no_text_does_anything_but_list_or_be_refused(house: House, parameters: dict[str, str]) -> None:
    """Whatever comes."""
    try:
        query = Query.parse(parameters)
    except InvalidQueryParam:
        return
    assert len(page(house, a_call(), query).keys) <= query.limit


def test_an_expiration_that_comes_counts_at_once(tmp_path: Path) -> None:
    """In states, in filters, in the order and in the total, without anything that is written."""
    house = a_house(tmp_path)
    key = a_root_key(house, expires_at=house.now + 10)
    before = revision(house)
    assert [key.identifier] == identifiers(house, state="1")

    go_on(house, 10)

    assert [] == identifiers(house, state="1")
    assert [key.identifier] == identifiers(house, state="3") == identifiers(house, filter="state=3")
    assert 1 == total(house, a_call(), Query.parse({"state": "3"}))
    assert before == revision(house)
    house.close()


def test_who_may_list_what(tmp_path: Path) -> None:
    """A role over the instance: all; over a ring: that ring; over a key, or none: a refusal, and not an empty list."""
    house = a_house(tmp_path)
    an_instance(house, rings=("first", "second"))
    an_instance(house, OTHER_INSTANCE)
    keys = {ring: a_standard_key(house, ring=ring).identifier for ring in ("default", "first", "second")}
    a_standard_key(house, instance=OTHER_INSTANCE)
    everything, first = set(keys.values()), {keys["first"]}
    denied = None
    for caller, ring, expected in (
        (a_caller(house, Role.READER), None, everything),
        (a_caller(house, Role.READER), "first", first),
        (a_caller(house, Role.KMIP_ADAPTER_MANAGER), None, everything),
        (a_caller(house, Role.READER, instance=None), None, everything),
        (a_caller(house, Role.READER, ring="first"), None, first),
        (a_caller(house, Role.READER, ring="first"), "first", first),
        (a_caller(house, Role.READER, ring="first"), "second", denied),
        (a_caller(house, Role.READER, key=keys["first"]), None, denied),
        (a_caller(house, Role.READER, key=keys["first"]), "first", denied),
        (a_caller(house, Role.READER, instance=OTHER_INSTANCE), None, denied),
        (a_caller(house, Role.KEY_PURGE), None, denied),
        (a_caller(house), None, denied),
    ):
        call = a_call(caller, ring=ring)
        if expected is denied:
            for act in (page, total):
                assert (401, "UNAUTHORIZED_ERR") == refusal(act, house, call, Query())
            assert (401, "UNAUTHORIZED_ERR") == refusal(standard_names, house, call, "", "", 10)
        else:
            assert expected == {key.identifier for key in page(house, call, Query()).keys}
            assert len(expected) == total(house, call, Query())
            assert expected == {identifier for identifier, _ in standard_names(house, call, "", "", 10)}
    assert (404, "KEY_RING_NOT_FOUND_ERR") == refusal(page, house, a_call(ring="absent"), Query())
    house.close()


def test_a_search_finds_nothing_that_a_list_would_not_show(house: House) -> None:
    """Neither by identifier nor by alias: in another instance, in another ring, or deleted."""
    elsewhere = next(key for key in KEYS if key.instance == OTHER_INSTANCE and key.aliases)
    deleted = next(key for key in KEYS if key.instance == INSTANCE and key.state is KeyState.DESTROYED and key.aliases)
    living = next(key for key in KEYS if key.ring == "first" and key.state is KeyState.ACTIVE and key.aliases)

    for key in (elsewhere, deleted):
        for text in (key.identifier, key.aliases[0].name, f"exact:alias:{key.aliases[0].name}"):
            assert key.identifier not in identifiers(house, search=text)
    for text in (living.identifier, f"alias:{living.aliases[0].name}"):
        assert [living.identifier] == identifiers(house, search=text)[:1]
        assert living not in page(house, a_call(ring="second"), Query.parse({"search": text})).keys
    assert [deleted.identifier] == identifiers(house, search=deleted.identifier, state="5")


def test_a_search_through_too_many_keys_looks_one_up(tmp_path: Path) -> None:
    """By identifier or alias, and says that it is not complete; else it is refused."""
    house = a_house(tmp_path)
    one = a_standard_key(house, aliases=(Alias(name="one", created_at=1, created_by="somebody"),))
    other = a_root_key(house, name="unlike all others")
    with house.database.change() as unit:
        for number in range(4999):
            unit.put_key(replace(one, identifier=f"00000000-0000-4000-8000-{number:012}", aliases=()))

    for text in (one.identifier, one.identifier.upper(), "one", "exact:alias:one"):
        found = page(house, a_call(), Query.parse({"search": text}))
        assert ([one], True) == (list(found.keys), found.incomplete)
        assert [] == list(page(house, a_call(), Query.parse({"search": text, "offset": "1"})).keys)
    for text in ("unlike", "name:one", "not:one", other.identifier.replace("-", "")):
        with pytest.raises(KeySearchTooBroad) as refused:
            page(house, a_call(), Query.parse({"search": text}))
        assert (400, "KEY_SEARCH_TOO_BROAD") == (refused.value.status, refused.value.code)
    narrow = page(house, a_call(), Query.parse({"search": "unlike", "extractable": "false"}))
    assert ([other], False) == (list(narrow.keys), narrow.incomplete)
    assert 5000 == len(
        page(house, a_call(), Query.parse({"search": "key", "extractable": "true", "limit": "5000"})).keys
    )
    house.close()


def test_standard_names_go_through_all_active_standard_keys(house: House) -> None:
    """By identifier, in pages, of one beginning, as it is written."""
    living = [key for key in KEYS if key.instance == INSTANCE and key.extractable]
    active = sorted((key.identifier, key.name) for key in living if key.state_at(NOW) is KeyState.ACTIVE)
    for prefix in ("", "alpha", "Alpha", "Sch", "%", "_", "100%", "z"):
        found: list[tuple[str, str]] = []
        after = ""
        while told := standard_names(house, a_call(), prefix, after, 2):
            found += told
            after = told[-1][0]
        assert [each for each in active if each[1].startswith(prefix)] == found


def test_names_are_found_alike_among_few_and_among_many(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the index of names, or by that of identifiers."""
    prefix = standard_names(house, a_call(), "", "", 1)[0][1][:2]
    few = standard_names(house, a_call(), prefix, "", 100)
    monkeypatch.setattr("keyrack.embedded.listing._FEW", 0)

    assert few == standard_names(house, a_call(), prefix, "", 100)
    assert few


def test_pages_do_not_read_the_rows_that_they_skip(house: House) -> None:
    """Neither does a total, nor a sort: the index has all that is asked for."""
    with house.reading() as reading:
        query = Query.parse({"sort": "-creationDate,state", "filter": "lastRotateDate=none", "extractable": "true"})
        where = " AND ".join(["instance = ?", *(each.text for each in query.conditions(NOW))])
        plan = reading._connection.execute(
            f"EXPLAIN QUERY PLAN SELECT id FROM keys WHERE {where} ORDER BY {query.order(NOW)}", (INSTANCE, 1)
        ).fetchall()

    assert any("COVERING INDEX" in row[3] for row in plan)
