"""The frame of every page: who gets in, what is refused before any room sees it, and what a browser is told that it may
do. What is asked of one route is asked of all of them."""

import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import pytest
from starlette.responses import Response

from keyrack.domain.people import LoginSession
from keyrack.domain.rights import PROOF_LASTS, Grant, Role
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.service.people import letting_in, logins, persons, tokens
from keyrack.service.people.door import USUAL
from keyrack.service.people.passwords import Passwords
from keyrack.shell.config.whole import load
from keyrack.shell.console import assets
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.console.face import ROOMS
from keyrack.shell.console.places import local
from keyrack.shell.console.typed import LONGEST_FORM, MOST_FIELDS
from keyrack.shell.rest.bounds import Rate
from keyrack.shell.rest.floodgate import Floodgate
from keyrack.shell.rest.v1 import door
from keyrack.shell.rest.v1.callers import COOKIE, csrf_of
from keyrack.testing.clock import Clock
from keyrack.testing.people import CHEAP, PASSWORD, House
from keyrack.testing.rest import Answer, Face, open_face

CONFIG: Final = """
[deployment]
id = "tests"
[key_managers.embedded]
type = "embedded"
keystore = "keystore"
unlock = { key_file = "keystore.key" }
"""
FORM: Final = "application/x-www-form-urlencoded"
HTML: Final = {"accept": "text/html,application/xhtml+xml"}
BACK: Final = {
    "origin": "https://localhost",
    "referer": "https://localhost/account?x=1",
    "sec-fetch-site": "same-origin",
}
MOST_OF_TEXT: Final = 60 * 1024
MOST_TRANSFERRED: Final = 150 * 1024
"""Bytes."""
MADE_UP: Final = re.compile(r"\{[^}]*\}")


@dataclass(slots=True)
class Place:
    """The console, its people, and a clock that the test turns."""

    face: Face
    house: House
    tokens: dict[str, str] = field(default_factory=dict)

    async def log_in(self, name: str) -> str:
        """The token of a new log-in."""
        return (await self.house.log_in(name)).token

    async def get(self, url: str, token: str = "", **headers: str) -> Answer:
        """As a browser asks for a page."""
        return await self.face.ask("GET", url, headers={**HTML, **_cookie(token), **_named(headers)})

    async def post(
        self,
        url: str,
        token: str = "",
        form: Mapping[str, str] | None = None,
        *,
        csrf: str | None = None,
        **headers: str,
    ) -> Answer:
        """As a browser sends a form; with the log-in's own CSRF token unless another is given."""
        sent = {**(form or {}), "csrf": csrf_of(token) if csrf is None else csrf}
        told = {**HTML, **BACK, "content-type": FORM, **_cookie(token), **_named(headers)}
        return await self.face.ask("POST", url, headers=told, raw=urlencode(sent).encode())

    async def session(self, token: str) -> LoginSession:
        """The log-in as the catalog has it."""
        found = await self.face.catalog.login_session(tokens.digest(token))
        assert found is not None
        return found


def _cookie(token: str) -> dict[str, str]:
    return {"cookie": f"{COOKIE}={token}"} if token else {}


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def routes(method: str) -> Iterator[str]:
    """The address of each route of each room that takes this method, with something made up for each name in it."""
    for room in ROOMS:
        for route in room.routes:
            if method in (route.methods or ()):
                yield MADE_UP.sub("made-up", route.path)


OPENED: Final = frozenset({"/log-in", "/preferences", "/set-password", "/log-in/link"})
"""Forms for those who are not logged in; all others want a log-in."""


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    (tmp_path / "keyrack.toml").write_text(CONFIG)
    config, clock = load(tmp_path / "keyrack.toml", {}), Clock()
    async with open_face(
        tmp_path, config=config, clock=lambda: int(clock()) * 1000, passwords=Passwords(CHEAP)
    ) as face:
        face.app.premises.addresses = _gate()
        face.app.premises.callers = _gate()
        face.app.premises.strangers = _gate()
        house = House(face.catalog, clock=clock)
        await house.person("mara", Grant(Role.ADMINISTRATOR), Grant(Role.SECURITY_OFFICER), Grant(Role.OPERATOR))
        yield Place(face, house)


