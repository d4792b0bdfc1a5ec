"""What the tests of the law share: a way to put an object together."""

from collections.abc import Callable
from typing import Any

import pytest

from keyrack.domain.objects import Indexed, ManagedObject
from keyrack.spec.enumerations import CryptographicAlgorithm, ObjectType, State

BORN = 1_000
"""Initial Date of the objects that the tests begin with."""


@pytest.fixture(scope="session")
def made() -> Callable[..., ManagedObject]:
    """Makes an AES key that may encrypt and decrypt; attributes by title, a ``list`` for several instances."""

    def make(
        attributes: dict[str, Any] | None = None,
        *,
        state: State = State.PRE_ACTIVE,
        object_type: ObjectType = ObjectType.SYMMETRIC_KEY,
        unique_identifier: str = "8a7b1c9e-0000-4000-8000-000000000001",
    ) -> ManagedObject:
        held = {
            "Cryptographic Algorithm": CryptographicAlgorithm.AES,
            "Cryptographic Length": 256,
            "Cryptographic Usage Mask": 12,
            "Initial Date": BORN,
            "Last Change Date": BORN,
        } | (attributes or {})
        return ManagedObject(
            unique_identifier=unique_identifier,
            instance="demo",
            object_type=object_type,
            state=state,
            attributes={
                name: tuple(Indexed(index, each) for index, each in enumerate(value))
                if isinstance(value, list)
                else (Indexed(0, value),)
                for name, value in held.items()
            },
        )

    return make
