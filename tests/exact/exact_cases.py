"""The reference cases (tests/reference/lq_cases.json) as systems, and random systems."""

import json
from pathlib import Path

import numpy as np

from mcgrad.exact.linear_quadratic import System

DATA = json.loads((Path(__file__).parents[1] / "reference" / "lq_cases.json").read_text())
CASES = {case["id"]: case for case in DATA["cases"]}


def system_of(case, **changes):
    """A System from a case's arrays, with log scales learned."""
    data = case["system"]
    arrays = [np.array(data[name], dtype=float) for name in ("A", "B", "K", "L", "Q", "R", "Qf", "W", "mu0", "S0")]
    options = dict(horizon=data["T"], discount=data["gamma"], terminal_weight=data["terminal_weight"], learn_scale=True)
    return System(*arrays, **{**options, **changes})


def random_system(seed, n, m, T, discount=0.9, learn_scale=True, **changes):
    """Correlated noise everywhere, indefinite asymmetric costs, noncentral start."""
    rng = np.random.default_rng(seed)

    def cov(k):
        root = rng.normal(size=(k, k)) / np.sqrt(k)
        return root @ root.T

    arrays = dict(
        A=0.7 * rng.normal(size=(n, n)),
        B=rng.normal(size=(n, m)),
        K=0.4 * rng.normal(size=(m, n)),
        L=np.diag(0.5 + rng.random(m)) + 0.3 * rng.normal(size=(m, m)),
        Q=rng.normal(size=(n, n)) + np.eye(n),
        R=rng.normal(size=(m, m)) + np.eye(m),
        Qf=rng.normal(size=(n, n)),
        W=cov(n),
        mean=rng.normal(size=n),
        cov=cov(n),
    )
    options = dict(horizon=T, discount=discount, terminal_weight=0.7, learn_scale=learn_scale)
    return System(**{**arrays, **options, **changes})


def canonical(horizon, std=0.5, W=0.04, K=-0.6, cov=1.0, mean=0.0, **changes):
    """The canonical scalar LQ problem: a = .9, b = .5, q = 1, r = .1 on (s_t, a_t), no terminal cost."""
    values = dict(A=0.9, B=0.5, K=K, L=std, Q=1.0, R=0.1, Qf=0.0, W=W, cov=cov)
    arrays = {name: np.full((1, 1), value) for name, value in values.items()}
    return System(**arrays, mean=[mean], horizon=horizon, **changes)
