"""What people were asked for at a start: once, before the processes of a server part, and kept as keys alone."""

import logging
from typing import Self

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import KeystoreError, KeystoreLocked
from keyrack.embedded.root_keys.unlock import Recovered
from keyrack.shell.config.problems import ConfigError, Problem
from keyrack.shell.config.whole import Config
from keyrack.shell.sealed.openers import AskPassphrase, Question, exchanged, questions
from keyrack.shell.sealed.unsealing import SOCKET, Unsealing, sealed_of
from keyrack.shell.service_manager import notify

log = logging.getLogger(__name__)

SEALED = "sealed; waiting for 'keyrack unseal'"


class AskedOnce:
    """Answers each question as it was answered first, with the key of the keystore instead of a passphrase.

    A worker that is started again opens its keystores with it, and no passphrase stays in memory.
    """

    def __init__(self, ask: AskPassphrase | None) -> None:
        """Ask with ``ask``, where anybody can be asked."""
        self._ask = ask
        self._keys: dict[str, Recovered] = {}

    def __call__(self, question: Question) -> Recovered:
        """The key; a copy of its own, for the caller to wipe. Raises ``KeystoreError``."""
        if question.key_manager not in self._keys:
            if self._ask is None:
                raise KeystoreLocked("it opens with a passphrase, and nobody is at a terminal to be asked")
            self._keys[question.key_manager] = exchanged(question.keystore, self._ask(question))
        return Recovered(Secret(bytearray(self._keys[question.key_manager].key.reveal())))

    @property
    def answers(self) -> AskPassphrase | None:
        """Itself, where it may know an answer: whoever finds nobody to ask says which one is missing."""
        return self if self._ask is not None or self._keys else None

    def unseal(self, config: Config) -> None:
        """Wait for people to open what is sealed, if anything is. Raises ``StillSealed`` when told to end before."""
        waiting = sealed_of(config)
        if not waiting:
            return
        place = config.run_directory / SOCKET
        unsealing = Unsealing(place, waiting)
        log.warning(SEALED, extra={"socket": str(place)})
        notify(f"READY=1\nSTATUS={SEALED}")
        try:
            self._keys |= unsealing.wait()
        except OSError as error:
            raise ConfigError([_no_socket(str(place), error)]) from error
        notify("STATUS=open")

    def ask_all(self, config: Config) -> None:
        """Ask now for what would be asked later; raises :class:`ConfigError`."""
        for question in questions(config) if self._ask is not None else ():
            try:
                self(question).wipe()
            except (KeystoreError, OSError) as error:
                raise ConfigError([_does_not_open(question, error)]) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for key in self._keys.values():
            key.wipe()


def _no_socket(place: str, error: OSError) -> Problem:
    return Problem(
        where="deployment.directory",
        what=f"no socket can be made at {place}",
        why=(error.strerror or str(error)).lower(),
        instead="name a directory that the server may write to, and whose path is shorter than 90 characters",
    )


def _does_not_open(question: Question, error: Exception) -> Problem:
    return Problem(
        where=f"key_managers.{question.key_manager}",
        what="it does not open",
        why=str(error),
        instead="give the passphrase that seals it, or correct keystore or unlock there",
    )
