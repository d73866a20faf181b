"""How many trajectories per second, on one core, against NumPy and JAX?

Score function with reward to go and reparameterization, alone and together, with all moments, on the workloads of
`studies.workloads`.

Times are CPU seconds on one thread, the best of runs that alternate in one process: other work on the machine disturbs
all of them alike, so that their ratio means more than each. The first call is timed in wall seconds in processes of its
own, with an empty cache of compiled kernels (cold) and with a filled one (warm). NumPy and, where it is installed (the
extra `peers`), JAX compute both gradients, mean and variance; we compute the third and fourth moments and the covariance as
well. `deviation` is the worst difference of the means of two programs in standard errors: they compute the same thing.
"single" is float32, for JAX from end to end, here but for the moments. A sweep is 4096 thetas, 256 trajectories each, on
common noise.

Every environment of the library is timed, too, where a pathwise gradient exists together with it, alone; among
them a Markov decision process of 16 states and 4 actions with dense random tables, 50 steps. Where episodes end early, a
step counts although it may not have been taken.

On W1 the code called "kernel" are gradients without moments (`mcgrad.cost`: the median of repeats): ten estimators, each
alone, and all of them from one kernel, which simulates once and shares returns, scores and adjoints among them.
"""

import importlib.util
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np

import mcgrad as mg
from mcgrad import study
from mcgrad.costs import cost
from studies import by_hand
from studies.workloads import WORKLOADS

BATCH = 4096  # trajectories of a NumPy batch
SWEEP = 256  # trajectories of each theta of a sweep
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
COLUMNS += ("times_numpy", "times_jax", "cold_seconds", "warm_seconds", "deviation", "rollouts", "spread_ns")


def settings(quick):
    """Return one setting for each workload; `steps` is about how many time steps a timed run simulates."""
    names = ["W1 lq-4x2", "W3 bandit cos(kx)", "W4 pendulum"] if quick else WORKLOADS
    found = [{"workload": name, "steps": 2**21 if quick else 2**23, "repeats": 2 if quick else 5} for name in names]
    found[0]["costs"] = 0.2 if quick else 2.0  # seconds for each
    for setting in found:
        if setting["workload"] in ("W1 lq-4x2", "W2 lq-1x1"):
            setting["sweep"] = 64 if quick else 4096
    return found if quick else [*found, {"workload": ENVIRONMENTS, "costs": 1.0}]


def rows(setting, seed, threads):
    """Return the rows of one workload; always on one thread, in processes of its own."""
    with tempfile.TemporaryDirectory() as cache:
        if setting["workload"] == ENVIRONMENTS:
            return _child(setting, seed, cache)
        cold = _child({**setting, "steps": 0}, seed, cache)
        return [row | {"cold_seconds": cold.get(row["code"])} for row in _child(setting, seed, cache)]


