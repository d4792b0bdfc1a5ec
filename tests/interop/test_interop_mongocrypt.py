"""libmongocrypt, MongoDB's client-side encryption in C, keeps its master key here: it speaks, we only carry.

Its KMIP provider registers 96 bytes of Secret Data, activates it, and gets it each time a data key is to be opened. The
library gives the bytes to send and wants the bytes that come; the TLS connection is the standard library's.
"""

import socket
from collections.abc import Iterable, Mapping
from typing import Any

import bson
import pytest
from bson.binary import UUID_SUBTYPE, Binary
from pymongocrypt.errors import MongoCryptError
from pymongocrypt.options import MongoCryptOptions
from pymongocrypt.synchronous.explicit_encrypter import ExplicitEncrypter
from pymongocrypt.synchronous.state_machine import MongoCryptCallback

from keyrack.spec.enumerations import ObjectType, Operation, RevocationReasonCode, State
from keyrack.spec.tags import Tag
from keyrack.spec.versions import V1_0
from keyrack.testing.process import Served
from keyrack.testing.ttlv import enumeration, structure, text

ALGORITHM = "AEAD_AES_256_CBC_HMAC_SHA_512-Random"


class Carrier(MongoCryptCallback):  # type: ignore[misc]  # PyMongoCrypt has no types
    """Carries KMIP messages for libmongocrypt and keeps the data keys that it makes."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.vault: list[bytes] = []
        self.messages = 0

    def kms_request(self, kms_context: Any) -> None:
        host, port = self.served.address
        assert f"{host}:{port}" == kms_context.endpoint
        with (
            socket.create_connection((host, port), 10) as plain,
            self.served.context().wrap_socket(plain) as tls,
        ):
            tls.sendall(kms_context.message)
            self.messages += 1
            while kms_context.bytes_needed > 0:
                received = tls.recv(kms_context.bytes_needed)
                assert received, "the server closed the connection"
                kms_context.feed(received)

    def fetch_keys(self, filter: Any) -> Iterable[bytes]:  # noqa: A002 - the name is the library's
        return list(self.vault)

    def insert_data_key(self, data_key: bytes) -> Binary:
        self.vault.append(bytes(data_key))
        identifier = bson.decode(self.vault[-1])["_id"]
        return Binary(identifier.bytes if hasattr(identifier, "bytes") else identifier, UUID_SUBTYPE)

    def bson_encode(self, doc: Mapping[str, Any]) -> bytes:
        return bson.encode(doc)

    def collection_info(self, database: Any, filter: Any) -> None:  # noqa: A002 - the name is the library's
        raise NotImplementedError

    def mark_command(self, database: Any, cmd: Any) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is held open."""


def encrypter(carrier: Carrier) -> ExplicitEncrypter:
    host, port = carrier.served.address
    return ExplicitEncrypter(carrier, MongoCryptOptions({"kmip": {"endpoint": f"{host}:{port}"}}))


@pytest.fixture
def carrier(served: Served) -> Carrier:
    """A key vault with nothing in it yet."""
    return Carrier(served)


def master_key_of(carrier: Carrier) -> str:
    identifier: str = bson.decode(carrier.vault[-1])["masterKey"]["keyId"]
    return identifier


def test_a_data_key_is_made_and_opened_again(carrier: Carrier) -> None:
    """Register, Activate, Get at its making; and another process of libmongocrypt, with an empty cache, opens it."""
    maker = encrypter(carrier)
    key_id = maker.create_data_key("kmip")
    sealed = maker.encrypt(bson.encode({"v": "a secret"}), ALGORITHM, key_id=bytes(key_id))
    maker.close()
    reader = encrypter(carrier)

    opened = reader.decrypt(sealed)

    reader.close()
    assert {"v": "a secret"} == bson.decode(opened)


def test_the_master_key_is_an_active_secret_data_of_96_bytes(carrier: Carrier) -> None:
    """What libmongocrypt left here, asked for over a connection of our own."""
    maker = encrypter(carrier)
    maker.create_data_key("kmip")
    maker.close()
    identifier = text(Tag.UNIQUE_IDENTIFIER, master_key_of(carrier))
    with carrier.served.connect(V1_0) as client:
        got = client.ask(Operation.GET, identifier)
        state = client.ask(Operation.GET_ATTRIBUTES, identifier, text(Tag.ATTRIBUTE_NAME, "State"))

    material = got.octets(Tag.SECRET_DATA, Tag.KEY_BLOCK, Tag.KEY_VALUE, Tag.KEY_MATERIAL)
    assert (ObjectType.SECRET_DATA, 96) == (got.number(Tag.OBJECT_TYPE), len(material))
    assert State.ACTIVE == state.number(Tag.ATTRIBUTE, Tag.ATTRIBUTE_VALUE)


def test_a_second_data_key_uses_the_same_master_key(carrier: Carrier) -> None:
    """With a keyId there is one Get and nothing is registered."""
    first = encrypter(carrier)
    first.create_data_key("kmip")
    first.close()
    identifier, carrier.messages = master_key_of(carrier), 0
    second = encrypter(carrier)

    second.create_data_key("kmip", {"keyId": identifier})

    second.close()
    assert (identifier, 1) == (master_key_of(carrier), carrier.messages)


def test_a_destroyed_master_key_opens_nothing(carrier: Carrier) -> None:
    """libmongocrypt reads the refusal, and says so, instead of hanging."""
    maker = encrypter(carrier)
    key_id = maker.create_data_key("kmip")
    sealed = maker.encrypt(bson.encode({"v": 1}), ALGORITHM, key_id=bytes(key_id))
    maker.close()
    destroy(carrier)
    reader = encrypter(carrier)

    with pytest.raises(MongoCryptError, match="OperationFailed|Failed|failed|error"):
        reader.decrypt(sealed)

    reader.close()


def destroy(carrier: Carrier) -> None:
    identifier = text(Tag.UNIQUE_IDENTIFIER, master_key_of(carrier))
    code = enumeration(Tag.REVOCATION_REASON_CODE, RevocationReasonCode.CESSATION_OF_OPERATION)
    with carrier.served.connect(V1_0) as client:
        client.ask(Operation.REVOKE, identifier, structure(Tag.REVOCATION_REASON, code))
        client.ask(Operation.DESTROY, identifier)
