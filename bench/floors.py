"""What no key manager can do without, as bare as Python has it: one encipherment, one row read, one row kept."""

import os
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.measured import Spent, Thing, again
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

_BATCH = 100
"""Acts of a few microseconds go by the hundred: to look at the clock after each would cost as much as they do."""


def encipherment(name: str, size: int) -> Thing:
    """AES-256-GCM of ``size`` bytes with a new nonce, and nothing around it."""
    cipher, plaintext, bound = AESGCM(os.urandom(32)), os.urandom(size), os.urandom(60)
    return Thing(name, _batches(lambda: cipher.encrypt(os.urandom(12), plaintext, bound)))


def row(name: str, database: Path, table: str = "keys") -> Thing:
    """One row by its primary key, in a statement of its own."""
    connection = sqlite3.connect(database, isolation_level=None)
    (identifier,) = connection.execute(f"SELECT id FROM {table} LIMIT 1").fetchone()
    told = f"SELECT id, revision, record, mac FROM {table} WHERE id = ?"
    return Thing(name, _batches(lambda: connection.execute(told, (identifier,)).fetchone()))


def page(name: str, database: Path, rows: int) -> Thing:
    """So many rows in the order of an index."""
    connection = sqlite3.connect(database, isolation_level=None)
    told = "SELECT id, revision, record, mac FROM keys ORDER BY id LIMIT ?"
    return Thing(name, partial(again, lambda: connection.execute(told, (rows,)).fetchall()))


def durable_row(name: str, database: Path) -> Thing:
    """One row in a transaction that is synced: what a journal that is written first costs at least."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE journal (number INTEGER PRIMARY KEY, text TEXT)")
    text = "x" * 300
    return Thing(name, partial(again, lambda: connection.execute("INSERT INTO journal (text) VALUES (?)", (text,))))


def signature(name: str, bits: int) -> Thing:
    """One RSA signature with SHA-256."""
    key, told = generate_private_key(public_exponent=65537, key_size=bits), os.urandom(500)
    return Thing(name, partial(again, lambda: key.sign(told, PKCS1v15(), SHA256())))


def _batches(act: Callable[[], object]) -> Callable[[float], Spent]:
    def hundred() -> None:
        for _ in range(_BATCH):
            act()

    return partial(again, hundred, each=_BATCH)
