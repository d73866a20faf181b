"""Where the parameter is: in how probable a trajectory is, or in the trajectory.

A scalar linear-quadratic problem, s_next = .9 s + .5 a, a = theta s + .3 e, reward -(s^2 + .1 a^2), ten steps from s = 1. A few
trajectories are drawn at theta_0 = -.6. Then theta moves, and one of two things is held fixed:

    the trajectory tau     its return R(tau) stays, its probability changes by p_theta(tau) / p_theta_0(tau)
    the noise e            its probability stays, its return R(tau(theta, e)) changes

Both leave the mean J(theta). The slope at theta_0 of return times probability ratio is R dlog p / dtheta, the score function;
that of the moved return is the pathwise gradient.

References
----------
https://ai.stackexchange.com/questions/27864, What happens with policy gradient methods if rewards are differentiable?
"""

import numpy as np

import mcgrad as mg
from mcgrad import study
from studies import noise_scale

STD, THETA, REACH = 0.3, -0.6, 0.4
DRAWN = 12  # trajectories that are shown


def settings(quick):
    """Return the two parts: trajectories along theta, and gradients of single trajectories."""
    points, samples = (9, 200) if quick else (25, 400)
    return [{"part": "paths", "points": points, "count": DRAWN}, {"part": "samples", "points": 0, "count": samples}]


def rows(setting, seed, threads):
    """Return the rows of one part."""
    problem, theta = noise_scale.problem(STD, 0.0)
    return (paths if setting["part"] == "paths" else samples)(problem, theta, setting, seed)


def paths(problem, theta, setting, seed):
    """Return a row for each trajectory and theta."""
    drawn, found = mg.rollout(problem, theta, setting["count"], seed), []
    s, a = drawn.states[:, :-1, 0], drawn.actions[:, :, 0]

    def logarithm(k):  # of the part of p_theta(tau) that theta is in
        return -0.5 * (((a - k * s) / STD) ** 2).sum(axis=1)

    for k in THETA + np.linspace(-REACH, REACH, setting["points"]):
        moved = mg.rollout(problem, [k], setting["count"], seed).rewards.sum(axis=1)
        ratio = np.exp(logarithm(k) - logarithm(THETA))
        common = {"part": "paths", "theta": k, "exact_objective": mg.exact.objective(problem, [k])}
        for i in range(setting["count"]):
            own = {"trajectory": i, "fixed_return": drawn.rewards[i].sum(), "ratio": ratio[i], "moved_return": moved[i]}
            found.append(common | own)
    return found


def samples(problem, theta, setting, seed):
    """Return a row for each trajectory: both of its gradients, and what they have in common."""
    both = {"score": mg.estimators.score_function(), "path": mg.estimators.reparameterization()}
    drawn = mg.sample(problem, theta, both, setting["count"], seed)
    exact = {f"{name}_variance": mg.exact.variance(problem, theta, e)[0] for name, e in both.items()}
    common = {"part": "samples", "theta": THETA, "exact_gradient": mg.exact.gradient(problem, theta)[0]} | exact
    each = zip(drawn["score"][:, 0], drawn["path"][:, 0], strict=True)
    return [common | {"trajectory": i, "score": x, "path": y} for i, (x, y) in enumerate(each)]


def report(rows):
    """Return the standard deviations of both gradients."""
    row = next(r for r in rows if r["part"] == "samples")
    return (
        f"  gradient {row['exact_gradient']:.4f}; standard deviation of one trajectory's: score function "
        f"{row['score_variance'] ** 0.5:.3g}, pathwise {row['path_variance'] ** 0.5:.3g}"
    )


STUDY = study.Study(
    name="two_views",
    question="Where does the gradient of the reward go, and what comes in its place?",
    columns=(
        *("part", "theta", "trajectory", "exact_objective", "fixed_return", "ratio", "moved_return"),
        *("exact_gradient", "score_variance", "path_variance", "score", "path"),
    ),
    settings=settings,
    rows=rows,
    report=report,
)
