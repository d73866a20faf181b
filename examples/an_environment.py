"""An environment of your own: Gymnasium's continuous mountain car, rewritten as three plain functions.

Gymnasium's is a class whose `step` changes its state; here each function takes numbers and returns numbers, and what depends
on the state is chosen with `where`. The shaped reward makes the task one that a gradient can see: Gymnasium pays 100 at the
flag and nothing before. Run it: python examples/an_environment.py
"""

import numpy as np

import mcgrad as mg


def init(p, z):
    """Start in the valley, at rest; z: uniform numbers."""
    return (-0.6 + 0.2 * z[0], 0.0)


def step(p, s, a, w):
    """Position and speed after one step; the wall on the left takes all speed."""
    force = mg.where(a[0] > 1.0, 1.0, mg.where(a[0] < -1.0, -1.0, a[0]))
    v = s[1] + p.power * force - 0.0025 * np.cos(3.0 * s[0])
    v = mg.where(v > 0.07, 0.07, mg.where(v < -0.07, -0.07, v))
    x = s[0] + v
    wall = x < -1.2
    return (mg.where(wall, -1.2, x), mg.where(wall & (v < 0.0), 0.0, v))


def reward(p, s, a, s_next, w):
    """Height and kinetic energy, less the cost of the force."""
    return np.sin(3.0 * s_next[0]) + 50.0 * s_next[1] * s_next[1] - 0.1 * a[0] * a[0]


mountain_car = mg.Environment(
    states=2,
    actions=1,
    initial_uniforms=1,
    params={"power": 0.0015},
    init=init,
    step=step,
    reward=reward,
    name="mountain car",
    discontinuous="at the wall on the left the speed jumps to zero",
)
problem = mg.Problem(mountain_car, mg.policies.linear_gaussian(2, 1, std=0.5), horizon=60)
theta = [0.1, 10.0]


def main(count: int = 200_000) -> mg.Moments:
    """Measure two estimators, and print what was found."""
    estimators = {"reward to go": mg.estimators.reward_to_go(), "pathwise": mg.estimators.reparameterization()}
    found = mg.measure(problem, theta, estimators, count)
    print(found)
    return found


if __name__ == "__main__":
    main()
