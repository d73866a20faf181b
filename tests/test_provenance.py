"""What was measured is known: moments of something else are never merged with others, nor gone on from."""

import json
import pickle

import numpy as np
import pytest

import mcgrad as mg
from mcgrad import archive, source

E = mg.estimators
LADDER = {"SF": E.reward_to_go()}


def problem(A=0.9, horizon=5, discount=1.0, std=0.5, noise=0.04):
    system = mg.environments.linear_quadratic([[A]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[noise]])
    return mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=std), horizon, discount)


def measured(p=None, theta=-0.6, estimators=None, count=64, start=0, **options):
    return mg.measure(p or problem(), [theta], estimators or LADDER, count, start=start, machine="numpy", **options)


def own(factor, k=1.0, f=None):
    """Return a problem of functions that look alike: one number in a closure, one in `params`, one function."""
    environment = mg.Environment(
        states=1,
        actions=1,
        initial_noises=1,
        params={"k": k},
        init=lambda p, z: (z[0],),
        step=lambda p, s, a, w: (factor * s[0] + a[0],),
        reward=f or (lambda p, s, a, s_next, w: -p.k * s[0] ** 2),
    )
    return mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=3)


def custom(d):
    return E.custom(
        lambda c, x, later: (later + x.reward, tuple(c.d * (later + x.reward) * z for z in x.score)),
        lambda c, end: end.reward,
        data={"d": d},
    )


def with_estimator(x):
    return {"estimators": {"SF": x}}


