"""How the policy gradient is computed: arrows for each action, minibatches of them, and a loss that is none.

Three arms that pay 1, 2 and 0, a softmax policy that chooses them with probabilities .5, .3 and .2; everything is exact.

    arrows   (q_a - b) grad ln pi(a) in the logits, which is drawn with probability pi_a; its mean is the gradient for all b
    batch    B of them: 1 / B of the variance; less the mean of the same batch, (1 - 1/B) of the gradient
    ascent   theta + 5 dJ/dtheta, the objective, and the value of the loss -E[G ln pi] in which G is a number; rewards that are
             all smaller by 2 have the same gradient, and another loss

References
----------
Sutton and Barto (2018), Reinforcement learning, sections 13.2 to 13.4; Kool, van Hoof and Welling (2019), Buy 4 REINFORCE
samples, get a baseline for free.
"""

import numpy as np

import mcgrad as mg
from mcgrad import study

PI, PAYS, SHIFT, RATE = np.array([0.5, 0.3, 0.2]), np.array([1.0, 2.0, 0.0]), -2.0, 0.5
SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


def problem(pays=PAYS):
    """Return the bandit under a softmax policy; theta is the logarithm of the probabilities."""
    return mg.Problem(mg.environments.bandit(pays), mg.policies.softmax(1, len(pays)), horizon=1)


def settings(quick):
    """Return the three parts."""
    return [{"part": "arrows"}, {"part": "batch"}, {"part": "ascent", "steps": 20 if quick else 60}]


def rows(setting, seed, threads):
    """Return the rows of one part; none depends on a seed."""
    return {"arrows": arrows, "batch": batch, "ascent": ascent}[setting["part"]](setting)


def arrows(setting):
    """Return a row for each baseline and arm."""
    gradient = mg.exact.gradient(problem(), np.log(PI))
    mean, found = PI @ PAYS, []
    for name, b in (("none", 0.0), ("mean", mean)):
        for a in range(len(PI)):
            z = np.eye(len(PI))[a] - PI
            row = {"part": "arrows", "baseline": name, "arm": a, "probability": PI[a], "pays": PAYS[a]}
            row |= {f"arrow_{k}": (PAYS[a] - b) * z[k] for k in range(len(PI))}
            found.append(row | {f"gradient_{k}": gradient[k] for k in range(len(PI))})
    return found


def batch(setting):
    """Return a row for each kind and size of batch: bias and error of its gradient, over the norm of the true one."""
    p, theta = problem(), np.log(PI)
    gradient, e = mg.exact.gradient(p, theta), mg.estimators
    found = []
    for size in SIZES:
        for name, estimator, several in (
            ("no baseline", e.score_function(), size),
            ("mean of the batch", e.same_batch_mean(size), 1),
            ("leave one out", e.leave_one_out(size), 1),
            ("exact baseline", e.score_function(mg.baselines.value()), size),
        ):
            lost = mg.exact.mean(p, theta, estimator) - gradient
            variance = mg.exact.variance(p, theta, estimator).sum() / several
            bias, norm = np.linalg.norm(lost), np.linalg.norm(gradient)
            row = {"part": "batch", "estimator": name, "size": size, "bias": bias / norm}
            found.append(row | {"error": np.sqrt(bias**2 + variance) / norm})
    return found


def ascent(setting):
    """Return a row for each step of an ascent along the exact gradient."""
    theta, found = np.log(PI), []
    for step in range(setting["steps"] + 1):
        weights = np.exp(theta - theta.max())
        pi = weights / weights.sum()
        row = {"part": "ascent", "step": step, "objective": mg.exact.objective(problem(), theta)}
        row |= {"loss": -(pi * PAYS * np.log(pi)).sum(), "shifted_loss": -(pi * (PAYS + SHIFT) * np.log(pi)).sum()}
        found.append(row)
        theta = theta + RATE * mg.exact.gradient(problem(), theta)
    return found


def report(rows):
    """Return what batches of a few sizes lose and vary, and where the loss goes."""
    ascent = [r for r in rows if r["part"] == "ascent"]
    lines = [
        f"  objective {ascent[0]['objective']:.3f} to {ascent[-1]['objective']:.3f}; loss {ascent[0]['loss']:.3f}, at most "
        f"{max(r['loss'] for r in ascent):.3f}, {ascent[-1]['loss']:.3f} in the end"
    ]
    for r in rows:
        if r["part"] == "batch" and r["size"] == 8:
            lines.append(f"  B = 8, {r['estimator']:<18} bias {r['bias']:.3f}, error {r['error']:.3f} of the gradient")
    return "\n".join(lines)


STUDY = study.Study(
    name="grad_log_pi",
    question="What is grad log pi, what does a batch of it tell, and what does the loss say?",
    columns=(
        *("part", "baseline", "arm", "probability", "pays", "arrow_0", "arrow_1", "arrow_2"),
        *("gradient_0", "gradient_1", "gradient_2", "estimator", "size", "bias", "error"),
        *("step", "objective", "loss", "shifted_loss"),
    ),
    settings=settings,
    rows=rows,
    report=report,
)
