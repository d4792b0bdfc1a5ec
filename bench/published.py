"""``RESULTS.md``: a section for each benchmark, and each writes its own alone."""

import re
from pathlib import Path

PUBLISHED = Path(__file__).parent / "RESULTS.md"
HOW = "see `bench/run.py`, `bench/key_manager.py`, `bench/outage.py` and `bench/admin.py` for how"
HEAD = f"# Measured\n\nWritten by `make bench`; {HOW}.\n"
_SECTION = re.compile(r"^## (.+)\n", re.MULTILINE)


def publish(title: str, text: str, path: Path = PUBLISHED) -> None:
    """Put ``text`` in the place of the section ``title``, or behind the others where there is none yet."""
    parts = _SECTION.split(path.read_text() if path.exists() else "")
    sections = dict(zip(parts[1::2], parts[2::2], strict=True)) | {title: f"\n{text}\n"}
    told = "\n".join(f"## {name}\n\n{body.strip()}\n" for name, body in sections.items())
    path.write_text(f"{HEAD}\n{told}")
