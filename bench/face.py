"""The REST face of a running ``keyrack key-manager serve``, beside a bare one with canned answers of the same size."""

import base64
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.https_load import Connection, Target, context_of, load
from bench.in_process import SIZE
from bench.measured import Case, Thing, children

from keyrack.embedded import creation
from keyrack.embedded.call import KEYRACK, Call
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.testing.key_manager_process import KeyManagerProcess, key_manager_process
from keyrack.testing.key_protect import GRANT_TYPE, new_api_key

CALLERS = 16
"""Service IDs that take turns: the face bounds what one of them may ask in a second."""
CONNECTIONS = (1, 16)
LISTED = 200
EXCHANGES = 45
"""Tokens that one address may have at once, and some to spare."""
KEY = "application/vnd.ibm.kms.key+json"
BARE = "FastAPI with a canned answer"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it is repeated, but for the token that it shows."""

    word: str
    method: str
    path: str
    body: bytes = b""
    status: bytes = b"200"
    media: str = "application/json"
    connections: tuple[int, ...] = CONNECTIONS
    most: int = 10**9

    def written(self, headers: Mapping[str, str]) -> bytes:
        """As HTTP."""
        told = {"Host": "127.0.0.1", **headers, "Content-Type": self.media, "Content-Length": str(len(self.body))}
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class Keyrack:
    """The running key manager, with callers, a root key, a standard key and others to list."""

    def __init__(self, served: KeyManagerProcess, process: int, house: House) -> None:
        self.target = Target(served.address.port, process, context_of(served.address.authority))
        self._instance = served.instance
        self._api_keys = [new_api_key(house, Role.MANAGER, instance=served.instance) for _ in range(CALLERS)]
        connection = Connection(self.target)
        self._tokens = [json.loads(connection.ask(self.exchange.written({}), b"200"))["access_token"]]
        call = Call(caller=KEYRACK, instance=served.instance)
        self._root_key = creation.create(house, call, creation.NewKey(name="root key", extractable=False)).identifier
        put = [(f"vmware_kmip_{number:08d}", os.urandom(SIZE)) for number in range(LISTED)]
        self._standard_key = creation.put_standard_keys(house, call, put)[0]
        for api_key in self._api_keys[1:]:
            token = connection.ask(_exchange(api_key).written({}), b"200")
            self._tokens.append(json.loads(token)["access_token"])
        connection.close()

    @property
    def exchange(self) -> Asked:
        """An API key for a token."""
        return _exchange(self._api_keys[0])

    def requests(self, asked: Asked, number: int) -> Iterator[bytes]:
        """A request again and again, of one caller after the other, without end."""
        own = [asked.written(self._headers(token)) for token in self._tokens]
        return itertools.cycle(own[number % CALLERS :] + own[: number % CALLERS])

    def answer(self, asked: Asked) -> bytes:
        """What is answered."""
        connection = Connection(self.target)
        try:
            return connection.ask(next(self.requests(asked, 0)), asked.status)
        finally:
            connection.close()

    def all_asked(self) -> list[Asked]:
        """What is measured."""
        root_key, standard_key = f"/api/v2/keys/{self._root_key}", f"/api/v2/keys/{self._standard_key}"
        plain = {"plaintext": base64.b64encode(os.urandom(SIZE)).decode()}
        wrap = Asked("wrap", "POST", f"{root_key}/actions/wrap", json.dumps(plain).encode())
        wrapped = {"ciphertext": json.loads(self.answer(wrap))["ciphertext"]}
        resource = {"type": KEY, "name": "a key", "extractable": True, "payload": plain["plaintext"]}
        told = {"metadata": {"collectionType": KEY, "collectionTotal": 1}, "resources": [resource]}
        return [
            wrap,
            Asked("unwrap", "POST", f"{root_key}/actions/unwrap", json.dumps(wrapped).encode()),
            Asked("get a standard key", "GET", standard_key),
            Asked("create a standard key", "POST", "/api/v2/keys", json.dumps(told).encode(), b"201", KEY),
            Asked(f"list {LISTED} keys", "GET", f"/api/v2/keys?limit={LISTED}", connections=(1,)),
            self.exchange,
        ]

    def _headers(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}", "Bluemix-Instance": self._instance}


def cases(work: Path, stack: ExitStack) -> list[Case]:
    """One for each request."""
    directory = work / "face"
    before = children()
    served = stack.enter_context(key_manager_process(directory))
    (process,) = children() - before
    house = House.open(directory / "keystore", KeyFile(directory / "keystore.key"))
    try:
        keyrack = Keyrack(served, process, house)
    finally:
        house.close()
    all_asked = keyrack.all_asked()
    answers = [
        (asked.method, asked.path.partition("?")[0], int(asked.status), keyrack.answer(asked).decode())
        for asked in all_asked
    ]
    bare = stack.enter_context(_bare(directory, answers, keyrack.target))
    return [_case(asked, keyrack, bare) for asked in all_asked]


def _case(asked: Asked, keyrack: Keyrack, bare: Target) -> Case:
    things, against = [], {}
    for connections in asked.connections:
        suffix = f"{connections} connection{'s' if connections > 1 else ''}"
        for name, target in ((f"{BARE}, {suffix}", bare), (f"Keyrack, {suffix}", keyrack.target)):
            run = partial(load, target, partial(keyrack.requests, asked), asked.status, connections, most=asked.most)
            things.append(Thing(name, run, partial(_process_of, target)))
        against[f"Keyrack, {suffix}"] = (f"{BARE}, {suffix}",)
    return Case(f"REST: {asked.word}", things, against)


def _process_of(target: Target) -> Sequence[int]:
    return (target.process,)


def _exchange(api_key: str) -> Asked:
    form = f"grant_type={GRANT_TYPE}&apikey={api_key}".encode()
    media = "application/x-www-form-urlencoded"
    return Asked("token exchange", "POST", "/identity/token", form, media=media, most=EXCHANGES)


@contextmanager
def _bare(directory: Path, answers: Sequence[tuple[str, str, int, str]], beside: Target) -> Iterator[Target]:
    told = directory / "answers.json"
    told.write_text(json.dumps(answers))
    pair = [str(directory / "tls" / f"server.{end}") for end in ("pem", "key")]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.bare_face", *pair, str(told)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield Target(int(process.stdout.readline()), process.pid, beside.context)
    finally:
        process.terminate()
        process.wait(15)
        process.stdout.close()
