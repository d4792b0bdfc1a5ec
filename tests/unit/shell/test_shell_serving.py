"""What must hold before a server serves."""

from typing import Any, cast

import pytest

from keyrack.service.vault.generation import UnhealthyGenerator
from keyrack.shell import serving
from keyrack.shell.config.whole import Config


def test_nobody_serves_keys_from_a_broken_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The random number generator is looked at before anything is opened, and a broken one ends the start."""

    def broken() -> None:
        raise UnhealthyGenerator("the random number generator repeats itself: make no keys on this machine")

    def never(*_: Any) -> None:
        raise AssertionError("it was opened all the same")

    monkeypatch.setattr(serving, "check_health", broken)
    monkeypatch.setattr(serving, "keep_memory_private", lambda: None)

    with pytest.raises(UnhealthyGenerator):
        serving.serve(cast(Config, None), never)
