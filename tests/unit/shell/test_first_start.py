"""The wizard of the first start, without a network of its own: who is let in, and what each step refuses, and keeps."""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest

from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.service.office.administration import Administrator
from keyrack.shell import pki
from keyrack.shell.config.whole import load
from keyrack.shell.console.first_start.desk import Asked, Desk, certified, desk_of
from keyrack.shell.console.first_start.draft import Step
from keyrack.shell.console.first_start.face import SetupFace
from keyrack.shell.console.first_start.guard import LASTS, WRONG_TOKENS, Guard
from keyrack.shell.deployment import papers
from keyrack.shell.nodes.new_catalog import take_new
from keyrack.shell.office import open_office
from keyrack.shell.rest.v1.callers import csrf_of
from keyrack.testing.catalogs import server as server_of_tests
from keyrack.testing.ibm_grounds import IbmFace, ibm_face
from keyrack.testing.key_houses import INSTANCE
from keyrack.testing.people import PASSWORD
from keyrack.testing.postgres import Cluster, binaries, free_port
from keyrack.testing.postgres_catalogs import Fresh
from keyrack.testing.rest import Answer, asked

BY = Administrator("local-user-tests")
needs_postgres = pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL")


@dataclass
class Clock:
    """Seconds that a test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Browser:
    """One, with its cookie."""

    face: SetupFace
    cookie: str = ""
    address: str = "192.0.2.7"

    async def ask(self, method: str, path: str, body: str = "", **headers: str) -> Answer:
        sent = {"host": "localhost", "accept": "text/html", **headers}
        if self.cookie:
            sent["cookie"] = f"__Host-keyrack-setup={self.cookie}"
        if method == "POST":
            sent.setdefault("content-type", "application/x-www-form-urlencoded")
            sent["content-length"] = str(len(body.encode()))
        return await asked(self.face, method, path, headers=sent, body=body.encode(), address=(self.address, 4000))

    async def get(self, path: str) -> Answer:
        return await self.ask("GET", path)

    async def post(self, path: str, **fields: str) -> Answer:
        """A form of a page of the wizard."""
        return await self.ask("POST", path, self.form(**fields))

    def form(self, **fields: str) -> str:
        return urlencode({"csrf": csrf_of(self.cookie) if self.cookie else "", "act": "next", **fields})

    async def enter(self, token: str) -> Answer:
        """Show the link's token."""
        answer = await self.post("/setup", token=token)
        if (found := re.search(r"__Host-keyrack-setup=([^;]+)", answer.headers.get("set-cookie", ""))) is not None:
            self.cookie = found[1]
        return answer


@dataclass
class Wizard:
    """One, and the browser that was let in."""

    desk: Desk
    face: SetupFace
    clock: Clock
    browser: Browser
    typed: dict[str, str] = field(default_factory=dict)
    """For the first step: ports that are free."""

    def stranger(self, **settings: str) -> Browser:
        return Browser(self.face, **settings)

    async def name(self, **changes: str) -> Answer:
        return await self.browser.post("/setup/name", **{**self.typed, **changes})

    async def reach(self, step: Step) -> None:
        """Go through the steps before it, with what is usual."""
        usual = {
            Step.NAME: self.typed,
            Step.DATABASE: {"catalog": "sqlite"},
            Step.KEY_MANAGER: {"key_manager": "embedded", "protect": "key-file", "instance": "prod"},
        }
        for each in list(Step)[: list(Step).index(step)]:
            answer = await self.browser.post(f"/setup/{each}", **usual[each])
            assert answer.status == 303, page(answer)


def page(answer: Answer) -> str:
    """What it shows, as a person reads it."""
    return unescape(answer.body.decode())


def beside(answer: Answer, name: str) -> str:
    """What is told beside a field; empty where nothing is."""
    found = re.search(rf'id="{name}-wrong">(.*?)</p>', page(answer), re.S)
    return found[1].strip() if found else ""


def shown(answer: Answer, name: str) -> str:
    """What stands in a field."""
    found = re.search(rf'<input id="{name}"[^>]*? value="([^"]*)"', answer.body.decode())
    return unescape(found[1]) if found else ""


