"""What a customer changes where a check fails, in IBM's words and with the places of IBM's console. A table."""

from collections.abc import Mapping
from typing import Final

from keyrack.ports.key_manager import KeyManagerFailed, Reason

_ACCESS: Final = "IBM Cloud console ▸ Manage ▸ Access (IAM) ▸ Service IDs"
_RESTRICTIONS: Final = "the instance ▸ Instance policies, and Manage ▸ Context-based restrictions"

BY_REASON: Final[Mapping[Reason, str]] = {
    Reason.IDENTITY: f"Make an API key of a service ID ({_ACCESS} ▸ API keys) and write it into the configured file; "
    "it counts without a restart. A trusted profile must trust this compute resource.",
    Reason.PERMISSION: f"Give the service ID a service role on this instance ({_ACCESS} ▸ Access policies ▸ Assign "
    "access): Reader to unwrap, Writer to keep keys, Manager to delete them. The same is answered where region, "
    "`url` or `instance` (the GUID) are another instance's.",
    Reason.NETWORK: f"Let this machine's address in: {_RESTRICTIONS}. On the private network `network` must be "
    '"private".',
    Reason.POLICY: "Allow it in the instance ▸ Instance policies ▸ Key create and import access.",
    Reason.ABSENT: "Name a key of this instance: the instance ▸ Keys shows its ID. A key that was purged is lost.",
    Reason.DELETED: "Restore it: the instance ▸ Keys ▸ (filter Destroyed) ▸ … ▸ Restore, within 30 days.",
    Reason.STATE: "Look at the key's state: the instance ▸ Keys; a disabled one is enabled there (… ▸ Enable key).",
    Reason.UNREACHABLE: "Look whether DNS knows the name here and whether a firewall lets this machine through to that "
    "port, by the proxy or without; private endpoints are reached from IBM Cloud's own network alone (a VPE gateway, "
    "or Direct Link).",
    Reason.TRUST: "If a proxy of yours looks into TLS, give its authority as `ca_bundle`; compare the name with the "
    "certificate's. Else somebody else answers.",
    Reason.OVERLOADED: "Wait a little and try again.",
    Reason.FAILING: "Look at https://cloud.ibm.com/status, and whether the address is the instance's; an HPCS instance "
    "must be initialised (its master key loaded).",
    Reason.READ_ONLY: "Wait: after a disaster in a region Key Protect reads and unwraps first, and takes new keys "
    "again within hours (https://cloud.ibm.com/status). Encrypt no new machines until then.",
    Reason.CIPHERTEXT: "Look whether the root key is the one that has wrapped it: the instance ▸ Keys shows its ID and "
    "its versions. `keyrack verify` tells key by key what opens.",
}


def told(error: KeyManagerFailed) -> str:
    """What happened, and what to do about it."""
    advice = BY_REASON.get(error.reason, "")
    return f"{error}. {advice}" if advice else str(error)
