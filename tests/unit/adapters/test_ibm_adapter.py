"""What the adapters ask for, header by header, and what they make of answers that are seldom given."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.unit.adapters.ibm_script import INSTANCE, ROOT_KEY, Asked, Script, Stage, answer, error, key, keys, stage

from keyrack.adapters.key_managers.ibm.hpcs import Hpcs
from keyrack.adapters.key_managers.ibm.key_protect import KeyProtect
from keyrack.adapters.key_managers.ibm.settings import ApiKey, IamSettings, Origin, url_of
from keyrack.domain.secret import Secret
from keyrack.ports.key_manager import (
    ChecksItself,
    ImportsRootKeys,
    KeyManagerRefused,
    KeyManagerUnavailable,
    Reason,
    RootKeyAdministration,
    TellsBinding,
    TellsCondition,
    TellsWithdrawals,
)

STANDARD_KEY = "99999999-2222-4333-8444-555555555555"
CIPHERTEXT = b"Y2lwaGVydGV4dA=="
WRAPPED = {"ciphertext": "bmV3", "keyVersion": {"id": "v1"}}


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as made:
        yield made


@pytest.fixture
async def manager(there: Stage) -> AsyncIterator[KeyProtect]:
    made = there.adapter()
    yield made
    await made.close()


def by_path(**scripts: bytes) -> Script:
    """Answers by the last word of the path; ``other`` for the rest."""

    def script(asked: Asked) -> bytes:
        word = urlsplit(asked.path).path.rpartition("/")[2]
        return scripts.get(word, scripts.get("other", answer(500)))

    return script


def a_secret() -> Secret:
    return Secret(bytearray(os.urandom(32)))


async def test_a_call_says_who_asks_for_which_instance(there: Stage, manager: KeyProtect) -> None:
    """And nothing that is not needed."""
    there.script = by_path(wrap=answer(200, WRAPPED))

    await manager.wrap(ROOT_KEY, Secret(bytearray(b"ABC")), ("a", 'quote " and ü'))

    (asked,) = there.asked
    assert ("POST", f"/api/v2/keys/{ROOT_KEY}/actions/wrap") == (asked.method, asked.path)
    assert {"aad": ["a", 'quote " and ü'], "plaintext": "QUJD"} == asked.json
    assert {
        "host": f"127.0.0.1:{there.port}",
        "accept-encoding": "identity",
        "content-length": str(len(asked.body)),
        "authorization": "Bearer first",
        "bluemix-instance": INSTANCE,
        "accept": "application/json",
        "user-agent": "keyrack",
        "content-type": "application/vnd.ibm.kms.key_action_wrap+json",
        "correlation-id": asked.headers["correlation-id"],
    } == asked.headers


async def test_no_strings_are_no_field(there: Stage, manager: KeyProtect) -> None:
    """A key manager that does not bind is never told any, so that a later change strands no ciphertext."""
    there.script = by_path(
        wrap=answer(200, WRAPPED),
        unwrap=answer(200, {"plaintext": "QUJD", "keyVersion": {"id": "v1"}}),
        rewrap=answer(200, {**WRAPPED, "rewrappedKeyVersion": {"id": "v2"}}),
    )
    await manager.wrap(ROOT_KEY, a_secret(), ())
    await manager.unwrap(ROOT_KEY, CIPHERTEXT, ())
    await manager.rewrap(ROOT_KEY, CIPHERTEXT, ())

    assert all("aad" not in asked.json for asked in there.asked)


async def test_what_is_wrong_already_is_not_asked(there: Stage, manager: KeyProtect) -> None:
    """Too long a payload, too many strings, what can be no ciphertext or identifier, and nothing to wrap."""
    refused = [
        (manager.put_standard_key("name", bytes(7501)), Reason.REQUEST),
        (manager.wrap(ROOT_KEY, a_secret(), ["x"] * 127), Reason.REQUEST),
        (manager.unwrap(ROOT_KEY, CIPHERTEXT, ["x" * 256]), Reason.REQUEST),
        (manager.unwrap(ROOT_KEY, b"\xff", ()), Reason.CIPHERTEXT),
        (manager.unwrap(ROOT_KEY, b"", ()), Reason.CIPHERTEXT),
        # Key Protect would make a plaintext of its own.
        (manager.wrap(ROOT_KEY, Secret(bytearray()), ()), Reason.REQUEST),
        (manager.get_standard_key("../keys"), Reason.ABSENT),
        (manager.get_standard_key(""), Reason.ABSENT),
        (manager.describe_root_key("a/b"), Reason.ABSENT),
    ]
    for call, reason in refused:
        with pytest.raises(KeyManagerRefused) as caught:
            await call
        assert reason is caught.value.reason
    assert [] == there.asked


async def test_a_standard_key_is_described_as_one(there: Stage, manager: KeyProtect) -> None:
    there.script = lambda _: keys(key(extractable=True))

    with pytest.raises(KeyManagerRefused) as caught:
        await manager.describe_root_key(ROOT_KEY)
    assert Reason.REQUEST is caught.value.reason


class TestStandardKeys:
    """Made in the configured key ring, and found wherever they are."""

    async def test_one_is_made(self, there: Stage) -> None:
        there.script = lambda _: answer(201, {"resources": [{"id": "made"}]})
        manager = there.adapter(key_ring="vmware")

        assert "made" == await manager.put_standard_key("vmware_kmip_1", b"blob")

        (asked,) = there.asked
        (resource,) = asked.json["resources"]
        assert {"collectionType": "application/vnd.ibm.kms.key+json", "collectionTotal": 1} == asked.json["metadata"]
        assert ("vmware_kmip_1", True, "YmxvYg==") == (resource["name"], resource["extractable"], resource["payload"])
        assert "vmware" == asked.headers["x-kms-key-ring"]
        await manager.close()

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"state": 5, "deleted": True}, Reason.DELETED),
            ({"state": 5}, Reason.DELETED),
            ({"state": 3}, Reason.STATE),
            ({"extractable": False}, Reason.REQUEST),
        ],
    )
    async def test_one_that_is_no_more_is_refused(
        self, there: Stage, manager: KeyProtect, fields: dict[str, object], reason: Reason
    ) -> None:
        """Key Protect tells it with 200."""
        there.script = lambda _: keys(key(STANDARD_KEY, **{"extractable": True, **fields}))

        with pytest.raises(KeyManagerRefused) as caught:
            await manager.get_standard_key(STANDARD_KEY)
        assert reason is caught.value.reason

    @pytest.mark.parametrize("payload", [None, "no base64", "QUJ"])
    async def test_one_without_a_payload_is_half_an_answer(
        self, there: Stage, manager: KeyProtect, payload: str | None
    ) -> None:
        """It says nothing about the key."""
        there.script = lambda _: keys(key(STANDARD_KEY, extractable=True, payload=payload))

        with pytest.raises(KeyManagerUnavailable):
            await manager.get_standard_key(STANDARD_KEY)

    async def test_one_in_another_key_ring_is_found(self, there: Stage) -> None:
        """Somebody has moved it, or the configuration has changed: that is no reason to withhold keys."""
        found = keys(key(STANDARD_KEY, extractable=True, payload="YmxvYg=="))
        there.script = lambda asked: error(404, "KEY_NOT_FOUND_ERR") if "x-kms-key-ring" in asked.headers else found
        manager = there.adapter(key_ring="vmware")

        assert b"blob" == (await manager.get_standard_key(STANDARD_KEY)).payload
        there.script = lambda asked: error(404 if "x-kms-key-ring" in asked.headers else 410)
        await manager.delete_standard_key(STANDARD_KEY)

        assert ["vmware", None, "vmware", None] == [each.headers.get("x-kms-key-ring") for each in there.asked]
        await manager.close()

    async def test_another_identity_deletes(self, there: Stage, tmp_path: Path) -> None:
        """Deletions of standard keys alone; it needs Manager, the other one only Writer."""
        (tmp_path / "second").write_text("second")
        there.iam = lambda asked: answer(
            200, {"access_token": "manager" if b"second" in asked.body else "writer", "expires_in": 3600}
        )
        there.script = lambda asked: answer(204) if asked.method == "DELETE" else keys(key())
        manager = there.adapter(deleting=IamSettings(source=ApiKey(tmp_path / "second"), url=there.url))

        await manager.describe_root_key(ROOT_KEY)
        await manager.delete_standard_key(STANDARD_KEY)
        await manager.delete_root_key(ROOT_KEY)

        assert ["Bearer writer", "Bearer manager", "Bearer writer"] == [
            each.headers["authorization"] for each in there.asked
        ]
        await manager.close()


class TestLists:
    """Pages of a thousand, through all key rings that may be seen."""

    @staticmethod
    def _script(total: int) -> Script:
        told = [key(f"id-{number}", name=f"vmware_kmip_{number}", extractable=True) for number in range(total)]
        told[1:1] = [
            key("root", name="vmware_kmip_root"),
            key("gone", name="vmware_kmip_gone", extractable=True, state=5),
            key("else", name="somebody", extractable=True),
        ]

        def script(asked: Asked) -> bytes:
            query = parse_qs(urlsplit(asked.path).query)
            offset, limit = int(query["offset"][0]), int(query["limit"][0])
            return keys(*told[offset : offset + limit])

        return script

    async def test_all_pages_come(self, there: Stage, manager: KeyProtect) -> None:
        """With what is neither asked for nor wanted left out, whatever the service tells."""
        there.script = self._script(2500)

        listed = [each.name async for each in manager.list_standard_keys("vmware_kmip_")]

        assert [f"vmware_kmip_{number}" for number in range(2500)] == listed
        queries = [parse_qs(urlsplit(each.path).query) for each in there.asked]
        assert [["0"], ["1000"], ["2000"]] == [query["offset"] for query in queries]
        assert all(
            (["true"], ["1"], ["1000"]) == (query["extractable"], query["state"], query["limit"]) for query in queries
        )
        assert all("x-kms-key-ring" not in each.headers for each in there.asked)

    async def test_one_that_moves_to_the_next_page_comes_once(self, there: Stage, manager: KeyProtect) -> None:
        """A key was made meanwhile, and stands before it."""
        first = [key(f"id-{number}", name="n", extractable=True) for number in range(1000)]
        there.script = lambda asked: keys(*first) if "offset=0" in asked.path else keys(first[-1])

        assert 1000 == len([each async for each in manager.list_standard_keys("")])

    async def test_a_key_is_found_by_its_name(self, there: Stage, manager: KeyProtect) -> None:
        """By a search, in which what only resembles it is left out."""
        there.script = lambda _: keys(
            key("a", name="name", extractable=True), key("b", name="NAME", extractable=True), key("c", name="name")
        )

        assert ["a"] == [each.identifier for each in await manager.find_standard_keys("name")]
        assert ["exact:name:name"] == parse_qs(urlsplit(there.asked[0].path).query)["search"]

    @pytest.mark.parametrize(
        "first", [error(400, "KEY_SEARCH_TOO_BROAD"), keys(incompleteSearch=True)], ids=["refused", "incomplete"]
    )
    async def test_where_there_are_too_many_to_search_all_are_looked_through(
        self, there: Stage, manager: KeyProtect, first: bytes
    ) -> None:
        told = keys(key("a", name="name", extractable=True), key("b", name="name_2", extractable=True))
        there.script = lambda asked: first if "search" in asked.path else told

        assert ["a"] == [each.identifier for each in await manager.find_standard_keys("name")]

    async def test_names_that_look_like_options_are_meant_as_they_are(self, there: Stage, manager: KeyProtect) -> None:
        there.script = lambda _: keys()
        await manager.find_standard_keys("not:name & more")

        assert ["exact:name:escape:not:name & more"] == parse_qs(urlsplit(there.asked[0].path).query)["search"]

    async def test_another_refusal_is_one(self, there: Stage, manager: KeyProtect) -> None:
        there.script = lambda _: error(403)
        with pytest.raises(KeyManagerRefused):
            await manager.find_standard_keys("name")


class TestProbe:
    """What renews a lease."""

    @staticmethod
    def _script(there: Stage, *, wrap: bytes | None = None, state: int = 1, changed: bool = False) -> None:
        def script(asked: Asked) -> bytes:
            if asked.path.endswith("/wrap") and wrap is not None:
                return wrap
            if asked.path.endswith("/wrap"):
                return answer(200, {**WRAPPED, "ciphertext": asked.json["plaintext"]})
            if asked.path.endswith("/unwrap"):
                text = "A" * 43 + "=" if changed else asked.json["ciphertext"]
                return answer(200, {"plaintext": text, "keyVersion": {"id": "v1"}})
            return keys(key(state=state))

        there.script = script

    async def test_what_it_wraps_must_come_back(self, there: Stage, manager: KeyProtect) -> None:
        self._script(there)
        await manager.probe(ROOT_KEY)
        assert ["wrap", "unwrap"] == [each.path.rpartition("/")[2] for each in there.asked]

        self._script(there, changed=True)
        with pytest.raises(KeyManagerUnavailable):
            await manager.probe(ROOT_KEY)

    async def test_an_expired_key_opens_what_it_has_wrapped_before(self, there: Stage, manager: KeyProtect) -> None:
        """On that day no machine stays without its disks."""
        self._script(there)
        await manager.probe(ROOT_KEY)
        self._script(there, wrap=error(409, "KEY_ACTION_INVALID_STATE_ERR"), state=3)
        await manager.probe(ROOT_KEY)

        assert ["wrap", "unwrap", "wrap", "unwrap"] == [each.path.rpartition("/")[2] for each in there.asked]

    async def test_without_anything_to_open_its_state_counts(self, there: Stage, manager: KeyProtect) -> None:
        """3 is expired, and unwraps; 2 is disabled."""
        self._script(there, wrap=error(400, "KEY_EXPIRED_ERR"), state=3)
        await manager.probe(ROOT_KEY)
        self._script(there, wrap=error(409, "KEY_ACTION_INVALID_STATE_ERR"), state=2)
        with pytest.raises(KeyManagerRefused) as caught:
            await manager.probe(ROOT_KEY)
        assert Reason.STATE is caught.value.reason

    async def test_a_disabled_key_is_refused(self, there: Stage, manager: KeyProtect) -> None:
        """Though it has wrapped something before."""
        self._script(there)
        await manager.probe(ROOT_KEY)
        there.script = lambda _: error(409, "KEY_ACTION_INVALID_STATE_ERR")
        with pytest.raises(KeyManagerRefused):
            await manager.probe(ROOT_KEY)


class TestHpcs:
    """Whether it binds is found out, once for each root key."""

    @pytest.mark.parametrize(("binding", "binds"), [("keeps", True), ("ignores", False), ("refuses", False)])
    async def test_binding_is_found_out_once(self, there: Stage, binding: str, binds: bool) -> None:
        seen: dict[str, object] = {}

        def script(asked: Asked) -> bytes:
            told = asked.json
            if binding == "refuses" and "aad" in told:
                return error(400, "BAD_BODY_ERR", 'json: unknown field "aad"')
            if asked.path.endswith("/wrap"):
                seen["bound"] = told.get("aad")
                return answer(200, {**WRAPPED, "ciphertext": told["plaintext"]})
            if binding == "keeps" and told.get("aad") != seen["bound"]:
                return error(422, "UNPROCESSABLE_CIPHERTEXT_ERR")
            return answer(200, {"plaintext": told["ciphertext"], "keyVersion": {"id": "v1"}})

        there.script = script
        manager = Hpcs(there.settings())

        assert binds is await manager.binds(ROOT_KEY)
        asked = len(there.asked)
        assert binds is await manager.binds(ROOT_KEY)
        assert asked == len(there.asked)
        await manager.close()

    async def test_who_says_nothing_has_not_said_no(self, there: Stage) -> None:
        """Else blobs would be made that are not bound, for a moment's weakness."""
        there.script = lambda _: error(503)
        manager = Hpcs(there.settings())
        with pytest.raises(KeyManagerUnavailable):
            await manager.binds(ROOT_KEY)
        there.script = lambda _: error(409, "KEY_ACTION_INVALID_STATE_ERR")
        with pytest.raises(KeyManagerRefused):
            await manager.binds(ROOT_KEY)
        await manager.close()

    async def test_root_keys_are_made_in_the_default_key_ring(self, there: Stage) -> None:
        """KMIP's must lie there, wherever standard keys do."""
        there.script = lambda _: answer(201, {"resources": [key()]})
        made = [Hpcs(there.settings(key_ring="vmware")), there.adapter(key_ring="vmware")]
        for manager in made:
            await manager.create_root_key("root")
            await manager.close()

        assert ["default", "vmware"] == [each.headers["x-kms-key-ring"] for each in there.asked]


