"""REBAR, RELAX and a constant: the toy on which control variates for discrete choices are shown (Grathwohl et al. 2018).

b is 1 with probability p = 1 / (1 + exp(-theta)), the objective E (b - t)^2, its gradient p (1 - p)(1 - 2 t) in theta. Of one
sample,

    REINFORCE      p (1 - p) ((1 - p) f(1) + p f(0))^2
    less J         p (1 - p) (1 - 2 p)^2 (f(1) - f(0))^2, f(b) = (b - t)^2
    best constant  0: with b = (1 - p) f(1) + p f(0) both values of the estimator are the gradient
    REBAR          REINFORCE less eta times a relaxation of f with a temperature, whose gradient is added back by
                   reparameterization; eta is chosen here so that the variance is least, which learning can only approach

A choice between two has a scalar baseline that leaves no variance at all, so that this toy cannot show that more is needed.
What REBAR subtracts covaries with REINFORCE through the relaxed f at 1/2 alone, (1/2 - t)^2, and this is next to nothing here:
it helps at temperatures far above 1 / (1/2 - t), where the relaxation is flat and REBAR turns into a constant baseline.
REINFORCE at p = 1/2, t = .499 has the variance .015625, logarithm -4.159.

References
----------
Tucker, Mnih, Maddison, Lawson and Sohl-Dickstein (2017), REBAR: low-variance, unbiased gradient estimates for discrete latent
variable models (t = .45); Grathwohl, Choi, Wu, Roeder and Duvenaud (2018), Backpropagation through the void (t = .499).
"""

import numpy as np

import mcgrad as mg
from mcgrad import baselines as b
from mcgrad import estimators as e
from mcgrad import study

TARGETS = (0.45, 0.499)
PROBABILITIES = np.round(np.arange(0.05, 0.951, 0.025), 6).tolist()
TEMPERATURES = np.round(10.0 ** np.arange(-1.0, 5.01, 0.25), 6).tolist()
DRAWN = (1.0, 100.0)  # temperatures over probabilities
NODES = 300
NAMES = {
    "score function": lambda: e.score_function(),
    "score function, baseline J": lambda: e.score_function(b.mean_return()),
    "score function, optimal constant": lambda: e.score_function(b.optimal_constant()),
    "score function, leave one out": lambda: e.leave_one_out(2),
}

MEASURED = ("score function", "score function, leave one out")


def problem(p, t):
    """Return (problem, theta)."""
    policy = mg.policies.linear_softmax([[[0.0], [1.0]]])
    return mg.Problem(mg.environments.bernoulli_toy(t), policy, 1), policy.theta([np.log(p / (1 - p))])


def logistic(x):
    """Return 1 / (1 + exp(-x))."""
    return 0.5 * (1 + np.tanh(x / 2))


def parts(p, t, temperature, u, v):
    """Return (REINFORCE, relaxation): REBAR is the first less eta times the second, which has mean 0.

    z = theta + log(u / (1 - u)) decides b = [z > 0]; z~ is drawn again, by v, given b.
    """
    z = np.log(p / (1 - p)) + np.log(u / (1 - u))
    one = z > 0
    odds = v / (1 - v) / np.where(one, 1 - p, p)
    again = np.where(one, 1.0, -1.0) * np.log1p(odds)
    slope = odds / (1 + odds) * np.where(one, p, 1 - p)  # of z~ in theta, b held fixed
    score = one - p

    def relaxed(z):
        soft = logistic(z / temperature)
        return (soft - t) ** 2, 2 * (soft - t) * soft * (1 - soft) / temperature

    (_, at_z), (given, at_again) = relaxed(z), relaxed(again)
    return (one - t) ** 2 * score, given * score - at_z + at_again * slope


def nodes(p):
    """Return u, v and weights: Gauss and Legendre's nodes on both sides of the jump of b in u."""
    x, w = np.polynomial.legendre.leggauss(NODES)
    x, w = (x + 1) / 2, w / 2
    # More nodes near the ends, where logarithms turn: u = s^2 (3 - 2 s).
    x, w = x**2 * (3 - 2 * x), w * 6 * x * (1 - x)
    u = np.concatenate([(1 - p) * x, 1 - p + p * x])
    weight = np.concatenate([(1 - p) * w, p * w])
    return u[:, None], x[None, :], weight[:, None] * w[None, :]


