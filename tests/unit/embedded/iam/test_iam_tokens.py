"""Tokens: of IBM's form, proved by our key alone, and over with their hour, their API key or their service ID."""

import hmac
import json
import sqlite3
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keyrack.domain.secret import Secret
from keyrack.embedded.call import Call, Caller
from keyrack.embedded.errors import Unauthorised
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Right
from keyrack.embedded.iam.service_ids import (
    create_api_key,
    create_service_id,
    delete_service_id,
    grant,
    remove_api_key,
    revoke,
)
from keyrack.embedded.iam.tokens import (
    LIFETIME,
    ApiKeyNotFound,
    account_of,
    caller_of,
    discovery,
    public_keys,
    token_for,
)
from keyrack.testing.key_houses import ADMINISTRATOR, INSTANCE, a_house, go_on, opened_again
from keyrack.testing.tokens import (
    ISSUER,
    MANAGER,
    Sign,
    claims_of,
    digits,
    header_of,
    octets,
    private_key,
    put_together,
    rs256,
)


def constantly(signature: bytes) -> Sign:
    return lambda text: signature


def refusal(house: House, bearer: str, issuer: str | None = None) -> str:
    with pytest.raises(Unauthorised) as refused:
        caller_of(house, bearer, issuer)
    told = str(refused.value)
    pieces = [piece for piece in bearer.split(".") if len(piece) > 8]
    assert not any(piece in told for piece in pieces)
    assert refused.value.__context__ is None, "a traceback would show what was sent"
    return told


def test_it_has_the_claims_of_a_token_of_ibm(house: House, token: str) -> None:
    with house.reading() as reading:
        owner = reading.service_ids()[0]
    claims = claims_of(token)
    unique = claims.pop("jti")

    assert claims == {
        "iam_id": f"iam-{owner.identifier}",
        "id": f"iam-{owner.identifier}",
        "realmid": "iam",
        "identifier": owner.identifier,
        "name": "backup",
        "sub": owner.identifier,
        "sub_type": "ServiceId",
        "account": {"valid": True, "bss": account_of(house)},
        "iat": house.now,
        "exp": house.now + 3600,
        "iss": ISSUER,
        "grant_type": "urn:ibm:params:oauth:grant-type:apikey",
        "scope": "ibm openid",
        "client_id": "default",
        "apikey_id": owner.api_keys[0].identifier,
    }
    assert unique
    assert header_of(token) == {"typ": "JWT", "alg": "RS256", "kid": public_keys(house)["keys"][0]["kid"]}


def test_an_answer_tells_how_long_it_counts_and_does_not_print_it(house: House, api_key: Secret) -> None:
    answer = token_for(house, api_key, ISSUER)

    assert (answer.lifetime, answer.expires_at) == (3600, house.now + 3600)
    assert answer.access_token not in repr(answer)
    assert claims_of(answer.access_token)["jti"] != claims_of(token_for(house, api_key, ISSUER).access_token)["jti"]


def test_it_speaks_for_its_service_id(house: House, token: str) -> None:
    with house.reading() as reading:
        owner = reading.service_ids()[0]

    expected = Caller(identity=owner.iam_id, service_id=owner.identifier, api_key=owner.api_keys[0].identifier)
    assert caller_of(house, token, ISSUER) == caller_of(house, token) == expected


def test_a_library_that_is_not_ours_verifies_it_with_the_published_keys(house: House, token: str) -> None:
    jwt = pytest.importorskip("jwt", reason="PyJWT is not installed")
    published = jwt.PyJWKSet.from_dict(json.loads(json.dumps(public_keys(house))))
    key = published[jwt.get_unverified_header(token)["kid"]]
    lax = {"verify_exp": False, "verify_iat": False}

    assert jwt.decode(token, key, algorithms=["RS256"], issuer=ISSUER, options=lax) == claims_of(token)
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token[:-8] + "AAAAAAAA", key, algorithms=["RS256"], options=lax)


def test_the_published_keys_are_public_keys(house: House) -> None:
    published = public_keys(house)

    assert [set(key) for key in published["keys"]] == [{"kty", "n", "e", "kid", "use", "alg"}]
    assert (published["keys"][0]["kty"], published["keys"][0]["alg"]) == ("RSA", "RS256")
    assert int.from_bytes(octets(published["keys"][0]["n"])).bit_length() == 3072
    assert public_keys(house) == published


