"""What an administrator does with instances: each in the safe order, whoever else does something at the same time."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.key_managers.memory import Fault, MemoryKeyManager
from keyrack.domain.instances import Home, Instance, InstanceStatus, Storage, TrustedAuthority, WrappingKey
from keyrack.domain.people import Actor, Person
from keyrack.domain.rights import EVERYTHING, Grant, Grants, Role
from keyrack.domain.secret import Secret
from keyrack.ports.admissions import AdmissionChanges
from keyrack.ports.catalog import Unit
from keyrack.ports.key_manager import KeyManagerUnavailable
from keyrack.ports.people import PeopleChanges
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.office import approvals, installing, instance_rules, instances, safe_removal
from keyrack.service.office.acts import acts
from keyrack.service.office.administration import Administration, Administrator
from keyrack.service.office.installing import Wanted, free_name
from keyrack.service.office.keys import Windows
from keyrack.service.office.refusals import (
    ApprovalOver,
    ChangedMeanwhile,
    ConfirmationNeeded,
    Forbidden,
    NameTaken,
    NotThere,
    Refused,
    SamePerson,
    SecondPersonNeeded,
    StillHanging,
    Unusable,
    WrongStatus,
)
from keyrack.service.people.passwords import Passwords
from keyrack.spec.enumerations import State
from keyrack.testing.catalog_values import KEY, certificate, key, numbered
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.people import CHEAP

NOW = 1_800_000_000
AT = "2027-01-15T08:00:00Z"
INACTIVE, CONFIGURING, INSTALLED = InstanceStatus.INACTIVE, InstanceStatus.CONFIGURING, InstanceStatus.INSTALLED


class Office:
    """A catalog, a key manager, and administrators."""

    def __init__(self, catalog: WholeCatalog) -> None:
        self.catalog = catalog
        self.manager = MemoryKeyManager()
        self.eve = self.of("local-user-eve")

    def of(self, initiator: str, grants: Grants = EVERYTHING, actor: Actor | None = None) -> Administration:
        who = Administrator(initiator, grants=grants, actor=actor)
        return Administration(self.catalog, {"embedded": self.manager}, who, lambda: NOW * 1000)

    async def person(self, name: str, *roles: Role) -> Administration:
        grants = frozenset(Grant(role) for role in roles)
        person = Person(identifier=f"id-{name}", name=name, password="$argon2id$x", grants=grants, created_at=NOW)
        await self.catalog.commit(Unit(entries=(), people=PeopleChanges(persons=(person,))))
        return self.of(person.initiator, person.rights, Actor(person.identifier, person.revision))

    async def prod(self) -> Instance:
        """Installed."""
        return await installing.create(self.eve, "prod", Wanted())

    async def seen(self, name: str = "prod") -> Instance:
        return await self.eve.instance(name)

    async def journal(self) -> list[tuple[str, str]]:
        entries = [json.loads(record.text) for record in await self.catalog.journal()]
        return [(each["action"], each["outcome"]) for each in entries]

    async def texts(self) -> str:
        return "\n".join(record.text for record in await self.catalog.journal())


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    catalog = await catalog_at(tmp_path / "catalog.db", "administration")
    yield Office(catalog)
    await catalog.close()


def drawn(*letters: str) -> Callable[[int], str]:
    """Letters that are known before."""
    left = list(letters)
    return lambda count: next(each for each in left if len(each) == count and not left.remove(each))  # type: ignore[func-returns-value]


async def test_an_instance_without_a_home_is_inactive_and_says_so(office: Office) -> None:
    made = await installing.create(office.eve, "prod", None, description="the first")

    assert (made.status, made.configured, made.description) == (INACTIVE, False, "the first")
    assert made.reason.startswith("no key manager is configured yet")
    assert await office.journal() == [("instance.create", "success")]
    with pytest.raises(WrongStatus, match="no key manager is configured yet"):
        await instances.activate(office.eve, "prod")


async def test_an_instance_without_a_name_gets_a_free_one(office: Office) -> None:
    """Two letters, and more only where those are taken."""
    first = await installing.create(office.eve, None, None, letters=drawn("aa"))
    second = await installing.create(office.eve, None, None, letters=drawn("aa", "ab"))

    assert (first.name, second.name) == ("kmip-aa", "kmip-ab")
    assert free_name({"kmip-aa"}, lambda count: "a" * count) == "kmip-aaa"
    assert installing.check_instance_name(free_name(set())) is None  # type: ignore[func-returns-value]


async def test_of_two_with_one_name_at_once_one_is_made(office: Office) -> None:
    """And one root key: the name is taken before anything is asked of a key manager."""
    outcomes = await asyncio.gather(*(office.prod() for _ in range(4)), return_exceptions=True)

    assert sorted(type(each).__name__ for each in outcomes) == ["Instance", "NameTaken", "NameTaken", "NameTaken"]
    assert len(await office.manager.list_root_keys()) == 1


async def test_nothing_of_an_instance_that_was_not_made_stays(office: Office) -> None:
    """Neither its name nor a journal entry."""
    with pytest.raises(Refused, match="has no root key 'absent'"):
        await installing.create(office.eve, "prod", Wanted(root_key="absent"))
    office.manager.fail("probe", Fault.UNAVAILABLE)
    with pytest.raises(KeyManagerUnavailable, match="was made for it is there"):
        await office.prod()

    assert (await office.eve.instances(), await office.journal()) == ([], [])
    assert (await office.prod()).status is INSTALLED


class Slow(MemoryKeyManager):
    """Proves nothing before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def probe(self, root_key: str) -> None:
        self.asked.set()
        await self.go.wait()
        await super().probe(root_key)


