"""The frame of the administration API, with a noun of its own over the real catalog: what every noun inherits."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Response
from pydantic import Field

from keyrack.domain.approvals import Approval
from keyrack.domain.rights import Grant, Right, Role
from keyrack.ports.catalog import CatalogUnavailable, Unit
from keyrack.ports.people import PeopleChanges
from keyrack.service.office import refusals
from keyrack.service.office.refusals import NameTaken, Refused
from keyrack.shell.rest.bounds import Bounds, Rate
from keyrack.shell.rest.v1.app import ROUTERS
from keyrack.shell.rest.v1.callers import COOKIE, Caller, csrf_of
from keyrack.shell.rest.v1.etags import IfMatch, etag_of
from keyrack.shell.rest.v1.models import Body, Resource, Whole
from keyrack.shell.rest.v1.openapi import described
from keyrack.shell.rest.v1.problems import KINDS
from keyrack.shell.rest.v1.routing import OnceShown, noun
from keyrack.testing.rest import Answer, Face, open_face

router = noun("widgets")
ALL = "/api/v1/widgets"
ONE = "/api/v1/widgets/only"


class WidgetNew(Body):
    name: Annotated[str, Field(min_length=1, max_length=20)]
    size: Annotated[Whole, Field(ge=1, le=9)] = 1


class WidgetShown(Resource):
    name: str
    size: int


class Shelf:
    """What the routes of these tests change."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.made: list[str] = []
        self.gate: asyncio.Event | None = None
        self.raises: Exception | None = None
        self.size = 1


shelf = Shelf()


@router.post("/widgets", status_code=201)
async def create_widget(caller: Caller, body: WidgetNew, response: Response) -> WidgetShown:
    """Make one."""
    caller.administration.require(Right.INSTANCE_CREATE)
    if shelf.gate is not None:
        await shelf.gate.wait()
    if shelf.raises is not None:
        raise shelf.raises
    if body.name in shelf.made:
        raise NameTaken("the name is taken", field="name")
    shelf.made.append(body.name)
    response.headers["location"] = ONE
    return WidgetShown(name=body.name, size=body.size)


@router.post("/widgets/secret", status_code=201, response_class=OnceShown)
async def create_secret_widget(caller: Caller) -> WidgetShown:
    """Make one whose answer is a secret."""
    shelf.made.append("secret")
    return WidgetShown(name="s3cret-in-the-answer", size=1)


@router.get("/widgets/only")
async def show_widget(caller: Caller, response: Response) -> WidgetShown:
    """Show it."""
    response.headers["etag"] = etag_of(shelf.size)
    return WidgetShown(name="only", size=shelf.size)


@router.patch("/widgets/only")
async def change_widget(caller: Caller, seen: IfMatch, body: WidgetNew) -> WidgetShown:
    """Change it."""
    seen.holds(etag_of(shelf.size))
    shelf.size = body.size
    return WidgetShown(name=body.name, size=body.size)


@router.delete("/widgets/{name}", status_code=204)
async def remove_widget(caller: Caller, name: str) -> None:
    """Remove one."""
    shelf.made.remove(name)


@router.get("/widgets/broken")
async def show_broken_widget(caller: Caller) -> WidgetShown:
    """Fail."""
    raise ZeroDivisionError("a secret may stand here")


@pytest.fixture
async def face(tmp_path: Path) -> AsyncIterator[Face]:
    shelf.clear()
    async with open_face(tmp_path, routers=(*ROUTERS, router)) as opened:
        yield opened


@pytest.fixture
async def mara(face: Face) -> str:
    return await face.person("mara", Grant(Role.ADMINISTRATOR))


async def make(face: Face, token: str, key: str = "", name: str = "one") -> Answer:
    headers = {"idempotency-key": key} if key else {}
    return await face.ask("POST", ALL, token, {"name": name}, headers=headers)


# Lists and names ----------------------------------------------------------------------------------------------------


