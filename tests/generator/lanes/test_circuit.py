"""A lane that does not work is left alone, and one probe finds out when it works again."""

from math import inf

from generator.lanes.circuit import FAILURES_IN_A_ROW, Circuit


def opened(circuit: Circuit) -> Circuit:
    for _ in range(FAILURES_IN_A_ROW):
        circuit.fail(0.0, "503", probe=False)
    return circuit


def test_it_opens_after_failures_in_a_row_and_not_after_scattered_ones() -> None:
    circuit = Circuit()
    for _ in range(100):
        circuit.fail(0.0, "503", probe=False)
        circuit.answered(0.0)
    assert circuit.closed
    assert not opened(circuit).closed


def test_streams_from_before_the_failures_that_end_well_do_not_keep_it_closed() -> None:
    circuit = Circuit()
    for number in range(FAILURES_IN_A_ROW):
        circuit.fail(10.0 + number, "503", probe=False)
        circuit.answered(started_at=5.0)
    assert not circuit.closed


def test_a_single_probe_goes_out_and_the_others_wait_for_it() -> None:
    circuit = opened(Circuit())
    assert not circuit.may_probe(1.0)
    assert circuit.may_probe(3.0)
    circuit.probing = True
    assert not circuit.may_probe(3.0)


def test_pauses_double_while_probes_fail_up_to_a_minute() -> None:
    circuit, pauses = opened(Circuit()), []
    for _ in range(8):
        now = circuit.retry_at
        circuit.probing = True
        circuit.fail(now, "503", probe=True)
        pauses.append(circuit.retry_at - now)
    assert pauses == [4, 8, 16, 32, 60, 60, 60, 60]


def test_calls_that_were_in_flight_when_it_opened_do_not_put_the_probe_off() -> None:
    circuit = opened(Circuit())
    circuit.fail(1.9, "503", probe=False)
    assert circuit.may_probe(2.0)


def test_a_probe_that_succeeds_closes_it() -> None:
    circuit = opened(Circuit())
    circuit.succeed()
    assert circuit.closed
    assert circuit.why == ""


def test_a_stopped_lane_is_not_probed_and_one_without_balance_every_hour() -> None:
    circuit = Circuit()
    circuit.stop(0.0, "401")
    assert not circuit.may_probe(1e12)
    circuit.stop(0.0, "402", 3600.0)
    assert not circuit.may_probe(3599.0)
    assert circuit.may_probe(3600.0)


def test_a_lane_is_given_up_only_after_a_last_probe_at_the_end_of_the_patience() -> None:
    circuit = opened(Circuit(give_up_seconds=12.0))
    opened_at = circuit.opened_at
    assert opened_at is not None
    moments = []
    while circuit.given_up_at == inf:
        now = circuit.retry_at
        moments.append(now - opened_at)
        circuit.probing = True
        circuit.fail(now, "HTTP 500", probe=True)
    assert moments == [2.0, 6.0, 12.0]  # not at 14 s, when nobody waits any more
    assert circuit.given_up_at == opened_at + 12.0


def test_a_last_probe_that_is_answered_closes_the_circuit() -> None:
    circuit = opened(Circuit(give_up_seconds=1.0))
    circuit.probing = True
    circuit.succeed()
    assert circuit.closed
    assert circuit.given_up_at == inf


def test_a_stopped_lane_is_given_up_without_a_probe() -> None:
    circuit = Circuit(give_up_seconds=60.0)
    circuit.stop(5.0, "key refused")
    assert circuit.given_up_at == 65.0
