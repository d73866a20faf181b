"""Odd arguments for every public function and constructor: whatever is wrong with them has to be a ValueError that says so.

    python tests/fuzz/public_api.py --count 100000 --seed 0

A call is a good one with one or two arguments replaced by something odd: another type, shape or size, numbers that are not
finite, or an object of the wrong kind. What it may do: return, or raise a ValueError (or a subclass) with a message. A fault is
any other exception, no answer within some seconds, more memory than a few GiB, and a crash of the process. Kernels are not
compiled: where a call gets that far it runs on NumPy, on the smallest of problems.
"""

import argparse
import collections
import functools
import resource
import signal
import sys
import time
import traceback
import warnings

import numpy as np
import public_methods
from odd_values import GAUSSIAN, LQ, PROBLEM, PW, SF, THETA, B, E, G, P, odd_values

import mcgrad as mg

NUMPY = {"machine": "numpy"}
SECONDS = 10


def opened(**options):
    """Open an engine and close it, without any work; the one that would look for other machines is left out."""
    if not (isinstance(options["name"], str) and options["name"] == "dask"):
        with mg.engines.executor(**options):
            pass


@functools.cache
def targets():
    """Return {name: (function, good arguments by name)}."""
    eye = [[1.0]]
    init, step, reward = (
        (lambda p, z: (z[0],)),
        (lambda p, s, a, w: (s[0] + a[0],)),
        (lambda p, s, a, s_next, w: -(s[0] ** 2)),
    )
    environment = {"states": 1, "actions": 1, "noises": 0, "initial_noises": 1, "uniforms": 0, "initial_uniforms": 0}
    environment |= {
        "choices": None,
        "params": {"g": 1.0},
        "init": init,
        "step": step,
        "reward": reward,
        "terminal": None,
    }
    environment |= {"done": None, "name": "mine", "discontinuous": None, "action_bounds": None}
    policy = {
        "states": 1,
        "actions": 1,
        "noises": 1,
        "uniforms": 0,
        "choices": None,
        "parameters": ("k",),
        "params": {},
    }
    policy |= {"eta": lambda p, t, s: (t[0] * s[0],), "sample": lambda p, eta, e: (eta[0] + e[0],), "log_prob": None}
    policy |= {"score": None, "no_score": None, "no_pathwise": None, "start": (), "name": "mine"}
    scale = {"std": 0.5, "cov": None, "learn_std": False}
    head, interval = {"std": 0.5, "log_std": None, "actions": 1}, {"low": -1.0, "high": 1.0}
    HEADS, MAPS = P.heads, P.maps
    asked = {"problem": PROBLEM, "theta": THETA}
    answered = asked | {"estimator": SF}
    found = {
        "Environment": (mg.Environment, environment),
        "Policy": (mg.Policy, policy),
        "Problem": (mg.Problem, {"environment": LQ, "policy": GAUSSIAN, "horizon": 2, "discount": 0.9}),
        "design": (mg.Problem, {"environment": LQ, "policy": GAUSSIAN, "horizon": 2, "design": ("A",)}),
        "best_behaviour": (mg.best_behaviour, asked | {"estimator": G.importance_weighted(THETA), "vary": "std"}),
        "efficiency_bound": (mg.exact.efficiency_bound, asked | {"model": "tree", "matrix": False}),
        "joint": (P.joint, {"states": 1, "name": None, "head": HEADS.gaussian(MAPS.linear(), std=0.5)}),
        "heads.gaussian": (HEADS.gaussian, {"mean": MAPS.linear()} | head),
        "heads.squashed_gaussian": (HEADS.squashed_gaussian, {"mean": MAPS.linear()} | head | interval),
        "heads.truncated_normal": (HEADS.truncated_normal, {"mean": MAPS.linear()} | head | interval),
        "heads.mixture": (HEADS.mixture, {"components": 2, "logits": MAPS.constant([0.0, 0.0]),
                                          "means": MAPS.constant([0.0, 1.0]), "std": 0.5, "log_std": None}),
        "heads.discrete": (HEADS.discrete, {"choices": 2, "logits": MAPS.constant([0.0, 0.0])}),
        "heads.beta": (HEADS.beta, {"alpha": MAPS.constant(2.0), "beta": MAPS.constant(2.0)} | interval),
        "heads.deterministic": (HEADS.deterministic, {"value": MAPS.linear(), "actions": 1}),
        "maps.constant": (MAPS.constant, {"start": 0.0}),
        "maps.fixed": (MAPS.fixed, {"value": 0.0}),
        "maps.linear": (MAPS.linear, {"of": None, "bias": False, "outputs": 1}),
        "maps.layer": (MAPS.layer, {"units": 2, "of": None, "seed": 0}),
        "maps.over_time": (MAPS.over_time, {"horizon": 2, "of": MAPS.linear(), "clock": -1}),
        "with_clock": (E.with_clock, {"environment": LQ}),
        "with_memory": (E.with_memory, {"environment": LQ, "size": 1}),
        "with_observation": (E.with_observation, {"environment": LQ, "observe": lambda p, s, v: s, "size": 1, "noises": 0}),
        "Policy.theta": (GAUSSIAN.theta, {"gain": eye}),
        "directional": (mg.directional, {"problem": PROBLEM, "v": [1.0]}),
        "continuing": (mg.continuing, asked | {"bootstrap": True}),
        "rollout": (mg.rollout, asked | {"count": 4, "seed": 0, "start": 0} | NUMPY),
        "sample": (mg.sample, asked | {"estimators": {"SF": SF}, "count": 4, "seed": 0} | NUMPY),
        "measure": (mg.measure, asked | {"estimators": {"SF": SF}, "count": 64, "seed": 0, "threads": 1, "executor": None,
                                         "progress": False, "start": 0, "covariances": None, "full_covariance": False,
                                         "design": None} | NUMPY),
        "fisher": (mg.fisher, asked | {"count": 64, "seed": 0} | NUMPY | {"progress": False}),
        "cost": (mg.cost, asked | {"estimators": {"SF": SF}, "seconds": 1e-9, "seed": 0} | NUMPY),
        "linear_quadratic": (E.linear_quadratic, {"A": eye, "B": eye, "Q": eye, "R": eye, "terminal_cost": None,
                                                  "process_noise": None, "initial_mean": None, "initial_cov": None}),
        "tabular": (E.tabular, {"transition": np.full((2, 2, 2), 0.5), "reward": np.zeros((2, 2)), "start": [1.0, 0.0],
                                "reward_probability": None, "ends": (), "terminal": None, "name": "t"}),
        "bandit": (E.bandit, {"values": [0.0, 1.0], "std": 0.0}),
        "random_walk": (E.random_walk, {"states": 3, "slip": 0.1}),
        "corridor_features": (E.corridor_features, {"states": 4}),
        "linear_gaussian": (P.linear_gaussian, {"n": 1, "m": 1} | scale),
        "tanh_network": (P.tanh_network, {"n": 1, "m": 1, "hidden": 2} | scale),
        "linear_features": (P.linear_features, {"features": lambda s: s, "n": 1, "m": 1} | scale),
        "gaussian": (P.gaussian, {"m": 1, "std": 0.5, "states": 1}),
        "softmax": (P.softmax, {"states": 3, "choices": 2}),
        "linear_softmax": (P.linear_softmax, {"features": np.ones((1, 2, 1))}),
        "softmax_of_state": (P.softmax_of_state, {"features": lambda s: s, "states": 1, "choices": 2}),
        "quadrature": (mg.exact.quadrature, asked | {"estimators": {"SF": SF}, "nodes": 3, "tolerance": 1e9}),
        "of_state": (B.of_state, {"function": lambda p, s: p.b, "b": 1.0}),
        "custom": (G.custom, {"step": lambda c, x, carry: (carry, x.score), "last": None, "finish": None, "data": None}),
        "Exact.wrong": (mg.critics.exact().wrong, {"scale": 1.0, "shift": 0.0, "oscillation": None}),
        "exact of an estimator": (
            lambda estimator: mg.exact.variance(PROBLEM, THETA, estimator), {"estimator": SF}),
    }  # fmt: skip
    options = {
        "ball_with_wall": {"speed": 1.0, "distance": 0.06, "height": 0.02, "gravity": 9.81},
        "double_well": {"dt": 0.05, "depth": 1.0, "noise_std": 0.5, "action_cost": 0.1, "initial_std": 0.1},
        "coulomb_friction": {"stiffness": 20.0, "friction": 0.5, "dt": 0.02},
        "influence_balancing": {"n": 3, "positive": 1},
        "chaotic_map": {"gain": 3.0, "start": 0.5},
        "cubic_scalar": {"dt": 0.05, "action_cost": 1.0, "initial_cov": 0.1},
        "plain_pendulum": {"gravity": 15.0, "push_std": 0.05, "initial_std": 0.3},
        "pendulum": {"max_torque": 2.0, "max_speed": 8.0, "dt": 0.05},
        "cart_pole": {"pole_mass": 0.1, "half_length": 0.5},
        "double_pendulum": {"torque_cost": 0.001, "dt": 0.05, "joints": "both", "noise_std": 0.0},
        "quadratic_cost": {"k": 1.0},
        "exponential_cost": {"k": 1.0},
        "cosine_cost": {"k": 1.0},
        "sum_cost": {"D": 2},
        "constant_cost": {"D": 2, "c": 100.0},
        "linear_ramp": {"width": 0.1},
        "sinusoid_on_parabola": {"w": 5.0},
        "bernoulli_toy": {"target": 0.45},
    }
    found |= {name: (getattr(E, name), x) for name, x in options.items()}
    rule = mg.optimizers.sgd(0.01)
    options = {
        "adam": {"rate": 0.01, "first": 0.9, "second": 0.999, "epsilon": 1e-8},
        "clipped": {"rule": rule, "norm": 1.0},
        "decaying": {"rate": 0.1, "power": 1.0, "offset": 1.0},
        "projected": {"rule": rule, "low": -1.0, "high": 1.0},
        "sgd": {"rate": 0.01, "momentum": 0.0},
    }
    found |= {f"optimizers.{name}": (getattr(mg.optimizers, name), x) for name, x in options.items()}
    found["ascend"] = mg.ascend, asked | {
        "estimator": SF, "batch": 2, "steps": 2, "optimizer": rule, "seeds": 2, "record": 1, "judged": 0, "threads": 1,
        "progress": False} | NUMPY  # fmt: skip
    found["kernel"] = mg.kernel, asked | {"estimators": {"SF": SF}}
    found["until"] = mg.until, {"variance": 0.1, "mean": None, "most": 1000, "after": None}
    found["executor"] = opened, {"name": "processes", "workers": 2, "scheduler": None}
    width = {"width": 0.1, "noise": "common"}
    options = {
        "action_control_variate": {"critic": None, "first_order": False},
        "advantage": {"critic": None},
        "all_actions": {"critic": None},
        "alpha_order": {"first_order": PW, "zeroth_order": SF, "gamma": 0.1, "confidence": 0.9, "pilot": 64, "alpha": None},
        "antithetic": {"estimator": SF, "flip": "all"},
        "clipped_ratio": {"behaviour_theta": THETA, "clip": 0.2, "baseline": None, "behaviour": None},
        "computation_graph": {"path": (0,), "baseline": None, "times": [0]},
        "control_variate": {"estimator": SF, "controls": [PW], "coefficients": None, "pilot": None, "full": False},
        "delta": {"order": 2, "pathwise": True, "centred": False},
        "difference": {"x": SF, "y": PW},
        "doubly_robust": {"critic": None},
        "knows": {"estimator": SF},
        "evolution_strategies": width | {"points": 2},
        "finite_differences": width | {"parameters": 1},
        "generalized_advantage": {"decay": 0.9, "critic": None},
        "importance_weighted": {"behaviour_theta": THETA, "weights": "trajectory", "baseline": None, "behaviour": None,
                                "group": None, "clip": None},
        "inverse_variance": {"first": SF, "weights": None, "pilot": None, "shared": False},
        "inverse_variance_per_step": {"baseline": None, "weights": None, "pilot": 64, "shared": False},
        "leave_one_out": {"size": 4},
        "measure_valued": {"branches": "common", "times": "all", "critic": None},
        "natural": {"estimator": SF, "fisher": None, "pilot": None},
        "persistent_evolution_strategies": width | {"unroll": 2, "points": 2, "truncated": False},
        "q_function": {"critic": None},
        "reward_to_go": {"baseline": None},
        "score_function": {"baseline": None},
        "score_hessian_vector_product": {"v": [1.0], "baseline": 0.0},
        "short_horizon": {"steps": 2, "critic": None},
        "spsa": width,
        "standardised": {"size": 4, "ddof": 0, "epsilon": 0.0},
        "truncated_reparameterization": {"steps": 2},
    }  # fmt: skip
    found |= {name: (getattr(G, name), x) for name, x in options.items()}
    options = {
        "fitted_value": {"pilot": 64, "degree": 2, "seed": 0},
        "optimal_constant": {"pilot": 64, "base": None},
        "optimal_over_time": {"base": None},
        "total_optimal_constant": {"base": None},
        "total_optimal_over_time": {"base": None},
    }
    found |= {name: (getattr(B, name), x) for name, x in options.items()}
    found |= {
        name: (getattr(mg.designs, name), {"size": 8}) for name in ("sobol", "latin_hypercube", "stratified_start")
    }
    only_theta = ("objective gradient critic mean_return_to_go naive_optimal_over_time optimum system hessian fisher "
                  "natural_gradient gradient_news average_reward average_gradient differential_value "
                  "stationary").split()  # fmt: skip
    of_estimator = (
        "mean variance optimal_over_time total_optimal_constant total_optimal_over_time optimal_quadratic".split()
    )
    of_estimator += ["coefficients", "self_normalised_limits"]
    found |= {f"exact.{name}": (getattr(mg.exact, name), asked) for name in only_theta}
    found |= {f"exact.{name}": (getattr(mg.exact, name), answered) for name in of_estimator}
    found["exact.moments"] = mg.exact.moments, asked | {"estimators": {"SF": SF}, "higher": False, "tolerance": 1e-6}
    found["exact.value"] = mg.exact.value, asked | {"tolerance": 1e-4, "box": ([-4.0], [4.0]), "work": 5.0}
    found["exact.scaling"] = mg.exact.scaling, answered | {"parameters": "gain"}
    for name in ("covariance", "covariance_matrix"):
        found[f"exact.{name}"] = getattr(mg.exact, name), asked | {"first": SF, "second": PW}
    for name in ("hessian_vector_product", "hessian_vector_product_variance"):
        found[f"exact.{name}"] = getattr(mg.exact, name), asked | {"v": [1.0]}
    return found | public_methods.targets(PROBLEM, THETA)