async def test_instances_are_listed_in_pages(face: Face) -> None:
    mara = await face.person("mara", Grant(Role.VIEWER))
    for name in ("b", "a", "c"):
        await face.instance(name)
    first = await face.ask("GET", "/api/v1/instances?limit=2", mara)
    assert [each["name"] for each in first.json()["items"]] == ["a", "b"]
    rest = await face.ask("GET", f"/api/v1/instances?limit=2&cursor={first.json()['next']}", mara)
    assert [each["name"] for each in rest.json()["items"]] == ["c"]
    assert rest.json()["next"] is None
    foreign = await face.ask("GET", f"/api/v1/key-managers?cursor={first.json()['next']}", mara)
    assert (foreign.status, foreign.code) == (400, "bad-cursor")


@pytest.mark.parametrize("cursor", ["zz", "W10", "bnVsbA", "WzEsMl0", "%00", "A" * 400])
async def test_a_cursor_that_is_none_is_told_so(face: Face, mara: str, cursor: str) -> None:
    answer = await face.ask("GET", f"/api/v1/instances?cursor={cursor}", mara)
    assert (answer.status, answer.code) == (400, "bad-cursor")


async def test_foreign_and_absent_answer_alike(face: Face) -> None:
    mine, other = await face.instance("mine"), await face.instance("other")
    mara = await face.person("mara", Grant(Role.ADMINISTRATOR, mine.identifier))
    assert (await face.ask("GET", "/api/v1/instances/mine", mara)).status == 200
    asked = (other.identifier, "other", "nobody", "..", "mine%20")
    answers = [await face.ask("GET", f"/api/v1/instances/{name}", mara) for name in asked if name != ".."]
    assert {each.status for each in answers} == {404}
    assert len({each.body for each in answers}) == 1
    listed = await face.ask("GET", "/api/v1/instances", mara)
    assert [each["name"] for each in listed.json()["items"]] == ["mine"]


# Who asks -----------------------------------------------------------------------------------------------------------


async def test_nobody_gets_in_without_a_token(face: Face, mara: str) -> None:
    for token in (None, "krk_nobody", "x" * 300, mara[:-1], mara + "A", mara.swapcase()):
        answer = await face.ask("GET", "/api/v1/instances", token)
        assert (answer.status, answer.code) == (401, "unauthenticated"), token
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"
        # Before anything of the request was looked at.
        assert (await face.ask("POST", ALL, token, {"nonsense": 1})).status == 401


async def test_a_revoked_key_and_a_disabled_person_count_at_the_next_request(face: Face, mara: str) -> None:
    (key,) = await face.catalog.api_keys()
    assert (await face.ask("GET", ONE, mara)).status == 200
    revoked = PeopleChanges(api_keys=(replace(key, revoked_at=1),))
    await face.catalog.commit(Unit(entries=(), people=revoked))
    assert (await face.ask("GET", ONE, mara)).status == 401


async def test_an_api_key_is_narrowed_to_its_roles(face: Face) -> None:
    narrow = await face.person("mara", Grant(Role.ADMINISTRATOR), Grant(Role.VIEWER), roles=frozenset({Role.VIEWER}))
    answer = await make(face, narrow)
    assert (answer.status, answer.code) == (403, "forbidden")
    assert shelf.made == []


async def test_who_guesses_tokens_is_slowed_down(tmp_path: Path) -> None:
    bounds = Bounds(logins=Rate(each_second=0.01, burst=3))
    async with open_face(tmp_path, bounds=bounds) as face:
        mara = await face.person("mara", Grant(Role.VIEWER))
        told = [(await face.ask("GET", "/api/v1/instances", "krk_wrong")).status for _ in range(4)]
        assert told == [401, 401, 401, 429]
        answer = await face.ask("GET", "/api/v1/instances", mara)
        assert answer.status == 200
        elsewhere = await face.ask("GET", "/api/v1/instances", "krk_wrong", address=("192.0.2.8", 1))
        assert elsewhere.status == 401


