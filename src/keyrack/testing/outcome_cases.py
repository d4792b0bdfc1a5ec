"""The rows of the table of outcomes: every fault, before the key manager and before its IAM."""

from typing import Any, Final

from keyrack.ports.key_manager import Reason
from keyrack.testing.fault_proxy_rules import Fault, Rule, read_only
from keyrack.testing.outcomes import (
    CREATING,
    Case,
    Wait,
    Where,
    alike,
    for_methods,
    mended,
    refused,
    repeated,
    silence,
    unavailable,
    works,
)

SLOW: Final = 0.1
"""Seconds of a latency that everybody can bear."""
AGES: Final = 3600.0
PEACE: Final = 60.0
"""Seconds for which a key manager wants to be left in peace: longer than any call."""
SKEW: Final = 7200.0


def _api(fault: Fault, **more: Any) -> tuple[Rule, ...]:
    return (Rule(fault=fault, path="/api/v2/*", **more),)


def _iam(fault: Fault, **more: Any) -> tuple[Rule, ...]:
    return (Rule(fault=fault, path="/identity/token", **more),)


_ACTIONS: Final = "/api/v2/keys/*/actions/*"
_WITH_AAD: Final = ("wrap", "unwrap", "rewrap")

CONNECTION: Final = (
    Case(
        name="latency",
        told="each answer takes a tenth of a second longer",
        rules=_api(Fault.LATENCY, seconds=SLOW),
        usual=alike(works()),
        patient=True,
    ),
    Case(
        name="too much latency",
        told="each answer takes longer than the call has time",
        rules=_api(Fault.LATENCY, seconds=AGES),
        usual=silence(),
    ),
    Case(
        name="hang",
        told="requests are taken and never answered",
        rules=_api(Fault.HANG),
        usual=silence(),
    ),
    Case(
        name="black hole",
        told="nothing that is sent arrives any more, on open connections neither",
        rules=(Rule(fault=Fault.BLACK_HOLE),),
        usual=silence(),
    ),
    Case(
        name="black hole at first",
        told="the same, and no connection was open yet",
        rules=(Rule(fault=Fault.BLACK_HOLE),),
        usual=alike(unavailable(Reason.UNREACHABLE, None, Wait.CONNECT)),
        cold=True,
    ),
    Case(
        name="no connection",
        told="connections are reset before TLS begins",
        rules=(Rule(fault=Fault.NO_CONNECTION),),
        usual=alike(unavailable(Reason.UNREACHABLE, 0)),
    ),
    Case(
        name="untrusted",
        told="the server shows a certificate of an authority that is not trusted",
        rules=(Rule(fault=Fault.UNTRUSTED),),
        usual=alike(unavailable(Reason.TRUST, 0)),
    ),
    Case(
        name="reset before",
        told="the connection is reset, and the key manager has seen nothing",
        rules=_api(Fault.RESET_BEFORE),
        usual=repeated(Reason.UNREACHABLE),
    ),
    Case(
        name="reset before, once",
        told="the same, once",
        rules=_api(Fault.RESET_BEFORE, times=1),
        usual=mended(Reason.UNREACHABLE),
    ),
    Case(
        name="reset after",
        told="the key manager does it, and the connection is reset",
        rules=_api(Fault.RESET_AFTER),
        usual=repeated(Reason.UNREACHABLE),
    ),
    Case(
        name="reset after, once",
        told="the same, once",
        rules=_api(Fault.RESET_AFTER, times=1),
        usual=mended(Reason.UNREACHABLE),
    ),
    Case(
        name="answer lost",
        told="the key manager does it, and the connection is closed without an answer",
        rules=_api(Fault.ANSWER_LOST),
        usual=repeated(Reason.FAILING),
    ),
    Case(
        name="answer lost, once",
        told="the same, once",
        rules=_api(Fault.ANSWER_LOST, times=1),
        usual=mended(Reason.FAILING),
    ),
    Case(
        name="answer held",
        told="the key manager does it, and its answer does not come",
        rules=_api(Fault.ANSWER_HELD),
        usual=silence(),
    ),
    Case(
        name="half answer",
        told="the answer ends in its middle",
        rules=_api(Fault.HALF_ANSWER),
        usual=repeated(Reason.FAILING),
    ),
    Case(
        name="half answer, once",
        told="the same, once",
        rules=_api(Fault.HALF_ANSWER, times=1),
        usual=mended(Reason.FAILING),
    ),
    Case(
        name="drip",
        told="the answer comes byte by byte, and is not whole in time",
        rules=_api(Fault.DRIP, seconds=0.2),
        usual=silence(),
    ),
    Case(
        name="garbage",
        told="somebody else answers 200, with a page of his own",
        rules=_api(Fault.GARBAGE),
        usual=repeated(Reason.FAILING),
    ),
    Case(
        name="endless",
        told="the answer is longer than any",
        rules=_api(Fault.ENDLESS),
        usual=repeated(Reason.FAILING),
        patient=True,
    ),
)

