"""A problem of your own: change it, then run `mcgrad compare` on this file.

A mass on a spring with friction is pushed towards the origin. The functions are plain Python on tuples of numbers; they are
run once, with symbols, so that they can be differentiated and compiled. What depends on a state is chosen with
`mg.where(condition, a, b)` instead of `if`.
"""

import math

import mcgrad as mg


def init(p, z) -> tuple[float, float]:
    """Return the initial state. p: the parameters below; z: standard normals, `initial_noises` of them."""
    return (1.0 + 0.5 * z[0], 0.5 * z[1])


def step(p, s, a, w) -> tuple[float, float]:
    """Return the next state. s: state; a: action; w: standard normals, `noises` of them."""
    x, v = s
    force = a[0] - p.spring * x - p.friction * math.tanh(10.0 * v)
    v = v + p.dt * force + p.noise * w[0]
    return (x + p.dt * v, v)


def reward(p, s, a, s_next, w) -> float:
    """Return the reward of the step, which is to be maximised."""
    return -(s_next[0] ** 2 + 0.1 * s_next[1] ** 2 + 0.01 * a[0] ** 2)


environment = mg.Environment(
    states=2,
    actions=1,
    noises=1,
    initial_noises=2,
    params={"dt": 0.1, "spring": 1.0, "friction": 0.2, "noise": 0.05},
    init=init,
    step=step,
    reward=reward,
    name="mass on a spring",
)

# a = K s + std * e. For other policies write eta, sample and log_prob: see mg.Policy.
policy = mg.policies.linear_gaussian(2, 1, std=0.5)

# What `mcgrad compare` reads: a problem, where to take its gradient, and, if you like, estimators of your own to add.
problem = mg.Problem(environment, policy, horizon=50, discount=0.99)
theta = [-1.0, -0.5]
estimators = {
    "reward to go, my baseline": mg.estimators.reward_to_go(
        mg.baselines.of_state(lambda p, s: -p.scale * s[0] ** 2, scale=5.0)
    ),
}
