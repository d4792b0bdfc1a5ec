"""Discover Versions (KMIP 1.4, 4.26; since 1.1): which protocol versions both sides speak."""

from keyrack.domain.access import Permission
from keyrack.operations._context import Context
from keyrack.operations._registry import operation
from keyrack.spec.enumerations import Operation
from keyrack.spec.versions import VERSIONS
from keyrack.wire.codec import structure
from keyrack.wire.messages import ProtocolVersionStructure


@structure
class DiscoverVersionsRequest:
    """What the client speaks, best first; empty asks for all that the server speaks."""

    protocol_version: tuple[ProtocolVersionStructure, ...] = ()


@structure
class DiscoverVersionsResponse:
    """What the server speaks of it, best first."""

    protocol_version: tuple[ProtocolVersionStructure, ...] = ()


@operation(Operation.DISCOVER_VERSIONS, needs=Permission.ASK)
async def discover_versions(request: DiscoverVersionsRequest, context: Context) -> DiscoverVersionsResponse:
    """Answer the versions that both speak, in the server's order of preference."""
    asked = {(each.protocol_version_major, each.protocol_version_minor) for each in request.protocol_version}
    return DiscoverVersionsResponse(
        protocol_version=tuple(
            ProtocolVersionStructure(protocol_version_major=each.major, protocol_version_minor=each.minor)
            for each in VERSIONS
            if not asked or each in asked
        )
    )
