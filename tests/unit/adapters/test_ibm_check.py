"""``check`` against a real key manager: each step does what it says, and says what to change where it does not."""

import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest
from tests.unit.adapters.ibm_script import Stage, answer, error, stage

from keyrack.adapters.key_managers.ibm.hpcs import Hpcs
from keyrack.adapters.key_managers.ibm.key_protect import KeyProtect
from keyrack.adapters.key_managers.ibm.settings import ApiKey, IamSettings, Settings
from keyrack.embedded import creation, lifecycle, policies
from keyrack.embedded.creation import NewKey
from keyrack.embedded.house import DAY
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.instances import PolicyType
from keyrack.ports.key_manager import Verdict
from keyrack.testing.ibm_grounds import IbmFace, ibm_face
from keyrack.testing.key_houses import INSTANCE, a_call, go_on
from keyrack.testing.key_protect import new_api_key

STEPS = [
    "address and TLS",
    "clock",
    "identity",
    "reading",
    "root key",
    "wrap and unwrap",
    "binding to strings",
    "policies",
    "standard key",
    "latency",
]
Told = dict[str, tuple[Verdict, str]]


@pytest.fixture
def face(tmp_path: Path) -> Iterator[IbmFace]:
    with ibm_face(tmp_path) as served:
        yield served


@pytest.fixture
async def root_key(face: IbmFace) -> str:
    return (await face.manager.create_root_key("root")).identifier


def settings_of(face: IbmFace, *roles: Role) -> Settings:
    """As a Manager, or as somebody with other roles."""
    if roles:
        face.api_key.with_name("other").write_text(new_api_key(face.house, *roles))
    return Settings(
        name="kp",
        url=face.address.url,
        instance=INSTANCE,
        iam=IamSettings(
            source=ApiKey(face.api_key.with_name("other") if roles else face.api_key), url=face.address.url
        ),
        ca_bundle=face.address.authority,
    )


async def checked(
    settings: Settings, root_key: str | None = None, *, write: bool = True, kind: type[KeyProtect] = KeyProtect
) -> Told:
    """Every step, in its order."""
    manager = kind(settings)
    told = [each async for each in manager.check(root_key, write=write)]
    await manager.close()
    assert STEPS == [each.what for each in told]
    return {each.what: (each.verdict, each.told) for each in told}


def verdicts(told: Told) -> dict[str, Verdict]:
    """Of those that are not well."""
    return {what: verdict for what, (verdict, _) in told.items() if verdict is not Verdict.WELL}


@pytest.mark.parametrize("kind", [KeyProtect, Hpcs])
async def test_all_is_well(face: IbmFace, root_key: str, kind: type[KeyProtect]) -> None:
    """With the root key that was named, and with the first active one; nothing is left behind but a deleted key."""
    for named in (root_key, None):
        told = await checked(settings_of(face), named, kind=kind)
        assert {} == verdicts(told)
        assert root_key in told["root key"][1]
        assert "purged" in told["standard key"][1]
    assert [] == [each async for each in face.manager.list_standard_keys("")]


async def test_nothing_is_written_where_nothing_is_to_be(face: IbmFace, root_key: str) -> None:
    told = await checked(settings_of(face), root_key, write=False)

    assert {"standard key": Verdict.SKIPPED} == verdicts(told)


async def test_a_writer_is_told_what_it_cannot_do(face: IbmFace, root_key: str) -> None:
    """Everything but deleting and looking at policies."""
    told = await checked(settings_of(face, Role.WRITER), root_key)

    assert {"policies": Verdict.REMARK, "standard key": Verdict.REMARK} == verdicts(told)
    assert "only a Manager" in told["policies"][1]
    assert "role Manager" in told["standard key"][1]
    assert "`deleting`" in told["standard key"][1]


async def test_a_second_identity_deletes(face: IbmFace, root_key: str) -> None:
    writer = settings_of(face, Role.WRITER)
    told = await checked(
        replace(writer, deleting=IamSettings(source=ApiKey(face.api_key), url=face.address.url)), root_key
    )

    assert {"policies": Verdict.REMARK} == verdicts(told)
    assert "another" in told["identity"][1]


async def test_a_reader_cannot_keep_keys(face: IbmFace, root_key: str) -> None:
    told = await checked(settings_of(face, Role.READER), root_key)

    assert {"policies": Verdict.REMARK, "standard key": Verdict.FAILED} == verdicts(told)
    assert "Writer" in told["standard key"][1]


async def test_an_api_key_that_nobody_knows(face: IbmFace, root_key: str) -> None:
    """The address is right, and everything else is skipped."""
    face.api_key.write_text("nobody's")

    told = await checked(settings_of(face), root_key)

    assert Verdict.FAILED is told["identity"][0]
    assert "BXNIM0415E" in told["identity"][1]
    assert "Service IDs" in told["identity"][1]
    assert {Verdict.SKIPPED} == {told[step][0] for step in STEPS[3:]}
    assert "identity" in told["reading"][1]


