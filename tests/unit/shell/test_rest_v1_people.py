"""Log-ins, people and API keys over REST: cookies, CSRF, proofs; foreign people; guesses."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from keyrack.domain.rights import Grant, Role
from keyrack.service.people.passwords import Passwords
from keyrack.shell.rest.v1.callers import COOKIE
from keyrack.testing.catalogs import pages
from keyrack.testing.people import CHEAP, PASSWORD
from keyrack.testing.rest import Answer, Face, open_face

ROOT = Grant(Role.ADMINISTRATOR)
OTHER = "meadow lantern quartz"


@pytest.fixture
async def face(tmp_path: Path) -> AsyncIterator[Face]:
    async with open_face(tmp_path) as opened:
        opened.app.premises.passwords = Passwords(CHEAP)
        yield opened


async def added(face: Face, by: str, name: str, *roles: str) -> None:
    """Somebody who has set a password."""
    body = {"name": name, "roles": [{"role": role} for role in roles]}
    made = await face.ask("POST", "/api/v1/people", by, body)
    assert made.status == 201, made.body
    token = made.json()["invitation"]["token"]
    done = await face.ask("POST", "/api/v1/set-password", None, {"token": token, "password": PASSWORD})
    assert (done.status, done.json()) == (200, {"name": name})


async def log_in(face: Face, name: str, password: str = PASSWORD, **more: Any) -> Answer:
    """By name and password."""
    return await face.ask("POST", "/api/v1/sessions", None, {"name": name, "password": password, **more})


async def test_a_program_logs_in_and_out(face: Face) -> None:
    root = await face.person("root", ROOT)
    await added(face, root, "anna", "operator")

    begun = await log_in(face, "anna")
    assert begun.status == 201
    token = begun.json()["token"]
    assert "set-cookie" not in begun.headers
    assert begun.headers["cache-control"] == "no-store"
    mine = (await face.ask("GET", "/api/v1/me", token)).json()
    assert (mine["name"], mine["rights"]) == ("anna", [{"role": "operator", "instance": None}])
    sessions = (await face.ask("GET", "/api/v1/people/anna/sessions", token)).json()["items"]
    assert [each["current"] for each in sessions] == [True]
    assert token not in json.dumps(sessions)
    assert (await face.ask("DELETE", "/api/v1/sessions/current", token)).status == 204
    assert (await face.ask("GET", "/api/v1/me", token)).code == "unauthenticated"


async def test_a_browser_gets_a_cookie_that_no_script_and_no_other_site_has(face: Face) -> None:
    root = await face.person("root", ROOT)
    await added(face, root, "anna", "administrator")
    begun = await log_in(face, "anna", cookie=True)

    assert begun.json()["token"] is None
    name, _, rest = begun.headers["set-cookie"].partition("=")
    value, *flags = rest.split("; ")
    assert name == COOKIE == "__Host-keyrack"
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} == set(flags)

    cookie = {"cookie": f"{COOKIE}={value}"}
    with_token = cookie | {"x-csrf-token": begun.json()["csrf_token"]}
    url, body = "/api/v1/people/anna/sessions/end", None
    assert (await face.ask("GET", "/api/v1/me", headers=cookie)).status == 200
    for forged in (
        cookie,
        cookie | {"x-csrf-token": "x" * 43},
        with_token | {"origin": "https://evil.example.com"},
        with_token | {"origin": "null"},
    ):
        assert (await face.ask("POST", url, None, body, headers=forged)).code == "csrf"
    current = await face.ask("GET", "/api/v1/sessions/current", headers=cookie)
    assert current.json()["csrf_token"] == begun.json()["csrf_token"]
    good = with_token | {"origin": "https://localhost"}
    assert (await face.ask("POST", url, None, body, headers=good)).json() == {"ended": 1}
    assert (await face.ask("GET", "/api/v1/me", headers=cookie)).status == 401


async def test_no_other_site_logs_somebody_in(face: Face) -> None:
    body = {"name": "anna", "password": PASSWORD, "cookie": True}
    headers = {"origin": "https://evil.example.com"}
    assert (await face.ask("POST", "/api/v1/sessions", None, body, headers=headers)).code == "csrf"


async def test_wrong_log_ins_look_alike(face: Face) -> None:
    """Byte for byte, but for the identifier of the request."""
    root = await face.person("root", ROOT)
    await added(face, root, "anna")
    answers = [await log_in(face, *who) for who in (("anna", OTHER), ("nobody", OTHER), ("root", OTHER))]

    assert {(each.status, each.body) for each in answers} == {(401, answers[0].body)}
    assert answers[0].code == "not-recognised"


async def test_guessing_over_rest_is_slow(face: Face) -> None:
    """The first of each address that are looked at; what comes too early says when to come again."""
    root = await face.person("root", ROOT)
    await added(face, root, "anna")
    passwords = face.app.premises.passwords
    before = passwords.computed

    answers = [await log_in(face, "anna", f"guess number {n} of many") for n in range(60)]

    assert passwords.computed - before <= 6
    assert {each.status for each in answers} == {401, 429}
    late = next(each for each in answers if each.status == 429)
    assert late.code == "too-many-attempts"
    assert int(late.headers["retry-after"]) >= 4


async def test_a_stale_log_in_proves_itself_before_it_ends_anything(face: Face) -> None:
    root = await face.person("root", ROOT)
    await added(face, root, "anna", "administrator")
    token = (await log_in(face, "anna")).json()["token"]
    premises, later = face.app.premises, face.app.premises.clock() + 301_000
    premises.clock = lambda: later

    refused = await face.ask("POST", "/api/v1/people/root/disable", token)
    assert (refused.status, refused.code) == (403, "proof-needed")
    wrong = await face.ask("POST", "/api/v1/sessions/current/prove", token, {"password": OTHER})
    assert wrong.code == "not-recognised"
    assert (await face.ask("POST", "/api/v1/sessions/current/prove", token, {"password": PASSWORD})).status == 204
    assert (await face.ask("POST", "/api/v1/people/root/disable", token)).json()["state"] == "disabled"
    assert (await face.ask("GET", "/api/v1/me", root)).status == 401


async def test_no_quick_hash_of_a_password_is_kept(face: Face, tmp_path: Path) -> None:
    """Under an Idempotency-Key the request is known again; but not by a hash that passwords can be tried against."""
    root = await face.person("root", ROOT)
    await added(face, root, "anna")
    token = (await log_in(face, "anna")).json()["token"]
    body, headers = {"old": PASSWORD, "new": OTHER}, {"idempotency-key": "one"}
    url = "/api/v1/me/password"
    assert (await face.ask("POST", url, token, body, headers=headers)).status == 204

    import hashlib

    raw = json.dumps(body).encode()
    digest = hashlib.sha256()
    for part in (b"POST", url.encode(), b"", raw):
        digest.update(len(part).to_bytes(8, "big") + part)
    kept = pages(tmp_path / "catalog.db")
    assert digest.digest() not in kept
    assert hashlib.sha256(raw).digest() not in kept
    assert (await face.ask("POST", url, token, body, headers=headers)).headers["idempotent-replayed"] == "true"


async def test_people_are_changed_by_who_may(face: Face) -> None:
    """ETag, If-Match, pages, names; the last administrator; one's own roles."""
    root = await face.person("root", ROOT)
    one = await face.instance("prod")
    await added(face, root, "anna", "administrator")
    url = "/api/v1/people/anna"
    seen = await face.ask("GET", url, root)
    given = await face.ask("POST", f"{url}/grant", root, {"role": "operator", "instance": "prod"})
    assert {"role": "operator", "instance": one.identifier} in given.json()["roles"]
    assert given.etag != seen.etag
    assert (await face.ask("DELETE", url, root)).status == 428
    assert (await face.ask("DELETE", url, root, headers={"if-match": seen.etag})).code == "changed-meanwhile"
    taken = await face.ask("POST", f"{url}/revoke", root, {"role": "operator", "instance": one.identifier})
    assert taken.json()["roles"] == [{"role": "administrator", "instance": None}]
    own = await face.ask("POST", "/api/v1/people/root/grant", root, {"role": "security-officer"})
    assert own.code == "forbidden"
    last = await face.ask("DELETE", url, root, headers={"if-match": taken.etag})
    assert (last.status, last.code) == (422, "refused")  # root has no password: anna alone can log in
    again = await face.ask("POST", "/api/v1/people", root, {"name": "anna"})
    assert (again.status, again.code, again.json()["field"]) == (409, "name-taken", "name")
    bad = await face.ask("POST", "/api/v1/people", root, {"name": "a b"})
    assert (bad.status, bad.code) == (422, "unusable")
    page = await face.ask("GET", "/api/v1/people?limit=1", root)
    assert [each["name"] for each in page.json()["items"]] == ["anna"]
    rest = await face.ask("GET", f"/api/v1/people?limit=1&cursor={page.json()['next']}", root)
    assert [each["name"] for each in rest.json()["items"]] == ["root"]
    assert not any("password" in key or "argon2" in str(value) for key, value in page.json()["items"][0].items())


