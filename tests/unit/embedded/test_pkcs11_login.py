"""Finding the token and logging in: every failure says what to do, and a wrong PIN never locks a token."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from keyrack.embedded.errors import KeeperUnavailable
from keyrack.embedded.root_keys.pkcs11 import Pkcs11Keeper
from keyrack.embedded.root_keys.token_frames import Told
from keyrack.testing.softhsm import SoftHsm, absent

pytestmark = pytest.mark.skipif(absent() is not None, reason=str(absent()))


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    return SoftHsm.create(tmp_path / "hsm")


class Starts:
    """Counts the processes that Python starts here."""

    _counting: "Starts | None" = None

    def __init__(self) -> None:
        self.count = 0

    @classmethod
    def hear(cls, event: str, _: Any) -> None:
        if cls._counting is not None and event == "subprocess.Popen":
            cls._counting.count += 1

    @classmethod
    @contextmanager
    def counted(cls) -> Iterator["Starts"]:
        """Count within the block."""
        cls._counting = cls()
        try:
            yield cls._counting
        finally:
            cls._counting = None


sys.addaudithook(Starts.hear)


def why_not(hsm: SoftHsm, **changed: Any) -> str:
    """The text of the failure with these settings."""
    keeper = Pkcs11Keeper(hsm.settings(timeout=20.0, **changed))
    with pytest.raises(KeeperUnavailable) as unavailable:
        keeper.probe()
    keeper.close()
    return str(unavailable.value)


def test_a_wrong_pin_is_tried_once_until_its_file_changes(hsm: SoftHsm) -> None:
    """However many requests come; and the first one after the right PIN was written works, without a restart."""
    right = hsm.pin()
    hsm.write_pin("0000")
    keeper = Pkcs11Keeper(hsm.settings(timeout=20.0))

    with Starts.counted() as starts:
        for _ in range(20):
            with pytest.raises(KeeperUnavailable, match="is wrong: write the right one there") as refused:
                keeper.probe()
    assert 1 == starts.count
    assert "0000" not in str(refused.value)
    assert str(hsm.pin_file) in str(refused.value)

    hsm.write_pin("111111")
    with Starts.counted() as starts:
        for _ in range(5):
            with pytest.raises(KeeperUnavailable, match="is wrong"):
                keeper.probe()
    assert 1 == starts.count

    hsm.write_pin(right)
    keeper.probe()
    keeper.close()


def test_a_token_s_last_try_is_left_to_a_person() -> None:
    """SoftHSM2 has no count of tries, so the token's flags are given here."""
    from pkcs11 import TokenFlag

    from keyrack.embedded.root_keys.token_login import check_tries

    fine = TokenFlag.TOKEN_INITIALIZED | TokenFlag.USER_PIN_INITIALIZED
    check_tries(fine, "pin")
    check_tries(fine | TokenFlag.USER_PIN_COUNT_LOW, "pin")

    with pytest.raises(Told, match="one more wrong PIN locks it"):
        check_tries(fine | TokenFlag.USER_PIN_COUNT_LOW | TokenFlag.USER_PIN_FINAL_TRY, "pin")
    with pytest.raises(Told, match="is locked"):
        check_tries(fine | TokenFlag.USER_PIN_LOCKED, "pin")


@pytest.mark.parametrize("written", ["{pin}", "{pin}\n", "{pin}\r\n", "{pin}\nthe PIN of the HSM in Berlin\n"])
def test_the_first_line_is_the_pin(hsm: SoftHsm, written: str) -> None:
    """However an editor ends it."""
    hsm.pin_file.write_bytes(written.format(pin=hsm.pin()).encode())
    keeper = Pkcs11Keeper(hsm.settings(timeout=20.0))

    keeper.probe()

    keeper.close()


@pytest.mark.parametrize("content", [b"", b"\n", b"1" * 300, b"\xff\xfe1234"])
def test_a_file_without_a_pin_is_not_tried(hsm: SoftHsm, content: bytes) -> None:
    """It would cost one of the tries."""
    hsm.pin_file.write_bytes(content)

    assert "the PIN file" in why_not(hsm)


def test_a_pin_file_that_others_read_is_refused(hsm: SoftHsm) -> None:
    """With the command that closes it."""
    os.chmod(hsm.pin_file, 0o644)

    assert f"chmod 600 {hsm.pin_file}" in why_not(hsm)


def test_a_credential_of_a_service_manager_is_read(hsm: SoftHsm) -> None:
    """Its group may read it."""
    os.chmod(hsm.pin_file, 0o440)
    keeper = Pkcs11Keeper(hsm.settings(timeout=20.0))

    keeper.probe()

    keeper.close()


def test_each_thing_that_is_missing_is_named(hsm: SoftHsm, tmp_path: Path) -> None:
    """With the setting to correct."""
    no_library = tmp_path / "lib.so"
    no_code = tmp_path / "text.so"
    no_code.write_text("no library")

    assert f"the PKCS#11 library {no_library} does not load" in why_not(hsm, library=no_library)
    assert "or correct 'library'" in why_not(hsm, library=no_code)
    text = why_not(hsm, token="other")
    assert "there is no token 'other', but 'keyrack'" in text
    assert "or correct 'token'" in text
    hsm.pin_file.unlink()
    assert f"the PIN file {hsm.pin_file} cannot be read (No such file or directory)" in why_not(hsm)


def test_two_tokens_of_one_label_are_not_guessed_between(hsm: SoftHsm) -> None:
    """Keys of one would look lost on the other."""
    hsm.run("softhsm2-util", "--init-token", "--free", "--label", "keyrack", "--pin", "1234", "--so-pin", "12345678")

    assert "more than one token 'keyrack'" in why_not(hsm)


def test_a_library_that_is_no_hsm_is_refused(hsm: SoftHsm) -> None:
    """The C library loads, and has no tokens."""
    import ctypes.util

    libc = ctypes.util.find_library("c")
    assert libc is not None

    assert "does not load" in why_not(hsm, library=Path(libc))


def test_without_the_package_it_says_what_to_install(hsm: SoftHsm, tmp_path: Path) -> None:
    """python-pkcs11 is an extra of Keyrack's."""
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "pkcs11.py").write_text("raise ImportError('No module named pkcs11')")
    environment = {**hsm.environment, "PYTHONPATH": str(tmp_path / "shadow")}

    assert "pip install 'keyrack[hsm]'" in why_not(hsm, environment=environment)