async def test_while_its_root_key_is_proved_an_instance_is_installing(office: Office) -> None:
    """With the reason; its name is taken; whoever looks sees it."""
    office.manager = slow = Slow()
    office.eve = office.of("local-user-eve")
    making = asyncio.create_task(office.prod())
    await slow.asked.wait()

    seen = await office.seen()
    with pytest.raises(NameTaken):
        await office.prod()
    slow.go.set()

    assert (seen.status, seen.serves) == (InstanceStatus.INSTALLING, False)
    assert seen.reason.startswith(f"local-user-eve is making it since {AT}")
    assert (await making).status is INSTALLED
    assert (await office.seen()).reason == ""


async def test_what_a_crash_left_installing_is_configured_or_removed(office: Office) -> None:
    """Its reason says both."""
    left = replace(_left(), identifier="i1")
    await office.catalog.commit(Unit(entries=(), instances=(left,)))
    assert (await installing.configure(office.eve, "left", Wanted())).status is INSTALLED

    await office.catalog.commit(Unit(entries=(), instances=(replace(left, identifier="i2", name="other"),)))
    await safe_removal.remove(office.eve, office.catalog, "other")
    assert [each.name for each in await office.eve.instances()] == ["left"]


def _left() -> Instance:
    return Instance(
        identifier="i",
        name="left",
        status=InstanceStatus.INSTALLING,
        key_manager="embedded",
        root_key="",
        storage=Storage.CATALOG,
        created_at=NOW,
    )


async def test_an_instance_is_configured_later(office: Office) -> None:
    """Configuring while the root key is proved, then Installed; both are in the journal."""
    office.manager = slow = Slow()
    office.eve = office.of("local-user-eve")
    await installing.create(office.eve, "prod", None)
    root_key = await slow.create_root_key("by hand")
    configuring = asyncio.create_task(installing.configure(office.eve, "prod", Wanted(root_key=root_key.identifier)))
    await slow.asked.wait()
    seen = await office.seen()
    slow.go.set()
    made = await configuring

    assert (seen.status, seen.serves) == (CONFIGURING, False)
    assert f"root key {root_key.identifier} of key manager 'embedded' is being proved since {AT}" in seen.reason
    assert (made.status, made.home, made.reason) == (INSTALLED, Home("embedded", root_key.identifier), "")
    assert await office.seen() == replace(made, updated_at=NOW, updated_by="local-user-eve")
    assert [each for each, _ in await office.journal()][1:] == ["instance.configuring", "instance.configure"]


async def test_a_root_key_that_is_not_proved_leaves_the_instance_inactive_with_the_reason(office: Office) -> None:
    """And in the journal; the next one may do."""
    await installing.create(office.eve, "prod", None)
    root_key = await office.manager.create_root_key("by hand")
    await office.manager.disable_root_key(root_key.identifier)

    with pytest.raises(Refused, match="is not active"):
        await installing.configure(office.eve, "prod", Wanted(root_key=root_key.identifier))
    refused = await office.seen()
    office.manager.fail("describe_root_key", Fault.UNAVAILABLE)
    with pytest.raises(KeyManagerUnavailable):
        await installing.configure(office.eve, "prod", Wanted(root_key=root_key.identifier))
    unreached = await office.seen()
    await office.manager.enable_root_key(root_key.identifier)

    assert (refused.status, unreached.status, refused.configured) == (INACTIVE, INACTIVE, False)
    assert refused.reason.startswith("it could not be configured: root key")
    assert ("instance.configure", "refused") in await office.journal()
    assert (await installing.configure(office.eve, "prod", Wanted(root_key=root_key.identifier))).serves