async def test_one_caller_and_one_address_have_a_rate(tmp_path: Path) -> None:
    slow = Rate(each_second=0.01, burst=2)
    async with open_face(tmp_path, bounds=Bounds(per_caller=slow)) as face:
        mara = await face.person("mara", Grant(Role.VIEWER))
        places = [("192.0.2.1", 1), ("192.0.2.2", 1), ("192.0.2.3", 1)]
        told = [(await face.ask("GET", "/api/v1/instances", mara, address=each)).status for each in places]
        assert told == [200, 200, 429]
    (tmp_path / "b").mkdir()
    async with open_face(tmp_path / "b", bounds=Bounds(per_address=slow)) as face:
        answers = [await face.ask("GET", "/health/live") for _ in range(3)]
        assert [each.status for each in answers] == [200, 200, 429]
        assert answers[2].code == "too-many-requests"


async def test_a_cookie_needs_its_csrf_token(face: Face, mara: str) -> None:
    def cookie(**more: str) -> dict[str, str]:
        return {
            "cookie": f"theme=dark; {COOKIE}={mara}",
            **{name.replace("_", "-"): told for name, told in more.items()},
        }

    assert (await face.ask("GET", ONE, headers=cookie())).status == 200
    for headers in (cookie(), cookie(x_csrf_token="x"), cookie(x_csrf_token=csrf_of(mara[:-1]))):
        answer = await face.ask("POST", ALL, None, {"name": "forged"}, headers=headers)
        assert (answer.status, answer.code) == (403, "csrf")
    right = csrf_of(mara)
    foreign = cookie(x_csrf_token=right, origin="https://evil.example")
    assert (await face.ask("POST", ALL, None, {"name": "forged"}, headers=foreign)).code == "csrf"
    assert shelf.made == []
    own = cookie(x_csrf_token=right, origin="https://localhost")
    assert (await face.ask("POST", ALL, None, {"name": "meant"}, headers=own)).status == 201


# What is asked ------------------------------------------------------------------------------------------------------


async def test_a_body_is_json_of_bounded_size_and_depth(face: Face, mara: str) -> None:
    json_type = {"content-type": "application/json"}
    for raw, headers, status, code in (
        (b'{"name":', json_type, 400, "malformed-json"),
        (b"\xff\xfe", json_type, 400, "malformed-json"),
        (b'{"name":"a","name":"b"}', json_type, 400, "malformed-json"),
        (b'{"name":NaN}', json_type, 400, "malformed-json"),
        (b'{"name":"\\ud800"}', json_type, 400, "malformed-json"),
        (b"[" * 40 + b"]" * 40, json_type, 400, "malformed-json"),
        (b"[" * 100_000, json_type, 400, "malformed-json"),
        (b'{"name":"a","size":' + b"9" * 5000 + b"}", json_type, 400, "malformed-json"),
        (b'{"name":"a"}', {"content-type": "text/plain"}, 415, "unsupported-media-type"),
        (b'{"name":"a"}', {}, 415, "unsupported-media-type"),
        (b'{"name":"' + b"x" * 1_048_576 + b'"}', json_type, 413, "too-large"),
        (b"{}", json_type, 422, "invalid"),
        (b'{"name":"a","more":1}', json_type, 422, "invalid"),
        (b'{"name":"a","size":"5"}', json_type, 422, "invalid"),
        (b'{"name":"a","size":true}', json_type, 422, "invalid"),
        (b"null", json_type, 422, "invalid"),
        (b"", {}, 422, "invalid"),
    ):
        answer = await face.ask("POST", ALL, mara, raw=raw, headers=headers)
        assert (answer.status, answer.code) == (status, code), (raw[:40], answer.body)
        assert b"pydantic" not in answer.body
    assert shelf.made == []
    lying = await face.ask("POST", ALL, mara, raw=b"{}", headers={**json_type, "content-length": "99999999"})
    assert lying.status == 413