@pytest.fixture
async def wizard(tmp_path: Path) -> AsyncIterator[Wizard]:
    """A wizard whose browser was let in."""
    names = ["keyrack.example.com"]
    cheap = papers(
        "tests", certified(names), now=datetime.now(UTC), authority_key="ec-p256",
        server_key=lambda: pki.make_key("ec-p256"),
    )  # fmt: skip
    told = Asked(port=0, directory=tmp_path / "d", by=BY, first_person="mara")
    desk, clock = desk_of(told, names, cheap), Clock()
    desk.guard = Guard(clock)
    face = SetupFace(desk)
    browser = Browser(face)
    made = Wizard(desk, face, clock, browser)
    made.typed = {"names": "localhost", "host": "127.0.0.1", "api_host": "127.0.0.1"}
    made.typed |= {"port": str(free_port()), "api_port": str(free_port())}
    assert (await browser.enter(desk.guard.token)).headers["location"] == "/setup/name"
    yield made
    if desk.making is not None:
        await desk.making.stop()
    desk.draft.wipe()


PAGES = [*(f"/setup/{step}" for step in Step), "/setup/summary", "/setup/progress", "/setup/made"]
LIVE = ["/live/setup", "/live/setup/go"]


@pytest.mark.parametrize("cookie", ["", "wrong", "ä"])
async def test_without_the_link_nobody_sees_or_does_anything(wizard: Wizard, cookie: str) -> None:
    stranger = wizard.stranger(cookie=cookie)

    looked = [await stranger.get(each) for each in (*PAGES, *LIVE)]
    done = [await stranger.post(each) for each in PAGES[:5]]

    assert {(303, "/setup")} == {(each.status, each.headers.get("location")) for each in (*looked, *done)}
    assert wizard.desk.making is None
    assert (await stranger.get("/setup")).status == 200
    assert (await stranger.get("/health/live")).status == 503


async def test_a_wrong_token_is_refused_and_too_many_are_not_looked_at(wizard: Wizard) -> None:
    """Not the right one either, from the same address; from another one it counts, as far as it does."""
    wizard.desk.guard = Guard(wizard.clock)
    stranger, other = wizard.stranger(), wizard.stranger(address="192.0.2.8")

    wrong = [(await stranger.enter("no-such-token")).status for _ in range(WRONG_TOKENS.burst)]
    right = await stranger.enter(wizard.desk.guard.token)

    assert ({401}, 429, "") == (set(wrong), right.status, stranger.cookie)
    assert "too many wrong attempts" in page(right)
    assert (await other.enter(f"https://localhost/setup#{wizard.desk.guard.token}")).status == 303
    wizard.clock.now += 11
    assert (await stranger.enter(wizard.desk.guard.token)).status == 401
    assert not stranger.cookie


async def test_a_second_browser_is_not_let_in_by_the_same_link(wizard: Wizard) -> None:
    second = wizard.stranger()

    answer = await second.enter(wizard.desk.guard.token)

    assert (401, "") == (answer.status, second.cookie)
    assert "The link was used already, and lets nobody else in" in beside(answer, "token")
    assert (await wizard.browser.get("/setup/name")).status == 200


async def test_the_link_counts_for_an_hour_and_so_does_a_browser_that_does_nothing(wizard: Wizard) -> None:
    wizard.clock.now += LASTS - 1
    assert (await wizard.browser.get("/setup/name")).status == 200
    wizard.clock.now += LASTS - 1
    assert (await wizard.browser.get("/setup/name")).status == 200
    wizard.clock.now += LASTS
    assert (await wizard.browser.get("/setup/name")).headers["location"] == "/setup"
    wizard.desk.guard = Guard(wizard.clock)
    wizard.clock.now += LASTS
    assert (await wizard.stranger().enter(wizard.desk.guard.token)).status == 401


