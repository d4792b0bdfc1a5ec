"""Log-in at a provider: who gets in; and each way in which an answer can be false, which lets nobody in."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from keyrack.domain.people import Person
from keyrack.domain.rights import Grant, Right, Role
from keyrack.service.office.refusals import NotRecognised, ProofNeeded, Refused
from keyrack.service.people import persons
from keyrack.service.people.foreign_logins import Policy, log_in_by_claims, name_for
from keyrack.service.people.id_tokens import BadToken
from keyrack.service.people.logins import LoggedIn
from keyrack.shell.config.oidc import Oidc
from keyrack.shell.oidc import Provider, ProviderUnavailable
from keyrack.shell.oidc_calls import Calls
from keyrack.testing import oidc
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.people import House


@dataclass
class Ground:
    """A provider, and a Keyrack that trusts it."""

    known: oidc.Provider
    house: House
    table: Oidc
    provider: Provider

    async def log_in(self, policy: Policy, **options: Any) -> LoggedIn:
        """Both halves, and what the claims mean here."""
        begun = await self.provider.begin(**options)
        finished = await self.provider.finish(self.known.log_in(begun.url), begun.cookie)
        return await log_in_by_claims(
            self.house.catalog,
            finished.claims,
            policy,
            visitor=self.house.visitor(),
            proved_at=finished.proved_at,
        )


@pytest.fixture(scope="module")
def known_to_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[oidc.Provider]:
    with oidc.provider(tmp_path_factory.mktemp("provider")) as known:
        yield known


@pytest.fixture
def known(known_to_all: oidc.Provider) -> oidc.Provider:
    """As new."""
    fresh = oidc.Provider(known_to_all.url, known_to_all.ca, signer=FIRST)
    for name in oidc.Provider.__slots__:
        setattr(known_to_all, name, getattr(fresh, name))
    return known_to_all


FIRST = oidc.new_key("first")
SECOND = oidc.new_key("second")


@pytest.fixture
async def ground(known: oidc.Provider, tmp_path: Path) -> AsyncIterator[Ground]:
    catalog = await catalog_at(tmp_path / "catalog.db", "test")
    house = House(catalog)
    house.clock.now = time.time()
    known.now = house.clock
    table = Oidc(issuer=known.url, client_id=oidc.CLIENT, ca_bundle=known.ca, timeout_seconds=2)
    provider = Provider(table, Calls(known.ca, 2), known.redirect, oidc.SECRET, house.clock)
    yield Ground(known, house, table, provider)
    await catalog.close()


ANYBODY = Policy(auto_create=True)


async def test_somebody_new_becomes_a_person_where_that_is_wanted(ground: Ground) -> None:
    """Known by issuer and subject; the name is for people's eyes, without any role."""
    begun = await ground.log_in(ANYBODY)

    who = begun.person
    assert (who.source, who.subject, who.name, who.display) == (
        ground.known.url,
        ground.known.subject,
        "anna@127.0.0.1",
        "Anna Example",
    )
    assert not who.grants
    assert (await ground.house.known_by(begun.token)).administrator.initiator == "person-anna@127.0.0.1"
    ground.known.claims["preferred_username"] = "renamed"
    assert (await ground.log_in(ANYBODY)).person.identifier == who.identifier


async def test_somebody_unknown_stays_out_where_it_is_not(ground: Ground) -> None:
    """Until an administrator adds the subject. A local person of the same name is somebody else."""
    await ground.house.person("anna", Grant(Role.ADMINISTRATOR))
    with pytest.raises(NotRecognised, match="nobody who may log in here"):
        await ground.log_in(Policy())
    assert '"session.refused"' in (await ground.house.journal())[-1]

    office = ground.house.at_machine()
    added = await persons.add(
        office, ground.house.catalog, "a@x", [Grant(Role.VIEWER)], source=ground.known.url, subject=ground.known.subject
    )
    assert (await ground.log_in(Policy())).person.identifier == added.identifier
    await persons.disable(office, ground.house.catalog, await person(ground, added.identifier))
    with pytest.raises(NotRecognised, match="nobody who may log in here"):
        await ground.log_in(ANYBODY)


async def person(ground: Ground, identifier: str) -> Person:
    found = await ground.house.catalog.person(identifier)
    assert found is not None
    return found


async def test_an_equal_name_is_nobody_elses(ground: Ground) -> None:
    """Two accounts with one user name are two people; an address in a claim makes nobody of another house."""
    first = (await ground.log_in(ANYBODY)).person
    ground.known.subject, ground.known.claims["preferred_username"] = "2", "Anna@example.com"
    second = (await ground.log_in(ANYBODY)).person

    assert second.identifier != first.identifier
    assert second.name.startswith("anna@127.0.0.1~")