def _gate(burst: int = 100_000) -> Floodgate:
    return Floodgate(Rate(each_second=1, burst=burst), lambda: 0.0)


async def test_every_answer_says_what_a_browser_may_do(place: Place) -> None:
    """Of every room, to those who are logged in and to those who are not."""
    token = await place.log_in("mara")
    seen = 0
    for url in sorted({*routes("GET"), *routes("POST"), "/made-up"}):
        for who in ("", token):
            answer = await place.get(url, who)
            told = (url, answer.status)
            assert answer.status < 500 or answer.status == 503, told
            policy = answer.headers["content-security-policy"]
            for part in ("default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
                assert part in policy, told
            assert "unsafe" not in policy, told
            assert answer.headers["cache-control"] == "no-store", told
            assert answer.headers["x-content-type-options"] == "nosniff", told
            assert answer.headers["referrer-policy"] in {"same-origin", "no-referrer"}, told
            assert "includeSubDomains" in answer.headers["strict-transport-security"], told
            if answer.headers.get("content-type", "").startswith("text/html"):
                assert "script-src 'self'" in policy, told
                assert "form-action 'self'" in policy, told
                assert answer.headers["x-frame-options"] == "DENY", told
                seen += 1
    assert seen > len(ROOMS)


async def test_a_page_brings_little(place: Place) -> None:
    """Counted as it goes over the wire to a browser that has nothing of it yet, with all that belongs to it."""
    token, packed = await place.log_in("mara"), {each.url: len(each.packed) for each in assets.assets().values()}
    seen = 0
    for url in routes("GET"):
        answer = await place.get(url, token)
        text = answer.body.decode() if answer.headers.get("content-type", "").startswith("text/html") else ""
        if "<html" in text:
            files = set(re.findall(r"/static/[0-9a-f]{16}/[^\"'#]+", text))
            assert len(files) > 4, url
            assert len(answer.body) <= MOST_OF_TEXT, (url, len(answer.body))
            taken = len(answer.body) + sum(packed[each] for each in files)
            assert taken <= MOST_TRANSFERRED, (url, taken)
            seen += 1
    assert seen > len(ROOMS)


async def test_nothing_is_done_by_looking(place: Place) -> None:
    """A GET of whatever there is, also of what takes forms, writes nothing into the journal."""
    token, _ = await place.log_in("mara"), await place.log_in("mara")
    before = await place.house.journal()
    for url in sorted({*routes("GET"), *routes("POST")}):
        answer = await place.get(url, token)
        if url in set(routes("POST")) - set(routes("GET")):
            assert answer.status in {404, 405}, url
    written = (await place.house.journal())[len(before) :]
    assert [text for text in written if '"journal.' not in text] == []


async def test_every_form_wants_a_log_in_and_its_own_secret(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Without a log-in one is led there; without the CSRF token, with another's, or from another site all is refused,
    and nothing is written."""
    caplog.set_level(logging.INFO, logger=door.__name__)
    token, other = await place.log_in("mara"), await place.log_in("mara")
    before = await place.house.journal()

    async def refused(url: str, who: str, csrf: str | None = None, **headers: str) -> bool:
        caplog.clear()
        answer = await place.post(url, who, None, csrf=csrf, **headers)
        # Beside the code stands the form's own page, or what keeps that from being shown.
        return answer.status >= 400 and [getattr(each, "refused", "") for each in caplog.records] == ["csrf"]

    forms = sorted(set(routes("POST")))
    assert OPENED <= set(forms)
    for url in forms:
        if url not in OPENED:
            answer = await place.post(url)
            assert (answer.status, answer.headers["location"].partition("?")[0]) == (303, "/log-in"), url
        for wrong in ("", "x", csrf_of(other), token):
            assert await refused(url, token, wrong), (url, wrong)
        who = "" if url in OPENED else token
        for origin in ("https://evil.example", "null", "http://localhost", "https://localhost:8443"):
            assert await refused(url, who, origin=origin), (url, origin)
        for site in ("cross-site", "same-site"):
            assert await refused(url, who, sec_fetch_site=site), (url, site)
    assert await place.house.journal() == before


async def test_a_live_part_keeps_no_log_in_alive_and_whoever_is_there_does(place: Place) -> None:
    token = await place.log_in("mara")
    begun = place.house.now
    live = [url for url in routes("GET") if url.startswith("/live/")]
    assert "/live/strip" in live
    for minute in range(1, 14):
        place.house.clock.now += 60
        if minute % 6 == 1:
            for url in live:
                assert (await place.get(url, token, hx_request="true")).status != 401, url
    assert (await place.session(token)).seen_at == begun

    warned = await place.get("/live/strip", token)
    assert "ending" not in warned.body.decode()
    place.house.clock.now += 61
    warned = await place.get("/live/strip", token)
    assert "Stay logged in" in warned.body.decode()
    assert (await place.get("/here", token, hx_request="true")).status == 200
    assert (await place.session(token)).seen_at == place.house.now
    assert "ending" not in (await place.get("/live/strip", token)).body.decode()

    place.house.clock.now += USUAL.idle
    page = "https://localhost/account?x=1"
    gone = await place.get("/live/strip", token, hx_request="true", hx_current_url=page)
    assert (gone.status, gone.headers["hx-redirect"]) == (401, "/log-in?next=/account%3Fx%3D1")
    assert (await place.get("/here", token, hx_request="true")).status == 401
    assert (await place.get("/account", token)).headers["location"] == "/log-in?next=/account"


async def test_the_end_in_any_case_is_told_too(place: Place) -> None:
    token = await place.log_in("mara")
    for _ in range(USUAL.longest // 600 - 1):
        place.house.clock.now += 600
        await place.get("/account", token)
    place.house.clock.now += 540
    text = (await place.get("/live/strip", token)).body.decode()
    assert "as old as one may be" in text
    assert "Stay logged in" not in text


NEXT: Final[Mapping[str, str]] = {
    "/": "/",
    "/instances?state=active&page=2": "/instances?state=active&page=2",
    "//evil.example": "/",
    "///evil.example": "/",
    "/\\evil.example": "/",
    "\\\\evil.example": "/",
    "https://evil.example": "/",
    "https:/evil.example": "/",
    "javascript:alert(1)": "/",
    "/\tevil": "/",
    "/\r\nset-cookie: x=1": "/",
    "evil.example": "/",
    " //evil.example": "/",
    "//[": "/",
    "/" + "x" * 3000: "/",
    "": "/",
}
"""Where somebody who has asked for it is led after the log-in."""


async def test_a_log_in_leads_to_pages_of_this_server_alone(place: Place) -> None:
    for asked_for, gone_to in NEXT.items():
        answer = await place.post("/log-in", form={"name": "mara", "password": PASSWORD, "next": asked_for})
        assert (answer.status, answer.headers["location"]) == (303, gone_to), asked_for
        assert local(asked_for) == gone_to
        chosen = await place.post("/preferences", form={"theme": "dark", "next": asked_for})
        assert chosen.headers["location"] == gone_to, asked_for


async def test_cookies_are_for_this_server_and_no_script(place: Place) -> None:
    answer = await place.post("/log-in", form={"name": "mara", "password": PASSWORD})
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert (name, set(rest.split("; ")[1:])) == (COOKIE, {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"})
    assert COOKIE.startswith("__Host-")
    chosen = await place.post("/preferences", form={"language": "de"})
    told = chosen.headers["set-cookie"].lower()
    assert {"secure", "httponly", "path=/", "samesite=lax"} <= set(told.split("; "))
    assert "set-cookie" not in (await place.post("/preferences", form={"language": "xx", "theme": "<b>"})).headers
    token = await place.log_in("mara")
    ended = await place.post("/log-out", token)
    assert "Max-Age=0" in ended.headers["set-cookie"]
    assert ended.headers["clear-site-data"] == '"storage"'
    assert (await place.get("/account", token)).status == 303


async def test_a_link_of_another_site_asks_nobody_who_is_logged_in(place: Place) -> None:
    """The browser keeps the cookie back there; a page of this server is put between, once."""
    token = await place.log_in("mara")
    first = await place.get("/account?x=1", sec_fetch_site="cross-site")
    assert (first.status, first.headers.get("location")) == (200, None)
    assert 'content="0;url=/log-in?next=/account%3Fx%3D1"' in first.body.decode()
    second = await place.get("/log-in?next=/account%3Fx%3D1", token, sec_fetch_site="same-origin")
    assert (second.status, second.headers["location"]) == (303, "/account?x=1")
    # Who is not logged in is asked, wherever the browser says that it comes from: there is no round.
    for site in ("same-origin", "cross-site", "none"):
        asked = await place.get("/log-in?next=/account", sec_fetch_site=site)
        assert (asked.status, 'id="password"' in asked.body.decode()) == (200, True)
        assert "http-equiv" not in asked.body.decode()
    # Nor is anybody put off who shows a log-in that has ended.
    assert (await place.get("/account", "krs_gone", sec_fetch_site="cross-site")).status == 303


REFERERS: Final[Mapping[str, str]] = {
    "https://localhost/account?x=1": "/account%3Fx%3D1",
    "https://localhost/account/api-keys": "/account",
    "https://localhost/live/strip": "/",
    "https://evil.example/people": "/account",
    "": "/account",
    "https://[": "/account",
}
"""Where a form of a log-in that is over leads back to, by the page that it says it comes from."""


async def test_a_form_of_a_lost_log_in_leads_back_to_its_page(place: Place) -> None:
    """To what can be looked at, on this server."""
    for referer, back in REFERERS.items():
        answer = await place.post("/account/api-keys", referer=referer)
        assert (answer.status, answer.headers["location"]) == (303, f"/log-in?next={back}"), referer


async def test_what_is_no_form_or_too_much_of_one_is_refused(place: Place) -> None:
    token = await place.log_in("mara")
    told = {**HTML, **BACK, **_cookie(token), "content-type": FORM}
    csrf = f"csrf={csrf_of(token)}&".encode()

    async def sent(octets: bytes, **headers: str) -> Answer:
        return await place.face.ask("POST", "/log-out", headers={**told, **_named(headers)}, raw=octets)

    assert (await sent(csrf + b"x=" + b"x" * LONGEST_FORM)).status == 413
    assert (await sent(csrf + b"a=1&" * (MOST_FIELDS + 1))).status == 400
    assert (await sent(csrf + b"a=\xff")).status == 400
    assert (await sent(csrf + b"a=%ff")).status == 400
    for kind in ("multipart/form-data; boundary=x", "text/plain", "application/json", ""):
        assert (await sent(csrf, content_type=kind)).status == 415, kind
    assert (await place.get("/account", token)).status == 200, "and the log-in stands"


async def test_a_proof_is_asked_for_beside_what_was_typed(place: Place) -> None:
    """The wrong one is told at its field; no password comes back."""
    token = await place.log_in("mara")
    form = {"name": "backup job", "days": "30"}
    place.house.clock.now += PROOF_LASTS + 1
    asked = await place.post("/account/api-keys", token, form)
    assert asked.status == 403
    assert {"proof", "backup job"} <= _told(asked)

    wrong = await place.post("/account/api-keys", token, {**form, "proof": "not this one at all"})
    text = wrong.body.decode()
    assert (wrong.status, "This is not your password. Type it once more." in text) == (401, True)
    assert text.count("not your password") == 1
    assert {"proof", "backup job"} <= _told(wrong)
    assert "not this one at all" not in text

    made = await place.post("/account/api-keys", token, {**form, "proof": PASSWORD})
    assert (made.status, "krk_" in made.body.decode()) == (200, True)
    assert PASSWORD not in made.body.decode()


async def test_too_many_wrong_proofs_are_told_at_the_field(place: Place) -> None:
    token = await place.log_in("mara")
    place.house.clock.now += PROOF_LASTS + 1
    form = {"name": "backup job", "days": "30", "proof": "wrong"}
    answers = [await place.post("/account/api-keys", token, form) for _ in range(8)]
    assert {each.status for each in answers} == {401, 429}
    text = answers[-1].body.decode()
    assert 'id="proof-wrong"' in text
    assert "backup job" in text
    assert int(answers[-1].headers["retry-after"]) > 0


async def test_who_is_proved_elsewhere_is_sent_there(place: Place) -> None:
    """And comes back to the page with the form."""
    office = place.house.at_machine()
    made = await persons.add(
        office,
        place.face.catalog,
        "anna@login.example",
        (Grant(Role.ADMINISTRATOR),),
        source="https://login.example",
        subject="1",
    )
    begun = await logins.begin(place.face.catalog, made, "oidc", visitor=place.house.visitor())
    answer = await place.post("/account/api-keys", begun.token, {"name": "backup job", "days": "30"})
    text = answer.body.decode()
    assert answer.status == 403
    assert 'href="/log-in/provider?again=yes&amp;next=/account%3Fx%3D1" data-keep' in text
    assert 'name="proof"' not in text
    assert "backup job" in text


def _told(answer: Answer) -> set[str]:
    """Names and values of what stands in the fields of a page."""
    text = answer.body.decode()
    return set(re.findall(r'<input[^>]* name="([^"]+)"', text)) | set(re.findall(r' value="([^"]+)"', text))


async def test_one_sees_and_ends_what_is_ones_own(place: Place) -> None:
    """Password, log-ins, API keys."""
    here, there, third = [await place.log_in("mara") for _ in range(3)]
    name = logins.shown(await place.session(there))
    assert name in (await place.get("/account", here)).body.decode()
    assert (await place.post("/account/log-ins/end", here, {"log-in": name})).status == 303
    assert (await place.get("/account", there)).status == 303
    assert (await place.post("/account/log-ins/end", here)).status == 303
    assert (await place.get("/account", third)).status == 303
    assert (await place.get("/account", here)).status == 200

    unlike = {"old": PASSWORD, "password": "whisker fjord tango", "again": "another whisker"}
    assert (await place.post("/account/password", here, unlike)).status == 422
    wrong = {**unlike, "again": "whisker fjord tango", "old": "wrong"}
    told = await place.post("/account/password", here, wrong)
    assert (told.status, 'id="old-wrong"' in told.body.decode()) == (401, True)
    weak = {"old": PASSWORD, "password": "short", "again": "short"}
    assert 'id="password-wrong"' in (await place.post("/account/password", here, weak)).body.decode()
    assert (await place.post("/account/password", here, {**wrong, "old": PASSWORD})).status == 303
    await place.house.log_in("mara", "whisker fjord tango")

    made = await place.post("/account/api-keys", here, {"name": "job", "days": "30", "roles": "operator"})
    key = re.search(r"krk_([0-9a-f]{32})_[A-Za-z0-9_-]{43}", made.body.decode())
    assert key is not None
    assert key[0] not in (await place.get("/account", here)).body.decode()
    assert (await place.post("/account/api-keys/revoke", here, {"key": key[1]})).status == 303
    assert (await place.face.ask("GET", "/api/v1/me", key[0])).status == 401
    for field_name, bad in {"days": "many", "name": "x" * 100, "roles": "emperor"}.items():
        form = {"name": "job", "days": "30", field_name: bad}
        assert (await place.post("/account/api-keys", here, form)).status == 422, field_name


async def test_a_one_time_link_sets_a_password_in_the_readers_language(place: Place) -> None:
    """What is wrong stands at its field, the link counts still; then it does no more."""
    office = place.house.at_machine()
    invited = await persons.add(office, place.face.catalog, "nora", ())
    token = await letting_in.invite(office, place.face.catalog, invited)
    unlike = await place.post("/set-password", form={"token": token, "password": PASSWORD, "again": "x"})
    assert (unlike.status, 'id="again-wrong"' in unlike.body.decode()) == (422, True)
    assert f'value="{token}"' in unlike.body.decode()
    assert PASSWORD not in unlike.body.decode()
    done = await place.post("/set-password", form={"token": token, "password": PASSWORD, "again": PASSWORD})
    assert (done.status, done.headers["location"]) == (303, "/log-in?done=password-set")
    again = await place.post("/set-password", form={"token": token, "password": PASSWORD, "again": PASSWORD})
    assert (again.status, token in again.body.decode()) == (401, False)
    await place.house.log_in("nora")


def _misfortunes() -> Room:
    room = Room()

    @room.shows("/tests/fault")
    async def fault(call: Call) -> Response:
        raise RuntimeError("what nobody foresaw: a secret")

    @room.shows("/tests/away")
    async def away(call: Call) -> Response:
        raise CatalogUnavailable("the disk is gone")

    @room.refreshes("/live/tests/away")
    async def live(call: Call) -> Response:
        raise CatalogUnavailable("the disk is gone")

    return room


async def test_what_goes_wrong_is_a_page_for_people_and_a_problem_for_programs(place: Place) -> None:
    """Each with a way on; a part of a page is left as it was."""
    token = await place.log_in("mara")
    place.face.app.app.router.routes.extend(_misfortunes().routes)
    for url, status in {"/made-up": 404, "/log-out": 405, "/tests/fault": 500, "/tests/away": 503}.items():
        page = await place.get(url, token)
        text = page.body.decode()
        assert (url, page.status, page.headers["content-type"]) == (url, status, "text/html; charset=utf-8")
        assert 'href="/"' in text
        assert 'class="menu"' in text, "within the frame, since somebody is logged in"
        assert "a secret" not in text
        assert "disk" not in text
    for url, status in {"/made-up": 404, "/log-out": 405}.items():
        program = await place.face.ask("GET", url, headers={"accept": "application/json"})
        assert (program.status, program.headers["content-type"]) == (status, "application/problem+json")
    api = await place.get("/api/v1/made-up", token)
    assert (api.status, api.headers["content-type"]) == (404, "application/problem+json")
    live = await place.get("/live/tests/away", token)
    assert (live.status, live.body) == (503, b"unavailable")


async def test_the_door_too_speaks_to_people(place: Place) -> None:
    """Of too many requests, and of another name of the server."""
    place.face.app.premises.addresses = _gate(1)
    assert (await place.get("/log-in")).status == 200
    page = await place.get("/log-in")
    assert (page.status, page.headers["content-type"]) == (429, "text/html; charset=utf-8")
    assert "retry-after" in page.headers
    assert "Try again" in page.body.decode()
    program = await place.face.ask("GET", "/api/v1/instances", headers=HTML)
    assert program.headers["content-type"] == "application/problem+json"
    place.face.app.premises.addresses = _gate()
    page = await place.get("/log-in", host="evil.example")
    assert (page.status, page.headers["content-type"]) == (421, "text/html; charset=utf-8")


async def test_a_language_or_theme_leads_back_to_a_page(place: Place) -> None:
    """Also from the page that a form was answered with."""
    token = await place.log_in("mara")
    shown = await place.post("/account/api-keys", token, {"name": "", "days": "30"})
    text = shown.body.decode()
    assert shown.status == 422
    assert 'name="next" value="/account?x=1"' in text
    assert 'data-back="/account?x=1"' in text
    shown = await place.post("/account/api-keys", token, {"name": ""}, referer="https://localhost/account/api-keys")
    assert 'name="next" value="/account"' in shown.body.decode()
    assert 'data-back="/account?a=1"' in (await place.get("/account?done=saved&a=1", token)).body.decode()
    for tag in ("de", "es", "zh-Hans"):
        answer = await place.get("/log-in", cookie=f"keyrack-language={tag}")
        assert f'<html lang="{tag}"' in answer.body.decode()
        assert answer.headers["content-language"] == tag
