"""What proves who Keyrack is: read from files whenever it is needed, so that a new one counts without a restart."""

import os
from pathlib import Path
from typing import Final

from keyrack.adapters.key_managers.ibm.settings import ApiKey, TrustedProfile
from keyrack.domain.secret import Secret, wipe
from keyrack.ports.key_manager import KeyManagerUnavailable, Reason

LONGEST: Final = 16_384
"""Bytes of a file with an API key or a token."""
_GRANT_OF_API_KEY: Final = "urn:ibm:params:oauth:grant-type:apikey"
_GRANT_OF_PROFILE: Final = "urn:ibm:params:oauth:grant-type:cr-token"
_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_HEX: Final = b"0123456789ABCDEF"


def form_of(source: ApiKey | TrustedProfile) -> bytearray:
    """The form that asks IAM for a token; whoever sends it wipes it. Raises :class:`KeyManagerUnavailable`."""
    if isinstance(source, ApiKey):
        with first_line(source.file, "the API key") as api_key:
            return _form({"grant_type": _GRANT_OF_API_KEY}, "apikey", api_key)
    by = "profile_id" if source.profile.startswith("Profile-") else "profile_name"
    with first_line(source.cr_token_file, "the compute resource's token") as cr_token:
        return _form({"grant_type": _GRANT_OF_PROFILE, by: source.profile}, "cr_token", cr_token)


def first_line(path: Path, what: str) -> Secret:
    """The first line of a file without blanks around it, which the caller wipes.

    Raises :class:`KeyManagerUnavailable` where there is none: nobody has refused anything.
    """
    buffer = bytearray(LONGEST)
    try:
        with open(path, "rb", buffering=0) as file:
            length = file.readinto(buffer)
        end = buffer.find(b"\n", 0, length)
        end = length if end < 0 else end
        start = 0
        while start < end and buffer[start] <= 32:
            start += 1
        while end > start and buffer[end - 1] <= 32:
            end -= 1
        line = bytearray(end - start)
        memoryview(line)[:] = memoryview(buffer)[start:end]
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else "unknown"
        raise KeyManagerUnavailable(f"{what} in {path} cannot be read: {why}", Reason.IDENTITY) from error
    finally:
        wipe(buffer)
    if not line:
        raise KeyManagerUnavailable(f"{what} is missing: {path} begins with an empty line", Reason.IDENTITY)
    return Secret(line)


def _form(fields: dict[str, str], name: str, secret: Secret) -> bytearray:
    before = bytearray()
    for key, value in fields.items():
        before += key.encode() + b"=" + _escaped(bytearray(value.encode())) + b"&"
    escaped = _escaped(secret.reveal())
    head = bytes(before) + name.encode() + b"="
    form = bytearray(len(head) + len(escaped))
    form[: len(head)] = head
    memoryview(form)[len(head) :] = memoryview(escaped)
    wipe(escaped)
    return form


def _escaped(octets: bytearray) -> bytearray:
    """Percent-encoded; of its final size at once, since an array that grows leaves copies behind."""
    escaped = bytearray(sum(1 if octet in _PLAIN else 3 for octet in octets))
    at = 0
    for octet in octets:
        if octet in _PLAIN:
            escaped[at] = octet
            at += 1
        else:
            escaped[at], escaped[at + 1], escaped[at + 2] = ord("%"), _HEX[octet >> 4], _HEX[octet & 15]
            at += 3
    return escaped