async def test_a_form_of_another_site_changes_nothing(wizard: Wizard) -> None:
    form = wizard.browser.form(**wizard.typed)
    forged = [
        await wizard.browser.post("/setup/name", csrf="", **wizard.typed),
        await wizard.browser.ask("POST", "/setup/name", form, origin="https://evil.example"),
        await wizard.browser.ask("POST", "/setup/name", form, **{"sec-fetch-site": "cross-site"}),
    ]

    assert [403] * 3 == [each.status for each in forged]
    assert Step.NAME not in wizard.desk.draft.tried
    assert (await wizard.browser.ask("GET", "/setup/name", host="evil.example")).status == 421


async def test_the_cookie_is_kept_from_scripts_and_other_sites_and_the_token_from_pages(wizard: Wizard) -> None:
    wizard.desk.guard = Guard(wizard.clock)
    answer = await wizard.browser.enter(wizard.desk.guard.token)

    cookie = answer.headers["set-cookie"].lower()
    assert all(each in cookie for each in ("__host-", "secure", "httponly", "samesite=strict", "path=/"))
    first = await wizard.browser.get("/setup/name")
    assert "script-src 'self'" in first.headers["content-security-policy"]
    assert wizard.desk.guard.token not in page(first)


async def test_no_step_comes_before_its_turn(wizard: Wizard) -> None:
    for path in PAGES[1:]:
        assert (await wizard.browser.get(path)).headers["location"] == "/setup/name"
    for path in PAGES[1:5]:
        assert (await wizard.browser.post(path)).headers["location"] == "/setup/name"


