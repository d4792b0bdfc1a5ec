"""Why the embedded key manager says no, in Key Protect's own codes, and why its keystore does not open."""

from typing import ClassVar


class Refusal(Exception):
    """A request that is answered with an error: the class owns the HTTP status and Key Protect's code.

    The text names keys by their identifiers and never holds a value. ``target`` is the field, query parameter or
    header that is wrong, where there is one, as ``(type, name)``.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "BAD_REQUEST_ERR"

    def __init__(self, message: str, *, target: tuple[str, str] | None = None) -> None:
        super().__init__(message)
        self.target = target


class BadBody(Refusal):
    """The body is not of the shape that the call has."""

    code = "BAD_BODY_ERR"


class NoBody(Refusal):
    """The call needs a body."""

    code = "NO_BODY_ERR"


class CollectionTotalMismatch(Refusal):
    """``collectionTotal`` is not the number of resources."""

    code = "COLLECTION_TOTAL_MISMATCH_ERR"


class NumCollectionResource(Refusal):
    """The collection has another number of resources than the call takes."""

    code = "NUM_COLLECTION_RESOURCE_ERR"


class BodyQueryParamMismatch(Refusal):
    """Body and query parameter say different things."""

    code = "BODY_QUERY_PARAM_MISMATCH_ERR"


class InvalidField(Refusal):
    """A field is too long, too short or of another form."""

    code = "INVALID_FIELD_ERR"


class InvalidQueryParam(Refusal):
    """A query parameter is of another form, or does not fit this key."""

    code = "INVALID_QUERY_PARAM_ERR"


class InvalidInstance(Refusal):
    """The header Bluemix-Instance is missing, no UUID, or names no instance."""

    code = "INVALID_INSTANCE_ERR"


class KeyRootRequired(Refusal):
    """Only root keys do that."""

    code = "KEY_ROOT_REQ_ERR"


class KeyPayloadRequired(Refusal):
    """A root key that was imported is rotated with new material."""

    code = "KEY_PAYLOAD_REQ_ERR"


class KeyExpired(Refusal):
    """The expiration date is over, or not in the future."""

    code = "KEY_EXPIRED_ERR"


class KeyRestoreExpired(Refusal):
    """The time for a restore is over."""

    code = "KEY_RESTORE_EXPIRED"


class IncorrectNonce(Refusal):
    """The nonce of an encrypted import is not that of the import token."""

    code = "INCORRECT_NONCE_ERR"


class IncorrectNonceIv(Refusal):
    """The nonce of an encrypted import does not open under its initialisation vector."""

    code = "INCORRECT_NONCE_IV_ERR"


class KeySearchTooBroad(Refusal):
    """A search over more keys than may be searched."""

    code = "KEY_SEARCH_TOO_BROAD"


class InvalidCrk(Refusal):
    """A KMIP adapter needs an active root key."""

    code = "NATIVE_INVALID_CRK_ERR"


NO_ACCESS = "The user does not have access to the specified resource"
"""Said alike of what is somebody else's and of what is not there."""


class Unauthorised(Refusal):
    """Unknown caller, or a caller without the right: Key Protect answers both alike."""

    status = 401
    code = "UNAUTHORIZED_ERR"


class Forbidden(Refusal):
    """A network policy keeps the caller out."""

    status = 403
    code = "FORBIDDEN_ERR"


class NotFound(Refusal):
    """Nothing has this identifier."""

    status = 404
    code = "NOT_FOUND_ERR"


class KeyNotFound(NotFound):
    """No key has this identifier."""

    code = "KEY_NOT_FOUND_ERR"


class KeyRingNotFound(NotFound):
    """No key ring has this identifier."""

    code = "KEY_RING_NOT_FOUND_ERR"


class AliasNotFound(NotFound):
    """The key has no such alias."""

    code = "KEY_ALIAS_NOT_FOUND_ERR"


class ImportTokenNotFound(NotFound):
    """No import token was made."""

    code = "IMPORT_TOKEN_NOT_FOUND_ERR"


class CrkNotFound(NotFound):
    """The root key that a KMIP adapter names is not there."""

    code = "NATIVE_CRK_ID_NOT_FOUND_ERR"


class AdapterNotFound(NotFound):
    """No KMIP adapter of this instance has this identifier or name."""

    code = "KMIP_ADAPTER_NOT_FOUND_ERR"


class CertificateNotFound(NotFound):
    """No certificate of the KMIP adapter has this identifier or name."""

    code = "KMIP_CERT_NOT_FOUND_ERR"


class KmipObjectNotFound(NotFound):
    """The KMIP adapter has no object of this identifier."""

    code = "KMIP_OBJECT_NOT_FOUND_ERR"


class Contradiction(Refusal):
    """What is asked does not fit what is there."""

    status = 409
    code = "CONFLICT_ERR"


class KeyActionInvalidState(Contradiction):
    """The key is in a state that does not allow the action."""

    code = "KEY_ACTION_INVALID_STATE_ERR"


