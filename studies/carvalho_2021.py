"""What the frequency of a critic's error does to three estimators that look at a critic (Carvalho et al. 2021).

An action a ~ N(mu, std^2 I) of d components, std .1, and a critic that is wrong by

    A cos(2 pi f p^T a + phi),    p ~ Dirichlet(1, ..., 1), phi uniform: another error for each sample

The error adds nothing to the mean and this to the variance of each component of the gradient in mu:

    pathwise (of the critic)    A^2 (2 pi f)^2 / (d (d + 1))
    score function              A^2 / (2 std^2)
    measure-valued, coupled     A^2 / (2 pi std^2) E[1 - cos(4 pi f std p_1 W)],  W Rayleigh

so that the pathwise gradient is worse than the score function from f = sqrt(d (d + 1) / 2) / (2 pi std) on: 1.59, 2.76, 5.03,
7.29 for d = 1, 2, 4, 6. At small f all but the score function see the error vanish. A measure-valued sample takes 2 d looks at
the critic, and is compared with 2 d samples of the others, as in the paper. That the critic's error is all there is, is our
simplification: in their four systems, whose action dimensions are these, it dominates from some amplitude on.

References
----------
Carvalho, Tateo, Muratore and Peters (2021), An empirical analysis of measure-valued derivatives for policy gradients. IJCNN;
arXiv:2107.09359, and the code released with it: f in decades from .01 to 1000.
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import dawsn

from mcgrad import study

STD, AMPLITUDE = 0.1, 1.0
DIMENSIONS = (1, 2, 4, 6)
FREQUENCIES = np.round(10.0 ** np.arange(-2.0, 3.01, 0.25), 6).tolist()
NAMES = ("score function", "measure-valued", "reparameterization")
SCORE, MEASURE, PATH = NAMES


def exact(name, d, f):
    """Return the variance that the error adds to one component, for each look at the critic."""
    if name == PATH:
        return AMPLITUDE**2 * (2 * np.pi * f) ** 2 / (d * (d + 1))
    if name == SCORE:
        return AMPLITUDE**2 / (2 * STD**2)
    return 2 * d * AMPLITUDE**2 / (2 * np.pi * STD**2) * (1 - mean_cosine(4 * np.pi * f * STD, d))


def mean_cosine(c, d):
    """Return E cos(c p W), W Rayleigh, p ~ Beta(1, d - 1).

    E cos(t W) = 1 - sqrt(2) t D(t / sqrt(2)), D Dawson's function; the rest is quadrature.
    """

    def given(p):
        t = c * p / np.sqrt(2)
        return 1 - 2 * t * dawsn(t)

    if d == 1:
        return float(given(1.0))
    x, w = np.polynomial.legendre.leggauss(400)
    # Panels that shrink towards 0, where p is dense and the integrand turns; the density is (d - 1)(1 - p)^(d - 2).
    edges = np.concatenate([[0.0], 10.0 ** np.linspace(-7, 0, 29)])
    total = 0.0
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        p = (low + high) / 2 + (high - low) / 2 * x
        total += (high - low) / 2 * float(w @ (given(p) * (d - 1) * (1 - p) ** (d - 2)))
    return total


def simulated(d, f, count, rng):
    """Return {name: (variance, its standard error)} for each look at the critic, in plain NumPy; the mean is 0."""
    p, phase = rng.dirichlet(np.ones(d), count), rng.uniform(0, 2 * np.pi, count)
    e = rng.standard_normal((count, d))
    angle = 2 * np.pi * f * STD * (p * e).sum(axis=1) + phase
    width = np.sqrt(-2 * np.log(rng.uniform(size=count)))  # Rayleigh
    others = 2 * np.pi * f * STD * (p[:, 1:] * e[:, 1:]).sum(axis=1) + phase
    up, down = (np.cos(others + sign * 2 * np.pi * f * STD * p[:, 0] * width) for sign in (1, -1))
    samples = {
        SCORE: AMPLITUDE * np.cos(angle) * e[:, 0] / STD,
        MEASURE: AMPLITUDE * (up - down) / (np.sqrt(2 * np.pi) * STD) * np.sqrt(2 * d),
        PATH: -AMPLITUDE * 2 * np.pi * f * p[:, 0] * np.sin(angle),
    }
    return {name: (float((g**2).mean()), float((g**2).std() / np.sqrt(count))) for name, g in samples.items()}


def settings(quick):
    """Return the dimensions, and for each where the pathwise gradient becomes the worse one."""
    count = 20_000 if quick else 200_000
    return [{"dimension": d, "count": count} for d in DIMENSIONS]


def rows(setting, seed, threads):
    """Return the rows of one setting."""
    d, count = setting["dimension"], setting["count"]
    found = []
    for k, f in enumerate(FREQUENCIES):
        seen = simulated(d, f, count, np.random.default_rng([seed, d, k])) if k % 2 == 0 else {}
        for name in NAMES:
            row = {
                "dimension": d,
                "frequency": f,
                "estimator": name,
                "exact_variance": float(exact(name, d, f)),
                "count": 0,
            }
            if seen:
                row |= {"count": count, "variance": seen[name][0], "variance_stderr": seen[name][1]}
            found.append(row)
    crossing = brentq(lambda f: np.log(exact(PATH, d, f) / exact(SCORE, d, f)), 0.1, 100.0, xtol=1e-12)
    return [*found, {"dimension": d, "frequency": float(crossing), "estimator": "crossing", "count": 0}]


def report(rows):
    """Return the crossings, and how exact and simulated values agree."""
    crossings = ", ".join(f"{r['frequency']:.3f} (d = {r['dimension']})" for r in rows if r["estimator"] == "crossing")
    deviation, number = study.worst_deviation([r for r in rows if r.get("variance")])
    return (
        f"  the pathwise gradient is the worse one from f = {crossings} on\n"
        f"  {number} simulated variances, at worst {deviation:.1f} standard errors from exact"
    )


STUDY = study.Study(
    name="carvalho_2021",
    question="What does the frequency of a critic's error do to estimators (Carvalho et al. 2021)?",
    columns=("dimension", "frequency", "estimator", "exact_variance", "count", "variance", "variance_stderr"),
    settings=settings,
    rows=rows,
    report=report,
)
