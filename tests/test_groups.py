"""Group baselines: their formulas, their exact bias and variance."""

import dataclasses
import itertools

import numpy as np
import pytest
from support import CASES, reference_problem, standard_errors

import mcgrad as mg
from mcgrad import where
from mcgrad.estimators.estimator import rollouts
from mcgrad.kernels.program import gradient_program
from mcgrad.run import run_kernel

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


@pytest.mark.parametrize("size", [2, 5, 40])
def test_exact_mean_and_variance_of_groups(size, seed):
    """Members from the sixteenth on draw the noise of far-away times: the variance would show it if it were another's."""
    problem, theta = system("S04")
    chosen = {"loo": e.leave_one_out(size), "mean": e.same_batch_mean(size), "std": e.standardised(size)}
    found = mg.measure(problem, theta, chosen, COUNT if size < 16 else COUNT // 10, seed)
    gradient = mg.exact.gradient(problem, theta)
    variance = mg.exact.variance(problem, theta, chosen["loo"])
    assert standard_errors(found["loo"], gradient, variance) < 5
    shrunk = 1 - 1 / size
    np.testing.assert_allclose(mg.exact.mean(problem, theta, chosen["mean"]), shrunk * gradient, rtol=1e-12)
    np.testing.assert_allclose(mg.exact.variance(problem, theta, chosen["mean"]), shrunk**2 * variance, rtol=1e-12)
    assert standard_errors(found["mean"], shrunk * gradient, shrunk**2 * variance) < 5
    # The bias is seen, and a standardised advantage is not an estimate of the gradient at all.
    bias = np.abs(found["mean"].mean - gradient) / found["mean"].stderr
    assert bias.max() > 5 or size == 40
    assert (np.abs(found["std"].mean - gradient) / found["std"].stderr).max() > 5
    assert found["loo"].rollouts == size
    with pytest.raises(mg.exact.NoClosedForm, match="standardised"):
        mg.exact.variance(problem, theta, chosen["std"], work=0)


def test_the_kernel_does_not_grow_with_the_group():
    problem, theta = system()
    text = {G: gradient_program(problem, theta, {"loo": e.leave_one_out(G)}).kernel.text for G in (8, 64)}
    assert text[64] == text[8].replace("range(8)", "range(64)").replace(repr(1 / 7), repr(1 / 63))


def test_groups_of_several_sizes_share_their_members():
    """The same numbers as alone; sums in memory begin anew for each member, and leave those of others as they are."""
    environment = mg.environments.random_walk(5)
    problem, theta = mg.Problem(environment, mg.policies.softmax(5, 2), 6), np.linspace(-1.0, 1.0, 10)
    groups = {str(size): e.leave_one_out(size) for size in (2, 3, 20)}
    chosen = {"SF": e.score_function()} | groups | {"mirrored": e.antithetic(e.leave_one_out(3))}
    together, compiled = (mg.sample(problem, theta, chosen, 20, seed=1, machine=x) for x in ("numpy", "simd"))
    for name, x in chosen.items():
        alone = mg.sample(problem, theta, {name: x}, 20, seed=1, machine="numpy")
        np.testing.assert_allclose(together[name], alone[name], rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(together[name], compiled[name], rtol=1e-11, atol=1e-11)


def test_rollouts_are_counted_once():
    """The first member of a group is the plain rollout; its mirror image is another."""
    problem, _ = system()
    mixed = e.control_variate(e.leave_one_out(2), e.reparameterization(), coefficients=[[0.5]])
    nested = (mixed, e.antithetic(e.leave_one_out(3)), e.mixture(e.leave_one_out(2), e.leave_one_out(5)))
    assert [rollouts(x, problem) for x in nested] == [2, 6, 5]


# ---- standardised ----------------------------------------------------------------------------------------------------

COIN = mg.Problem(mg.environments.bandit([0.0, 1.0]), mg.policies.softmax(1, 2), 1)


def enumerated(probability, size, ddof=0, epsilon=0.0):
    """Return mean and variance of a standardised group on the bandit of rewards 0 and 1, over all of its outcomes."""
    gradients, weights = [], []
    for R in np.array(list(itertools.product((0.0, 1.0), repeat=size))):
        weights.append(np.prod(np.where(R == 1, probability, 1 - probability)))
        score = R - probability  # that of the logit of the arm that pays
        std = R.std(ddof=ddof)
        gradients.append(np.mean((R - R.mean()) / (std + epsilon) * score) if std > 0 else 0.0)
    mean = np.dot(weights, gradients)
    return mean, np.dot(weights, (np.array(gradients) - mean) ** 2)


@pytest.mark.parametrize(("ddof", "epsilon"), [(0, 0.0), (1, 1e-4), (1, 0.5)])
def test_a_group_of_equal_returns_counts_with_gradient_zero(ddof, epsilon, seed):
    """A sixth of all groups of four have won or lost alike: dropped, the mean would be larger by as much."""
    theta = [0.0, -0.5]
    p = 1 / (1 + np.exp(0.5))
    chosen = {"GRPO": e.standardised(4, ddof, epsilon)}
    for machine, count in (("simd", 100_000), ("numpy", 2000)):
        found = mg.measure(COIN, theta, chosen, count, seed, machine=machine)["GRPO"]
        mean, variance = enumerated(p, 4, ddof, epsilon)
        assert standard_errors(found, mean * np.array([-1.0, 1.0]), np.full(2, variance)) < 5
        assert found.nonfinite == 0


def test_returns_that_differ_by_rounding_are_equal():
    """Three rewards of 0.1 in another order: their sums differ in the last bit, and deserve no gradient of order one."""

    def reward(p, s, a, s_next, w):
        return where(a[0] > 0.5, 0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1)

    environment = mg.environments.bandit([0.0, 1.0])
    problem = dataclasses.replace(COIN, environment=dataclasses.replace(environment, reward=reward, closed_form=None))
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1
    assert not mg.sample(problem, [0.0, 0.0], {"GRPO": e.standardised(4)}, 100)["GRPO"].any()


def test_what_is_not_finite_is_counted():
    environment = mg.environments.bandit([0.0, 1.0])

    def reward(p, s, a, s_next, w):
        return where(a[0] > 0.5, np.inf, 0.0)

    problem = dataclasses.replace(COIN, environment=dataclasses.replace(environment, reward=reward, closed_form=None))
    with pytest.warns(UserWarning, match="finite"):
        found = mg.measure(problem, [0.0, -8.0], {"GRPO": e.standardised(4)}, 100_000)["GRPO"]
    assert 50 < found.nonfinite < 1000


def test_bad_options():
    for make in (e.leave_one_out, e.same_batch_mean, e.standardised):
        for size in (1, 65, 2.5, None):
            with pytest.raises(ValueError, match="size: expected a whole number"):
                make(size)
    with pytest.raises(ValueError, match="ddof: expected a whole number from 0 to 1, got 2"):
        e.standardised(4, ddof=2)
    with pytest.raises(ValueError, match="epsilon: expected a number >= 0"):
        e.standardised(4, epsilon=-1e-4)


def test_a_large_group_approaches_the_mean_return_as_baseline():
    problem, theta = system("S10")
    limit = mg.exact.variance(problem, theta, e.score_function(mg.baselines.mean_return()))
    for size in (4, 16):
        ours = size * mg.exact.variance(problem, theta, e.leave_one_out(size))
        assert np.max(np.abs(ours / limit - 1)) < 4 / size
