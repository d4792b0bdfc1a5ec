"""Log-in at a provider over REST, from the first redirect to the cookie; and the page behind a one-time link."""

import base64
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from keyrack.domain.rights import Grant, Role
from keyrack.shell.config.whole import load
from keyrack.shell.rest.v1.callers import COOKIE
from keyrack.shell.rest.v1.oidc import FLOW
from keyrack.testing import oidc
from keyrack.testing.rest import Answer, Face, asked, open_face

CONFIG = """
[deployment]
id = "tests"
[key_managers.embedded]
type = "embedded"
keystore = "keystore"
unlock = {{ key_file = "keystore.key" }}
[api]
enabled = true
hosts = ["keyrack.example.com"]
[api.oidc]
issuer = "{issuer}"
client_id = "keyrack"
client_secret_file = "secret"
ca_bundle = "{ca}"
auto_create = true
roles_claim = "groups"
[[api.oidc.grants]]
value = "ops"
role = "operator"
instance = "prod"
[[api.oidc.grants]]
value = "ops"
role = "auditor"
instance = "gone"
"""


@pytest.fixture
def known(tmp_path: Path) -> Iterator[oidc.Provider]:
    with oidc.provider(tmp_path) as provider:
        provider.redirect = "https://keyrack.example.com:8443/api/v1/oidc/callback"
        provider.claims["groups"] = ["ops"]
        yield provider


@pytest.fixture
async def face(tmp_path: Path, known: oidc.Provider) -> AsyncIterator[Face]:
    (tmp_path / "secret").write_text(oidc.SECRET + "\n")
    path = tmp_path / "keyrack.toml"
    path.write_text(CONFIG.format(issuer=known.url, ca=known.ca))
    async with open_face(tmp_path) as opened:
        opened.app.premises.config = load(path, {})
        yield opened


def cookies(answer: Answer) -> dict[str, str]:
    """Those that an answer sets; of several headers the harness keeps the last one."""
    name, _, rest = answer.headers["set-cookie"].partition("=")
    return {name: rest}


