"""The disk answers some of the server's calls with an I/O error: refusals, no lie, and work goes on by itself.

``strace`` makes the calls fail; the server knows nothing of it.
"""

import time
from pathlib import Path

import pytest

from keyrack.testing.patient import Patients
from keyrack.testing.power import pull_the_plug, strace
from keyrack.testing.process import Deployment

pytestmark = pytest.mark.skipif(strace() is None, reason="strace is not installed: apt-get install strace")

SECONDS = 2.0
ANSWER_WITHIN = 2.0
FAULTS = {
    "a sync fails": "fdatasync,fsync:error=EIO:when=20+7",
    "a write fails": "pwrite64:error=EIO:when=200+37",
    "a write finds no room": "pwrite64:error=ENOSPC:when=200+23",
}
"""What ``strace`` injects, from which call on and how often."""
SHORT, *LONG = FAULTS


@pytest.mark.parametrize("fault", [SHORT, *(pytest.param(each, marks=pytest.mark.slow) for each in LONG)])
def test_a_disk_that_errs_is_refused_and_got_over(tmp_path: Path, fault: str) -> None:
    """Each answer comes in time and is true, then and after a restart on a disk that errs no more."""
    deployment = Deployment(directory=tmp_path / "deployment").initialise()
    contexts = deployment.furnish()
    files = [deployment.directory / f"catalog.db{end}" for end in ("", "-wal")]
    chosen = [word for file in files for word in ("-P", str(file))]
    calls = FAULTS[fault].partition(":")[0]
    deployment.wrapper = (strace() or "", "-f", "-qq", "-o", str(tmp_path / "trace"), *chosen, "-e", f"trace={calls}",
                          "-e", "signal=none", "-e", f"inject={FAULTS[fault]}")  # fmt: skip
    address = deployment.start()
    try:
        with Patients(address, contexts) as patients:
            time.sleep(SECONDS)
        alive = deployment.process is not None and deployment.process.poll() is None
    finally:
        pull_the_plug(deployment)
    deployment.wrapper = ()
    broken = patients.broken(deployment.start())
    deployment.stop()

    injected = (tmp_path / "trace").read_text().count("(INJECTED)")
    print(f"{fault}: {injected} times; {patients.refused}, {len(patients.promises)} keys, {patients.slowest:.2f} s")  # noqa: T201
    assert alive
    assert injected > 2
    assert [] == patients.problems
    assert [] == broken
    assert patients.slowest < ANSWER_WITHIN
