"""A user's program, as a type checker reads it: what is public has types, and they fit what the documentation does."""

from __future__ import annotations

import pathlib
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import mcgrad as mg

lq: mg.Environment = mg.environments.linear_quadratic(A=[[0.9]], B=[[1.0]], Q=[[1.0]], R=[[0.1]])
policy: mg.Policy = mg.policies.linear_gaussian(1, 1, std=0.3)
problem = mg.Problem(lq, policy, horizon=10, discount=0.99)
theta = np.array([-0.4])

estimators: dict[str, mg.estimators.Estimator] = {
    "SF": mg.estimators.score_function(),
    "to go": mg.estimators.reward_to_go(baseline=mg.baselines.value()),
    "mean": mg.estimators.reward_to_go(baseline=[0.0] * 10),
    "PW": mg.estimators.reparameterization(),
}
found: mg.Moments = mg.measure(problem, theta, estimators, count=1000, seed=0)
mean: NDArray[np.float64] = found["PW"].mean
total: float = float(found["PW"].variance.sum())
gradients: dict[str, NDArray[np.float64]] = mg.sample(problem, theta, estimators, 100, seed=0)
J: float = mg.exact.objective(problem, theta)
truth: NDArray[np.float64] = mg.exact.gradient(problem, theta)
variance: NDArray[np.float64] = mg.exact.variance(problem, theta, estimators["SF"])
exact: mg.exact.ExactMoments = mg.exact.moments(problem, theta, {"to go": mg.estimators.reward_to_go()})
table = found.table()
low, high = found["PW"].total_variance_interval()
path = mg.rollout(problem, theta, 10)
states: NDArray[np.float64] = path.states
priced = mg.cost(problem, theta, estimators)
report = mg.check(problem, theta)
comparison = mg.compare(problem, theta, only=["pathwise"])
advice: str = comparison.recommendation()
even = mg.measure(problem, theta, estimators, 1024, design=mg.designs.sobol(256))
several = mg.measure(problem, np.stack([theta, theta + 0.1]), estimators, 100)
F: NDArray[np.float64] = mg.fisher(problem, theta, 100).mean
endless: mg.Problem = mg.continuing(problem, theta)
best: mg.BestBehaviour = mg.best_behaviour(problem, theta, estimators["to go"])

# What a checker would otherwise take for Any, and let pass whatever is done with it.
Vector = NDArray[np.float64]
assert_type(found["PW"].variance, Vector)
assert_type(found["PW"].count, int)
assert_type([name for name in found], list[str])
assert_type(found.names, tuple[str, ...])
assert_type(mg.Moments.load(found.save(pathlib.Path("found"))), mg.Moments)
assert_type(exact["to go"].mean, Vector)
assert_type(path.rewards, Vector)
assert_type(path.lengths, NDArray[np.int64])
assert_type(comparison["pathwise"].estimator, str)
assert_type(best.policy, mg.Policy)
assert_type(best.estimator, mg.estimators.Estimator)
assert_type(best.variance, Vector)
assert_type(mg.fisher(problem, theta, 100).stderr, Vector)
kernel: mg.Kernel = mg.kernel(problem, estimators, theta)
assert_type(kernel.samples(theta, 0, 0, 64), Vector)
assert_type(kernel.function(theta, 0, 0, kernel.out(64), kernel.work()), None)
climbed = mg.ascend(problem, theta, estimators["PW"], 16, 10, optimizer=mg.optimizers.sgd(0.01))
assert_type(climbed.theta, Vector)
climbed.table()
assert_type(mg.exact.critic(problem, theta)(0, [0.0], [0.0]), Vector)
in_order = mg.compare(problem, theta, estimators, 1000, 0)
differential: mg.exact.DifferentialValue = mg.exact.differential_value(problem, theta)
news: mg.exact.GradientNews = mg.exact.gradient_news(problem, theta)
assert_type(news(0, [0.0], [0.0]), Vector)
rows = mg.exact.critic(problem, theta).table([[0.0]], [[0.0]])
matrix: NDArray[np.float64] = found.covariance_matrix("SF", "PW")
