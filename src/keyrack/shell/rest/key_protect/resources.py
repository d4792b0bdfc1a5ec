"""Bodies of answers, described: what the OpenAPI document promises, and what tests hold the answers against.

The answers themselves are built as plain dictionaries (:mod:`shapes`), so that key material never lies in a model.
Field names are those of the API, as IBM's SDK reads them.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

Instant = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Base64 = Annotated[str, WithJsonSchema({"type": "string", "contentEncoding": "base64"})]


class Resource(BaseModel):
    """Something in an answer. Fields are told in camel case, as keys have them."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class SnakeResource(BaseModel):
    """Something in an answer whose names are as they stand, as policies and KMIP have them."""

    model_config = ConfigDict(extra="forbid")


class CollectionMetadata(Resource):
    """What describes the resources."""

    collection_type: str
    collection_total: int
    total_count: int | None = None


class Target(Resource):
    """What is wrong in the request."""

    type: Literal["field", "query_param", "header"]
    name: str


class Reason(Resource):
    """Why a request was refused; branch on ``code``."""

    code: str
    message: str
    status: int
    more_info: str
    target: Target | None = None


class ErrorResource(Resource):
    """A refusal."""

    error_msg: str
    reasons: list[Reason] | None = None


class Errors(Resource):
    """Why a request was refused, in Key Protect's envelope."""

    metadata: CollectionMetadata
    resources: list[ErrorResource]


class Identified(Resource):
    """A version of a key by its identifier alone."""

    id: str


class KeyVersion(Resource):
    """One generation of a root key's material."""

    id: str
    creation_date: Instant


class AlgorithmMetadata(Resource):
    """Deprecated by IBM."""

    bit_length: str
    mode: str


class DualAuthDelete(Resource):
    """Whether two people are needed for a deletion, and whether the first has spoken."""

    enabled: bool
    key_set_for_deletion: bool | None = None
    auth_expiration: Instant | None = None


class Rotation(SnakeResource):
    """How often the key is rotated."""

    enabled: bool
    interval_month: int | None = None


class KeyResource(Resource):
    """A key. ``payload`` is there for a standard key alone, and only where the key itself was asked for."""

    type: str | None = None
    id: str
    name: str | None = None
    aliases: list[str] | None = None
    description: str | None = None
    tags: list[str] | None = None
    state: Annotated[int, Field(ge=0, le=5)] | None = None
    nonactive_state_reason: int | None = None
    expiration_date: Instant | None = None
    extractable: bool | None = None
    crn: str | None = None
    imported: bool | None = None
    key_ring_id: str | None = Field(default=None, alias="keyRingID")
    creation_date: Instant | None = None
    created_by: str | None = None
    algorithm_type: str | None = None
    algorithm_metadata: AlgorithmMetadata | None = None
    algorithm_bit_size: int | None = None
    algorithm_mode: str | None = None
    last_update_date: Instant | None = None
    last_rotate_date: Instant | None = None
    key_version: KeyVersion | None = None
    dual_auth_delete: DualAuthDelete | None = None
    rotation: Rotation | None = None
    deleted: bool | None = None
    deletion_date: Instant | None = None
    deleted_by: str | None = None
    restore_expiration_date: Instant | None = None
    restore_allowed: bool | None = None
    purge_allowed: bool | None = None
    purge_allowed_from: Instant | None = None
    purge_scheduled_on: Instant | None = None
    payload: Base64 | None = None


class Keys(Resource):
    """A key, or nothing where there is none."""

    metadata: CollectionMetadata
    resources: list[KeyResource]


class SearchQuery(SnakeResource):
    """The search as it was understood."""

    query: str
    scopes: list[str]
    exact: bool | None = None
    not_: bool | None = Field(default=None, alias="not")


class KeyListMetadata(CollectionMetadata):
    """What describes a list of keys."""

    incomplete_search: bool | None = None
    search_query: SearchQuery | None = None


class KeyList(Resource):
    """A page of keys; without ``resources`` where there are none."""

    metadata: KeyListMetadata
    resources: list[KeyResource] | None = None


class KeyVersions(Resource):
    """A page of the versions of a key, newest first."""

    metadata: CollectionMetadata
    resources: list[KeyVersion] | None = None


class Wrapped(Resource):
    """A ciphertext; ``plaintext`` where the key manager has made it."""

    plaintext: Base64 | None = None
    ciphertext: Base64
    key_version: Identified