async def callback(face: Face, query: dict[str, str], cookie: str) -> tuple[Answer, list[str]]:
    """The browser comes back; the answer, and all cookies that it sets."""
    told: list[str] = []

    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        async def listening(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                assert isinstance(headers, list)
                told.extend(value.decode() for name, value in headers if name == b"set-cookie")
            await send(message)  # type: ignore[operator]

        await face.app(scope, receive, listening)  # type: ignore[arg-type]

    url = "/api/v1/oidc/callback?" + "&".join(f"{name}={value}" for name, value in query.items())
    return await asked(app, "GET", url, headers={"host": "localhost", "cookie": f"{FLOW}={cookie}"}), told


async def test_a_browser_logs_in_at_the_provider(face: Face, known: oidc.Provider) -> None:
    one = await face.instance("prod")
    begun = await face.ask("GET", "/api/v1/oidc/login", headers={"accept": "text/html,*/*"})
    assert begun.status == 303
    flow, _, flags = cookies(begun)[FLOW].partition("; ")
    assert set(flags.split("; ")) == {"Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=600"}
    answered = known.log_in(begun.headers["location"]) | {"session_state": "of the provider's"}

    # In a browser that has not begun it, the same answer is nothing.
    other, told = await callback(face, answered, "")
    assert (other.status, [each.partition("=")[0] for each in told]) == (401, [FLOW])
    done, told = await callback(face, answered, flow)

    # A page that goes on by itself: with a redirect, the browser would keep the cookie back at the next page.
    assert done.status == 200
    assert "anna@127.0.0.1" in done.body.decode()
    assert '<meta http-equiv="refresh" content="0;url=/">' in done.body.decode()
    begin = next(each for each in told if each.startswith(f"{COOKIE}="))
    assert begin.endswith("; Path=/; Secure; HttpOnly; SameSite=Strict")
    assert f"{FLOW}=; " in next(each for each in told if each.startswith(FLOW))
    mine = await face.ask("GET", "/api/v1/me", headers={"cookie": begin.partition(";")[0]})
    assert mine.json()["roles"] == [{"role": "operator", "instance": one.identifier}]
    again, told = await callback(face, answered, flow)
    assert (again.status, len(told)) == (503, 1)


async def test_what_the_provider_refuses_is_told_as_text(face: Face, known: oidc.Provider) -> None:
    """And nothing of a query becomes a part of the page."""
    begun = await face.ask("GET", "/api/v1/oidc/login")
    state = known.log_in(begun.headers["location"])["state"]
    flow = cookies(begun)[FLOW].partition(";")[0]
    done, _ = await callback(face, {"state": state, "error": "%3Cscript%3Ealert(1)%3C/script%3E"}, flow)
    assert done.status == 401
    assert b"<script>alert" not in done.body
    assert done.headers["content-type"].startswith("text/html")


async def test_nobody_makes_many_calls_to_the_provider(face: Face) -> None:
    """Of one address, in a short time."""
    answers = [await callback(face, {"state": "x", "code": "y"}, "") for _ in range(40)]
    assert {answer.status for answer, _ in answers} == {401, 429}


async def test_without_a_provider_there_is_none(tmp_path: Path) -> None:
    async with open_face(tmp_path) as face:
        assert (await face.ask("GET", "/api/v1/oidc/login")).code == "not-found"


@pytest.mark.parametrize(
    ("asked_for", "gone_to"),
    [
        ("/instances?state=x&n=1", "/instances?state=x&amp;n=1"),
        ("//evil.example/x", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/" + "x" * 2500, "/"),
    ],
)
async def test_who_comes_back_goes_on_to_the_page_that_was_asked_for(
    face: Face, known: oidc.Provider, asked_for: str, gone_to: str
) -> None:
    begun = await face.ask("GET", f"/log-in/provider?next={quote(asked_for)}", headers={"accept": "text/html"})
    assert begun.status == 303
    flow = cookies(begun)[FLOW].partition(";")[0]

    done, _ = await callback(face, known.log_in(begun.headers["location"]), flow)

    assert f'content="0;url={gone_to}"' in done.body.decode()


async def test_a_page_that_somebody_else_has_put_into_the_cookie_leads_nowhere_else(
    face: Face, known: oidc.Provider
) -> None:
    """It is looked at when it comes back, and not only when it is written."""
    begun = await face.ask("GET", "/log-in/provider?next=/x")
    flow = cookies(begun)[FLOW].partition(";")[0].rpartition(".")[0]
    for forged in ("//evil.example", "https://evil.example", "/%", "\x00"):
        packed = base64.urlsafe_b64encode(forged.encode()).decode().rstrip("=")
        begun = await face.ask("GET", "/log-in/provider?next=/x")
        flow = cookies(begun)[FLOW].partition(";")[0].rpartition(".")[0]
        done, _ = await callback(face, known.log_in(begun.headers["location"]), f"{flow}.{packed}")
        assert done.status == 200
        assert "evil" not in done.body.decode()


async def test_a_new_proof_is_asked_for_where_an_act_wants_one(face: Face, known: oidc.Provider) -> None:
    begun = await face.ask("GET", "/log-in/provider?again=yes&next=/instances")
    query = parse_qs(urlsplit(begun.headers["location"]).query)
    assert (query["prompt"], query["max_age"]) == (["login"], ["0"])


async def test_the_log_in_names_the_provider(face: Face) -> None:
    """As a link: a form could lead to no other site, by the page's own policy."""
    page = (await face.ask("GET", "/log-in?next=/people", headers={"accept": "text/html"})).body.decode()
    assert 'href="/log-in/provider?next=/people"' in page
    assert "Log in with 127.0.0.1" in page


async def test_a_provider_that_does_not_answer_is_told_as_a_page(face: Face, known: oidc.Provider) -> None:
    known.document["issuer"] = "https://another.example"
    answer = await face.ask("GET", "/log-in/provider", headers={"accept": "text/html"})
    assert (answer.status, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "another issuer" in answer.body.decode()


async def test_the_page_behind_a_link_runs_its_one_script_alone(face: Face) -> None:
    """Files of this server by their hashes, and nothing that stands in the page; nobody frames it, and its address
    goes to no other site."""
    for url in ("/set-password", "/log-in/link"):
        answer = await face.ask("GET", url, headers={"accept": "text/html"})
        text, policy = answer.body.decode(), answer.headers["content-security-policy"]

        assert re.findall(r"<script(?![^>]* src=\"/static/)", text) == []
        assert len(re.findall(r"<script[^>]* integrity=", text)) == text.count("<script") > 0
        for part in ("default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"):
            assert part in policy
        assert "unsafe" not in policy
        assert (answer.headers["referrer-policy"], answer.headers["cache-control"]) == ("same-origin", "no-store")
        assert "https://" not in text


async def test_the_link_that_is_answered_leads_there(face: Face) -> None:
    root = await face.person("root", Grant(Role.ADMINISTRATOR))
    made = (await face.ask("POST", "/api/v1/people", root, {"name": "anna"})).json()["invitation"]
    assert made["link"] == f"https://keyrack.example.com:8443/set-password#{made['token']}"


async def test_what_a_page_tells_is_text(face: Face, known: oidc.Provider) -> None:
    """Whoever has chosen the words."""
    known.claims["preferred_username"] = "<b>"
    known.claims["name"] = "<script>alert(1)</script>"
    begun = await face.ask("GET", "/log-in/provider?next=/%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    done, _ = await callback(face, known.log_in(begun.headers["location"]), cookies(begun)[FLOW].partition(";")[0])
    assert done.status == 200
    assert b"<script>alert" not in done.body
    assert b"&lt;script&gt;alert(1)" in done.body
