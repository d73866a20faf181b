"""Thirty problems whose gradient is known, ten of which jump: what does `mcgrad.compare` say of them?

    python tests/compare_thirty.py [--count N] [--seeds K] [--only NAME ...]

It must never recommend a biased estimator and never fail an unbiased one, so that each comparison has to end with

    smooth      an estimator that is unbiased, whose mean is within five standard errors of the truth; no row but evolution
                strategies (which are biased by their width) may fail, and nobody may disagree
    jumps       the same, with what rests on derivatives neither passing nor recommended
    no score    a jump, and nothing that is unbiased: no recommendation, and differences that are right within their errors

One estimator in 1000 comparisons fails by chance. The truth is a closed form, Gauss-Legendre quadrature between the jumps, or
the theory of linear-quadratic and tabular problems, which compare is not told of: it would ask it.
"""

import argparse
import dataclasses
import math
import pathlib
import sys
import time
from typing import NamedTuple

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import mcgrad as mg
from mcgrad.comparison import compare
from mcgrad.comparison.evidence import DIFFERENCES
from mcgrad.comparison.verdict import limit

OFTEN = 0.1  # how often an alarm by chance would be seen in a run: one in 1000 is too seldom to be counted
p, e = mg.policies, mg.environments
NODES, WEIGHTS = np.polynomial.legendre.leggauss(80)


class Case(NamedTuple):
    """A problem, where, its gradient, and whether it jumps."""

    problem: mg.Problem
    theta: list
    gradient: np.ndarray
    jumps: bool = False


# ---- truth -----------------------------------------------------------------------------------------------------


def mean(f, m, std, breaks=()):
    """Return E f(a) for a ~ N(m, std^2), f smooth between the breaks."""
    cuts = sorted({m - 9 * std, m, m + 9 * std, *(x for x in breaks if abs(x - m) < 9 * std)})
    total = 0.0
    for low, high in zip(cuts, cuts[1:], strict=False):
        a = 0.5 * (high + low) + 0.5 * (high - low) * NODES
        total += 0.5 * (high - low) * np.sum(WEIGHTS * f(a) * np.exp(-0.5 * ((a - m) / std) ** 2))
    return total / (std * math.sqrt(2.0 * math.pi))


def slope(J, theta, h=1e-3):
    """Return dJ/dtheta by central differences of fourth order of an exact J."""
    rows = np.eye(len(theta))
    return np.array(
        [
            (8.0 * (J(theta + h * d) - J(theta - h * d)) - (J(theta + 2 * h * d) - J(theta - 2 * h * d))) / (12.0 * h)
            for d in rows
        ]
    )


# ---- problems --------------------------------------------------------------------------------------------------


def bare(environment, **changes):
    """Return an environment that `mcgrad.exact` does not know."""
    return dataclasses.replace(environment, closed_form=None, **changes)


def one_action(reward, theta, breaks=(), jumps=False, numpy_reward=None, declared=None):
    """Return the Case of one Gaussian action; theta is (mean) with std 0.5, or (mean, std)."""
    environment = mg.Environment(
        states=1,
        actions=1,
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: s,
        reward=lambda p, s, a, s_next, w: reward(a[0]),
        name="one action",
        discontinuous=declared,
    )
    f = numpy_reward or reward

    def J(theta):
        return mean(f, theta[0], theta[1] if len(theta) > 1 else 0.5, breaks)

    policy = p.gaussian(1, std=0.5 if len(theta) == 1 else None)
    return Case(mg.Problem(environment, policy, 1), theta, slope(J, np.array(theta)), jumps)


def hidden(problem, theta, jumps=False, **changes):
    """Return the Case of a problem with a theory, without it."""
    gradient = mg.exact.gradient(problem, theta)
    return Case(dataclasses.replace(problem, environment=bare(problem.environment, **changes)), theta, gradient, jumps)


def linear(A, B, theta, T, std=0.5, discount=1.0, learn_std=False, noise=0.1):
    n = len(A)
    system = e.linear_quadratic(A, B, np.eye(n), [[0.1]], process_noise=noise**2 * np.eye(n))
    policy = p.linear_gaussian(n, 1, std=std, learn_std=learn_std)
    return mg.Problem(system, policy, T, discount), policy.theta(theta)