@pytest.mark.parametrize(
    ("claim", "name"),
    [
        ("Anna Smith", "anna-smith@id.example.com"),
        ("root", "root@id.example.com"),
        ("ceo@other.example.com", "ceo@id.example.com"),
        ("<script>\n\x1b[0m", "script-0m@id.example.com"),
        ("", "person@id.example.com"),
        (None, "person@id.example.com"),
        (["anna"], "person@id.example.com"),
        ("ы" * 100, "person@id.example.com"),
        ("a" * 300, "a" * 64 + "@id.example.com"),
    ],
)
def test_a_claim_makes_a_name_that_is_none_of_ours(claim: Any, name: str) -> None:
    assert name_for(claim, "https://id.example.com/realm") == name


async def test_roles_come_from_a_claim_where_that_is_configured(ground: Ground) -> None:
    """At each log-in anew; what has no row in the table gives nothing."""
    policy = Policy(
        auto_create=True,
        roles_claim="groups",
        grants={"kms-ops": [Grant(Role.OPERATOR, "one")], "kms-audit": [Grant(Role.AUDITOR)]},
    )
    ground.known.claims["groups"] = ["kms-ops", "kms-audit", "administrator", 7]
    first = await ground.log_in(policy)
    assert first.person.grants == {Grant(Role.OPERATOR, "one"), Grant(Role.AUDITOR)}
    ground.known.claims["groups"] = "kms-audit"
    assert (await ground.log_in(policy)).person.grants == {Grant(Role.AUDITOR)}
    with pytest.raises(Refused):
        await ground.house.known_by(first.token)
    del ground.known.claims["groups"]
    assert (await ground.log_in(policy)).person.grants == frozenset()
    # Without a claim configured, what an administrator granted stays.
    office = ground.house.at_machine()
    who = await person(ground, first.person.identifier)
    await persons.grant(office, ground.house.catalog, who, Grant(Role.VIEWER))
    assert (await ground.log_in(ANYBODY)).person.grants == {Grant(Role.VIEWER)}


async def test_the_provider_does_not_take_the_last_administrator(ground: Ground) -> None:
    policy = Policy(auto_create=True, roles_claim="groups", grants={"admins": [Grant(Role.ADMINISTRATOR)]})
    ground.known.claims["groups"] = ["admins"]
    await ground.log_in(policy)
    ground.known.claims["groups"] = []
    with pytest.raises(NotRecognised, match="administrator"):
        await ground.log_in(policy)


