"""A user's program, as a type checker reads it: what is public has types, and they fit what the documentation does."""

from __future__ import annotations

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
