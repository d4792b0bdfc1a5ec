"""Making keys: what may be asked for, who may ask, and what an instance's policies make of it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keyrack.domain.secret import Secret
from keyrack.embedded.actions import unwrap, wrap
from keyrack.embedded.call import Call
from keyrack.embedded.creation import EncryptedImport, NewKey, create, create_with_overrides, put_standard_keys
from keyrack.embedded.errors import KeeperUnavailable, Unauthorised
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.instances import PolicyType
from keyrack.embedded.keys import Key, RotationPolicy
from keyrack.embedded.policies import set_instance_policies
from keyrack.embedded.root_keys.port import Enciphered, VersionName
from keyrack.embedded.root_keys.software import SoftwareKeeper
from keyrack.embedded.store.database import anchor_path, database_path
from keyrack.testing.key_houses import OTHER_INSTANCE, a_call, a_caller, a_house, an_instance, revision
from keyrack.testing.some_keys import journal_of, kept, payload_of, refusal

NOW = 1_800_000_000
INVALID = (400, "INVALID_FIELD_ERR")
NO_ACCESS = (409, "KEY_CREATE_IMPORT_ACCESS_ERR")
DENIED = (401, "UNAUTHORIZED_ERR")


def secret(length: int) -> Secret:
    return Secret(bytearray(range(1, 256)) * 100) if length > 255 else Secret(bytearray(range(1, length + 1)))


def root(**fields: Any) -> NewKey:
    return NewKey(**{"name": "a root key", "extractable": False, **fields})


def standard(**fields: Any) -> NewKey:
    return NewKey(**{"name": "a standard key", "extractable": True, **fields})


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = a_house(tmp_path)
    an_instance(house, rings=("vmware", "other"))
    yield house
    house.close()


class WatchedKeeper:
    """The software keeper by another name: it tells what it was asked to destroy, and lets things happen meanwhile."""

    name = "watched"
    prompt = False

    def __init__(self, inner: SoftwareKeeper) -> None:
        self.inner = inner
        self.destroyed: list[VersionName] = []
        self.made: list[VersionName] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def generate(self, version: VersionName) -> bytes:
        self.made.append(version)
        kept = self.inner.generate(version)
        self.meanwhile()
        return kept

    def take(self, version: VersionName, material: Secret) -> bytes:
        self.made.append(version)
        kept = self.inner.take(version, material)
        self.meanwhile()
        return kept

    def destroy(self, version: VersionName, kept: bytes) -> None:
        self.destroyed.append(version)

    def encipher(self, version: VersionName, kept: bytes, plaintext: Secret, bound: bytes) -> Enciphered:
        return self.inner.encipher(version, kept, plaintext, bound)

    def decipher(self, version: VersionName, kept: bytes, enciphered: Enciphered, bound: bytes) -> Secret:
        return self.inner.decipher(version, kept, enciphered, bound)

    def probe(self) -> None:
        self.inner.probe()

    def close(self) -> None:
        self.inner.close()


def watched(house: House) -> tuple[House, WatchedKeeper]:
    """The house with such a keeper for new material."""
    software = house.keeper_of("software")
    assert isinstance(software, SoftwareKeeper)
    keeper = WatchedKeeper(software)
    return replace(house, keepers={**house.keepers, keeper.name: keeper}, keeper=keeper.name), keeper


def test_a_root_key_is_made_and_wraps(house: House) -> None:
    """With all that was asked for, active, in the default key ring, in the journal, and there after a restart."""
    wanted = root(description="of vCenter\nnumber 1", tags=["a tag", ""], aliases=["vc-1", "Vc_1"], expires_at=NOW + 1)

    made = create(house, a_call(), wanted)

    assert kept(house, made) == made
    assert ("a root key", "of vCenter\nnumber 1", ("a tag", "")) == (made.name, made.description, made.tags)
    assert (NOW + 1, "default", False, False) == (made.expires_at, made.ring, made.imported, made.extractable)
    assert ["vc-1", "Vc_1"] == [alias.name for alias in made.aliases]
    wrapped = wrap(house, a_call(), "vc-1", secret(32))
    assert unwrap(house, a_call(), made.identifier, wrapped.ciphertext).plaintext.matches(secret(32))
    entry = next(each for each in journal_of(house) if each["action"] == "kms.secrets.create")
    assert (made.identifier, "local-user-test", "success") == (entry["target"], entry["initiator"], entry["outcome"])


@pytest.mark.parametrize("length", [16, 24, 32])
def test_imported_material_is_the_material(house: House, length: int) -> None:
    """Two keys with the same material are two keys; each opens its own."""
    made = create(house, a_call(), root(payload=secret(length)))

    assert made.imported
    keeper = house.keeper_of("software")
    kept_there = keeper.take(made.version_name(made.newest), secret(length))
    given = keeper.encipher(made.version_name(made.newest), kept_there, secret(20), b"bound")
    assert keeper.decipher(made.version_name(made.newest), made.newest.kept, given, b"bound").matches(secret(20))


def test_a_standard_key_keeps_its_payload(house: House) -> None:
    """A given one as it is, up to 7,500 bytes; else 32 random bytes are made."""
    for given in (b"\x00", b"x" * 7500):
        made = create(house, a_call(), standard(payload=Secret(bytearray(given))))
        assert (given, True) == (payload_of(house, made), made.imported)

    generated = [create(house, a_call(), standard()) for _ in range(2)]

    assert [32, 32] == [len(payload_of(house, key)) for key in generated]
    assert payload_of(house, generated[0]) != payload_of(house, generated[1])
    assert not generated[0].imported


def test_the_payload_stays_its_callers(house: House) -> None:
    """Whoever gave it wipes it."""
    given = secret(32)

    create(house, a_call(), root(payload=given))
    create(house, a_call(), standard(payload=given))

    assert given.matches(secret(32))


ILL_FORMED: dict[str, tuple[NewKey, tuple[int, str], str]] = {
    "name too short": (root(name="x"), INVALID, "name"),
    "name too long": (root(name="x" * 91), INVALID, "name"),
    "name with a line": (root(name="a\nname"), INVALID, "name"),
    "name with a zero": (root(name="a\0name"), INVALID, "name"),
    "name with half a character": (root(name="a \ud800 name"), INVALID, "name"),
    "description too short": (root(description="x"), INVALID, "description"),
    "description too long": (root(description="x" * 241), INVALID, "description"),
    "description with an escape": (root(description="\x1b[2J"), INVALID, "description"),
    "too many tags": (root(tags=["tag"] * 31), INVALID, "tags"),
    "tag too long": (root(tags=["t" * 31]), INVALID, "tags"),
    **{f"tag with {sign}": (root(tags=[f"a{sign}b"]), INVALID, "tags") for sign in "<>:&|,\t"},
    "too many aliases": (root(aliases=[f"alias-{number}" for number in range(6)]), INVALID, "aliases"),
    "an alias twice": (root(aliases=["same", "same"]), INVALID, "aliases"),
    "alias too short": (root(aliases=["a"]), INVALID, "alias"),
    "alias too long": (root(aliases=["a" * 91]), INVALID, "alias"),
    "alias with a space": (root(aliases=["a b"]), INVALID, "alias"),
    "alias with an umlaut": (root(aliases=["schlüssel"]), INVALID, "alias"),
    "alias with a line": (root(aliases=["alias\n"]), INVALID, "alias"),
    "alias that is a UUID": (root(aliases=["0b7d1c7e-6a53-4f6b-9f0e-2f1d3a5c7e91"]), INVALID, "alias"),
    "alias that is a UUID in capitals": (root(aliases=["0B7D1C7E-6A53-4F6B-9F0E-2F1D3A5C7E91"]), INVALID, "alias"),
    **{
        f"alias {word}": (root(aliases=[word]), INVALID, "alias")
        for word in ("allowed_ip", "keys", "registrations", "unwrap", "version", "Rings")
    },
    **{
        f"material of {length}": (root(payload=secret(length)), INVALID, "payload")
        for length in (0, 1, 15, 17, 33, 256)
    },
    "empty payload": (standard(payload=Secret(bytearray())), INVALID, "payload"),
    "payload too long": (standard(payload=Secret(bytearray(7501))), INVALID, "payload"),
    "encrypted without payload": (root(encrypted=EncryptedImport(b"", b"", "")), INVALID, "payload"),
    "encrypted standard key": (
        standard(payload=secret(32), encrypted=EncryptedImport(b"", b"", "")),
        (400, "KEY_ROOT_REQ_ERR"),
        "payload",
    ),
    "expired": (root(expires_at=NOW), (400, "KEY_EXPIRED_ERR"), "expirationDate"),
    "long expired": (root(expires_at=-(2**70)), (400, "KEY_EXPIRED_ERR"), "expirationDate"),
    "after the last year": (root(expires_at=253_402_300_800), INVALID, "expirationDate"),
}


@pytest.mark.parametrize("case", ILL_FORMED)
@pytest.mark.parametrize("make", [create, create_with_overrides])
def test_what_no_key_is_like_is_refused(house: House, make: Callable[[House, Call, NewKey], Key], case: str) -> None:
    """With Key Protect's code and the field that is wrong; nothing is written, and nothing is made in a keeper."""
    wanted, expected, field = ILL_FORMED[case]
    house, keeper = watched(house)

    assert expected == refusal(make, house, a_call(), wanted)

    with pytest.raises(Exception, match=r"\w") as refused:
        make(house, a_call(), wanted)
    assert ("field", field) == getattr(refused.value, "target", None)
    assert [] == keeper.made