async def test_fields_are_told_with_their_pointer_and_never_what_was_sent(face: Face, mara: str) -> None:
    answer = await face.ask("POST", ALL, mara, {"name": "p4ssword" * 9, "size": 0})
    told = answer.json()
    assert {each["pointer"] for each in told["errors"]} == {"/name", "/size"}
    assert (told["field"], told["pointer"], told["type"]) == ("name", "/name", "urn:keyrack:problem:invalid")
    assert b"p4ssword" not in answer.body


async def test_a_word_in_a_path_is_nothings_name(face: Face, mara: str) -> None:
    shelf.made = ["only", "secret"]
    for name in ("only", "secret", "%6fnly"):
        answer = await face.ask("DELETE", f"/api/v1/widgets/{name}", mara)
        assert (answer.status, "DELETE" in answer.headers["allow"]) == (405, False)
    assert shelf.made == ["only", "secret"]


async def test_methods_and_paths_that_are_not_there(face: Face, mara: str) -> None:
    for method in ("DELETE", "PUT", "OPTIONS", "HEAD", "TRACE", "BREW"):
        answer = await face.ask(method, ONE, mara)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, PATCH"), method
    for path in ("/api", "/api/v1", f"{ONE}/", "/api/v1/widget/none", "/docs", "/redoc", "/openapi.json"):
        answer = await face.ask("GET", path, mara)
        assert (answer.status, answer.code) == (404, "not-found"), path
    overridden = await face.ask("GET", ONE, mara, headers={"x-http-method-override": "DELETE", "x-method": "PATCH"})
    assert overridden.json() == {"name": "only", "size": 1}
    assert (await face.ask("GET", f"{ONE}?_method=PATCH", mara)).status == 200


@pytest.mark.parametrize("path", ["..%2f", "%2e%2e", "..%5c..", "a%00b", "%0d%0aSet-Cookie:%20a=b", "%2e%2e%2fetc"])
async def test_a_path_hides_nothing(face: Face, mara: str, path: str) -> None:
    answer = await face.ask("GET", f"/api/v1/instances/{path}", mara)
    assert (answer.status, answer.code) == (400, "bad-request")
    assert "set-cookie" not in answer.headers


async def test_the_answer_is_of_a_type_that_is_wanted(face: Face, mara: str) -> None:
    for accept, status in (
        ("text/html", 406),
        ("application/json;q=0", 406),
        ("application/json", 200),
        ("text/html, application/*;q=0.1", 200),
        ("*/*", 200),
        ("", 200),
    ):
        assert (await face.ask("GET", ONE, mara, headers={"accept": accept})).status == status, accept


async def test_the_head_is_bounded_and_means_one_thing(face: Face, mara: str) -> None:
    answer = await face.ask("GET", ONE, mara, headers={"x-long": "x" * 20_000})
    assert (answer.status, answer.code) == (431, "head-too-long")
    both = await face.ask("POST", ALL, mara, {"name": "a"}, headers={"transfer-encoding": "chunked"})
    assert (both.status, both.code, both.headers["connection"]) == (400, "bad-request", "close")


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "localhost@evil", "[::1", "a b"])
async def test_another_name_is_not_this_server(face: Face, mara: str, host: str) -> None:
    answer = await face.ask("GET", ONE, mara, headers={"host": host})
    assert (answer.status, answer.code) == (421, "wrong-host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8443", "localhost.", "127.0.0.1:1", "[::1]:8443"])
async def test_its_own_names_are(face: Face, mara: str, host: str) -> None:
    assert (await face.ask("GET", ONE, mara, headers={"host": host})).status == 200


