"""Sampling designs: points fill the cube and stay uniform; replicates are unbiased, and vary as theory says."""

import concurrent.futures
import functools
import multiprocessing

import numpy as np
import pytest
from scipy import stats
from support import CASES, reference_problem, standard_errors

import mcgrad as mg
from mcgrad.designs import Design
from mcgrad.estimators.estimator import rollouts
from mcgrad.power_sums import ARRAYS

e = mg.estimators
DESIGNS = [mg.designs.sobol(256), mg.designs.latin_hypercube(200), mg.designs.stratified_start(256)]
LADDER = {
    "score function": e.score_function(),
    "value baseline": e.reward_to_go(mg.baselines.value()),
    "pathwise": e.reparameterization(),
}
MANY = LADDER | {
    "mixture": e.mixture(e.reward_to_go(mg.baselines.value()), e.reparameterization()),
    "pilot": e.mixture(e.reward_to_go(mg.baselines.value()), e.reparameterization(), pilot=2000),
    "antithetic": e.antithetic(e.reward_to_go(), "actions"),
    "leave one out": e.leave_one_out(3),
    "evolution strategies": e.evolution_strategies(0.1),
    "measure-valued": e.measure_valued(),
}


def uniform(points, rows, replicate=0, seed=0):
    return points.noise(("uniform",) * rows, seed, replicate)


def scalar(horizon, start=1.0, terminal=0.0):
    """Return (problem, theta): s_next = .9 s + .5 a + .2 w, a = -.6 s + .5 e from s_0 ~ N(0, start)."""
    environment = mg.environments.linear_quadratic(
        [[0.9]],
        [[0.5]],
        [[1.0]],
        [[0.1]],
        terminal_cost=[[terminal]],
        process_noise=[[0.04]],
        initial_cov=[[start]],
    )
    return mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.5), horizon), np.array([-0.6])


def same(a, b):
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


# ---- points ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replicate", [0, 1])
def test_sobol_points_are_a_net(replicate):
    """Every interval of length 2^-m has one point of each coordinate, every box of area 2^-m one of the first two."""
    m = 10
    u = uniform(mg.designs.sobol(2**m), 40, replicate)
    assert 0 < u.min() and u.max() < 1
    np.testing.assert_array_equal(np.sort((u * 2**m).astype(int), axis=1), np.tile(np.arange(2**m), (40, 1)))
    for k in range(m + 1):
        box = (u[0] * 2**k).astype(int) * 2 ** (m - k) + (u[1] * 2 ** (m - k)).astype(int)
        assert len(set(box)) == 2**m


@pytest.mark.parametrize("size", [1, 100, 2**17])
def test_latin_hypercubes_are_stratified(size):
    u = uniform(mg.designs.latin_hypercube(size), 3)
    assert 0 < u.min() and u.max() < 1
    np.testing.assert_array_equal(np.sort((u * size).astype(int), axis=1), np.tile(np.arange(size), (3, 1)))