class TooEarly(Contradiction):
    """The least time since the last change is not over."""

    code = "REQ_TOO_EARLY_ERR"


class KeyRotationNotPermitted(Contradiction):
    """The key was rotated within the last hour."""

    code = "KEY_ROTATION_NOT_PERMITTED"


class ProtectedResource(Contradiction):
    """The key protects resources; ``force`` deletes it all the same."""

    code = "PROTECTED_RESOURCE_ERR"


class PreventKeyDeletion(Contradiction):
    """A resource that the key protects forbids the deletion, even with ``force``."""

    code = "PREV_KEY_DEL_ERR"


class AuthorisationsNotMet(Contradiction):
    """Another person has to set the key for deletion first."""

    code = "AUTHORIZATIONS_NOT_MET"


class NotDualAuth(Contradiction):
    """The key has no dual authorisation policy."""

    code = "NOT_DUAL_AUTH_ERR"


class KeyCreateImportAccess(Contradiction):
    """The instance's policy keyCreateImportAccess forbids it."""

    code = "KEY_CREATE_IMPORT_ACCESS_ERR"


class ImportTokenExpired(Contradiction):
    """The import token is over, by time or by its retrievals."""

    code = "IMPORT_TOKEN_EXPIRED_ERR"


class AliasTaken(Contradiction):
    """A key of this instance has this alias already."""

    code = "KEY_ALIAS_NOT_UNIQUE_ERR"


class AliasQuota(Contradiction):
    """The key, or the instance, has as many aliases as it may."""

    code = "KEY_ALIAS_QUOTA_ERR"


class KeyRingConflict(Contradiction):
    """The key ring is there already, holds keys, or is the default one."""

    code = "KEY_RING_CONFLICT_ERR"


class AdapterDuplicateName(Contradiction):
    """A KMIP adapter of this instance has the name."""

    code = "KMIP_ADAPTER_DUPLICATE_NAME_ERR"


class AdapterQuota(Contradiction):
    """The instance has as many KMIP adapters as it may."""

    code = "KMIP_ADAPTER_QUOTA_ERR"


class AdapterHasObjects(Contradiction):
    """The KMIP adapter still has objects."""

    code = "KMIP_ADAPTER_HAS_OBJECTS_ERR"


class CertificateDuplicate(Contradiction):
    """The adapter has this certificate already."""

    code = "KMIP_CERT_DUPLICATE_ERR"


class CertificateDuplicateName(Contradiction):
    """A certificate of this adapter has the name."""

    code = "KMIP_CERT_DUPLICATE_NAME_ERR"


class CertificateQuota(Contradiction):
    """The KMIP adapter has as many certificates as it may."""

    code = "KMIP_CERT_QUOTA_ERR"


class CertificateReuse(Contradiction):
    """Another adapter of the deployment has this certificate."""

    code = "KMIP_CERT_REUSE_ERR"


class KmipObjectInvalidState(Contradiction):
    """The KMIP object is active, or destroyed already."""

    code = "KMIP_OBJECT_INVALID_STATE_ERR"


class KeyDeleted(Refusal):
    """The key was deleted."""

    status = 410
    code = "KEY_DELETED_ERR"


class BodyTooLong(Refusal):
    """The body is longer than any call needs."""

    status = 413
    code = "BODY_TOO_LONG_ERR"


class UnprocessableCiphertext(Refusal):
    """The ciphertext is another key's, was bound to other strings, or was changed."""

    status = 422
    code = "UNPROCESSABLE_CIPHERTEXT_ERR"


class TooManyRequests(Refusal):
    """The caller asks faster than one may, or everybody does."""

    status = 429
    code = "TOO_MANY_REQUESTS_ERR"


class KeystoreError(Exception):
    """The keystore cannot be used; the text says what to do next."""


class KeystoreMissing(KeystoreError):
    """There is no keystore, or no key file, where one is expected."""


class KeystoreExists(KeystoreError):
    """A keystore or key file is there already; it is never overwritten."""


class KeystoreLocked(KeystoreError):
    """The passphrase or key file is not the one that seals this keystore, or may not be used as it is."""


class KeystoreDamaged(KeystoreError):
    """The keystore or its database is not what was written: cut off, changed, or of an unknown format."""


class KeystoreRolledBack(KeystoreError):
    """The database is older than what was already seen of it: a copy from before was put back."""


class KeeperUnavailable(KeystoreError):
    """The keeper of the root keys does not answer now: a lost token, a wrong PIN, a stopped process."""


class LogUnavailable(KeystoreError):
    """The log that this node shares with others cannot be reached now; nothing of a change was kept."""


class Overtaken(KeystoreError):
    """Another node has changed the key manager at the same moment; nothing was kept, and it can be done again."""


class ChangeUnsettled(KeystoreError):
    """A change is in the log for every node, or it is not: who looks at the key manager later sees which."""


class KeystoreBehind(KeystoreError):
    """This node has not seen for too long what others have changed, and decides nothing on what may be over."""


class KeystoreDiverged(KeystoreError):
    """The log is not one that this node's database can follow: it was changed, or belongs to another state."""
