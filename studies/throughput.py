"""How many trajectories per second, on one core, against NumPy written by hand.

Score function with reward to go and reparameterization, alone and together, with all moments, in float64:

    W1  lq-4x2    two double integrators, 50 steps
    W2  lq-1x1    scalar, 20 steps
    W3  bandit    one step: x ~ N(mean, std^2) at N(1, 1), (x - k)^2 and cos(k x), gradients in mean and std
    W4  pendulum  an environment of the user's own, 100 steps
    LQ  dense     systems of 4, 8, 12 states and 2 actions, 50 steps

Times are CPU seconds on one thread, the best of runs that alternate in one process: other work on the machine disturbs
all of them alike, so that their ratio means more than each. The first call is timed in wall seconds in processes of its
own, with an empty cache of compiled kernels (cold) and with a filled one (warm). NumPy computes both gradients, mean and
variance; we compute the third and fourth moments and the covariance as well. `deviation` is the worst difference of the
two programs' means in standard errors: they compute the same thing.

Every environment of the library is timed, too, where a pathwise gradient exists together with it, without NumPy; among
them a Markov decision process of 16 states and 4 actions with dense random tables, 50 steps. Where episodes end early, a
step counts although it may not have been taken.

On W1 the code called "kernel" are gradients without moments (`mcgrad.cost`: the median of repeats): ten estimators, each
alone, and all of them from one kernel, which simulates once and shares returns, scores and adjoints among them.
"""

import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings
from typing import Any, NamedTuple

import numpy as np

import mcgrad as mg
from mcgrad import study
from mcgrad.costs import cost
from studies import by_hand

BATCH = 4096  # trajectories of a NumPy batch


class Workload(NamedTuple):
    """A problem for mcgrad, and batch(size, rng) -> both gradients, (P, size) each, for NumPy."""

    problem: mg.Problem
    theta: Any
    batch: Any


def linear_quadratic(A, B, K, std, noise, horizon):
    """Return an LQ workload with Q = I, R = .1 I, s_0 ~ N(0, I); `noise` is a standard deviation."""
    n, m = B.shape
    Q, R = np.eye(n), 0.1 * np.eye(m)
    environment = mg.environments.linear_quadratic(A, B, Q, R, process_noise=noise**2 * np.eye(n))
    policy = mg.policies.linear_gaussian(n, m, std=std)

    def batch(size, rng):
        return by_hand.linear_quadratic(A, B, Q, R, K, std, noise, horizon, size, rng)

    return Workload(mg.Problem(environment, policy, horizon), policy.theta(K), batch)


def lq_4x2():
    """Return W1."""
    two = np.eye(2)
    A, B = np.kron([[1, 0.1], [0, 1]], two), np.kron([[0.005], [0.1]], two)
    return linear_quadratic(A, B, -0.5 * np.hstack([two, two]), 0.3, 0.1, 50)


def lq_1x1():
    """Return W2."""
    return linear_quadratic(np.array([[0.9]]), np.array([[1.0]]), np.array([[-0.4]]), 0.5, 0.1, 20)


def dense(n):
    """Return a dense LQ system of n states and 2 actions, the closed loop scaled to spectral radius .9."""
    rng = np.random.default_rng(n)
    F, B, K = rng.normal(size=(n, n)), rng.normal(size=(n, 2)), 0.1 * rng.normal(size=(2, n))
    F *= 0.9 / np.abs(np.linalg.eigvals(F)).max()
    return linear_quadratic(F - B @ K, B, K, 0.3, 0.1, 50)


def bandit(cost, cost_np, slope_np):
    """Return W3: one action x ~ N(mean, std^2), reward cost(p, x) with k = 1.5."""
    k = 1.5
    environment = mg.Environment(
        states=1,
        actions=1,
        params={"k": k},
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: s,
        reward=lambda p, s, a, s_next, w: cost(p.k, a[0]),
        name="bandit",
    )
    policy = mg.Policy(
        states=1,
        actions=1,
        noises=1,
        parameters=("mean", "std"),
        eta=lambda p, theta, s: theta,
        sample=lambda p, eta, e: (eta[0] + eta[1] * e[0],),
        score=lambda p, eta, a, e: (e[0] / eta[1], (e[0] ** 2 - 1) / eta[1]),
        name="normal",
    )

    def batch(size, rng):
        return by_hand.bandit(lambda x: cost_np(k, x), lambda x: slope_np(k, x), 1.0, 1.0, size, rng)

    return Workload(mg.Problem(environment, policy, 1), [1.0, 1.0], batch)