@pytest.mark.parametrize("points", [mg.designs.sobol(16), mg.designs.latin_hypercube(16)], ids=lambda p: p.kind)
def test_each_point_is_uniform_and_replicates_are_independent(points, seed):
    u = np.array([uniform(points, 4, k, seed) for k in range(4000)])  # (replicate, coordinate, point)
    for coordinate in (0, 3):
        assert stats.kstest(u[:, coordinate, 5], "uniform").pvalue > 1e-4
    ranks = [u[:, 0, 5], u[:, 1, 5], u[:, 3, 7], np.roll(u[:, 0, 5], 1)]
    correlations = np.corrcoef(ranks)[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(4000)


def test_scrambled_points_are_as_even_as_scipys(seed):
    """Mean discrepancies of replicates agree within 5 standard errors; those of random points do not."""
    rng, repeats = np.random.default_rng(seed), 300
    for ours, theirs in (
        (mg.designs.sobol(64), stats.qmc.Sobol(6, seed=rng)),
        (mg.designs.latin_hypercube(64), stats.qmc.LatinHypercube(6, seed=rng)),
    ):

        def scipys(engine=theirs):
            if isinstance(engine, stats.qmc.Sobol):
                engine = stats.qmc.Sobol(6, seed=rng)  # each with a scrambling of its own
            return engine.random(64)

        makers = (lambda k, p=ours: uniform(p, 6, k, seed).T, lambda k: scipys(), lambda k: rng.random((64, 6)))
        found = np.array([[stats.qmc.discrepancy(make(k)) for k in range(repeats)] for make in makers])
        stderr = np.hypot(found[0].std(), found[1].std()) / np.sqrt(repeats)
        assert abs(found[0].mean() - found[1].mean()) < 5 * stderr
        assert found[2].mean() - found[1].mean() > 20 * stderr


@pytest.mark.parametrize("points", DESIGNS[:2], ids=lambda p: p.kind)
def test_rows_do_not_depend_on_how_many_there_are(points):
    many, few = uniform(points, 500), uniform(points, 301)
    np.testing.assert_array_equal(few, many[:301])
    kinds = ("normal", "uniform") * 250
    mixed = points.noise(kinds, 0, 0)
    np.testing.assert_array_equal(mixed[1::2], many[1::2])
    np.testing.assert_allclose(mixed[::2], stats.norm.ppf(many[::2]), rtol=1e-12)


def test_neither_seeds_nor_replicates_share_points():
    sobol = mg.designs.sobol(8)
    seeds = [(seed, k) for seed in (0, 1, 5, 5 + 2**32, 2**64 - 1) for k in (0, 1, 2**32)]
    assert len({uniform(sobol, 2, k, seed).tobytes() for seed, k in seeds}) == len(seeds)


# ---- replicates ------------------------------------------------------------------------------------------------


def test_a_replicate_is_the_mean_gradient_on_its_points():
    """A simulation by hand: row 0 is the start, rows 1 + 2 t and 2 + 2 t are the noise of action and process."""
    problem, theta = scalar(4)
    for points in DESIGNS[:2]:
        noise = points.noise(("normal",) * 9, 3, 2)
        s, ds, gradient = noise[0], 0.0, 0.0
        for t in range(4):
            a, da = theta * s + 0.5 * noise[1 + 2 * t], s + theta * ds
            gradient = gradient - 2 * s * ds - 0.2 * a * da
            s, ds = 0.9 * s + 0.5 * a + 0.2 * noise[2 + 2 * t], 0.9 * ds + 0.5 * da
        options = {"seed": 3, "start": 2 * points.size, "design": points, "machine": "numpy"}
        found = mg.sample(problem, theta, LADDER, points.size, **options)["pathwise"]
        np.testing.assert_allclose(found, [[gradient.mean()]], rtol=1e-12)


@functools.cache
def system():
    return reference_problem(next(c for c in CASES if c["id"] == "S02")["system"], learn_std=False)


@pytest.mark.parametrize("points", [*DESIGNS, mg.designs.sobol(1)], ids=lambda p: f"{p.kind} {p.size}")
def test_every_estimator_is_unbiased(points, seed):
    problem, theta = system()
    replicates = 800 if points.size > 1 else 20_000
    found = mg.measure(problem, theta, MANY, replicates * points.size, seed, design=points)
    for name, estimator in MANY.items():
        x, mean = found[name], mg.exact.mean(problem, theta, estimator)
        assert (x.count, x.rollouts) == (replicates, points.size * rollouts(estimator, problem))
        assert np.abs(x.mean - mean).max() < 5 * x.stderr.max(), name
        assert np.all(x.variance > 0), name
        if points.size == 1:
            assert standard_errors(x, mean, mg.exact.variance(problem, theta, estimator)) < 5, name


@pytest.mark.parametrize("spoil", ["too wide", "one for all"])
def test_spoilt_points_are_caught(spoil, seed, monkeypatch):
    """Noise that is 2 % too wide has another mean; points that are used twice, without a scrambling, do not vary."""
    honest = Design.noise

    def spoilt(self, kinds, seed, first, count):
        if spoil == "one for all":
            return np.tile(honest(self, kinds, seed, 0), count)
        return 1.02 * honest(self, kinds, seed, first, count)

    monkeypatch.setattr(Design, "noise", spoilt)
    problem, theta = scalar(10)
    found = mg.measure(problem, theta, LADDER, 256 * 200, seed, design=DESIGNS[0])
    if spoil == "one for all":
        assert all(found[name].variance < 1e-20 for name in LADDER)
    else:
        x = found["pathwise"]
        assert abs(x.mean - mg.exact.gradient(problem, theta)) > 5 * x.stderr


def test_threads_and_processes_do_not_change_a_bit():
    problem, theta = scalar(10)
    options = {"design": DESIGNS[0], "seed": 3, "chunk": 1000}
    one = mg.measure(problem, theta, LADDER, 256 * 101, threads=1, **options).sums
    same(mg.measure(problem, theta, LADDER, 256 * 101, threads=2, **options).sums, one)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        same(mg.measure(problem, theta, LADDER, 256 * 101, executor=pool, **options).sums, one)


@pytest.mark.parametrize("points", [DESIGNS[0], DESIGNS[2]], ids=lambda p: p.kind)
def test_a_measurement_can_be_continued(points):
    problem, theta = scalar(10)
    options = {"design": points, "seed": 3, "chunk": 512}
    whole = mg.measure(problem, theta, LADDER, 256 * 16, **options)
    first = mg.measure(problem, theta, LADDER, 256 * 8, **options)
    rest = mg.measure(problem, theta, LADDER, 256 * 8, start=256 * 8, **options)
    same(first.merge(rest).sums, whole.sums)
    samples = mg.sample(problem, theta, LADDER, 256 * 16, 3, design=points)
    for name in LADDER:
        assert samples[name].shape == (16, 1)
        np.testing.assert_allclose(samples[name].mean(axis=0), whole[name].mean, rtol=1e-12)
        np.testing.assert_allclose(samples[name].var(axis=0, ddof=1), whole[name].variance, rtol=1e-9)


@pytest.mark.parametrize("points", [DESIGNS[1], mg.designs.stratified_start(37)], ids=lambda p: p.kind)
def test_three_machines_agree(points):
    problem, theta = scalar(10)
    options = {"design": points, "seed": 3}
    expected = mg.sample(problem, theta, LADDER, points.size * 5, machine="numpy", **options)
    for machine in ("simd", "scalar"):
        found = mg.sample(problem, theta, LADDER, points.size * 5, machine=machine, **options)
        for name in LADDER:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-12)


