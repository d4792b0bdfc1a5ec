"""A random client of the administration API against the rights table: what may be answered, and what gives away."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from keyrack.domain.rights import EVERYWHERE, Grant, Right, Role
from keyrack.testing.rest import Answer
from keyrack.testing.tenancy import Caller, Tenant, World
from keyrack.testing.tenancy_calls import Call, Route, masked
from keyrack.testing.tenancy_canaries import marker
from keyrack.testing.tenancy_maker import Maker
from keyrack.testing.tenancy_verdict import Broken, Verdict, verdict

MISTAKES: Final = frozenset(
    {
        "invalid",
        "if-match-missing",
        "changed-meanwhile",
        "bad-cursor",
        "idempotency-key-reused",
        "in-progress",
    }
)
"""What a request itself may be refused for, whoever asks for whatever."""
VARYING: Final = frozenset({"date", "x-request-id", "content-length"})
"""Headers that may differ between two answers alike."""
NO_INSTANCE: Final = frozenset(
    {"unbar_certificate", "trust_seen_certificate", "revoke_role", "show_server_certificate"}
)
"""Calls that may miss something else than what they name."""
_MOMENT: Final = re.compile(rb'"exported_at":"[^"]*"|"digest":"[0-9a-f]*"')
"""What an export says of its moment."""


class RestGame:
    """Plays calls, and holds the answers against the model."""

    def __init__(self, world: World, routes: list[Route]) -> None:
        """In this world, on these routes."""
        self.world = world
        self.maker = Maker(world, routes)
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.asked = 0

    async def step(self) -> None:
        """One call, its repetition with the words that it was asked for, and its twin for what is not there."""
        call = self.maker.call()
        answer = await self._play(call)
        if code_of(answer) == "confirmation-needed" and self.world.dice.random() < 0.8:
            await self._confirmed(call, answer)
        foreign = [each for each in call.missing() if each.real and each.value]
        if foreign and call.repeats is None and call.route.name != "follow_journal":
            await self._twin(call, answer)

    async def _ask(self, call: Call) -> Answer:
        self.asked += 1
        body = call.body
        return await self.world.doors.rest(call.route.method, call.url, call.token, body, call.headers)

    async def _play(self, call: Call) -> Answer:
        said = verdict(call, self.world) if not call.route.open else None
        answer = await self._ask(call)
        try:
            if said is not None:
                self._judge(call, said, answer)
            self._learn(call, answer)
            self._search(call, answer)
        except Broken as error:
            raise Broken(f"{error}\n  call: {call}\n  answer: {answer.status} {answer.body[:2000]!r}") from None
        told = "2xx" if answer.status < 300 else str(answer.status)  # noqa: PLR2004 - success
        self.outcomes[call.route.name, told] += 1
        return answer

    async def _confirmed(self, call: Call, answer: Answer) -> None:
        words = answer.json()["confirmation"]
        again = replace(call, headers={k: v for k, v in call.headers.items() if k != "idempotency-key"})
        if call.route.method == "DELETE":
            again.query = {**call.query, "confirmation": words}
        else:
            again.body = {**(call.body or {}), "confirmation": words}
        await self._play(again)

    # What must be ---------------------------------------------------------------------------------------------------

    def _judge(self, call: Call, said: Verdict, answer: Answer) -> None:
        status, code = answer.status, code_of(answer)
        if status >= 500:  # noqa: PLR2004 - our fault
            raise Broken(f"{status}")
        if said is Verdict.STRANGER:
            if status != 401:  # noqa: PLR2004 - Unauthorized
                raise Broken(f"somebody unknown got {status}")
            return
        if code in MISTAKES or answer.headers.get("idempotent-replayed"):
            return
        allowed = {
            Verdict.HIDDEN: {"not-found"},
            Verdict.FORBIDDEN: {"forbidden"},
            Verdict.EITHER: {"not-found", "forbidden"},
        }.get(said)
        if allowed is not None:
            if code not in allowed and not self._apart(call, code):
                raise Broken(f"the model says {said}, the server {status} {code}")
            return
        if said is Verdict.OWN or call.own:
            return
        if status == 401 or (code == "not-found" and call.route.name not in NO_INSTANCE):  # noqa: PLR2004
            raise Broken(f"the model says {said}, the server {status} {code}")
        if code == "forbidden" and not self._refuses_oneself(call):
            raise Broken(f"the model says {said}, the server {status} {code}")

    @staticmethod
    def _apart(call: Call, code: str) -> bool:
        """A refusal that says nothing of what is hidden: a log-in was too long ago, or what anybody sees is over."""
        if code in {"approval-over", "same-person"}:
            return call.route.path.startswith("/api/v1/approvals/")
        return code == "proof-needed" and bool(call.caller and call.caller.session)

    @staticmethod
    def _refuses_oneself(call: Call) -> bool:
        """What nobody does to himself, or for another; or an act whose asker may not any more."""
        return call.person is not None or call.route.name == "agree_to_approval"

    def _search(self, call: Call, answer: Answer) -> None:
        """That nothing in it is of an instance that the caller must not see."""
        caller = call.caller

        def sees(identifier: str) -> bool:
            tenant = self.world.tenant(identifier)
            if caller is None or not caller.stands or tenant is None:
                return False
            if "/journal" in call.route.path:
                return caller.may(Right.JOURNAL_READ, identifier) or caller.may(Right.JOURNAL_VERIFY)
            return caller.may(Right.INSTANCE_READ, identifier) or (call.own and _granted(caller, identifier))

        if call.route.name == "show_myself":
            call.own = True
        head = json.dumps({k: v for k, v in answer.headers.items() if k != "x-request-id"}).encode()
        leaked = self.world.canaries.leaked(head + answer.body, sees, call.sent)
        if leaked:
            raise Broken(f"the answer gives away {leaked}")

    async def _twin(self, call: Call, answer: Answer) -> None:
        """What is foreign is answered as what is absent."""
        others = {each.value: self.world.absent(each.value) for each in call.missing() if each.real}
        twin = replace(call, headers={k: v for k, v in call.headers.items() if k != "idempotency-key"})
        twin.path = _replaced(call.path, others)
        twin.query = {name: _replaced(value, others) for name, value in call.query.items()}
        twin.body = json.loads(_replaced(json.dumps(call.body), others))
        absent = await self._ask(twin)
        mine, its = _alike(answer, call, {}), _alike(absent, twin, others)
        if mine != its:
            raise Broken(
                f"foreign and absent differ\n  call: {call}\n  foreign: {mine}\n  twin: {twin}\n  absent: {its}"
            )
        self.outcomes["twin", str(answer.status)] += 1

    # What changes ---------------------------------------------------------------------------------------------------

    def _learn(self, call: Call, answer: Answer) -> None:
        """What the model has to know of an answer, and what others may try later."""
        maker, world = self.maker, self.world
        if "etag" in answer.headers:
            maker.etags.append(answer.etag)
            maker.tags[call.path] = answer.etag
        if b'"next":"' in answer.body[-700:] and (found := re.search(rb'"next":"([^"]+)"', answer.body[-700:])):
            maker.cursors[call.route.name].append(found[1].decode())
        if answer.status == 202:  # noqa: PLR2004 - Accepted
            told = answer.json()
            if "approval" in told and call.tenant is not None:
                world.approvals[told["approval"]] = call.tenant.identifier
                world.own(call.tenant, told["approval"])
        if answer.status >= 300 or answer.status == 202 or answer.headers.get("idempotent-replayed"):  # noqa: PLR2004
            return
        learnt = _LEARNT.get(call.route.name)
        if learnt is not None:
            learnt(self, call, answer)

    def renamed(self, call: Call, answer: Answer) -> None:
        """An instance has another name."""
        assert call.tenant is not None
        call.tenant.name = answer.json()["name"]

    def created(self, call: Call, answer: Answer) -> None:
        """There is another instance."""
        told = answer.json()
        word = told["name"][:16] if told["name"].startswith("cnry") else marker(self.world.dice.getrandbits(48))
        tenant = Tenant(told["identifier"], told["name"], word, off=True)
        self.world.tenants.append(tenant)
        self.world.own(tenant, tenant.identifier, word, *([told["root_key"]] if told["root_key"] else []))

    def removed(self, call: Call, answer: Answer) -> None:
        """An instance is gone."""
        assert call.tenant is not None
        call.tenant.present = False

    def switched(self, call: Call, answer: Answer) -> None:
        """An instance serves, or does not, or asks for more."""
        assert call.tenant is not None
        call.tenant.off = True  # Until it is tended: then it serves for certain.

    def certified(self, call: Call, answer: Answer) -> None:
        """A certificate more."""
        assert call.tenant is not None
        if "dry_run" in call.query:
            return
        fingerprint = answer.json().get("fingerprint")
        if fingerprint:
            call.tenant.fingerprints.append(fingerprint)
            self.world.own(call.tenant, fingerprint)
            for word in re.findall(r"cnry[0-9a-f]{12}", answer.body.decode()):
                self.world.own(call.tenant, word)

    def uncertified(self, call: Call, answer: Answer) -> None:
        """A certificate less."""
        assert call.tenant is not None
        self.world.lately.append(call.subject)
        if call.subject in call.tenant.fingerprints:
            call.tenant.fingerprints.remove(call.subject)
            if call.tenant.authorities:
                call.tenant.barred.add(call.subject)

    def barred(self, call: Call, answer: Answer) -> None:
        """No authority of the instance lets a certificate in; a pin does still."""
        assert call.tenant is not None
        call.tenant.barred.add(call.subject)
        self.world.lately.append(call.subject)
        self.world.own(call.tenant, call.subject)  # Its journal tells it.

    def unbarred(self, call: Call, answer: Answer) -> None:
        """Authorities may let it in again."""
        assert call.tenant is not None
        call.tenant.barred.discard(call.subject)

    def trusted(self, call: Call, answer: Answer) -> None:
        """An authority more."""
        assert call.tenant is not None
        if "dry_run" not in call.query:
            call.tenant.authorities.append(answer.json()["fingerprint"])

    def distrusted(self, call: Call, answer: Answer) -> None:
        """An authority less."""
        assert call.tenant is not None
        self.world.lately += call.tenant.admitted
        call.tenant.authorities[:] = [each for each in call.tenant.authorities if not each.startswith(call.subject)]

    def granted(self, call: Call, answer: Answer) -> None:
        """Somebody has other rights, and the log-ins of before are over."""
        roles = {Grant(Role(each["role"]), each["instance"] or EVERYWHERE) for each in answer.json()["roles"]}
        wanted = Role(call.body["role"])
        for each in self._tokens(call):
            if not ({grant.role for grant in roles ^ each.grants} <= {wanted}):
                raise Broken("other roles were changed than the one that was named")
            # Ended only where something was changed.
            each.stands = each.stands and (not each.session or roles == each.grants)
            each.grants = set(roles)

    def locked_out(self, call: Call, answer: Answer) -> None:
        """Somebody is locked out, or removed."""
        for each in self._tokens(call):
            each.stands = False

    def let_in(self, call: Call, answer: Answer) -> None:
        """Somebody counts again, by API key."""
        for each in self._tokens(call):
            each.stands = each.stands or bool(each.api_key and each not in self.revoked)

    def revoked_key(self, call: Call, answer: Answer) -> None:
        """An API key is over."""
        if call.person is not None:
            call.person.stands = False
            self.revoked.append(call.person)

    def logged_out(self, call: Call, answer: Answer) -> None:
        """Log-ins are over."""
        who = call.person or call.caller
        for each in self.world.callers:
            if who is not None and each.person == who.person and each.session:
                each.stands = False

    revoked: list[Caller]

    def _tokens(self, call: Call) -> list[Caller]:
        assert call.person is not None
        return [each for each in self.world.callers if each.person == call.person.person]


RestGame.revoked = []

_LEARNT: Final[Mapping[str, Callable[[RestGame, Call, Answer], None]]] = {
    "change_instance": RestGame.renamed,
    "create_instance": RestGame.created,
    "remove_instance": RestGame.removed,
    "deactivate_instance": RestGame.switched,
    "seal_instance": RestGame.switched,
    "set_credential": RestGame.switched,
    "add_certificate": RestGame.certified,
    "issue_certificate": RestGame.certified,
    "sign_certificate": RestGame.certified,
    "remove_certificate": RestGame.uncertified,
    "bar_certificate": RestGame.barred,
    "unbar_certificate": RestGame.unbarred,
    "add_authority": RestGame.trusted,
    "remove_authority": RestGame.distrusted,
    "grant_role": RestGame.granted,
    "revoke_role": RestGame.granted,
    "disable_person": RestGame.locked_out,
    "remove_person": RestGame.locked_out,
    "enable_person": RestGame.let_in,
    "revoke_api_key": RestGame.revoked_key,
    "end_session": RestGame.logged_out,
    "end_sessions": RestGame.logged_out,
    "log_out": RestGame.logged_out,
}


def code_of(answer: Answer) -> str:
    """Of a problem; empty for another answer."""
    return answer.code if "problem" in answer.headers.get("content-type", "") else ""


def _granted(caller: Caller, identifier: str) -> bool:
    return any(each.instance == identifier for each in caller.grants)


def _replaced(text: str, others: Mapping[str, str]) -> str:
    for value, other in others.items():
        text = text.replace(value, other)
    return text


def _alike(answer: Answer, call: Call, others: Mapping[str, str]) -> tuple[Any, ...]:
    references = [replace(each, value=others.get(each.value, each.value)) for each in call.references]
    headers = {name: value for name, value in answer.headers.items() if name not in VARYING}
    return answer.status, headers, _MOMENT.sub(b"", masked(answer.body, references))
