"""The key that signs tokens: made once, sealed, rotated without breaking a token, and of no use once it is old."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import KeystoreDamaged, TooEarly, Unauthorised
from keyrack.embedded.house import House
from keyrack.embedded.iam import signing
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.iam.signing import PRIVATE, PUBLIC, rotate_signing_key, signing_key
from keyrack.embedded.iam.tokens import LIFETIME, caller_of, public_keys, token_for
from keyrack.testing.canaries import in_files
from keyrack.testing.key_houses import ADMINISTRATOR, a_caller, go_on, opened_again
from keyrack.testing.tokens import ISSUER, claims_of, header_of, private_key, put_together, rs256


def test_the_signing_key_is_made_once_for_all_threads_and_processes(
    house: House, api_key: Secret, tmp_path: Path
) -> None:
    other_process = opened_again(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda n: token_for(other_process if n % 2 else house, api_key, ISSUER), range(16)))

    assert len({header_of(each.access_token)["kid"] for each in tokens}) == 1
    assert public_keys(house) == public_keys(other_process)
    for each in tokens:
        caller_of(other_process, each.access_token)
    other_process.close()
    again = opened_again(tmp_path)
    caller_of(again, tokens[0].access_token)
    again.close()


def test_a_process_that_comes_second_with_the_first_key_drops_its_own(house: House, token: str) -> None:
    published = public_keys(house)

    signing._install(house, ADMINISTRATOR, "test", signing.generated(), first=True)

    assert public_keys(house) == published
    assert signing_key(house).kid == header_of(token)["kid"]


def test_a_rotated_key_signs_at_once_and_the_old_tokens_count_until_they_are_over(
    house: House, api_key: Secret, token: str, tmp_path: Path
) -> None:
    other_process = opened_again(tmp_path)
    caller_of(other_process, token)
    go_on(house, 100)
    rotate_signing_key(house, ADMINISTRATOR)
    new = token_for(other_process, api_key, ISSUER).access_token

    assert header_of(new)["kid"] != header_of(token)["kid"]
    for each in (token, new):
        caller_of(house, each)
    assert [key["kid"] for key in public_keys(house)["keys"]] == [header_of(token)["kid"], header_of(new)["kid"]]
    other_process.close()


def test_an_old_key_proves_nothing_once_its_tokens_are_over(house: House, token: str) -> None:
    stolen = private_key(house)
    rotate_signing_key(house, ADMINISTRATOR)
    go_on(house, LIFETIME + 60)
    claims = {**claims_of(token), "iat": house.now, "exp": house.now + LIFETIME}
    late = put_together(header_of(token), claims, rs256(stolen))

    with pytest.raises(Unauthorised, match="not in use here"):
        caller_of(house, late)
    assert len(public_keys(house)["keys"]) == 1
    rotate_signing_key(house, ADMINISTRATOR)
    with pytest.raises(Unauthorised, match="not in use here"):
        caller_of(house, late)


def test_no_role_rotates_the_signing_key(house: House, token: str) -> None:
    with pytest.raises(Unauthorised):
        rotate_signing_key(house, a_caller(house, *Role, instance=None))
    assert [key["kid"] for key in public_keys(house)["keys"]] == [header_of(token)["kid"]]


@pytest.mark.slow
def test_signing_keys_do_not_pile_up(house: House, token: str) -> None:
    for _ in range(15):
        rotate_signing_key(house, ADMINISTRATOR)

    with pytest.raises(TooEarly):
        rotate_signing_key(house, ADMINISTRATOR)
    go_on(house, LIFETIME + 60)
    rotate_signing_key(house, ADMINISTRATOR)


def test_the_private_key_is_nowhere_on_the_disk(
    house: House, token: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    numbers = private_key(house).private_numbers()
    numbers_of_it = (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
    rotate_signing_key(house, ADMINISTRATOR)

    found = in_files([number.to_bytes((number.bit_length() + 7) // 8) for number in numbers_of_it], tmp_path)
    assert found == []
    assert "".join(capfd.readouterr()) == ""


def test_joserfc_keeps_no_text_of_the_private_key(house: House) -> None:
    key = signing_key(house)

    assert set(key.dict_value) == {"kty", "n", "e", "kid", "use", "alg"}


@pytest.mark.parametrize("name", [PRIVATE, PUBLIC])
def test_nobody_slips_in_a_key_of_his_own(house: House, api_key: Secret, token: str, tmp_path: Path, name: str) -> None:
    caller_of(house, token)  # The public keys were believed once, and are believed in no other form.
    other = {PRIVATE: PUBLIC, PUBLIC: PRIVATE}[name]
    with sqlite3.connect(tmp_path / "keystore.db") as connection:
        (mine,) = connection.execute("SELECT value FROM sealed_values WHERE name = ?", (name,)).fetchone()
        (theirs,) = connection.execute("SELECT value FROM sealed_values WHERE name = ?", (other,)).fetchone()

    for value in (theirs, mine[:-1] + bytes([mine[-1] ^ 1]), b"", b'{"keys":[]}'):
        with sqlite3.connect(tmp_path / "keystore.db") as connection:
            connection.execute("UPDATE sealed_values SET value = ? WHERE name = ?", (value, name))
        with pytest.raises(KeystoreDamaged, match="of tokens was changed"):
            caller_of(house, token) if name == PUBLIC else token_for(house, api_key, ISSUER)
