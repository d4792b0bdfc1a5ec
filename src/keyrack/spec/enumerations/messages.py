"""What messages say: operations, results, credentials, batches."""

from keyrack.spec.versions import V1_1, V1_2, V1_3, V1_4
from keyrack.spec.word import Word


class Operation(Word):
    """Operation (KMIP 1.4, 9.1.3.2.27)."""

    CREATE = 0x01, "Create"
    CREATE_KEY_PAIR = 0x02, "Create Key Pair"
    REGISTER = 0x03, "Register"
    RE_KEY = 0x04, "Re-key"
    DERIVE_KEY = 0x05, "Derive Key"
    CERTIFY = 0x06, "Certify"
    RE_CERTIFY = 0x07, "Re-certify"
    LOCATE = 0x08, "Locate"
    CHECK = 0x09, "Check"
    GET = 0x0A, "Get"
    GET_ATTRIBUTES = 0x0B, "Get Attributes"
    GET_ATTRIBUTE_LIST = 0x0C, "Get Attribute List"
    ADD_ATTRIBUTE = 0x0D, "Add Attribute"
    MODIFY_ATTRIBUTE = 0x0E, "Modify Attribute"
    DELETE_ATTRIBUTE = 0x0F, "Delete Attribute"
    OBTAIN_LEASE = 0x10, "Obtain Lease"
    GET_USAGE_ALLOCATION = 0x11, "Get Usage Allocation"
    ACTIVATE = 0x12, "Activate"
    REVOKE = 0x13, "Revoke"
    DESTROY = 0x14, "Destroy"
    ARCHIVE = 0x15, "Archive"
    RECOVER = 0x16, "Recover"
    VALIDATE = 0x17, "Validate"
    QUERY = 0x18, "Query"
    CANCEL = 0x19, "Cancel"
    POLL = 0x1A, "Poll"
    NOTIFY = 0x1B, "Notify"
    PUT = 0x1C, "Put"
    RE_KEY_KEY_PAIR = 0x1D, "Re-key Key Pair", V1_1
    DISCOVER_VERSIONS = 0x1E, "Discover Versions", V1_1
    ENCRYPT = 0x1F, "Encrypt", V1_2
    DECRYPT = 0x20, "Decrypt", V1_2
    SIGN = 0x21, "Sign", V1_2
    SIGNATURE_VERIFY = 0x22, "Signature Verify", V1_2
    MAC = 0x23, "MAC", V1_2
    MAC_VERIFY = 0x24, "MAC Verify", V1_2
    RNG_RETRIEVE = 0x25, "RNG Retrieve", V1_2
    RNG_SEED = 0x26, "RNG Seed", V1_2
    HASH = 0x27, "Hash", V1_2
    CREATE_SPLIT_KEY = 0x28, "Create Split Key", V1_2
    JOIN_SPLIT_KEY = 0x29, "Join Split Key", V1_2
    IMPORT = 0x2A, "Import", V1_4
    EXPORT = 0x2B, "Export", V1_4


class ResultStatus(Word):
    """Result Status (KMIP 1.4, 9.1.3.2.28)."""

    SUCCESS = 0x00, "Success"
    OPERATION_FAILED = 0x01, "Operation Failed"
    OPERATION_PENDING = 0x02, "Operation Pending"
    OPERATION_UNDONE = 0x03, "Operation Undone"


