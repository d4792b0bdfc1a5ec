"""A provider of OpenID Connect on loopback: real HTTPS, real redirects, codes and tokens; and able to misbehave.

with provider(tmp_path) as known:
    known.subject = "248289761001"
    known.lies["aud"] = "another program"
"""

import base64
import hashlib
import hmac
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from keyrack.testing.certificates import authority, server

CLIENT: Final = "keyrack"
SECRET: Final = "a secret with : and %"
Answer = tuple[int, Mapping[str, str], bytes]


@dataclass(slots=True)
class Provider:
    """One provider, and what it shall do wrong."""

    url: str
    ca: Path
    """The authority that certifies it, in PEM."""
    redirect: str = "https://localhost/api/v1/oidc/callback"
    """Where it sends browsers back to, and nowhere else."""
    subject: str = "248289761001"
    claims: dict[str, Any] = field(default_factory=lambda: {"preferred_username": "anna", "name": "Anna Example"})
    lies: dict[str, Any] = field(default_factory=dict)
    """Claims in the place of the right ones; ``None`` leaves one out."""
    alg: str = "RS256"
    signer: RSAKey | ECKey = field(default_factory=lambda: new_key("first"))
    published: list[Any] = field(default_factory=list)
    """Keys that it publishes; empty: the one that signs."""
    forge: Callable[[str, Mapping[str, Any]], str] | None = None
    """Makes the token out of the right one and its claims."""
    document: dict[str, Any] = field(default_factory=dict)
    """Members of its document in the place of the right ones."""
    slow: float = 0.0
    """Seconds between two bytes of an answer."""
    padding: int = 0
    """Bytes of white space around an answer."""
    asked: list[str] = field(default_factory=list)
    """Paths of all calls."""
    codes: dict[str, Mapping[str, str]] = field(default_factory=dict)
    now: Callable[[], float] = time.time

    def log_in(self, url: str) -> dict[str, str]:
        """What a browser brings back from the page of the provider at ``url``: the person has typed the password."""
        status, headers, _ = self._authorize(dict(parse_qsl(urlsplit(url).query)))
        assert status == 302
        return dict(parse_qsl(urlsplit(headers["location"]).query))

    def answer(self, path: str, form: Mapping[str, str], authorization: str) -> Answer:
        """To one call of a program."""
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            return _json(self._document())
        if path == "/jwks":
            keys = self.published or [self.signer]
            return _json({"keys": [each if isinstance(each, dict) else each.as_dict(private=False) for each in keys]})
        if path == "/token":
            return self._token(form, authorization)
        if path == "/authorize":
            # A browser comes; whoever sits there is known already.
            return self._authorize(dict(form))
        return 404, {}, b"not here"

    def _document(self) -> dict[str, Any]:
        right = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": ["code"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }
        return {name: value for name, value in (right | self.document).items() if value is not None}

    def _authorize(self, asked: dict[str, str]) -> Answer:
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["redirect_uri"] == self.redirect
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return 302, {"location": f"{self.redirect}?{urlencode({'code': code, 'state': asked['state']})}"}, b""

    def _token(self, form: Mapping[str, str], authorization: str) -> Answer:
        kind, _, pair = authorization.partition(" ")
        name, _, secret = base64.b64decode(pair).decode().partition(":")
        if kind != "Basic" or (unquote(name), unquote(secret)) != (CLIENT, SECRET):
            return 401, {}, b'{"error": "invalid_client"}'
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or form.get("grant_type") != "authorization_code":
            return 400, {}, b'{"error": "invalid_grant"}'
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if asked["code_challenge"] != encoded(challenge) or form.get("redirect_uri") != asked["redirect_uri"]:
            return 400, {}, b'{"error": "invalid_grant"}'
        return _json({"access_token": "x", "token_type": "Bearer", "id_token": self._id_token(asked)})

    def _id_token(self, asked: Mapping[str, str]) -> str:
        now = int(self.now())
        right = {
            "iss": self.url,
            "sub": self.subject,
            "aud": CLIENT,
            "nonce": asked["nonce"],
            "iat": now,
            "exp": now + 300,
            "auth_time": now,
            **self.claims,
        }
        claims = {name: value for name, value in (right | self.lies).items() if value is not None}
        header = {"alg": self.alg, "kid": self.signer.kid}
        token = jwt.encode(header, claims, self.signer, algorithms=[self.alg])
        return self.forge(token, claims) if self.forge else token


def new_key(kid: str, bits: int = 2048) -> RSAKey:
    """A key that signs."""
    return RSAKey.generate_key(bits, {"kid": kid, "use": "sig"})


def new_curve(kid: str) -> ECKey:
    """A key on P-256."""
    return ECKey.generate_key("P-256", {"kid": kid})


def unsigned(token: str, claims: Mapping[str, Any]) -> str:
    """The same claims, signed by nobody."""
    return f"{_part({'alg': 'none'})}.{_part(claims)}."


def signed_with_the_public_key(known: Provider) -> Callable[[str, Mapping[str, Any]], str]:
    """The same claims, with an HMAC by what everybody can read."""

    def forge(token: str, claims: Mapping[str, Any]) -> str:
        signed = f"{_part({'alg': 'HS256', 'kid': known.signer.kid})}.{_part(claims)}"
        digest = hmac.digest(known.signer.as_pem(private=False), signed.encode(), "sha256")
        return f"{signed}.{encoded(digest)}"

    return forge


def altered(token: str, claims: Mapping[str, Any]) -> str:
    """Another subject under the same signature."""
    head, _, signature = token.split(".")
    return f"{head}.{_part({**claims, 'sub': 'somebody else'})}.{signature}"


def encoded(octets: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _part(value: Mapping[str, Any]) -> str:
    return encoded(json.dumps(value).encode())


def _json(value: Mapping[str, Any]) -> Answer:
    return 200, {"content-type": "application/json"}, json.dumps(value).encode()


@contextmanager
def provider(directory: Path) -> Iterator[Provider]:
    """A provider that answers as long as the block lasts."""
    root = authority("provider authority")
    pair = server(root).write(directory, "provider")
    ca = directory / "provider-ca.pem"
    ca.write_bytes(root.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    listener = _Listener(("127.0.0.1", 0), _Handler)
    listener.daemon_threads = True
    listener.socket = context.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
    made = Provider(f"https://127.0.0.1:{listener.server_address[1]}", ca)
    listener.known = made  # type: ignore[attr-defined]
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join(5)


class _Listener(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a browser hangs up on whom it does not trust, and comes again."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(dict(parse_qsl(urlsplit(self.path).query)))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        self._answer({name: values[0] for name, values in parse_qs(body).items()})

    def _answer(self, form: Mapping[str, str]) -> None:
        known: Provider = self.server.known  # type: ignore[attr-defined]
        status, headers, body = known.answer(urlsplit(self.path).path, form, self.headers.get("authorization", ""))
        body += b" " * known.padding
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            if not known.slow:
                self.wfile.write(body)
                return
            for octet in body:
                self.wfile.write(bytes([octet]))
                self.wfile.flush()
                time.sleep(known.slow)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""