def test_the_longest_of_everything_is_taken(house: House) -> None:
    """The limits are in, not out."""
    wanted = root(
        name="ж" * 90,
        description="д" * 240,
        tags=["т" * 30] * 30,
        aliases=["a" * 90, "bb", "-_", "allowed-ip", "9" * 36],
        expires_at=253_402_300_799,
    )

    made = create(house, a_call(), wanted)

    assert kept(house, made) == made


def test_an_alias_is_unique_in_its_instance_and_in_no_other(house: House) -> None:
    """A deleted key still has its aliases; capital letters make another alias."""
    an_instance(house, OTHER_INSTANCE)
    create(house, a_call(), root(aliases=["taken"]))

    assert (409, "KEY_ALIAS_NOT_UNIQUE_ERR") == refusal(create, house, a_call(), standard(aliases=["free", "taken"]))
    create(house, a_call(), standard(aliases=["free", "Taken"]))
    create(house, a_call(instance=OTHER_INSTANCE), root(aliases=["taken"]))


def test_an_instance_has_a_thousand_aliases(house: House) -> None:
    """And no more; another instance has its own."""
    an_instance(house, OTHER_INSTANCE)
    first = create(house, a_call(), standard(aliases=["first"]))
    with house.database.change() as unit:
        for number in range(199):
            names = [f"alias-{number}-{letter}" for letter in "abcde"]
            aliases = tuple(replace(first.aliases[0], name=name) for name in names)
            unit.put_key(replace(first, identifier=f"00000000-0000-4000-8000-{number:012}", aliases=aliases))
    create(house, a_call(), standard(aliases=["a2", "a3", "a4"]))

    assert (409, "KEY_ALIAS_QUOTA_ERR") == refusal(create, house, a_call(), standard(aliases=["a5", "a6"]))
    create(house, a_call(), standard(aliases=["a5"]))
    create(house, a_call(instance=OTHER_INSTANCE), standard(aliases=["a6"]))


