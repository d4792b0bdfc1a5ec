"""Log-in at a provider over REST, from the first redirect to the cookie; and the page behind a one-time link."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from keyrack.domain.rights import Grant, Role
from keyrack.shell.config.whole import load
from keyrack.shell.rest.v1.callers import COOKIE
from keyrack.shell.rest.v1.oidc import FLOW
from keyrack.shell.rest.v1.pages_of_log_in import telling
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

    assert done.status == 200
    assert "anna@127.0.0.1" in done.body.decode()
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
    assert b"<script" not in done.body
    assert done.headers["content-type"].startswith("text/html")


async def test_nobody_makes_many_calls_to_the_provider(face: Face) -> None:
    """Of one address, in a short time."""
    answers = [await callback(face, {"state": "x", "code": "y"}, "") for _ in range(40)]
    assert {answer.status for answer, _ in answers} == {401, 429}


async def test_without_a_provider_there_is_none(tmp_path: Path) -> None:
    async with open_face(tmp_path) as face:
        assert (await face.ask("GET", "/api/v1/oidc/login")).code == "not-found"


async def test_the_page_behind_a_link_runs_its_one_script_alone(face: Face) -> None:
    """By its hash; it asks this server alone, nobody frames it, and its address is in no log."""
    answer = await face.ask("GET", "/set-password", headers={"accept": "text/html"})
    text, policy = answer.body.decode(), answer.headers["content-security-policy"]

    script = re.search(r"<script>(.*)</script>", text, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert (answer.headers["referrer-policy"], answer.headers["cache-control"]) == ("no-referrer", "no-store")
    assert "https://" not in text


async def test_the_link_that_is_answered_leads_there(face: Face) -> None:
    root = await face.person("root", Grant(Role.ADMINISTRATOR))
    made = (await face.ask("POST", "/api/v1/people", root, {"name": "anna"})).json()["invitation"]
    assert made["link"] == f"https://keyrack.example.com:8443/set-password#{made['token']}"


def test_what_a_page_tells_is_text() -> None:
    """Whoever has chosen the words."""
    told = bytes(telling("<b>", "<script>alert(1)</script>&").body)
    assert b"&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in told
    assert b"<b>" not in told
    assert b"<script" not in told
