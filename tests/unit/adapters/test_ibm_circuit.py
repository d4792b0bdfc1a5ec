"""The circuit breaker on a clock that the test sets."""

from keyrack.adapters.key_managers.ibm.circuit import FAILURES, LONGEST_HOLD, Admission, Circuit


def a_circuit(spread: float = 0.0) -> Circuit:
    return Circuit(lambda: spread)


def fail(circuit: Circuit, now: float, times: int = 1) -> bool:
    """Let calls be made and fail; whether the last one opened the circuit."""
    opened = False
    for _ in range(times):
        admission = circuit.admit(now)
        assert admission is not None
        opened = circuit.failed(admission, now)
    return opened


def test_five_failures_in_a_row_open_it() -> None:
    """One success in between, and it counts anew."""
    circuit = a_circuit()
    assert not fail(circuit, 0, FAILURES - 1)
    circuit.succeeded(Admission.CALL)
    assert not fail(circuit, 0, FAILURES - 1)

    assert fail(circuit, 0)
    assert "open" == circuit.state(0.5)
    assert circuit.admit(0.5) is None


def test_trials_come_after_one_two_four_and_then_each_five_seconds() -> None:
    """One at a time; the first that succeeds closes it."""
    circuit, now, waits = a_circuit(), 0.0, []
    fail(circuit, now, FAILURES)
    for _ in range(5):
        waits.append(circuit.wait(now))
        now += circuit.wait(now)
        assert "half-open" == circuit.state(now)
        trial = circuit.admit(now)
        assert trial is Admission.TRIAL
        assert circuit.admit(now) is None, "a second one at the same time"
        circuit.failed(trial, now)
    assert [1, 2, 4, 5, 5] == waits

    now += circuit.wait(now)
    circuit.succeeded(circuit.admit(now) or Admission.CALL)

    assert ("closed", Admission.CALL) == (circuit.state(now), circuit.admit(now))
    fail(circuit, now, FAILURES)
    assert 1 == circuit.wait(now), "it begins with the first pause again"


def test_pauses_are_spread() -> None:
    """Never longer than they are, and three quarters of it at least."""
    circuit = a_circuit(1.0)
    fail(circuit, 0, FAILURES)

    assert 0.75 == circuit.wait(0)


def test_a_trial_that_was_given_up_lets_another_one_through() -> None:
    """A cancelled call must not keep the circuit open for ever."""
    circuit = a_circuit()
    fail(circuit, 0, FAILURES)
    circuit.let_go(circuit.admit(1) or Admission.CALL)

    assert circuit.admit(1) is Admission.TRIAL


def test_calls_that_were_under_way_do_not_disturb_a_trial() -> None:
    """Their failure neither counts twice nor makes the pause longer, nor lets a second trial through."""
    circuit = a_circuit()
    early = [circuit.admit(0) for _ in range(FAILURES + 3)]
    for admission in early:
        assert admission is not None
        circuit.failed(admission, 0)
    assert 1 == circuit.wait(0)
    assert circuit.admit(1) is Admission.TRIAL

    circuit.failed(Admission.CALL, 1)

    assert 0 == circuit.wait(1)
    assert circuit.admit(1) is None


def test_who_asks_for_peace_gets_it() -> None:
    """Up to a minute; a closed circuit is closed again afterwards."""
    circuit = a_circuit()
    circuit.hold(0, 3)
    assert ("open", 3, None) == (circuit.state(0), circuit.wait(0), circuit.admit(0))
    assert ("closed", Admission.CALL) == (circuit.state(3), circuit.admit(3))

    circuit.hold(0, 86_400)
    assert LONGEST_HOLD == circuit.wait(0)
