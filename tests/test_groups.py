"""Group baselines: their formulas, their exact bias and variance."""

import numpy as np
import pytest
from support import CASES, reference_problem, standard_errors

import mcgrad as mg
from mcgrad.exact import lq

e = mg.estimators
COUNT = 200_000


def system(name="S02", **options):
    return reference_problem(next(c for c in CASES if c["id"] == name)["system"], **options)


def test_groups_are_their_formulas():
    problem, theta = system()
    size = 4
    chosen = {"loo": e.leave_one_out(size), "mean": e.same_batch_mean(size), "std": e.standardised(size)}
    found = mg.sample(problem, theta, chosen, 50, seed=1, machine="numpy")
    # The k-th trajectory of group i draws the noise of trajectory i + k 2^60.
    first = np.uint64(0)
    gradients = {name: np.zeros((50, 2)) for name in chosen}
    from mcgrad.kernel.program import gradient_program
    from mcgrad.run import run_kernel

    program = gradient_program(problem, theta, {"SF": e.score_function(), "Z": e.score()})
    parts = [run_kernel(program, 1, int(first) + (k << 60), 50, "numpy").reshape(2, 2, 50).copy() for k in range(size)]
    Z = np.array([x[1].T for x in parts])  # (G, N, P)
    R = np.array([x[0][0] / x[1][0] for x in parts])
    for i in range(50):
        others = (R[:, i].sum() - R[:, i]) / (size - 1)
        gradients["loo"][i] = np.mean((R[:, i] - others)[:, None] * Z[:, i], axis=0)
        centred = (R[:, i] - R[:, i].mean())[:, None] * Z[:, i]
        gradients["mean"][i] = centred.mean(axis=0)
        gradients["std"][i] = centred.mean(axis=0) / R[:, i].std()
    for name in chosen:
        np.testing.assert_allclose(found[name], gradients[name], rtol=1e-9, atol=1e-9)
    compiled = mg.sample(problem, theta, chosen, 50, seed=1)
    for name in chosen:
        np.testing.assert_allclose(compiled[name], gradients[name], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [2, 5])
def test_exact_mean_and_variance_of_groups(size, seed):
    problem, theta = system("S04")
    chosen = {"loo": e.leave_one_out(size), "mean": e.same_batch_mean(size), "std": e.standardised(size)}
    found = mg.measure(problem, theta, chosen, COUNT, seed)
    gradient = mg.exact.gradient(problem, theta)
    variance = mg.exact.variance(problem, theta, chosen["loo"])
    assert standard_errors(found["loo"], gradient, variance) < 5
    shrunk = 1 - 1 / size
    np.testing.assert_allclose(mg.exact.mean(problem, theta, chosen["mean"]), shrunk * gradient, rtol=1e-12)
    np.testing.assert_allclose(mg.exact.variance(problem, theta, chosen["mean"]), shrunk**2 * variance, rtol=1e-12)
    assert standard_errors(found["mean"], shrunk * gradient, shrunk**2 * variance) < 5
    # The bias is seen, and a standardised advantage is not an estimate of the gradient at all.
    bias = np.abs(found["mean"].mean - gradient) / found["mean"].stderr
    assert bias.max() > 5
    assert (np.abs(found["std"].mean - gradient) / found["std"].stderr).max() > 5
    assert found["loo"].rollouts == size
    with pytest.raises(mg.exact.NoClosedForm, match="standardised"):
        mg.exact.variance(problem, theta, chosen["std"])


def test_a_large_group_approaches_the_mean_return_as_baseline():
    problem, theta = system("S10")
    s = mg.exact.system(problem, theta)
    limit = lq.variance(s, lq.ScoreFunction(lq.objective(s)))
    for size in (4, 16):
        ours = size * mg.exact.variance(problem, theta, e.leave_one_out(size))
        assert np.max(np.abs(ours / limit - 1)) < 4 / size
