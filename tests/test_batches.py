"""Batches: many measurements by one call, each with the bits that it has alone."""

import concurrent.futures
import dataclasses

import numpy as np
import pytest

import mcgrad as mg
from mcgrad import estimators as E
from mcgrad.estimate import Estimate
from mcgrad.kernels import memo
from mcgrad.power_sums import ARRAYS

BOTH = {"SF": E.reward_to_go(), "PW": E.reparameterization()}


def system(k=0, T=5):
    """Return linear-quadratic problem number k; all have one structure."""
    rng = np.random.default_rng(k)
    A, B = rng.normal(size=(2, 2)) / 3, rng.normal(size=(2, 1))
    lq = mg.environments.linear_quadratic(A, B, np.eye(2), [[0.1]], process_noise=0.1 * np.eye(2))
    return mg.Problem(lq, mg.policies.linear_gaussian(2, 1, std=0.3), T)


def thetas(B):
    return 0.3 * np.random.default_rng(1).normal(size=(B, 2))


def assert_entries(found, alone):
    """Assert that the entries of a batch are the measurements alone(b), to the last bit, in all figures."""
    for b in range(found.batch):
        one, entry = alone(b), found.entry(b)
        for name in ARRAYS:
            assert np.array_equal(getattr(entry.sums, name), getattr(one.sums, name), equal_nan=True), (b, name)
        for name in found:
            for field in dataclasses.fields(Estimate):
                x, y = (getattr(z[name], field.name) for z in (one, found))
                if field.name not in ("parameters", "rollouts"):
                    assert np.array_equal(x, y[b], equal_nan=True), (b, name, field.name)
            assert one[name].total_variance == found[name].total_variance[b]
            assert np.array_equal(one[name].rests_on_few, found[name].rests_on_few[b])
            for x, y in zip(one[name].variance_interval(), found[name].variance_interval(), strict=True):
                assert np.array_equal(x, y[b])
        first, last = found.names[0], found.names[-1]
        assert np.array_equal(one.covariance(first, last), found.covariance(first, last)[b])
        for ratio in ("variance_ratio", "total_variance_ratio"):
            for x, y in zip(getattr(one, ratio)(first, last), getattr(found, ratio)(first, last), strict=True):
                assert np.array_equal(x, y[b], equal_nan=True)
        assert one.rounding == entry.rounding


@pytest.mark.parametrize("count", [200, 37, 3])
@pytest.mark.parametrize("noise", ["common", "independent"])
def test_thetas(count, noise, seed):
    problem, theta = system(), thetas(5)
    found = mg.measure(problem, theta, BOTH, count, seed, noise=noise, start=7, threads=2)
    assert found["SF"].mean.shape == (5, 2) and found["SF"].count.shape == (5,)

    def alone(b):
        start = 7 + (b * count if noise == "independent" else 0)
        return mg.measure(problem, theta[b], BOTH, count, seed, start=start)

    assert_entries(found, alone)
    same = np.array_equal(found["SF"].mean[0], found["SF"].mean[1])
    assert not same


def test_noise_of_their_own_is_other_noise(seed):
    """At equal thetas: common noise gives equal entries, their own does not; the mean over entries is right either way."""
    problem, theta = system(), np.tile([0.1, -0.2], (64, 1))
    common, own = (mg.measure(problem, theta, BOTH, 256, seed, noise=x)["PW"] for x in ("common", "independent"))
    assert (common.mean == common.mean[0]).all() and np.ptp(own.mean, axis=0).min() > 0.0
    exact = mg.exact.gradient(problem, theta[0])
    stderr = np.sqrt(np.mean(own.variance, axis=0) / (64 * 256))
    assert (np.abs(own.mean.mean(axis=0) - exact) < 5 * stderr).all()
    # Of 64 entries that were the same one, the mean would be as far off as that of one.
    assert np.all(np.std(own.mean, axis=0) > 4 * stderr)


