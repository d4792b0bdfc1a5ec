"""Calls to a provider of OpenID Connect: HTTPS alone, one host, no redirects, bounded in time and size; in threads."""

import asyncio
import http.client
import json
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from keyrack.service.office.refusals import Refused

LONGEST: Final = 1_048_576
"""Bytes of an answer."""
AT_ONCE: Final = 4


class ProviderUnavailable(Refused):
    """The provider does not answer, or not as it should; nobody is logged in by that."""

    code = "provider-unavailable"


class Calls:
    """Asks one provider."""

    def __init__(self, ca_bundle: Path | None, seconds: float) -> None:
        """Trust ``ca_bundle``, or whom the system trusts; each call takes ``seconds`` at the most.

        Raises ``OSError`` where the file is none, or has no certificates.
        """
        self._context = ssl.create_default_context(cafile=None if ca_bundle is None else str(ca_bundle))
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="oidc")
        self._under_way = 0

    async def ask(self, url: str, *, form: str | None = None, authorization: str = "") -> dict[str, Any]:
        """The JSON object at ``url``, asked with GET, or with POST of a form; raises :class:`ProviderUnavailable`."""
        if self._under_way >= 4 * AT_ONCE:
            raise ProviderUnavailable("too many people log in at this moment", hint="try again in a moment")
        self._under_way += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, self._ask, url, form, authorization)
        future.add_done_callback(self._done)
        try:
            # Looking up a name has the system's own limit: nobody waits for that here.
            return await asyncio.wait_for(asyncio.shield(future), self._seconds + 1)
        except TimeoutError:
            future.add_done_callback(lambda ended: ended.exception())
            raise _unavailable(url, "it does not answer in time") from None

    def _done(self, future: "asyncio.Future[Any]") -> None:
        self._under_way -= 1

    def _ask(self, url: str, form: str | None, authorization: str) -> dict[str, Any]:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise _unavailable(url, "it is not an https URL")
        connection = _Line(parts.hostname, parts.port, timeout=self._seconds, context=self._context)
        # Bytes that drip are each in time: when the time for all of them is over, the socket is shut under the reader.
        watch = threading.Timer(self._seconds, connection.cut)
        watch.daemon = True
        watch.start()
        try:
            return _asked(connection, parts.path + (f"?{parts.query}" if parts.query else ""), form, authorization)
        except ssl.SSLCertVerificationError as error:
            raise _unavailable(url, f"its certificate is not trusted: {error.verify_message}") from error
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            raise _unavailable(url, _why(error)) from error
        finally:
            watch.cancel()
            connection.close()


class _Line(http.client.HTTPSConnection):
    """Remembers its socket, which the base forgets once an answer has begun."""

    held: socket.socket | None = None

    def connect(self) -> None:
        """As the base does."""
        super().connect()
        self.held = self.sock

    def cut(self) -> None:
        """Let nobody read or write any more. The TLS layer is left alone: another thread is in it."""
        for held in (self.held, self.sock):
            if held is not None:
                with suppress(OSError):
                    socket.socket.shutdown(held, socket.SHUT_RDWR)


def _asked(connection: http.client.HTTPSConnection, path: str, form: str | None, authorization: str) -> dict[str, Any]:
    headers = {"Accept": "application/json", "Connection": "close"}
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    if authorization:
        headers["Authorization"] = authorization
    connection.request("GET" if form is None else "POST", path or "/", body=form, headers=headers)
    answer = connection.getresponse()
    body = answer.read(LONGEST + 1)
    if len(body) > LONGEST:
        raise ValueError("its answer is too long")
    if answer.status != http.HTTPStatus.OK:
        raise ValueError(f"it answers {answer.status}{_error_of(body)}")
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError("its answer is no JSON object")
    return found


def _error_of(body: bytes) -> str:
    """The standard's own word for what is wrong (RFC 6749 5.2), and no other text of theirs."""
    with suppress(ValueError, RecursionError):
        found = json.loads(body)
        said = found.get("error") if isinstance(found, dict) else None
        if isinstance(said, str) and said.isascii() and said.isprintable():
            return f" ({said[:60]})"
    return ""


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return "its answer is no JSON"
    return str(error) or type(error).__name__


def _unavailable(url: str, why: str) -> ProviderUnavailable:
    host = urlsplit(url).netloc
    return ProviderUnavailable(f"the log-in provider {host} cannot be used: {why}", hint="see [api.oidc]")