async def test_a_new_root_key_is_described_where_not_all_is_told(there: Stage, manager: KeyProtect) -> None:
    """Its version is needed."""
    there.script = lambda asked: (
        answer(201, {"resources": [{"id": ROOT_KEY, "state": 1, "extractable": False}]})
        if asked.method == "POST"
        else keys(key())
    )

    assert "v1" == (await manager.create_root_key("root")).version


def test_powers(there: Stage) -> None:
    """What each says that it can."""
    plain, hpcs = there.adapter(), Hpcs(there.settings())

    for power in (RootKeyAdministration, ImportsRootKeys, TellsCondition, ChecksItself):
        assert isinstance(plain, power)
        assert isinstance(hpcs, power)
    assert not isinstance(plain, TellsBinding)
    assert isinstance(hpcs, TellsBinding)
    assert not isinstance(plain, TellsWithdrawals)


@pytest.mark.parametrize(
    "changes", [{"url": "http://plain.example.com"}, {"proxy": "https://x:1"}, {"url": "nonsense"}]
)
def test_an_address_that_is_none_is_refused_at_once(there: Stage, changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="must be"):
        there.adapter(**changes)


def test_a_bundle_that_is_none_is_refused_at_once(there: Stage, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="certificates"):
        there.adapter(ca_bundle=tmp_path / "missing.pem")