def _child(setting, seed, cache):
    """Run `main` in a process of its own, on one thread, with a given cache of compiled kernels."""
    one = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
    one["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
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


def jax_programs():
    """Return the module of programs for JAX, or None where it is not installed."""
    if importlib.util.find_spec("jax") is None:
        return None
    from studies import by_jax

    by_jax.load()
    return by_jax


def first_calls(name, seed):
    """Return the seconds until each code has the first gradients of a workload: trace, compile or load, simulate, moments.

    What is imported once for all problems does not count.
    """
    workload, jax = WORKLOADS[name](), jax_programs()
    started = time.perf_counter()
    mg.measure(workload.problem, workload.theta, ALONE, 16, seed, threads=1, progress=False)
    found = {"mcgrad": time.perf_counter() - started}
    if jax is not None:
        started = time.perf_counter()
        jax.measured(name, workload, 16)(seed)
        found["jax"] = time.perf_counter() - started
    return found


def best_times(programs, repeats):
    """Return the results of programs, and {key: (best CPU seconds, best wall seconds)}, timed in alternation."""
    results = {key: run() for key, run in programs.items()}  # compiles what is not compiled
    best = dict.fromkeys(programs, (math.inf, math.inf))
    for _ in range(repeats):
        for key, run in programs.items():
            began = time.process_time(), time.perf_counter()
            run()
            now = time.process_time(), time.perf_counter()
            best[key] = tuple(min(x, b - a) for x, a, b in zip(best[key], began, now, strict=True))
    return results, best


def timed_rows(name, workload, steps, repeats, seed):
    """Return one row for each program, timed in alternation."""
    problem, theta, jax = workload.problem, workload.theta, jax_programs()
    count = max(steps // problem.horizon, 2 * BATCH)
    fewer = max(count // 16 // BATCH, 1) * BATCH  # others are slow: fewer trajectories

    def numpy():
        rng = np.random.default_rng(seed)
        return by_hand.moments(np.stack(workload.batch(BATCH, rng)) for _ in range(fewer // BATCH))

    def ours(estimators, **options):
        return lambda: mg.measure(problem, theta, estimators, count, seed, threads=1, progress=False, **options)

    programs = {("numpy", TOGETHER): numpy, ("mcgrad", TOGETHER): ours(ALONE)}
    programs |= {("mcgrad", one): ours({one: estimator}) for one, estimator in ALONE.items()}
    programs["mcgrad single", TOGETHER] = ours(ALONE, precision="single")
    if jax is not None:
        for code, dtype in (("jax", "float64"), ("jax single", "float32")):
            run = jax.measured(name, workload, fewer, dtype)
            programs[code, TOGETHER] = lambda run=run: run(seed)
    results, best = best_times(programs, repeats)
    counts = {key: count if key[0].startswith("mcgrad") else fewer for key in programs}
    found = {key: row_of(name, problem, *key, counts[key], repeats, *best[key]) for key in programs}
    for code, peers in (("mcgrad", ("numpy", "jax")), ("mcgrad single", ("jax single",))):
        row = found[code, TOGETHER]
        for other in (x for x in peers if (x, TOGETHER) in found):
            ratio = found[other, TOGETHER]["ns_per_trajectory"] / row["ns_per_trajectory"]
            row["times_" + other.split()[0]] = ratio
            row["deviation"] = max(
                row.get("deviation", 0.0), deviation(results[other, TOGETHER], results[code, TOGETHER])
            )
    return list(found.values())


def sweep_rows(name, workload, B, repeats, seed):
    """Return a row for each program that measures at many thetas in one call, on common noise."""
    problem, jax = workload.problem, jax_programs()
    theta = np.asarray(problem.theta(workload.theta))
    thetas = theta + 0.01 * np.random.default_rng(seed).normal(size=(B, len(theta)))

    def ours():
        return mg.measure(problem, thetas, ALONE, SWEEP, seed, threads=1, progress=False)

    programs = {"mcgrad": ours}
    if jax is not None:
        run = jax.swept(name, workload, thetas, SWEEP)
        programs["jax"] = lambda: run(seed)
    results, best = best_times(programs, repeats)
    what = f"both, {B} thetas x {SWEEP}"
    found = {code: row_of(name, problem, code, what, B * SWEEP, repeats, *best[code]) for code in programs}
    if jax is not None:
        found["mcgrad"]["times_jax"] = best["jax"][0] / best["mcgrad"][0]
        means, variances = (x.mean(axis=0) for x in results["jax"])
        at_all = [np.mean(results["mcgrad"][x].mean, axis=0) for x in ALONE]
        # Of common noise, the mean over thetas scatters as that of one theta.
        found["mcgrad"]["deviation"] = float(np.max(np.abs(at_all - means) / np.sqrt(2 * variances / SWEEP)))
    return list(found.values())


def row_of(name, problem, code, what, count, repeats, cpu, wall):
    """Return the row of one program."""
    per, n = cpu / count, problem.environment.states
    row = {"workload": name, "states": n, "actions": problem.environment.actions}
    row |= {"horizon": problem.horizon, "code": code, "estimators": what, "count": count, "repeats": repeats}
    row |= {"cpu_seconds": cpu, "wall_seconds": wall, "trajectories_per_second": 1 / per}
    row |= {"ns_per_trajectory": 1e9 * per, "ns_per_step": 1e9 * per / problem.horizon}
    return row | {"ns_per_step_and_state": row["ns_per_step"] / n}


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
    """Return what a child process finds: seconds of the first, cold, calls if no steps are asked for, else rows."""
    if setting["workload"] == ENVIRONMENTS:
        return environment_rows(setting["costs"], seed)
    name, repeats = setting["workload"], setting["repeats"]
    seconds = first_calls(name, seed)
    if not setting["steps"]:
        return seconds
    workload = WORKLOADS[name]()
    found = timed_rows(name, workload, setting["steps"], repeats, seed)
    if setting.get("sweep"):
        found += sweep_rows(name, workload, setting["sweep"], repeats, seed)
    if setting.get("costs"):
        found += cost_rows(name, workload, setting["costs"], seed)
    return [row | {"warm_seconds": seconds.get(row["code"])} for row in found]


def report(rows):
    """Return a table."""
    lines = [
        f"  {'':<28} {'code':<13} {'estimators':<29} {'M traj/s':>9} {'ns/traj':>9} {'ns/step':>8} {'ns/step/n':>9} "
        f"{'x NumPy':>8} {'x JAX':>7} {'cold s':>7} {'warm s':>7}"
    ]

    def number(x, wide, digits):
        return " " * wide if x is None or math.isnan(x) else f"{x:>{wide}.{digits}f}"

    for r in rows:
        columns = ((8, 1, "times_numpy"), (7, 1, "times_jax"), (7, 2, "cold_seconds"), (7, 2, "warm_seconds"))
        extra = " ".join(number(r.get(name), wide, digits) for wide, digits, name in columns)
        lines.append(
            f"  {r['workload']:<28} {r['code']:<13} {r['estimators']:<29} {r['trajectories_per_second'] / 1e6:>9.3f} "
            f"{r['ns_per_trajectory']:>9.1f} {r['ns_per_step']:>8.2f} {r['ns_per_step_and_state']:>9.2f} {extra}".rstrip()
        )
    worst = max(r["deviation"] for r in rows if r.get("deviation") is not None)
    lines.append(f"  the means of two programs differ by at most {worst:.1f} standard errors")
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
    question="How many trajectories per second, on one core, against NumPy and JAX?",
    columns=COLUMNS,
    settings=settings,
    rows=rows,
    report=report,
    quiet=True,
    libraries=("jax", "jaxlib"),
)

if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]), int(sys.argv[2]))))
