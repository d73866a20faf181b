"""Costs are measured, and kernels are compiled ahead in other processes."""

import numpy as np
import pytest
from support import w1

import mcgrad as mg
from mcgrad import precompile
from mcgrad.compiler import backends
from mcgrad.costs import Cost, cost, timed
from mcgrad.kernels.program import gradient_program
from mcgrad.prepare import prepare
from studies import throughput, workloads

e = mg.estimators
BOTH = {"SF": e.reward_to_go(), "PW": e.reparameterization()}


def test_more_rollouts_cost_more_and_shared_ones_once():
    problem, theta = w1(horizon=8)
    chosen = {**BOTH, "eight": e.leave_one_out(8), "mixed": e.mixture(*BOTH.values())}
    found = cost(problem, theta, chosen, 0.03, machine="numpy")
    assert found.rollouts == {"SF": 1, "PW": 1, "eight": 8, "mixed": 1}
    assert set(found.nanoseconds) == set(found.spread) == set(chosen)
    assert all(found[name] > 0 <= found.spread[name] for name in chosen)
    assert 1.5 < found["eight"] / found["SF"] < 40
    slowest = max(chosen, key=found.nanoseconds.get)  # clocks are noisy, and say by how much
    assert found[slowest] - 3.0 * found.spread[slowest] < 1.5 * found.together
    assert found.together < sum(found.nanoseconds.values())
    assert [line.split()[0] for line in repr(found).splitlines()[1:]] == [*chosen, "together"]


def test_ten_estimators_at_once_cost_less_than_twice_the_two_of_the_study():
    workload = workloads.lq_4x2()
    fitted = {
        **throughput.TEN,
        "mixture": e.control_variate(BOTH["PW"], e.difference(*BOTH.values()), np.full((1, 8), 0.3)),
    }
    programs = [gradient_program(workload.problem, workload.theta, prepare(x)) for x in (throughput.ALONE, fitted)]
    (two, _), (ten, _) = timed(programs, 0.2)
    assert len(fitted) == 10 and 1 < ten / two < 2


def test_the_study_of_throughput_tells_what_ten_cost(monkeypatch):
    def fake(problem, theta, estimators, seconds, seed):
        names = dict.fromkeys(estimators, 5.0)
        return Cost(names, dict.fromkeys(estimators, 0.1), dict.fromkeys(estimators, 1), 4.0 + len(estimators), 0.2)

    monkeypatch.setattr(throughput, "cost", fake)
    rows = throughput.cost_rows("W1 lq-4x2", workloads.lq_4x2(), 1.0, 0)
    assert len(rows) == 12 and set(rows[0]) <= set(throughput.COLUMNS)
    assert {"costs": 0.2}.items() <= throughput.settings(True)[0].items()
    text = throughput.report([{**rows[0], "deviation": 1.0}, *rows])
    assert (
        "ten estimators at once take 14 ns, 2.33 times the 6 ns of the two of this study; one after the other 50"
        in text
    )


def test_the_table_has_variance_times_cost():
    problem, theta = w1(horizon=3)
    found = mg.measure(problem, theta, {**BOTH, "pair": e.antithetic(BOTH["SF"])}, 200, machine="numpy")
    table = found.table()
    assert "nanoseconds" not in table
    assert list(table["rollouts"]) == [1] * 16 + [2] * 8
    np.testing.assert_array_equal(table["variance_x_rollouts"], table["variance"] * table["rollouts"])
    prices = {"SF": 10.0, "PW": 20.0, "pair": 30.0}
    for given in (prices, Cost(prices, prices, {}, 1.0, 1.0)):
        priced = found.table(given)
        assert list(priced["nanoseconds"]) == [10.0] * 8 + [20.0] * 8 + [30.0] * 8
        np.testing.assert_array_equal(priced["variance_x_nanoseconds"], priced["variance"] * priced["nanoseconds"])
    with pytest.raises(ValueError, match="cost: expected nanoseconds for SF, PW, pair, got dict"):
        found.table({"SF": 1.0})


@pytest.mark.parametrize("seconds", [0.0, -1.0, np.nan, "1"])
def test_seconds_are_checked(seconds):
    with pytest.raises(ValueError, match="seconds: expected"):
        cost(*w1(horizon=2), BOTH, seconds)


def test_kernels_are_compiled_ahead_by_other_processes(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MCGRAD_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(precompile, "WORTH", 1)
    problem, theta = w1(horizon=4, discount=0.5)
    kernels = [gradient_program(problem, theta, {name: x}).kernel for name, x in BOTH.items()]
    assert not any(map(backends.is_compiled, kernels))
    precompile.compile_ahead(kernels, workers=2)
    assert all(map(backends.is_compiled, kernels))
    for kernel in kernels:
        backends._compiled.__wrapped__(kernel, "simd", kernel.width())
    assert capfd.readouterr().err == ""  # nothing was left to compile


def test_a_crew_that_cannot_work_is_no_obstacle(tmp_path, monkeypatch):
    problem, theta = w1(horizon=4, discount=0.25)
    kernels = [gradient_program(problem, theta, {name: x}).kernel for name, x in BOTH.items()]
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(precompile, "WORTH", 1)
    monkeypatch.setenv("MCGRAD_CACHE_DIR", str(tmp_path / "file" / "below"))
    precompile.compile_ahead(kernels, workers=2)
    monkeypatch.setenv("MCGRAD_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(precompile.sys, "executable", "/bin/false")
    precompile.compile_ahead(kernels, workers=2)
    assert not any(map(backends.is_compiled, kernels))