class ResultReason(Word):
    """Result Reason (KMIP 1.4, 9.1.3.2.29)."""

    ITEM_NOT_FOUND = 0x01, "Item Not Found"
    RESPONSE_TOO_LARGE = 0x02, "Response Too Large"
    AUTHENTICATION_NOT_SUCCESSFUL = 0x03, "Authentication Not Successful"
    INVALID_MESSAGE = 0x04, "Invalid Message"
    OPERATION_NOT_SUPPORTED = 0x05, "Operation Not Supported"
    MISSING_DATA = 0x06, "Missing Data"
    INVALID_FIELD = 0x07, "Invalid Field"
    FEATURE_NOT_SUPPORTED = 0x08, "Feature Not Supported"
    OPERATION_CANCELED_BY_REQUESTER = 0x09, "Operation Canceled By Requester"
    CRYPTOGRAPHIC_FAILURE = 0x0A, "Cryptographic Failure"
    ILLEGAL_OPERATION = 0x0B, "Illegal Operation"
    PERMISSION_DENIED = 0x0C, "Permission Denied"
    OBJECT_ARCHIVED = 0x0D, "Object archived"
    INDEX_OUT_OF_BOUNDS = 0x0E, "Index Out of Bounds"
    APPLICATION_NAMESPACE_NOT_SUPPORTED = 0x0F, "Application Namespace Not Supported"
    KEY_FORMAT_TYPE_NOT_SUPPORTED = 0x10, "Key Format Type Not Supported"
    KEY_COMPRESSION_TYPE_NOT_SUPPORTED = 0x11, "Key Compression Type Not Supported"
    ENCODING_OPTION_ERROR = 0x12, "Encoding Option Error", V1_1
    KEY_VALUE_NOT_PRESENT = 0x13, "Key Value Not Present", V1_2
    ATTESTATION_REQUIRED = 0x14, "Attestation Required", V1_2
    ATTESTATION_FAILED = 0x15, "Attestation Failed", V1_2
    SENSITIVE = 0x16, "Sensitive", V1_4
    NOT_EXTRACTABLE = 0x17, "Not Extractable", V1_4
    OBJECT_ALREADY_EXISTS = 0x18, "Object Already Exists", V1_4
    GENERAL_FAILURE = 0x100, "General Failure"


class BatchErrorContinuationOption(Word):
    """Batch Error Continuation Option (KMIP 1.4, 9.1.3.2.30)."""

    CONTINUE = 0x01, "Continue"
    STOP = 0x02, "Stop"
    UNDO = 0x03, "Undo"


class CancellationResult(Word):
    """Cancellation Result (KMIP 1.4, 9.1.3.2.25)."""

    CANCELED = 0x01, "Canceled"
    UNABLE_TO_CANCEL = 0x02, "Unable to Cancel"
    COMPLETED = 0x03, "Completed"
    FAILED = 0x04, "Failed"
    UNAVAILABLE = 0x05, "Unavailable"


class PutFunction(Word):
    """Put Function (KMIP 1.4, 9.1.3.2.26)."""

    NEW = 0x01, "New"
    REPLACE = 0x02, "Replace"


class CredentialType(Word):
    """Credential Type (KMIP 1.4, 9.1.3.2.1)."""

    USERNAME_AND_PASSWORD = 0x01, "Username and Password"
    DEVICE = 0x02, "Device", V1_1
    ATTESTATION = 0x03, "Attestation", V1_2


class AttestationType(Word):
    """Attestation Type (KMIP 1.4, 9.1.3.2.36)."""

    TPM_QUOTE = 0x01, "TPM Quote", V1_2
    TCG_INTEGRITY_REPORT = 0x02, "TCG Integrity Report", V1_2
    SAML_ASSERTION = 0x03, "SAML Assertion", V1_2


class ValidityIndicator(Word):
    """Validity Indicator (KMIP 1.4, 9.1.3.2.23)."""

    VALID = 0x01, "Valid"
    INVALID = 0x02, "Invalid"
    UNKNOWN = 0x03, "Unknown"


class QueryFunction(Word):
    """Query Function (KMIP 1.4, 9.1.3.2.24)."""

    QUERY_OPERATIONS = 0x01, "Query Operations"
    QUERY_OBJECTS = 0x02, "Query Objects"
    QUERY_SERVER_INFORMATION = 0x03, "Query Server Information"
    QUERY_APPLICATION_NAMESPACES = 0x04, "Query Application Namespaces"
    QUERY_EXTENSION_LIST = 0x05, "Query Extension List", V1_1
    QUERY_EXTENSION_MAP = 0x06, "Query Extension Map", V1_1
    QUERY_ATTESTATION_TYPES = 0x07, "Query Attestation Types", V1_2
    QUERY_RNGS = 0x08, "Query RNGs", V1_3
    QUERY_VALIDATIONS = 0x09, "Query Validations", V1_3
    QUERY_PROFILES = 0x0A, "Query Profiles", V1_3
    QUERY_CAPABILITIES = 0x0B, "Query Capabilities", V1_3
    QUERY_CLIENT_REGISTRATION_METHODS = 0x0C, "Query Client Registration Methods", V1_3
