"""IAM over HTTPS: an API key for a token, errors in IAM's own form, and keys with which anybody checks a token."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.iam.service_ids import remove_api_key, service_ids
from keyrack.shell.rest.bounds import Bounds, Rate
from keyrack.testing.key_houses import ADMINISTRATOR, a_house
from keyrack.testing.key_protect import GRANT_TYPE, Address, Told, key_protect, new_api_key, new_user

PATHS = ("/identity/token", "/oidc/token")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = a_house(tmp_path_factory.mktemp("keyrack"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def address(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    bounds = Bounds(logins=Rate(each_second=1000, burst=1000))
    with key_protect(house, tmp_path_factory.mktemp("api"), bounds=bounds) as served:
        yield served


def asked(address: Address, path: str = "/identity/token", **fields: str) -> Told:
    return address.ask("POST", path, urlencode(fields))


@pytest.mark.parametrize("path", PATHS)
def test_an_api_key_is_exchanged_for_a_token_of_an_hour(address: Address, house: House, path: str) -> None:
    api_key = new_api_key(house, Role.READER)

    told = asked(address, path, grant_type=GRANT_TYPE, apikey=api_key, response_type="cloud_iam", scope="ibm")

    assert (200, "application/json") == (told.status, told.headers["content-type"])
    body = told.json
    assert ("Bearer", 3600, "ibm openid") == (body["token_type"], body["expires_in"], body["scope"])
    assert house.now + 3600 == body["expiration"]
    assert "no-store" == told.headers["cache-control"]


def test_a_token_is_checked_with_what_discovery_leads_to(address: Address, house: House) -> None:
    """By a library that knows nothing of Keyrack but the issuer."""
    user = new_user(address, house, Role.READER)
    told = address.ask("GET", "/identity/.well-known/openid-configuration").json
    keys = address.ask("GET", told["jwks_uri"].removeprefix(address.url)).json

    token = jwt.decode(user.token, KeySet.import_key_set(keys), algorithms=["RS256"])

    assert f"{address.url}/identity" == told["issuer"] == token.claims["iss"]
    assert f"{address.url}/identity/token" == told["token_endpoint"]
    assert told == address.ask("GET", "/.well-known/openid-configuration").json
    assert all("d" not in key for key in keys["keys"])


def test_the_issuer_is_not_what_a_client_says_it_is(address: Address) -> None:
    told = address.ask("GET", "/.well-known/openid-configuration", headers={"Host": "evil.example"})

    assert f"{address.url}/identity" == told.json["issuer"]


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ("", "BXNIM0109E"),
        ("apikey=x", "BXNIM0109E"),
        (f"grant_type={GRANT_TYPE}", "BXNIM0109E"),
        (f"grant_type={GRANT_TYPE}&apikey=", "BXNIM0109E"),
        (f"grant_type={GRANT_TYPE}&apikey=%0A", "BXNIM0109E"),
        ("grant_type=refresh_token&refresh_token=x", "BXNIM0106E"),
        ("grant_type=urn:ibm:params:oauth:grant-type:assume&access_token=x", "BXNIM0106E"),
        ("grant_type=urn:ibm:params:oauth:grant-type:cr-token&cr_token=x", "BXNIM0106E"),
        (f"grant_type={GRANT_TYPE}&apikey=" + "x" * 44, "BXNIM0415E"),
        (f"grant_type={GRANT_TYPE}&apikey=%00%ff", "BXNIM0415E"),
        ('{"grant_type":"x"}', "BXNIM0109E"),
        ("&&&==&%zz", "BXNIM0109E"),
    ],
)
def test_what_is_no_exchange_is_refused_in_iams_form(address: Address, form: str, code: str) -> None:
    told = address.ask("POST", "/identity/token", form, {"Correlation-Id": "find-me", "User-Agent": "test"})

    assert (400, code) == (told.status, told.json["errorCode"])
    context = told.json["context"]
    assert ("find-me", "test", "incoming.Identity_Token", "en_US") == (
        context["requestId"],
        context["userAgent"],
        context["requestType"],
        context["locale"],
    )
    assert {"url", "instanceId", "threadId", "host", "startTime", "endTime", "elapsedTime", "clusterName"} <= set(
        context
    )


def test_a_form_may_be_written_in_any_way(address: Address, house: House) -> None:
    """Percent signs, plus signs, another order, a field twice, the end of the line of a file that holds the key."""
    api_key = new_api_key(house, Role.READER)
    escaped = "".join(f"%{ord(letter):02x}" for letter in api_key)
    forms = (
        f"apikey={quote(api_key)}&grant_type={quote(GRANT_TYPE, safe='')}",
        f"grant_type={GRANT_TYPE}&apikey={escaped}",
        f"a=b+c&grant_type={GRANT_TYPE}&apikey={api_key}&d",
        f"grant_type={GRANT_TYPE}&apikey={api_key}%0A",
        f"grant_type={GRANT_TYPE}&apikey={api_key}%0D%0A",
    )

    assert [200] * 5 == [address.ask("POST", "/identity/token", form).status for form in forms]


def test_a_form_is_bounded(address: Address) -> None:
    told = address.ask("POST", "/identity/token", "x=" + "y" * 20_000)

    assert (413, "BXNIM0413E") == (told.status, told.json["errorCode"])


def test_a_removed_api_key_ends_its_tokens_at_the_next_request(address: Address, house: House) -> None:
    user = new_user(address, house, Role.READER)
    assert 200 == user.ask("GET", "/keys").status
    owner = max(service_ids(house), key=lambda each: int(each.name.removeprefix("user ")))

    remove_api_key(house, ADMINISTRATOR, owner.name, "key")

    assert 401 == user.ask("GET", "/keys").status
    assert 400 == asked(address, grant_type=GRANT_TYPE, apikey=user.api_key).status


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic eA==", "Bearer a.b.c", "bearer\t"])
def test_without_a_good_token_nothing_is_answered(address: Address, header: str | None) -> None:
    told = address.ask("GET", "/api/v2/keys", headers={} if header is None else {"Authorization": header})

    assert (401, "Bearer", "UNAUTHORIZED_ERR") == (told.status, told.headers["www-authenticate"], told.code)


def test_whoever_guesses_api_keys_is_slowed_down(house: House, tmp_path: Path) -> None:
    with key_protect(house, tmp_path, bounds=Bounds(logins=Rate(each_second=0.01, burst=3))) as served:
        told = [asked(served, grant_type=GRANT_TYPE, apikey="x" * 44) for _ in range(4)]

    assert [400, 400, 400, 429] == [each.status for each in told]
    assert int(told[-1].headers["retry-after"]) > 1
    assert "BXNIM0429E" == told[-1].json["errorCode"]


def test_api_key_and_token_are_in_no_log_and_no_journal(
    address: Address, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        user = new_user(address, house, Role.READER)
        address.ask("POST", "/identity/token", f"grant_type=nonsense&apikey={user.api_key}")
        address.ask("POST", "/identity/token", f"grant_type={GRANT_TYPE}&apikey={user.api_key}x")
        user.ask("GET", "/keys")
    with house.reading() as reading:
        journal = [line.text for line in reading.journal(limit=10_000)]

    told = str([vars(record) for record in caplog.records]) + str(journal)
    assert "request" in told
    assert user.api_key not in told
    assert user.token not in told
    assert user.token.rpartition(".")[2] not in told


def test_a_login_is_in_the_journal_and_one_that_failed_too(address: Address, house: House) -> None:
    asked(address, grant_type=GRANT_TYPE, apikey=new_api_key(house, Role.READER))
    asked(address, grant_type=GRANT_TYPE, apikey="x" * 44)

    with house.reading() as reading:
        told = [json.loads(line.text) for line in reading.journal(limit=10_000)]
    logins = [entry for entry in told if "iam-identity.serviceid-apikey.login" in entry.values()]
    assert {"success", "BXNIM0415E"} <= {str(value) for entry in logins[-2:] for value in entry.values()}
