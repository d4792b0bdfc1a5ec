"""What was typed into the wizard so far. It stays when a step fails or somebody goes back; secrets are never shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from keyrack.domain.secret import Secret
from keyrack.ports.key_manager import RootKey
from keyrack.shell.console.first_start.tried import Tried
from keyrack.shell.console.typed import Typed
from keyrack.shell.console.words import mark
from keyrack.shell.ibm_tables import TYPES, IbmOptions


class Step(StrEnum):
    """The steps, by the last part of their addresses, in their order."""

    NAME = "name"
    DATABASE = "database"
    KEY_MANAGER = "key-manager"
    ADMINISTRATOR = "administrator"

    @property
    def called(self) -> str:
        """For the list of steps and the page's head."""
        return TITLES[self]


TITLES: Final[Mapping[Step, str]] = {
    Step.NAME: mark("Name"),
    Step.DATABASE: mark("Database"),
    Step.KEY_MANAGER: mark("Key manager"),
    Step.ADMINISTRATOR: mark("First administrator"),
}
FIELDS: Final[Mapping[Step, Sequence[str]]] = {
    Step.NAME: ("names", "deployment", "directory", "host", "port", "api_host", "api_port"),
    Step.DATABASE: ("catalog", "catalog_url"),
    Step.KEY_MANAGER: (
        *("key_manager", "protect", "passphrase_file", "hsm", "token", "pin_file"),
        *("region", "network", "kms_instance", "url", "iam_url", "key_ring", "ca_bundle", "proxy"),
        *("root_key", "instance"),
    ),
    Step.ADMINISTRATOR: ("way", "first_person"),
}
"""What is typed in each step and may be shown again."""
SECRETS: Final[Mapping[Step, Sequence[str]]] = {
    Step.NAME: (),
    Step.DATABASE: ("catalog_password",),
    Step.KEY_MANAGER: ("api_key", "passphrase"),
    Step.ADMINISTRATOR: ("password",),
}
"""What is typed in each step and never shown again."""
REPEATED: Final[Mapping[str, str]] = {"passphrase": "passphrase_again", "password": "password_again"}
"""Secrets that are typed twice, and the field of the second time."""
DEPENDS: Final[Mapping[Step, Sequence[Step]]] = {Step.NAME: (Step.DATABASE,)}
"""Steps to be tried again after another one was changed: the catalog lies in the directory."""


@dataclass(slots=True)
class Draft:
    """Everything that was typed."""

    given: Mapping[str, str]
    """What stands in the fields before anything was typed."""
    texts: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict, repr=False)
    differ: set[str] = field(default_factory=set)
    """Secrets whose second time was another."""
    tried: dict[Step, Sequence[Tried]] = field(default_factory=dict)
    """What the last trial of each step has come to."""
    passed: set[Step] = field(default_factory=set)
    root_keys: Sequence[RootKey] = ()
    """Those of the key manager at IBM, as it listed them last."""

    def __getitem__(self, name: str) -> str:
        return self.texts.get(name, self.given.get(name, ""))

    def keep(self, step: Step, typed: Typed) -> None:
        """Take what was typed in a step; what is new has to be tried again."""
        before = [self[name] for name in FIELDS[step]]
        self.texts |= {name: typed.get(name) for name in FIELDS[step] if name in typed}
        if [self[name] for name in FIELDS[step]] != before:
            self._forget(step)
        for name in SECRETS[step]:
            self._keep_secret(step, name, typed)

    def _keep_secret(self, step: Step, name: str, typed: Typed) -> None:
        if not (told := typed.raw(name)) and not typed.raw(REPEATED.get(name, name)):
            return
        self._forget(step)
        if name in self.secrets:
            self.secrets.pop(name).wipe()
        self.differ.discard(name)
        if name in REPEATED and told != typed.raw(REPEATED[name]):
            self.differ.add(name)
            return
        self.secrets[name] = Secret(bytearray(told.encode(errors="surrogatepass")))

    def _forget(self, step: Step) -> None:
        for each in (step, *DEPENDS.get(step, ())):
            self.passed.discard(each)
            self.tried.pop(each, None)

    def copy_of(self, name: str, *, line: bool = False) -> Secret | None:
        """A copy of a secret, for whoever wipes it; as a ``line`` of a file where one is wanted."""
        held = self.secrets.get(name)
        return None if held is None else Secret(bytearray(held.reveal() + (b"\n" if line else b"")))

    @property
    def next(self) -> Step | None:
        """The first step that has not passed; ``None``: all have."""
        return next((each for each in Step if each not in self.passed), None)

    def reached(self, step: Step) -> bool:
        """Whether all steps before it have passed."""
        return all(each in self.passed for each in Step if list(Step).index(each) < list(Step).index(step))

    @property
    def directory(self) -> Path:
        """Where everything is to be kept."""
        return Path(self["directory"]).expanduser()

    @property
    def at_ibm(self) -> bool:
        """Whether root keys are to be in IBM's cloud."""
        return self["key_manager"] in TYPES

    def ibm_options(self, api_key: Path | None = None) -> IbmOptions:
        """What the tables of the configuration are made of; ``api_key`` is its file, where it is not the usual one."""
        bundle = self["ca_bundle"]
        region = None if self["url"] else self["region"] or None
        return IbmOptions(
            region=region,
            url=self["url"] or None,
            network=self["network"] or None if region else None,
            kms_instance=self["kms_instance"] or None,
            key_ring=self["key_ring"] or None,
            iam_url=self["iam_url"] or None,
            proxy=self["proxy"] or None,
            ca_bundle=Path(bundle).expanduser() if bundle else None,
            api_key_file=api_key,
        )

    def wipe(self) -> None:
        """Forget every secret."""
        while self.secrets:
            self.secrets.popitem()[1].wipe()