ANSWERS: Final = (
    *(
        Case(name=fault.value, told=told, rules=_api(fault), usual=repeated(Reason.FAILING))
        for fault, told in (
            (Fault.REQUEST_TIMEOUT, "Request Timeout"),
            (Fault.TOO_EARLY, "Too Early"),
            (Fault.INTERNAL_ERROR, "Internal Server Error, in the key manager's words"),
            (Fault.BAD_GATEWAY, "Bad Gateway, from whoever stands before the key manager"),
            (Fault.UNAVAILABLE, "Service Unavailable"),
            (Fault.GATEWAY_TIMEOUT, "Gateway Timeout"),
            (Fault.NOT_INITIALISED, "503: the HPCS instance has no master key"),
        )
    ),
    Case(
        name="503, once",
        told="Service Unavailable, once",
        rules=_api(Fault.UNAVAILABLE, times=1),
        usual=mended(Reason.FAILING),
    ),
    Case(
        name="429",
        told="Too Many Requests, without a word of when",
        rules=_api(Fault.TOO_MANY_REQUESTS),
        usual=repeated(Reason.OVERLOADED),
    ),
    *(
        Case(
            name=f"429, Retry-After 1 {how}, once",
            told=f"Too Many Requests, once, with Retry-After {told} that the call has time for",
            rules=_api(Fault.TOO_MANY_REQUESTS, times=1, retry_after=1.0, as_date=as_date),
            usual=mended(Reason.OVERLOADED),
            patient=True,
        )
        for how, told, as_date in (("s", "in seconds", False), ("as a date", "as a date", True))
    ),
    *(
        Case(
            name=f"429, Retry-After 60 {how}",
            told="the same, beyond what any call has time for: nobody asks before",
            rules=_api(Fault.TOO_MANY_REQUESTS, retry_after=PEACE, as_date=as_date),
            usual=alike(unavailable(Reason.OVERLOADED)),
        )
        for how, as_date in (("s", False), ("as a date", True))
    ),
    Case(
        name="503, Retry-After 60 s",
        told="Service Unavailable, and to be left in peace for a minute",
        rules=_api(Fault.UNAVAILABLE, retry_after=PEACE),
        usual=alike(unavailable(Reason.FAILING)),
    ),
    Case(
        name="circuit open",
        told="five calls have failed in a row",
        rules=_api(Fault.UNAVAILABLE),
        usual=alike(unavailable(Reason.FAILING, 0)),
        before=("describe_root_key",) * 5,
    ),
    Case(
        name="read-only",
        told="nothing new is kept, as in a regional disaster, and it was seen twice already",
        rules=(read_only(),),
        usual=alike(works()),
        besides=for_methods(CREATING, unavailable(Reason.READ_ONLY)),
        before=("put_standard_key", "put_standard_key", "describe_root_key"),
    ),
    Case(
        name="stale token, 401",
        told="401 for a token that has expired; a fresh one is good",
        rules=_api(Fault.STALE_TOKEN),
        usual=alike(works(1)),
    ),
    Case(
        name="stale token, 400",
        told='the same as 400 "Token is expired"',
        rules=_api(Fault.STALE_TOKEN_400),
        usual=alike(works(1)),
    ),
    Case(
        name="refused token, 401",
        told="401 for fresh tokens too",
        rules=_api(Fault.REFUSED_TOKEN),
        usual=alike(refused(Reason.PERMISSION, 2)),
    ),
    Case(
        name="refused token, 400",
        told='400 "Token is expired" for fresh tokens too',
        rules=_api(Fault.REFUSED_TOKEN_400),
        usual=alike(refused(Reason.IDENTITY, 2)),
    ),
    Case(
        name="wrong region",
        told="401: the instance lives in another region, or nobody may say where",
        rules=_api(Fault.WRONG_REGION),
        usual=alike(refused(Reason.PERMISSION, 2)),
    ),
    Case(
        name="network policy",
        told="403: this address is kept out",
        rules=_api(Fault.NETWORK_POLICY),
        usual=alike(refused(Reason.NETWORK)),
    ),
    Case(
        name="unknown 4xx",
        told="418",
        rules=_api(Fault.TEAPOT),
        usual=alike(refused(Reason.REQUEST)),
        # It may be the strings that are not known: once more without them.
        besides=for_methods(("binds",), refused(Reason.REQUEST, 2)),
    ),
    Case(
        name="skewed clock, ahead",
        told="its clock, and the end of tokens, are two hours ahead",
        rules=(Rule(fault=Fault.SKEWED_CLOCK, seconds=SKEW),),
        usual=alike(works()),
        where=Where.BOTH,
        cold=True,
    ),
    Case(
        name="skewed clock, behind",
        told="two hours behind: each token seems to be dead already",
        rules=(Rule(fault=Fault.SKEWED_CLOCK, seconds=-SKEW),),
        usual=alike(works()),
        where=Where.BOTH,
        cold=True,
    ),
    Case(
        name="aad ignored",
        told="the strings that a ciphertext is to be bound to are ignored; HPCS: `binds` answers no",
        rules=(Rule(fault=Fault.AAD_IGNORED, path=_ACTIONS),),
        usual=alike(works()),
        # What was bound while they counted: this is why none are sent where it is not sure that they will.
        besides=for_methods(("unwrap", "rewrap"), refused(Reason.CIPHERTEXT)),
    ),
    Case(
        name="aad refused",
        told="a request with such strings is refused with 400; HPCS: `binds` answers no, and none are sent",
        rules=(Rule(fault=Fault.AAD_REFUSED, path=_ACTIONS),),
        usual=alike(works()),
        besides=for_methods(_WITH_AAD, refused(Reason.REQUEST)),
    ),
)