# The user's own function, which may raise what it likes, and how long to take.
LEFT_ALONE = {"progress", "seconds"}


class Hang(BaseException):
    """No answer in time."""


def fault(function, arguments):
    """Call; return None, or what is wrong with how it ended."""

    def alarm(*_):
        raise Hang

    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        function(**arguments)
    except ValueError as error:
        # A message of ours names what it is about; NumPy's and Python's own say what they could not do.
        return None if str(error).strip() else f"a {type(error).__name__} without a message"
    except Hang:
        return f"no answer within {SECONDS} s"
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:100]} ({last.filename.rsplit('mcgrad/')[-1]}:{last.lineno})"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def calls(count, seed):
    """Yield (name, function, arguments, what was replaced), `count` of them, the same for the same seed."""
    rng, names = np.random.default_rng(seed), targets()
    listed, values = sorted(names), odd_values()
    for _ in range(count):
        name = listed[rng.integers(len(listed))]
        function, good = names[name]
        replaced = rng.choice(
            sorted(set(good) - LEFT_ALONE), size=min(1 + (rng.random() < 0.3), len(good)), replace=False
        )
        yield (
            name,
            function,
            good | {str(x): values[rng.integers(len(values))] for x in replaced},
            tuple(map(str, replaced)),
        )


def faults(count, seed):
    """Return {(name, kind of fault): an example} over `count` calls."""
    found, seen = collections.OrderedDict(), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, function, arguments, replaced in calls(count, seed):
            seen += 1
            wrong = fault(function, arguments)
            if wrong:
                example = ", ".join(f"{x}={mg.validate.describe(arguments[x])}" for x in replaced)
                found.setdefault((name, wrong), example)
    return found, seen


def main():
    """Run, print every kind of fault once, and exit with 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30,) * 2)
    began = time.process_time()
    found, seen = faults(asked.count, asked.seed)
    for (name, wrong), example in found.items():
        print(f"{name}({example}): {wrong}")
    print(f"{seen} calls of {len(targets())} functions, {len(found)} faults, {time.process_time() - began:.0f} s")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