def test_problems_and_seeds(seed):
    problems, theta, seeds = [system(k) for k in range(4)], thetas(4), [seed, seed + 1, seed, 2**64 - 1]
    memo.forget()
    found = mg.measure(problems, theta, BOTH, 40, seeds)
    assert memo.size() == 1
    assert_entries(found, lambda b: mg.measure(problems[b], theta[b], BOTH, 40, seeds[b]))
    found = mg.measure(problems, theta[0], BOTH, 40, seed)
    assert_entries(found, lambda b: mg.measure(problems[b], theta[0], BOTH, 40, seed))
    found = mg.measure(problems[0], theta[0], BOTH, 40, seeds)
    assert_entries(found, lambda b: mg.measure(problems[0], theta[0], BOTH, 40, seeds[b]))


def test_horizons_and_kernels_may_differ_within_a_batch(seed):
    other = mg.Problem(system().environment, mg.policies.linear_gaussian(2, 1, std=0.3), 3, 0.9)
    problems = [system(0, 3), system(1, 6), other, system(2, 3)]
    found = mg.measure(problems, [0.1, 0.2], BOTH, 20, seed, threads=1)
    assert_entries(found, lambda b: mg.measure(problems[b], [0.1, 0.2], BOTH, 20, seed))


def test_estimators_with_data_of_their_own_at_each_theta(seed):
    problem, theta = system(), thetas(3)
    chosen = {"V": E.reward_to_go(mg.baselines.value()), "mixture": E.mixture(E.reward_to_go(), E.reparameterization())}
    for names in (["V"], ["V", "mixture"]):  # the second is cross-fitted, entry by entry
        estimators = {name: chosen[name] for name in names}
        found = mg.measure(problem, theta, estimators, 64, seed)
        assert_entries(found, lambda b, x=estimators: mg.measure(problem, theta[b], x, 64, seed))


@pytest.mark.parametrize("options", [{"chunk": 32}, {"full_covariance": True}, {"machine": "numpy"}])
def test_all_options_of_a_measurement(options, seed):
    problem, theta = system(), thetas(3)
    found = mg.measure(problem, theta, BOTH, 100, seed, **options)
    one = [mg.measure(problem, x, BOTH, 100, seed, **options) for x in theta]
    for b in range(3):
        for name in ARRAYS:
            assert np.array_equal(getattr(found.entry(b).sums, name), getattr(one[b].sums, name))
        assert np.array_equal(found.covariance("SF", "PW")[b], one[b].covariance("SF", "PW"))


