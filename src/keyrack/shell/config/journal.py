"""The configuration's table of the journal: how it is proved, how long it is kept, and where it is handed on to."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from keyrack.shell.config.key_managers import Name, Table
from keyrack.shell.config.problems import mistake

SHORTEST_RETENTION = 30
"""Days; what is younger is never cut."""


class SinkTable(Table):
    """What every sink has."""

    required: bool = Field(
        default=False,
        description="Whether nothing is acknowledged, and no key handed out, before this sink has the entry.",
    )
    deadline_seconds: float = Field(
        default=2,
        ge=0.1,
        le=60,
        description="Time for which a required sink is waited for; then the request is refused.",
    )
    lag_alarm_seconds: float = Field(
        default=60, ge=1, le=86_400, description="Age of the oldest entry it has not taken that is told as a trouble."
    )


class JsonLinesSink(SinkTable):
    """A file, one event a line. It is opened again when it was rotated away."""

    type: Literal["json_lines"] = Field(description="What kind of sink it is.")
    file: Path = Field(description="The file; better on another disk than the catalog's.")
    sync: bool = Field(default=True, description="Whether each batch is synced to the disk before it counts as taken.")


class SyslogSink(SinkTable):
    """A syslog receiver: RFC 5424 over TLS (RFC 5425). Syslog has no acknowledgement, so it cannot be required."""

    type: Literal["syslog"] = Field(description="What kind of sink it is.")
    host: str = Field(min_length=1, description="Host name or address of the receiver; its certificate has to bear it.")
    port: int = Field(default=6514, ge=1, le=65_535, description="Its port.")
    ca_file: Path | None = Field(default=None, description="Bundle of trusted authorities in PEM; else the system's.")
    certificate: Path | None = Field(default=None, description="Client certificate in PEM, where the receiver asks.")
    key: Path | None = Field(default=None, description="Its private key in PEM, mode 0600.")
    transport: Literal["tls", "insecure-tcp"] = Field(
        default="tls", description='"insecure-tcp" sends in clear: anybody on the way reads and changes it.'
    )

    @model_validator(mode="after")
    def _is_not_required(self) -> "SyslogSink":
        if self.required:
            raise mistake(
                "syslog has no acknowledgement, so nobody could say whether a required entry is there",
                "require a sink of type webhook or json_lines, and let this one follow behind",
            )
        if (self.certificate is None) != (self.key is None):
            raise mistake("certificate and key belong together", "write both, or neither")
        return self


class WebhookSink(SinkTable):
    """An HTTPS endpoint that takes batches of events by POST, signed with HMAC-SHA256."""

    type: Literal["webhook"] = Field(description="What kind of sink it is.")
    url: str = Field(description="Its address, `https://…`.", examples=["https://siem.example.com/keyrack"])
    secret_file: Path | None = Field(
        default=None, description="File whose first line signs each batch (header `Keyrack-Signature`), mode 0600."
    )
    ca_file: Path | None = Field(default=None, description="Bundle of trusted authorities in PEM; else the system's.")

    @model_validator(mode="after")
    def _is_https(self) -> "WebhookSink":
        if not re.fullmatch(r"https://[A-Za-z0-9.\[\]:_-]+(/[!-~]*)?", self.url) or "@" in self.url.split("/")[2]:
            raise mistake(
                "its url is no address of HTTPS", 'write for example url = "https://siem.example.com/keyrack"'
            )
        return self


AnySink = Annotated[JsonLinesSink | SyslogSink | WebhookSink, Field(discriminator="type")]


class JournalTable(Table):
    """The journal: who did what. It is in the catalog; this is how it is proved, kept and handed on."""

    checkpoint_seconds: float = Field(
        default=60, ge=1, le=3600, description="Time after which what was written is signed in a checkpoint."
    )
    checkpoint_records: int = Field(
        default=1000, ge=1, le=1_000_000, description="Records after which a checkpoint is signed earlier."
    )
    checkpoint_file: Path = Field(
        default=Path("journal/checkpoints.jsonl"),
        description="File that checkpoints are exported to. On another volume, or copied elsewhere, it shows a catalog "
        "that was put back to an older one.",
    )
    signing_key: Path = Field(
        default=Path("journal/signing.key"),
        description="The key that signs checkpoints, mode 0600; it is made where it is not there.",
    )
    retention_days: int = Field(
        default=0,
        ge=0,
        le=36_500,
        description=f"Days after which records are cut, with proof; at least {SHORTEST_RETENTION}. 0 keeps all.",
    )
    sinks: dict[Name, AnySink] = Field(default_factory=dict, description="Where the journal is handed on to, by name.")

    @property
    def changes_file(self) -> Path:
        """Beside the checkpoints: what was changed, so that a catalog that was put back can be brought up to date."""
        return self.checkpoint_file.with_name("changes.jsonl")

    @model_validator(mode="after")
    def _is_kept_long_enough(self) -> "JournalTable":
        if 0 < self.retention_days < SHORTEST_RETENTION:
            raise mistake(
                f"retention_days is {self.retention_days}, and {SHORTEST_RETENTION} is the least",
                f"write {SHORTEST_RETENTION} or more, or 0 to keep all",
            )
        return self
