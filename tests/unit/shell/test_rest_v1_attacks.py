"""Attacks on the administration API, each over every call that it could be made on: foreign identifiers, requests that
another site has made, names that lead elsewhere, and text that pretends to be a header or a line of the log.

Guessing has its tests beside what it is slowed down by: ``test_people_logins``, ``test_rest_v1_people``.
"""

import io
import json
import logging
import re
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from keyrack.domain.rights import Grant, Role
from keyrack.service.people.passwords import Passwords
from keyrack.shell.rest.bounds import Rate
from keyrack.shell.rest.floodgate import Floodgate
from keyrack.shell.rest.v1.callers import COOKIE, csrf_of
from keyrack.shell.telemetry import JsonLines
from keyrack.testing.catalogs import rows
from keyrack.testing.people import CHEAP
from keyrack.testing.rest import Face, open_face

PARAMETER = re.compile(r"\{(\w+)\}")
FORGED = '{"event": "forged"}'
BREAKS = ("\r\n", "\n", "\r", "\x00", "\x1b[2K", "\u0085", "\u2028")
"""What ends a line, or hides one, for something that reads it."""
ELSEWHERE = (
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5c..%5cetc%5cpasswd",
    "%2fetc%2fpasswd",
    "..",
    "%252e%252e%252fetc%252fpasswd",
    "....",
    "keyrack.toml%00.json",
    "file:%2f%2f%2fetc%2fpasswd",
)


EVERYTHING = Rate(each_second=1, burst=1_000_000)


@pytest.fixture
async def face(tmp_path: Path) -> AsyncIterator[Face]:
    async with open_face(tmp_path / "served") as opened:
        opened.app.premises.passwords = Passwords(CHEAP)
        # Every call is tried in every way at once: more than one caller has.
        opened.app.premises.addresses = opened.app.premises.callers = Floodgate(EVERYTHING, lambda: 0.0)
        yield opened


