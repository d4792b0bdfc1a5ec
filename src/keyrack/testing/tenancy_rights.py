"""Which right each call of the administration API needs: the model's own table, so that one misreading is not two."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keyrack.domain.rights import Right


@dataclass(frozen=True, slots=True)
class Need:
    """What a call needs. Where its path names an instance, the right is for that; else for the whole deployment."""

    right: Right | None = None
    """``None``: whoever is known may ask, and is shown what is theirs."""
    also: Right | None = None
    """Needed for the whole deployment besides."""
    own: bool = False
    """What belongs to the caller needs no right."""
    anywhere: bool = False
    """Enough if it is had for one instance; others are left out of the answer."""
    subject: bool = False
    """Whether what the rest of the path names has to be there, and of that instance."""


def _one(right: Right) -> Need:
    return Need(right, subject=True)


NEEDS: Final[Mapping[str, Need]] = {
    "show_current_session": Need(),
    "log_out": Need(),
    "prove_session": Need(),
    "show_myself": Need(),
    "change_my_password": Need(),
    "list_sessions": Need(Right.PERSON_READ, own=True, subject=True),
    "end_session": Need(Right.PERSON_CHANGE, own=True, subject=True),
    "end_sessions": Need(Right.PERSON_CHANGE, own=True, subject=True),
    "list_people": Need(Right.PERSON_READ),
    "add_person": Need(Right.PERSON_CHANGE),
    "show_person": Need(Right.PERSON_READ, own=True, subject=True),
    "remove_person": _one(Right.PERSON_CHANGE),
    "grant_role": _one(Right.PERSON_CHANGE),
    "revoke_role": _one(Right.PERSON_CHANGE),
    "disable_person": _one(Right.PERSON_CHANGE),
    "enable_person": _one(Right.PERSON_CHANGE),
    "invite_person": _one(Right.PERSON_CHANGE),
    "list_api_keys": Need(Right.PERSON_READ, own=True),
    "create_api_key": Need(Right.PERSON_CHANGE, own=True, subject=True),
    "show_api_key": Need(Right.PERSON_READ, own=True, subject=True),
    "revoke_api_key": Need(Right.PERSON_CHANGE, own=True, subject=True),
    "list_instances": Need(),
    "create_instance": Need(Right.INSTANCE_CREATE),
    "show_instance": Need(Right.INSTANCE_READ),
    "change_instance": Need(Right.INSTANCE_CHANGE),
    "remove_instance": Need(Right.INSTANCE_REMOVE),
    "configure_instance": Need(Right.INSTANCE_CHANGE),
    "activate_instance": Need(Right.INSTANCE_CHANGE),
    "deactivate_instance": Need(Right.INSTANCE_CHANGE),
    "seal_instance": Need(Right.INSTANCE_SEAL),
    "unseal_instance": Need(Right.INSTANCE_SEAL),
    "show_quotas": Need(Right.INSTANCE_READ),
    "change_quotas": Need(Right.INSTANCE_QUOTA),
    "show_credential": Need(Right.INSTANCE_READ),
    "set_credential": Need(Right.INSTANCE_QUOTA),
    "clear_credential": Need(Right.INSTANCE_QUOTA),
    "show_dual_control": Need(Right.INSTANCE_READ),
    "switch_dual_control": Need(Right.INSTANCE_QUOTA),
    "list_certificates": Need(Right.CERTIFICATE_READ),
    "add_certificate": Need(Right.CERTIFICATE_ADD),
    "trust_seen_certificate": Need(Right.CERTIFICATE_ADD, also=Right.STRANGER_READ),
    "issue_certificate": Need(Right.CERTIFICATE_ADD),
    "sign_certificate": Need(Right.CERTIFICATE_ADD),
    "show_certificate": _one(Right.CERTIFICATE_READ),
    "remove_certificate": _one(Right.CERTIFICATE_REMOVE),
    "show_rotation": Need(Right.CERTIFICATE_READ),
    "list_authorities": Need(Right.CERTIFICATE_READ),
    "add_authority": Need(Right.AUTHORITY_CHANGE),
    "show_authority": _one(Right.CERTIFICATE_READ),
    "remove_authority": _one(Right.AUTHORITY_CHANGE),
    "list_admitted_certificates": Need(Right.CERTIFICATE_READ),
    "bar_certificate": Need(Right.CERTIFICATE_REMOVE),
    "unbar_certificate": Need(Right.CERTIFICATE_ADD),
    "list_seen_certificates": Need(Right.STRANGER_READ),
    "show_server_certificate": Need(Right.SERVER_READ),
    "renew_server_certificate": Need(Right.SERVER_CHANGE),
    "replace_server_certificate": Need(Right.SERVER_CHANGE),
    "request_server_certificate": Need(Right.SERVER_CHANGE),
    "list_keys": Need(Right.KEY_READ),
    "show_key": _one(Right.KEY_READ),
    "activate_key": _one(Right.KEY_ACTIVATE),
    "deactivate_key": _one(Right.KEY_DEACTIVATE),
    "mark_key_compromised": _one(Right.KEY_DEACTIVATE),
    "restore_key": _one(Right.KEY_RESTORE),
    "destroy_key": _one(Right.KEY_DESTROY),
    "recover_key": _one(Right.KEY_RESTORE),
    "purge_key": _one(Right.KEY_PURGE),
    "act_on_keys": Need(subject=True),
    "list_approvals": Need(),
    "show_approval": Need(Right.APPROVAL_READ, subject=True),
    "agree_to_approval": Need(Right.APPROVAL_AGREE, subject=True),
    "withdraw_approval": Need(Right.APPROVAL_AGREE, subject=True),
    "list_key_managers": Need(Right.KEY_MANAGER_READ),
    "show_key_manager": _one(Right.KEY_MANAGER_READ),
    "list_root_keys": _one(Right.KEY_MANAGER_READ),
    "show_root_key": _one(Right.KEY_MANAGER_READ),
    "create_root_key": _one(Right.ROOT_KEY_CREATE),
    "set_root_key_policies": _one(Right.ROOT_KEY_POLICY),
    "rotate_root_key": _one(Right.ROOT_KEY_ROTATE),
    "disable_root_key": _one(Right.ROOT_KEY_DISABLE),
    "enable_root_key": _one(Right.ROOT_KEY_RESTORE),
    "delete_root_key": _one(Right.ROOT_KEY_DELETE),
    "unset_root_key_for_deletion": _one(Right.ROOT_KEY_DELETE),
    "restore_root_key": _one(Right.ROOT_KEY_RESTORE),
    "begin_rewrap": _one(Right.ROOT_KEY_ROTATE),
    "show_rewrap": _one(Right.KEY_MANAGER_READ),
    "search_journal": Need(Right.JOURNAL_READ, anywhere=True),
    "export_journal": Need(Right.JOURNAL_READ, anywhere=True),
    "follow_journal": Need(Right.JOURNAL_READ, anywhere=True),
    "list_checkpoints": Need(Right.JOURNAL_VERIFY),
    "list_sinks": Need(Right.JOURNAL_VERIFY),
    "verify_journal": Need(Right.JOURNAL_VERIFY),
    "show_health": Need(Right.SERVER_READ),
}
"""By the call's name. A new call has its row here, or the walk says that nobody knows who may make it."""

ACTS: Final[Mapping[str, Right]] = {
    "activate": Right.KEY_ACTIVATE,
    "deactivate": Right.KEY_DEACTIVATE,
    "compromise": Right.KEY_DEACTIVATE,
    "restore": Right.KEY_RESTORE,
    "recover": Right.KEY_RESTORE,
    "destroy": Right.KEY_DESTROY,
    "purge": Right.KEY_PURGE,
}
"""What ``act_on_keys`` needs, by the act."""