LIES: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": ({"iss": "https://evil.example.com"}, "another issuer's"),
    "no issuer": ({"iss": None}, "another issuer's"),
    "another audience": ({"aud": "another"}, "meant for another program"),
    "no audience": ({"aud": None}, "meant for another program"),
    "an audience that begins alike": ({"aud": "keyrack-2"}, "meant for another program"),
    "several audiences without azp": ({"aud": ["keyrack", "another"]}, "given to another program"),
    "another party": ({"azp": "another"}, "given to another program"),
    "another nonce": ({"nonce": "x"}, "does not belong to this log-in"),
    "no nonce": ({"nonce": None}, "does not belong to this log-in"),
    "no subject": ({"sub": None}, "who is meant"),
    "a subject that is a number": ({"sub": 7}, "who is meant"),
    "an empty subject": ({"sub": ""}, "who is meant"),
    "expired": ({"exp": 1_000_000}, "has expired"),
    "no end": ({"exp": None}, "from when and until when"),
    "no beginning": ({"iat": None}, "from when and until when"),
    "an end that is text": ({"exp": "9999999999"}, "exp is no time"),
    "an end that is true": ({"exp": True}, "exp is no time"),
    "not yet": ({"nbf": 9_999_999_999}, "does not count yet"),
    "of tomorrow": ({"iat": 9_999_999_999}, "does not count yet"),
    "old": ({"iat": 1_000_000}, "made long before"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_token_that_lies_lets_nobody_in(ground: Ground, lie: str) -> None:
    ground.known.lies, told = LIES[lie]
    with pytest.raises(BadToken, match=told):
        await ground.log_in(ANYBODY)
    assert list(await ground.house.catalog.persons()) == []


def no_key_of_the_providers(known: oidc.Provider) -> None:
    known.published, known.signer = [SECOND], FIRST


def another_key_under_the_same_name(known: oidc.Provider) -> None:
    known.published, known.signer = [FIRST], oidc.new_key("first")


def a_key_for_encryption(known: oidc.Provider) -> None:
    known.published = [FIRST.as_dict(private=False) | {"use": "enc"}]


def a_key_for_another_algorithm(known: oidc.Provider) -> None:
    known.published = [FIRST.as_dict(private=False) | {"alg": "PS256"}]


def a_short_key(known: oidc.Provider) -> None:
    known.signer = oidc.new_key("short", 1024)


def signed_by_nobody(known: oidc.Provider) -> None:
    known.forge = oidc.unsigned


def signed_with_what_all_can_read(known: oidc.Provider) -> None:
    known.forge = oidc.signed_with_the_public_key(known)


def altered_afterwards(known: oidc.Provider) -> None:
    known.forge = oidc.altered


def no_token(known: oidc.Provider) -> None:
    known.forge = lambda token, claims: "nonsense"


def a_critical_header(known: oidc.Provider) -> None:
    known.forge = lambda token, claims: oidc.encoded(b'{"alg":"RS256","crit":["x"],"x":1}') + token[token.index(".") :]


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.parametrize(
    "attack",
    [
        no_key_of_the_providers,
        another_key_under_the_same_name,
        a_key_for_encryption,
        a_key_for_another_algorithm,
        a_short_key,
        signed_by_nobody,
        signed_with_what_all_can_read,
        altered_afterwards,
        no_token,
        a_critical_header,
    ],
)
async def test_a_token_that_the_provider_has_not_signed_lets_nobody_in(
    ground: Ground, attack: Callable[[oidc.Provider], None]
) -> None:
    attack(ground.known)
    with pytest.raises(BadToken):
        await ground.log_in(ANYBODY)
    assert list(await ground.house.catalog.persons()) == []


@pytest.mark.parametrize("alg", ["PS256", "RS512", "ES256"])
async def test_other_good_signatures_are_taken(ground: Ground, alg: str) -> None:
    ground.known.alg = alg
    if alg == "ES256":
        ground.known.signer = oidc.new_curve("curve")
    await ground.log_in(ANYBODY)


async def test_an_answer_counts_in_the_browser_that_began(ground: Ground) -> None:
    """Another's state, another's cookie, none, too late; and an attacker's own code in the victim's browser."""
    mine, attackers = await ground.provider.begin(), await ground.provider.begin()
    answered = ground.known.log_in(mine.url)
    stolen = ground.known.log_in(attackers.url)
    tries: list[tuple[dict[str, str], str]] = [
        (answered, attackers.cookie),
        (answered, ""),
        (answered, "a.1.x"),
        (answered, "b" + mine.cookie[1:]),
        ({"code": answered["code"]}, mine.cookie),
        (answered | {"state": "x"}, mine.cookie),
        (answered | {"state": stolen["state"]}, mine.cookie),
    ]
    for given, cookie in tries:
        with pytest.raises(NotRecognised):
            await ground.provider.finish(given, cookie)
    # The state fits, the code is another log-in's: PKCE does not.
    with pytest.raises(ProviderUnavailable, match="invalid_grant"):
        await ground.provider.finish(answered | {"code": stolen["code"]}, mine.cookie)
    await ground.provider.finish(answered, mine.cookie)
    with pytest.raises(ProviderUnavailable, match="invalid_grant"):
        await ground.provider.finish(answered, mine.cookie)

    late = await ground.provider.begin()
    answered = ground.known.log_in(late.url)
    ground.house.clock.go_on(601)
    with pytest.raises(NotRecognised, match="too long ago"):
        await ground.provider.finish(answered, late.cookie)


async def test_the_request_gives_nothing_away(ground: Ground) -> None:
    """Neither the verifier nor the cookie, nor the client's secret, is in the URL."""
    begun = await ground.provider.begin()
    asked = dict(parse_qsl(urlsplit(begun.url).query))
    assert asked["code_challenge_method"] == "S256"
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    assert begun.cookie.split(".")[2] not in begun.url
    assert oidc.SECRET not in begun.url
    assert begun.cookie not in repr(begun)


async def test_an_error_of_the_provider_is_told(ground: Ground) -> None:
    begun = await ground.provider.begin()
    state = ground.known.log_in(begun.url)["state"]
    for error, told in (("access_denied", "access_denied"), ("<b>&\n", "an error")):
        with pytest.raises(NotRecognised, match=told):
            await ground.provider.finish({"state": state, "error": error}, begun.cookie)


async def test_another_providers_answer_is_refused(ground: Ground) -> None:
    """Where it names itself (RFC 9207)."""
    begun = await ground.provider.begin()
    answered = ground.known.log_in(begun.url)
    with pytest.raises(NotRecognised, match="another provider's"):
        await ground.provider.finish(answered | {"iss": "https://evil.example.com"}, begun.cookie)
    await ground.provider.finish(answered | {"iss": ground.known.url}, begun.cookie)


async def test_a_new_key_is_fetched_and_not_for_everybody(ground: Ground) -> None:
    """A token of a key that is not known makes one look a minute; a key that was withdrawn counts for an hour."""
    await ground.log_in(ANYBODY)
    ground.known.signer = SECOND
    await ground.log_in(ANYBODY)
    assert ground.known.asked.count("/jwks") == 2
    ground.known.published, ground.known.signer = [SECOND], FIRST
    for _ in range(5):
        with pytest.raises(BadToken):
            await ground.log_in(ANYBODY)
    assert ground.known.asked.count("/jwks") == 2
    assert ground.known.asked.count("/.well-known/openid-configuration") == 1
    ground.house.clock.go_on(3600)
    with pytest.raises(BadToken):
        await ground.log_in(ANYBODY)
    assert ground.known.asked.count("/.well-known/openid-configuration") == 2


async def test_who_was_seen_long_ago_proves_it_again(ground: Ground) -> None:
    """What the provider remembers is no proof; asked for one, it says that it has seen one."""
    ground.known.claims["groups"] = "admins"
    policy = Policy(auto_create=True, roles_claim="groups", grants={"admins": [Grant(Role.ADMINISTRATOR)]})
    ground.known.lies = {"auth_time": int(ground.house.now - 3600)}
    begun = await ground.log_in(policy)
    with pytest.raises(ProofNeeded):
        (await ground.house.known_by(begun.token)).require(Right.PERSON_CHANGE)
    with pytest.raises(BadToken, match="ask for a proof"):
        await ground.log_in(policy, again=True)
    ground.known.lies = {}
    begun = await ground.log_in(policy, again=True)
    (await ground.house.known_by(begun.token)).require(Right.PERSON_CHANGE)
    # A provider that says nothing of it: only where it was told to ask.
    ground.known.lies = {"auth_time": None}
    begun = await ground.log_in(policy)
    with pytest.raises(ProofNeeded):
        (await ground.house.known_by(begun.token)).require(Right.PERSON_CHANGE)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"issuer": "https://evil.example.com"}, "another issuer"),
        ({"token_endpoint": "http://127.0.0.1/token"}, "https endpoint"),
        ({"jwks_uri": None}, "https endpoint"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "https endpoint"),
    ],
)
async def test_a_document_that_does_not_fit_is_refused(ground: Ground, document: dict[str, Any], told: str) -> None:
    ground.known.document = document
    with pytest.raises(ProviderUnavailable, match=told):
        await ground.provider.begin()


