"""Passwords that everybody tries first. Few rules, as NIST SP 800-63B has them: length, and not one of these.

Nobody has to mix kinds of characters: that makes passwords which are hard to remember and easy to guess.
"""

import re
from collections.abc import Iterable
from typing import Final

PRODUCT: Final = ("keyrack", "keymanager", "vmware", "vcenter", "vsphere")
"""What this system is about: the first guess of whoever knows where he is."""

_AT_THE_HEAD: Final = """
    000000 111111 112233 121212 123123 123321 123456 1234567 12345678 123456789 1234567890 123456789012 654321
    666666 696969 987654321 1q2w3e 1q2w3e4r 1q2w3e4r5t 1qaz2wsx 1qaz2wsx3edc abc123 abcd1234 abcdef abcdefgh
    access admin administrator asdf asdfgh asdfghjkl azerty azertyuiop baseball batman bonjour changeit changeme
    charlie cisco computer correcthorsebatterystaple default dragon enter flower football freedom geheim guest
    hallo hello hockey hunter2 iloveyou ilovemyfamily internet jennifer jordan killer letmein letmeinnow login
    loveme lovely manager master michael monkey mustang nothing ninja nopassword ola operator oracle p455w0rd
    pass passphrase passw0rd password passwort password1 postgres princess private public q1w2e3r4 qazwsx
    qazwsxedc qwer qwert qwertz qwerty qwerty123 qwertyuiop qwertzuiop root samsung secret security service
    shadow soccer starwars summer winter spring autumn sunshine superman support supervisor sysadmin system temp
    tempo tempor temporary test testing thomas tiger toor trustno1 user vagrant welcome whatever willkommen
    wordpass zaq12wsx zxcvbn zxcvbnm contrasena contraseña motdepasse senha parola haslo heslo salasana lozinka
"""
COMMON: Final = frozenset(_AT_THE_HEAD.split())
"""Of the lists of leaked passwords, what stands at their head, without digits and marks around it."""

LEFT_OVER: Final = 8
"""Characters that a password must have beside such words."""

_LOOKS_LIKE: Final = str.maketrans(
    {"0": "o", "1": "l", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i"}
)
_ROWS: Final = (
    "01234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "yxcvbnm",
)
_PIECES: Final = re.compile(r"[^\W\d_]{3,}")


def is_monotonous(password: str) -> bool:
    """Whether it repeats a few characters, or goes along the alphabet, the digits or a row of the keyboard."""
    folded = password.casefold()
    if len(set(folded)) < 5:
        return True
    return len(_without(folded, _runs(folded))) < LEFT_OVER // 2


def is_guessable(password: str, names: Iterable[str]) -> bool:
    """Whether little is left of it beside common words and ``names``: those of the person and of the product."""
    folded = password.casefold()
    pieces = {piece for name in (*names, *PRODUCT) for piece in _PIECES.findall(name.casefold())}
    words = sorted(COMMON | pieces, key=len, reverse=True)
    for text in (folded, folded.translate(_LOOKS_LIKE)):
        left = _without(text, words)
        if left != text and len(left) < LEFT_OVER:
            return True
    return False


def _without(text: str, words: Iterable[str]) -> str:
    for word in words:
        text = text.replace(word, "")
    return text


def _runs(text: str) -> list[str]:
    """Pieces of five or more that lie in one row, forwards or backwards, the longest first."""
    found = []
    for row in (each for one in _ROWS for each in (one * 2, one[::-1] * 2)):
        start = 0
        while start < len(text):
            length = 1
            while start + length <= len(text) and text[start : start + length] in row:
                length += 1
            if length - 1 >= 5:
                found.append(text[start : start + length - 1])
            start += max(length - 1, 1)
    return sorted(found, key=len, reverse=True)