def bandit_quadratic():
    """Return W3 with (x - k)^2."""
    return bandit(lambda k, x: (x - k) ** 2, lambda k, x: (x - k) ** 2, lambda k, x: 2 * (x - k))


def bandit_cosine():
    """Return W3 with cos(k x)."""
    return bandit(lambda k, x: math.cos(k * x), lambda k, x: np.cos(k * x), lambda k, x: -k * np.sin(k * x))


def pendulum():
    """Return W4: the upright pendulum is angle 0; it starts hanging down, with a small random push at every step."""

    def init(p, z):
        return math.pi + 0.3 * z[0], 0.3 * z[1]

    def step(p, s, a, w):
        v = s[1] + p.dt * (p.gravity * math.sin(s[0]) + p.torque * a[0]) + p.dt * w[0]
        return s[0] + p.dt * v, v

    def reward(p, s, a, s_next, w):
        return -(s[0] ** 2 + 0.1 * s[1] ** 2 + 0.001 * a[0] ** 2)

    def eta(p, theta, s):
        return (theta[0] * math.sin(s[0]) + theta[1] * math.cos(s[0]) + theta[2] * s[1],)

    environment = mg.Environment(
        states=2,
        actions=1,
        noises=1,
        initial_noises=2,
        params={"dt": 0.05, "gravity": 15.0, "torque": 3.0},
        init=init,
        step=step,
        reward=reward,
        name="pendulum",
    )
    policy = mg.Policy(
        states=2,
        actions=1,
        noises=1,
        parameters=("sin", "cos", "speed"),
        params={"std": 0.3},
        eta=eta,
        sample=lambda p, eta, e: (eta[0] + p.std * e[0],),
        score=lambda p, eta, a, e: (e[0] / p.std,),
        name="swing-up",
    )
    theta = [0.5, -0.3, -1.2]

    def batch(size, rng):
        return by_hand.pendulum(theta, 0.3, 100, size, rng)

    return Workload(mg.Problem(environment, policy, 100), theta, batch)


WORKLOADS = {
    "W1 lq-4x2": lq_4x2,
    "W2 lq-1x1": lq_1x1,
    "W3 bandit (x-k)^2": bandit_quadratic,
    "W3 bandit cos(kx)": bandit_cosine,
    "W4 pendulum": pendulum,
    "LQ dense n=4": lambda: dense(4),
    "LQ dense n=8": lambda: dense(8),
    "LQ dense n=12": lambda: dense(12),
}
ALONE = {
    "score function, reward to go": mg.estimators.reward_to_go(),
    "reparameterization": mg.estimators.reparameterization(),
}
TOGETHER = "both"
TEN = {
    "score function": mg.estimators.score_function(),
    "score function, baseline J": mg.estimators.score_function(mg.baselines.mean_return()),
    **ALONE,
    "reward to go, baseline J": mg.estimators.reward_to_go(mg.baselines.mean_return()),
    "reward to go, mean baseline": mg.estimators.reward_to_go(mg.baselines.mean_to_go()),
    "reward to go, value baseline": mg.estimators.reward_to_go(mg.baselines.value()),
    "advantage": mg.estimators.advantage(),
    "value gradient": mg.estimators.value_gradient(),
    "mixture": mg.estimators.mixture(mg.estimators.reward_to_go(), mg.estimators.reparameterization()),
}
AT_ONCE = "ten at once"
ENVIRONMENTS = "environments"
COLUMNS = ("workload", "states", "actions", "horizon", "code", "estimators", "count", "repeats", "cpu_seconds")
COLUMNS += ("wall_seconds", "trajectories_per_second", "ns_per_trajectory", "ns_per_step", "ns_per_step_and_state")
COLUMNS += ("times_numpy", "cold_seconds", "warm_seconds", "deviation", "rollouts", "spread_ns")


def settings(quick):
    """Return one setting for each workload; `steps` is about how many time steps a timed run simulates."""
    names = ["W1 lq-4x2", "W3 bandit cos(kx)", "W4 pendulum"] if quick else WORKLOADS
    found = [{"workload": name, "steps": 2**21 if quick else 2**23, "repeats": 2 if quick else 5} for name in names]
    found[0]["costs"] = 0.2 if quick else 2.0  # seconds for each
    return found if quick else [*found, {"workload": ENVIRONMENTS, "costs": 1.0}]