def test_names_are_not_unique(house: House) -> None:
    """As in Key Protect."""
    assert create(house, a_call(), root()).identifier != create(house, a_call(), root()).identifier


def test_a_key_goes_into_the_ring_that_the_call_names(house: House) -> None:
    """If that is there; else nothing is made."""
    assert "vmware" == create(house, a_call(ring="vmware"), root()).ring
    assert "default" == create(house, a_call(ring="default"), root()).ring

    assert (404, "KEY_RING_NOT_FOUND_ERR") == refusal(create, house, a_call(ring="absent"), root())
    absent = a_call(instance=OTHER_INSTANCE)
    assert (400, "INVALID_INSTANCE_ERR") == refusal(create, house, absent, root())


@pytest.mark.parametrize(
    ("role", "creates", "overrides"),
    [
        (Role.READER, False, False),
        (Role.READER_PLUS, False, False),
        (Role.WRITER, True, False),
        (Role.MANAGER, True, True),
        (Role.KMIP_ADAPTER_MANAGER, False, False),
        (Role.KEY_PURGE, False, False),
    ],
)
def test_who_may_make_keys(house: House, role: Role, creates: bool, overrides: bool) -> None:
    """Writers and managers; with policies of the key's own, managers alone."""
    call = a_call(a_caller(house, role))
    for make, allowed in ((create, creates), (create_with_overrides, overrides)):
        if allowed:
            assert call.caller.identity == make(house, call, root()).created_by
        else:
            assert DENIED == refusal(make, house, call, root())
    if creates:
        put_standard_keys(house, call, [("name", b"payload")])
    else:
        assert DENIED == refusal(put_standard_keys, house, call, [("name", b"payload")])


def test_a_right_over_one_ring_makes_keys_in_that_ring(house: House) -> None:
    """And a right over one key makes none."""
    there = create(house, a_call(ring="vmware"), root())
    of_ring = a_caller(house, Role.MANAGER, ring="vmware")
    of_key = a_caller(house, Role.MANAGER, key=there.identifier)
    elsewhere = a_caller(house, Role.MANAGER, instance=OTHER_INSTANCE)

    create(house, a_call(of_ring, ring="vmware"), root())

    for caller, ring in (
        (of_ring, None),
        (of_ring, "default"),
        (of_ring, "other"),
        (of_ring, "absent"),
        (of_key, None),
        (of_key, "vmware"),
        (elsewhere, None),
    ):
        assert DENIED == refusal(create, house, a_call(caller, ring=ring), root())


