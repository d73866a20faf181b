"""Which estimator should I use? Three readers, a problem each, and the noise-to-signal ratio of what they may choose from.

    control          a scalar linear-quadratic problem with process noise, ten steps
    textbook         the short corridor, fifty steps
    language model   one prompt: an answer that is right with probability .3, groups of eight answers

The ratio is variance x rollouts of a sample over the squared norm of its mean, summed over the parameters: the number of
trajectories whose mean has a relative error of one. Biased ones are marked: their mean is not the gradient.

References
----------
Sutton and Barto (2018), example 13.1; Kool, van Hoof and Welling (2019), Buy 4 REINFORCE samples, get a baseline for free;
Shao et al. (2024), DeepSeekMath (GRPO).
"""

import numpy as np

import mcgrad as mg
from mcgrad import baselines as b
from mcgrad import estimators as e
from mcgrad import study
from studies.ladder import scalar
from studies.problems import corridor

GROUP, RIGHT = 8, 0.3


def answers():
    """Return the bandit whose first arm is right."""
    return mg.Problem(mg.environments.bandit([1.0, 0.0]), mg.policies.softmax(1, 2), 1), np.log([RIGHT, 1.0 - RIGHT])


READERS = {
    "control": (
        scalar,
        {
            "score function": e.score_function(),
            "reward to go": e.reward_to_go(),
            "reward to go, value baseline": e.reward_to_go(b.value()),
            "doubly robust, exact critic": e.doubly_robust(),
            "central differences": e.finite_differences(1e-3, 1),
            "pathwise": e.reparameterization(),
            "all actions, exact critic": e.all_actions(),
        },
    ),
    "textbook": (
        corridor,
        {
            "score function": e.score_function(),
            "score function, baseline J": e.score_function(b.mean_return()),
            "score function, leave one out": e.leave_one_out(GROUP),
            "reward to go": e.reward_to_go(),
            "reward to go, value baseline": e.reward_to_go(b.value()),
            "advantage, exact critic": e.advantage(),
        },
    ),
    "language model": (
        answers,
        {
            "score function": e.score_function(),
            "leave one out": e.leave_one_out(GROUP),
            "less the group's mean": e.same_batch_mean(GROUP),
            "standardised group": e.standardised(GROUP),
            "exact baseline": e.score_function(b.value()),
        },
    ),
}


def settings(quick):
    """Return the readers."""
    count = 20_000 if quick else 1_000_000
    return [{"reader": name, "count": count, "start": k * count} for k, name in enumerate(READERS)]


def rows(setting, seed, threads):
    """Return a row for each estimator of a reader."""
    make, chosen = READERS[setting["reader"]]
    problem, theta = make()
    gradient = mg.exact.gradient(problem, theta)
    options = {"start": setting["start"], "threads": threads, "progress": False}
    measured = mg.measure(problem, theta, chosen, setting["count"], seed, **options)
    found = []
    for name, estimator in chosen.items():
        x, rollouts = measured[name], measured[name].rollouts
        row = {"reader": setting["reader"], "estimator": name, "rollouts": rollouts, "count": x.count}
        row |= {"variance": x.variance.sum(), "variance_stderr": x.variance_stderr.sum()}
        try:
            mean, exact = (f(problem, theta, estimator) for f in (mg.exact.mean, mg.exact.variance))
            row["exact_ratio"] = rollouts * exact.sum() / (mean @ mean)
        except mg.exact.NoClosedForm:
            mean = x.mean
        signal = float(mean @ mean)
        row |= {
            "mean_over_gradient": np.sqrt(signal / (gradient @ gradient)),
            "ratio": rollouts * row["variance"] / signal,
        }
        found.append(row | {"ratio_stderr": rollouts * row["variance_stderr"] / signal})
    return found


def report(rows):
    """Return the ratios, a line for each estimator."""
    lines = []
    for r in rows:
        exact = f"{r['exact_ratio']:9.4g}" if r.get("exact_ratio") is not None else " not known"
        line = f"  {r['reader']:<15} {r['estimator']:<30} {r['ratio']:9.4g} +- {r['ratio_stderr']:.2g}, exactly {exact}"
        lines.append(f"{line}, {r['mean_over_gradient']:.3f} of the gradient")
    return "\n".join(lines)


STUDY = study.Study(
    name="which_estimator",
    question="Which estimator should I use for control, in a textbook, for a language model?",
    columns=(
        *("reader", "estimator", "rollouts", "count", "variance", "variance_stderr"),
        *("mean_over_gradient", "ratio", "ratio_stderr", "exact_ratio"),
    ),
    settings=settings,
    rows=rows,
    report=report,
)