def test_the_discovery_document_leads_to_tokens_and_keys() -> None:
    document = discovery(ISSUER)

    assert document["issuer"] == ISSUER
    assert document["token_endpoint"] == "https://keys.example:8444/identity/token"
    assert document["jwks_uri"] == "https://keys.example:8444/identity/keys"
    assert document["id_token_signing_alg_values_supported"] == ["RS256"]
    for needed in ("response_types_supported", "subject_types_supported", "grant_types_supported"):
        assert document[needed], "OpenID Connect Discovery 1.0, 3, requires it"
    assert json.loads(json.dumps(document)) == document


def test_it_is_over_after_an_hour(house: House, token: str) -> None:
    go_on(house, LIFETIME - 1)
    caller_of(house, token)
    go_on(house, 1)

    assert refusal(house, token).startswith("Token is expired")


def test_a_token_of_the_future_waits(house: House, token: str) -> None:
    ahead = put_together(
        header_of(token),
        {**claims_of(token), "iat": house.now + 6, "exp": house.now + 3606},
        rs256(private_key(house)),
    )

    assert "of the future" in refusal(house, ahead)
    go_on(house, 1)
    caller_of(house, ahead)


def test_an_issuer_that_is_named_is_compared(house: House, token: str) -> None:
    assert "another issuer" in refusal(house, token, "https://keys.example/identity")


def test_no_algorithm_but_ours_proves_anything(house: House, token: str) -> None:
    kid = header_of(token)["kid"]
    claims = claims_of(token)
    public = private_key(house).public_key()
    spki = PublicFormat.SubjectPublicKeyInfo
    published = json.dumps(public_keys(house)["keys"][0]).encode()
    modulus = octets(public_keys(house)["keys"][0]["n"])
    secrets = (
        public.public_bytes(Encoding.PEM, spki),
        public.public_bytes(Encoding.DER, spki),
        published,
        modulus,
        b"",
    )
    tried = [
        put_together({"alg": algorithm, "typ": "JWT", "kid": kid}, claims, constantly(signature))
        for algorithm in ("none", "None", "NONE", "nOnE", "")
        for signature in (b"", b"x")
    ]
    for secret in secrets:
        header = {"alg": "HS256", "typ": "JWT", "kid": kid}
        tried.append(put_together(header, claims, partial(hmac.digest, secret, digest="sha256")))
    key = private_key(house)
    rs384 = put_together({"alg": "RS384", "kid": kid}, claims, lambda text: key.sign(text, PKCS1v15(), SHA384()))
    ps256 = put_together(
        {"alg": "PS256", "kid": kid}, claims, lambda text: key.sign(text, PSS(MGF1(SHA256()), 32), SHA256())
    )
    tried += [rs384, ps256, put_together({"kid": kid}, claims, rs256(key))]

    assert {refusal(house, each) for each in tried} == {"Token is not signed with RS256"}


def test_another_key_proves_nothing_whatever_the_header_says_of_it(house: House, token: str) -> None:
    thief = generate_private_key(public_exponent=65537, key_size=2048)
    numbers = thief.public_key().public_numbers()
    jwk = {"kty": "RSA", "n": digits(numbers.n.to_bytes(256)), "e": "AQAB"}
    ours = header_of(token)["kid"]

    def signed(**header: object) -> str:
        return put_together({"alg": "RS256", **header}, claims_of(token), rs256(thief))

    assert "not in use here" in refusal(house, signed(kid="another"))
    assert "not in use here" in refusal(house, signed())
    assert "signature that is not valid" in refusal(house, signed(kid=ours))
    assert "signature that is not valid" in refusal(house, signed(kid=ours, jku="https://thief.example/keys"))
    assert "not in use here" in refusal(house, signed(kid="another", x5u="https://thief.example/chain"))
    assert "malformed" in refusal(house, signed(kid=ours, jwk=jwk)), "longer than any header of ours"


def test_what_was_changed_after_signing_counts_no_more(house: House, token: str) -> None:
    header, payload, signature = token.split(".")
    claims = claims_of(token)
    longer = digits(json.dumps({**claims, "exp": claims["exp"] + 86400}).encode())
    other = digits(json.dumps({**claims, "sub": "ServiceId-other"}).encode())
    flipped = digits(bytes(octet ^ (place == 100) for place, octet in enumerate(octets(signature))))

    for changed in (f"{header}.{longer}.{signature}", f"{header}.{other}.{signature}", f"{header}.{payload}.{flipped}"):
        assert "signature that is not valid" in refusal(house, changed)
    assert "signature that is not valid" in refusal(house, f"{header}.{payload}.")


