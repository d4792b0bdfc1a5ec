"""Ways in a process of their own, so that those who ask share no thread with them.

``python -m keyrack.testing.clusters.ways``: a line of JSON for each order on standard input, one for each answer on
standard output. Its input's end ends it.
"""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from keyrack.testing.clusters.way import State, Way

END_WITHIN: Final = 10.0
Address = tuple[str, int]


class Ways:
    """The orders to that process; any thread may give some."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Talk to ``process``; :func:`ways` starts it."""
        assert process.stdin is not None
        assert process.stdout is not None
        self._orders, self._answers = process.stdin, process.stdout
        self._turn = threading.Lock()

    def add(self, name: str, target: Address) -> Address:
        """A way to ``target``; where it begins."""
        return "127.0.0.1", int(self._do("add", name, list(target)))

    def become(self, state: State, *names: str) -> None:
        """Change these ways, all of them between two bytes."""
        for name in names:
            self._do("become", name, state.value)

    @contextmanager
    def being(self, state: State, *names: str) -> Iterator[None]:
        """Change them as long as the block lasts."""
        self.become(state, *names)
        try:
            yield
        finally:
            self.become(State.OPEN, *names)

    def _do(self, act: str, name: str, given: Any) -> Any:
        with self._turn:
            self._orders.write(json.dumps([act, name, given]) + "\n")
            self._orders.flush()
            return json.loads(self._answers.readline())


@contextmanager
def ways() -> Iterator[Ways]:
    """The process, as long as the block lasts."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Ways(process)
    finally:
        try:
            process.communicate(timeout=END_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


async def _serve() -> None:
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    held: dict[str, Way] = {}
    while line := await orders.readline():
        act, name, given = json.loads(line)
        answer = None
        if act == "add":
            held[name] = Way((given[0], given[1]))
            await held[name].open()
            answer = held[name].port
        else:
            await held[name].become(State(given))
        print(json.dumps(answer), flush=True)  # noqa: T201 - the answer to the order
    for each in held.values():
        await each.close()


if __name__ == "__main__":
    asyncio.run(_serve())
