"""What Key Protect's statuses and codes mean to the port, for the real service and for the embedded one alike."""

from collections.abc import Mapping
from typing import Final

from keyrack.ports.key_manager import Reason

BY_CODE: Final[Mapping[str, Reason]] = {
    "KEY_NOT_FOUND_ERR": Reason.ABSENT,
    "KEY_DELETED_ERR": Reason.DELETED,
    "KEY_ACTION_INVALID_STATE_ERR": Reason.STATE,
    "KEY_INVALID_STATE_ERR": Reason.STATE,
    "KEY_EXPIRED_ERR": Reason.STATE,
    "UNPROCESSABLE_CIPHERTEXT_ERR": Reason.CIPHERTEXT,
    "KEY_CREATE_IMPORT_ACCESS_ERR": Reason.POLICY,
    "AUTHORIZATIONS_NOT_MET": Reason.POLICY,
    "PROTECTED_RESOURCE_ERR": Reason.REQUEST,
    "PREV_KEY_DEL_ERR": Reason.REQUEST,
    "REQ_TOO_EARLY_ERR": Reason.REQUEST,
    "KEY_ROTATION_NOT_PERMITTED": Reason.REQUEST,
    "IMPORT_TOKEN_EXPIRED_ERR": Reason.REQUEST,
    "RESOURCE_OWNER_ERR": Reason.PERMISSION,
    "SERVICE_ONLY_ERR": Reason.PERMISSION,
    "FEATURE_RESTRICTED_ERR": Reason.PERMISSION,
    "UNAUTHORIZED_ERR": Reason.PERMISSION,
    "BEARER_SUB_EXTRACTION_ERR": Reason.IDENTITY,
}
"""The codes say more than the status that they come with."""

BY_STATUS: Final[Mapping[int, Reason]] = {
    400: Reason.REQUEST,
    401: Reason.PERMISSION,
    403: Reason.NETWORK,
    404: Reason.ABSENT,
    409: Reason.STATE,
    410: Reason.DELETED,
    422: Reason.CIPHERTEXT,
    429: Reason.OVERLOADED,
}


def reason_of(status: int, code: str = "") -> Reason:
    """Why a call was answered so; ``code`` is empty where the answer names none."""
    return BY_CODE.get(code) or BY_STATUS.get(status) or (Reason.FAILING if status >= 500 else Reason.REQUEST)
