"""What ``keyrack audit verify`` looks at, and how it tells what it has found."""

import json as jsonlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keyrack.shell.cli import FAILED, OK, screen
from keyrack.shell.cli.audit_options import public_key
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.options import in_office

if TYPE_CHECKING:
    from keyrack.domain.checkpoints import Head, SignedCheckpoint
    from keyrack.embedded.house import House
    from keyrack.service.journal.chain import Verdict
    from keyrack.service.journal.proof import Proved
    from keyrack.shell.config.whole import Config
    from keyrack.shell.office import Office


@dataclass(frozen=True, slots=True)
class Kept:
    """What was kept elsewhere."""

    heads: "Sequence[Head]" = ()
    checkpoints: "Sequence[SignedCheckpoint]" = ()
    pin: str = ""


def gathered(against: Path | None, key: Path | None) -> Kept:
    """What the files say; raises :class:`WrongUse` for one that says nothing of the kind."""
    kept = _against(against) if against is not None else Kept()
    return replace(kept, pin=public_key(key)) if key is not None else kept


def _against(file: Path) -> Kept:
    from keyrack.domain.checkpoints import Head, of_line

    text = file.read_text(encoding="utf-8", errors="replace")
    try:
        heads = jsonlib.loads(text)["heads"]
        return Kept(heads=[Head(each["chain"], int(each["sequence"]), bytes.fromhex(each["hash"])) for each in heads])
    except (ValueError, KeyError, TypeError):
        pass
    try:
        checkpoints = [of_line(line) for line in text.splitlines() if line.strip()]
    except ValueError:
        checkpoints = []
    if not checkpoints:
        raise WrongUse(
            f"{file} holds neither checkpoints nor heads; make it with 'keyrack audit verify --json > FILE', or copy "
            "the deployment's exported checkpoints"
        )
    return Kept(checkpoints=checkpoints)


def of_key_managers(
    houses: "Mapping[str, House]", closed: Mapping[str, str], kept: Kept, *, catalog_only: bool
) -> "tuple[set[str], list[Verdict]]":
    """Their chains, which are not the catalog's, and what walking them has shown."""
    from keyrack.shell import journals

    verdicts = [journals.verify(name, house, kept.heads) for name, house in houses.items()]
    elsewhere = {journals.chain_of(name) for name in (*houses, *closed)}
    if catalog_only:
        elsewhere = {each.chain for each in kept.heads if each.chain.startswith(journals.chain_of(""))}
    return elsewhere, verdicts


def of_deployment(
    config: Path | None,
    kept: Kept,
    others: "Sequence[Verdict]",
    elsewhere: set[str],
    closed: Mapping[str, str],
    *,
    json: bool,
) -> int:
    """The catalog's journal, told together with the key managers'; the exit code."""

    async def look(office: "Office") -> "Proved":
        from keyrack.service.journal import verification

        evidence = _evidence(office.config, kept, elsewhere)
        return await verification.verify(office.administration, office.catalog, evidence)

    found = in_office(config, look)
    together = replace(
        found,
        records=found.records + sum(each.records for each in others),
        heads=(*found.heads, *(head for each in others for head in each.heads)),
        flaws=(*found.flaws, *(flaw for each in others for flaw in each.flaws)),
    )
    if json:
        screen.as_json(_json(together, closed))
    else:
        _tell(together, closed)
    return FAILED if together.flaws or closed else OK


def _evidence(config: "Config", kept: Kept, elsewhere: set[str]) -> Any:
    """The exported file and the key of the deployment itself, with what was given besides."""
    from keyrack.adapters.journals.signing import SigningKey, UnusableSigningKey
    from keyrack.service.journal.verification import Evidence
    from keyrack.shell.journal_room import exported_of

    file = exported_of(config)
    pins = [kept.pin] if kept.pin else []
    if not pins:
        try:
            pins = [SigningKey.load(config.path(config.journal.signing_key)).public]
        except (FileNotFoundError, UnusableSigningKey) as error:
            screen.warn(f"no key says who has to have signed the checkpoints: {error}; --key names one")
    there = file.path.is_file()

    def exported() -> "list[SignedCheckpoint]":
        mine = list(file.all()) if there else []
        if not kept.checkpoints:
            return mine
        # What was kept elsewhere counts before what lies here.
        last = kept.checkpoints[-1]
        at = next((n for n, each in enumerate(mine) if each.hash == last.hash), None)
        return [*kept.checkpoints, *(mine[at + 1 :] if at is not None else ())]

    heads = [each for each in kept.heads if each.chain not in elsewhere]
    return Evidence(
        exported=exported if there or kept.checkpoints else None,
        heads=heads,
        pins=pins,
        must_be_signed=bool(kept.pin),
    )