async def test_foreign_and_absent_people_answer_alike(face: Face) -> None:
    """Every call about people, by somebody who may not see them: the same bytes for somebody and for nobody."""
    root = await face.person("root", ROOT)
    operator = await face.person("olga", Grant(Role.OPERATOR))
    key = (await face.ask("GET", "/api/v1/api-keys?person=root", root)).json()["items"][0]["identifier"]
    person = (await face.ask("GET", "/api/v1/people/root", root)).json()["identifier"]
    match = {"if-match": "*"}
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/api/v1/people/{}", None),
        ("DELETE", "/api/v1/people/{}", None),
        ("POST", "/api/v1/people/{}/grant", {"role": "viewer"}),
        ("POST", "/api/v1/people/{}/revoke", {"role": "viewer"}),
        ("POST", "/api/v1/people/{}/disable", None),
        ("POST", "/api/v1/people/{}/enable", None),
        ("POST", "/api/v1/people/{}/invite", None),
        ("GET", "/api/v1/people/{}/sessions", None),
        ("DELETE", "/api/v1/people/{}/sessions/abcd", None),
        ("POST", "/api/v1/people/{}/sessions/end", None),
        ("POST", "/api/v1/people/{}/api-keys", {"name": "x"}),
        ("GET", "/api/v1/api-keys?person={}", None),
    ]
    for method, url, body in calls:
        told = [
            await face.ask(method, url.format(name), operator, body, headers=match)
            for name in ("root", person, "nobody")
        ]
        assert {(each.status, each.body) for each in told} == {(403, told[0].body)}, url
    for method, url in (("GET", "/api/v1/api-keys/{}"), ("DELETE", "/api/v1/api-keys/{}")):
        told = [await face.ask(method, url.format(name), operator, headers=match) for name in (key, "0" * 32)]
        assert {(each.status, each.body) for each in told} == {(404, told[0].body)}, url
    assert (await face.ask("GET", "/api/v1/people", operator)).code == "forbidden"
    assert (await face.ask("GET", "/api/v1/api-keys", operator)).code == "forbidden"
    # What is one's own is there.
    assert (await face.ask("GET", "/api/v1/people/olga", operator)).status == 200
    assert len((await face.ask("GET", "/api/v1/api-keys?person=olga", operator)).json()["items"]) == 1


