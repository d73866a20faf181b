"""Learning curves agree with closed forms where there are some, and with themselves everywhere."""

import dataclasses
import warnings

import numpy as np
import pytest
from support import SEED

import mcgrad as mg
from mcgrad import optimizers

RATE, BATCH = 0.25, 4
EARLY, LATE = [0, 1, 2, 3, 4], [17, 18, 24, 30, 36, 42, 48, 54, 59, 60]  # steps that are kept


def one_step(std=0.5):
    """Return (problem, b, H): one step of a scalar system, dJ/dK = b - H K."""
    A, B, R, Qf = 0.9, 0.5, 0.3, 2.0
    environment = mg.environments.linear_quadratic([[A]], [[B]], [[1.0]], [[R]], terminal_cost=[[Qf]])
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=std), horizon=1)
    return problem, -2 * Qf * A * B, 2 * (R + Qf * B * B)


def recursion(problem, b, H, estimator, theta, steps, rate=RATE):
    """Return the mean and the variance of the iterate after each step of plain ascent, from exact variances.

    The variance of a pathwise gradient is a polynomial of degree two in K here: three exact values tell it.
    """
    at = np.array([-1.0, 0.0, 1.0])
    c = np.polyfit(at, [mg.exact.variance(problem, [K], estimator)[0] for K in at], 2)
    assert mg.exact.variance(problem, [3.0], estimator)[0] == pytest.approx(np.polyval(c, 3.0), rel=1e-9)
    mean, variance, found = theta, 0.0, [(theta, 0.0)]
    for _ in range(steps):
        noise = c[0] * (variance + mean**2) + c[1] * mean + c[2]
        mean, variance = mean + rate * (b - H * mean), (1 - rate * H) ** 2 * variance + rate**2 * noise / BATCH
        found.append((mean, variance))
    return np.array(found).T


@pytest.fixture(scope="module")
def climbed():
    """Return many seeds of plain ascent with the pathwise gradient."""
    problem, *_ = one_step()
    options = {
        "optimizer": optimizers.sgd(RATE),
        "seeds": [1000 * SEED + s for s in range(256)],
        "record": EARLY + LATE,
        "threads": 1,
    }
    return mg.ascend(problem, [1.5], mg.estimators.reparameterization(), BATCH, 60, **options)


def test_the_mean_iterate_is_that_of_the_closed_form(climbed):
    problem, b, H = one_step()
    theta = climbed.theta[:, :, 0]

    def worst(rate):
        mean, _ = recursion(problem, b, H, mg.estimators.reparameterization(), 1.5, 60, rate)
        apart = np.abs(theta.mean(axis=0) - mean[climbed.steps])
        return np.max(apart[1:5] / (theta.std(axis=0)[1:5] / np.sqrt(len(theta))))

    assert worst(RATE) < 5 < worst(1.25 * RATE)


def test_the_stationary_variance_is_that_of_the_closed_form(climbed):
    problem, b, H = one_step()
    late = climbed.theta[:, len(EARLY) :, 0]

    def deviation(factor):
        mean, variance = recursion(problem, b, H, mg.estimators.reparameterization(), 1.5, 60)
        of_seeds = ((late - mean[LATE]) ** 2 - factor * variance[LATE]).mean(axis=1)
        return np.abs(of_seeds.mean()) / (of_seeds.std() / np.sqrt(len(of_seeds)))

    assert deviation(1.0) < 5 < min(deviation(0.75), deviation(1.25))


def test_a_score_function_climbs_along_the_same_mean():
    problem, b, H = one_step()
    options = {"optimizer": optimizers.sgd(0.02), "seeds": 300, "record": [10]}  # a longer step has heavy tails
    theta = mg.ascend(problem, [0.5], mg.estimators.score_function(), 16, 10, **options).theta[:, 0, 0]
    mean = b / H + (0.5 - b / H) * (1 - 0.02 * H) ** 10
    stderr = theta.std() / np.sqrt(len(theta))
    assert abs(theta.mean() - mean) < 5 * stderr < abs(mean - 0.5) / 2


def test_the_loss_in_the_end_is_the_rate_times_the_variance(climbed):
    """J* - E J = alpha V / (4 batch), to first order in alpha: what the module says."""
    problem, b, H = one_step()
    K = b / H
    assert climbed.optimum == pytest.approx(mg.exact.objective(problem, [K]), rel=1e-12)
    V = mg.exact.variance(problem, [K], mg.estimators.reparameterization())[0]
    _, variance = recursion(problem, b, H, mg.estimators.reparameterization(), 1.5, 20_000, rate=0.001)
    assert 0.5 * H * variance[-1] == pytest.approx(0.001 * V / (4 * BATCH), rel=0.01)
    gap = climbed.gap()[:, len(EARLY) :].mean(axis=1)
    _, variance = recursion(problem, b, H, mg.estimators.reparameterization(), 1.5, 60)
    assert abs(gap.mean() - 0.5 * H * variance[-1]) < 5 * gap.std() / np.sqrt(len(gap))