def test_a_right_that_is_taken_while_an_hsm_works_counts(house: House) -> None:
    """The right is asked for in the transaction that makes the key; the material is destroyed."""
    house, keeper = watched(house)
    caller = a_caller(house, Role.WRITER)

    def revoke() -> None:
        with house.database.change() as unit:
            unit.remove_service_id(str(caller.service_id))

    keeper.meanwhile = revoke

    with pytest.raises(Unauthorised):
        create(house, a_call(caller), root(aliases=["alias"]))

    assert keeper.made == keeper.destroyed
    with house.reading() as reading:
        assert 0 == reading.count("1 = 1", ()) == reading.aliases(a_call().instance)


@pytest.mark.parametrize("payload", [None, 32])
def test_an_alias_that_is_taken_while_an_hsm_works_is_taken(house: House, payload: int | None) -> None:
    """One of the two gets it, and the other's material is destroyed."""
    house, keeper = watched(house)
    other, _ = watched(house)

    def snatch() -> None:
        keeper.meanwhile = lambda: None
        create(other, a_call(), standard(aliases=["alias"]))

    keeper.meanwhile = snatch
    wanted = root(aliases=["alias"], payload=payload and secret(payload))

    with pytest.raises(Exception, match="alias"):
        create(house, a_call(), wanted)

    assert keeper.made == keeper.destroyed
    assert 1 == len(keeper.made)


def test_a_keeper_that_does_not_answer_makes_no_key(house: House) -> None:
    """503, and nothing is written."""
    house, keeper = watched(house)

    def fail() -> None:
        raise KeeperUnavailable("the token is gone")

    keeper.meanwhile = fail
    before = revision(house)

    with pytest.raises(KeeperUnavailable):
        create(house, a_call(), root())

    assert before == revision(house)


def test_material_of_a_key_that_was_kept_is_never_destroyed(tmp_path: Path, house: House) -> None:
    """The commit is durable, and then the anchor cannot be written: the call fails, and the key stays whole."""
    house, keeper = watched(house)
    anchor = anchor_path(database_path(tmp_path / "keystore"))

    def spoil() -> None:
        anchor.unlink()
        anchor.mkdir()

    keeper.meanwhile = spoil

    with pytest.raises(OSError, match=str(anchor)):
        create(house, a_call(), root(aliases=["kept"]))

    assert [] == keeper.destroyed
    with house.reading() as reading:
        assert [keeper.made[0].version] == [each.identifier for each in reading.key(a_call().instance, "kept").versions]


def access(house: House, **attributes: bool) -> None:
    wanted = {PolicyType.KEY_CREATE_IMPORT_ACCESS: (True, attributes)}
    set_instance_policies(house, a_call(), wanted)


@pytest.mark.parametrize(
    ("attribute", "forbidden"),
    [
        ("create_root_key", root()),
        ("create_standard_key", standard()),
        ("import_root_key", root(payload=secret(32))),
        ("import_standard_key", standard(payload=secret(32))),
    ],
)
def test_the_policy_of_an_instance_forbids_one_way_to_make_keys(
    house: House, attribute: str, forbidden: NewKey
) -> None:
    """And lets the other three work; switched off, it forbids nothing."""
    access(house, **{attribute: False})
    ways = [root(), standard(), root(payload=secret(32)), standard(payload=secret(32))]

    refused = 0
    for wanted in ways:
        if (wanted.extractable, wanted.payload is None) == (forbidden.extractable, forbidden.payload is None):
            refused += 1
            assert NO_ACCESS == refusal(create, house, a_call(), wanted)
            assert NO_ACCESS == refusal(create_with_overrides, house, a_call(), wanted)
        else:
            create(house, a_call(), wanted)

    assert 1 == refused
    set_instance_policies(house, a_call(), {PolicyType.KEY_CREATE_IMPORT_ACCESS: (False, {})})
    create(house, a_call(), forbidden)


def test_material_in_clear_is_refused_where_an_import_token_is_enforced(house: House) -> None:
    """Of standard keys too, which have no other way in; what is generated needs none."""
    access(house, enforce_token=True)

    for wanted in (root(payload=secret(32)), standard(payload=secret(32))):
        assert NO_ACCESS == refusal(create, house, a_call(), wanted)
    assert NO_ACCESS == refusal(put_standard_keys, house, a_call(), [("name", b"payload")])
    create(house, a_call(), root())
    create(house, a_call(), standard())