def test_threads_executors_and_pieces_do_not_change_a_bit(seed, monkeypatch):
    problem, theta = system(), thetas(7)
    reference = mg.measure(problem, theta, BOTH, 50, seed, threads=1)
    others = [mg.measure(problem, theta, BOTH, 50, seed, threads=2)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        others.append(mg.measure(problem, theta, BOTH, 50, seed, executor=pool))
    monkeypatch.setattr("mcgrad.batches.PIECE", 1)
    others.append(mg.measure(problem, theta, BOTH, 50, seed, threads=1))
    for other in others:
        for name in ARRAYS:
            assert np.array_equal(getattr(other.sums, name), getattr(reference.sums, name))


def test_an_executor_that_does_not_work_is_named(seed):
    class Broken(concurrent.futures.ThreadPoolExecutor):
        def submit(self, *arguments, **options):
            return super().submit(int)

    stopped = concurrent.futures.ThreadPoolExecutor(1)
    stopped.shutdown()
    for pool, message in (
        (stopped, "expected one that takes work"),
        (Broken(1), "to return the sums of samples, got int 0"),
    ):
        with pytest.raises(ValueError, match=f"executor: .*{message}"):
            mg.measure(system(), thetas(3), BOTH, 10, seed, executor=pool)


def test_exact_values_of_batches():
    problems, theta, pw = [system(k) for k in range(3)], thetas(3), E.reparameterization()
    for ask, more in (
        (mg.exact.objective, ()),
        (mg.exact.gradient, ()),
        (mg.exact.mean, (pw,)),
        (mg.exact.variance, (pw,)),
    ):
        alone = [ask(x, t, *more) for x, t in zip(problems, theta, strict=True)]
        assert np.array_equal(ask(problems, theta, *more), alone)
        assert np.array_equal(ask(problems[0], theta, *more)[2], ask(problems[0], theta[2], *more))
        assert np.array_equal(ask(problems, theta[0], *more)[2], ask(problems[2], theta[0], *more))
    with pytest.raises(ValueError, match="theta: expected one for each of 3 problems, got 2"):
        mg.exact.objective(problems, theta[:2])


@pytest.mark.parametrize("ask", [mg.exact.objective, mg.exact.gradient])
def test_linear_quadratic_values_at_once_are_those_of_single_calls(ask, monkeypatch):
    rng = np.random.default_rng(7)

    def psd(n):
        root = rng.normal(size=(n, n))
        return root @ root.T

    def problem(horizon=4, discount=0.9):
        A, B, costs = 0.5 * rng.normal(size=(3, 3)), rng.normal(size=(3, 2)), (psd(3), psd(2))
        start = {"initial_mean": rng.normal(size=3), "initial_cov": psd(3)}
        system = mg.environments.linear_quadratic(A, B, *costs, terminal_cost=psd(3), process_noise=psd(3), **start)
        policy = mg.policies.linear_gaussian(3, 2, cov=psd(2), learn_std=True)
        return mg.Problem(system, policy, horizon, discount=discount)

    some, theta = [problem() for _ in range(3)], rng.normal(size=(5, 8))
    alike = [some[0]] * 5, [some[k] for k in (1, 0, 1, 2, 2)]
    unlike = [*some, some[0], problem(horizon=3)], [*some, some[0], problem(discount=0.8)]
    batches = *alike, *unlike
    expected = [np.array([ask(x, t) for x, t in zip(batch, theta, strict=True)]) for batch in batches]
    for batch, alone in zip(batches, expected, strict=True):
        np.testing.assert_allclose(ask(batch, theta), alone, rtol=0, atol=1e-13 * np.abs(alone).max())
    monkeypatch.setattr("mcgrad.exact.theories.theory_of", lambda *_: pytest.fail("one by one"))
    for batch in alike:
        ask(batch, theta)
    for batch in unlike:
        with pytest.raises(pytest.fail.Exception, match="one by one"):
            ask(batch, theta)


def test_what_overflows_or_is_no_closed_form_is_named_in_a_batch_as_well():
    problem, theta = system(T=200), thetas(3)
    with pytest.raises(ValueError, match="numbers beyond 1e308"):
        mg.exact.objective(problem, np.vstack([theta, [[1e6, 1e6]]]))
    other = dataclasses.replace(problem.policy, eta=lambda p, theta, s: (theta[0] * s[0] - theta[1] * s[1],))
    with pytest.raises(ValueError, match="its functions are others than those of its closed form"):
        mg.exact.gradient([problem, problem, mg.Problem(problem.environment, other, 200)], theta, work=0)


def fragile():
    """Return a problem whose rewards overflow at large gains."""
    environment = mg.Environment(
        states=1,
        actions=1,
        noises=0,
        initial_noises=1,
        init=lambda p, z: (z[0],),
        step=lambda p, s, a, w: (np.exp(a[0]),),
        reward=lambda p, s, a, s_next, w: -s_next[0],
    )
    return mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.3), 1)


@pytest.mark.parametrize("count", [20, 200])
def test_what_is_not_finite_is_counted_for_each_entry(count, seed):
    problem, theta, estimators = fragile(), np.array([[0.1], [700.0], [0.2], [1200.0]]), {"PW": E.reparameterization()}

    def quietly(*arguments, **options):
        with pytest.warns(UserWarning):
            return mg.measure(*arguments, **options)

    found = quietly(problem, theta, estimators, count, seed)
    lost = found["PW"].nonfinite
    assert lost[0] == lost[2] == 0 < lost[1] < lost[3] and np.array_equal(found["PW"].count + lost, np.full(4, count))
    for b in range(4):
        measure = quietly if lost[b] else mg.measure
        one, entry = measure(problem, theta[b], estimators, count, seed), found.entry(b)
        for name in ARRAYS:
            assert np.array_equal(getattr(entry.sums, name), getattr(one.sums, name), equal_nan=True), (b, name)
        for field in ("mean", "variance", "total_variance_stderr"):
            assert np.array_equal(getattr(one["PW"], field), getattr(found["PW"], field)[b], equal_nan=True)


