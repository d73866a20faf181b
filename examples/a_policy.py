"""A policy of your own: a saturating controller whose gains and whose exploration are learned.

A policy maps the state to the parameters eta of its actions' distribution, draws an action from normals e, and says how
likely an action is. Scores, derivatives and whatever an estimator needs come by tracing. Run it: python examples/a_policy.py
"""

import math

import numpy as np

import mcgrad as mg


def eta(p, theta, s):
    """Mean limit * tanh(K s / limit), and the log of the standard deviation."""
    gain = theta[0] * s[0] + theta[1] * s[1]
    return (p.limit * np.tanh(gain / p.limit), theta[2])


def sample(p, eta, e):
    """Draw an action from standard normals."""
    return (eta[0] + np.exp(eta[1]) * e[0],)


def log_prob(p, eta, a):
    """Return log N(a; mean, std^2)."""
    x = (a[0] - eta[0]) * np.exp(-eta[1])
    return -0.5 * x * x - eta[1] - 0.5 * math.log(2.0 * math.pi)


saturating = mg.Policy(
    states=2,
    actions=1,
    noises=1,
    parameters=("gain of the position", "gain of the speed", "log std"),
    eta=eta,
    sample=sample,
    log_prob=log_prob,
    params={"limit": 2.0},
    name="saturating",
)
problem = mg.Problem(mg.environments.plain_pendulum(), saturating, horizon=20)
theta = [-1.0, -0.5, math.log(0.3)]


def main(count: int = 200_000) -> mg.Moments:
    """Measure two estimators, and print what was found."""
    estimators = {"reward to go": mg.estimators.reward_to_go(), "pathwise": mg.estimators.reparameterization()}
    found = mg.measure(problem, theta, estimators, count)
    print(found)
    return found


if __name__ == "__main__":
    main()