def test_each_step_is_the_mean_of_samples_that_anybody_can_look_at(climbed):
    problem, *_ = one_step()
    ladder = {"g": mg.estimators.reparameterization()}
    for s, k in ((0, 0), (3, 17), (255, 59)):
        i = climbed.steps.tolist().index(k)
        theta = climbed.theta[s, i]
        sample = mg.sample(problem, theta, ladder, BATCH, climbed.seeds[s], start=k * BATCH)["g"]
        np.testing.assert_allclose(climbed.theta[s, i + 1], theta + RATE * sample.mean(axis=0), rtol=1e-12)


def test_a_seed_does_not_see_the_others_nor_threads(climbed):
    problem, *_ = one_step()
    options = {"optimizer": optimizers.sgd(RATE), "record": EARLY + LATE}
    number = climbed.seeds[7]
    for seeds, threads in (([number], 1), ([3, number, 11], 2)):
        found = mg.ascend(
            problem, [1.5], mg.estimators.reparameterization(), BATCH, 60, seeds=seeds, threads=threads, **options
        )
        assert np.array_equal(found.theta[seeds.index(number)], climbed.theta[7])
    starts, options["record"] = np.linspace(0, 1, 3)[:, None], 1
    found = mg.ascend(problem, starts, mg.estimators.reparameterization(), BATCH, 0, seeds=3, **options)
    assert np.array_equal(found.theta[:, 0], starts)


def test_an_exact_baseline_is_that_of_the_iterate():
    problem, *_ = one_step()
    estimator = mg.estimators.reward_to_go(mg.baselines.value())
    found = mg.ascend(problem, [0.2], estimator, 8, 3, optimizer=optimizers.sgd(0.1), seeds=2, record=4)
    theta = found.theta[1, 2]
    sample = mg.sample(problem, theta, {"g": estimator}, 8, 1, start=16)["g"]
    np.testing.assert_allclose(found.theta[1, 3], theta + 0.1 * sample.mean(axis=0), rtol=1e-12)
    # That of the start would give something else.
    stale = mg.estimators.reward_to_go(mg.baselines.of_state(lambda p, s: p.form * s[0] ** 2, form=-1.5))
    other = mg.sample(problem, theta, {"g": stale}, 8, 1, start=16)["g"]
    assert np.abs(other.mean(axis=0) - sample.mean(axis=0)) > 1e-3


def test_lost_seeds_are_counted_and_are_the_worst():
    system = mg.environments.linear_quadratic([[1.1]], [[1.0]], [[1.0]], [[0.1]], process_noise=[[0.01]])
    problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.3), horizon=40)
    starts = [[-0.6], [-0.6], [1e4]]
    with pytest.warns(UserWarning, match="of 3 seeds 1 were lost, the first after 1 steps"):
        found = mg.ascend(
            problem,
            starts,
            mg.estimators.score_function(),
            4,
            20,
            optimizer=optimizers.clipped(optimizers.sgd(1e290), 1e-291),
            seeds=3,
            record=21,
        )
    assert found.nonfinite == 1 and found.lost.tolist() == [-1, -1, 1]
    assert np.isnan(found.theta[2, 1:]).all() and np.isfinite(found.theta[:2]).all()
    assert (found.objective[2] == -np.inf).all()  # that of the start overflows
    assert np.isinf(found.quantiles([1.0])).all() and np.isfinite(found.quantiles([0.5])).all()


def test_an_objective_without_a_closed_form_is_measured():
    problem, *_ = one_step()
    unknown = dataclasses.replace(problem, environment=dataclasses.replace(problem.environment, closed_form=None))
    options = {"optimizer": optimizers.sgd(0.1), "seeds": 2, "record": 3}
    found = mg.ascend(unknown, [0.5], mg.estimators.reparameterization(), 4, 8, judged=4000, **options)
    exact = np.array([[mg.exact.objective(problem, theta) for theta in path] for path in found.theta])
    assert (np.abs(found.objective - exact) < 5 * found.objective_stderr).all()
    assert (np.abs(found.objective - exact - 0.5) > 5 * found.objective_stderr).all()
    assert np.isnan(found.optimum) and np.isnan(found.gap()).all() and np.isfinite(found.gap(0.0)).all()
    alone = mg.ascend(unknown, [0.5], mg.estimators.reparameterization(), 4, 8, **options)
    assert np.isnan(alone.objective).all() and np.array_equal(alone.theta, found.theta)
    quick = mg.ascend(problem, [0.5], mg.estimators.reparameterization(), 4, 8, judged=None, **options)
    assert np.isnan(quick.objective).all() and np.array_equal(quick.theta, found.theta)