async def test_a_configuration_that_is_broken_off_leaves_the_instance_inactive(office: Office) -> None:
    """As by Ctrl-C."""
    office.manager = slow = Slow()
    office.eve = office.of("local-user-eve")
    await installing.create(office.eve, "prod", None)
    configuring = asyncio.create_task(installing.configure(office.eve, "prod", Wanted()))
    await slow.asked.wait()
    configuring.cancel()
    await asyncio.gather(configuring, return_exceptions=True)

    assert (await office.seen()).status is INACTIVE
    assert "broken off" in (await office.seen()).reason


async def test_keys_keep_the_root_key_that_wraps_them(office: Office) -> None:
    """Another one is given by moving them; the same is proved again."""
    prod = await office.prod()
    await office.catalog.commit(Unit(entries=(), inserted=(key(KEY, prod.identifier),)))
    await instances.deactivate(office.eve, office.catalog, "prod", confirmation="prod")

    with pytest.raises(Refused, match="change-root-key prod"):
        await installing.configure(office.eve, "prod", Wanted(root_key="another"))
    with pytest.raises(Refused, match="storage set prod"):
        await installing.configure(office.eve, "prod", Wanted(storage=Storage.KEY_MANAGER))
    assert (await office.seen()).status is INACTIVE

    assert (await installing.configure(office.eve, "prod", Wanted())).home == prod.home


async def test_an_instance_goes_out_of_service_and_back(office: Office) -> None:
    """Who, when and why stand in its reason; again is nothing new."""
    prod = await office.prod()
    gone, new = await instances.deactivate(office.eve, office.catalog, "prod", why="move to DC2")
    _, again = await instances.deactivate(office.eve, office.catalog, "prod")

    assert (gone.status, new, again) == (INACTIVE, True, False)
    assert gone.reason == f"deactivated by local-user-eve on {AT}: move to DC2"
    back, new = await instances.activate(office.eve, "prod")
    assert (back.status, back.reason, new) == (INSTALLED, "", True)
    assert (await instances.activate(office.eve, "prod"))[1] is False
    assert replace(back, updated_at=None, updated_by="") == prod


async def test_what_would_stop_machines_wants_the_instance_s_name(office: Office) -> None:
    """With the number of keys and certificates that hang on it."""
    prod = await office.prod()
    await office.catalog.commit(
        Unit(entries=(), inserted=(key(KEY, prod.identifier),), certificates=(certificate(of=prod.identifier),))
    )

    with pytest.raises(ConfirmationNeeded) as needed:
        await instances.deactivate(office.eve, office.catalog, "prod")
    with pytest.raises(Unusable):
        await instances.deactivate(office.eve, office.catalog, "prod", confirmation="dev")

    impact = needed.value.impact
    assert (needed.value.confirmation, impact["total"], impact["certificates"]) == ("prod", 1, 1)
    assert [each["unique_identifier"] for each in impact["keys"]] == [KEY]
    assert (await office.seen()).serves
    await instances.deactivate(office.eve, office.catalog, "prod", confirmation="prod")
    assert not (await office.seen()).serves


async def test_an_instance_in_the_middle_of_a_move_comes_back_into_it(office: Office) -> None:
    """It is Configuring then, and serves."""
    prod = await office.prod()
    moving = replace(prod, status=CONFIGURING, former=Home("embedded", "old"))
    await office.catalog.commit(Unit(entries=(), instances=(moving,)))

    gone, _ = await instances.deactivate(office.eve, office.catalog, "prod")
    back, _ = await instances.activate(office.eve, "prod")

    assert (gone.status, gone.former, gone.serves) == (INACTIVE, moving.former, False)
    assert (back.status, back.serves) == (CONFIGURING, True)
    assert back.reason.startswith("its keys move from root key old of embedded")