@pytest.fixture
def occupied() -> Iterator[int]:
    """A port that somebody else has."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.mark.parametrize(
    ("at", "value", "told"),
    [
        ("names", "", "needs a name or an address"),
        ("names", "key rack/1", "'rack/1' is neither a host name nor an address. Separate several with commas"),
        ("deployment", "Key Rack", "'Key Rack' cannot be a deployment's name. Use lower-case"),
        ("directory", "somewhere", "It has to be a whole path"),
        ("directory", "/dev/null/keyrack", "/dev/null is no directory"),
        ("host", "0.0.0", "'0.0.0' is neither an address nor a host name"),
        ("host", "192.0.2.99", "192.0.2.99 is not an address of this machine"),
        ("port", "kmip", "'kmip' is not a port"),
        ("port", "0", "Clients need a port that stays the same"),
        ("port", "OCCUPIED", "Something else listens on port"),
        ("api_port", "99999", "'99999' is not a port"),
        ("api_port", "SAME", "KMIP and the console cannot share port"),
    ],
)
async def test_what_cannot_be_a_name_a_place_or_a_port_is_told_beside_its_field(
    wizard: Wizard, occupied: int, at: str, value: str, told: str
) -> None:
    """And everything that was typed stands there still."""
    value = {"OCCUPIED": str(occupied), "SAME": wizard.typed["port"]}.get(value, value)

    answer = await wizard.name(**{at: value})

    assert (422, value) == (answer.status, shown(answer, at))
    assert told in beside(answer, at)
    others = {name: text for name, text in wizard.typed.items() if name != at}
    assert others == {name: shown(answer, name) for name in others}
    assert shown(await wizard.browser.get("/setup/name"), at) == value


async def test_a_deployment_that_is_there_is_never_overwritten(wizard: Wizard, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "catalog.db").touch()

    answer = await wizard.name()

    assert f"{tmp_path}/d/catalog.db is there already" in beside(answer, "directory")


async def test_a_name_that_does_not_resolve_is_worth_knowing_and_no_reason_to_stop(wizard: Wizard) -> None:
    answer = await wizard.name(names="nowhere.invalid, localhost")

    assert answer.headers["location"] == "/setup/database"
    assert "nowhere.invalid does not resolve here" in page(await wizard.browser.get("/setup/database"))


async def test_whoever_goes_back_finds_everything_that_was_typed(wizard: Wizard) -> None:
    """Also what was not tried out yet; and what is changed is tried out again."""
    await wizard.reach(Step.DATABASE)

    back = await wizard.browser.post("/setup/database", catalog="postgresql", catalog_url="postgresql://x", act="back")

    assert back.headers["location"] == "/setup/name"
    assert shown(await wizard.browser.get("/setup/name"), "port") == wizard.typed["port"]
    assert shown(await wizard.browser.get("/setup/database"), "catalog_url") == "postgresql://x"
    await wizard.reach(Step.ADMINISTRATOR)
    await wizard.name(deployment="another")
    assert (await wizard.browser.get("/setup/administrator")).headers["location"] == "/setup/database"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "It names no PostgreSQL database. Write postgresql://keyrack@HOST/DATABASE"),
        ("postgresql://keyrack:opensesame@db/keyrack", "It holds a password"),
        ("postgresql://keyrack@127.0.0.1:9/keyrack", "PostgreSQL at 127.0.0.1:9/keyrack cannot be reached"),
    ],
)
async def test_a_database_that_cannot_be_is_told_beside_its_url(wizard: Wizard, url: str, told: str) -> None:
    await wizard.reach(Step.DATABASE)

    answer = await wizard.browser.post(
        "/setup/database", catalog="postgresql", catalog_url=url, catalog_password="a secret of the database"
    )

    assert (422, url) == (answer.status, shown(answer, "catalog_url"))
    assert told in beside(answer, "catalog_url")
    assert "a secret of the database" not in page(answer)
    assert "It is kept, and not shown" in page(answer)


@pytest.fixture
def fresh() -> Iterator[Fresh]:
    """An empty database with the schema, on the server of this process."""
    made = Fresh(server_of_tests())
    yield made
    made.drop()


@needs_postgres
async def test_postgresql_is_asked_everything_that_a_server_asks(wizard: Wizard, fresh: Fresh, tmp_path: Path) -> None:
    """One without a schema, one that is somebody's, and one that does."""
    await wizard.reach(Step.DATABASE)
    running: Cluster = fresh.cluster
    told = await asyncio.to_thread(lambda: (fresh.url, running.database(f"bare{time.time_ns()}")))
    url, bare = told

    unprepared = await wizard.browser.post(
        "/setup/database", catalog="postgresql", catalog_url=running.url(database=bare)
    )
    does = await wizard.browser.post("/setup/database", catalog="postgresql", catalog_url=url)

    assert "make it with 'keyrack database prepare'" in beside(unprepared, "catalog_url")
    assert does.headers["location"] == "/setup/key-manager"
    tried = wizard.desk.draft.tried[Step.DATABASE]
    assert {"well"} == {each.verdict.value for each in tried}
    assert len(tried) > 5
    (tmp_path / "other.toml").write_text(
        f'[deployment]\nid = "other"\n[catalog]\nurl = "{url}"\n'
        '[key_managers.embedded]\ntype = "embedded"\nunlock = { key_file = "x" }\n'
    )
    await take_new(load(tmp_path / "other.toml", {}))
    taken = await wizard.browser.post("/setup/database", catalog="postgresql", catalog_url=url)
    assert "it is that of deployment 'other'" in beside(taken, "catalog_url")


@pytest.mark.parametrize(
    ("typed", "at", "told"),
    [
        ({"protect": "nothing"}, "protect", "Choose what opens the keystore"),
        ({"protect": "passphrase"}, "passphrase_file", "It is needed here"),
        ({"protect": "passphrase", "passphrase_file": "/no/such"}, "passphrase_file", "No such file"),
        ({"protect": "passphrase", "passphrase_file": "SHORT"}, "passphrase_file", "too short. Use at least 12"),
        ({"protect": "unseal"}, "passphrase", "too short"),
        ({"protect": "unseal", "passphrase": "one of them all", "passphrase_again": "two"}, "passphrase", "not the"),
        (
            {"protect": "hsm", "hsm": "/no/such.so", "token": "t", "pin_file": "/no/pin"},
            "hsm",
            "/no/such.so does not load",
        ),
        ({"protect": "hsm"}, "token", "It is needed here"),
        ({"instance": "a b"}, "instance", "'a b' cannot be an instance's name"),
    ],
)
async def test_what_opens_no_keystore_is_told_beside_its_field(
    wizard: Wizard, tmp_path: Path, typed: dict[str, str], at: str, told: str
) -> None:
    await wizard.reach(Step.KEY_MANAGER)
    (tmp_path / "short").write_text("short\n")
    given = {name: value.replace("SHORT", str(tmp_path / "short")) for name, value in typed.items()}

    answer = await wizard.browser.post(
        "/setup/key-manager", **{"key_manager": "embedded", "protect": "key-file", **given}
    )

    assert answer.status == 422
    if at in {"passphrase_file", "hsm", "token", "instance"}:
        assert shown(answer, at) == given.get(at, "")
    assert told in beside(answer, at)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["short"]


