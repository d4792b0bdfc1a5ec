"""A boot storm: many hosts come at once, each fetches its keys, and one node is killed in the middle of it."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PROCESSES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Whom to ask, as whom, for what."""

    endpoints: Sequence[tuple[str, int]]
    authority: Path
    identity: tuple[Path, Path]
    """Certificate and key of the client."""
    keys: Sequence[tuple[str, str]]
    """Identifiers, and the SHA-256 of the keys' bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """How it went; times in seconds."""

    gets: int
    seconds: float
    times: Sequence[float]
    """Of each Get, its retry included, in ascending order."""
    retries: int
    failures: Sequence[str]
    """Gets that failed at both endpoints, and why."""

    @property
    def rate(self) -> float:
        """Gets in a second."""
        return self.gets / self.seconds

    def quantile(self, part: float) -> float:
        """The time within which this part of all Gets was answered."""
        return self.times[min(int(len(self.times) * part), len(self.times) - 1)]

    def told(self) -> str:
        """For a person."""
        median, p99 = (f"{self.quantile(part) * 1e3:.1f} ms" for part in (0.5, 0.99))
        return (
            f"{self.gets} Gets, {self.rate:.0f}/s, median {median}, p99 {p99}, worst {self.times[-1] * 1e3:.0f} ms, "
            f"{self.retries} retries, {len(self.failures)} failures"
        )


def storm(ground: Ground, connections: int, *, times: int = 1, halfway: Callable[[], None] | None = None) -> Storm:
    """So many connections at once, each of which fetches every key so often; ``halfway`` is called in the middle."""
    children = [_Child(ground, connections // PROCESSES, times, number) for number in range(PROCESSES)]
    half = len(ground.keys) * times * connections // PROCESSES * PROCESSES // 2
    called = threading.Event()

    def heard() -> None:
        if halfway is not None and sum(each.done for each in children) >= half and not called.is_set():
            called.set()
            halfway()

    for each in children:
        each.begin()
    threads = [threading.Thread(target=each.listen, args=(heard,)) for each in children]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = [each.told for each in children]
    every = sorted(each for one in told for each in one["times"])
    return Storm(
        gets=len(every),
        seconds=max(one["ended"] for one in told) - min(one["began"] for one in told),
        times=every,
        retries=sum(one["retries"] for one in told),
        failures=[each for one in told for each in one["failures"]],
    )


class _Child:
    """One process, which is ready and waits."""

    def __init__(self, ground: Ground, connections: int, times: int, seed: int) -> None:
        self.done = 0
        self.told: dict[str, Any] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "keyrack.testing.clusters.storm_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        order = {
            "endpoints": [list(each) for each in ground.endpoints],
            "authority": str(ground.authority),
            "identity": [str(each) for each in ground.identity],
            "keys": [list(each) for each in ground.keys],
            "connections": connections,
            "times": times,
            "seed": seed,
        }
        self._say(json.dumps(order))
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def begin(self) -> None:
        self._say("")

    def listen(self, heard: Callable[[], None]) -> None:
        """Until it has told everything."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            self.done = told.get("done", self.done)
            self.told = told
            heard()
        self._process.wait()
        if "times" not in self.told:
            raise RuntimeError("a process of the storm ended early")

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
