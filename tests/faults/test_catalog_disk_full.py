"""A full disk: refusals instead of lies, and going on when there is room again, without a restart."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="mounting a small disk needs root")
def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    """Filled and freed several times: every answer is true, none takes long, the journal stays sound."""
    disk = tmp_path / "disk"
    disk.mkdir()
    child = f'"{sys.executable}" -m keyrack.testing.catalog_child fill "{disk}/c.db" "{disk}/fill"'
    script = f'mount -t tmpfs -o size=3m tmpfs "{disk}" && exec {child}'
    command = ["unshare", "-m", "sh", "-c", script]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if "mount:" in run.stderr or "unshare" in run.stderr:
        pytest.skip("this machine lets nobody mount")
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)

    assert told["acknowledged"] == told["present"]
    assert told["flaws"] == []
    assert told["refusals"] >= 5
    assert told["longest"] < 2.5
    assert told["recovery"] < 2.0
