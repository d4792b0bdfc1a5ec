"""What the page "Connect a vCenter" ticks off, counts, explains and tells to enter; without a browser."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.domain.instances import SeenCertificate
from keyrack.domain.journal import Entry
from keyrack.ports.catalog import Unit
from keyrack.ports.cluster import Node
from keyrack.service.office.connecting import Event, Progress
from keyrack.shell.config.whole import Config, load
from keyrack.shell.console.rooms.connecting_place import places_of
from keyrack.shell.console.rooms.connecting_ticks import (
    MOST,
    Counted,
    Refusal,
    State,
    Step,
    Tick,
    Watch,
    Watches,
    counted,
    explained,
    ticks_of,
)
from keyrack.testing.certificate_pages import Place, pages_of_certificates, text_of
from keyrack.testing.certificates import client

START = Progress(number=0, at=1000)
ASKED = Event(action="Discover Versions", at=1001, address="10.1.2.3", fingerprint="a" * 64, target="")
MADE = replace(ASKED, action="Create", target="key-1")


def states(ticks: "tuple[Tick, ...] | list[Tick]") -> list[State]:
    """In their order."""
    return [each.state for each in ticks]


def knocker(at: int = 1001) -> SeenCertificate:
    """Who is not trusted."""
    return SeenCertificate(
        fingerprint="b" * 64,
        der=b"",
        subject="CN=vc",
        address="10.9.9.9",
        reason="certificate not trusted",
        first_at=at,
        last_at=at,
        count=1,
    )


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with pages_of_certificates(tmp_path) as made:
        yield made


def test_steps_are_ticked_as_they_come() -> None:
    """From nothing to the first key that was fetched."""
    done, waits, trouble = State.DONE, State.WAITS, State.TROUBLE
    nothing = ticks_of(START, (), 0, trusted=1)
    probe = ticks_of(START, (), 2, trusted=1)
    untrusted = ticks_of(START, (), 2, trusted=0)
    knocked = ticks_of(START, (knocker(),), 0, trusted=1)
    asked = ticks_of(replace(START, asked=ASKED), (), 3, trusted=1)
    made = ticks_of(replace(START, asked=ASKED, made=MADE), (knocker(),), 3, trusted=1)

    assert states(list(nothing)) == [waits] * 5
    assert states(list(probe)) == [done, waits, waits, waits, waits]
    assert states(list(untrusted)) == [done, trouble, waits, waits, waits]
    assert states(list(knocked)) == [done, trouble, waits, waits, waits]
    assert (knocked[0].event is not None and knocked[0].event.address) == "10.9.9.9"
    assert states(list(asked)) == [done, done, done, waits, waits]
    assert states(list(made)) == [done, done, done, done, waits]
    assert [each.step for each in made] == list(Step)


def test_what_listeners_count_is_read_and_compared() -> None:
    """Over all processes; one that began anew counts from nothing."""
    text = """# TYPE keyrack_connections_accepted counter
