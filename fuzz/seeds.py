"""Well-formed beginnings: values of every declared structure in every version, and messages around the payloads."""

from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from fuzz.targets import STRUCTURES, tag_of
from keyrack.operations._registry import OPERATIONS
from keyrack.spec.versions import VERSIONS, ProtocolVersion
from keyrack.testing.strategies import SPECIAL, exists_in, values_of
from keyrack.wire.attributes import Attribute
from keyrack.wire.codec import encode
from keyrack.wire.messages import RequestBatchItem, RequestHeader, RequestMessage, write_request

EACH = 4
"""Values of each structure in each version."""


@dataclass(frozen=True, slots=True)
class Seed:
    """Bytes that can be read: a structure's, or a whole request's where ``cls`` is ``None``."""

    cls: type | None
    version: ProtocolVersion
    data: bytes


def seeds(number: int = 0) -> list[Seed]:
    """The beginnings, always the same for the same ``number``."""
    found: list[Seed] = []
    for version in VERSIONS:
        for cls in STRUCTURES:
            if cls is not Attribute and cls not in SPECIAL and exists_in(cls, version):
                values = _drawn(values_of(cls, version), number)
                found += [Seed(cls, version, bytes(encode(value, version, tag_of(cls)))) for value in values]
        found += _messages(version, number)
    return found


def _messages(version: ProtocolVersion, number: int) -> list[Seed]:
    headers = _drawn(values_of(RequestHeader, version), number)
    found = []
    for operation, row in OPERATIONS.items():
        if not exists_in(row.request, version):
            continue
        for header, payload in zip(headers, _drawn(values_of(row.request, version), number), strict=False):
            item = RequestBatchItem(operation=operation, unique_batch_item_id=b"\x01", request_payload=payload)
            fields = {name: getattr(header, name) for name in header.__slots__}
            fields |= {"protocol_version": version, "batch_count": 2}
            message = RequestMessage(RequestHeader(**fields), (item, item))
            found.append(Seed(None, version, bytes(write_request(message))))
    return found


def _drawn(strategy: st.SearchStrategy[Any], number: int) -> list[Any]:
    values: list[Any] = []

    @seed(number)
    @settings(
        max_examples=EACH,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(value: Any) -> None:
        values.append(value)

    draw()
    return values[:EACH]
