"""Key manager instances: named once, journaled, and made by administrators alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from keyrack.embedded.errors import Contradiction, InvalidField, InvalidInstance, Unauthorised
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.tenancy import create_instance, instance_named, instances
from keyrack.testing.key_houses import ADMINISTRATOR, INSTANCE, OTHER_INSTANCE, a_caller, a_house, revision


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = a_house(tmp_path)
    yield made
    made.close()


def test_an_instance_is_found_by_name_and_by_identifier(house: House) -> None:
    made = create_instance(house, ADMINISTRATOR, "prod")

    assert made.name == "prod"
    assert made.created_by == ADMINISTRATOR.identity
    assert made.created_at == house.now
    assert instance_named(house, "prod") == made
    assert instance_named(house, made.identifier) == made
    assert [each.identifier for each in instances(house)] == sorted([INSTANCE, made.identifier])


def test_it_takes_the_identifier_that_is_given(house: House) -> None:
    assert create_instance(house, ADMINISTRATOR, "prod", OTHER_INSTANCE).identifier == OTHER_INSTANCE


def test_the_journal_has_it(house: House) -> None:
    made = create_instance(house, ADMINISTRATOR, "prod")

    with house.reading() as reading:
        text = [line.text for line in reading.journal()][-1]
    assert "kms.instance.create" in text
    assert made.identifier in text
    assert "prod" in text
    assert ADMINISTRATOR.identity in text


@pytest.mark.parametrize(
    "name", ["", "x", "x" * 91, " prod", "prod ", "pr\nod", "pr\x1b[1mod", "\ud800\ud800", INSTANCE]
)
def test_what_cannot_be_a_name_is_refused(house: House, name: str) -> None:
    before = revision(house)

    with pytest.raises(InvalidField) as refused:
        create_instance(house, ADMINISTRATOR, name)

    assert refused.value.target == ("field", "name")
    assert revision(house) == before


@pytest.mark.parametrize("name", ["ab", "x" * 90, "Übung macht 鍵"])
def test_what_can_be_a_name_is_taken(house: House, name: str) -> None:
    assert create_instance(house, ADMINISTRATOR, name).name == name


@pytest.mark.parametrize("identifier", ["default", OTHER_INSTANCE.upper(), OTHER_INSTANCE.replace("-", "")])
def test_an_identifier_is_a_uuid_in_its_one_form(house: House, identifier: str) -> None:
    with pytest.raises(InvalidField):
        create_instance(house, ADMINISTRATOR, "prod", identifier)


def test_names_and_identifiers_are_there_once(house: House) -> None:
    create_instance(house, ADMINISTRATOR, "prod", OTHER_INSTANCE)

    with pytest.raises(Contradiction, match="'prod' already"):
        create_instance(house, ADMINISTRATOR, "prod")
    with pytest.raises(Contradiction, match="another identifier"):
        create_instance(house, ADMINISTRATOR, "test", OTHER_INSTANCE)
    assert len(instances(house)) == 2


def test_an_unknown_instance_tells_which_there_are(house: House) -> None:
    create_instance(house, ADMINISTRATOR, "prod")

    with pytest.raises(InvalidInstance, match="use one of .*prod"):
        instance_named(house, "prdo")


def test_no_role_makes_instances(house: House) -> None:
    manager = a_caller(house, Role.MANAGER, instance=None)

    with pytest.raises(Unauthorised):
        create_instance(house, manager, "mine")
    assert len(instances(house)) == 1
