"""Import tokens: both variants of the encryption, the nonce that proves it, their time and their retrievals."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from keyrack.domain.secret import Secret
from keyrack.embedded.actions import unwrap, wrap
from keyrack.embedded.creation import EncryptedImport, NewKey, create, create_with_overrides
from keyrack.embedded.errors import IncorrectNonce, KeystoreDamaged, UnprocessableCiphertext
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.import_tokens import make, retrieve
from keyrack.embedded.instances import ImportToken, PolicyType
from keyrack.embedded.keys import Key
from keyrack.embedded.lifecycle import rotate
from keyrack.embedded.policies import set_instance_policies
from keyrack.embedded.root_keys.keystore import Keystore
from keyrack.embedded.root_keys.port import VersionName
from keyrack.embedded.root_keys.software import SoftwareKeeper
from keyrack.testing.key_houses import INSTANCE, OTHER_INSTANCE, a_call, a_caller, a_house, an_instance, go_on
from keyrack.testing.some_keys import journal_of, refusal

MATERIAL = bytes(range(32))
GCM, CBC_NAME = "RSAES_OAEP_SHA_256", "RSAES_OAEP_SHA_1"
ALGORITHMS = [GCM, CBC_NAME]
INVALID = (400, "INVALID_FIELD_ERR")
NONCE = (400, "INCORRECT_NONCE_ERR")
NONCE_IV = (400, "INCORRECT_NONCE_IV_ERR")
EXPIRED = (409, "IMPORT_TOKEN_EXPIRED_ERR")


@dataclass(frozen=True)
class Parcel:
    """What a client sends, made as IBM's documentation tells it."""

    payload: bytes
    encrypted: EncryptedImport

    def wanted(self, **fields: Any) -> NewKey:
        return NewKey(
            **{
                "name": "an import",
                "extractable": False,
                "payload": Secret(bytearray(self.payload)),
                "encrypted": self.encrypted,
                **fields,
            }
        )


def parcel(token: ImportToken, algorithm: str, material: bytes = MATERIAL, nonce: bytes | None = None) -> Parcel:
    """The client's side, written down again."""
    public = load_pem_public_key(token.public)
    assert isinstance(public, rsa.RSAPublicKey)
    clear = token.nonce if nonce is None else nonce
    if algorithm == GCM:
        iv = os.urandom(12)
        encrypted = AESGCM(material).encrypt(iv, clear, None)
        return Parcel(
            public.encrypt(material, OAEP(MGF1(SHA256()), SHA256(), None)), EncryptedImport(encrypted, iv, GCM)
        )
    iv = os.urandom(16)
    pad = PKCS7(128).padder()
    padded = pad.update(clear) + pad.finalize()
    encryptor = Cipher(AES(material), CBC(iv)).encryptor()
    return Parcel(
        public.encrypt(material, OAEP(MGF1(SHA1()), SHA1(), None)),
        EncryptedImport(encryptor.update(padded) + encryptor.finalize(), iv, CBC_NAME),
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, ImportToken]]:
    """A house whose token the tests of this file leave as it is: an RSA key takes a second."""
    house = a_house(tmp_path_factory.mktemp("tokens"))
    an_instance(house, OTHER_INSTANCE)
    yield house, make(house, a_call(), 86_400, 500)
    house.close()


@pytest.fixture
def house(shared: tuple[House, ImportToken]) -> House:
    return shared[0]


@pytest.fixture
def token(shared: tuple[House, ImportToken]) -> ImportToken:
    return shared[1]


def holds(house: House, key: Key, material: bytes) -> bool:
    """Whether the material of the key's newest version is this."""
    keeper, name = house.keeper_of("software"), key.version_name(key.newest)
    with Secret(bytearray(material)) as secret, Secret(bytearray(b"plain")) as plain:
        other = keeper.take(name, secret)
        enciphered = keeper.encipher(name, other, plain, b"")
        try:
            return keeper.decipher(name, key.newest.kept, enciphered, b"").matches(plain)
        except UnprocessableCiphertext:
            return False