def test_batches_merge(seed):
    problem, theta = system(), thetas(3)
    parts = [mg.measure(problem, theta, BOTH, 50, seed, start=k) for k in (0, 50)]
    both = parts[0].merge(parts[1])
    for b in range(3):
        one = [mg.measure(problem, theta[b], BOTH, 50, seed, start=k) for k in (0, 50)]
        merged = one[0].merge(one[1])
        for name in ARRAYS:
            assert np.array_equal(getattr(both.entry(b).sums, name), getattr(merged.sums, name))
        assert [x.words() for x in both.entry(b).sources] == [x.words() for x in merged.sources]
    with pytest.raises(ValueError, match=r"expected other trajectories than 50 to 99 of seed"):
        both.merge(parts[1])
    with pytest.raises(ValueError, match="other: expected a batch of 3, got no batch"):
        both.merge(both.entry(0))


def test_batches_are_kept_on_disk(tmp_path, seed):
    found = mg.measure([system(k) for k in range(3)], thetas(3), BOTH, 20, seed, noise="independent")
    again = mg.Moments.load(found.save(tmp_path / "batch.npz"))
    assert again.batch == 3 and np.array_equal(again["SF"].mean, found["SF"].mean)
    assert [x.start for x in again.sources[0].each()] == [0, 20, 40]
    with pytest.raises(ValueError, match="expected other trajectories"):
        again.merge(found)


def test_the_table_of_a_batch_names_its_entries(seed):
    table = mg.measure(system(), thetas(3), BOTH, 20, seed).table()
    assert list(table["entry"]) == [b for b in range(3) for _ in range(4)]


def test_progress_counts_all_entries(seed):
    seen = []
    mg.measure(system(), thetas(6), BOTH, 20, seed, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (120, 120)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"theta": np.zeros((0, 2))}, "theta, problem, seed: expected batches of one size, not empty, got 0 of theta"),
        (
            {"theta": np.zeros((3, 2)), "seed": [1, 2]},
            "expected batches of one size, not empty, got 2 of seed, 3 of theta",
        ),
        ({"theta": np.zeros((3, 3))}, r"theta: expected shape \(3, 2\), got \(3, 3\)"),
        ({"theta": np.zeros((2, 3, 2))}, r"theta: expected shape \(2,\), got \(2, 3, 2\)"),
        ({"theta": [[0.1, 0.2], [0.1]]}, "theta: expected real numbers"),
        ({"theta": np.full((2, 2), np.nan)}, "theta: expected finite numbers"),
        ({"seed": [1, -2]}, "seed: expected a whole number from 0"),
        ({"noise": "mine"}, "noise: expected 'common' or 'independent'"),
        ({"noise": "independent", "theta": np.zeros((3, 2)), "start": 2**59 - 25}, "start, count: expected start"),
        ({"problem": [1, 2]}, "problem: expected Problems, got int 1"),
        ({"problem": []}, "expected batches of one size, not empty, got 0 of problem"),
        ({"problem": [system(), fragile()]}, "problem: expected the same parameters in each"),
    ],
)
def test_what_is_no_batch(change, message, seed):
    arguments = {"problem": system(), "theta": [0.1, 0.2], "estimators": BOTH, "count": 10, "seed": seed} | change
    with pytest.raises(ValueError, match=message):
        mg.measure(**arguments)


def test_entries_are_asked_for_by_number(seed):
    found = mg.measure(system(), thetas(2), BOTH, 10, seed)
    assert found.entry(-1).sums.own.tolist() == found.entry(1).sums.own.tolist()
    with pytest.raises(ValueError, match="b: expected a whole number from -2 to 1, got 2"):
        found.entry(2)
    with pytest.raises(ValueError, match="entry: expected moments of a batch"):
        found.entry(0).entry(0)