@pytest.fixture(scope="module")
def ibm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IbmFace]:
    """An embedded key manager that plays IBM over HTTPS."""
    with ibm_face(tmp_path_factory.mktemp("ibm")) as face:
        yield face


def of_ibm(face: IbmFace, **changes: str) -> dict[str, str]:
    """What is typed in the third step."""
    return {
        "key_manager": "key-protect", "protect": "key-file", "url": face.address.url, "iam_url": face.address.url,
        "ca_bundle": str(face.address.authority), "kms_instance": INSTANCE, "api_key": face.api_key.read_text(),
        "instance": "prod", **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "at", "told"),
    [
        ({"api_key": "no-such-key"}, "api_key", "Provided API key could not be found"),
        ({"kms_instance": "prod"}, "kms_instance", "it is not a UUID"),
        ({"kms_instance": ""}, "kms_instance", "IBM gives each instance an ID (GUID)"),
        ({"kms_instance": "6dd8a2f1-8f12-4b6a-9c0e-3a1f3f6b7d21"}, "kms_instance", "401"),
        ({"url": "http://127.0.0.1"}, "url", "https alone"),
        ({"url": "https://127.0.0.1:9"}, "url", "The connection to 127.0.0.1:9 fails"),
        ({"url": "", "region": ""}, "region", "Choose the region"),
        ({"ca_bundle": "/no/such.pem"}, "ca_bundle", "/no/such.pem cannot be read"),
        ({"root_key": "00000000-0000-4000-8000-000000000000"}, "root_key", "404"),
    ],
)
async def test_what_is_wrong_at_ibm_is_told_beside_its_field(
    wizard: Wizard, ibm: IbmFace, changes: dict[str, str], at: str, told: str
) -> None:
    """The API key is never shown again."""
    await wizard.reach(Step.KEY_MANAGER)
    typed = of_ibm(ibm, **changes)

    answer = await wizard.browser.post("/setup/key-manager", **typed)

    assert (422, typed["kms_instance"]) == (answer.status, shown(answer, "kms_instance"))
    assert told in beside(answer, at)
    assert typed["api_key"] not in page(answer)


async def made_whole(wizard: Wizard) -> Answer:
    """Create, and wait; the page that the browser is led to."""
    assert (await wizard.browser.post("/setup/summary")).headers["location"] == "/setup/progress"
    making = wizard.desk.making
    assert making is not None
    assert making.task is not None
    while not making.task.done():
        progress = await wizard.browser.get("/live/setup")
        assert progress.status == 200
        await asyncio.sleep(0.02)
    after = await wizard.browser.get("/live/setup")
    return await wizard.browser.get(after.headers["hx-redirect"])


