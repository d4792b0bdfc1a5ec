"""A key manager with one service ID, its API key, and a token for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from keyrack.domain.secret import Secret
from keyrack.embedded.house import House
from keyrack.embedded.iam.service_ids import create_api_key, create_service_id
from keyrack.embedded.iam.tokens import token_for
from keyrack.testing.key_houses import ADMINISTRATOR, a_house, sign_with_one_key
from keyrack.testing.tokens import ISSUER, MANAGER


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """With the service ID ``backup``, a Manager."""
    made = a_house(tmp_path)
    create_service_id(made, ADMINISTRATOR, "backup", grants=[MANAGER])
    yield made
    made.close()


@pytest.fixture
def api_key(house: House) -> Secret:
    """One of ``backup``."""
    return create_api_key(house, ADMINISTRATOR, "backup", "one")[1]


@pytest.fixture
def token(house: House, api_key: Secret) -> str:
    """What it is exchanged for."""
    sign_with_one_key(house)
    return token_for(house, api_key, ISSUER).access_token