@pytest.mark.parametrize("length", [16, 24, 32])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_material_comes_in_encrypted(house: House, token: ImportToken, algorithm: str, length: int) -> None:
    """In the variant of Key Protect and in that of HPCS; it is what was sent, and the key counts as imported."""
    material = os.urandom(length)

    made = create(house, a_call(), parcel(token, algorithm, material).wanted())

    assert made.imported
    assert holds(house, made, material)
    assert not holds(house, made, os.urandom(length))


def test_a_rotation_takes_an_encrypted_payload_too(house: House, token: ImportToken) -> None:
    """Of a key that was imported."""
    made = create(house, a_call(), parcel(token, GCM).wanted())
    new = os.urandom(32)
    sent = parcel(token, CBC_NAME, new)

    rotated = rotate(house, a_call(), made.identifier, Secret(bytearray(sent.payload)), sent.encrypted)

    assert holds(house, rotated, new)
    assert made.newest == rotated.versions[0]


class RememberingKeeper(SoftwareKeeper):
    """Keeps hold of the very objects that it was given."""

    def __init__(self, keystore: Keystore) -> None:
        super().__init__(keystore)
        self.given: list[Secret] = []
        self.lengths: list[int] = []

    def take(self, version: VersionName, material: Secret) -> bytes:
        self.given.append(material)
        self.lengths.append(len(material))
        return super().take(version, material)


def test_decrypted_material_is_wiped(house: House, token: ImportToken) -> None:
    """Once the keeper has it, nobody else does."""
    keeper = RememberingKeeper(house.keystore)
    house = replace(house, keepers={keeper.name: keeper})

    create(house, a_call(), parcel(token, GCM).wanted())

    assert [32] == keeper.lengths
    assert [0] == [len(material) for material in keeper.given]


def spoiled(sent: Parcel, **changes: Any) -> Parcel:
    payload = changes.pop("payload", sent.payload)
    return Parcel(payload, replace(sent.encrypted, **changes))


def flipped(octets: bytes, bit: int = 0) -> bytes:
    changed = bytearray(octets)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