def rebar(p, t, temperature):
    """Return the least variance over eta, eta, and the mean of what is subtracted, which should be 0."""
    u, v, weight = nodes(p)
    g, c = parts(p, t, temperature, u, v)
    mean, zero = float((weight * g).sum()), float((weight * c).sum())
    covariance, spread = float((weight * g * c).sum()) - mean * zero, float((weight * c * c).sum()) - zero**2
    variance = float((weight * g * g).sum()) - mean**2
    return variance - covariance**2 / spread, covariance / spread, zero


def settings(quick):
    """Return probabilities and temperatures; some are measured."""
    count = 20_000 if quick else 200_000
    found = []
    for t in TARGETS:
        for i, p in enumerate(PROBABILITIES):
            found.append({"part": "probability", "t": t, "x": p, "count": 0 if i % 6 else count})
    return found + [{"part": "temperature", "t": t, "x": x, "count": 0} for t in TARGETS for x in TEMPERATURES]


def rows(setting, seed, threads):
    """Return the rows of one setting."""
    part, t, x, count = (setting[key] for key in ("part", "t", "x", "count"))
    about = {"part": part, "t": t, "x": x}
    if part == "temperature":
        variance, eta, zero = rebar(0.5, t, x)
        return [about | {"estimator": "REBAR", "exact_variance": variance, "eta": eta, "zero": zero, "count": 0}]
    p, theta = problem(x, t)
    found = []
    for name, make in NAMES.items():
        # What varies next to nothing is not measured: rounding errors would be.
        number = count if name in MEASURED else 0
        found += study.measured(p, theta, {name: make()}, count=number, seed=seed, threads=threads)
    for temperature in DRAWN:
        variance, eta, zero = rebar(x, t, temperature)
        own = {"estimator": f"REBAR, temperature {temperature:g}", "exact_variance": variance, "eta": eta, "zero": zero}
        own |= {"count": count}
        if count:
            rng = np.random.default_rng([seed, round(1000 * t), round(1000 * x), round(temperature)])
            g, c = parts(x, t, temperature, *rng.uniform(size=(2, count)))
            g = g - eta * c
            square = (g - g.mean()) ** 2
            own |= {"mean": float(g.mean()), "stderr": float(g.std() / np.sqrt(count))}
            own |= {"variance": float(square.mean()), "variance_stderr": float(square.std() / np.sqrt(count))}
        found.append(own)
    return [about | {key: row.get(key) for key in KEPT} for row in found]


def report(rows):
    """Return the published numbers, and how exact and measured values agree."""
    at = {(r["part"], r["t"], r["x"], r["estimator"]): r["exact_variance"] for r in rows}
    lines = []
    for t in TARGETS:
        plain, far = at["probability", t, 0.5, "score function"], at["temperature", t, TEMPERATURES[-1], "REBAR"]
        lines.append(
            f"  t = {t}, p = .5: REINFORCE {plain:.9g} (logarithm {np.log(plain):.4f}, noise-to-signal "
            f"{plain / (0.25 * (1 - 2 * t)) ** 2:.6g}), "
            f"REBAR at temperature {TEMPERATURES[-1]:g} {far:.3g}, the best constant 0"
        )
    deviation, number = study.worst_deviation([r for r in rows if (r["exact_variance"] or 0) > 1e-9 and r["count"]])
    return "\n".join([*lines, f"  {number} measured variances, at worst {deviation:.1f} standard errors from exact"])


KEPT = (
    *("estimator", "exact_variance", "eta", "zero"),
    *("count", "mean", "stderr", "variance", "variance_stderr"),
)
STUDY = study.Study(
    name="relax_2018",
    question="What is left for REBAR and RELAX on their toy, where a constant baseline leaves nothing?",
    columns=("part", "t", "x", *KEPT),
    settings=settings,
    rows=rows,
    report=report,
)