OTHERS = {
    "theta": ({}, {"theta": -0.1}, r"theta: \[-0.6\] and \[-0.1\]"),
    "A": ({}, {"p": problem(A=0.5)}, r"params\['A'\]: \[\[0.9\]\] and \[\[0.5\]\]"),
    "process noise": ({}, {"p": problem(noise=0.05)}, "params"),
    "std": ({}, {"p": problem(std=0.6)}, r"params of the policy\['std'\]: .*0.5.* and .*0.6"),
    "horizon": ({}, {"p": problem(horizon=6)}, "horizon: 5 and 6"),
    "discount": ({}, {"p": problem(discount=0.9)}, "discount: 1.0 and 0.9"),
    "estimator": (
        {},
        with_estimator(E.reparameterization()),
        "estimators: RewardToGo and Reparameterization",
    ),
    "constant": (with_estimator(E.reward_to_go(-1.0)), with_estimator(E.reward_to_go(-3.0)), r"data.*-1.* and .*-3"),
    "over time": (
        with_estimator(E.reward_to_go(np.zeros(5))),
        with_estimator(E.reward_to_go(np.arange(5.0))),
        "data of the estimators over time",
    ),
    "exact or fitted": (
        with_estimator(E.reward_to_go(mg.baselines.value())),
        with_estimator(E.reward_to_go(mg.baselines.fitted_value(64))),
        "functions of the problem or of the estimators",
    ),
    "own data": (with_estimator(custom(0.5)), with_estimator(custom(0.6)), r"data.*0.5.* and .*0.6"),
    "width": (
        with_estimator(E.evolution_strategies(0.1)),
        with_estimator(E.evolution_strategies(0.2)),
        r"data.*0.1.* and .*0.2",
    ),
    "behaviour": (
        with_estimator(E.importance_weighted([-0.5])),
        with_estimator(E.importance_weighted([-0.4])),
        "params",
    ),
    "precision": ({}, {"precision": "single"}, "precision: double and single"),
    "design": ({}, {"design": mg.designs.sobol(32)}, "design: none and sobol of 32"),
    "closure": ({"p": own(0.5)}, {"p": own(0.9)}, "functions of the problem or of the estimators"),
    "own params": ({"p": own(0.5)}, {"p": own(0.5, k=2.0)}, r"params\['k'\]: 1.0 and 2.0"),
    "function": (
        {"p": own(0.5)},
        {"p": own(0.5, f=lambda p, s, a, s_next, w: -p.k * abs(s[0]))},
        "functions of the problem or of the estimators",
    ),
    "fitted coefficients of other parts": (
        with_estimator(E.control_variate(E.reward_to_go(-1.0), [E.score()])),
        with_estimator(E.control_variate(E.reward_to_go(-2.0), [E.score()])),
        "data",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_moments_of_something_else_are_refused(name, tmp_path):
    one, other, match = OTHERS[name]
    a, b = measured(**one), measured(**{"start": 64} | other)
    for x, y in ((a, b), (mg.Moments.load(a.save(tmp_path / "a")), pickle.loads(pickle.dumps(b)))):
        with pytest.raises(ValueError, match=f"^other: expected moments of the same problem.*differ in {match}"):
            x.merge(y)
    assert a.merge(measured(**{"start": 64} | one))["SF"].count == a["SF"].count * 2
    same = {k: x for k, x in other.items() if k != "design"} | {"design": one.get("design")}
    if "design" not in other:
        with pytest.raises(ValueError, match="^after: expected moments of the same problem.*differ in "):
            measured(**same | {"count": mg.until(0.9, after=a)})


def test_what_is_fitted_anew_is_the_same_estimator_all_the_same(tmp_path):
    """Its coefficients differ from range to range; how it was made does not."""
    mixed = {
        "CV": E.control_variate(E.reward_to_go(), [E.score()]),
        "mix": E.inverse_variance(E.reward_to_go(), E.reparameterization(), pilot=64),
        "natural": E.natural(E.reward_to_go()),
        "steps": E.inverse_variance_per_step(pilot=64),
    }
    a, b, c = (measured(estimators=mixed, start=k, seed=s) for k, s in ((0, 0), (64, 0), (0, 1)))
    assert a.merge(b).merge(c)["mix"].count == 192
    assert mg.Moments.load(a.save(tmp_path / "a")).merge(b)["CV"].count == 128


def test_last_digits_of_linear_algebra_are_no_difference():
    """They depend on the processor. Whatever is more than that is seen, also in arrays of which sums alone are kept."""
    rng = np.random.default_rng(0)
    for size in (3, 20_000):
        x = rng.standard_normal(size) * np.exp(rng.uniform(-8, 8, size))
        x[0] = 0.0
        near = x * (1.0 + 1e-13 * rng.standard_normal(size))
        near[0] = 1e-15
        for name, scale in ((source.DATA, 1e-2), ("params", 1e-2)):
            far = x.copy()
            far[1] *= 1.0 + scale * np.sqrt(size)
            of = [{name: source._noted(y)} for y in (x, near, far)]
            p, q, r = (source.Source("", [0.0], 0, 0, 1, y) for y in of)
            assert p.differs(q) is None and p.differs(r).startswith(name)


def test_batches_know_what_each_entry_is_of(tmp_path):
    thetas = [[-0.6], [-0.5]]
    a = mg.measure([problem(), problem(0.8)], thetas, LADDER, 64, machine="numpy")
    for problems, at, match in (
        ([problem(), problem(0.7)], thetas, r"params\['A'\]: \[\[0.8\]\] and \[\[0.7\]\]"),
        ([problem(), problem(0.8)], [[-0.6], [-0.4]], r"theta: \[-0.5\] and \[-0.4\]"),
    ):
        b = mg.measure(problems, at, LADDER, 64, start=64, machine="numpy")
        with pytest.raises(ValueError, match=match):
            a.merge(b)
        with pytest.raises(ValueError, match=match):
            mg.Moments.load(a.save(tmp_path / "batch")).merge(b)
    more = mg.measure([problem(), problem(0.8)], thetas, LADDER, 64, start=64, machine="numpy")
    both = mg.Moments.load(a.save(tmp_path / "batch")).merge(more)
    assert both.entry(1)["SF"].count == 128
    alone = measured(problem(0.8), -0.5, start=128)
    assert both.entry(1).merge(alone)["SF"].count == 192
    with pytest.raises(ValueError, match="theta"):
        both.entry(0).merge(alone)


def test_files_that_do_not_say_what_was_measured_are_read_and_not_merged(tmp_path):
    path = measured().save(tmp_path / "old")
    words, arrays = archive.load(path, "moments of gradients")
    for x in words["sources"]:
        del x["of"]  # as earlier versions wrote them
    old = mg.Moments.load(archive.save(path, words | {"what": "moments of gradients"}, arrays))
    assert old["SF"].count == 64
    with pytest.raises(ValueError, match="not noted, in a file of an earlier version"):
        old.merge(measured(start=64))
    words["sources"] = measured().sources[0].words() | {"of": None}
    json.dumps(words)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such folder: .*nowhere'"):
        measured().save(tmp_path / "nowhere" / "found")


def test_moments_of_samples_are_merged_among_themselves_alone():
    samples = mg.sample(problem(), [-0.6], LADDER, 64, machine="numpy")
    some = mg.moments.of_samples(samples, ["K[0,0]"])
    assert some.merge(some)["SF"].count == 128
    found = measured()
    some = mg.moments.of_samples(samples, found.parameters)
    for a, b in ((some, found), (found, some)):
        with pytest.raises(ValueError, match="other: expected moments from `measure` both times"):
            a.merge(b)
    with pytest.raises(ValueError, match="other: expected Moments, got int 3"):
        found.merge(3)
