"""Duties of a process: what fails is begun again and told of, without its text; what watches files sees pairs whole."""

import asyncio
import logging
from pathlib import Path

import pytest

from keyrack.shell import duties, watched_files
from keyrack.shell.duties import kept
from keyrack.shell.watched_files import watch_files


async def test_a_duty_that_fails_is_begun_again_and_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not what it says: that may hold what came in."""
    monkeypatch.setattr(duties, "SHORTEST_PAUSE", 0.001)
    begun = []

    async def watch() -> None:
        begun.append(1)
        if len(begun) < 4:
            raise ZeroDivisionError("the text of a secret")

    with caplog.at_level(logging.ERROR):
        await asyncio.wait_for(kept(watch), 5)

    assert 4 == len(begun)
    told = [vars(record) for record in caplog.records]
    assert ["ZeroDivisionError"] * 3 == [each["error"] for each in told]
    assert all("watch" in each["duty"] and "duties.py" in str(each["trace"]) for each in told)
    assert [0.001, 0.002, 0.004] == [each["seconds"] for each in told]
    assert "the text of a secret" not in str(told)


async def test_a_duty_is_ended_with_its_process() -> None:
    task = asyncio.create_task(kept(asyncio.Event().wait))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    certificate.write_text("one")
    key.write_text("one")
    return certificate, key


async def test_a_half_written_pair_is_looked_at_again_until_it_is_whole(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two files cannot be replaced at one moment. One that stays of no use is told of once."""
    monkeypatch.setattr(watched_files, "EVERY", 0.001)
    certificate, key = pair
    shown = asyncio.Queue[str]()
    tried = asyncio.Queue[str]()

    def reload() -> None:
        found = certificate.read_text()
        tried.put_nowait(found)
        if found != key.read_text():
            raise ValueError("they do not belong together")
        shown.put_nowait(found)

    watching = asyncio.create_task(watch_files(pair, reload, ValueError))
    async with asyncio.timeout(10):
        await asyncio.sleep(0.01)
        certificate.write_text("the second")
        assert "the second" == await tried.get()
        key.write_text("the second")
        assert "the second" == await shown.get()
        certificate.write_text("the third one")
        while not caplog.records:
            await asyncio.sleep(0.01)
        looks = tried.qsize()
        await asyncio.sleep(0.05)
    watching.cancel()

    (told,) = caplog.records
    assert "they do not belong together" in told.getMessage()
    assert (looks, True) == (tried.qsize(), shown.empty())
