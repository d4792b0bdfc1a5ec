"""Makes random calls of the administration API from the application's own routes: a new route is called by itself."""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from keyrack.domain.rights import Right, Role
from keyrack.testing.tenancy import Caller, Tenant, World
from keyrack.testing.tenancy_calls import Call, Reference, Route, guarded
from keyrack.testing.tenancy_canaries import marker

SELDOM: Final = {"verify_journal": 0.02, "export_journal": 0.2, "follow_journal": 0.15, "log_out": 0.1}
SELDOM_TOO: Final = {"remove_person": 0.2, "remove_authority": 0.6, "request_server_certificate": 0.3}
OFTEN: Final = {"show_instance": 2.0, "show_key": 3.0, "act_on_keys": 2.0, "search_journal": 2.0, "list_keys": 2.0}
NEVER: Final = dict.fromkeys(
    (
        "create_root_key",
        "set_root_key_policies",
        "rotate_root_key",
        "disable_root_key",
        "enable_root_key",
        "delete_root_key",
        "unset_root_key_for_deletion",
        "restore_root_key",
        "begin_rewrap",
        "show_root_key",
        "show_rewrap",
    ),
    0.0,
)
"""Root keys are the deployment's and no tenant's; these worlds have a key manager that is administered elsewhere. Who
may is asked in ``test_rest_v1_root_keys``."""
WEIGHTS: Final[Mapping[str, float]] = SELDOM | SELDOM_TOO | OFTEN | NEVER


_UUID: Final = "00000000-0000-4000-8000-000000000000"
_PRINTS: Final = frozenset({"certificate", "authority"})
_SOUGHT: Final = frozenset({"instance", "person", "key", "text", "limit", "cursor"})
_WANTED: Final[Mapping[str, float]] = {
    "confirmation": 0.7,
    "roles": 0.0,
    "issuer": 0.0,
    "subject": 0.0,
    "password": 0.0,
    "root_key": 0.0,
    "hierarchy": 0.0,
    "key_manager": 0.2,
    "instance": 0.7,
    "required": 0.3,
    "names": 0.0,
    "occurred_at": 0.1,
}
"""How often a field that may be missing is there."""