def test_estimators_can_join_without_changing_the_points_of_others():
    problem, theta = scalar(4)
    options = {"design": DESIGNS[0], "machine": "numpy"}
    alone = mg.sample(problem, theta, LADDER, 1024, **options)
    more = mg.sample(problem, theta, LADDER | {"loo": e.leave_one_out(2), "ES": e.spsa(0.1)}, 1024, **options)
    for name in LADDER:
        np.testing.assert_array_equal(alone[name], more[name])


def test_streams_and_directions_have_coordinates_of_their_own():
    problem, theta = scalar(4)
    from mcgrad.kernels.program import gradient_program

    def rows(estimator, given="all"):
        return gradient_program(problem, theta, {"": estimator}, given).draws.rows

    assert rows(e.reparameterization()) == 9 == rows(e.antithetic(e.reparameterization()))
    assert rows(e.leave_one_out(3)) == 27
    assert rows(e.evolution_strategies(0.1)) == 10
    assert (rows(e.reparameterization(), "start"), rows(e.leave_one_out(3), "start")) == (1, 3)


def test_a_gradient_that_is_not_finite_takes_its_replicate_along():
    def reward(p, s, a, s_next, w):
        return a[0] * mg.where(s[0] > 2.5, np.inf, 1.0)

    environment = mg.Environment(
        states=1, actions=1, initial_noises=1, init=lambda p, z: z, step=lambda p, s, a, w: s, reward=reward
    )
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.5), 1)
    points = mg.designs.latin_hypercube(50)
    bad = sum((points.noise(("normal",) * 2, 0, k)[0] > 2.5).any() for k in range(40))
    assert 5 < bad < 35
    with pytest.warns(UserWarning, match=f"of 40 replicates some had .* {bad} of SF"):
        found = mg.measure(problem, [0.3], {"SF": e.reward_to_go()}, 2000, design=points, machine="numpy")
    assert (found["SF"].count, found["SF"].nonfinite) == (40 - bad, bad)


