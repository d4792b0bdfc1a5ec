"""Bodies of requests about KMIP adapters and their certificates."""

import re
import secrets
from typing import Final, Literal

from pydantic import Field

from keyrack.domain.instances import ClientCertificate
from keyrack.embedded.errors import InvalidField
from keyrack.service.office.certificates import UnusableCertificate, read
from keyrack.shell.rest.key_protect.bodies import Body, Collection, Text
from keyrack.shell.rest.key_protect.desk import UUID

PROFILE: Final = "native_1.0"
"""The only profile that there is."""
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{2,40}")
_PEM: Final = re.compile(
    r"\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\r\n]+-----END CERTIFICATE-----\s*", flags=re.ASCII
)
"""As IBM's documents have it: exactly one certificate, and nothing beside it."""
LONGEST_PEM: Final = 32_768


def _named(name: str | None, kind: str) -> str:
    """The name, or a random one."""
    if name is None:
        return f"{kind}_{secrets.token_hex(12)}"
    if not _NAME.fullmatch(name) or UUID.fullmatch(name):
        raise InvalidField(
            "The field `name` must be: 2 to 40 letters, digits, `-` and `_`, and not a UUID", target=("field", "name")
        )
    return name


class ProfileData(Body):
    """What the profile native_1.0 needs."""

    crk_id: Text = Field(min_length=1, max_length=100, description="Identifier or alias of an active root key.")


class NewAdapterResource(Body):
    """A KMIP adapter that is to be."""

    name: Text | None = Field(default=None, description="2 to 40 letters, digits, - and _; random where missing.")
    description: Text | None = Field(default=None, max_length=240)
    profile: Literal["native_1.0"]
    profile_data: ProfileData

    def chosen_name(self) -> str:
        """The name, or a random one; raises :class:`InvalidField`."""
        return _named(self.name, "kmip_adapter")


class CreateKmipAdapter(Collection):
    """One KMIP adapter to make."""

    resources: list[NewAdapterResource]

    def wanted(self) -> NewAdapterResource:
        """The one adapter; raises what :meth:`Collection.check` raises."""
        self.check("kmip_adapter")
        return self.resources[0]


class NewCertificateResource(Body):
    """A client certificate that is to be trusted."""

    name: Text | None = Field(default=None, description="2 to 40 letters, digits, - and _; random where missing.")
    certificate: Text = Field(max_length=LONGEST_PEM, description="One certificate in PEM, without its issuers.")

    def offered(self, instance: str, at: int) -> ClientCertificate:
        """The certificate, read; raises :class:`InvalidField`, whose text says what is wrong with it."""
        if not _PEM.fullmatch(self.certificate):
            raise InvalidField(
                "The field `certificate` must be: exactly one certificate in PEM, from BEGIN to END CERTIFICATE",
                target=("field", "certificate"),
            )
        name = _named(self.name, "kmip_cert")
        try:
            return read(self.certificate.encode(), instance=instance, at=at, name=name).certificate
        except UnusableCertificate as error:
            raise InvalidField(
                f"The field `certificate` is refused: {error}", target=("field", "certificate")
            ) from None


class AddKmipClientCertificate(Collection):
    """One client certificate to add."""

    resources: list[NewCertificateResource]

    def wanted(self) -> NewCertificateResource:
        """The one certificate; raises what :meth:`Collection.check` raises."""
        self.check("kmip_client_certificate")
        return self.resources[0]