async def test_an_instance_that_is_another(face: IbmFace, root_key: str) -> None:
    """Key Protect answers 401, as for a role that is missing."""
    other = replace(settings_of(face), instance="5f3a9d20-8f5b-4a57-a7c4-61d0f2b3c4d5")

    told = await checked(other, root_key)

    assert Verdict.FAILED is told["reading"][0]
    assert "GUID" in told["reading"][1] or "instance" in told["reading"][1]


async def test_an_authority_that_is_not_trusted(face: IbmFace, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with stage(tmp_path / "elsewhere") as other:
        told = await checked(replace(settings_of(face), ca_bundle=other.ca))

    assert Verdict.FAILED is told["address and TLS"][0]
    assert "ca_bundle" in told["address and TLS"][1]
    assert Verdict.SKIPPED is told["clock"][0]


@pytest.mark.parametrize(
    ("prepare", "word"),
    [
        (lambda face, key: lifecycle.disable(face.house, a_call(), key), "enable"),
        (lambda face, key: lifecycle.delete(face.house, a_call(), key), "deleted"),
        (lambda face, key: go_on(face.house, 2 * DAY), "expired"),
    ],
)
async def test_a_root_key_that_will_not_do(face: IbmFace, prepare: object, word: str) -> None:
    """Each state has its advice."""
    assert callable(prepare)
    wanted = NewKey(name="root", extractable=False, expires_at=face.house.now + DAY)
    key = creation.create(face.house, a_call(), wanted).identifier
    prepare(face, key)

    told = await checked(settings_of(face), key)

    assert Verdict.FAILED is told["root key"][0]
    assert word in told["root key"][1]
    assert {Verdict.SKIPPED} == {told[step][0] for step in ("wrap and unwrap", "binding to strings", "latency")}
    assert Verdict.WELL is told["standard key"][0]


async def test_no_root_key_at_all(face: IbmFace) -> None:
    told = await checked(settings_of(face))

    assert Verdict.FAILED is told["root key"][0]
    assert "Add ▸ Root key" in told["root key"][1]


async def test_an_end_that_comes_is_told(face: IbmFace) -> None:
    wanted = NewKey(name="root", extractable=False, expires_at=face.house.now + DAY)
    key = creation.create(face.house, a_call(), wanted).identifier

    told = await checked(settings_of(face), key)

    assert {"root key": Verdict.REMARK} == verdicts(told)
    assert "expires on" in told["root key"][1]


async def test_a_standard_key_is_no_root_key(face: IbmFace) -> None:
    identifier = await face.manager.put_standard_key("standard", b"x")

    told = await checked(settings_of(face), identifier)

    assert Verdict.FAILED is told["root key"][0]


async def test_a_policy_that_forbids_standard_keys(face: IbmFace, root_key: str) -> None:
    """No standard key is tried then."""
    forbidden = {"create_standard_key": False, "import_standard_key": False}
    policies.set_instance_policies(face.house, a_call(), {PolicyType.KEY_CREATE_IMPORT_ACCESS: (True, forbidden)})

    told = await checked(settings_of(face), root_key)

    assert {"policies": Verdict.FAILED, "standard key": Verdict.SKIPPED} == verdicts(told)
    assert "keyCreateImportAccess forbids create_standard_key and import_standard_key" in told["policies"][1]


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Stage]:
    """Somebody whose clock can be wrong."""
    (tmp_path / "stage").mkdir()
    with stage(tmp_path / "stage") as made:
        yield made


@pytest.mark.parametrize(("seconds", "word"), [(-3600, "ahead of"), (3600, "behind"), (0, "")])
async def test_clocks_that_differ_are_told(there: Stage, seconds: int, word: str) -> None:
    """It is a remark: nothing depends on it but times in the journal."""
    there.script = lambda _: answer(404, date=formatdate(time.time() + seconds, usegmt=True))

    verdict, told = (await checked(there.settings()))["clock"]

    assert (Verdict.REMARK if seconds else Verdict.WELL) is verdict
    assert word in told


async def test_an_address_at_which_all_fails(there: Stage) -> None:
    """The check goes on to its end, whatever comes."""
    there.script = lambda _: error(503, text="no crypto units are in kms-initialized state")

    told = await checked(there.settings())

    assert {"clock": Verdict.REMARK, "reading": Verdict.FAILED} | dict.fromkeys(STEPS[4:], Verdict.SKIPPED) == verdicts(
        told
    )
    assert "initialised" in told["reading"][1]
