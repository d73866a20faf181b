"""Methods of what the public functions return, for the fuzzer: what they take may be as odd.

An unknown name is a KeyError, as of a dict, and a file that is not there an OSError; both say what they miss.
"""

import warnings

import mcgrad as mg


def looked_up(method):
    """Return a method whose own ways of saying "there is no such thing" are no fault."""

    def call(**arguments):
        try:
            return method(**arguments)
        except (KeyError, OSError) as error:
            if not str(error).strip():
                raise
            return None

    return call


def targets(problem, theta):
    """Return {name: (method, good arguments by name)}."""
    both = {"SF": mg.estimators.score_function(), "PW": mg.estimators.reparameterization()}
    options = {"machine": "numpy", "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = mg.measure(problem, theta, both, 64, **options)
        batch = mg.measure(problem, [theta, theta], both, 64, **options)
        more = mg.measure(problem, theta, both, 64, start=64, **options)
        exact = mg.exact.moments(problem, theta, both, higher=True, full_covariance=True)
        climbed = mg.ascend(problem, theta, both["PW"], 2, 2, optimizer=mg.optimizers.sgd(0.01), seeds=2, **options)
        compared = mg.compare(problem, theta, only=["pathwise"], count=256, seconds=1e-9, machine="numpy")
    handle = mg.kernel(problem, both)
    pair, level = {"first": "SF", "second": "PW"}, {"level": 0.95}
    value, critic = mg.exact.value(problem, theta), mg.exact.critic(problem, theta)
    state = {"t": 0, "s": [0.0]}
    known = {
        "Moments.entry": (batch.entry, {"b": 0}),
        "Moments.covariance": (found.covariance, pair),
        "Moments.variance_ratio": (found.variance_ratio, pair | level),
        "Moments.total_variance_ratio": (found.total_variance_ratio, pair | level),
        "Moments.merge": (found.merge, {"other": more}),
        "Moments.table": (found.table, {"cost": None}),
        "Moments.load": (mg.Moments.load, {"path": "nowhere.npz"}),
        "Moments[]": (lambda name: found[name], {"name": "SF"}),
        "Estimate.variance_interval": (found["SF"].variance_interval, level),
        "Estimate.total_variance_interval": (found["SF"].total_variance_interval, level),
        "moments.of_samples": (mg.moments.of_samples, {"samples": {"a": [[1.0], [2.0]]}, "parameters": ["x"]}),
        "ExactMoments.covariance": (exact.covariance, pair),
        "ExactMoments.covariance_matrix": (exact.covariance_matrix, pair),
        "ExactEstimate.stderr": (exact["SF"].stderr, {"count": 10}),
        "ExactEstimate.variance_stderr": (exact["SF"].variance_stderr, {"count": 10}),
        "ValueFunction()": (value, state),
        "ExactCritic()": (critic, state | {"a": [0.0]}),
        "Kernel.out": (handle.out, {"count": 3}),
        "Kernel.samples": (handle.samples, {"theta": theta, "seed": 0, "first": 0, "count": 3, "out": None}),
        "Ascent.gap": (climbed.gap, {"optimum": None}),
        "Ascent.quantiles": (climbed.quantiles, {"levels": (0.5,), "optimum": None}),
        "Ascent.load": (mg.Ascent.load, {"path": "nowhere.npz"}),
        "Comparison[]": (lambda name: compared[name], {"name": "pathwise"}),
    }
    return {name: (looked_up(method), good) for name, (method, good) in known.items()}