def of_export(file: Path, key: Path | None, *, json: bool) -> int:
    """An exported journal; the exit code."""
    from keyrack.service.journal.exported import Exported, NoExport, is_export

    pins = [public_key(key)] if key is not None else []
    with file.open(encoding="utf-8", errors="replace", newline="") as opened:
        first = opened.readline()
    proof, rows = file, None
    if not is_export(first):
        proof = proof_of(file)
        if not proof.is_file():
            raise WrongUse(
                f"{file} is no journal that was exported with its proof; the proof of a CSV lies beside it, in {proof}"
            )
        rows = file.open(encoding="utf-8", errors="replace", newline="")
    try:
        with proof.open(encoding="utf-8", errors="replace", newline="") as lines:
            found = Exported(pins, rows).verified(lines)
    except NoExport as error:
        raise WrongUse(str(error)) from None
    finally:
        if rows is not None:
            rows.close()
    if json:
        screen.as_json(_json(found, {}))
    else:
        _tell(found, {})
        if not pins:
            screen.say("Whose checkpoints they are, only --key tells: 'keyrack audit key' prints the key.")
    return FAILED if found.flaws else OK


def proof_of(csv: Path) -> Path:
    """Where the proof of a CSV lies."""
    return csv.with_name(f"{csv.name}.proof.jsonl")


def _tell(found: "Proved", closed: Mapping[str, str]) -> None:
    for flaw in found.flaws:
        told = screen.printable(f"{flaw.chain} {flaw.sequence}: {flaw.what}")
        screen.say(f"{screen.paint('✗', 'red')} {told}")
    for name, why in closed.items():
        screen.say(f"{screen.paint('✗', 'red')} the journal of the key manager {name!r} was not looked at: {why}")
    heads = ", ".join(f"{head.chain} {head.sequence}" for head in found.heads if head.sequence)
    chains = screen.count(sum(1 for head in found.heads if head.sequence), "chain")
    told = f"{screen.count(found.records, 'record')} in {chains} ({heads or 'none'})"
    if found.flaws:
        screen.say(f"The journal is not as it was written: {screen.count(len(found.flaws), 'flaw')} in {told}.")
    elif closed:
        screen.say(f"What was looked at is as it was written: {told}. --catalog-only leaves the key managers out.")
    else:
        screen.say(f"{screen.paint('✓', 'green')} The journal is as it was written: {told}.")
    _tell_checkpoints(found)


def _tell_checkpoints(found: "Proved") -> None:
    for remark in found.remarks:
        screen.say(f"  {screen.printable(remark)}.")
    last = found.last
    if last is None:
        screen.say("Keep what 'audit verify --json' prints elsewhere: --against it, a cut end shows too.")
        return
    behind = f", {screen.count(found.unvouched, 'record')} behind it" if found.unvouched else ""
    when = screen.instant(last.at // 1000)
    screen.say(f"{screen.count(found.checkpoints, 'checkpoint')}, the last is {last.number} of {when}{behind}.")


def _json(found: "Proved", closed: Mapping[str, str]) -> dict[str, Any]:
    last = found.last
    return {
        "sound": not found.flaws and not closed,
        "records": found.records,
        "heads": [{"chain": h.chain, "sequence": h.sequence, "hash": h.hash.hex()} for h in found.heads],
        "flaws": [{"chain": f.chain, "sequence": f.sequence, "what": f.what} for f in found.flaws],
        "checkpoints": found.checkpoints,
        "last_checkpoint": {"number": last.number, "at": screen.instant(last.at // 1000)} if last else None,
        "not_vouched_for": found.unvouched,
        "remarks": list(found.remarks),
        "not_looked_at": [{"key_manager": name, "why": why} for name, why in closed.items()],
    }