async def test_root_keys_are_listed_live_and_the_chosen_one_wraps_the_first_instance(
    wizard: Wizard, ibm: IbmFace, tmp_path: Path
) -> None:
    """What fails on the way leaves nothing behind, and everything that was typed."""
    first = await ibm.manager.create_root_key("first")
    chosen = await ibm.manager.create_root_key("chosen")
    await wizard.reach(Step.KEY_MANAGER)

    listed = await wizard.browser.post("/setup/key-manager", **of_ibm(ibm))
    assert listed.status == 200, "nobody has seen the list yet"
    assert all(each in page(listed) for each in ("first", "chosen", "Wrap and unwrap", "latency".title(), " ms"))
    gone_on = await wizard.browser.post("/setup/key-manager", **of_ibm(ibm, api_key="", root_key=chosen.identifier))
    assert gone_on.headers["location"] == "/setup/administrator"
    await wizard.browser.post(
        "/setup/administrator", way="password", first_person="mara", password=PASSWORD, password_again=PASSWORD
    )
    await ibm.manager.disable_root_key(chosen.identifier)
    failed = await made_whole(wizard)
    assert "nothing of it was left behind" in page(failed).lower()
    assert (False, []) == ((tmp_path / "d").exists(), [each for each in tmp_path.iterdir() if each.name != "d"])
    await ibm.manager.enable_root_key(chosen.identifier)

    made = await made_whole(wizard)

    assert "It is made" in page(made)
    key = tmp_path / "d" / "ibm.key"
    assert (ibm.api_key.read_text().strip(), 0o600) == (key.read_text().strip(), key.stat().st_mode & 0o777)
    assert ibm.api_key.read_text().strip() not in (tmp_path / "d" / "keyrack.toml").read_text()
    async with open_office(load(tmp_path / "d" / "keyrack.toml", {}), BY) as office:
        (instance,) = await office.administration.instances()
        (person,) = await office.catalog.persons()
    assert ("prod", "ibm", chosen.identifier) == (instance.name, instance.key_manager, instance.root_key)
    assert ("mara", True) == (person.name, bool(person.password))
    assert first.identifier != instance.root_key


@pytest.mark.parametrize(
    ("typed", "at", "told"),
    [
        ({"first_person": "Mara Jade"}, "first_person", "'mara jade' cannot be a person's name"),
        ({"password": "short", "password_again": "short"}, "password", "12 are the least"),
        ({"password": PASSWORD, "password_again": "another"}, "password_again", "not the same"),
        ({}, "password", "Type a password, twice"),
    ],
)
async def test_who_cannot_be_the_first_person_is_told_beside_the_field(
    wizard: Wizard, typed: dict[str, str], at: str, told: str
) -> None:
    await wizard.reach(Step.ADMINISTRATOR)

    answer = await wizard.browser.post("/setup/administrator", **{"way": "password", "first_person": "mara", **typed})

    assert (422, typed.get("first_person", "mara")) == (answer.status, shown(answer, "first_person"))
    assert told in beside(answer, at)
    assert PASSWORD not in page(answer)
    assert "characters of any kind" in page(await wizard.browser.get("/setup/administrator"))


async def test_whoever_ends_it_while_it_is_made_leaves_nothing_behind(wizard: Wizard, tmp_path: Path) -> None:
    await wizard.reach(Step.ADMINISTRATOR)
    await wizard.browser.post("/setup/administrator", way="later")
    assert "OpenID Connect follows" in page(await wizard.browser.get("/setup/summary"))
    await wizard.browser.post("/setup/summary")
    assert wizard.desk.making is not None

    await wizard.desk.making.stop()

    assert [] == list(tmp_path.iterdir())
    assert wizard.desk.making.made is None


async def test_the_deployment_shows_what_was_compared_unless_it_is_called_otherwise(
    wizard: Wizard, tmp_path: Path
) -> None:
    await wizard.name(names="keyrack.example.com")
    for step, typed in (("database", {}), ("key-manager", {"instance": ""}), ("administrator", {"way": "later"})):
        assert (await wizard.browser.post(f"/setup/{step}", **typed)).status == 303

    made = await made_whole(wizard)

    assert "It is the one that you have compared already" in page(made)
    assert wizard.desk.papers.server.certificate_pem in (tmp_path / "d" / "tls" / "server.pem").read_bytes()
    assert KeyFile(tmp_path / "d" / "keystore.key").path.stat().st_mode & 0o777 == 0o600
    port = wizard.typed["api_port"]
    assert f'data-await="https://localhost:{port}/health/live"' in page(made)
    assert f"connect-src 'self' https://localhost:{port};" in made.headers["content-security-policy"]
    assert not wizard.desk.handover.is_set()
    await wizard.browser.get("/live/setup/go")
    assert wizard.desk.handover.is_set()