def two_steps(kick, breaks, jumps):
    """Return the Case of s_next = 0.5 s + kick(a), two actions N(theta s + shift, 0.4^2), reward -(s_next)^2 at the end."""
    environment = mg.Environment(
        states=1,
        actions=1,
        init=lambda p, z: (1.0,),
        step=lambda p, s, a, w: (0.5 * s[0] + kick(a[0], mg.where),),
        reward=lambda p, s, a, s_next, w: -0.1 * a[0] ** 2,
        terminal=lambda p, s: -((s[0] - 0.3) ** 2),
        name="two steps",
    )
    policy = mg.Policy(
        states=1,
        actions=1,
        noises=1,
        parameters=("K", "shift"),
        eta=lambda p, theta, s: (theta[0] * s[0] + theta[1],),
        sample=lambda p, eta, e: (eta[0] + 0.4 * e[0],),
        log_prob=lambda p, eta, a: -0.5 * ((a[0] - eta[0]) / 0.4) ** 2,
    )

    def J(theta):
        def last(s):  # over the second action, for one state
            m = theta[0] * s + theta[1]
            return mean(lambda a: -0.1 * a**2 - (0.5 * s + kick(a, np.where) - 0.3) ** 2, m, 0.4, breaks)

        def first(a):
            return -0.1 * a**2 + np.array([last(s) for s in 0.5 + kick(a, np.where)])

        return mean(first, theta[0] + theta[1], 0.4, breaks)

    theta = [-0.5, 0.2]
    return Case(mg.Problem(environment, policy, 2), theta, slope(J, np.array(theta)), jumps)


def digital():
    """Return the Case of a bet on S0 exp(noise) > 100: theta is not random, and there is no score."""
    spot = mg.Policy(
        states=1,
        actions=1,
        noises=0,
        parameters=("S0",),
        eta=lambda p, theta, s: tuple(theta),
        sample=lambda p, eta, e: tuple(eta),
        no_score="the spot is not random",
    )
    bet = mg.Environment(
        states=1,
        actions=1,
        noises=1,
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: (a[0] * np.exp(0.2 * w[0] - 0.02),),
        reward=lambda p, s, a, s_next, w: mg.where(s_next[0] > 100.0, 1.0, 0.0),
        name="digital",
    )
    d = (math.log(105.0 / 100.0) - 0.02) / 0.2
    gradient = math.exp(-0.5 * d * d) / math.sqrt(2.0 * math.pi) / (0.2 * 105.0)
    return Case(mg.Problem(bet, spot, 1), [105.0], np.array([gradient]), True)


def inventory():
    """Return the Case of an (s, S) store over two days of exponential demand: no score either."""
    order, short, demand = 3.0, 4.0, 2.0
    levels = mg.Policy(
        states=1,
        actions=2,
        noises=0,
        parameters=("s", "S"),
        eta=lambda p, theta, s: tuple(theta),
        sample=lambda p, eta, e: tuple(eta),
        no_score="levels are not random",
    )
    store = mg.Environment(
        states=1,
        actions=2,
        uniforms=1,
        init=lambda p, z: (3.0,),
        step=lambda p, s, a, w: (mg.where(s[0] < a[0], a[1], s[0]) + demand * np.log(w[0]),),
        reward=lambda p, s, a, s_next, w: (
            -mg.where(s[0] < a[0], order, 0.0) - np.maximum(s_next[0], 0.0) - short * np.maximum(-s_next[0], 0.0)
        ),
        name="inventory",
    )

    def held(x):  # what a day costs that begins with a stock of x: E max(x - D, 0) + short E max(D - x, 0)
        left = x - demand * (1.0 - np.exp(-x / demand))
        return np.where(x > 0, left + short * demand * np.exp(-np.maximum(x, 0) / demand), short * (demand - x))

    def J(theta):
        low, high = theta  # the first day begins with 3 > s, the second with 3 - D
        ordered = np.exp(-(3.0 - low) / demand)  # P(3 - D < s)
        x = low + 0.5 * (3.0 - low) * (NODES + 1.0)
        density = np.exp(-(3.0 - x) / demand) / demand
        kept = 0.5 * (3.0 - low) * np.sum(WEIGHTS * density * held(x))
        return float(-(held(np.array(3.0)) + ordered * (order + held(np.array(high))) + kept))

    theta = [1.2, 4.0]
    return Case(mg.Problem(store, levels, 2), theta, slope(J, np.array(theta)), True)