# ---- what they buy ---------------------------------------------------------------------------------------------


def within(size, power):
    """Return the mean over `size` cells of equal chance of Var(z^power | cell), z a standard normal; power 1 or 2."""
    z = stats.norm.ppf(np.arange(1, size) / size)
    chance, density = stats.norm.cdf(z), stats.norm.pdf(z)
    # integrals of z^k times the density up to z, and to infinity
    moments = {1: (-density, 0.0), 2: (chance - z * density, 1.0), 4: (3 * chance - (z**3 + 3 * z) * density, 3.0)}
    first, second = (size * np.diff([0.0, *moments[k][0], moments[k][1]]) for k in (power, 2 * power))
    return np.mean(second - first**2)


@pytest.mark.parametrize("size", [8, 64])
def test_a_latin_hypercube_leaves_what_is_not_additive(size, seed):
    """One step: g = alpha s^2 + beta s e + gamma s w. The first term is stratified, the products stay (Stein 1987).

    Of two products of points i and j the order of a coordinate makes E s_i s_j = -M / (size - 1), where M is the variance
    of the means of the cells; hence the product with e has the variance (1 + M^2 / (size - 1)) / size, exactly.
    """
    problem, theta = scalar(1, terminal=1.0)
    alpha, products = -0.2 * theta[0] - 0.9 - 0.5 * theta[0], (0.1 + 0.25) ** 2 + 0.2**2
    np.testing.assert_allclose(mg.exact.variance(problem, theta, LADDER["pathwise"]), 2 * alpha**2 + products)
    additive = alpha**2 * within(size, 2) / size
    between = products / size * (1 + (1 - within(size, 1)) ** 2 / (size - 1))
    options = {"seed": seed, "design": mg.designs.latin_hypercube(size)}
    x = mg.measure(problem, theta, LADDER, 10_000 * size, **options)["pathwise"]
    assert standard_errors(x, mg.exact.gradient(problem, theta), additive + between) < 5
    assert standard_errors(x, mg.exact.gradient(problem, theta), (2 * alpha**2 + products) / size) > 20
    assert standard_errors(x, mg.exact.gradient(problem, theta), additive + 1.4 * between) > 5
    options["design"] = mg.designs.stratified_start(size)
    x = mg.measure(problem, theta, LADDER, 10_000 * size, **options)["pathwise"]
    assert standard_errors(x, mg.exact.gradient(problem, theta), additive + products / size) < 5


def test_a_latin_hypercube_integrates_sums_almost_exactly(seed):
    """g = -2 (theta + .5 e + .2 w): the variance of a replicate is that within cells alone, exactly."""
    environment = mg.Environment(
        states=1,
        actions=1,
        noises=1,
        init=lambda p, z: (1.0,),
        step=lambda p, s, a, w: (a[0] + 0.2 * w[0],),
        reward=lambda p, s, a, s_next, w: -(s_next[0] ** 2),
    )
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.5), 1)
    random = 4 * 0.29
    for size in (16, 1024):
        options = {"seed": seed, "design": mg.designs.latin_hypercube(size), "machine": "numpy"}
        x = mg.measure(problem, [0.3], {"PW": e.reparameterization()}, 2000 * size, **options)["PW"]
        assert standard_errors(x, np.array([-0.6]), np.array([random * within(size, 1) / size])) < 5
    assert x.variance * x.rollouts < random / 300


def test_a_stratified_start_takes_away_the_variance_of_the_mean_given_the_start(seed):
    """E[g | s_0] = c + d s_0^2 for all unbiased estimators, d known from gradients of two initial covariances.

    A replicate of n has the variance (Var g - 2 d^2) / n + d^2 (mean variance of z^2 within the cells) / n.
    """
    problem, theta = scalar(10)
    size = 64
    d = mg.exact.gradient(problem, theta) - mg.exact.gradient(scalar(10, start=0.0)[0], theta)
    points = mg.designs.stratified_start(size)
    found = mg.measure(problem, theta, LADDER, 20_000 * size, seed, design=points)
    for name, estimator in LADDER.items():
        random = mg.exact.variance(problem, theta, estimator)
        expected = (random - 2 * d**2 + d**2 * within(size, 2)) / size
        assert standard_errors(found[name], mg.exact.gradient(problem, theta), expected) < 5, name
    assert standard_errors(found["pathwise"], mg.exact.gradient(problem, theta), random / size) > 5