def test_rollouts_are_counted():
    problem, *_ = one_step()
    options = {"optimizer": optimizers.sgd(0.01), "seeds": 1, "record": 2}
    count = {}
    for name, estimator in {
        "plain": mg.estimators.score_function(),
        "group": mg.estimators.leave_one_out(4),
        "fitted": mg.estimators.reward_to_go(mg.baselines.fitted_value(32)),
    }.items():
        count[name] = mg.ascend(problem, [0.5], estimator, 5, 2, **options).rollouts.tolist()
    assert count == {"plain": [0, 10], "group": [0, 40], "fitted": [0, 10 + 64]}


def test_a_record_survives_its_file(climbed, tmp_path):
    path = climbed.save(tmp_path / "curve")
    again = mg.Ascent.load(path)
    for field in dataclasses.fields(climbed):
        assert np.array_equal(getattr(again, field.name), getattr(climbed, field.name)), field.name
    table = again.table()
    assert len(table) == 256 * 15 and list(table.columns[-2:]) == ["gap", "K[0,0]"]
    row = table.iloc[15 * 5 + 3]
    assert (row["seed"], row["step"], row["rollouts"]) == (climbed.seeds[5], 3, 3 * BATCH)
    assert row["objective"] == climbed.objective[5, 3] and row["K[0,0]"] == climbed.theta[5, 3, 0]
    (tmp_path / "other.npz").write_bytes(b"nothing of ours")
    with pytest.raises(ValueError, match=r"path: expected a file with an ascent"):
        mg.Ascent.load(tmp_path / "other.npz")


# ---- optimizers ------------------------------------------------------------------------------------------------


def slopes(seed, steps=30, shape=(3, 2)):
    return np.random.default_rng(seed).normal(size=(steps, *shape))


def run(rule, gradients):
    theta, state = np.ones(gradients.shape[1:]), None
    for g in gradients:
        theta, state = rule(theta, g, state)
    return theta


def test_adam_is_that_of_the_paper(seed):
    """Algorithm 1 of Kingma and Ba (2015), number by number, descending on -J."""
    gradients = slopes(seed)
    for s, p in np.ndindex(3, 2):
        theta, m, v = 1.0, 0.0, 0.0
        for t, climb in enumerate(gradients[:, s, p], 1):
            g = -climb
            m, v = 0.8 * m + (1 - 0.8) * g, 0.95 * v + (1 - 0.95) * g * g
            theta -= 0.02 * (m / (1 - 0.8**t)) / ((v / (1 - 0.95**t)) ** 0.5 + 1e-3)
        found = run(optimizers.adam(0.02, 0.8, 0.95, 1e-3), gradients)[s, p]
        assert found == pytest.approx(theta, rel=1e-12)
        assert run(optimizers.adam(0.02, 0.8, 0.9, 1e-3), gradients)[s, p] != pytest.approx(theta, rel=1e-6)


def test_momentum_schedules_clips_and_boxes(seed):
    gradients = slopes(seed, 12)
    schedule = optimizers.decaying(0.1, 0.75, 4.0)
    theta, velocity = np.ones((3, 2)), np.zeros((3, 2))
    for k, g in enumerate(gradients):
        short = np.stack([x * min(1.0, 0.7 / np.sqrt(x @ x)) for x in g])
        velocity = 0.6 * velocity + short
        theta = np.minimum(np.maximum(theta + 0.1 / (1 + k / 4) ** 0.75 * velocity, 0.9), 1.05)
    rule = optimizers.projected(optimizers.clipped(optimizers.sgd(schedule, 0.6), 0.7), 0.9, 1.05)
    np.testing.assert_allclose(run(rule, gradients), theta, rtol=1e-12)
    assert repr(optimizers.sgd(0.1)) == "SGD(rate=0.1, momentum=0.0)" and optimizers.sgd(0.1) == optimizers.sgd(0.1)


