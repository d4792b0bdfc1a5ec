"""A session with a token: the keys that lie in it, by the name of a root key version. One thread, one process."""

import os
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import pkcs11
from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass, PKCS11Error

from keyrack.domain.secret import overwrite
from keyrack.embedded.root_keys.token_ciphers import (
    CHOICES,
    GCM,
    INSIDE,
    KEY_WRAPS,
    Cipher,
    DoesNotOpen,
    prove,
    prove_bound,
)
from keyrack.embedded.root_keys.token_frames import Answer, Told
from keyrack.embedded.root_keys.token_login import log_in

KEPT_HANDLES = 4096
"""Keys whose handles are remembered: a search takes many times as long as an encipherment."""
_BITS = 256


@dataclass(frozen=True, slots=True)
class Name:
    """What a key is found by: its label and its identifier in the token."""

    label: str
    identifier: bytes

    def __str__(self) -> str:
        return f"{self.label!r} with the identifier {self.identifier.hex()}"


@dataclass(frozen=True, slots=True)
class Held:
    """A key that was seen to work, and the cipher that it enciphers with."""

    key: Any
    cipher: Cipher


class TokenSession:
    """Makes, finds, uses and destroys keys in one token. Raises :class:`Told`, and ``PKCS11Error`` when it is lost."""

    def __init__(self, library: Any, token: Any, session: Any, mechanism: str) -> None:
        self._token = token
        self._session = session
        # SoftHSM2 never syncs its files. It writes the token's own anew at each login, and keys that are said to be
        # there must be durable.
        self._syncs = str(library.manufacturer_id).startswith("SoftHSM")
        self._sync()
        self._held: OrderedDict[Name, tuple[Held, ...]] = OrderedDict()
        self._trial = self._chosen(CHOICES[mechanism])

    @classmethod
    def begin(cls, library: str, token: str, pin_file: str, mechanism: str) -> Self:
        """Load the library, find the token, log in, and see which mechanism works."""
        loaded = _library(library)
        found = _token(loaded, token)
        return cls(loaded, found, log_in(found, pin_file), mechanism)

    def probe(self) -> None:
        """Return when the token is there and a key of the session works."""
        self._present()
        prove(self._trial.cipher, self._trial.key)

    def generate(self, name: Name) -> None:
        """Make a key under this name; one that is there already, and works, is the one that was asked for."""
        if self._find(name):
            self._sync()
            return
        try:
            key = self._session.generate_key(
                KeyType.AES,
                _BITS,
                id=name.identifier,
                label=name.label,
                store=True,
                capabilities=self._trial.cipher.uses,
                template=INSIDE,
            )
        except PKCS11Error as error:
            raise self._refusal("it does not make a key", error) from None
        self._keep(name, key)

    def take(self, name: Name, material: memoryview) -> bool:
        """Put a key with this value into the token; ``False`` where one of that name is there already."""
        if self._find(name):
            self._sync()
            return False
        value = bytes(material)
        # What software has enciphered with this material was enciphered with AES-GCM.
        uses = self._trial.cipher.uses | MechanismFlag.DECRYPT
        usage = {each: bool(flag & uses) for each, flag in _USAGES.items()}
        try:
            key = self._session.create_object(
                {
                    Attribute.CLASS: ObjectClass.SECRET_KEY,
                    Attribute.KEY_TYPE: KeyType.AES,
                    Attribute.TOKEN: True,
                    Attribute.ID: name.identifier,
                    Attribute.LABEL: name.label,
                    Attribute.VALUE: value,
                    **usage,
                    **INSIDE,
                }
            )
        except PKCS11Error as error:
            raise self._refusal("it does not take a key from outside", error) from None
        finally:
            overwrite(value)
        self._keep(name, key)
        return True

    def encipher(self, name: Name, context: bytes, plaintext: memoryview) -> tuple[bytes, bytes]:
        """Nonce, empty for a key wrap, and ciphertext."""
        held = self._keys(name)[0]
        try:
            return held.cipher.encipher(held.key, context, plaintext)
        except (PKCS11Error, DoesNotOpen) as error:
            self._doubt(name, held)
            raise Told(Answer.REFUSED, f"it does not encipher {len(plaintext)} bytes ({said(error)})") from None

    def decipher(self, name: Name, context: bytes, nonce: bytes, ciphertext: bytes) -> bytearray:
        """The plaintext, which the caller wipes."""
        held = self._keys(name)
        ciphers: tuple[Cipher, ...] = (GCM,) if nonce else KEY_WRAPS
        # Two keys of one name are what a lost answer to "generate" may leave; only one of them has enciphered this.
        for each in held:
            for cipher in dict.fromkeys((each.cipher, *ciphers)):
                try:
                    return cipher.decipher(each.key, context, nonce, ciphertext)
                except (PKCS11Error, DoesNotOpen, AttributeError):
                    continue
        self._doubt(name, held[0])
        raise Told(Answer.UNPROCESSABLE, "it does not open")

    def destroy(self, name: Name) -> None:
        """Destroy all that has this name."""
        self._held.pop(name, None)
        for key in self._objects(name):
            key.destroy()
        self._present()
        self._sync()

    def end(self) -> None:
        """Log out."""
        self._session.close()

    def _keys(self, name: Name) -> tuple[Held, ...]:
        held = self._held.get(name)
        if held is None:
            held = self._find(name)
            if not held:
                self._present()
                if self._objects(name):
                    raise Told(Answer.LOST, f"its key {name} does not work")
                raise Told(Answer.MISSING, f"it has no key {name}")
        self._held.move_to_end(name)
        return held

    def _find(self, name: Name) -> tuple[Held, ...]:
        """The keys of a name that work. One that does not is what a killed process may leave of a new key."""
        objects = self._objects(name)
        held = tuple(each for each in map(self._proved, objects) if each is not None)
        if held:
            self._remember(name, held)
        return held

    def _objects(self, name: Name) -> list[Any]:
        template = {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.LABEL: name.label,
            Attribute.ID: name.identifier,
        }
        return list(self._session.get_objects(template))

    def _keep(self, name: Name, key: Any) -> None:
        """Remember a new key, after a look at whether the HSM has made what it was told to."""
        if key[Attribute.EXTRACTABLE] or not key[Attribute.SENSITIVE]:
            key.destroy()
            raise Told(Answer.REFUSED, "it makes keys that can be read out, although it was told not to")
        held = self._proved(key)
        if held is None:
            raise Told(Answer.LOST, "the key that it has just made does not work")
        self._sync()
        self._remember(name, (held,))

    def _remember(self, name: Name, held: tuple[Held, ...]) -> None:
        self._held[name] = held
        if len(self._held) > KEPT_HANDLES:
            self._held.popitem(last=False)

    def _proved(self, key: Any) -> Held | None:
        """The key with the first cipher that works with it, the chosen one before others."""
        for cipher in (self._trial.cipher, GCM, *KEY_WRAPS):
            try:
                prove(cipher, key)
            except (PKCS11Error, DoesNotOpen, AttributeError):  # A key without a usage lacks the method.
                continue
            return Held(key, cipher)
        return None

    def _chosen(self, ciphers: tuple[Cipher, ...]) -> Held:
        """The first cipher that binds, with the key of the session that it was tried with."""
        why = []
        for cipher in ciphers:
            try:
                key = self._session.generate_key(
                    KeyType.AES, _BITS, store=False, capabilities=cipher.uses, template=INSIDE
                )
                prove_bound(cipher, key)
            except (PKCS11Error, DoesNotOpen) as error:
                why.append(f"{cipher.label}: {said(error)}")
                continue
            return Held(key, cipher)
        raise Told(
            Answer.UNUSABLE,
            f"it can neither do AES-GCM with a nonce of 12 bytes nor wrap keys with AES ({'; '.join(why)}): allow one"
            " of these mechanisms, or take another HSM",
        )

    def _doubt(self, name: Name, held: Held) -> None:
        """Return where the key still works, so that the failure was the request's; otherwise the HSM is lost."""
        try:
            self._present()
            prove(held.cipher, held.key)
        except (PKCS11Error, DoesNotOpen) as error:
            raise Told(Answer.LOST, f"a key does not work any more ({said(error)})") from None

    def _refusal(self, what: str, error: PKCS11Error) -> Told:
        """The HSM's own refusal where it works otherwise; raises ``PKCS11Error`` or :class:`Told` where it is lost."""
        self.probe()
        return Told(Answer.REFUSED, f"{what} ({said(error)})")

    def _present(self) -> None:
        if self._token.slot.get_token().serial != self._token.serial:
            raise Told(Answer.LOST, "another token was put in its place")

    def _sync(self) -> None:
        if self._syncs:
            os.sync()