def test_sobol_points_converge_faster(seed):
    """The std of a mean over N points falls as N^-1/2 for random ones; far faster for Sobol points on one step."""
    problem, theta = scalar(1, terminal=1.0)
    sizes = 4 ** np.arange(2, 7)

    def errors(design):
        found = [mg.measure(problem, theta, LADDER, 300 * n, seed, design=design(int(n))) for n in sizes]
        return np.array([np.sqrt(x["pathwise"].variance[0]) for x in found])

    def slope(errors):
        return np.polyfit(np.log(sizes), np.log(errors), 1)[0]

    sobol, latin = errors(mg.designs.sobol), errors(mg.designs.latin_hypercube)
    assert slope(sobol) < -0.8
    assert -0.65 < slope(latin) < -0.45
    random = np.sqrt(mg.exact.variance(problem, theta, LADDER["pathwise"]) / sizes)
    assert (random / sobol)[sizes == 1024] ** 2 > 10


def test_discrete_actions_and_states_take_uniform_points(seed):
    problem = mg.Problem(mg.environments.random_walk(), mg.policies.softmax(7, 2), 8)
    theta = np.linspace(-1.0, 1.0, 14)
    chosen = {"SF": e.score_function(), "to go": e.reward_to_go()}
    exact = mg.exact.gradient(problem, theta)
    random = mg.exact.variance(problem, theta, chosen["to go"]).sum()
    for points in DESIGNS[:2]:
        found = mg.measure(problem, theta, chosen, 500 * points.size, seed, design=points)
        for name in chosen:
            tiny = 1e-12 * (found[name].stderr == 0)
            assert np.all(np.abs(found[name].mean - exact) <= 5 * found[name].stderr + tiny)
        assert (found["to go"].variance * found["to go"].rollouts).sum() < 0.9 * random


# ---- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: mg.designs.sobol(100), "size: expected a power of two.*got 100"),
        (lambda: mg.designs.sobol(0), "size: expected a whole number from 1 to 1048576, got 0"),
        (lambda: mg.designs.latin_hypercube(2**21), "size: expected a whole number from 1 to 1048576"),
        (lambda: mg.designs.stratified_start(1.5), "size: expected a whole number"),
    ],
)
def test_sizes_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "count, options, message",
    [
        (1000, {}, "count: expected a multiple of design.size = 256, got 1000"),
        (1024, {"start": 100}, "start: expected a multiple of design.size = 256, got 100"),
        (1024, {"design": 256}, "design: expected a design such as designs.sobol"),
        (31 * 256, {}, "expected at least 32 replicates of 256 for a cross-fitted control variate, got 31"),
    ],
)
def test_ranges_are_whole_replicates(count, options, message):
    problem, theta = scalar(2)
    for measure in (mg.measure, mg.sample):
        with pytest.raises(ValueError, match=message):
            measure(problem, theta, MANY, count, **{"design": DESIGNS[0], "machine": "numpy"} | options)


@pytest.mark.parametrize(
    "horizon, points, message",
    [
        (11_000, mg.designs.sobol(2), "at most 21201 numbers.*got 22001; use latin_hypercube or stratified_start"),
        (1000, mg.designs.sobol(2**20), "size x dimension <= 2.27 .*got 1048576 x 2001"),
    ],
)
def test_designs_that_are_too_large_are_refused(horizon, points, message):
    problem, theta = scalar(horizon)
    with pytest.raises(ValueError, match=message):
        mg.measure(problem, theta, LADDER, points.size, design=points)


def test_a_start_without_noise_cannot_be_stratified():
    environment = mg.Environment(
        states=1,
        actions=1,
        init=lambda p, z: (1.0,),
        step=lambda p, s, a, w: s,
        reward=lambda p, s, a, s_next, w: a[0],
    )
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.5), 1)
    with pytest.raises(ValueError, match="design: expected a start that draws noise"):
        mg.measure(problem, [0.0], {"PW": e.reparameterization()}, 256, design=DESIGNS[2])
