"""Bodies of requests that set policies."""

from typing import Any, Literal

from pydantic import Field

from keyrack.embedded.errors import BodyQueryParamMismatch, InvalidField
from keyrack.embedded.instances import PolicyType
from keyrack.shell.rest.key_protect.bodies import Body, Collection, Flag, Text
from keyrack.shell.rest.key_protect.key_bodies import DualAuthDelete, Rotation

KeyPolicyKind = Literal["dualAuthDelete", "rotation"]
MISMATCH = "The policy in the body is not the one that the query parameter `policy` names"


class KeyPolicy(Body):
    """One policy of a key, or both."""

    type: Literal["application/vnd.ibm.kms.policy+json"] | None = None
    dual_auth_delete: DualAuthDelete | None = Field(default=None, alias="dualAuthDelete")
    rotation: Rotation | None = None


class SetKeyPolicies(Collection):
    """Policies of a key."""

    resources: list[KeyPolicy]

    @classmethod
    def told(cls) -> tuple[str, int]:
        """One policy, or both."""
        return "policy", 2

    def merged(self, only: KeyPolicyKind | None) -> tuple[DualAuthDelete | None, Rotation | None]:
        """Both policies where they are given, each once; raises the refusal of a body that says something else."""
        self.check("policy", most=2)
        dual = [each.dual_auth_delete for each in self.resources if each.dual_auth_delete is not None]
        rotation = [each.rotation for each in self.resources if each.rotation is not None]
        if only is not None and (rotation if only == "dualAuthDelete" else dual):
            raise BodyQueryParamMismatch(MISMATCH, target=("query_param", "policy"))
        if len(dual) > 1 or len(rotation) > 1:
            raise InvalidField("The field `resources` must be: each policy once", target=("field", "resources"))
        return (dual[0] if dual else None), (rotation[0] if rotation else None)


class PolicyData(Body):
    """Whether the policy counts, and its attributes, which are there if and only if it does."""

    enabled: Flag
    attributes: dict[Text, Any] | None = None


class InstancePolicy(Body):
    """One policy of the instance."""

    policy_type: PolicyType
    policy_data: PolicyData


class SetInstancePolicies(Collection):
    """Policies of the instance."""

    resources: list[InstancePolicy]

    @classmethod
    def told(cls) -> tuple[str, int]:
        """One policy, or all."""
        return "policy", len(PolicyType)

    def merged(self, only: PolicyType | None) -> dict[PolicyType, tuple[bool, dict[str, Any]]]:
        """Each policy with its attributes; raises the refusal of a body that says something else."""
        self.check("policy", most=1 if only else len(PolicyType))
        if only is not None and self.resources[0].policy_type is not only:
            raise BodyQueryParamMismatch(MISMATCH, target=("query_param", "policy"))
        merged: dict[PolicyType, tuple[bool, dict[str, Any]]] = {}
        for each in self.resources:
            if each.policy_type in merged:
                raise InvalidField("The field `resources` must be: each policy once", target=("field", "resources"))
            attributes = each.policy_data.attributes or {}
            # Names in any case, here too.
            folded = {name.lower(): value for name, value in attributes.items()}
            merged[each.policy_type] = (each.policy_data.enabled, folded)
        return merged