class TestAddresses:
    """Where IBM has its instances."""

    @pytest.mark.parametrize(
        ("kind", "network", "url"),
        [
            ("key_protect", "public", "https://eu-de.kms.cloud.ibm.com"),
            ("key_protect", "private", "https://private.eu-de.kms.cloud.ibm.com"),
            ("dedicated", "public", "https://i.api.eu-de.kms.appdomain.cloud"),
            ("hpcs", "public", "https://i.api.eu-de.hs-crypto.appdomain.cloud"),
            ("hpcs", "private", "https://i.api.private.eu-de.hs-crypto.appdomain.cloud"),
        ],
    )
    def test_an_address_follows_from_the_region(self, kind: str, network: str, url: str) -> None:
        assert url == url_of(kind, region="eu-de", network=network, instance="i")

    @pytest.mark.parametrize(
        ("kind", "region", "network"),
        [
            ("kms", "eu-de", "public"),
            ("hpcs", "eu-de", "public"),
            ("hpcs", "au-syd", "public"),
            ("hpcs", "eu-de", "vpe"),
        ],
    )
    def test_what_there_is_not_is_refused_with_what_there_is(self, kind: str, region: str, network: str) -> None:
        with pytest.raises(ValueError, match=r"eu-de|key_protect|private|identifier"):
            url_of(kind, region=region, network=network)

    @pytest.mark.parametrize(
        "url", ["http://h", "https://", "https://u:p@h", "https://h/path", "https://h?q", "https://h:99999", "h:443"]
    )
    def test_what_is_no_origin(self, url: str) -> None:
        with pytest.raises(ValueError, match="must be https"):
            Origin.of(url)

    def test_origins(self) -> None:
        assert [("h", 443), ("h", 8443), ("::1", 443)] == [
            (told.host, told.port) for told in map(Origin.of, ("https://h/", "https://h:8443", "https://[::1]"))
        ]


async def test_several_loops_may_use_one_after_the_other(there: Stage, manager: KeyProtect) -> None:
    """Commands run one loop each."""
    there.script = lambda _: keys(key())
    await manager.describe_root_key(ROOT_KEY)
    told: list[int] = []
    thread = threading.Thread(target=lambda: told.append(asyncio.run(manager.describe_root_key(ROOT_KEY)).state))
    thread.start()
    await asyncio.to_thread(thread.join)

    assert ([1], 1, 1) == (told, there.connections - 1, len(there.logins))


def test_settings_print_no_secret(there: Stage) -> None:
    """They hold paths alone."""
    assert "an API key" not in repr(there.settings())