async def test_a_name_and_a_description_change(office: Office) -> None:
    """By the rules of names; the journal has both names."""
    prod = await office.prod()
    await installing.create(office.eve, "dev", None)
    renamed, _ = await instances.rename(office.eve, "prod", "vcenter-1")
    described, _ = await instances.describe(office.eve, "vcenter-1", "behind the moon")

    assert (renamed.identifier, described.description) == (prod.identifier, "behind the moon")
    assert '"former_name":"prod"' in await office.texts()
    for name in ("", "a b", "x" * 64):
        with pytest.raises(Unusable):
            await instances.rename(office.eve, "vcenter-1", name)
    for text in ("x" * 241, "two\nlines", "\x1b[31m"):
        with pytest.raises(Unusable):
            await instances.describe(office.eve, "vcenter-1", text)
    with pytest.raises(NameTaken):
        await instances.rename(office.eve, "vcenter-1", "dev")


async def test_of_two_who_take_one_name_at_once_one_gets_it(office: Office) -> None:
    """Whichever their key managers."""
    for name in "ab":
        await installing.create(office.eve, name, None)
    outcomes = await asyncio.gather(
        *(instances.rename(office.eve, name, "prod") for name in "ab"), return_exceptions=True
    )

    assert sorted(type(each).__name__ for each in outcomes) == ["NameTaken", "tuple"]


async def test_who_has_seen_another_instance_hears_of_it(office: Office) -> None:
    """Nothing is written over; without that, both changes count."""
    prod = await office.prod()
    await asyncio.gather(
        instances.describe(office.eve, "prod", "one"),
        instance_rules.set_quotas(office.eve, office.catalog, "prod", keys=5),
    )
    with pytest.raises(ChangedMeanwhile):
        await instances.describe(office.eve, "prod", "two", seen=prod)

    assert ((await office.seen()).description, (await office.seen()).quotas.keys) == ("one", 5)


async def test_quotas_are_set_one_by_one(office: Office) -> None:
    """Within reason; the journal has what was."""
    await office.prod()
    changed, _ = await instance_rules.set_quotas(office.eve, office.catalog, "prod", keys=5, requests=100)

    assert (changed.quotas.keys, changed.quotas.certificates, changed.quotas.requests) == (5, 200, 100)
    assert '"former_keys":1000000,"former_requests":10000,"keys":5' in await office.texts()
    for keys, requests, certificates in ((-1, None, None), (None, 0, None), (None, None, 10**9)):
        with pytest.raises(Unusable, match="a quota of"):
            await instance_rules.set_quotas(
                office.eve, office.catalog, "prod", keys=keys, requests=requests, certificates=certificates
            )


async def test_a_credential_is_kept_as_a_hash(office: Office) -> None:
    """Neither instance nor journal has the password; it is cleared again."""
    await office.prod()
    passwords = Passwords(CHEAP)
    with Secret(bytearray(b"correct horse")) as password:
        made = await instance_rules.set_credential(office.eve, passwords, "prod", "vSphere", password, required=True)
    assert made.credential is not None
    assert (made.credential.username, made.credential.required) == ("vSphere", True)
    assert made.credential.password.startswith("$argon2id$")
    assert "correct" not in repr(await office.seen()) + await office.texts()

    for username, text in (("", b"correct horse"), ("a\n", b"correct horse"), ("a", b"short"), ("a", b"x" * 257)):
        with pytest.raises(Unusable), Secret(bytearray(text)) as password:
            await instance_rules.set_credential(office.eve, passwords, "prod", username, password)
    assert (await instance_rules.clear_credential(office.eve, "prod"))[0].credential is None


async def test_two_people_are_asked_for_only_where_there_are_two(office: Office) -> None:
    """Else nothing could be done any more; who cannot log in does not count."""
    await office.prod()
    await office.person("ann", Role.SECURITY_OFFICER)
    await office.person("bob", Role.OPERATOR)
    locked = Person(identifier="id-c", name="cid", grants=frozenset({Grant(Role.ADMINISTRATOR)}), created_at=NOW)
    await office.catalog.commit(Unit(entries=(), people=PeopleChanges(persons=(locked,))))

    with pytest.raises(Refused, match="only ann could agree"):
        await instance_rules.require_two(office.eve, office.catalog, "prod")
    await office.person("dan", Role.ADMINISTRATOR)
    found, new = await instance_rules.require_two(office.eve, office.catalog, "prod")

    assert (found.dual_control_at, new) == (NOW, True)
    assert (await instance_rules.require_two(office.eve, office.catalog, "prod"))[1] is False