async def test_every_answer_has_the_headers_that_protect(face: Face, mara: str) -> None:
    for answer in (
        await face.ask("GET", ONE, mara),
        await face.ask("GET", ONE),
        await face.ask("GET", "/nothing"),
        await face.ask("GET", ONE, headers={"host": "evil.example"}),
        await face.ask("GET", "/api/v1/widgets/broken", mara),
    ):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(policy)
        assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers


async def test_the_request_has_a_name(face: Face, mara: str) -> None:
    told = await face.ask("GET", ONE, mara, headers={"x-request-id": "deploy-17:a.b_c"})
    assert told.headers["x-request-id"] == "deploy-17:a.b_c"
    for odd in ("a\tb", "x" * 101, "a b", 'a"b'):
        assert (await face.ask("GET", ONE, mara, headers={"x-request-id": odd})).headers["x-request-id"] != odd


async def test_a_fault_of_ours_tells_nothing_but_where_to_look(
    face: Face, mara: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await face.ask("GET", "/api/v1/widgets/broken", mara)
    assert (answer.status, answer.code) == (500, "internal")
    assert answer.json()["incident"] == answer.headers["x-request-id"]
    assert b"secret" not in answer.body
    assert b"ZeroDivision" not in answer.body
    (record,) = [each for each in caplog.records if each.message == "unforeseen"]
    assert (vars(record)["correlation"], vars(record)["error"]) == (answer.json()["incident"], "ZeroDivisionError")


async def test_a_catalog_that_fails_is_told_as_such(face: Face, mara: str) -> None:
    shelf.raises = CatalogUnavailable("disk /secret/path is full")
    answer = await make(face, mara)
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "unavailable", "5")
    assert b"/secret/path" not in answer.body


# Changes ------------------------------------------------------------------------------------------------------------


async def test_a_change_names_what_it_is_a_change_of(face: Face, mara: str) -> None:
    missing = await face.ask("PATCH", ONE, mara, {"name": "only", "size": 2})
    assert (missing.status, missing.code) == (428, "if-match-missing")
    etag = (await face.ask("GET", ONE, mara)).etag
    for wrong in ('"x"', f"W/{etag}", etag.strip('"')):
        answer = await face.ask("PATCH", ONE, mara, {"name": "only", "size": 2}, headers={"if-match": wrong})
        assert (answer.status, answer.code) == (412, "changed-meanwhile")
    answers = await asyncio.gather(
        *(
            face.ask("PATCH", ONE, mara, {"name": "only", "size": size}, headers={"if-match": etag})
            for size in (2, 3, 4)
        )
    )
    assert sorted(each.status for each in answers) == [200, 412, 412]


def test_an_etag_tells_values_apart() -> None:
    values: Sequence[Any] = (1, "1", None, (1,), {"a": 1}, frozenset({"a"}), b"a", [])
    made = {etag_of(each) for each in values}
    assert len(made) == 8
    assert etag_of(frozenset({"b", "a"})) == etag_of(frozenset({"a", "b"}))


# Repetition ---------------------------------------------------------------------------------------------------------


async def test_a_repeated_request_is_done_once(face: Face, mara: str) -> None:
    first = await make(face, mara, "k1")
    again = await make(face, mara, "k1")
    assert (first.status, first.body, first.headers["location"]) == (201, again.body, again.headers["location"])
    assert again.headers["idempotent-replayed"] == "true"
    assert shelf.made == ["one"]
    other = await make(face, mara, "k1", name="two")
    assert (other.status, other.code) == (422, "idempotency-key-reused")
    assert (await make(face, mara, "k2", name="two")).status == 201
    zora = await face.person("zora", Grant(Role.ADMINISTRATOR))
    assert (await make(face, zora, "k1", name="three")).status == 201