def mixture():
    """Return the Case of a mixture of two Gaussians with a learned weight: the draw jumps, the density is right."""
    std = 0.3
    policy = mg.Policy(
        states=1,
        actions=1,
        noises=1,
        uniforms=1,
        parameters=("logit", "m1", "m2"),
        eta=lambda p, theta, s: tuple(theta),
        sample=lambda p, eta, e: (mg.where(e[1] < _weight(eta[0]), eta[1], eta[2]) + std * e[0],),
        log_prob=lambda p, eta, a: np.log(
            _weight(eta[0]) * np.exp(-0.5 * ((a[0] - eta[1]) / std) ** 2)
            + (1.0 - _weight(eta[0])) * np.exp(-0.5 * ((a[0] - eta[2]) / std) ** 2)
        ),
        name="mixture",
    )
    aim = mg.Environment(
        states=1,
        actions=1,
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: s,
        reward=lambda p, s, a, s_next, w: -((a[0] - 0.5) ** 2),
        name="aim",
    )
    q = 1.0 / (1.0 + math.exp(-0.4))
    gradient = np.array([q * (1.0 - q) * (-2.25 + 0.49), q * 3.0, (1.0 - q) * -1.4])
    return Case(mg.Problem(aim, policy, 1), [0.4, -1.0, 1.2], gradient, True)


def _weight(x):
    return 1.0 / (1.0 + np.exp(-x))


def smooth_scalar():
    policy = p.linear_features(lambda s: (s[0], s[0] ** 2), 1, 1, std=0.3, learn_std=True)
    problem, theta = mg.Problem(e.quadratic_scalar(), policy, 2), policy.theta([-0.5, 0.3])
    return Case(problem, theta, mg.exact.quadrature(problem, theta, {"": mg.estimators.reparameterization()}).gradient)


def corridor():
    policy = p.linear_softmax(e.chains.corridor_features())
    return hidden(mg.Problem(e.short_corridor(), policy, 8), [0.3, -0.2])


def table():
    rng = np.random.default_rng(4)
    chances = rng.dirichlet(np.ones(3), size=(3, 2))
    environment = e.tabular(chances, rng.normal(size=(3, 2)), [0.5, 0.3, 0.2])
    return hidden(mg.Problem(environment, p.softmax(3, 2), 6, 0.9), rng.normal(size=6))


def ball(**changes):
    return hidden(mg.Problem(e.ball_with_wall(), p.gaussian(1, std=0.1), 1), [0.6], True, **changes)


def jump(a, size=1.0, at=0.3, where=np.where):
    return where(a > at, size, 0.0) - 0.1 * a**2


def jumping(theta, size, at):
    return one_action(lambda a: jump(a, size, at, mg.where), theta, (at,), True, lambda a: jump(a, size, at))


def staircase(theta):
    return one_action(lambda a: -(np.floor(2.0 * a) ** 2), theta, np.arange(-12, 13) / 2.0, True)


TWO, UNSTABLE = ([[0.9, 0.1], [0.0, 0.8]], [[0.0], [0.5]]), ([[1.3]], [[0.5]])
CASES = {
    "saturating reward": lambda: one_action(np.tanh, [0.4]),
    "kink": lambda: one_action(lambda a: -np.abs(a - 0.3), [0.2, 0.5], (0.3,)),
    "exponential reward": lambda: one_action(lambda a: np.exp(2.0 * a), [0.2, 0.5]),
    "rare slope": lambda: one_action(lambda a: 1.0 / (1.0 + np.exp(-20.0 * (a - 1.6))), [0.2], (1.3, 1.6, 1.9)),
    "wave": lambda: one_action(lambda a: np.cos(3.0 * a), [0.4, 0.6]),
    "parabola": lambda: one_action(lambda a: -((a - 1.0) ** 2), [0.2, 0.5]),
    "large offset": lambda: one_action(lambda a: 100.0 + a, [0.2]),
    "call": lambda: one_action(lambda a: np.maximum(np.exp(a) - 1.0, 0.0), [0.1, 0.3], (0.0,)),
    "linear, its theory known": lambda: Case(
        *linear(*TWO, [-0.3, -0.5], 6), mg.exact.gradient(*linear(*TWO, [-0.3, -0.5], 6))
    ),
    "linear, long": lambda: hidden(*linear(*TWO, [-0.3, -0.5], 12, discount=0.95)),
    "linear, learned std": lambda: hidden(*linear(*TWO, [-0.3, -0.5], 8, learn_std=True)),
    "linear, unstable": lambda: hidden(*linear(*UNSTABLE, [-0.2], 10)),
    "linear, little noise": lambda: hidden(*linear(*TWO, [-0.3, -0.5], 8, std=0.02, noise=0.01)),
    "bandit": lambda: hidden(mg.Problem(e.bandit([1.0, 0.2, 0.5], 0.3), p.softmax(1, 3), 1), [0.1, -0.3, 0.2]),
    "corridor": corridor,
    "table": table,
    "ramp": lambda: hidden(mg.Problem(e.linear_ramp(0.3), p.gaussian(1, std=0.5), 1), [0.2]),
    "cosine cost": lambda: hidden(mg.Problem(e.cosine_cost(2.0), p.gaussian(1), 1), [0.5, 0.8]),
    "nonlinear dynamics": smooth_scalar,
    "two steps": lambda: two_steps(lambda a, where: 0.5 * np.tanh(2.0 * a), (), False),
    # ---- these jump
    "step reward, declared": lambda: Case(
        mg.Problem(e.step_reward(), p.gaussian(1, std=0.5), 1),
        [0.2],
        np.array([math.exp(-0.08) / (0.5 * math.sqrt(2.0 * math.pi))]),
        True,
    ),
    "ball with wall, declared": ball,
    "ball with wall": lambda: ball(discontinuous=None),
    "jump beside a slope": lambda: jumping([0.2], 1.0, 0.3),
    "rare jump": lambda: jumping([0.2, 0.5], 10.0, 1.4),
    "staircase": lambda: staircase([0.2]),
    "mixture": mixture,
    "two steps with a jump": lambda: two_steps(lambda a, where: where(a > 0.1, 0.5, 0.0), (0.1,), True),
    "digital without a score": digital,
    "inventory without a score": inventory,
}


