"""Root keys as the administration API shows and takes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field

from keyrack.ports.back_office import RootKeyDetails, RootKeyTold
from keyrack.service.moves.pace import Paces
from keyrack.service.office.root_keys import User
from keyrack.shell.rest.v1.models import Body, Flag, Instant, Resource, Whole, Zoned, instant, since

STATES: Final[Mapping[int, str]] = {
    0: "Pre-activation",
    1: "Active",
    2: "Suspended",
    3: "Deactivated",
    5: "Destroyed",
}
"""Key Protect's numbers."""
Months = Annotated[Whole, Field(ge=0, le=12, description="Rotate it every so many months by itself; 0: it does not.")]


class RootKeyUser(Resource):
    """An instance whose keys a root key wraps."""

    instance: str
    name: str
    keys: Annotated[int, Field(description="Those that are not destroyed.")]
    wrapped: Annotated[
        int, Field(description="What the root key itself has wrapped: of two levels, the wrapping key alone.")
    ]
    behind: Annotated[int, Field(description="How many of them an older version has wrapped.")]
    clients: Annotated[int, Field(description="Client certificates in force.")]


class RootKeyShown(Resource):
    """A customer root key, as its key manager tells of it now."""

    identifier: str
    name: str
    state: Annotated[str, Field(description="Pre-activation, Active, Suspended, Deactivated or Destroyed.")]
    version: Annotated[str, Field(description="Identifier of the version that wraps now.")]
    version_number: Annotated[int | None, Field(description="From 1; null where its key manager does not tell.")]
    created_at: Instant
    rotated_at: Instant | None
    rotation_due: Annotated[Instant | None, Field(description="When its policy rotates it.")]
    expires_at: Instant | None
    used_by: Sequence[RootKeyUser]
    keys_under_newest_version: int
    keys_under_older_versions: Annotated[int, Field(description="They open all the same, and are rewrapped.")]


class RootKeyVersionShown(Resource):
    """One generation of a root key's material."""

    number: int
    identifier: str
    created_at: Instant
    kept_by: Annotated[str, Field(description="software or pkcs11, which is an HSM.")]


class RootKeyWhole(RootKeyShown):
    """A root key, whole; never its material."""

    administered: Annotated[bool, Field(description="Whether it is changed here; else at IBM.")]
    description: str
    aliases: Sequence[str]
    key_ring: str
    imported: Annotated[bool | None, Field(description="Whether its material was brought; null where unknown.")]
    created_by: str
    versions: Annotated[Sequence[RootKeyVersionShown], Field(description="Newest first.")]
    rotate_every_months: int | None
    rotate_from: Annotated[Instant | None, Field(description="It may not be rotated before.")]
    return_from: Annotated[Instant | None, Field(description="It may not be enabled, or restored, before.")]
    dual_authorisation: Annotated[bool | None, Field(description="Whether it takes two people to delete it.")]
    set_for_deletion_by: Annotated[str | None, Field(description="The first of the two.")]
    set_for_deletion_until: Instant | None
    deleted_at: Instant | None
    deleted_by: str | None
    restore_until: Instant | None
    purged_on: Annotated[Instant | None, Field(description="When it is destroyed for ever.")]


class RootKeyNew(Body):
    """A root key to make, of material that the key manager makes; it is usable at once."""

    name: Annotated[str, Field(min_length=2, max_length=90)]
    description: Annotated[str, Field(max_length=240)] = ""
    expires_at: Annotated[Zoned | None, Field(description="From then on it wraps nothing new.")] = None
    rotate_every_months: Annotated[Whole, Field(ge=1, le=12)] | None = None
    dual_authorisation: Annotated[
        Flag, Field(description="It takes two people to delete it; that is not switched off again.")
    ] = False


class RootKeyAct(Body):
    """An act on a root key that can stop machines."""

    confirmation: Annotated[
        str | None, Field(max_length=200, description="The name, which `confirmation-needed` has asked for.")
    ] = None


class RootKeyPolicies(Body):
    """What changes of a root key's policies; what is not sent stays as it is."""

    rotate_every_months: Months | None = None
    dual_authorisation: Annotated[
        Flag | None, Field(description="Once on, it is not switched off: two people delete the root key.")
    ] = None


class RewrapWanted(Body):
    """How a rewrap is done."""

    rate: Annotated[Whole, Field(ge=1, le=1000, description="Keys in a second, at most.")] = 100