async def test_of_requests_at_once_one_is_done(face: Face, mara: str) -> None:
    shelf.gate = asyncio.Event()
    tasks = [asyncio.create_task(make(face, mara, "race")) for _ in range(6)]
    async with asyncio.timeout(10):
        while sum(task.done() for task in tasks) < 5:
            await asyncio.sleep(0.01)
    shelf.gate.set()
    answers = await asyncio.gather(*tasks)
    assert sorted(each.status for each in answers) == [201, 409, 409, 409, 409, 409]
    assert {each.code for each in answers if each.status == 409} == {"in-progress"}
    assert shelf.made == ["one"]


async def test_what_was_refused_may_come_again(face: Face, mara: str) -> None:
    shelf.raises = NameTaken("taken")
    assert (await make(face, mara, "k")).status == 409
    shelf.raises = None
    assert (await make(face, mara, "k")).status == 201


async def test_what_waits_for_a_second_person_is_not_asked_for_twice(face: Face, mara: str) -> None:
    fields: dict[str, Any] = dict.fromkeys(Approval.__dataclass_fields__, "x") | {"expires_at": 5}
    shelf.raises = refusals.SecondPersonNeeded("it waits", Approval(**fields))
    first = await make(face, mara, "k")
    shelf.raises = None
    again = await make(face, mara, "k")
    assert (first.status, again.status, shelf.made) == (202, 202, [])
    assert first.json()["approval"] == again.json()["approval"] == "x"


async def test_what_was_cut_off_is_never_done_again(face: Face, mara: str) -> None:
    shelf.raises = ZeroDivisionError()
    assert (await make(face, mara, "k")).status == 500
    shelf.raises = None
    answer = await make(face, mara, "k")
    assert (answer.status, answer.code, shelf.made) == (409, "in-progress", [])


async def test_a_secret_is_never_kept(face: Face, mara: str, tmp_path: Path) -> None:
    headers = {"idempotency-key": "s"}
    first = await face.ask("POST", "/api/v1/widgets/secret", mara, headers=headers)
    assert (first.status, first.json()["name"]) == (201, "s3cret-in-the-answer")
    again = await face.ask("POST", "/api/v1/widgets/secret", mara, headers=headers)
    assert (again.status, again.code, again.json()["answered"]) == (409, "shown-once", 201)
    assert shelf.made == ["secret"]
    kept = b"".join(each.read_bytes() for each in tmp_path.iterdir() if each.is_file())
    assert b"s3cret-in-the-answer" not in kept


async def test_after_a_day_a_key_is_free_again(tmp_path: Path) -> None:
    now = [1_800_000_000_000]
    async with open_face(tmp_path, routers=(router,), clock=lambda: now[0]) as face:
        shelf.clear()
        mara = await face.person("mara", Grant(Role.ADMINISTRATOR))
        assert (await make(face, mara, "k")).status == 201
        now[0] += 24 * 3600 * 1000 + 1000
        assert (await make(face, mara, "k")).code == "name-taken"


async def test_a_key_is_printable(face: Face, mara: str) -> None:
    for odd in ("", "a b", "x" * 101, "é"):
        answer = await face.ask("POST", ALL, mara, {"name": "a"}, headers={"idempotency-key": odd})
        assert (answer.status, answer.code) == (400, "bad-request")


# The tables ---------------------------------------------------------------------------------------------------------


def test_every_refusal_has_its_problem() -> None:
    def kinds(kind: type[Refused]) -> list[type[Refused]]:
        return [kind, *(deeper for each in kind.__subclasses__() for deeper in kinds(each))]

    codes = {each.code for each in kinds(Refused) if each.__module__.startswith("keyrack.service")}
    assert codes <= set(KINDS)


def test_the_document_tells_of_no_shape_of_fastapis() -> None:
    text = json.dumps(_document())
    assert "HTTPValidationError" not in text
    assert '"openapi": "3.1.0"' in text


def _document() -> Mapping[str, Any]:
    app = FastAPI(generate_unique_id_function=lambda route: route.name)
    for each in ROUTERS:
        app.include_router(each, prefix="/api/v1")
    return described(app)
