"""The frame of the administration API, with the nouns that are there."""

from pathlib import Path

from keyrack.domain.rights import Grant, Role
from keyrack.testing.rest import open_face


async def test_instances_are_listed_in_pages(tmp_path: Path) -> None:
    async with open_face(tmp_path) as face:
        mara = await face.person("mara", Grant(Role.VIEWER))
        for name in ("b", "a", "c"):
            await face.instance(name)
        first = await face.ask("GET", "/api/v1/instances?limit=2", mara)
        assert first.status == 200, first.body
        assert [each["name"] for each in first.json()["items"]] == ["a", "b"]
        rest = await face.ask("GET", f"/api/v1/instances?limit=2&cursor={first.json()['next']}", mara)
        assert [each["name"] for each in rest.json()["items"]] == ["c"]
        assert rest.json()["next"] is None


async def test_foreign_and_absent_answer_alike(tmp_path: Path) -> None:
    async with open_face(tmp_path) as face:
        mine, other = await face.instance("mine"), await face.instance("other")
        mara = await face.person("mara", Grant(Role.ADMINISTRATOR, mine.identifier))
        assert (await face.ask("GET", "/api/v1/instances/mine", mara)).status == 200
        answers = [
            await face.ask("GET", f"/api/v1/instances/{name}", mara) for name in (other.identifier, "other", "nobody")
        ]
        assert {each.status for each in answers} == {404}
        assert len({each.body for each in answers}) == 1
        assert [each["name"] for each in (await face.ask("GET", "/api/v1/instances", mara)).json()["items"]] == ["mine"]


async def test_nobody_gets_in_without_a_token(tmp_path: Path) -> None:
    async with open_face(tmp_path) as face:
        for token in (None, "krk_nobody", "x" * 300):
            answer = await face.ask("GET", "/api/v1/instances", token)
            assert (answer.status, answer.code) == (401, "unauthenticated"), answer.body
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["content-type"] == "application/problem+json"
