"""Gathers every text that the console shows, and brings the languages' files up to date: ``make texts``.

Four sources: what templates mark with ``_`` and ``trans``; what Python marks with ``mark``; what use cases refuse an
act with, whose f-strings become shapes with ``{1}``, ``{2}`` … in the place of what is filled in; and the tables whose
words are shown as they are. A text that nobody shows any more leaves the files; one that is new is there untranslated,
and a test refuses that.
"""

import ast
import io
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract

from keyrack.domain.rights import ROLE_MEANING, Right
from keyrack.service.office import refusals
from keyrack.shell.console.words import FILES, LANGUAGES, SOURCE
from keyrack.shell.rest.v1.problems import HIDDEN, KINDS

SRC: Final = Path(__file__).parents[1] / "src" / "keyrack"
TEMPLATES: Final = SRC / "shell" / "console" / "templates"
MARKED: Final = ("shell/console",)
TOLD: Final = (
    "domain",
    "service/office",
    "service/people",
    "service/journal",
    "service/copies",
    "service/recovery",
    "service/vault",
    "shell/console",
    "shell/rest/v1",
    "shell/web",
    "service/health",
    "shell/catalogs.py",
    "shell/first_person.py",
    "shell/planning.py",
    "shell/protections.py",
    "shell/office.py",
    "shell/oidc.py",
    "shell/server_pair.py",
    "adapters/catalogs/postgres/opening.py",
    "adapters/key_managers",
    "embedded",
)
"""Rooms whose refusals reach a page."""
SILENT: Final = ("shell/rest/v1/idempotency.py", "shell/rest/v1/etags.py", "adapters/key_managers/memory.py")
"""What is told to programs and to tests alone."""
RAISED: Final = frozenset(
    {name for name, kind in vars(refusals).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    | {"Problem", "BackOfficeUnavailable", "KeyManagerRefused", "KeyManagerUnavailable", "KeyManagerFailed"}
    | {"RollbackMode", "ConfigError"}
)
"""What is raised with a text for people."""
LISTING: Final = (
    "service/office",
    "service/people/persons.py",
    "embedded/lifecycle.py",
)
PROSE: Final = re.compile(r"(?!(?:[A-Z]\w* ?)+\Z)[a-zA-Z][^\n\\^|]*[a-z]{2} [^\n\\^|]*(?<![A-Z])")
"""What is no name of KMIP's, no pattern and no head of a PEM block: words with a small letter before a blank."""
FORMATTED: Final = re.compile(r"\{\w+(?:!r)?\}")
MOST: Final = 24
"""Shapes of one text at most: one with more choices in it is better written anew."""
HOLE: Final = "\0"
"""Where something is filled in, until it has a number."""

NOISE: Final = tuple(
    f'"{each}'
    for each in ("Project-Id", "Report-", "POT-", "PO-", "Last-Translator", "Language-Team", "Generated-By", "MIME-")
)
"""Lines of a file's head that tell nobody anything, and are others each time."""

Shape = tuple[str, ...]
"""A text in pieces, some of which are :data:`HOLE`."""


def main() -> int:
    """Write the files; the exit code. ``--check`` writes nothing and fails where one is not up to date."""
    found = texts()
    late = [tag for tag in LANGUAGES if tag != SOURCE and not _brought_up(tag, found, write="--check" not in sys.argv)]
    for tag in late:
        print(f"{tag}.po is not up to date: run 'make texts', and translate what is empty")  # noqa: T201
    return 1 if late and "--check" in sys.argv else 0


def texts() -> Mapping[str | tuple[str, str], list[str]]:
    """Every text, or pair of singular and plural, and the files that show it."""
    found: dict[str | tuple[str, str], list[str]] = {}
    for message, where in itertools.chain(_of_templates(), _marked(), _told(), _listed(), _tables()):
        places = found.setdefault(message, [])
        if where not in places:
            places.append(where)
    return found


def _brought_up(tag: str, found: Mapping[str | tuple[str, str], list[str]], *, write: bool) -> bool:
    """Whether the file of a language had just these texts; with ``write`` it has them afterwards."""
    file = FILES / f"{tag}.po"
    known = Catalog(locale=tag.replace("-", "_"))
    if file.exists():
        with file.open("rb") as opened:
            known = read_po(opened, locale=tag.replace("-", "_"))
    title = f"# The console in {LANGUAGES[tag]}."
    fresh = Catalog(locale=tag.replace("-", "_"), header_comment=title, fuzzy=False)
    for message in sorted(found, key=lambda each: each if isinstance(each, str) else each[0]):
        old = known.get(message if isinstance(message, str) else message[0])
        string = old.string if old is not None and isinstance(old.id, str) == isinstance(message, str) else ""
        places = [(each, 0) for each in sorted(found[message])[:3]]
        fresh.add(message, string or None, locations=places)
    same = {_id(each.id) for each in known if each.id} == set(found)
    if write:
        written = io.BytesIO()
        write_po(written, fresh, width=120, include_lineno=False)
        lines = written.getvalue().decode().splitlines(keepends=True)
        file.write_text("".join(each for each in lines if not each.startswith(NOISE)), encoding="utf-8")
    return same


def _id(found: Any) -> str | tuple[str, str]:
    return found if isinstance(found, str) else (found[0], found[1])


def _of_templates() -> Iterator[tuple[str | tuple[str, str], str]]:
    for file in sorted(TEMPLATES.rglob("*.html")):
        with file.open("rb") as opened:
            options = {"trimmed": "true", "newstyle_gettext": "true", "trim_blocks": "true", "lstrip_blocks": "true"}
            for _, function, message, _ in babel_extract(opened, ("_", "gettext", "ngettext", "mark"), (), options):
                where = file.relative_to(SRC).as_posix()
                if function == "ngettext" and isinstance(message, tuple):
                    yield (str(message[0]), str(message[1])), where
                elif message:
                    yield str(message if isinstance(message, str) else message[0]), where


def _modules(rooms: Iterable[str]) -> Iterator[tuple[str, ast.Module]]:
    for room in rooms:
        place = SRC / room
        for file in [place] if place.is_file() else sorted(place.rglob("*.py")):
            if (where := file.relative_to(SRC).as_posix()) not in SILENT:
                yield where, ast.parse(file.read_text(encoding="utf-8"))


def _marked() -> Iterator[tuple[str, str]]:
    for where, module in _modules(MARKED):
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and _name(node.func) == "mark" and node.args:
                for shape in _shapes(node.args[0]):
                    yield _numbered(shape), where


def _told() -> Iterator[tuple[str, str]]:
    for where, module in _modules(TOLD):
        makers = RAISED | _makers(module)
        for node in ast.walk(module):
            if not (isinstance(node, ast.Call) and _name(node.func) in makers):
                continue
            hints = [each.value for each in node.keywords if each.arg in {"hint", "told", "detail", "why", "instead"}]
            for said in (*node.args, *hints):
                for shape in _shapes(said):
                    if _is_sentence(shape):
                        yield _numbered(shape), where


def _listed() -> Iterator[tuple[str, str]]:
    """Sentences, and parts of them, in the tables of modules that refuse."""
    for where, module in _modules(LISTING):
        for statement in module.body:
            if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
                continue
            for node in ast.walk(statement.value):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and PROSE.fullmatch(node.value):
                    numbers = itertools.count(1)
                    yield FORMATTED.sub(lambda _, number=numbers: f"{{{next(number)}}}", node.value), where


def _makers(module: ast.Module) -> frozenset[str]:
    """Functions of the module that make a refusal."""
    return frozenset(
        node.name
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef) and node.returns is not None and _name(node.returns) in RAISED
    )


