"""Another catalog in a configuration file, in which everything else stays as its author wrote it."""

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Final

from keyrack.shell.pki import write_private

_TABLE: Final = re.compile(r"^\s*\[")
_CATALOG: Final = re.compile(r"^\s*\[\s*catalog\s*\]")
_KEY: Final = re.compile(r"""^(\s*)(url|password_file)\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*')(.*)$""")


class NotRewritten(Exception):
    """The file cannot be changed for its author; the text says why."""


def catalog_lines(url: str, password_file: Path | None) -> dict[str, str]:
    """What stands in the table ``[catalog]``, by its keys."""
    lines = {"url": f"url = {_quoted(url)}"}
    if password_file is not None:
        lines["password_file"] = f"password_file = {_quoted(str(password_file))}"
    return lines


def rewritten(text: str, url: str, password_file: Path | None = None) -> str:
    """The text with this catalog in it; comments and order stay. Raises :class:`NotRewritten`."""
    wanted = catalog_lines(url, password_file)
    made: list[str] = []
    inside = done = False
    for line in text.splitlines():
        if _TABLE.match(line):
            if inside:
                _put_rest(made, wanted)
            inside = _CATALOG.match(line) is not None
            done = done or inside
        key = _KEY.match(line) if inside else None
        if key is None:
            made.append(line)
        elif key[2] in wanted:
            made.append(f"{key[1]}{wanted.pop(key[2])}{key[4]}")
    if not done:
        made += ["", "[catalog]"]
    if inside or not done:
        _put_rest(made, wanted)
    after = "\n".join(made) + "\n"
    _compare(text, after, url)
    return after


def rewrite(file: Path, url: str, password_file: Path | None = None) -> Path:
    """Change the file, whole or not at all; where the old one is kept. Raises :class:`NotRewritten`, ``OSError``."""
    before = file.read_text(encoding="utf-8")
    after = rewritten(before, url, password_file)
    kept = _free(file)
    write_private(kept, before.encode())
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    write_private(beside, after.encode())
    there = file.stat()
    os.chmod(beside, there.st_mode & 0o777)
    if os.geteuid() == 0:
        os.chown(beside, there.st_uid, there.st_gid)
    beside.replace(file)
    return kept


def _put_rest(made: list[str], wanted: dict[str, str]) -> None:
    """What the table lacks goes behind its last line that says something."""
    place = len(made)
    while place and (not made[place - 1].strip() or made[place - 1].lstrip().startswith("#")):
        place -= 1
    made[place:place] = wanted.values()
    wanted.clear()


def _compare(before: str, after: str, url: str) -> None:
    """Nothing else may have become something else."""
    try:
        old, new = tomllib.loads(before), tomllib.loads(after)
    except tomllib.TOMLDecodeError as error:
        raise NotRewritten(f"it is written in a way that is not understood here: {error}") from None
    found = new.pop("catalog", {})
    held = old.pop("catalog", {})
    lasting = {name: value for name, value in held.items() if name not in {"url", "password_file"}}
    if old != new or found.get("url") != url or any(found.get(name) != value for name, value in lasting.items()):
        raise NotRewritten("it is written in a way that is not understood here")


def _free(file: Path) -> Path:
    names = (file.with_name(f"{file.name}.before-move{number}") for number in ("", *(f"-{n}" for n in range(2, 100))))
    return next(path for path in names if not path.exists())


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # JSON's escapes are TOML's.
