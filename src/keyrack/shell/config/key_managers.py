"""The configuration's tables of key managers: what all have, and the embedded one's, its keystore and its HSM."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from keyrack.shell.config.problems import mistake

NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
"""Names of deployments, instances and key managers: what fits into a label of a host name."""
CREDENTIAL = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$"
"""Names of systemd's credentials: of a file, in no other directory."""

Name = Annotated[str, Field(pattern=NAME, max_length=63)]
Credential = Annotated[str, Field(pattern=CREDENTIAL)]


class Table(BaseModel):
    """A table of the configuration: frozen, and nothing unknown in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Lease(Table):
    """How long keys are served on the word of this key manager. A key that it withdraws is not handed out any more
    after `lease_seconds` + `probe_timeout_seconds`, and where it cannot be reached after `outage_grace_seconds`.
    """

    lease_seconds: int = Field(
        default=30, ge=1, le=300, description="Time for which a root key that was proved usable counts as usable."
    )
    probe_timeout_seconds: int = Field(
        default=5, ge=1, le=10, description="Time after which a proof that is not answered counts as an outage."
    )
    outage_grace_seconds: int = Field(
        default=900,
        ge=0,
        le=86_400,
        description="Time for which unwrapped keys are served while it cannot be reached; 0 bridges nothing. A refusal "
        "is never bridged.",
    )
    existence_seconds: int = Field(
        default=60,
        ge=10,
        le=3600,
        description="Time between two looks at which standard keys are there: one that was deleted there is withheld.",
    )


class KeyManagerTable(Table):
    """What every key manager has."""

    lease: Lease = Field(default_factory=Lease)


class Unlock(Table):
    """What opens the keystore; exactly one of the six."""

    key_file: Path | None = Field(
        default=None, description="File of 32 random bytes. Whoever has it and the keystore has the root keys."
    )
    passphrase_file: Path | None = Field(
        default=None, description="File whose first line is the passphrase, as a service manager's credentials are."
    )
    passphrase_environment: str | None = Field(
        default=None, description="Name of the environment variable that holds the passphrase."
    )
    credential: Credential | None = Field(
        default=None,
        description="Name of a credential of systemd, a file of 32 random bytes under $CREDENTIALS_DIRECTORY.",
    )
    unseal: bool = Field(
        default=False,
        description="The server starts sealed, without serving, until `keyrack unseal` brings passphrase or shares.",
    )
    hsm: bool = Field(
        default=False,
        description="The keystore's key is sealed by a key in the HSM of the table `hsm` beside this one.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> "Unlock":
        given = [name for name in type(self).model_fields if getattr(self, name) not in (None, False)]
        if len(given) != 1:
            raise PydanticCustomError(
                "unlock",
                "it names {count} to open the keystore, and exactly one is needed",
                {"count": f"{len(given)} ways" if given else "no way"},
            )
        return self


class Hsm(Table):
    """An HSM, through its PKCS#11 library: new versions of root keys are made in it and never leave it."""

    library: Path = Field(description="The vendor's PKCS#11 library.", examples=["/usr/lib/softhsm/libsofthsm2.so"])
    token: Annotated[str, Field(min_length=1, max_length=32)] = Field(
        description="Label of the token.", examples=["keyrack"]
    )
    pin_file: Path | None = Field(
        default=None, description="File whose first line is the PIN of the token's user; or `pin_credential`."
    )
    pin_credential: Credential | None = Field(
        default=None, description="Name of a credential of systemd whose first line is the PIN; or `pin_file`."
    )
    timeout_seconds: float = Field(
        default=5, gt=0, le=300, description="Time that the HSM may take for one call before it counts as lost."
    )

    @model_validator(mode="after")
    def _one_pin(self) -> "Hsm":
        if (self.pin_file is None) == (self.pin_credential is None):
            raise PydanticCustomError("pin", "exactly one of pin_file and pin_credential says where the PIN is")
        return self


class Waits(Table):
    """Least and longest times of the key manager's law. The defaults are Key Protect's; tests shorten them."""

    state_change_seconds: int = Field(
        default=30, ge=0, le=86_400, description="Least time between two changes of a key's state."
    )
    rotate_seconds: int = Field(
        default=3600, ge=0, le=86_400, description="Least time between two rotations of a root key by hand."
    )
    purge_seconds: int = Field(
        default=14_400, ge=0, le=2_592_000, description="Least time from the deletion of a key to its purge by hand."
    )
    restore_days: int = Field(default=30, ge=0, le=3650, description="Days in which a deleted key can be restored.")
    purge_days: int = Field(
        default=90, ge=0, le=3650, description="Days after which a deleted key is purged by itself."
    )

    @model_validator(mode="after")
    def _restorable_until_purged(self) -> "Waits":
        if self.purge_days < self.restore_days:
            raise PydanticCustomError("waits", "keys would be purged (purge_days) before restore_days are over")
        return self


class EmbeddedKeyManagerTable(KeyManagerTable):
    """The embedded key manager: root keys in a keystore of this machine, or in an HSM."""

    type: Literal["embedded"] = Field(description="The kind of key manager.")
    keystore: Path = Field(
        default=Path("keystore"),
        description="The keystore; its database is the file of that name with `.db`. Back up both.",
    )
    unlock: Unlock = Field(description="What opens the keystore.")
    hsm: Hsm | None = Field(default=None, description="The HSM, if there is one.")
    waits: Waits = Field(default_factory=Waits)

    @model_validator(mode="after")
    def _hsm_is_told(self) -> "EmbeddedKeyManagerTable":
        if self.unlock.hsm and self.hsm is None:
            raise mistake(
                "unlock says hsm = true, and there is no table hsm that tells which",
                "write a table [key_managers.NAME.hsm] with library, token and pin_file",
            )
        return self
