"""Every way in which a request is refused: the class owns its Result Reason, the edge maps it once (KMIP 1.4, 11)."""

from typing import ClassVar

from keyrack.spec.enumerations import ResultReason


class KmipError(Exception):
    """A batch item that fails: its class says the Result Reason, its text is the Result Message.

    The text is for the client's administrator: what happened, why, what to do next. It never holds a value.
    """

    reason: ClassVar[ResultReason] = ResultReason.GENERAL_FAILURE
    cause: str = ""
    """What the journal keeps beside the reason, for those who have to mend it; never told to the client."""


class ItemNotFound(KmipError):
    """No such object for this client: absent, or another instance's; both read alike on purpose."""

    reason = ResultReason.ITEM_NOT_FOUND


class ResponseTooLarge(KmipError):
    """The answer would be longer than the Maximum Response Size of the request."""

    reason = ResultReason.RESPONSE_TOO_LARGE


class AuthenticationNotSuccessful(KmipError):
    """The certificate or credential is not, or no longer, one of the instance."""

    reason = ResultReason.AUTHENTICATION_NOT_SUCCESSFUL


class InvalidMessage(KmipError):
    """The message cannot be understood as the operation that it names."""

    reason = ResultReason.INVALID_MESSAGE


class OperationNotSupported(KmipError):
    """The operation is not built, or not of the request's protocol version."""

    reason = ResultReason.OPERATION_NOT_SUPPORTED


class MissingData(KmipError):
    """Something that the operation needs was left out."""

    reason = ResultReason.MISSING_DATA


class InvalidField(KmipError):
    """A field holds what it may not hold."""

    reason = ResultReason.INVALID_FIELD


class FeatureNotSupported(KmipError):
    """The operation is built, this way of using it is not."""

    reason = ResultReason.FEATURE_NOT_SUPPORTED


class CryptographicFailure(KmipError):
    """Cryptography failed: a wrapping that does not open, a key that does not fit."""

    reason = ResultReason.CRYPTOGRAPHIC_FAILURE


class IllegalOperation(KmipError):
    """The operation is not allowed on this object as it is."""

    reason = ResultReason.ILLEGAL_OPERATION


class PermissionDenied(KmipError):
    """The object's state or rules, or the client's rights, forbid it."""

    reason = ResultReason.PERMISSION_DENIED


class WrongState(PermissionDenied):
    """The lifecycle has no such step from the object's state (KMIP 1.4, 3.22)."""


class ObjectArchived(KmipError):
    """The object is archived."""

    reason = ResultReason.OBJECT_ARCHIVED


class IndexOutOfBounds(KmipError):
    """Too many objects or attributes, or an index that is not there."""

    reason = ResultReason.INDEX_OUT_OF_BOUNDS


class ApplicationNamespaceNotSupported(KmipError):
    """The server makes no Application Data for this namespace."""

    reason = ResultReason.APPLICATION_NAMESPACE_NOT_SUPPORTED


class KeyFormatTypeNotSupported(KmipError):
    """The key cannot be given or taken in this format."""

    reason = ResultReason.KEY_FORMAT_TYPE_NOT_SUPPORTED


class KeyCompressionTypeNotSupported(KmipError):
    """The key cannot be given or taken compressed in this way."""

    reason = ResultReason.KEY_COMPRESSION_TYPE_NOT_SUPPORTED


class EncodingOptionError(KmipError):
    """The Encoding Option does not fit the wrapping (since 1.1)."""

    reason = ResultReason.ENCODING_OPTION_ERROR


class KeyValueNotPresent(KmipError):
    """The server holds the key's description, not its value (since 1.2)."""

    reason = ResultReason.KEY_VALUE_NOT_PRESENT


class Sensitive(KmipError):
    """A sensitive key leaves only wrapped (since 1.4)."""

    reason = ResultReason.SENSITIVE


class NotExtractable(KmipError):
    """The key does not leave at all (since 1.4)."""

    reason = ResultReason.NOT_EXTRACTABLE


class Throttled(KmipError):
    """More was asked than the instance's quota of requests lets it ask: nothing was looked at."""


class GeneralFailure(KmipError):
    """The server could not do it; the cause is in its log, not in the answer."""
