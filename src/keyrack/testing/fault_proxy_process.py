"""The fault proxy in a process of its own, so that a measurement does not share its thread.

``python -m keyrack.testing.fault_proxy_process HOST PORT AUTHORITY DIRECTORY``: a line of JSON for each order on
standard input, one for each answer on standard output; the first line told is the port.
"""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from keyrack.testing.fault_proxy_rules import Rule, Seen
from keyrack.testing.fault_proxy_serving import Proxy
from keyrack.testing.key_protect import Address

END_WITHIN: Final = 15.0
LONGEST_ORDER: Final = 2**20


class _Process:
    """The orders to a proxy."""

    def __init__(self, process: "subprocess.Popen[str]", directory: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._orders, self._answers = process.stdin, process.stdout
        port = json.loads(self._answers.readline())
        self.address = Address("127.0.0.1", port, directory / "fault-proxy-authority.pem")

    def set(self, *rules: Rule) -> None:
        self._do("set", [rule.told() for rule in rules])

    def seen(self) -> Sequence[Seen]:
        return tuple(Seen.read(each) for each in self._do("seen"))

    def forget(self) -> None:
        self._do("forget")

    def _do(self, act: str, given: Any = None) -> Any:
        self._orders.write(json.dumps([act, given]) + "\n")
        self._orders.flush()
        return json.loads(self._answers.readline())


@contextmanager
def fault_proxy_process(target: Address, directory: Path) -> Iterator[_Process]:
    """A proxy in front of ``target`` as long as the block lasts; see ``fault_proxy.FaultProxy``."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, target.host, str(target.port), str(target.authority), str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield _Process(process, directory)
    finally:
        # The end of its input tells it to go.
        try:
            process.communicate(timeout=END_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


async def _serve(target: Address, directory: Path) -> None:
    orders = asyncio.StreamReader(limit=LONGEST_ORDER)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with Proxy(target, directory, random.random) as proxy:
        _tell(proxy.address.port)
        while line := await orders.readline():
            act, given = json.loads(line)
            _tell(_obeyed(proxy, act, given))


def _obeyed(proxy: Proxy, act: str, given: Any) -> Any:
    if act == "set":
        proxy.set([Rule.read(each) for each in given])
    elif act == "forget":
        proxy.seen.clear()
    elif act == "seen":
        return [asdict(each) for each in proxy.seen.values()]
    return None


def _tell(answer: Any) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201 - the answer to the order


if __name__ == "__main__":
    _host, _port, _authority, _directory = sys.argv[1:]
    asyncio.run(_serve(Address(_host, int(_port), Path(_authority)), Path(_directory)))