@pytest.mark.parametrize(
    "bearer",
    [
        "",
        ".",
        "..",
        "....",
        "null",
        "a.b.c",
        "Bearer x",
        "x" * 100_000,
        "\ud800.\ud800.\ud800",
        "é.é.é",
        *(
            f"{digits(header)}.e30.e30"
            for header in (
                b"[]",
                b"null",
                b"7",
                b"{",
                b"[" * 300,
                b'"alg"',
                b'{"alg":["RS256"]}',
                b'{"alg":{"RS256":1}}',
                b'{"alg":"RS256","kid":["a"]}',
                b'{"alg":"RS256","b64":false,"crit":["b64"]}',
                b"\xff\xfe",
            )
        ),
    ],
)
def test_what_is_no_token_at_all_is_refused_like_any_other(house: House, token: str, bearer: str) -> None:
    assert refusal(house, bearer).startswith("Token is")


def test_a_token_of_another_deployment_is_of_no_use_here(house: House, token: str, tmp_path: Path) -> None:
    (tmp_path / "another").mkdir()
    another = a_house(tmp_path / "another")
    create_service_id(another, ADMINISTRATOR, "backup", grants=[MANAGER])
    _, key = create_api_key(another, ADMINISTRATOR, "backup", "one")
    stranger = token_for(another, key, ISSUER).access_token

    assert "not in use here" in refusal(house, stranger)
    assert "not in use here" in refusal(another, token)
    another.close()


def test_it_ends_with_its_api_key_at_the_next_request(house: House, token: str, tmp_path: Path) -> None:
    other_process = opened_again(tmp_path)
    _, second = create_api_key(house, ADMINISTRATOR, "backup", "two")
    stays = token_for(house, second, ISSUER).access_token
    caller = caller_of(house, token)
    caller_of(other_process, token)

    remove_api_key(house, ADMINISTRATOR, "backup", "one")

    assert refusal(house, token) == refusal(other_process, token) == "The API key of this token was removed"
    caller_of(house, stays)
    with house.reading() as reading, pytest.raises(Unauthorised):
        reading.allow(Call(caller=caller, instance=INSTANCE), Right.LIST)  # a request that was under way
    other_process.close()


def test_it_ends_with_its_service_id(house: House, token: str) -> None:
    caller_of(house, token)

    delete_service_id(house, ADMINISTRATOR, "backup")
    create_service_id(house, ADMINISTRATOR, "backup", grants=[MANAGER])

    assert refusal(house, token) == "The service ID of this token was deleted"


def test_grants_count_as_they_are_at_the_next_request(house: House, token: str) -> None:
    call = Call(caller=caller_of(house, token), instance=INSTANCE)
    with house.reading() as reading:
        reading.allow(call, Right.DELETE)

    revoke(house, ADMINISTRATOR, "backup", MANAGER)
    with house.reading() as reading, pytest.raises(Unauthorised):
        reading.allow(Call(caller=caller_of(house, token), instance=INSTANCE), Right.DELETE)
    grant(house, ADMINISTRATOR, "backup", MANAGER)
    with house.reading() as reading:
        reading.allow(call, Right.DELETE)


@pytest.mark.parametrize("wrong", [b"", b"x" * 44, b"x" * 43, b"x" * 1_000_000, b"\xff" * 44])
def test_an_unknown_api_key_gets_no_token(house: House, api_key: Secret, wrong: bytes) -> None:
    with pytest.raises(ApiKeyNotFound, match="Provided API key could not be found"):
        token_for(house, Secret(bytearray(wrong)), ISSUER)


def test_a_removed_api_key_gets_no_token(house: House, api_key: Secret, token: str) -> None:
    remove_api_key(house, ADMINISTRATOR, "backup", "one")

    with pytest.raises(ApiKeyNotFound):
        token_for(house, api_key, ISSUER)


def test_the_journal_has_it_before_it_is_answered(house: House, api_key: Secret, tmp_path: Path) -> None:
    token_for(house, api_key, ISSUER, address="192.0.2.7", correlation="c-1")
    with house.reading() as reading:
        *_, last = [json.loads(line.text) for line in reading.journal()]
        owner = reading.service_ids()[0]

    assert last["action"] == "iam-identity.serviceid-apikey.login"
    assert (last["initiator"], last["target"], last["address"]) == (owner.iam_id, owner.identifier, "192.0.2.7")
    assert last["detail"] == {"api_key": owner.api_keys[0].identifier, "name": "one", "correlation": "c-1"}
    with sqlite3.connect(tmp_path / "keystore.db") as connection:
        connection.execute("DROP TABLE journal")
    with pytest.raises(sqlite3.Error):
        token_for(house, api_key, ISSUER)
