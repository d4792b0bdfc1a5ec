"""The console's files as browsers get them: each under the hash of its content, compressed once, kept for ever.

Files of others lie in ``static/vendor`` as their makers have published them; ``PINS`` there has the SHA-256 of each.
"""

import base64
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

FILES: Final = Path(__file__).parent / "static"
MEDIA: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    name: str
    """Its path under ``static``."""
    octets: bytes
    packed: bytes
    """The same, compressed with gzip."""
    digest: bytes
    """SHA-256 of :attr:`octets`."""

    @property
    def url(self) -> str:
        """Where a page finds it; another content has another address."""
        return f"/static/{self.digest.hex()[:16]}/{self.name}"

    @property
    def integrity(self) -> str:
        """What a page's ``integrity`` attribute says (Subresource Integrity)."""
        return f"sha256-{base64.b64encode(self.digest).decode()}"


@cache
def assets() -> Mapping[str, Asset]:
    """All of them, by name; read when first asked for."""
    found = {}
    for file in sorted(each for each in FILES.rglob("*") if each.suffix in MEDIA):
        octets = file.read_bytes()
        name = file.relative_to(FILES).as_posix()
        found[name] = Asset(name, octets, gzip.compress(octets, 9, mtime=0), hashlib.sha256(octets).digest())
    return found


async def serve(request: Request) -> Response:
    """One file; what was changed since the page was made is not there any more."""
    asset = assets().get(request.path_params["name"])
    if asset is None or asset.url != request.url.path:
        return Response("there is no such file\n", 404, media_type="text/plain")
    headers = {"cache-control": FOR_EVER, "vary": "accept-encoding", "etag": f'"{asset.digest.hex()[:32]}"'}
    octets = asset.octets
    if "gzip" in request.headers.get("accept-encoding", ""):
        octets, headers["content-encoding"] = asset.packed, "gzip"
    media = MEDIA["." + asset.name.rpartition(".")[2]]
    return Response(octets, headers=headers, media_type=media)