def _tables() -> Iterator[tuple[str, str]]:
    for right in Right:
        yield right.meaning, "domain/rights.py"
    for meaning in ROLE_MEANING.values():
        yield meaning, "domain/rights.py"
    for kind in KINDS.values():
        yield kind.title, "shell/rest/v1/problems.py"
    yield HIDDEN, "shell/rest/v1/problems.py"


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_sentence(shape: Shape) -> bool:
    """Whether there are words in it: a code, a name or a path is none."""
    text = "".join(each for each in shape if each != HOLE)
    return " " in text.strip() and any(each.isalpha() for each in text)


def _shapes(node: ast.expr) -> Sequence[Shape]:
    """Every text that an expression may come to."""
    if isinstance(node, ast.Constant):
        return [(node.value,)] if isinstance(node.value, str) and node.value else [()]
    if isinstance(node, ast.JoinedStr):
        return _joined([_shapes(each) for each in node.values])
    if isinstance(node, ast.FormattedValue):
        plain = node.conversion == -1 and node.format_spec is None
        inner = _shapes(node.value) if plain and isinstance(node.value, ast.IfExp | ast.Constant) else [(HOLE,)]
        return inner
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _joined([_shapes(node.left), _shapes(node.right)])
    if isinstance(node, ast.IfExp):
        return [*_shapes(node.body), *_shapes(node.orelse)]
    return [(HOLE,)]


def _joined(parts: Sequence[Sequence[Shape]]) -> Sequence[Shape]:
    every = itertools.islice(itertools.product(*parts), MOST)
    return [tuple(itertools.chain.from_iterable(each)) for each in every]


def _numbered(shape: Shape) -> str:
    """``a {1} of {2}``; what stands at two sides of nothing is one text."""
    numbers = itertools.count(1)
    return "".join(f"{{{next(numbers)}}}" if each == HOLE else each for each in shape)


if __name__ == "__main__":
    sys.exit(main())