_USAGES = {
    Attribute.ENCRYPT: MechanismFlag.ENCRYPT,
    Attribute.DECRYPT: MechanismFlag.DECRYPT,
    Attribute.WRAP: MechanismFlag.WRAP,
    Attribute.UNWRAP: MechanismFlag.UNWRAP,
    Attribute.SIGN: MechanismFlag.SIGN,
    Attribute.VERIFY: MechanismFlag.VERIFY,
    Attribute.DERIVE: MechanismFlag.DERIVE,
}


def said(error: Exception) -> str:
    """The name of an error of PKCS#11, with its text where it has one."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _library(path: str) -> Any:
    try:
        return pkcs11.lib(path)
    except PKCS11Error as error:
        if type(error) is PKCS11Error:  # It came from the system's loader, and not from the library.
            text = f"does not load ({error}): install the HSM's software, or correct 'library'"
        else:
            text = (
                f"does not begin to work ({said(error)}): see whether the HSM is connected, and its software set up in "
                "this environment (SoftHSM2 wants SOFTHSM2_CONF there)"
            )
        raise Told(Answer.UNUSABLE, f"the PKCS#11 library {path} {text}") from None


def _token(library: Any, label: str) -> Any:
    found = [token for token in _tokens(library) if token.label == label]
    if len(found) == 1:
        return found[0]
    if found:
        raise Told(Answer.UNUSABLE, f"there is more than one token {label!r}: give them different labels")
    others = ", ".join(sorted(repr(token.label) for token in _tokens(library) if token.label))
    raise Told(
        Answer.UNUSABLE,
        f"there is no token {label!r}, {f'but {others}' if others else 'nor any other'}: connect or initialise it, or"
        " correct 'token'",
    )


def _tokens(library: Any) -> Iterator[Any]:
    for slot in library.get_slots(token_present=True):
        try:
            yield slot.get_token()
        except (PKCS11Error, UnicodeDecodeError):
            continue  # Another slot's trouble is none of ours.
