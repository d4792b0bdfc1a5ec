"""An exported journal verified: without the deployment, with nothing but the file and perhaps the key's public part."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from keyrack.domain.cadf import Names
from keyrack.domain.checkpoints import SignedCheckpoint, of_line
from keyrack.ports.journal import JournalRecord
from keyrack.service.journal.chain import Flaw
from keyrack.service.journal.exporting import KIND, csv_rows, record_line
from keyrack.service.journal.proof import Proof, Proved

FILE = "file"
"""What stands in the place of a chain's name where a flaw is one of the file; its number is that of the line."""


class NoExport(ValueError):
    """The file is none that was exported with its proof."""


def is_export(first: str) -> bool:
    """Whether a file with this first line is one."""
    try:
        told = json.loads(first)
    except ValueError:
        return False
    return isinstance(told, dict) and told.get("kind") == KIND


class Exported:
    """One file while it is walked."""

    def __init__(self, pins: Sequence[str], rows: Iterable[str] | None) -> None:
        """``rows``: the lines of a CSV that the file is the proof of, its heading first."""
        self._pins = pins
        self._rows = iter(rows) if rows is not None else None
        self._flaws: list[Flaw] = []
        self._told = 0
        self._passed_over = 0

    def verified(self, lines: Iterable[str]) -> Proved:
        """What was found; raises :class:`NoExport`."""
        walk = iter(lines)
        first = next(walk, "")
        heading, names, base = _heading(first)
        if self._rows is not None:
            next(self._rows, "")
        proof = Proof(pins=self._pins, base=base, must_be_signed=bool(self._pins))
        hashes = sha256(first.encode())
        ended = False
        for number, line in enumerate(walk, 2):
            if ended:
                self._flaw(number, "stands behind the file's end: added")
                break
            try:
                told = json.loads(line)
                if "end" in told:
                    ended = True
                    self._check_end(number, told["end"], hashes.hexdigest())
                else:
                    self._feed(proof, number, line, told, (heading["format"], names))
            except (ValueError, KeyError, TypeError, AttributeError):
                self._flaw(number, "is not a line of an export: edited")
            hashes.update(line.encode())
        if not ended:
            self._flaw(0, "the file has no end: it was cut off")
        if self._rows is not None and next(self._rows, None) is not None:
            self._flaw(0, "the CSV has rows that its proof does not have")
        found = proof.verdict()
        return replace(found, flaws=(*self._flaws, *found.flaws), remarks=(*found.remarks, *self._remarks(found)))

    def _remarks(self, found: Proved) -> Sequence[str]:
        """What whoever was handed the file should know before believing it."""
        told = []
        if self._passed_over:
            told.append(
                f"{self._passed_over} records are passed over: that they are there is proved, not what they say"
            )
        if found.unvouched:
            told.append(
                f"the last {found.unvouched} have no checkpoint behind them: whoever made the file could write them"
            )
        return told

    def _flaw(self, line: int, what: str) -> None:
        self._flaws.append(Flaw(FILE, line, what))

    def _feed(self, proof: Proof, number: int, line: str, told: Any, form: tuple[str, Names]) -> None:
        if "checkpoint" in told:
            proof.checkpoint(of_line(line))
            return
        if "passed_over" in told:
            self._passed_over += 1
            proof.record(_record(told["passed_over"], ""), whole=False)
            return
        self._told += 1
        place = told if form[0] == "raw" else told["journal"]
        record = _record(place, place["record"])
        proof.record(record)
        if line != record_line(record, *form):
            self._flaw(number, "the event says other than the record that it holds")
        if self._rows is not None and next(self._rows, None) != csv_rows(record, form[1]):
            self._flaw(number, "the row of the CSV says other than the record")

    def _check_end(self, number: int, told: Any, digest: str) -> None:
        if (told["records"], told["passed_over"], told["digest"]) != (self._told, self._passed_over, digest):
            self._flaw(number, "the end of the file does not fit what is before it")


def _heading(first: str) -> tuple[Any, Names, SignedCheckpoint | None]:
    if not is_export(first):
        raise NoExport("the file is no journal that was exported with its proof; 'keyrack audit export' makes one")
    try:
        told = json.loads(first)
        base = of_line(json.dumps(told["base"])) if told["base"] is not None else None
        return told, Names(**told["names"]), base
    except (ValueError, KeyError, TypeError) as error:
        raise NoExport(f"the heading of the file is not as it was written: {error}") from None


def _record(place: Any, text: str) -> JournalRecord:
    return JournalRecord(place["chain"], place["sequence"], text, bytes.fromhex(place["hash"]), place["number"])