# ---- what is said ----------------------------------------------------------------------------------------------


def complaints(case, found):
    """Return what is false in a comparison, line by line."""
    false = []
    for row in found.rows:
        derivatives = row.family in ("pathwise", "mixed")
        unbiased = row.family != "returns" and row.knows != "fitted critic" and not (derivatives and case.jumps)
        fails = row.bias_z is not None and row.bias_z > found.threshold
        if unbiased and (fails or not found.passes(row)):
            false.append(
                f"{row.estimator} is unbiased and fails: z {row.bias_z}, mean {row.mean}, truth {case.gradient}"
            )
        if derivatives and case.jumps and found.passes(row):
            false.append(f"{row.estimator} passes although the return jumps, z {row.bias_z}")
    if found.verdict.disagreement:
        false.append(f"a disagreement is seen: {found.recommendation()}")
    said, contenders = found.recommendation(), found.contenders()
    for row in contenders[:1]:
        z = np.abs(row.mean - case.gradient) / np.maximum(row.stderr, 1e-9 * np.abs(case.gradient) + 1e-300)
        if row.family == "returns" or (case.jumps and row.family in ("pathwise", "mixed")):
            false.append(f"a biased estimator is recommended: {said}")
        elif z.max() > 5:
            false.append(f"what is recommended is {z.max():.1f} standard errors from the truth: {said}")
        elif not said.startswith(f"Use {row.estimator}"):
            false.append(f"said: {said}")
    if not contenders:
        nothing = case.jumps and case.problem.policy.no_score
        if not nothing or found.reference != DIFFERENCES or not said.startswith("No estimator here is known"):
            false.append(f"nothing is recommended: {said}")
        elif (z := found.slopes.apart(case.gradient).max()) > 5:
            false.append(f"differences are {z:.1f} standard errors off")
    return false


def would_alarm(case, found, chance):
    """Tell whether something unbiased would have failed if so many alarms by chance were allowed."""
    derivatives = ("pathwise", "mixed")
    zs = [
        row.bias_z
        for row in found.rows
        if row.bias_z is not None and row.family != "returns" and not (case.jumps and row.family in derivatives)
    ]
    zs += [found.verdict.witness.worst] if found.verdict.witness else []
    return max(zs, default=0.0) > limit(len(case.theta) * (len(found.rows) + 1), chance)


def main():
    """Compare on all of the problems; return 1 if anything false was said."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=list(CASES))
    asked = parser.parse_args()
    rows = wrong = alarms = 0
    began = time.process_time()
    for number, name in enumerate(asked.only):
        case = CASES[name]()
        for seed in range(number, len(CASES) * asked.seeds, len(CASES)):  # each with noise of its own
            found = compare(case.problem, case.theta, count=asked.count, seed=seed, seconds=1e-3, machine="numpy")
            false, alarms = complaints(case, found), alarms + would_alarm(case, found, OFTEN)
            rows, wrong = rows + len(found.rows), wrong + len(false)
            best = (found.contenders() or [None])[0]
            said = f"{best.estimator}" if best else "none, and says so" if not false else "none"
            print(f"{name:28} seed {seed}: recommends {said}; reference {found.reference}", flush=True)
            print("".join(f"    FALSE: {line}\n" for line in false), end="", flush=True)
    comparisons = len(asked.only) * asked.seeds
    print(
        f"{comparisons} comparisons of {rows} estimators, {wrong} false statements, {time.process_time() - began:.0f} s"
    )
    print(f"with a threshold for false alarms in {100 * OFTEN:g}% of comparisons there would have been {alarms}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