class Maker:
    """Makes calls, at random."""

    def __init__(self, world: World, routes: Sequence[Route]) -> None:
        """Of these routes, in this world."""
        self.world = world
        self.dice: random.Random = world.dice
        self.routes = routes
        self._weights = [WEIGHTS.get(each.name, 1.0) * (0.2 if each.open else 1.0) for each in routes]
        self.etags: list[str] = ['"0"']
        self.tags: dict[str, str] = {}
        """The last one of each path."""
        self.cursors: dict[str, list[str]] = defaultdict(list)
        self.made: list[Call] = []
        """Those with an Idempotency-Key."""
        self._signing = _signing_request()
        self._extra = 0

    def call(self) -> Call:
        """The next one."""
        dice = self.dice
        if self.made and dice.random() < 0.04:
            return self._repeated(dice.choice(self.made[-20:]))
        (route,) = dice.choices(self.routes, self._weights)
        caller = None if dice.random() < 0.02 else dice.choice(self.world.callers)
        call = Call(route, caller)
        call.path = route.path
        for each in route.parameters:
            self._parameter(call, each)
        if route.body is not None:
            call.body = self._filled(route.body, call, "")
        if route.method == "POST" and not route.open and dice.random() < 0.2:
            call.headers["idempotency-key"] = dice.randbytes(8).hex()
            self.made.append(call)
        return call

    def _repeated(self, before: Call) -> Call:
        """The same, under the same Idempotency-Key, by the same or by somebody else."""
        dice = self.dice
        caller = before.caller if dice.random() < 0.4 else dice.choice(self.world.callers)
        call = Call(before.route, caller, repeats=before)
        call.path, call.query, call.body = before.path, dict(before.query), before.body
        call.headers = dict(before.headers)
        call.subject, call.tenant = before.subject, before.tenant
        call.person, call.target, call.known = before.person, before.target, before.known
        call.own = call.person is not None and caller is not None and call.person.person == caller.person
        call.references = [self._again(each, call) for each in before.references]
        return call

    def _again(self, before: Reference, call: Call) -> Reference:
        """The reference as another caller has it."""
        if before.kind == "instance":
            found = next((each for each in self.world.present if before.value in {each.identifier, each.name}), None)
            call.tenant = found if "{instance}" in call.route.path else None
            there = found is not None and call.caller is not None and call.caller.sees(found)
            return Reference("instance", before.value, there, found is not None)
        if before.kind == "approval":
            there = call.caller is not None and call.caller.may(Right.APPROVAL_READ, call.target)
            return Reference("approval", before.value, there and bool(call.target), before.real)
        if before.kind in {"person", "api_key", "session"}:
            there = before.real and self._knows_people(call)
            return Reference(before.kind, before.value, there, before.real)
        if before.kind == "sought" or call.tenant is None:
            return before
        here, kind = call.tenant, before.kind
        there = kind == "key_manager" and before.real
        if call.caller is not None and call.caller.sees(here):
            there = there or any(each.startswith(before.value) for each in self._held(call, kind, here))
        return Reference(kind, before.value, there, before.real)

    @staticmethod
    def _held(call: Call, kind: str, tenant: Tenant) -> list[str]:
        """What a tenant has of a kind; of kinds that nobody knows here, its keys."""
        if call.route.path.endswith("/unbar"):
            return sorted(tenant.barred)  # Whosever certificates it has barred.
        if kind == "certificate" and "admitted" in call.route.path and tenant.admitted:
            return tenant.admitted
        return {"certificate": tenant.fingerprints, "authority": tenant.authorities}.get(kind, tenant.keys)

    # What is named --------------------------------------------------------------------------------------------------

    def _parameter(self, call: Call, told: Mapping[str, Any]) -> None:
        name, place = told["name"], told["in"]
        if place == "path":
            value = self._named(call, name)
            call.path = call.path.replace(f"{{{name}}}", quote(value, safe=""))
        elif place == "header":
            tag = self._tag(call)
            call.headers |= {"if-match": tag} if tag is not None else {}
        elif told.get("required") or self.dice.random() < (0.5 if name in _SOUGHT else 0.15):
            part = self._queried(call, name, told["schema"])
            call.query |= {name: part} if part is not None else {}

    def _named(self, call: Call, name: str) -> str:
        """An instance, or what is below it; whatever else a new route may name is looked for among everything."""
        choose: Callable[[Call], str] = {
            "instance": self.instance,
            "person": self._person,
            "api_key": self._api_key,
            "session": self._session,
            "approval": self._approval,
            "key_manager": self._key_manager,
        }.get(name, lambda of: self._below(of, name))
        return choose(call)

    def instance(self, call: Call) -> str:
        """By identifier or name: one of the caller's, any, or none."""
        world, dice, caller = self.world, self.dice, call.caller
        seen = [each for each in world.present if caller is not None and caller.sees(each)]
        pick = dice.random()
        if pick < 0.1:
            value = world.absent(dice.choice(world.tenants).identifier if dice.random() < 0.6 else "no-such-name")
            call.references.append(Reference("instance", value, there=False, real=False))
            return value
        found = dice.choice(seen if seen and pick < 0.75 else world.tenants)
        value = found.name if found.present and dice.random() < 0.4 else found.identifier
        call.references.append(Reference("instance", value, found in seen, found.present))
        if "{instance}" in call.route.path and call.tenant is None:
            call.tenant = found
        return value

    def _below(self, call: Call, kind: str, *, short: bool = True) -> str:
        """A key, a certificate, an authority: of the instance in the path, of another, or of none."""
        world, dice = self.world, self.dice

        def of(each: Tenant) -> list[str]:
            return self._held(call, kind, each)

        here = call.tenant
        pick = dice.random()
        holder = here if here is not None and pick < 0.7 else dice.choice(world.tenants)
        held = of(holder) if holder is not None else []
        value = dice.choice(held) if held and pick < 0.9 else world.absent("0" * 64 if kind in _PRINTS else _UUID)
        if short and kind == "key" and dice.random() < 0.1:
            value = value[:8]
        there = here is not None and any(each.startswith(value) for each in of(here))
        there = there and call.caller is not None and call.caller.sees(here)  # type: ignore[arg-type]
        real = any(each.startswith(value) for tenant in world.tenants for each in of(tenant))
        call.references.append(Reference(kind, value, there, real))
        call.subject = value
        return value

    def _knows_people(self, call: Call) -> bool:
        return call.caller is not None and (call.own or call.caller.may(Right.PERSON_READ))

    def _somebody(self, call: Call) -> Caller | None:
        """Mostly oneself, or another; ``None``: somebody whom nobody knows."""
        pick = self.dice.random()
        found = call.caller if call.caller and pick < 0.3 else self.dice.choice(self.world.callers)
        call.person = found if pick < 0.85 else None
        call.own = call.person is not None and call.caller is not None and call.person.person == call.caller.person
        return call.person

    def _person(self, call: Call) -> str:
        who = self._somebody(call)
        value = who.person if who else self.world.absent(_UUID)
        call.references.append(Reference("person", value, who is not None and self._knows_people(call), bool(who)))
        return value

    def _api_key(self, call: Call) -> str:
        who = self._somebody(call)
        value = who.api_key if who and who.api_key else self.world.absent("0" * 32)
        real = bool(who and who.api_key)
        call.references.append(Reference("api_key", value, real and self._knows_people(call), real))
        return value

    def _session(self, call: Call) -> str:
        digest = call.person.session.hex()[:16] if call.person else ""
        value = digest or self.world.absent("0" * 16)
        call.references.append(Reference("session", value, bool(digest) and self._knows_people(call), bool(digest)))
        return value

    def _approval(self, call: Call) -> str:
        world = self.world
        known = list(world.approvals)[-15:]
        value = self.dice.choice(known) if known and self.dice.random() < 0.85 else world.absent(_UUID)
        call.target = world.approvals.get(value, "")
        there = bool(call.target) and call.caller is not None and call.caller.may(Right.APPROVAL_READ, call.target)
        call.references.append(Reference("approval", value, there, bool(call.target)))
        return value

    def _key_manager(self, call: Call) -> str:
        real = self.dice.random() < 0.8
        call.references.append(Reference("key_manager", "embedded" if real else "nothing", real, real))
        return "embedded" if real else "nothing"

    def _tag(self, call: Call) -> str | None:
        pick = self.dice.random()
        if pick < 0.1:
            return None
        if pick < 0.2:
            return self.dice.choice(self.etags[-30:])
        if pick < 0.5:
            return self.tags.get(call.path, "*")
        return "*"

    def _queried(self, call: Call, name: str, schema: Mapping[str, Any]) -> str | None:
        dice, known = self.dice, self.cursors[call.route.name][-20:]
        acts = ["Get", "instance.seal", "certificate.add", "kmip-key.read"]
        fixed: dict[str, Callable[[], str | None]] = {
            "cursor": lambda: dice.choice(known) if known else None,
            "limit": lambda: str(dice.choice([1, 2, 5, 20])),
            "instance": lambda: self.instance(call),
            "person": lambda: self._person(call),
            "action": lambda: dice.choice(acts),
            "confirmation": lambda: call.tenant.name if call.tenant else "yes",
            "removed": lambda: "true",
            "after": lambda: "0",
            "dry_run": lambda: "true",
            **dict.fromkeys(("key", "prefix", "text", "initiator"), lambda: self._sought(call, name)),
            **dict.fromkeys(("since", "until", "again", "error", "state", "code", "iss"), lambda: None),
        }
        if name in fixed:
            return fixed[name]()
        value = self._filled(schema, call, name)
        return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)

    def _sought(self, call: Call, name: str) -> str:
        """Part of what somebody has, to look for."""
        tenant = self.dice.choice(self.world.tenants)
        if name == "initiator":
            value = f"CertificateID-{self.dice.choice(tenant.fingerprints or [self.world.absent('0' * 64)])}"
        elif name == "text":
            value = tenant.marker
        else:
            value = self.dice.choice([each for each in tenant.keys if guarded(each)] or [self.world.absent(_UUID)])
        # Also of one that was removed: its records stay for who may read them all.
        seen = call.caller is not None and call.caller.may(Right.INSTANCE_READ, tenant.identifier)
        call.references.append(Reference("sought", value.removeprefix("CertificateID-"), seen, real=True))
        return value

    # Bodies ---------------------------------------------------------------------------------------------------------

    def _filled(self, schema: Mapping[str, Any], call: Call, name: str) -> Any:
        """Something that the schema allows, with the names of what there is where a name is wanted."""
        known = self._known(call, name)
        if known is not None:
            return known
        if "$ref" in schema:
            return self._filled(call.route.schemas[schema["$ref"].rpartition("/")[2]], call, name)
        if "anyOf" in schema:
            return self._filled(schema["anyOf"][0], call, name)
        if "enum" in schema or "const" in schema:
            return self.dice.choice(schema.get("enum") or [schema["const"]])
        dice, low, high = self.dice, int(max(schema.get("minimum", 1), 50)), int(min(schema.get("maximum", 5000), 5000))
        dated = schema.get("format") == "date-time"
        text = "2020-01-01T00:00:00Z" if dated else "w" * max(schema.get("minLength", 1), 8)
        made: dict[str, Callable[[], Any]] = {
            "object": lambda: self._object(schema, call),
            "array": lambda: [self._filled(schema["items"], call, name)],
            "integer": lambda: dice.randint(low, high),
            "number": lambda: dice.randint(low, high),
            "boolean": lambda: dice.random() < 0.5,
        }
        kind = schema.get("type")
        return made[kind]() if kind in made else text

    def _object(self, schema: Mapping[str, Any], call: Call) -> dict[str, Any]:
        """What is required, some of the rest, and at least one thing."""
        fields, required = schema.get("properties", {}), schema.get("required", ())
        chosen = [each for each in fields if each in required or self.dice.random() < _WANTED.get(each, 0.3)]
        return {each: self._filled(fields[each], call, each) for each in chosen or list(fields)[:1]}

    def _known(self, call: Call, name: str) -> Any:
        dice, world = self.dice, self.world
        named = call.tenant.name if call.tenant else "nothing"
        if name == "keys" and call.route.name == "act_on_keys":
            return [self._below(call, "key", short=False) for _ in range(dice.choice([1, 1, 2]))]
        if name == "pem":
            return self._pem(call)
        if name in {"keys", "certificates"}:
            return 1_000 if name == "certificates" else 1_000_000  # A quota that the walk does not come to.
        if name == "name":
            return self._name(call)
        if name == "instance":
            return self.instance(call)
        fixed: dict[str, Callable[[], Any]] = {
            "confirmation": lambda: named,
            "request": lambda: self._signing,
            "fingerprint": lambda: world.absent("0" * 64),
            "role": lambda: str(dice.choice(list(Role))),
            "roles": lambda: [],
            "new_root_key": lambda: True,
            "key_manager": lambda: "embedded",
            "storage": lambda: "catalog",
            "form": lambda: "pem",
            "requests": lambda: 10_000,
            "certificate": lambda: "no certificate",
            "subject_pattern": lambda: "*",
            "san_pattern": lambda: "",
        }
        return fixed[name]() if name in fixed else None

    def _pem(self, call: Call) -> str:
        """One of the instance's own, now and then one of another's."""
        world, own = self.world, call.tenant.marker if call.tenant else ""
        mark = own if own in world.pems and self.dice.random() < 0.8 else self.dice.choice(list(world.pems))
        pem = self.dice.choice(world.pems[mark])
        pinned = {each for tenant in world.tenants for each in tenant.fingerprints}
        if mark != own and world.fingerprints[pem] not in pinned:
            # Another's certificate is tried only where that has it already: it would speak for this instance.
            mark, pem = "", self.dice.choice(world.strays)
        call.known = f"{mark} {world.fingerprints[pem]}"
        return pem

    def _name(self, call: Call) -> str:
        """Of what is made or renamed; now and then one that another instance has."""
        dice = self.dice
        if call.route.name == "change_instance" and call.tenant is not None:
            if dice.random() < 0.1:
                return dice.choice(self.world.tenants).name
            return f"{call.tenant.marker}-{dice.randrange(1000)}"
        if call.route.name == "create_instance":
            return f"{marker(dice.getrandbits(48))}-new"
        self._extra += 1
        return f"n{self._extra}-{dice.randbytes(4).hex()}"


def _signing_request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "asked")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()
