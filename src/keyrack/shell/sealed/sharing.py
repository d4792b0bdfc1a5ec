"""Shares of a keystore as files: exported and proved, none ever overwritten, and read into memory that can be wiped."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from keyrack.domain.secret import wipe
from keyrack.embedded import files
from keyrack.embedded.errors import KeystoreError, KeystoreExists
from keyrack.embedded.root_keys import keystore as room
from keyrack.embedded.root_keys import shares
from keyrack.embedded.root_keys.keystore import Keystore
from keyrack.embedded.root_keys.shares import Share, UnusableShare
from keyrack.embedded.root_keys.unlock import Recovered


def free_paths(directory: Path, name: str, total: int) -> list[Path]:
    """Where the files of an export go; raises :class:`KeystoreExists` where one is there already."""
    paths = [directory / f"{name}-share-{number}-of-{total}.txt" for number in range(1, total + 1)]
    for path in paths:
        if path.exists():
            raise KeystoreExists(f"there is a file {path} already: name another directory")
    return paths


def write(made: Sequence[Share], paths: Sequence[Path]) -> None:
    """Write each share into a file of its own, mode 0600, in a directory that is made where it is missing.

    None is overwritten. Whatever fails, no file stays of those that were written.
    """
    written: list[Path] = []
    try:
        for share, path in zip(made, paths, strict=True):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            text = share.text()
            try:
                files.create(path, text)
            finally:
                wipe(text)
            written.append(path)
    except BaseException:
        take_back(written)
        raise


def take_back(paths: Sequence[Path]) -> None:
    """Remove shares that were written and are of no use."""
    for path in paths:
        path.unlink(missing_ok=True)


def prove(keystore: Path, paths: Sequence[Path]) -> tuple[Share, int]:
    """Open the keystore with what is in these files, changing nothing; one of the shares, and how many ways were tried.

    Where there are more shares than are needed, every choice of enough of them is tried, up to a hundred, so that each
    one proves itself. Raises ``KeystoreError``, whose text names what is wrong.
    """
    with reading(paths) as (read, _):
        check_whose(keystore, read)
        shares.combine(read).wipe()  # says what does not fit together
        tried = 0
        for chosen in shares.subsets(read):
            _prove(keystore, chosen)
            tried += 1
        return read[0], tried


def _prove(keystore: Path, chosen: Sequence[Share]) -> None:
    recovered = Recovered(shares.combine(chosen))
    try:
        Keystore.open(keystore, recovered).close()
    except KeystoreError as error:
        numbers = ", ".join(str(share.number) for share in chosen)
        raise type(error)(f"shares {numbers}: {error}") from None
    finally:
        recovered.wipe()


def recovered_from(keystore: Path, paths: Sequence[Path]) -> Recovered:
    """The key that the shares in these files give, which the caller wipes; raises ``KeystoreError``."""
    with reading(paths) as (read, _):
        check_whose(keystore, read)
        return Recovered(shares.combine(read))


def check_whose(keystore: Path, read: Sequence[Share]) -> None:
    """Return where the shares say that they are this keystore's; raises :class:`UnusableShare`."""
    identifier = room.look(keystore).identifier
    for share in read:
        if share.keystore != identifier:
            raise UnusableShare(
                f"share {share.number} is of the keystore {share.keystore}, and {keystore} is the keystore {identifier}"
            )


@contextmanager
def reading(paths: Sequence[Path]) -> Iterator[tuple[list[Share], list[bytearray]]]:
    """The shares in these files and their texts, wiped at the end; raises :class:`UnusableShare` and ``OSError``."""
    texts: list[bytearray] = []
    read: list[Share] = []
    try:
        for path in paths:
            texts.append(_text(path))
            read.append(shares.read(texts[-1], str(path)))
        yield read, texts
    finally:
        for share in read:
            share.body.wipe()
        for text in texts:
            wipe(text)


def _text(path: Path) -> bytearray:
    """A file, whole; one that is no share is read no further than a share is long."""
    content = bytearray(shares.LONGEST + 1)
    with open(path, "rb", buffering=0) as file:
        length = file.readinto(content)
    if length > shares.LONGEST:
        wipe(content)
        raise UnusableShare(f"{path} is not a share: it is longer than {shares.LONGEST} bytes")
    text = content[:length]
    wipe(content)
    return text
