"""Why the embedded key manager says no, in Key Protect's own codes, and why its keystore does not open."""

from typing import ClassVar


class Refusal(Exception):
    """A request that is answered with an error: the class owns the HTTP status and Key Protect's code.

    The text names keys by their identifiers and never holds a value.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "BAD_REQUEST_ERR"


class InvalidField(Refusal):
    """A field is too long, too short or of another form."""

    code = "INVALID_FIELD_ERR"


class KeyNotFound(Refusal):
    """No key has this identifier."""

    status = 404
    code = "KEY_NOT_FOUND_ERR"


class KeyActionInvalidState(Refusal):
    """The key is in a state that does not allow the action."""

    status = 409
    code = "KEY_ACTION_INVALID_STATE_ERR"


class KeyDeleted(Refusal):
    """The key was deleted."""

    status = 410
    code = "KEY_DELETED_ERR"


class UnprocessableCiphertext(Refusal):
    """The ciphertext is another key's, was bound to other strings, or was changed."""

    status = 422
    code = "UNPROCESSABLE_CIPHERTEXT_ERR"


class KeystoreError(Exception):
    """The keystore cannot be used; the text says what to do next."""


class KeystoreMissing(KeystoreError):
    """There is no keystore, or no key file, where one is expected."""


class KeystoreExists(KeystoreError):
    """A keystore or key file is there already; it is never overwritten."""


class KeystoreLocked(KeystoreError):
    """The passphrase or key file is not the one that seals this keystore, or may not be used as it is."""


class KeystoreDamaged(KeystoreError):
    """The keystore is not what was written: cut off, changed, or of a format that this version does not know."""
