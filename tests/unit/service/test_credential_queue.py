"""Passwords of KMIP clients while one instance's certificates, any number of them, show wrong ones."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.domain.errors import AuthenticationNotSuccessful, GeneralFailure
from keyrack.domain.instances import Credential, Principal
from keyrack.service import credentials as module
from keyrack.service.credentials import OF_ONE_INSTANCE, Credentials
from keyrack.service.people.passwords import Passwords, normal
from keyrack.service.sessions import Session
from keyrack.testing.house import memory_house
from keyrack.testing.people import CHEAP
from keyrack.wire.credentials import UsernameAndPassword


def shown(password: str) -> UsernameAndPassword:
    return UsernameAndPassword(username="vSphere", password=bytearray(password.encode()))


async def test_one_instance_leaves_room_for_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority lets in as many certificates as it signs; those of others still find a place in the queue."""
    monkeypatch.setattr(module, "REMEMBERED", 8)
    passwords, house = Passwords(CHEAP), memory_house()
    instance = await house.admit("a")
    right = Credential(username="vSphere", password=await passwords.encoded(normal("correct horse")), required=True)
    credentials = Credentials(passwords)

    def session(number: int, of: str) -> Session:
        principal = Principal(fingerprint=f"{number:064x}", instance=of)
        return Session(principal=principal, instance=replace(instance, identifier=of), initiator="x")

    guesses = [credentials._prove(session(n, "eve"), right, shown(f"guess {n}")) for n in range(40)]
    guessing = asyncio.gather(*guesses, return_exceptions=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert 0 < passwords._under_way <= OF_ONE_INSTANCE
    await credentials._prove(session(99, "anna"), right, shown("correct horse"))

    outcomes = await guessing
    assert {type(each) for each in outcomes} == {AuthenticationNotSuccessful, GeneralFailure}
    assert len(credentials._attempts) <= 8
    house.vault.close()