keyrack_connections_accepted_total{process="kmip-0"} 12.0
keyrack_connections_accepted_total{process="kmip-1"} 3.0
keyrack_handshakes_total{outcome="established",process="kmip-0",reason=""} 9.0
keyrack_handshakes_total{outcome="refused",process="kmip-0",reason="no certificate"} 2.0
keyrack_handshakes_total{outcome="refused",process="kmip-1",reason="a \\"quoted\\" one"} 1.0
keyrack_requests_total{kmip_instance="x",operation="Get",outcome="success",process="kmip-0"} 5.0
"""
    now = counted(text)

    assert now == Counted(accepted=15, refused={"no certificate": 2, 'a \\"quoted\\" one': 1})
    assert now.since(Counted(accepted=10, refused={"no certificate": 2})) == Counted(
        accepted=5, refused={'a \\"quoted\\" one': 1}
    )
    assert now.since(Counted(accepted=100)).accepted == 0


@pytest.mark.parametrize(
    ("why", "meaning"),
    [
        ("no certificate", Refusal.NO_CERTIFICATE),
        ("unsupported protocol", Refusal.VERSION),
        ("no shared cipher", Refusal.SUITES),
        ("tlsv1 alert unknown ca", Refusal.TURNED_AWAY),
        ("certificate not trusted", Refusal.NOT_TRUSTED),
        ("http request", Refusal.NO_TLS),
        ("certificate expired or not yet valid", Refusal.EXPIRED),
        ("the moon", Refusal.OTHER),
    ],
)
def test_refusals_are_explained(why: str, meaning: Refusal) -> None:
    """By what OpenSSL or the listener says."""
    assert explained({why: 3}) == {meaning: 3}


def test_only_so_many_pages_are_followed() -> None:
    """The oldest begins anew."""
    watches = Watches()
    for number in range(MOST + 1):
        watches.put((str(number), "", ""), Watch(START))
    assert watches.get(("0", "", "")) is None
    assert watches.get((str(MOST), "", "")) is not None


def config_at(directory: Path, host: str) -> Config:
    """Of a deployment that listens there."""
    (directory / "keyrack.toml").write_text(
        f'[deployment]\nid = "d"\nnode = "node-1"\ndirectory = "{directory}"\n[kmip]\nhost = "{host}"\n'
        '[key_managers.embedded]\ntype = "embedded"\nkeystore = "k"\nunlock = { key_file = "k.key" }\n'
    )
    return load(directory / "keyrack.toml")


def test_addresses_to_enter(tmp_path: Path) -> None:
    """Of all nodes; of a machine that listens everywhere by the names in its certificate; its own alone is told."""
    names = ("localhost", "kms1.example.com", "192.0.2.5")
    node = Node(name="node-2", token="t", version="1", schema=1, address="kms2:5697", started_at=0, seen_at=0)
    nodes = [replace(node, name="node-1", address="kms1.example.com:5696"), node, replace(node, name="x", address="")]

    (everywhere,) = places_of(config_at(tmp_path, "0.0.0.0"), (), names)
    (alone,) = places_of(config_at(tmp_path, "127.0.0.1"), (), names)
    both = places_of(config_at(tmp_path, "0.0.0.0"), nodes, names)

    assert (everywhere.host, everywhere.port, everywhere.others, everywhere.alone) == (
        "kms1.example.com",
        5696,
        ["192.0.2.5"],
        False,
    )
    assert (alone.host, alone.alone) == ("127.0.0.1", True)
    assert [(each.name, each.host, each.port) for each in both] == [
        ("node-1", "kms1.example.com", 5696),
        ("node-2", "kms2", 5697),
    ]


async def came(place: Place, action: str, instance: str, outcome: str = "success", target: str = "") -> None:
    """A record as a serving process writes it."""
    entry = Entry(
        at=int(place.clock() * 1000),
        action=action,
        outcome=outcome,
        initiator=f"CertificateID-{client().fingerprint}",
        address="10.1.2.3:40000",
        instance=instance,
        target=target,
        detail={"cause": "the instance is sealed"} if outcome != "success" else {},
    )
    await place.face.catalog.commit(Unit(entries=(entry,)))


async def test_the_page_follows_the_journal_from_where_it_was_opened(place: Place) -> None:
    """What was before does not count; what others do is told as theirs; a refusal is told until it is over."""
    prod = place.prod.identifier
    await came(place, "Create", prod, target="long-ago")
    opened = await place.get("omar", "/connect/prod")
    address = opened.headers["location"]
    live = "/live" + address
    first = await place.get("omar", address)
    await came(place, "Query", place.other.identifier)
    elsewhere = await place.get("omar", live)
    await came(place, "Discover Versions", prod)
    await came(place, "Create", prod, outcome="Permission Denied")
    refused = await place.get("omar", live)
    await came(place, "Create", prod, target="key-1")
    await came(place, "Get", prod, target="key-1")
    done = await place.get("omar", live)

    assert (opened.status, first.status) == (303, 200)
    assert 'data-step="made" data-state="waits"' in first.body.decode()
    assert "established trust with: other" in elsewhere.body.decode()
    assert 'data-step="asked" data-state="done"' in refused.body.decode()
    assert "The last Create from 10.1.2.3 was refused: Permission Denied" in refused.body.decode()
    assert "The instance is sealed" in refused.body.decode()
    assert "established trust with" not in refused.body.decode()
    page = done.body.decode()
    assert [f'data-step="{each}" data-state="done"' in page for each in Step] == [True] * 5
    assert ("was refused" in page, f'/instances/{prod}/keys/key-1"' in page) == (False, True)


async def test_the_page_tells_what_to_enter_and_to_compare_for_each_way(place: Place) -> None:
    """With vSphere's own labels; whoever may not let clients in is not sent to a form."""
    ways = {
        "certificate": "/instances/{0}/certificates/add",
        "request": "/instances/{0}/certificates/sign",
        "pair": "/instances/{0}/certificates/issue",
        "authority": "/instances/{0}/authorities/add",
    }
    for way, link in ways.items():
        page = await place.get("adam", f"/connect/prod?way={way}&since=0-0")
        assert link.format(place.prod.identifier) in page.body.decode(), way
        assert "Make KMS trust vCenter" in text_of(page)
    viewer = await place.get("vera", "/connect/prod?since=0-0")
    strange = await place.get("adam", "/connect/prod?since=-1-x&way=<script>")

    assert "kms.example.com" in text_of(viewer)
    assert "/certificates/add" not in viewer.body.decode()
    assert (strange.status, "way=certificate" in strange.headers["location"]) == (303, True)
    assert "none was tried against a real vCenter yet" in text_of(viewer)


async def test_a_stranger_shows_with_a_way_to_trust_it(place: Place) -> None:
    """For the instance of the page, and back to it; one from before the page was opened does not show."""
    opened = (await place.get("omar", "/connect/prod")).headers["location"]
    mine = client(name="vc9.example.com")
    await place.knocks(mine)
    page = (await place.get("omar", "/live" + opened)).body.decode()
    place.clock.now += 10
    later = (await place.get("omar", "/live" + (await place.get("omar", "/connect/prod")).headers["location"])).body

    assert f"/seen/{mine.fingerprint}?instance={place.prod.identifier}&amp;next=" in page
    assert 'data-step="known" data-state="trouble"' in page
    assert b"vc9.example.com" not in later


async def test_an_instance_that_does_not_serve_is_told_of_first(place: Place) -> None:
    """Before somebody looks for the mistake in vSphere."""
    await place.face.catalog.commit(Unit(entries=(), instances=(replace(place.prod, sealed_at=1),)))
    page = await place.get("vera", "/connect/prod?since=0-0")
    assert "The instance is sealed: vCenter can connect, and gets no key." in text_of(page)
