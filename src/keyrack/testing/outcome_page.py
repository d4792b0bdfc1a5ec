"""The table of outcomes as a page of the reference."""

from collections.abc import Iterator, Sequence
from typing import Final

from keyrack.testing.outcome_cases import ANSWERS, CONNECTION, IAM
from keyrack.testing.outcomes import LONG, METHODS, Case, Kind

_SECTIONS: Final[Sequence[tuple[str, str, Sequence[Case]]]] = (
    (
        "Connections",
        "The client has a token and an open connection, where nothing else is said. One that was not used for a second"
        " and turns out to be closed is replaced, without counting as an attempt.",
        CONNECTION,
    ),
    ("Answers", "What is said in the place of the key manager, or by it.", ANSWERS),
    ("IAM", "The same before the service that gives tokens, which has 5 s at most; the client has none yet.", IAM),
)
_KINDS: Final = {
    Kind.READING: "read, wrap or unwrap",
    Kind.DELETING: "delete a standard key",
    Kind.CHANGING: "change or create",
}


def page() -> str:
    """All of it, in Markdown."""
    lines = [
        "# Outcomes of faults",
        "",
        "What Keyrack makes of every fault between itself and IBM Key Protect or HPCS. A test makes each cell of these",
        "tables happen, through a proxy between the real client and a real key manager that speaks IBM's API.",
        "",
        "**works**: the call does what it should, whatever happened on the way. **refused**: the key manager, or IAM,",
        "has spoken; what is cached under the root key is purged, and no grace bridges it. **unavailable**: nobody has",
        "spoken; what was unwrapped is served for as long as the lease and the outage's grace allow. Behind it stands",
        "the reason as `keyrack doctor` tells it, how many requests met the fault, and when the call ends if not at",
        "once. Pauses between repetitions are below 0.15 s in all.",
        "",
        "| calls | manner |",
        "| --- | --- |",
        *(f"| {', '.join(_methods(kind))} | {_manner(kind)} |" for kind in Kind),
        "",
        f"{', '.join(f'`{each}`' for each in sorted(LONG))}",
        "have as much time as a change (`write_seconds`), the others that read have `answer_seconds`;",
        "`import_root_key` has 30 s for its import token. `binds` is asked of HPCS alone.",
        "",
    ]
    for title, told, cases in _SECTIONS:
        lines += [f"## {title}", "", told, "", *_table(cases), ""]
    return "\n".join(lines).rstrip() + "\n"


def _methods(kind: Kind) -> Iterator[str]:
    return (f"`{method}`" for method, its in METHODS.items() if its is kind)


def _manner(kind: Kind) -> str:
    return {
        Kind.READING: "harmless: made up to three times within its time, with jitter, while repetitions are left",
        Kind.DELETING: "harmless as well: a standard key that is gone already is no error",
        Kind.CHANGING: "never repeated by itself: nobody knows whether it was done. Whoever puts a standard key looks"
        " for it by its name before he puts it again",
    }[kind]


def _table(cases: Sequence[Case]) -> Iterator[str]:
    yield f"| fault | what happens | {' | '.join(_KINDS.values())} |"
    yield f"| --- | --- |{' --- |' * len(_KINDS)}"
    for case in cases:
        cells = [str(case.usual[kind]) for kind in _KINDS]
        besides = [f"`{method}`: {outcome}" for (_, method), outcome in sorted(case.besides.items())]
        told = "; but ".join([case.told, *(["; ".join(besides)] if besides else [])])
        yield f"| {case.name} | {told} | {' | '.join(cells)} |"