class Unwrapped(Resource):
    """A plaintext, and after a rotation of the key the same under its newest version."""

    plaintext: Base64
    key_version: Identified
    ciphertext: Base64 | None = None
    rewrapped_key_version: Identified | None = None


class Rewrapped(Resource):
    """A ciphertext of the newest version."""

    ciphertext: Base64
    key_version: Identified
    rewrapped_key_version: Identified


class ActionAnswer(Resource):
    """What a wrap, an unwrap or a rewrap gives; a restore gives the key."""

    plaintext: Base64 | None = None
    ciphertext: Base64 | None = None
    key_version: Identified | None = None
    rewrapped_key_version: Identified | None = None
    metadata: CollectionMetadata | None = None
    resources: list[KeyResource] | None = None


class AliasResource(Resource):
    """Another name of a key."""

    key_id: str
    alias: str
    created_by: str
    creation_date: Instant


class Aliases(Resource):
    """An alias."""

    metadata: CollectionMetadata
    resources: list[AliasResource]


class KeyRingResource(Resource):
    """A key ring; the default one has an identifier alone."""

    id: str
    creation_date: Instant | None = None
    created_by: str | None = None


class KeyRings(Resource):
    """A page of key rings."""

    metadata: CollectionMetadata
    resources: list[KeyRingResource] | None = None


class Enabled(Resource):
    """Whether a policy counts."""

    enabled: bool


class KeyPolicyResource(Resource):
    """A policy of a key: one of ``rotation`` and ``dualAuthDelete``."""

    type: str
    id: str
    crn: str
    creation_date: Instant
    created_by: str
    last_update_date: Instant
    updated_by: str
    rotation: Rotation | None = None
    dual_auth_delete: Enabled | None = None


class KeyPolicies(Resource):
    """The policies of a key; without ``resources`` where it has none."""

    metadata: CollectionMetadata
    resources: list[KeyPolicyResource] | None = None


class PolicyData(SnakeResource):
    """Whether a policy of an instance counts, and its attributes."""

    enabled: bool
    attributes: dict[str, Any] | None = None


class InstancePolicyResource(SnakeResource):
    """A policy of an instance."""

    policy_type: str
    policy_data: PolicyData
    creation_date: Instant = Field(alias="creationDate")
    created_by: str = Field(alias="createdBy")
    updated_by: str = Field(alias="updatedBy")
    last_updated: Instant = Field(alias="lastUpdated")


class InstancePolicies(Resource):
    """Policies of an instance; without ``resources`` where none was ever set."""

    metadata: CollectionMetadata
    resources: list[InstancePolicyResource] | None = None


class PortResource(SnakeResource):
    """The port that a client of an instance with allowed addresses uses."""

    private_endpoint_port: int


class AllowedIpPort(Resource):
    """A port; without ``resources`` where the instance has no such policy."""

    metadata: CollectionMetadata
    resources: list[PortResource] | None = None


class ImportTokenAnswer(Resource):
    """An import token; ``payload`` (a public key in PEM) and ``nonce`` where it is retrieved."""

    creation_date: Instant
    expiration_date: Instant
    max_allowed_retrievals: int
    remaining_retrievals: int
    payload: Base64 | None = None
    nonce: Base64 | None = None


class RegistrationResource(Resource):
    """A resource that a key protects."""

    key_id: str
    key_name: str | None = None
    resource_crn: str
    created_by: str
    creation_date: Instant
    updated_by: str
    last_updated: Instant
    description: str
    prevent_key_deletion: bool
    key_version: Identified | None = None


class Registrations(Resource):
    """A page of registrations."""

    metadata: CollectionMetadata
    resources: list[RegistrationResource] | None = None


class Health(Resource):
    """The process answers."""

    status: Literal["ok"]


class TokenAnswer(SnakeResource):
    """A token of IAM."""

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    expiration: int
    scope: str


class TokenErrorContext(BaseModel):
    """Which request it was."""

    model_config = ConfigDict(extra="allow")

    request_id: str = Field(alias="requestId")


class TokenError(Resource):
    """Why there is no token."""

    error_code: str
    error_message: str
    error_details: str | None = None
    context: TokenErrorContext


class Anything(BaseModel):
    """A document of another standard."""

    model_config = ConfigDict(extra="allow")
