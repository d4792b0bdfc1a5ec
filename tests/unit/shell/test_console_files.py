"""What the console's files are: those of others as they were published, and templates in which nothing runs."""

import hashlib
import re
from pathlib import Path
from typing import Final

from keyrack.shell.console import assets, showing

ROOT: Final = Path(__file__).parents[3]
VENDORS: Final = (assets.FILES / "vendor", ROOT / "tests" / "console" / "vendor")
TEMPLATES: Final = {path: path.read_text(encoding="utf-8") for path in sorted(showing.TEMPLATES.rglob("*.html"))}
TAG: Final = re.compile(r"<[a-z][^<>]*(?:{[{%].*?[}%]}[^<>]*)*>", re.DOTALL)
ASSET: Final = r"{{ asset\((?P<asset>[^()]+)\)\.url }}\" integrity=\"{{ asset\((?P=asset)\)\.integrity }}"
SCRIPT: Final = re.compile(f'<script defer src="{ASSET}"></script>')
SHEET: Final = re.compile(f'<link rel="stylesheet" href="{ASSET}">')
LITERAL: Final = re.compile(r"""(?:'[^']*'|"[^"]*")\)?\|safe""")
"""A text that stands in the template as it is: nothing that came in."""
TRUSTED_AS_MARKUP: Final = re.compile(r"\|\s*safe\b|\bMarkup\(|autoescape\s+false")


def test_files_of_others_are_as_their_makers_have_published_them() -> None:
    """Each is pinned by its hash, and nothing else lies beside them."""
    for vendor in VENDORS:
        pins = dict(line.split()[::-1] for line in (vendor / "PINS").read_text().splitlines())
        there = {each.name for each in vendor.iterdir()} - {"PINS", "LICENSES.txt"}
        assert set(pins) == there
        for name, digest in pins.items():
            assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest, name


def test_every_script_and_sheet_is_a_file_of_ours_with_its_hash() -> None:
    found = set()
    for path, text in TEMPLATES.items():
        assert len(SCRIPT.findall(text)) == len(re.findall("<script", text)), path
        assert len(SHEET.findall(text)) == len(re.findall(r"<link[^>]*stylesheet|<style|@import", text)), path
        found |= {name.strip("\"'") for name in (*SCRIPT.findall(text), *SHEET.findall(text)) if name[0] in "\"'"}
    assert {"console.js", "staying.js", "console.css", "vendor/htmx-4.0.1.min.js"} <= found <= set(assets.assets())


def test_nothing_in_a_template_runs() -> None:
    """No script text, no style and no handler in an attribute, no expression that htmx would evaluate, nothing of
    another server."""
    assert len(TEMPLATES) > 10
    for path, text in TEMPLATES.items():
        for tag in TAG.findall(text):
            assert not re.search(r"\sstyle\s*=", tag), (path, tag)
            assert not re.search(r"\son[a-z]+\s*=", tag), (path, tag)
            assert not re.search(r"\shx-on|\shx-vals|\shx-headers|\shx-vars", tag), (path, tag)
            assert not re.search(r"hx-trigger=\"[^\"]*\[", tag), (path, tag)
            assert not re.search(r"(?:src|hx-get|hx-post|action|formaction)\s*=\s*\"(?:https?:)?//", tag), (path, tag)
            assert not re.search(r"(?:href|src|action)\s*=\s*\"\s*(?:javascript|data):", tag), (path, tag)
        assert "<iframe" not in text, path
        assert not TRUSTED_AS_MARKUP.search(LITERAL.sub("", text)), path


def test_every_form_repeats_the_secret_of_its_log_in() -> None:
    forms = 0
    for path, text in TEMPLATES.items():
        begins = re.findall(r"{% macro (\w+)\([^)]*\) %}{{ forms\.secret\(\) }}", text)
        for form in re.findall(r"<form\b.*?</form>", text, re.DOTALL):
            if 'method="post"' in form:
                # One that lets somebody in has a secret of its own.
                known = ["forms.secret()", 'name="csrf"', 'forms.field("token"', *(f"{{{{ {each}(" for each in begins)]
                assert any(each in form for each in known), (path, form[:200])
                forms += 1
            assert "multipart" not in form, path
    assert forms > 5


def test_no_secret_can_be_typed_into_a_plain_field() -> None:
    """Passwords are masked, so that they are neither read from a screen nor kept for the time of a log-in."""
    for path, text in TEMPLATES.items():
        for name in re.findall(r'forms\.field\("([^"]*(?:passw|secret|passphrase|pin|proof))"[^)]*\)', text):
            call = re.search(rf'forms\.field\("{name}"[^\n]*', text)
            assert call is not None
            assert 'kind="password"' in call[0], (path, name)
