"""What every answer of an HTTPS face tells a browser, so that nothing in it is kept, run, framed or guessed at."""

from typing import Final

PROTECTING: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
)
"""Names in lower case, and values; a page that runs a script has a policy of its own in the place of this one."""