@pytest.mark.parametrize(
    "rule", [optimizers.sgd(0.1, 0.5), optimizers.adam(0.1), optimizers.clipped(optimizers.adam(0.1), 0.3)], ids=repr
)
def test_rules_treat_each_row_alone(rule, seed):
    gradients = slopes(seed)
    whole = run(rule, gradients)
    for s in range(3):
        np.testing.assert_array_equal(run(rule, gradients[:, s : s + 1])[0], whole[s])


def test_a_rule_of_optax_climbs(seed):
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    jax.config.update("jax_enable_x64", True)
    rule = optax.adam(0.02, 0.8, 0.95, 1e-3)

    def climb(theta, gradient, state):
        state = rule.init(theta) if state is None else state
        updates, state = rule.update(-gradient, state, theta)
        return optax.apply_updates(theta, updates), state

    problem, *_ = one_step()
    ways = [
        mg.ascend(problem, [0.5], mg.estimators.reparameterization(), 4, 20, optimizer=o, seeds=3).theta
        for o in (climb, optimizers.adam(0.02, 0.8, 0.95, 1e-3))
    ]
    np.testing.assert_allclose(*ways, rtol=1e-9)


# ---- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, message",
    [
        ({"batch": 0}, "batch: expected a whole number >= 1, got 0"),
        ({"steps": -1}, "steps: expected a whole number >= 0"),
        ({"seeds": []}, "seeds: expected a number of seeds, or seeds that differ"),
        ({"seeds": [1, 1]}, "seeds: expected a number of seeds, or seeds that differ"),
        ({"record": [7]}, "record: expected a whole number from 0 to 3, got 7"),
        ({"optimizer": 0.1}, "optimizer: expected a function"),
        (
            {"optimizer": lambda theta, gradient, state: (theta[0], state)},
            r"optimizer: expected it to return \(theta, state\), theta of shape",
        ),
        ({"optimizer": lambda theta, gradient, state: theta}, r"optimizer: expected it to return \(theta, state\)"),
        (
            {"optimizer": lambda theta, gradient: (theta, None)},
            r"optimizer: expected a function of \(theta, gradient, state\)",
        ),
        ({"theta": [1.0, 2.0]}, "theta: expected shape"),
        ({"theta": [[1.0], [2.0]]}, "theta: expected shape"),
        ({"theta": np.zeros((0, 1))}, "theta: expected shape"),
        ({"estimator": "PW"}, "estimator: expected an estimator"),
        (
            {"estimator": mg.estimators.control_variate(mg.estimators.reparameterization(), mg.estimators.score())},
            "estimator: expected one with fixed coefficients",
        ),
        ({"progress": 3}, "progress: expected None, a bool, a function or tqdm"),
    ],
)
def test_bad_input_is_named(change, message):
    problem, *_ = one_step()
    given = {"theta": [0.5], "estimator": mg.estimators.reparameterization(), "batch": 2, "steps": 3}
    given |= {"optimizer": optimizers.sgd(0.1), "seeds": 3} | change
    with pytest.raises(ValueError, match=message):
        mg.ascend(problem, **given)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: optimizers.sgd(0.0), "rate: expected a number > 0.0"),
        (lambda: optimizers.sgd(0.1, 1.0), "momentum: expected a number below 1"),
        (lambda: optimizers.adam(-1.0), "rate: expected a number > 0.0"),
        (lambda: optimizers.decaying(0.1, offset=0.0), "offset: expected a number > 0.0"),
        (lambda: optimizers.clipped("sgd", 1.0), "rule: expected a function"),
        (lambda: optimizers.projected(optimizers.sgd(0.1), 1.0, 0.0), "high: expected a number >= 1.0"),
    ],
)
def test_optimizers_name_bad_numbers(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---- progress --------------------------------------------------------------------------------------------------


def test_progress_takes_a_function_and_tqdm(capsys):
    problem, *_ = one_step()
    seen = []
    options = {"optimizer": optimizers.sgd(0.1), "seeds": 2}
    mg.ascend(problem, [0.5], mg.estimators.reparameterization(), 4, 3, progress=lambda *x: seen.append(x), **options)
    assert seen == [(8, 24), (16, 24), (24, 24)]
    tqdm = pytest.importorskip("tqdm").tqdm
    ladder = {"PW": mg.estimators.reparameterization()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mg.measure(problem, [0.5], ladder, 20_000, progress=tqdm)
    assert "100%" in capsys.readouterr().err
    with tqdm(total=40_000) as bar:
        mg.measure(problem, [0.5], ladder, 20_000, progress=bar)
        assert bar.n == 20_000
        mg.measure(problem, [0.5], ladder, 20_000, progress=bar, start=20_000)
        assert bar.n == 40_000 and not bar.disable