async def test_a_provider_that_is_not_certified_is_not_asked(ground: Ground) -> None:
    """Nor is the system's own trust enough for a private authority."""
    strict = Provider(ground.table, Calls(None, 2), ground.known.redirect, oidc.SECRET)
    with pytest.raises(ProviderUnavailable, match="certificate is not trusted"):
        await strict.begin()
    assert ground.known.asked == []


async def test_a_provider_that_drips_or_floods_ends_in_time(ground: Ground) -> None:
    """Each byte is in time, all of them are not; and a megabyte is enough."""
    quick = Provider(ground.table, Calls(ground.known.ca, 0.5), ground.known.redirect, oidc.SECRET)
    ground.known.slow = 0.05
    began = time.monotonic()
    with pytest.raises(ProviderUnavailable):
        await quick.begin()
    assert time.monotonic() - began < 1.4
    await asyncio.sleep(0.3)
    assert quick._calls._under_way == 0  # the thread has ended too
    ground.known.slow, ground.known.padding = 0, 2_000_000
    with pytest.raises(ProviderUnavailable, match="too long"):
        await ground.provider.begin()


async def test_a_wrong_secret_is_told_without_it(ground: Ground) -> None:
    wrong = Provider(ground.table, Calls(ground.known.ca, 2), ground.known.redirect, "not the secret")
    begun = await wrong.begin()
    with pytest.raises(ProviderUnavailable, match=r"401 \(invalid_client\)") as refused:
        await wrong.finish(ground.known.log_in(begun.url), begun.cookie)
    assert "not the secret" not in str(refused.value)
