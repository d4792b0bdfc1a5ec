"""The console's pages of certificates without a browser: who may do what through them and around them."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from keyrack.domain.rights import PROOF_LASTS, Grant, Right, Role
from keyrack.domain.rights import ROLES as HELD
from keyrack.ports.admissions import AdmissionChanges
from keyrack.ports.catalog import Unit
from keyrack.testing.catalog_values import KEY, key
from keyrack.testing.certificate_pages import (
    ADD,
    ISSUE,
    ROLES,
    SIGN,
    TRUST,
    Place,
    pages_of_certificates,
    request_of,
    seal_of,
    text_of,
    vmca,
    wrong,
)
from keyrack.testing.certificates import client
from keyrack.testing.people import PASSWORD


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with pages_of_certificates(tmp_path) as made:
        yield made


MATRIX: Final = """
act            right              adam sofia omar vera aud
add            certificate.add    yes  no    yes  no   no
sign           certificate.add    yes  no    yes  no   no
issue          certificate.add    yes  no    yes  no   no
trust-seen     certificate.add    yes  no    yes  no   no
remove         certificate.remove yes  yes   no   no   no
bar            certificate.remove yes  yes   no   no   no
unbar          certificate.add    yes  no    yes  no   no
trust          authority.change   yes  yes   no   no   no
distrust       authority.change   yes  yes   no   no   no
"""
PINNED, SEEN, ROOT, CAME = (client(name=name) for name in ("pinned", "seen", "unused", "came"))
ANCHOR = vmca()


def path_of(act: str) -> str:
    """Where its form is sent to."""
    return {
        "add": ADD,
        "sign": SIGN,
        "issue": ISSUE,
        "trust-seen": f"/seen/{SEEN.fingerprint}",
        "remove": f"/instances/prod/certificates/{PINNED.fingerprint}/remove",
        "bar": f"/instances/prod/admitted/{CAME.fingerprint}/bar",
        "unbar": f"/instances/prod/admitted/{CAME.fingerprint}/unbar",
        "trust": TRUST,
        "distrust": f"/instances/prod/authorities/{ANCHOR.fingerprint}/remove",
    }[act]


TYPED: Final[Mapping[str, Mapping[str, str]]] = {
    "add": {"pem": client(name="fresh").pem.decode()},
    "sign": {"request": request_of("fresh").decode()},
    "issue": {},
    "trust-seen": {"instance": "prod"},
    "remove": {"confirmation": "prod"},
    "bar": {"confirmation": "prod"},
    "unbar": {},
    "trust": {"pem": ANCHOR.pem.decode(), "san_pattern": "vc.*"},
    "distrust": {"confirmation": "prod"},
}


def rows_of(matrix: str) -> list[dict[str, str]]:
    """One for each act."""
    head, *lines = [line.split() for line in matrix.strip().splitlines()]
    return [dict(zip(head, line, strict=True)) for line in lines]


def test_the_matrix_is_what_the_rights_say() -> None:
    """So that it cannot be wrong by itself."""
    rights = {each.title: each for each in Right}
    for row in rows_of(MATRIX):
        for name, roles in ROLES.items():
            may = any(rights[row["right"]] in HELD[role] for role in roles)
            assert (row[name] == "yes") is may, (row["act"], name)


async def furnish(place: Place, act: str) -> None:
    """What the act needs to be there."""
    await place.pinned(place.prod, PINNED)
    await place.knocks(SEEN)
    if act == "distrust":
        await trust_anchor(place)
    if act == "unbar":
        barred = ((place.prod.identifier, CAME.fingerprint),)
        await place.face.catalog.commit(Unit(entries=(), admissions=AdmissionChanges(barred=barred)))


async def trust_anchor(place: Place) -> None:
    """Through the page, as somebody who may."""
    fields = dict(TYPED["trust"])
    preview = await place.post("adam", TRUST, **fields)
    assert (await place.post("adam", TRUST, **fields, seen=seal_of(preview))).status == 303


@pytest.mark.parametrize("row", rows_of(MATRIX), ids=lambda row: row["act"])
async def test_who_may_do_what_through_the_page_and_around_it(place: Place, row: Mapping[str, str]) -> None:
    """Each form is sent directly by everybody, those without the right first; only with it anything changes."""
    act, fields = row["act"], dict(TYPED[row["act"]])
    await furnish(place, act)
    before = (await place.trusted(), await place.face.catalog.barred())

    for name in sorted(ROLES, key=lambda name: row[name] == "yes"):
        seen = seal_of(await place.post(name, path_of(act), **fields)) if act in {"add", "sign", "trust"} else ""
        answer = await place.post(name, path_of(act), **fields, **({"seen": seen} if seen else {}))
        after = (await place.trusted(), await place.face.catalog.barred())
        if row[name] == "yes":
            assert (answer.status in {200, 303}, after != before) == (True, True), (
                name,
                answer.status,
                text_of(answer),
            )
            return
        assert (answer.status, after) == (403, before), (name, text_of(answer))


async def test_what_may_not_be_done_is_not_offered(place: Place) -> None:
    """To a viewer no button that changes anything; to an operator none that removes."""
    await place.pinned(place.prod, PINNED)
    listed = await place.get("vera", "/instances/prod/certificates")
    page = await place.get("omar", f"/instances/prod/certificates/{PINNED.fingerprint}")

    assert ("Let a client in" in text_of(listed), "/remove" in page.body.decode()) == (False, False)
    assert (await place.get("vera", "/seen")).status == 403
    for path in (ADD, SIGN, ISSUE):
        assert (await place.get("vera", path)).status == 403, path


async def test_whoever_has_one_instance_sees_no_other(place: Place) -> None:
    """Its pages are not there, and nothing of its certificates is told in a refusal."""
    await place.person("nora", Grant(Role.ADMINISTRATOR, place.other.identifier))
    await place.pinned(place.prod, PINNED)

    for path in (
        "/instances/prod/certificates",
        f"/instances/prod/certificates/{PINNED.fingerprint}",
        "/live/instances/prod/certificates",
        "/connect/prod",
        "/live/connect/prod?since=0-0",
    ):
        assert (await place.get("nora", path)).status == 404, path
    told = await place.post("nora", "/instances/other/certificates/add", pem=PINNED.pem.decode())
    assert (told.status, "prod" in wrong(told, "pem")) == (409, False)
    page = await place.get("nora", "/connect/other?since=0-0")
    assert (page.status, "You may not see certificates that are not trusted yet" in text_of(page)) == (200, True)


async def test_removing_asks_for_the_name_and_for_the_password_again(place: Place) -> None:
    """With the keys that it reaches; a wrong word and a missing one change nothing."""
    await place.pinned(place.prod, PINNED)
    await place.face.catalog.commit(Unit(entries=(), inserted=(key(KEY, place.prod.identifier),)))
    path = path_of("remove")

    asked_for = await place.post("sofia", path)
    wrong_word = await place.post("sofia", path, confirmation="dev")
    place.clock.now += PROOF_LASTS + 1
    old = await place.post("sofia", path, confirmation="prod")
    before = await place.trusted()
    proved = await place.post("sofia", path, confirmation="prod", proof=PASSWORD)

    assert (asked_for.status, "nobody reaches the 1 keys of prod" in text_of(asked_for)) == (409, True)
    assert "To confirm it, type: prod" in text_of(asked_for)
    assert (wrong_word.status, before) == (422, {PINNED.fingerprint})
    assert (old.status, 'name="proof"' in old.body.decode()) == (403, True)
    assert (proved.status, await place.trusted()) == (303, set())


async def test_one_of_two_is_removed_with_the_name_too(place: Place) -> None:
    """Another way in is left, and whoever uses this one is stopped all the same."""
    await place.pinned(place.prod, PINNED)
    await place.pinned(place.prod, SEEN)

    asked_for = await place.post("adam", path_of("remove"))
    before = len(await place.trusted())
    done = await place.post("adam", path_of("remove"), confirmation="prod")

    assert (asked_for.status, before) == (409, 2)
    assert "1 other certificate" in text_of(asked_for)
    assert (done.status, await place.trusted()) == (303, {SEEN.fingerprint})


async def test_who_knocked_is_looked_at_then_trusted_for_a_chosen_instance(place: Place) -> None:
    """And goes back to where it was asked from, on this server alone."""
    await place.knocks(SEEN)

    listed = await place.get("omar", "/seen")
    looked_at = await place.get("omar", f"/seen/{SEEN.fingerprint}?instance={place.other.identifier}&next=/connect/x")
    nowhere = await place.post("omar", f"/seen/{SEEN.fingerprint}", instance="nosuch")
    done = await place.post(
        "omar", f"/seen/{SEEN.fingerprint}", instance=place.other.identifier, next="//elsewhere.example.com/"
    )

    assert ("192.0.2.77" in text_of(listed), "Certificate not trusted" in text_of(listed)) == (True, True)
    assert f'value="{place.other.identifier}" selected' in looked_at.body.decode()
    assert 'name="next" value="/connect/x"' in looked_at.body.decode()
    assert nowhere.status == 404
    assert (done.status, done.headers["location"]) == (303, "/?done=seen-trusted")
    (kept_now,) = await place.face.catalog.certificates()
    assert (kept_now.fingerprint, kept_now.instance) == (SEEN.fingerprint, place.other.identifier)