def rows(setting, seed, threads):
    """Return the rows of one workload; always on one thread, in processes of its own."""
    with tempfile.TemporaryDirectory() as cache:
        if setting["workload"] == ENVIRONMENTS:
            return _child(setting, seed, cache)
        cold = _child({**setting, "steps": 0}, seed, cache)
        return [row | cold for row in _child(setting, seed, cache)]


def _child(setting, seed, cache):
    """Run `main` in a process of its own, on one thread, with a given cache of compiled kernels."""
    one = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-m", "studies.throughput", json.dumps(setting), str(seed)],
        cwd=pathlib.Path(__file__).parents[1],
        env=os.environ | one | {"MCGRAD_CACHE_DIR": cache},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"timing {setting['workload']} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def first_call(workload, seed):
    """Return the seconds until the first gradients: trace, emit, compile or load, simulate, moments."""
    started = time.perf_counter()
    mg.measure(workload.problem, workload.theta, ALONE, 16, seed, threads=1, progress=False)
    return time.perf_counter() - started


def timed_rows(name, workload, steps, repeats, seed):
    """Return one row for each program, timed in alternation."""
    problem, theta = workload.problem, workload.theta
    count = max(steps // problem.horizon, 2 * BATCH)
    by_numpy = max(count // 16 // BATCH, 1) * BATCH  # NumPy is slow: fewer trajectories

    def numpy():
        rng = np.random.default_rng(seed)
        return by_hand.moments(np.stack(workload.batch(BATCH, rng)) for _ in range(by_numpy // BATCH))

    def ours(estimators):
        return lambda: mg.measure(problem, theta, estimators, count, seed, threads=1, progress=False)

    programs = {("numpy", TOGETHER): (by_numpy, numpy), ("mcgrad", TOGETHER): (count, ours(ALONE))}
    programs |= {("mcgrad", one): (count, ours({one: estimator})) for one, estimator in ALONE.items()}
    results = {key: run() for key, (_, run) in programs.items()}  # compiles what is not compiled
    cpu, wall = ({key: math.inf for key in programs} for _ in range(2))
    for _ in range(repeats):
        for key, (_, run) in programs.items():
            began = time.perf_counter(), time.process_time()
            run()
            wall[key] = min(wall[key], time.perf_counter() - began[0])
            cpu[key] = min(cpu[key], time.process_time() - began[1])
    found = []
    for key, (number, _) in programs.items():
        per = cpu[key] / number
        row = {"workload": name, "states": problem.environment.states, "actions": problem.environment.actions}
        row |= {"horizon": problem.horizon, "code": key[0], "estimators": key[1], "count": number, "repeats": repeats}
        row |= {"cpu_seconds": cpu[key], "wall_seconds": wall[key], "trajectories_per_second": 1 / per}
        row |= {"ns_per_trajectory": 1e9 * per, "ns_per_step": 1e9 * per / problem.horizon}
        row["ns_per_step_and_state"] = row["ns_per_step"] / problem.environment.states
        found.append(row)
    numpy_row, both, *_ = found
    both["times_numpy"] = numpy_row["ns_per_trajectory"] / both["ns_per_trajectory"]
    both["deviation"] = deviation(results["numpy", TOGETHER], results["mcgrad", TOGETHER])
    return found


def random_tables():
    """Return a Markov decision process of 16 states and 4 actions whose transitions may lead anywhere."""
    rng = np.random.default_rng(16)
    transition, reward = rng.dirichlet(np.ones(16), size=(16, 4)), rng.normal(size=(16, 4))
    environment = mg.environments.tabular(transition, reward, np.full(16, 1 / 16), name="tabular S=16 A=4")
    return mg.Problem(environment, mg.policies.softmax(16, 4), 50), 0.5 * rng.normal(size=64)


def environment_rows(seconds, seed):
    """Return one row for each environment of the library."""
    from studies.problems import CASES  # which imports this module

    problems = {}
    for make in [random_tables, *(case.make for case in CASES)]:
        problem, theta = make()
        problems.setdefault(problem.environment.name, (problem, theta))
    found = []
    for name, (problem, theta) in problems.items():
        discrete = problem.environment.choices is not None
        chosen = dict([*ALONE.items()][: 1 if discrete else 2])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mg.DiscontinuityWarning)
            timed = cost(problem, theta, chosen, seconds, seed=seed)
        ns = timed.together
        row = {"workload": name, "states": problem.environment.states, "actions": problem.environment.actions}
        row |= {"horizon": problem.horizon, "code": "kernel", "estimators": next(iter(ALONE)) if discrete else TOGETHER}
        row |= {"trajectories_per_second": 1e9 / ns, "ns_per_trajectory": ns, "ns_per_step": ns / problem.horizon}
        row |= {"rollouts": 1, "spread_ns": timed.together_spread}
        found.append(row | {"ns_per_step_and_state": ns / problem.horizon / problem.environment.states})
    return found


def cost_rows(name, workload, seconds, seed):
    """Return one row for each of ten estimators alone, for the two of the study at once, and for all ten at once."""
    problem = workload.problem
    ten, two = (cost(problem, workload.theta, x, seconds, seed=seed) for x in (TEN, ALONE))
    times = {x: (ten.nanoseconds[x], ten.spread[x], ten.rollouts[x]) for x in TEN}
    times[TOGETHER] = two.together, two.together_spread, 1
    times[AT_ONCE] = ten.together, ten.together_spread, 1
    rows = []
    for what, (ns, spread, number) in times.items():
        row = {"workload": name, "states": problem.environment.states, "actions": problem.environment.actions}
        row |= {"horizon": problem.horizon, "code": "kernel", "estimators": what, "trajectories_per_second": 1e9 / ns}
        row |= {"ns_per_trajectory": ns, "ns_per_step": ns / problem.horizon, "spread_ns": spread, "rollouts": number}
        rows.append(row | {"ns_per_step_and_state": ns / problem.horizon / problem.environment.states})
    return rows


def deviation(by_numpy, found):
    """Return the worst difference of two programs' means, in standard errors."""
    count, mean, variance = by_numpy
    ours = [found[name] for name in ALONE]
    errors = np.sqrt([x.stderr**2 + v / count for x, v in zip(ours, variance, strict=True)])
    return float(np.max(np.abs([x.mean for x in ours] - mean) / errors))


def main(setting, seed):
    """Return what a child process finds: seconds of the first, cold, call if no steps are asked for, else rows."""
    if setting["workload"] == ENVIRONMENTS:
        return environment_rows(setting["costs"], seed)
    workload = WORKLOADS[setting["workload"]]()
    seconds = first_call(workload, seed)
    if not setting["steps"]:
        return {"cold_seconds": seconds}
    found = timed_rows(setting["workload"], workload, setting["steps"], setting["repeats"], seed)
    if setting.get("costs"):
        found += cost_rows(setting["workload"], workload, setting["costs"], seed)
    return [row | {"warm_seconds": seconds} for row in found]


def report(rows):
    """Return a table."""
    lines = [
        f"  {'':<28} {'code':<7} {'estimators':<29} {'M traj/s':>9} {'ns/traj':>9} {'ns/step':>8} {'ns/step/n':>9} "
        f"{'x NumPy':>8} {'cold s':>7} {'warm s':>7}"
    ]
    for r in rows:
        extra = ""
        if r.get("times_numpy"):
            extra = f" {r['times_numpy']:>8.1f} {r['cold_seconds']:>7.2f} {r['warm_seconds']:>7.2f}"
        lines.append(
            f"  {r['workload']:<28} {r['code']:<7} {r['estimators']:<29} {r['trajectories_per_second'] / 1e6:>9.3f} "
            f"{r['ns_per_trajectory']:>9.1f} {r['ns_per_step']:>8.2f} {r['ns_per_step_and_state']:>9.2f}{extra}"
        )
    worst = max(r["deviation"] for r in rows if r.get("deviation") is not None)
    lines.append(f"  the means of the two programs differ by at most {worst:.1f} standard errors")
    first = rows[0]["workload"]
    kernels = {r["estimators"]: r["ns_per_trajectory"] for r in rows if (r["workload"], r["code"]) == (first, "kernel")}
    if kernels:
        ten, two, alone = kernels[AT_ONCE], kernels[TOGETHER], sum(kernels[x] for x in TEN)
        lines.append(
            f"  ten estimators at once take {ten:.0f} ns, {ten / two:.2f} times the {two:.0f} ns of the two of this study; "
            f"one after the other {alone:.0f} ns"
        )
    return "\n".join(lines)


STUDY = study.Study(
    name="throughput",
    question="How many trajectories per second, on one core, against NumPy written by hand?",
    columns=COLUMNS,
    settings=settings,
    rows=rows,
    report=report,
    quiet=True,
)

if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]), int(sys.argv[2]))))