async def test_two_people_end_what_two_people_guard(office: Office) -> None:
    """One alone asks, and is not the second; the other one's agreement does it."""
    await office.prod()
    ann, dan = await office.person("ann", Role.SECURITY_OFFICER), await office.person("dan", Role.ADMINISTRATOR)
    await instance_rules.require_two(office.eve, office.catalog, "prod")
    await instances.deactivate(office.eve, office.catalog, "prod")

    for act in (instance_rules.let_one_decide, safe_removal.remove):
        with pytest.raises(SecondPersonNeeded) as asked:
            await act(dan, office.catalog, "prod")
        with pytest.raises(SamePerson):
            await approvals.agree(dan, office.catalog, asked.value.approval.identifier, acts(Windows()))
        assert (await office.seen()).dual_control_at == NOW
    await approvals.agree(ann, office.catalog, asked.value.approval.identifier, acts(Windows()))

    assert await office.eve.instances() == []
    assert ("instance.remove", "success") in await office.journal()


async def test_two_people_change_quotas_that_two_people_guard(office: Office) -> None:
    """One alone asks; what was changed meanwhile is not agreed to."""
    await office.prod()
    ann, dan = await office.person("ann", Role.SECURITY_OFFICER), await office.person("dan", Role.ADMINISTRATOR)
    await instance_rules.require_two(office.eve, office.catalog, "prod")
    before = (await office.seen()).quotas

    with pytest.raises(SecondPersonNeeded) as asked:
        await instance_rules.set_quotas(dan, office.catalog, "prod", keys=5)
    assert (await office.seen()).quotas == before
    stays, new = await instance_rules.set_quotas(dan, office.catalog, "prod", keys=before.keys)
    assert (stays.quotas, new) == (before, False)
    identifier = asked.value.approval.identifier
    with pytest.raises(SamePerson):
        await approvals.agree(dan, office.catalog, identifier, acts(Windows()))
    await approvals.agree(ann, office.catalog, identifier, acts(Windows()))

    assert (await office.seen()).quotas == replace(before, keys=5)
    assert [each for each, _ in await office.journal()][-2:] == ["approval.agree", "instance.quotas"]
    with pytest.raises(ApprovalOver):
        await approvals.agree(ann, office.catalog, identifier, acts(Windows()))


async def test_one_decides_again_once_two_have_said_so(office: Office) -> None:
    await office.prod()
    ann, dan = await office.person("ann", Role.SECURITY_OFFICER), await office.person("dan", Role.ADMINISTRATOR)
    await instance_rules.require_two(office.eve, office.catalog, "prod")
    with pytest.raises(SecondPersonNeeded) as asked:
        await instance_rules.let_one_decide(dan, office.catalog, "prod")
    await approvals.agree(ann, office.catalog, asked.value.approval.identifier, acts(Windows()))

    assert (await office.seen()).dual_control_at is None


def an_authority(of: Instance) -> TrustedAuthority:
    """One whose clients the instance lets in."""
    return TrustedAuthority(
        fingerprint="d" * 64,
        instance=of.identifier,
        name="vmca",
        subject="CN=CA",
        not_before=0,
        not_after=2**33,
        der=b"der",
        added_at=NOW,
    )


async def test_an_instance_goes_only_when_nothing_hangs_on_it(office: Office) -> None:
    """Everything is listed, by name and number, with what ends it; nothing is destroyed by it."""
    prod = await office.prod()
    with pytest.raises(WrongStatus, match="deactivate it first: keyrack instance deactivate prod"):
        await safe_removal.remove(office.eve, office.catalog, "prod")
    living, gone = key(KEY, prod.identifier), replace(key(numbered(2), prod.identifier), state=State.DESTROYED)
    authority = an_authority(prod)
    await office.catalog.commit(
        Unit(
            entries=(),
            inserted=(living, gone),
            intents=(key(numbered(9), prod.identifier),),
            certificates=(certificate(of=prod.identifier),),
            admissions=AdmissionChanges(authorities=(authority,)),
        )
    )
    await instances.deactivate(office.eve, office.catalog, "prod", confirmation="prod")

    with pytest.raises(StillHanging) as hanging:
        await safe_removal.remove(office.eve, office.catalog, "prod")

    assert [each.split(":")[0] for each in hanging.value.hanging] == [
        f"1 key that is not destroyed ({KEY[:8]})",
        "1 destroyed key that can still be taken back (00000000)",
        "1 key that is just being made, or that a crash has left",
        "1 client certificate (vcenter-aaaaaaaa)",
        "1 trusted authority (vmca)",
    ]
    assert await office.catalog.load(prod.identifier, KEY) == living
    assert len(await office.eve.instances()) == 1


