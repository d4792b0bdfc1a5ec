"""Bodies of requests about keys: creations, imports, and the actions of root keys."""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from keyrack.embedded.errors import BadBody, InvalidField
from keyrack.embedded.import_tokens import EncryptedImport
from keyrack.embedded.keys import RotationPolicy
from keyrack.embedded.new_keys import LATEST, MOST_TAGS, NewKey
from keyrack.shell.rest.key_protect.bodies import Body, Collection, Flag, Material, Octets, Text, Whole
from keyrack.shell.rest.key_protect.envelope import vendor

_RFC3339: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", flags=re.ASCII
)
ONE_KEY: Final = "Only creation of one key per request is supported"


def _instant(value: Any) -> int:
    if not isinstance(value, str):
        raise PydanticCustomError("wrong_type", "a string")
    if not _RFC3339.fullmatch(value):
        raise PydanticCustomError("enum", "{what}", {"what": "a date and time in RFC 3339"})
    whole = re.sub(r"\.\d+", "", value.upper().replace(" ", "T"))
    try:
        return min(int(datetime.fromisoformat(whole).timestamp()), LATEST)
    except (ValueError, OverflowError):
        raise PydanticCustomError("enum", "{what}", {"what": "a date and time that there is"}) from None


def _whole(value: Any) -> Any:
    """JSON knows one kind of number: IBM's SDK may send 600 as 600.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Instant = Annotated[int, PlainValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339; read as seconds since 1970."""
Number = Annotated[Whole, BeforeValidator(_whole)]


class DualAuthDelete(Body):
    """Whether two people are needed for a deletion."""

    enabled: Flag


class Rotation(Body):
    """How often a root key is rotated."""

    enabled: Flag = True
    interval_month: Whole | None = Field(default=None, ge=1, le=12)

    def policy(self, before: RotationPolicy | None = None) -> RotationPolicy:
        """The policy; an interval that is not given stays what it was, where the policy is switched off."""
        if self.interval_month is not None:
            return RotationPolicy(enabled=self.enabled, months=self.interval_month)
        if self.enabled:
            raise InvalidField("The field `interval_month` is required", target=("field", "interval_month"))
        return RotationPolicy(enabled=False, months=before.months if before else 1)


class Imported(Body):
    """Key material from outside, in clear or encrypted under the import token."""

    payload: Material | None = Field(default=None, description="Key material; generated where it is missing.")
    encrypted_nonce: Octets | None = Field(default=None, alias="encryptedNonce")
    iv: Octets | None = None
    encryption_algorithm: Text | None = Field(
        default=None, alias="encryptionAlgorithm", description="RSAES_OAEP_SHA_256 (or RSAES_OAEP_SHA_1)."
    )

    def encrypted(self) -> EncryptedImport | None:
        """What says that the payload is encrypted; raises :class:`InvalidField` where a part of it is missing."""
        parts = {"encryptedNonce": self.encrypted_nonce, "iv": self.iv}
        if self.encryption_algorithm is None and not any(parts.values()):
            return None
        for name, value in parts.items():
            if value is None:
                raise InvalidField(f"The field `{name}` is required for an encrypted import", target=("field", name))
        return EncryptedImport(
            encrypted_nonce=self.encrypted_nonce or b"",
            iv=self.iv or b"",
            algorithm=self.encryption_algorithm or "RSAES_OAEP_SHA_256",
        )


class NewKeyResource(Imported):
    """A key that is to be."""

    type: Literal["application/vnd.ibm.kms.key+json"] | None = None
    name: Text = Field(min_length=2, max_length=90)
    extractable: Flag = Field(description="true: a standard key, whose payload can be read; false: a root key.")
    description: Text | None = Field(default=None, min_length=2, max_length=240)
    tags: list[Text] = Field(default_factory=list, max_length=MOST_TAGS)
    aliases: list[Text] = Field(default_factory=list, max_length=5)
    expiration_date: Instant | None = Field(default=None, alias="expirationDate")

    def wanted(self) -> NewKey:
        """What the key manager is asked for; the payload stays the request's."""
        return NewKey(
            name=self.name,
            extractable=self.extractable,
            description=self.description or "",
            tags=self.tags,
            expires_at=self.expiration_date,
            payload=self.payload,
            encrypted=self.encrypted(),
            aliases=self.aliases,
            **self._policies(),
        )

    def _policies(self) -> dict[str, Any]:
        return {}


class NewKeyWithPolicies(NewKeyResource):
    """A key that is to be, with its own policies."""

    dual_auth_delete: DualAuthDelete | None = Field(default=None, alias="dualAuthDelete")
    rotation: Rotation | None = None

    def _policies(self) -> dict[str, Any]:
        return {
            "dual_auth_delete": self.dual_auth_delete.enabled if self.dual_auth_delete else None,
            "rotation": self.rotation.policy() if self.rotation else None,
        }


class CreateKey(Collection):
    """One key to make."""

    resources: list[NewKeyResource]

    @classmethod
    def told(cls) -> tuple[str, int]:
        """Exactly one key."""
        return "key", 1

    def wanted(self) -> NewKey:
        """The one key; raises what :meth:`Collection.check` raises."""
        if len(self.resources) == self.metadata.collection_total > 1:
            raise BadBody(f"Invalid body data was passed. {ONE_KEY}")
        self.check("key")
        return self.resources[0].wanted()


class CreateKeyWithOverrides(CreateKey):
    """One key to make, with its policies."""

    resources: list[NewKeyWithPolicies]  # type: ignore[assignment]  # a list that is only read


class Patch(Body):
    """What of a key is to change."""

    key_ring_id: Text = Field(alias="keyRingID", min_length=1, max_length=100)


Aad = Annotated[
    list[Annotated[Text, Field(max_length=255)]],
    Field(max_length=126, description="Strings that the ciphertext is bound to; give the same ones to open it."),
]


class Wrap(Body):
    """What is to be wrapped; without a plaintext the key manager makes one."""

    plaintext: Material | None = None
    aad: Aad = Field(default_factory=list)


class Unwrap(Body):
    """What was wrapped."""

    ciphertext: Octets
    aad: Aad = Field(default_factory=list)


class Rotate(Imported):
    """New key material, for a root key that was imported."""


class AnyAction(Imported):
    """The body of the deprecated form: that of the action which the query names."""

    plaintext: Material | None = None
    ciphertext: Octets | None = None
    aad: Aad = Field(default_factory=list)


class NewImportToken(Body):
    """How long and how often an import token can be used."""

    expiration: Number = Field(default=600, description="Seconds, from 300 to 86400.", ge=300, le=86_400)
    max_allowed_retrievals: Number = Field(default=1, alias="maxAllowedRetrievals", ge=1, le=500)


KEY: Final = vendor("key")
