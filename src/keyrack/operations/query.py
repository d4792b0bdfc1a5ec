"""Query (KMIP 1.4, 4.25): what this server does, in the words of the protocol version that asks."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from keyrack.domain.access import Permission
from keyrack.domain.errors import InvalidField, InvalidMessage
from keyrack.operations import _registry, _translate
from keyrack.operations._context import Context
from keyrack.operations._registry import operation
from keyrack.spec.enumerations import (
    ClientRegistrationMethod,
    DestroyAction,
    ObjectType,
    Operation,
    QueryFunction,
    RNGAlgorithm,
    RNGMode,
    ShreddingAlgorithm,
    UnwrapMode,
)
from keyrack.spec.enumerations.profiles import ProfileName
from keyrack.spec.structures import RNGParameters
from keyrack.spec.types import Since
from keyrack.spec.versions import V1_1, V1_3, V1_4, VERSIONS, ProtocolVersion
from keyrack.wire.codec import structure

VENDOR: Final = "Keyrack"


@structure
class ExtensionInformation:
    """Extension Information (KMIP 1.4, 2.1.9; since 1.1): Keyrack has no extensions, so it never sends one."""

    extension_name: str
    extension_tag: int | None = None
    extension_type: int | None = None


@structure
class ProfileInformation:
    """Profile Information (KMIP 1.4, 2.1.19; since 1.3)."""

    profile_name: ProfileName | int
    server_uri: str | None = None
    server_port: int | None = None


@structure
class CapabilityInformation:
    """Capability Information (KMIP 1.4, 2.1.21; since 1.3)."""

    streaming_capability: bool | None = None
    asynchronous_capability: bool | None = None
    attestation_capability: bool | None = None
    batch_undo_capability: Annotated[bool | None, Since(V1_4)] = None
    batch_continue_capability: Annotated[bool | None, Since(V1_4)] = None
    unwrap_mode: UnwrapMode | int | None = None
    destroy_action: DestroyAction | int | None = None
    shredding_algorithm: ShreddingAlgorithm | int | None = None
    rng_mode: RNGMode | int | None = None


@structure
class QueryRequest:
    """What the client wants to know."""

    query_function: tuple[QueryFunction | int, ...] = ()


@structure
class QueryResponse:
    """What was asked for, and nothing else."""

    operation: tuple[Operation | int, ...] = ()
    object_type: tuple[ObjectType | int, ...] = ()
    vendor_identification: str | None = None
    application_namespace: tuple[str, ...] = ()
    extension_information: Annotated[tuple[ExtensionInformation, ...], Since(V1_1)] = ()
    rng_parameters: Annotated[tuple[RNGParameters, ...], Since(V1_3)] = ()
    profile_information: Annotated[tuple[ProfileInformation, ...], Since(V1_3)] = ()
    capability_information: Annotated[tuple[CapabilityInformation, ...], Since(V1_3)] = ()
    client_registration_method: Annotated[tuple[ClientRegistrationMethod | int, ...], Since(V1_3)] = ()


def _operations(version: ProtocolVersion) -> dict[str, Any]:
    rows = _registry.OPERATIONS.values()
    return {"operation": tuple(sorted(row.operation for row in rows if row.operation.since <= version))}


def _objects(version: ProtocolVersion) -> dict[str, Any]:
    return {"object_type": tuple(ObjectType(each) for each in sorted(_translate.OBJECTS))}


def _capabilities(version: ProtocolVersion) -> dict[str, Any]:
    capabilities = CapabilityInformation(
        streaming_capability=False,
        asynchronous_capability=False,
        attestation_capability=False,
        batch_undo_capability=True,
        batch_continue_capability=True,
        unwrap_mode=UnwrapMode.NOT_PROCESSED,
        # To a client a destroyed object is gone; the sealed blob waits for the administrator's window of undoing.
        destroy_action=DestroyAction.UNSPECIFIED,
        shredding_algorithm=ShreddingAlgorithm.CRYPTOGRAPHIC,
        rng_mode=RNGMode.SHARED_INSTANTIATION,
    )
    return {"capability_information": (capabilities,)}


FUNCTIONS: Final[Mapping[int, Callable[[ProtocolVersion], dict[str, Any]]]] = {
    QueryFunction.QUERY_OPERATIONS: _operations,
    QueryFunction.QUERY_OBJECTS: _objects,
    QueryFunction.QUERY_SERVER_INFORMATION: lambda version: {"vendor_identification": VENDOR},
    # Every namespace is taken as the client sends it; the server makes data for none, so it names none (3.36).
    QueryFunction.QUERY_APPLICATION_NAMESPACES: lambda version: {},
    QueryFunction.QUERY_EXTENSION_LIST: lambda version: {},
    QueryFunction.QUERY_EXTENSION_MAP: lambda version: {},
    QueryFunction.QUERY_ATTESTATION_TYPES: lambda version: {},
    QueryFunction.QUERY_RNGS: lambda version: {
        "rng_parameters": (RNGParameters(rng_algorithm=RNGAlgorithm.UNSPECIFIED),)
    },
    QueryFunction.QUERY_VALIDATIONS: lambda version: {},
    QueryFunction.QUERY_PROFILES: lambda version: {
        "profile_information": tuple(
            ProfileInformation(profile_name=each) for each in PROFILES if each.since <= version
        )
    },
    QueryFunction.QUERY_CAPABILITIES: _capabilities,
    QueryFunction.QUERY_CLIENT_REGISTRATION_METHODS: lambda version: {
        "client_registration_method": (ClientRegistrationMethod.SERVER_PRE_GENERATED,)
    },
}
"""What answers each Query Function (9.1.3.2.24); a function of a newer version than the request's is refused."""

PROFILES: Final[tuple[ProfileName, ...]] = tuple(
    ProfileName[f"{profile}_SERVER_KMIP_V{version.major}_{version.minor}"]
    for profile in (
        "SYMMETRIC_KEY_LIFECYCLE",
        "SYMMETRIC_KEY_FOUNDRY",
        "OPAQUE_MANAGED_OBJECT_STORE",
        "STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE",
        "TAPE_LIBRARY",
    )
    for version in reversed(VERSIONS)
)
"""The profiles whose mandatory parts ``tests/profiles`` shows to hold.

Baseline Server is not named though its operations, attributes and messages hold: its names are those of authentication
suites that want TLS without forward secrecy, which the listener speaks only where the configuration says so.
"""


@operation(Operation.QUERY, needs=Permission.ASK)
async def query(request: QueryRequest, context: Context) -> QueryResponse:
    """Answer each function that is asked; a function is answered once, however often it is asked."""
    if not request.query_function:
        raise InvalidMessage("a Query names at least one Query Function")
    answer: dict[str, Any] = {}
    for function in request.query_function:
        if not isinstance(function, QueryFunction) or function.since > context.version:
            raise InvalidField(f"the Query Function 0x{int(function):08X} is not one of KMIP {context.version}")
        answer |= FUNCTIONS[function](context.version)
    return QueryResponse(**answer)