@pytest.mark.sqlite("a catalog that is late is made of SQLite's")
async def test_what_comes_between_the_look_and_the_removal_keeps_the_instance(office: Office, tmp_path: Path) -> None:
    """The transaction looks again: a key, a certificate or an authority that was added just then is not lost."""
    prod = await office.prod()
    await instances.deactivate(office.eve, office.catalog, "prod")

    class Late(SqliteCatalog):
        """Somebody is quicker, once."""

        async def commit(self, unit: Unit) -> None:
            if unit.removed_instances and late:
                await super().commit(late.pop())
            await super().commit(unit)

    late: list[Unit] = []
    catalog = Late(tmp_path / "catalog.db", "administration")
    eve = Administration(catalog, {}, Administrator("local-user-eve"), lambda: NOW * 1000)
    try:
        authority = an_authority(prod)
        gone = (prod.identifier, authority.fingerprint)
        for unit in (
            Unit(entries=(), admissions=AdmissionChanges(authorities=(authority,))),
            Unit(
                entries=(),
                certificates=(certificate(of=prod.identifier),),
                admissions=AdmissionChanges(removed_authorities=(gone,)),
            ),
            Unit(entries=(), inserted=(key(KEY, prod.identifier),), removed_certificates=(certificate().fingerprint,)),
        ):
            late.append(unit)
            with pytest.raises(StillHanging):
                await safe_removal.remove(eve, catalog, "prod")
    finally:
        await catalog.close()
    assert (await office.seen()).name == "prod"


async def test_a_bare_instance_goes_and_its_wrapping_key_s_copy_is_left_to_be_deleted(office: Office) -> None:
    """Whoever removes it needs no key manager for that; who comes second hears that it is gone."""
    prod = await office.prod()
    wrapping_key = WrappingKey(
        unique_identifier=numbered(5), instance=prod.identifier, created_at=NOW, sealed=b"sealed", standard_key="sk-5"
    )
    await office.catalog.commit(Unit(entries=(), wrapping_keys=(wrapping_key,)))
    await instances.deactivate(office.eve, office.catalog, "prod")

    outcomes = await asyncio.gather(
        *(safe_removal.remove(office.eve, office.catalog, "prod") for _ in range(2)), return_exceptions=True
    )

    assert sorted(type(each).__name__ for each in outcomes) == ["Instance", "NotThere"]
    (left,) = await office.catalog.leftovers()
    assert (left.standard_key, left.why) == ("sk-5", "removed")
    assert (await office.journal())[-1] == ("instance.remove", "success")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR])
async def test_who_may_not_does_not(office: Office, role: Role) -> None:
    """Every act asks for its right; who sees nothing of an instance hears that it is not there."""
    prod = await office.prod()
    ann = await office.person("ann", role)
    secret = Secret(bytearray(b"correct horse"))
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: installing.create(ann, "dev", None),
        lambda: installing.configure(ann, "prod", Wanted()),
        lambda: instances.deactivate(ann, office.catalog, "prod"),
        lambda: instances.activate(ann, "prod"),
        lambda: instances.rename(ann, "prod", "dev"),
        lambda: instances.describe(ann, "prod", "mine"),
        lambda: instance_rules.set_quotas(ann, office.catalog, "prod", keys=1),
        lambda: instance_rules.set_credential(ann, Passwords(CHEAP), "prod", "me", secret),
        lambda: instance_rules.clear_credential(ann, "prod"),
        lambda: instance_rules.require_two(ann, office.catalog, "prod"),
        lambda: instance_rules.let_one_decide(ann, office.catalog, "prod"),
        lambda: safe_removal.remove(ann, office.catalog, "prod"),
    ]
    for attempt in attempts:
        with pytest.raises(Forbidden):
            await attempt()

    nobody = office.of("person-x", Grants.of([Grant(Role.ADMINISTRATOR, "elsewhere")]))
    attempts = [
        lambda: instances.deactivate(nobody, office.catalog, "prod"),
        lambda: safe_removal.remove(nobody, office.catalog, prod.identifier),
        lambda: instance_rules.set_quotas(nobody, office.catalog, "prod", keys=1),
    ]
    for blind in attempts:
        with pytest.raises(NotThere):
            await blind()
    assert await office.seen() == prod