SPOILERS: dict[str, tuple[Callable[[Parcel], Parcel], dict[str, tuple[int, str]]]] = {
    "payload changed": (lambda sent: spoiled(sent, payload=flipped(sent.payload)), dict.fromkeys(ALGORITHMS, INVALID)),
    "payload cut": (lambda sent: spoiled(sent, payload=sent.payload[:-1]), dict.fromkeys(ALGORITHMS, INVALID)),
    "payload longer": (lambda sent: spoiled(sent, payload=bytes(1) + sent.payload), dict.fromkeys(ALGORITHMS, INVALID)),
    "no payload": (lambda sent: spoiled(sent, payload=b""), dict.fromkeys(ALGORITHMS, INVALID)),
    "payload above the modulus": (
        lambda sent: spoiled(sent, payload=b"\xff" * 512),
        dict.fromkeys(ALGORITHMS, INVALID),
    ),
    "unknown algorithm": (lambda sent: spoiled(sent, algorithm="RSA"), dict.fromkeys(ALGORITHMS, INVALID)),
    "no algorithm": (lambda sent: spoiled(sent, algorithm=""), dict.fromkeys(ALGORITHMS, INVALID)),
    "nonce changed": (
        lambda sent: spoiled(sent, encrypted_nonce=flipped(sent.encrypted.encrypted_nonce)),
        {GCM: NONCE_IV, CBC_NAME: NONCE},
    ),
    "padding of the nonce changed": (
        lambda sent: spoiled(sent, iv=flipped(sent.encrypted.iv, 8 * len(sent.encrypted.iv) - 1)),
        {GCM: NONCE_IV, CBC_NAME: NONCE},
    ),
    "nonce longer": (
        lambda sent: spoiled(sent, encrypted_nonce=sent.encrypted.encrypted_nonce * 1000),
        {GCM: NONCE_IV, CBC_NAME: NONCE},
    ),
    "no nonce": (lambda sent: spoiled(sent, encrypted_nonce=b""), {GCM: NONCE_IV, CBC_NAME: NONCE}),
    "no initialisation vector": (lambda sent: spoiled(sent, iv=b""), dict.fromkeys(ALGORITHMS, NONCE_IV)),
    "long initialisation vector": (lambda sent: spoiled(sent, iv=bytes(10_000)), dict.fromkeys(ALGORITHMS, NONCE_IV)),
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("case", SPOILERS)
def test_a_spoiled_import_is_refused(house: House, token: ImportToken, case: str, algorithm: str) -> None:
    """With Key Protect's codes, and nothing is made."""
    spoil, expected = SPOILERS[case]
    wanted = spoil(parcel(token, algorithm)).wanted()

    assert expected[algorithm] == refusal(create, house, a_call(), wanted)
    assert expected[algorithm] == refusal(create_with_overrides, house, a_call(), wanted)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_nonce_must_be_the_tokens(house: House, token: ImportToken, algorithm: str) -> None:
    """Else whoever has the public key alone could import, or an old parcel be sent again."""
    for nonce in (bytes(12), token.nonce[:-1], token.nonce + b"\x01", b"", flipped(token.nonce, 95), token.nonce * 2):
        sent = parcel(token, algorithm, nonce=nonce)
        assert NONCE == refusal(create, house, a_call(), sent.wanted())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("length", [0, 1, 15, 31, 33, 64])
def test_material_of_another_length_is_refused(house: House, token: ImportToken, algorithm: str, length: int) -> None:
    """A root key has 16, 24 or 32 bytes."""
    sent = parcel(token, algorithm)
    public = load_pem_public_key(token.public)
    assert isinstance(public, rsa.RSAPublicKey)
    padding = SHA256() if algorithm == GCM else SHA1()
    payload = public.encrypt(bytes(length), OAEP(MGF1(padding), padding, None))

    assert INVALID == refusal(create, house, a_call(), replace(sent, payload=payload).wanted())


def test_the_answer_tells_nothing_of_a_padding(house: House, token: ImportToken) -> None:
    """One answer for a wrong padding and for a wrong nonce: two would decrypt what the imported key encrypts."""
    sent = parcel(token, CBC_NAME)
    answers = set()
    for bit in range(128):
        wanted = spoiled(sent, iv=flipped(sent.encrypted.iv, bit)).wanted()
        with pytest.raises(IncorrectNonce) as refused:
            create(house, a_call(), wanted)
        answers.add((str(refused.value), refused.value.target))

    assert 1 == len(answers)


def test_a_token_is_of_one_instance(house: House, token: ImportToken) -> None:
    """Another has none, and cannot use this one's, also where its record is copied there."""
    sent = parcel(token, GCM).wanted()
    elsewhere = a_call(instance=OTHER_INSTANCE)

    assert (404, "IMPORT_TOKEN_NOT_FOUND_ERR") == refusal(create, house, elsewhere, sent)
    assert (404, "IMPORT_TOKEN_NOT_FOUND_ERR") == refusal(retrieve, house, elsewhere)
    with house.database.change() as unit:
        unit.put_instance(replace(unit.instance(OTHER_INSTANCE), import_token=token))
    with pytest.raises(KeystoreDamaged):
        create(house, elsewhere, sent)
    an_instance(house, OTHER_INSTANCE)


def test_a_sealed_key_belongs_to_its_nonce(house: House, token: ImportToken) -> None:
    """The private key of one token never opens for another one."""
    with house.database.change() as unit:
        instance = unit.instance(INSTANCE)
        unit.put_instance(replace(instance, import_token=replace(token, nonce=bytes(12))))

    with pytest.raises(KeystoreDamaged, match="import token"):
        create(house, a_call(), parcel(token, GCM, nonce=bytes(12)).wanted())

    with house.database.change() as unit:
        unit.put_instance(instance)


@pytest.mark.parametrize(
    ("role", "allowed"), [(Role.READER_PLUS, False), (Role.WRITER, True), (Role.KMIP_ADAPTER_MANAGER, False)]
)
def test_who_may_retrieve_and_import(house: House, token: ImportToken, role: Role, allowed: bool) -> None:
    """Writers and managers of the whole instance; whoever may not import learns nothing from trying."""
    call = a_call(a_caller(house, role))
    sent = parcel(token, GCM)
    if allowed:
        retrieve(house, call)
        create(house, call, sent.wanted())
        return
    for act, *arguments in ((retrieve,), (make,), (create, sent.wanted()), (create, spoiled(sent, iv=b"").wanted())):
        assert (401, "UNAUTHORIZED_ERR") == refusal(act, house, call, *arguments)
    ring_writer = a_call(a_caller(house, Role.MANAGER, ring="default"))
    assert (401, "UNAUTHORIZED_ERR") == refusal(retrieve, house, ring_writer)
    assert (401, "UNAUTHORIZED_ERR") == refusal(make, house, ring_writer)


def test_an_enforced_token_lets_encrypted_material_in(house: House, token: ImportToken) -> None:
    """And nothing in clear; an import that is forbidden is so with a token too."""
    policy = PolicyType.KEY_CREATE_IMPORT_ACCESS
    set_instance_policies(house, a_call(), {policy: (True, {"enforce_token": True})})
    create(house, a_call(), parcel(token, GCM).wanted())

    set_instance_policies(house, a_call(), {policy: (True, {"import_root_key": False})})
    assert (409, "KEY_CREATE_IMPORT_ACCESS_ERR") == refusal(create, house, a_call(), parcel(token, GCM).wanted())
    set_instance_policies(house, a_call(), {policy: (False, {})})


def test_the_private_key_is_nowhere_in_clear(house: House, token: ImportToken) -> None:
    """Not in the record, and the public key is RSA of 4,096 bits."""
    public = load_pem_public_key(token.public)
    assert isinstance(public, rsa.RSAPublicKey)
    assert (4096, 65537) == (public.key_size, public.public_numbers().e)
    modulus = public.public_numbers().n.to_bytes(512, "big")
    assert modulus not in token.sealed
    assert 12 == len(token.nonce)


def test_a_token_is_retrieved_as_often_as_was_agreed(tmp_path: Path) -> None:
    """Each retrieval is counted and in the journal; importing goes on; a new token replaces it and counts anew."""
    house = a_house(tmp_path)
    made = make(house, a_call(), 300, 2)
    assert (300, 2, 0) == (made.expires_at - made.created_at, made.most_retrievals, made.retrievals)

    assert [1, 2] == [retrieve(house, a_call()).retrievals for _ in range(2)]
    assert EXPIRED == refusal(retrieve, house, a_call())
    create(house, a_call(), parcel(made, GCM).wanted())
    actions = [each["action"] for each in journal_of(house)]
    assert (1, 2) == (actions.count("kms.import-token.create"), actions.count("kms.import-token.read"))

    other = make(house, a_call())
    assert (600, 1) == (other.expires_at - other.created_at, other.most_retrievals)
    assert (other.nonce, other.public) != (made.nonce, made.public)
    assert INVALID == refusal(create, house, a_call(), parcel(made, GCM).wanted())
    create(house, a_call(), parcel(other, GCM).wanted())

    go_on(house, 599)
    create(house, a_call(), parcel(other, CBC_NAME).wanted())
    go_on(house, 1)
    assert EXPIRED == refusal(create, house, a_call(), parcel(other, GCM).wanted())
    assert EXPIRED == refusal(retrieve, house, a_call())
    house.close()


@pytest.mark.parametrize(("expiration", "most"), [(299, 1), (86_401, 1), (300, 0), (300, 501), (-1, 1), (2**70, 1)])
def test_a_token_with_other_terms_is_not_made(house: House, expiration: int, most: int) -> None:
    """300 to 86,400 seconds, 1 to 500 retrievals."""
    assert INVALID == refusal(make, house, a_call(), expiration, most)


def test_an_imported_key_unwraps_what_it_has_wrapped(house: House, token: ImportToken) -> None:
    """From the parcel to the plaintext."""
    made = create(house, a_call(), parcel(token, CBC_NAME).wanted())
    wrapped = wrap(house, a_call(), made.identifier, Secret(bytearray(b"k" * 32)))

    assert b"k" * 32 == bytes(unwrap(house, a_call(), made.identifier, wrapped.ciphertext).plaintext.reveal())
