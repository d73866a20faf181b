"""Estimators of your own, and their exact variances: on a linear-quadratic problem, on a table and on a nonlinear problem.

An estimator is a scan over one trajectory, newest step first. Its carry is linear in what comes later, so that conditional
means and covariances obey a recursion over the state: `mcgrad.exact.moments` runs it, whatever the estimator is, and says how
the states were represented. Here are a reward to go in which later rewards count less, and one from another policy's
trajectories whose importance weights are clipped at every step (as V-trace does, Espeholt et al. 2018): both are biased, and
the exact moments say by how much. Run it: python examples/an_estimator.py
"""

import numpy as np

import mcgrad as mg
from mcgrad.estimators import BehaviourPolicy, Combined, Estimator, RolloutVariant


def decayed(decay: float) -> Estimator:
    """Return to go in which a reward k steps later counts decay^k."""

    def last(c, end):  # the carry after the last step
        return end.reward

    def step(c, x, later):  # (carry for the step before, cotangent of eta)
        to_go = x.reward + c.decay * later
        return to_go, tuple(to_go * z for z in x.score)

    return mg.estimators.custom(step, last, data={"decay": decay})


class Acting(Combined):
    """One estimator on the trajectories of a behaviour policy."""

    def combine(self, c, gradients, direction):
        """Return the gradient of the only part."""
        return gradients[0]


def clipped_to_go(behaviour_theta: np.ndarray, clip: float = 1.0) -> Estimator:
    """Return to go S_t = min(w_t, clip) (r_t + S_{t+1}), w_t = p(a_t | s_t) / p_b(a_t | s_t); the behaviour acts."""

    def last(c, end):
        return end.reward

    def step(c, x, later):
        to_go = np.minimum(np.exp(x.log_weight), c.clip) * (x.reward + later)
        return to_go, tuple(to_go * z for z in x.score)

    part = mg.estimators.custom(step, last, data={"clip": clip})
    behaviour = BehaviourPolicy(tuple(map(float, behaviour_theta)))
    return Acting((part,), variations=(RolloutVariant(behaviour=behaviour),))


def problems() -> dict[str, tuple[mg.Problem, np.ndarray]]:
    """Return {name: (problem, theta)}."""
    lq = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    features = mg.policies.linear_features(lambda s: (s[0], 1.0), 1, 1, std=0.5)
    return {
        "linear": (mg.Problem(lq, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=4), np.array([-0.6])),
        "table": (
            mg.Problem(mg.environments.random_walk(5), mg.policies.softmax(5, 2), horizon=8),
            np.linspace(-0.5, 0.5, 10),
        ),
        "double well": (mg.Problem(mg.environments.double_well(), features, horizon=5), np.array([-0.3, 0.5])),
    }


def exactly(problem: mg.Problem, theta: np.ndarray, estimator: Estimator) -> mg.exact.ExactMoments:
    """Return exact moments under the name "mine", of one estimator alone.

    Of two, trajectories of the policy and of the behaviour on common noise would be one chain of twice the states.
    """
    return mg.exact.moments(problem, theta, {"mine": estimator}, higher=True, tolerance=1e-3)


def main(count: int = 200_000) -> dict[tuple[str, str], tuple]:
    """Print exact and measured variances, and the bias; return {(problem, estimator): (exact, measured moments)}."""
    rows = {}
    for name, (problem, theta) in problems().items():
        other = theta + np.linspace(0.1, 0.3, len(theta))  # the policy that acts instead
        mine = {"decayed, 0.8": decayed(0.8), "clipped to go": clipped_to_go(other)}
        found = mg.measure(problem, theta, mine, count, progress=False)
        gradient = mg.exact.mean(problem, theta, mg.estimators.reward_to_go())  # which is unbiased
        for own, estimator in mine.items():
            moments = exactly(problem, theta, estimator)
            x, y = rows[name, own] = moments["mine"], found[own]
            print(
                f"{name:12} {own:14} variance {x.variance.sum():8.4f} exactly, {y.variance.sum():8.4f} measured; bias "
                f"{np.linalg.norm(x.mean - gradient):.3f}, gradient {np.linalg.norm(gradient):.3f} ({moments.space})"
            )
    return rows


if __name__ == "__main__":
    main()