class RewrapOfInstance(Resource):
    """How far a rewrap is with the keys of one instance."""

    instance: str
    name: str
    total: int
    behind: int


class Rewrap(Resource):
    """How far the keys are that the newest version is to wrap.

    Each is opened and compared before it is kept. The older versions stay, and go on unwrapping.
    """

    version: Annotated[str, Field(description="Identifier of the version that wraps now.")]
    complete: Annotated[bool, Field(description="Counted: the newest version wraps every key.")]
    total: int
    done: int
    behind: int
    keys_per_second: Annotated[
        float | None, Field(description="Between this look and others of the last 30 seconds; null at the first one.")
    ]
    seconds_left: Annotated[int | None, Field(description="At that pace; null where it does not get on.")]
    instances: Sequence[RewrapOfInstance]


@dataclass(frozen=True, slots=True)
class Looked:
    """A root key, and whose keys it wraps."""

    told: RootKeyTold
    users: Sequence[User]

    @property
    def wrapped(self) -> int:
        """All that it has wrapped."""
        return sum(each.wrapped for each in self.users)

    @property
    def behind(self) -> int:
        """What an older version has wrapped."""
        return sum(each.behind for each in self.users)


def rewrap_of(looked: Looked, paces: Paces, at: float) -> Rewrap:
    """How far it is, and at which pace it gets on; ``at``: seconds since 1970."""
    behind, total = looked.behind, looked.wrapped
    pace = paces.seen(f"{looked.told.identifier} {looked.told.version}", behind, at)
    return Rewrap(
        version=looked.told.version,
        complete=behind == 0,
        total=total,
        done=total - behind,
        behind=behind,
        keys_per_second=round(pace, 1) if pace is not None else None,
        seconds_left=round(behind / pace) if pace else 0 if behind == 0 else None,
        instances=[
            RewrapOfInstance(
                instance=each.instance.identifier, name=each.instance.name, total=each.wrapped, behind=each.behind
            )
            for each in looked.users
        ],
    )


def listed(looked: Looked) -> RootKeyShown:
    """A root key as a list has it."""
    return RootKeyShown(**_fields(looked))


def _fields(looked: Looked) -> dict[str, Any]:
    told, details = looked.told, looked.told.details
    return {
        "identifier": told.identifier,
        "name": told.name,
        "state": STATES.get(told.state, "Unknown"),
        "version": told.version,
        "version_number": len(details.versions) if details else None,
        "created_at": since(told.created_at),
        "rotated_at": instant(details.rotated_at) if details else None,
        "rotation_due": instant(details.rotation_due) if details else None,
        "expires_at": instant(details.expires_at) if details else None,
        "used_by": [_user(each) for each in looked.users],
        "keys_under_newest_version": looked.wrapped - looked.behind,
        "keys_under_older_versions": looked.behind,
    }


def _user(user: User) -> RootKeyUser:
    return RootKeyUser(
        instance=user.instance.identifier,
        name=user.instance.name,
        keys=user.keys,
        wrapped=user.wrapped,
        behind=user.behind,
        clients=user.clients,
    )


def whole(looked: Looked) -> RootKeyWhole:
    """A root key as it is answered."""
    return RootKeyWhole(**_fields(looked), **_details(looked.told.details))


def _details(details: RootKeyDetails | None) -> dict[str, Any]:
    if details is None:
        unknown = {"description": "", "aliases": [], "key_ring": "", "created_by": "", "versions": []}
        named = RootKeyWhole.model_fields.keys() - RootKeyShown.model_fields.keys()
        return {**dict.fromkeys(named), **unknown, "administered": False}
    times = ("rotate_from", "return_from", "set_for_deletion_until", "deleted_at", "restore_until", "purged_on")
    return {
        "administered": True,
        "description": details.description,
        "aliases": details.aliases,
        "key_ring": details.key_ring,
        "imported": details.imported,
        "created_by": details.created_by,
        "versions": [
            RootKeyVersionShown(
                number=each.number,
                identifier=each.identifier,
                created_at=since(each.created_at),
                kept_by=each.kept_by,
            )
            for each in reversed(details.versions)
        ],
        "rotate_every_months": details.rotate_every_months,
        "dual_authorisation": details.dual_authorisation,
        "set_for_deletion_by": details.set_for_deletion_by or None,
        "deleted_by": details.deleted_by or None,
        **{name: instant(getattr(details, name)) for name in times},
    }
