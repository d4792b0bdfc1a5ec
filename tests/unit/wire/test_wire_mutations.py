"""The codec stands mutated messages: the short form of ``make fuzz``."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_mutated_messages_are_read_or_refused() -> None:
    """20,000 spoiled structures and messages raise nothing but WireError; another 20,000 at each run."""
    ran = subprocess.run([sys.executable, "-m", "fuzz", "20000"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert 0 == ran.returncode, ran.stderr