async def test_an_api_key_of_ones_own(face: Face) -> None:
    root = await face.person("root", ROOT)
    await added(face, root, "anna", "operator", "auditor")
    token = (await log_in(face, "anna")).json()["token"]
    body = {"name": "backup", "roles": ["auditor"], "days": 30}
    made = await face.ask("POST", "/api/v1/people/anna/api-keys", token, body, headers={"idempotency-key": "k"})
    assert made.status == 201
    key = made.json()["api_key"]
    assert (await face.ask("GET", "/api/v1/me", key)).json()["rights"] == [{"role": "auditor", "instance": None}]
    assert key not in (await face.ask("GET", made.headers["location"], token)).body.decode()
    again = await face.ask("POST", "/api/v1/people/anna/api-keys", token, body, headers={"idempotency-key": "k"})
    assert (again.status, again.code) == (409, "shown-once")
    for forbidden in (key, root):
        answer = await face.ask("POST", "/api/v1/people/anna/api-keys", forbidden, {"name": "more"})
        assert answer.code == "forbidden"
    for wrong in ({"days": 731}, {"days": "30"}, {"roles": ["king"]}, {"name": ""}, {"extra": 1}):
        answer = await face.ask("POST", "/api/v1/people/anna/api-keys", token, {"name": "more"} | wrong)
        assert (answer.status, answer.code) == (422, "invalid")
    gone = await face.ask("DELETE", made.headers["location"], token, headers={"if-match": made.etag})
    assert gone.status == 204
    assert (await face.ask("GET", "/api/v1/me", key)).status == 401


async def test_a_link_counts_once_over_rest(face: Face) -> None:
    root = await face.person("root", ROOT)
    made = await face.ask("POST", "/api/v1/people", root, {"name": "anna"})
    token = made.json()["invitation"]["token"]
    weak = await face.ask("POST", "/api/v1/set-password", None, {"token": token, "password": "Password1234"})
    assert (weak.code, weak.json()["field"]) == ("unusable", "password")
    assert "Password1234" not in weak.body.decode()
    body = {"token": token, "password": PASSWORD}
    assert (await face.ask("POST", "/api/v1/set-password", None, body)).status == 200
    assert (await face.ask("POST", "/api/v1/set-password", None, body)).code == "not-recognised"