IAM: Final = (
    Case(
        name="revoked API key",
        told="400 BXNIM0415E",
        rules=_iam(Fault.REVOKED_API_KEY),
        usual=alike(refused(Reason.IDENTITY)),
        where=Where.IAM,
        cold=True,
    ),
    *(
        Case(name=name, told=told, rules=_iam(fault), usual=alike(unavailable(reason, 3)), where=Where.IAM, cold=True)
        for name, told, fault, reason in (
            ("500", "Internal Server Error", Fault.INTERNAL_ERROR, Reason.FAILING),
            ("503", "Service Unavailable", Fault.UNAVAILABLE, Reason.FAILING),
            ("429", "Too Many Requests", Fault.TOO_MANY_REQUESTS, Reason.OVERLOADED),
            ("reset", "the connection is reset", Fault.RESET_BEFORE, Reason.UNREACHABLE),
            ("answer lost", "the connection is closed without an answer", Fault.ANSWER_LOST, Reason.FAILING),
            ("half answer", "the token ends in its middle", Fault.HALF_ANSWER, Reason.FAILING),
            ("garbage", "somebody else answers 200, with a page of his own", Fault.GARBAGE, Reason.FAILING),
        )
    ),
    Case(
        name="503, once",
        told="Service Unavailable, once",
        rules=_iam(Fault.UNAVAILABLE, times=1),
        usual=alike(works(1)),
        where=Where.IAM,
        cold=True,
    ),
    Case(
        name="429, Retry-After 60 s",
        told="Too Many Requests, for longer than any call has time",
        rules=_iam(Fault.TOO_MANY_REQUESTS, retry_after=PEACE),
        usual=alike(unavailable(Reason.OVERLOADED)),
        where=Where.IAM,
        cold=True,
    ),
    Case(
        name="hang",
        told="the request for a token is never answered",
        rules=_iam(Fault.HANG),
        usual=silence(),
        where=Where.IAM,
        cold=True,
    ),
    Case(
        name="no connection",
        told="connections are reset before TLS begins",
        rules=(Rule(fault=Fault.NO_CONNECTION),),
        usual=alike(unavailable(Reason.UNREACHABLE, 0)),
        where=Where.IAM,
        cold=True,
    ),
    Case(
        name="untrusted",
        told="its certificate is of an authority that is not trusted",
        rules=(Rule(fault=Fault.UNTRUSTED),),
        usual=alike(unavailable(Reason.TRUST, 0)),
        where=Where.IAM,
        cold=True,
    ),
)

CASES: Final = (*CONNECTION, *ANSWERS, *IAM)
"""The whole table."""