@pytest.fixture(autouse=True)
def served(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the server writes, in the form for machines."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    rooms = logging.getLogger("keyrack")
    level = rooms.level
    rooms.addHandler(handler)
    rooms.setLevel(logging.DEBUG)
    yield stream
    rooms.removeHandler(handler)
    rooms.setLevel(level)


def calls(face: Face) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Method, template of the path and description of each call of the document that wants a token."""
    for path, methods in face.app.document()["paths"].items():
        for method, call in methods.items():
            if "security" in call:
                yield method.upper(), path, call


async def written(face: Face) -> list[str]:
    """The records of the journal."""
    return [record.text for record in await face.catalog.journal()]


def body_for(face: Face, call: Mapping[str, Any]) -> Any:
    """The smallest body that the document allows; ``None`` where there is none."""
    content = call.get("requestBody", {}).get("content", {})
    return example(face, next(iter(content.values()))["schema"]) if content else None


def filled(face: Face, path: str, call: Mapping[str, Any]) -> str:
    """The path, with something that fits in the place of each parameter."""
    schemas = {each["name"]: each["schema"] for each in call.get("parameters", ()) if each.get("in") == "path"}
    return PARAMETER.sub(lambda found: str(example(face, schemas[found[1]])), path)


def example(face: Face, schema: Mapping[str, Any]) -> Any:
    """Something that fits a schema, so that nothing is refused before it is asked whose it is."""
    while "$ref" in schema or "anyOf" in schema:
        name = schema.get("$ref", "").rpartition("/")[2]
        schema = face.app.document()["components"]["schemas"][name] if name else schema["anyOf"][0]
    if "enum" in schema:
        return schema["enum"][0]
    match schema["type"]:
        case "object":
            return {name: example(face, schema["properties"][name]) for name in schema.get("required", ())}
        case "array":
            return [example(face, schema["items"])] * schema.get("minItems", 0)
        case "string":
            texts = ("x" * max(1, schema.get("minLength", 1)), "0" * 64)
            return next(text for text in texts if re.search(schema.get("pattern", ""), text))
    return True if schema["type"] == "boolean" else schema.get("minimum", 1)


# Foreign identifiers --------------------------------------------------------------------------------------------------


async def test_no_call_reaches_into_another_instance(face: Face) -> None:
    """Every call that names an instance, by somebody who has all roles over another one: the same 404, byte for byte,
    for what is there and for what never was."""
    own, foreign = await face.instance("own"), await face.instance("foreign")
    eve = await face.person("eve", *(Grant(role, own.identifier) for role in Role))
    absent = str(uuid.uuid4())
    asked = 0
    for method, path, call in calls(face):
        if "{instance}" not in path:
            continue
        rest = filled(face, path.replace("{instance}", "INSTANCE"), call)
        answers = [
            await face.ask(
                method,
                rest.replace("INSTANCE", named),
                eve,
                body_for(face, call),
                headers={"if-match": "*", "x-request-id": "same"},
            )
            for named in (foreign.identifier, foreign.name, absent, "absent")
        ]
        assert {(each.status, each.body) for each in answers} == {(404, answers[0].body)}, (method, path)
        asked += 1
    assert asked > 30


async def test_no_call_without_a_right_tells_more_than_that(face: Face) -> None:
    """Every call, by somebody who is known and was granted nothing: nothing of a foreign instance, key or person."""
    secret = await face.instance("hidden-instance")
    await face.person("hidden-person", Grant(Role.ADMINISTRATOR))
    nobody = await face.person("nobody")
    for method, path, call in calls(face):
        url = PARAMETER.sub("hidden-instance", path) if "{instance}" in path else PARAMETER.sub("0" * 36, path)
        answer = await face.ask(method, url, nobody, body_for(face, call), headers={"if-match": "*"})
        told = answer.body.replace(b"hidden-instance", b"") if answer.status == 404 else answer.body
        assert secret.identifier.encode() not in told, (method, path)
        assert b"hidden-" not in told, (method, path)


# Requests of other sites ----------------------------------------------------------------------------------------------


async def test_no_change_is_made_by_another_site(face: Face) -> None:
    """Every call that changes something, with a good cookie: without its token, or from elsewhere, it is refused."""
    root = await face.person("root", Grant(Role.ADMINISTRATOR), Grant(Role.SECURITY_OFFICER))
    cookie = {"cookie": f"{COOKIE}={root}", "if-match": "*"}
    forgeries: list[dict[str, str]] = [
        {},
        {"x-csrf-token": ""},
        {"x-csrf-token": csrf_of("krs_" + "x" * 43)},
        {"x-csrf-token": csrf_of(root), "origin": "https://evil.example.com"},
        {"x-csrf-token": csrf_of(root), "origin": "null"},
        {"x-csrf-token": csrf_of(root), "origin": "https://localhost.evil.example.com"},
    ]
    asked = 0
    for method, path, call in calls(face):
        if method == "GET":
            continue
        for forged in forgeries:
            url = PARAMETER.sub("0" * 36, path)
            answer = await face.ask(method, url, None, body_for(face, call), headers=cookie | forged)
            assert (answer.status, answer.code) == (403, "csrf"), (method, path, forged)
        asked += 1
    assert asked > 40
    assert await written(face) == []


async def test_no_form_of_another_site_is_a_body(face: Face) -> None:
    """What a page can send without asking first is of a media type that is not taken."""
    root = await face.person("root", Grant(Role.ADMINISTRATOR))
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        headers = {"content-type": media} if media else {}
        for url, token in (("/api/v1/sessions", None), ("/api/v1/set-password", None), ("/api/v1/instances", root)):
            answer = await face.ask("POST", url, token, raw=b'{"name":"x","password":"y"}', headers=headers)
            assert (answer.status, answer.code) == (415, "unsupported-media-type"), (url, media)
    asked_first = {"origin": "https://evil.example.com", "access-control-request-method": "POST"}
    preflight = await face.ask("OPTIONS", "/api/v1/instances", headers=asked_first)
    assert not [name for name in preflight.headers if name.startswith("access-control-")]
    assert preflight.status >= 400


# Names that lead elsewhere --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ELSEWHERE)
async def test_no_name_in_a_path_leads_out_of_it(face: Face, name: str) -> None:
    """Every call, the name in the place of each identifier."""
    root = await face.person("root", Grant(Role.ADMINISTRATOR), Grant(Role.SECURITY_OFFICER))
    for method, path, call in calls(face):
        if "{" not in path:
            continue
        answer = await face.ask(
            method, PARAMETER.sub(name, path), root, body_for(face, call), headers={"if-match": "*"}
        )
        assert answer.status in (400, 403, 404, 405, 422, 503), (method, path, answer.status)
        assert answer.headers["content-type"] == "application/problem+json"
        assert b"root:" not in answer.body


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/cron.d/evil", "..", "evil/../..", "evil\\..\\..", "evil\x00.toml"]
)
async def test_no_name_that_is_given_becomes_a_path(face: Face, tmp_path: Path, name: str) -> None:
    """Of an instance, of a person, of a key manager: refused, and no file is made of it."""
    root = await face.person("root", Grant(Role.ADMINISTRATOR))
    for url, body in (
        ("/api/v1/instances", {"name": name}),
        ("/api/v1/instances", {"name": "good", "key_manager": name}),
        ("/api/v1/people", {"name": name}),
    ):
        answer = await face.ask("POST", url, root, body)
        assert answer.status in (404, 409, 422, 503), (url, answer.body)
    assert {each.name for each in tmp_path.rglob("*") if "evil" in each.name} == set()


# Text that pretends to be a header ------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
async def test_nothing_that_is_sent_becomes_a_header_of_the_answer(face: Face, end: str) -> None:
    """In a header, in the path, in the query, in a body: refused, or told without it."""
    root = await face.person("root", Grant(Role.ADMINISTRATOR))
    forged = f"x{end}Set-Cookie: {COOKIE}=forged{end}{end}<script>"
    coded = "".join(f"%{octet:02x}" for octet in forged.encode())
    bodies: list[tuple[str, Any]] = [
        ("/api/v1/instances", {"name": forged}),
        ("/api/v1/instances", {"name": "fine", "description": forged}),
        ("/api/v1/people", {"name": forged}),
        ("/api/v1/people", {"name": "fine", "display": forged}),
        ("/api/v1/sessions", {"name": forged, "password": forged, "cookie": True}),
        ("/api/v1/set-password", {"token": forged, "password": forged}),
    ]
    answers = [await face.ask("POST", url, root, body) for url, body in bodies]
    for name in ("x-request-id", "origin", "accept", "cookie", "if-match", "last-event-id", "authorization"):
        answers.append(await face.ask("GET", "/api/v1/instances", headers={name: forged}))
    answers.append(await face.ask("POST", "/api/v1/instances", root, {}, headers={"idempotency-key": forged}))
    for url in (f"/api/v1/instances/{coded}", f"/api/v1/instances?cursor={coded}", f"/set-password?{coded}={coded}"):
        answers.append(await face.ask("GET", url, root))
    answers.append(await face.ask("GET", f"/api/v1/oidc/callback?state={coded}&code={coded}", root))
    for answer in answers:
        assert "set-cookie" not in answer.headers
        assert all(value.isprintable() for value in answer.headers.values()), answer.headers


async def test_no_header_says_where_a_request_comes_from(face: Face) -> None:
    """The address in the journal, and that which guesses are counted by, is the connection's."""
    spoofed = {"x-forwarded-for": "198.51.100.66", "forwarded": "for=198.51.100.66", "x-real-ip": "198.51.100.66"}
    body = {"name": "anna", "password": "not this one, surely"}
    assert (await face.ask("POST", "/api/v1/sessions", None, body, headers=spoofed)).status == 401

    assert await rows(face.catalog, "SELECT name FROM attempt WHERE name LIKE 'address:%'") == [("address:192.0.2.7",)]
    (told,) = await written(face)
    assert "192.0.2.7" in told
    assert "198.51.100.66" not in told


async def test_a_query_names_each_thing_once(face: Face) -> None:
    """Of two values a proxy may have looked at the other one; where several are meant, several are taken."""
    await face.instance("own")
    root = await face.person("root", Grant(Role.ADMINISTRATOR))
    twice = await face.ask("GET", "/api/v1/instances?limit=1&limit=500", root)
    assert (twice.status, twice.code) == (400, "bad-request")
    assert (await face.ask("GET", "/api/v1/instances/own/keys?state=Active&state=Pre-Active", root)).status == 200


# Text that pretends to be a line of the log ---------------------------------------------------------------------------


@pytest.mark.parametrize("end", BREAKS)
async def test_nothing_that_is_sent_becomes_a_line_of_the_log(face: Face, log: io.StringIO, end: str) -> None:
    """In a path, a header, a name: each line of the log is an event of ours, and shows what it would hide."""
    root = await face.person("root", Grant(Role.ADMINISTRATOR))
    forged = f"x{end}{FORGED}{end}"
    coded = "".join(f"%{octet:02x}" for octet in forged.encode())
    for url in (f"/{coded}", f"/api/v1/instances/{coded}", f"/api/v1/instances?cursor={coded}"):
        await face.ask("GET", url, root)
    latin = forged.encode().decode("latin-1")
    for name in ("x-request-id", "user-agent", "authorization", "host", "cookie"):
        await face.ask("GET", "/api/v1/instances", headers={name: latin})
    await face.ask("POST", "/api/v1/sessions", None, {"name": forged, "password": forged})
    await face.ask("POST", "/api/v1/instances", root, {"name": forged, "description": forged})
    await face.ask(f"GET{end}", "/api/v1/instances", root)

    lines = log.getvalue().split("\n")[:-1]
    assert len(lines) >= 11
    for line in lines:
        event = json.loads(line)
        assert event["event"] != "forged"
        assert line.isprintable()


async def test_whoever_is_refused_stands_in_the_log(face: Face, log: io.StringIO) -> None:
    """With who, from where, what and why, and without what was shown; also where it came to no route."""
    viewer = await face.person("vera", Grant(Role.VIEWER))
    cookie = {"cookie": f"{COOKIE}={viewer}"}
    await face.ask("GET", "/api/v1/people", viewer)
    await face.ask("GET", "/api/v1/people", "krk_not-a-token")
    await face.ask("POST", "/api/v1/instances", None, {}, headers=cookie)
    await face.ask("GET", "/api/v1/instances", viewer, headers={"host": "evil.example.com"})
    await face.ask("POST", "/api/v1/instances", viewer, raw=b"{", headers={"content-type": "application/json"})

    events = [json.loads(line) for line in log.getvalue().splitlines()]
    told = [(each["status"], each["refused"], each["initiator"]) for each in events if each["event"] == "request"]
    assert told == [
        (403, "forbidden", "person-vera"),
        (401, "unauthenticated", ""),
        (403, "csrf", ""),
        (421, "wrong-host", ""),
        (400, "malformed-json", "person-vera"),
    ]
    assert {each["address"] for each in events} == {"192.0.2.7"}
    assert viewer not in log.getvalue()
    assert "krk_not-a-token" not in log.getvalue()


@pytest.mark.parametrize("end", BREAKS)
async def test_nothing_that_is_sent_becomes_a_line_of_the_journal(face: Face, end: str) -> None:
    """What somebody calls things is told in an export; nothing in it begins another line, or moves a terminal."""
    root = await face.person("root", Grant(Role.ADMINISTRATOR), Grant(Role.AUDITOR))
    forged = f"x{end}{FORGED}{end}"
    await face.ask("POST", "/api/v1/sessions", None, {"name": forged, "password": "not this one, surely"})
    await face.ask("POST", "/api/v1/instances", root, {"name": "fine", "description": forged})
    await face.ask("POST", "/api/v1/people", root, {"name": "anna", "display": forged})
    await face.ask("POST", "/api/v1/people", root, {"name": "olga", "issuer": "https://a.example", "subject": forged})

    exported = await face.ask("GET", "/api/v1/journal/export", root)
    assert exported.status == 200
    lines = exported.body.decode().split("\n")
    assert lines.pop() == ""
    assert len(lines) >= 3
    for line in lines:
        assert "forged" not in json.loads(line)
        assert line.isprintable()