def test_new_keys_get_the_policies_of_their_instance(house: House) -> None:
    """Dual authorisation all of them, a rotation generated root keys alone; keys from before nothing."""
    before = create(house, a_call(), root())
    set_instance_policies(
        house, a_call(), {PolicyType.DUAL_AUTH_DELETE: (True, {}), PolicyType.ROTATION: (True, {"interval_month": 5})}
    )

    generated = create(house, a_call(), root())
    imported = create(house, a_call(), root(payload=secret(16)))
    of_standard = create(house, a_call(), standard())
    (put,) = put_standard_keys(house, a_call(), [("name", b"payload")])

    assert (False, None) == (kept(house, before).dual_auth_delete, kept(house, before).rotation)
    assert RotationPolicy(enabled=True, months=5) == generated.rotation
    assert generated.rotation_record is not None
    assert generated.dual_auth_record is not None
    assert ("local-user-test", NOW) == (generated.rotation_record.created_by, generated.rotation_record.created_at)
    assert [None, None] == [imported.rotation, of_standard.rotation]
    with house.reading() as reading:
        all_of_them = [generated, imported, of_standard, reading.key(a_call().instance, put)]
    assert [True] * 4 == [key.dual_auth_delete for key in all_of_them]


def test_overrides_take_the_place_of_all_policies_of_the_instance(house: House) -> None:
    """Also where none is given: then the key has none."""
    set_instance_policies(
        house, a_call(), {PolicyType.DUAL_AUTH_DELETE: (True, {}), PolicyType.ROTATION: (True, {"interval_month": 5})}
    )

    none = create_with_overrides(house, a_call(), root())
    other = create_with_overrides(house, a_call(), root(rotation=RotationPolicy(enabled=True, months=12)))
    dual = create_with_overrides(house, a_call(), standard(dual_auth_delete=True))
    off = create_with_overrides(house, a_call(), standard(dual_auth_delete=False))

    assert (False, None, None) == (none.dual_auth_delete, none.dual_auth_record, none.rotation)
    assert (False, 12) == (other.dual_auth_delete, other.rotation and other.rotation.months)
    assert (True, False) == (dual.dual_auth_delete, off.dual_auth_delete)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (standard(rotation=RotationPolicy(enabled=True)), (400, "KEY_ROOT_REQ_ERR")),
        (standard(rotation=RotationPolicy(enabled=False)), (400, "KEY_ROOT_REQ_ERR")),
        (root(payload=secret(32), rotation=RotationPolicy(enabled=True)), INVALID),
        (root(rotation=RotationPolicy(enabled=True, months=0)), INVALID),
        (root(rotation=RotationPolicy(enabled=True, months=13)), INVALID),
    ],
)
def test_a_rotation_that_no_such_key_has_is_refused(house: House, wanted: NewKey, expected: tuple[int, str]) -> None:
    """As in Key Protect: root keys that were generated rotate, every 1 to 12 months."""
    assert expected == refusal(create_with_overrides, house, a_call(), wanted)


def test_policies_come_with_overrides_alone(house: House) -> None:
    """The plain way to make a key knows no such fields."""
    for wanted in (root(dual_auth_delete=False), root(rotation=RotationPolicy(enabled=True))):
        assert (400, "BAD_BODY_ERR") == refusal(create, house, a_call(), wanted)


def test_a_group_of_standard_keys_is_kept_whole_or_not_at_all(house: House) -> None:
    """In order, in one change of the database."""
    before = revision(house)

    made = put_standard_keys(house, a_call(), [(f"vmware_kmip_{number}", b"%d" % number) for number in range(5)])

    assert before + 1 == revision(house)
    with house.reading() as reading:
        keys = [reading.key(a_call().instance, identifier) for identifier in made]
    assert [b"0", b"1", b"2", b"3", b"4"] == [payload_of(house, key) for key in keys]
    assert made == [each["target"] for each in journal_of(house) if each["action"] == "kms.secrets.create"]
    for bad in (("x", b"x"), ("name", b""), ("name", bytes(7501))):
        assert INVALID == refusal(put_standard_keys, house, a_call(), [("good", b"x"), bad, ("good", b"x")])


def test_a_call_that_is_journaled_elsewhere_leaves_no_entry(house: House) -> None:
    """What KMIP asks for is in the catalog's journal."""
    put_standard_keys(house, replace(a_call(), journaled=False), [("vmware_kmip_1", b"x")])

    assert [] == [each for each in journal_of(house) if each["action"] == "kms.secrets.create"]
