"""Username and password in a request's header (KMIP 1.4, 6.6), beside the certificate that decides everything else.

vCenter sends them where it makes, fetches, activates or ends keys and asks for states, and leaves them out where it
greets, tags keys and reads its tags. So a wrong one is refused everywhere, and none at all only where it would come.
"""

import asyncio
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, Final

from keyrack.domain.errors import AuthenticationNotSuccessful, GeneralFailure
from keyrack.domain.instances import Credential
from keyrack.domain.secret import Secret, wipe
from keyrack.operations._registry import OPERATIONS
from keyrack.service.office.refusals import TooManyAttempts
from keyrack.service.people.passwords import Passwords
from keyrack.service.sessions import Session
from keyrack.service.throttling import Bucket
from keyrack.spec.enumerations import Operation
from keyrack.spec.versions import ProtocolVersion
from keyrack.wire.credentials import UsernameAndPassword
from keyrack.wire.errors import WireError
from keyrack.wire.messages import RequestBatchItem, RequestMessage, decode_payload

WRONG_AT_ONCE: Final = 5.0
"""Wrong passwords of one certificate that are looked at one after another."""
ANOTHER_EVERY: Final = 12.0
"""Seconds after which one more is."""
OF_ONE_INSTANCE: Final = 4
"""Passwords of one instance's clients that wait at one time: the others find a place in the queue."""
REMEMBERED: Final = 10_000
"""Certificates whose wrong passwords are counted; where an authority lets clients in there may be any number."""
FREE: Final = frozenset(
    {Operation.DISCOVER_VERSIONS, Operation.QUERY, Operation.GET_ATTRIBUTES, Operation.GET_ATTRIBUTE_LIST}
)
"""What vCenter asks without them; none of it gives a key or changes one."""
_TAGS: Final = "x-"
"""What the names of a client's own attributes begin with: to add one is free too."""


class Credentials:
    """Proves credentials in one process. What was proved is remembered as an HMAC under a key that only it has."""

    def __init__(self, passwords: Passwords | None = None, ticks: Callable[[], float] = time.monotonic) -> None:
        """``ticks`` are seconds of a clock that is never set."""
        self._passwords = passwords or Passwords()
        self._ticks = ticks
        self._key = secrets.token_bytes(32)
        self._proved: dict[str, tuple[str, bytes]] = {}
        """By instance: the hash that it was proved against, so that another credential is proved anew, and its HMAC."""
        self._proving: dict[bytes, asyncio.Task[bool]] = {}
        self._attempts: OrderedDict[str, Bucket] = OrderedDict()

    async def check(self, session: Session, credential: Credential, message: RequestMessage) -> None:
        """Return where the credential of the session's instance was shown, or need not be.

        Raises :class:`AuthenticationNotSuccessful`, and :class:`GeneralFailure` where too many ask at once.
        """
        shown = _shown(message)
        if not shown:
            version = message.request_header.protocol_version
            if credential.required and not all(_is_free(item, version) for item in message.batch_items):
                raise _refused(
                    "no username and password came with the request, and this instance requires them; set them in "
                    "vCenter, at the key provider's servers",
                    "no credential",
                )
            return
        for each in shown:
            await self._prove(session, credential, each)

    async def _prove(self, session: Session, credential: Credential, shown: UsernameAndPassword) -> None:
        identifier = session.instance.identifier
        tag = self._tag(identifier, credential, shown)
        known = self._proved.get(identifier)
        if known is not None and known[0] == credential.password and hmac.compare_digest(known[1], tag):
            return
        proving = self._proving.get(tag)
        if proving is None:
            proving = self._begin(session, credential, shown, tag)
        try:
            right = await asyncio.shield(proving)
        except TooManyAttempts as error:
            raise GeneralFailure("too many passwords are being looked at; ask again in a moment") from error
        if not right:
            raise _refused(
                "the username or password is not the one that this instance requires; correct it in vCenter, at the "
                "key provider's servers",
                "wrong credential",
            )
        self._proved[identifier] = (credential.password, tag)

    def _begin(
        self, session: Session, credential: Credential, shown: UsernameAndPassword, tag: bytes
    ) -> "asyncio.Task[bool]":
        """Compute once for all who show the same; a certificate that has shown too much that was wrong has to wait."""
        fingerprint = session.principal.fingerprint
        bucket = self._attempts.setdefault(fingerprint, Bucket(WRONG_AT_ONCE, self._ticks()))
        self._attempts.move_to_end(fingerprint)
        if len(self._attempts) > REMEMBERED:
            self._attempts.popitem(last=False)
        if not bucket.take(1, 1 / ANOTHER_EVERY, WRONG_AT_ONCE, self._ticks()):
            raise _refused(
                f"this client has shown too many wrong passwords; another one is looked at in {ANOTHER_EVERY:.0f} "
                "seconds",
                "too many wrong credentials",
            )
        # A copy: whoever has sent it may be gone, and its message wiped, before a thread has computed.
        password = Secret(bytearray(shown.password or b""))
        proving = asyncio.create_task(
            self._proved_now(session.instance.identifier, credential, shown.username, password, bucket)
        )
        self._proving[tag] = proving
        proving.add_done_callback(lambda done: self._proving.pop(tag, None))
        return proving

    async def _proved_now(
        self, instance: str, credential: Credential, username: str, password: Secret, bucket: Bucket
    ) -> bool:
        with password:
            named = hmac.compare_digest(username.encode(), credential.username.encode())
            try:
                matches = await self._passwords.match(password, credential.password, {instance: OF_ONE_INSTANCE})
            except TooManyAttempts:
                bucket.give_back(1)  # It was not looked at.
                raise
            right = matches and named
        if right:
            bucket.give_back(1)
        return right

    def _tag(self, instance: str, credential: Credential, shown: UsernameAndPassword) -> bytes:
        """Of everything that was proved together; each part with its length, so that none runs into the next."""
        mac = hmac.new(self._key, digestmod=sha256)
        for part in (instance.encode(), credential.password.encode(), shown.username.encode(), shown.password or b""):
            mac.update(len(part).to_bytes(8, "big"))
            mac.update(part)
        return mac.digest()


def wipe_credentials(message: RequestMessage) -> None:
    """Overwrite the passwords of a request that was answered."""
    for each in _shown(message):
        if each.password is not None:
            wipe(each.password)


def _shown(message: RequestMessage) -> list[UsernameAndPassword]:
    authentication = message.request_header.authentication
    given: Iterable[Any] = (each.credential_value for each in authentication.credential) if authentication else ()
    return [each for each in given if isinstance(each, UsernameAndPassword)]


def _is_free(item: RequestBatchItem, version: ProtocolVersion) -> bool:
    if item.operation in FREE:
        return True
    if item.operation != Operation.ADD_ATTRIBUTE:
        return False
    try:
        payload: Any = decode_payload(OPERATIONS[Operation.ADD_ATTRIBUTE].request, item.request_payload, version)
    except WireError:
        return False  # What cannot be read is not free.
    return str(payload.attribute.attribute_name).startswith(_TAGS)


def _refused(told: str, cause: str) -> AuthenticationNotSuccessful:
    refusal = AuthenticationNotSuccessful(told)
    refusal.cause = cause
    return refusal
