"""How good is a gradient of several actions in each state: error and angle on four systems (Carvalho et al. 2021).

s_next = A s + B a without noise, from s = (9, ..., 9), rewards -1.5 |s|^2 - 1.2 |a|^2, discount .99, 1000 steps; the policy
a = -K s + .1 z. In each state of N rollouts there are 2 M d looks at the exact Q (d actions), none of which moves the system:

    score function        z (Q - V) / std                                                 2 M d samples
    pathwise              dQ/da                                                           2 M d samples
    measure-valued        (Q(.. + std W ..) - Q(.. - std W ..)) / (sqrt(2 pi) std), W Rayleigh   M samples for each of d means

and the gradient in -K is the sum over time of gamma^t times that, times s^T. Reported as in the paper:

    relative error  | |g'| - |g| | / |g|         cosine distance  1 - cos(g', g)

With S the covariance of g', and u = g / |g|, their means are to leading order, the first if errors are normal,

    sqrt(2 / pi) sqrt(u^T S u) / |g|             (tr S - u^T S u) / (2 |g|^2)

and E |g' - g|^2 / |g|^2 = tr S / |g|^2 exactly. S has two parts, that of the states, which no number of actions takes away
(S_states, the covariance of the all-action gradient), and that of the looks: S = S_states / N + S_looks / (N looks). With
Q(mu + std z) = c + std G^T z - std^2 z^T H z, G linear in s, the looks have in each state (derived for this study)

    score function   |G|^2 I + G G^T + std^2 (2 tr(H^2) I + 8 H^2)
    pathwise         4 std^2 H^2
    measure-valued   diagonal: (4 / pi - 1) G_i^2 + (16 / pi) std^2 ((H^2)_ii - H_ii^2)

Means over time are fourth moments of Gaussian states, by Isserlis; the covariance of the sum over time is a backward recursion.

References
----------
Carvalho, Tateo, Muratore and Peters (2021), An empirical analysis of measure-valued derivatives for policy gradients. IJCNN;
arXiv:2107.09359. Systems and gains are those of the code released with it (25 runs of each there).
"""

import numpy as np

from mcgrad import study

STD, DISCOUNT, STEPS, START = 0.1, 0.99, 1000, 9.0
STATE_COST, ACTION_COST = 1.5, 1.2
NAMES = ("score function", "measure-valued", "reparameterization")
SCORE, MEASURE, PATH = NAMES
MERITS = ("square", "error", "cosine")
MOST = 25  # M
SHOWN = (1, 2, 3, 5, 8, 12, 18, 25)
SYSTEMS = {
    "2 states, 1 action": ([[-1.0, 0.2], [0.0, 0.1]], [[-0.1], [0.0]], [[0.12090783, -1.90293579]]),
    "2 states, 2 actions": (
        [[1.5, -0.2], [-0.1, 1.1]],
        [[1.1, 0.5], [0.2, -0.1]],
        [[-1.76504018, 2.1788581], [7.49035866, -4.86692174]],
    ),
    "4 states, 4 actions": (
        [[1.0, -0.5, 0.0, 0.0], [0.0, 0.1, 2.0, 0.0], [-2.0, 0.0, 0.1, 0.0], [0.0, -0.2, 0.0, 0.1]],
        [[1.0, 0.0, 0.2, 0.5], [-1.0, 0.1, 0.0, 0.0], [0.0, -1.0, 0.1, 0.0], [0.0, 0.1, 0.0, 0.1]],
        [
            [1.44065069, -0.18045467, -0.28257178, -3.05142737],
            [2.74188152, -0.18942766, 0.13157326, 1.51403868],
            [0.12377449, -3.152568, 0.71876384, 0.46573287],
            [-0.18589064, -0.71770191, 1.86779365, -2.6336564],
        ],
    ),
    "6 states, 6 actions": (
        [
            [-0.1, -0.5, 0.0, 0.0, 0.3, 0.1],
            [0.0, 0.1, 2.0, 0.0, -0.1, 0.2],
            [-2.0, 0.0, 0.1, 0.0, -0.4, 0.8],
            [0.0, -0.2, 0.0, 0.1, 0.2, 0.2],
            [0.0, -0.1, 0.2, 0.1, -0.1, 0.1],
            [0.1, 0.1, 0.1, 0.0, 0.0, 0.2],
        ],
        [
            [-1.0, 0.0, 0.2, 0.5, 0.0, 0.0],
            [-1.0, 0.1, 0.0, 0.0, 0.0, 0.1],
            [0.0, -1.0, 0.1, 0.0, 0.0, 0.0],
            [0.0, 0.1, 0.0, 0.1, -0.2, 0.3],
            [0.1, 0.2, -0.1, 0.0, -0.1, 0.0],
            [0.0, 0.1, 0.1, 0.1, 1.2, 0.1],
        ],
        [
            [-0.98619249, 0.45078575, -0.6909792, -0.48931221, -0.37679959, -1.14926572],
            [1.60308272, -0.336829, 0.01307296, 0.18106089, -0.51512445, -0.76282749],
            [0.49639032, -0.13147592, 0.64799724, 1.90951081, -0.04233188, -0.45617268],
            [-0.37838526, -0.09254851, -1.80335514, -1.18366594, 0.38366327, -2.08020995],
            [0.9078764, -0.21197676, 1.87803645, -0.25504618, -0.27380292, -0.51829845],
            [0.69610819, 0.53745563, -0.45593299, 0.78232605, 1.73990422, 1.80203499],
        ],
    ),
}


def system(name):
    """Return (F, B, gain, H, V of the start): s_next = F s + std B z; over actions dQ/da has mean gain s, Q's curvature H."""
    A, B, K = (np.array(x) for x in SYSTEMS[name])
    n, d = B.shape
    F, stage = A - B @ K, STATE_COST * np.eye(n) + ACTION_COST * K.T @ K
    P = np.linalg.solve(np.eye(n * n) - DISCOUNT * np.kron(F.T, F.T), stage.ravel()).reshape(n, n)
    H = ACTION_COST * np.eye(d) + DISCOUNT * B.T @ P @ B
    gain = -2 * (-ACTION_COST * K + DISCOUNT * B.T @ P @ F)
    start = np.full(n, START)
    return F, B, gain, H, -(start @ P @ start + STD**2 * np.trace(H) / (1 - DISCOUNT))


# ---- exact -------------------------------------------------------------------------------------------------------


def states(F, B, steps=STEPS):
    """Yield (mean, covariance) of s_t: (n,), (n, n)."""
    mean, cov = np.full(len(F), START), np.zeros_like(F)
    for _ in range(steps):
        yield mean, cov
        mean, cov = F @ mean, F @ cov @ F.T + STD**2 * B @ B.T


def squares(mean, cov):
    """Return the covariance of vec(s s^T): (n n, n n), by Isserlis."""
    n, second = len(mean), np.outer(mean, mean)
    pairs = np.einsum("ac,bd->abcd", cov, cov) + np.einsum("ac,bd->abcd", cov, second)
    pairs += np.einsum("ac,bd->abcd", second, cov)
    return (pairs + pairs.swapaxes(2, 3)).reshape(n * n, n * n)


def exact(name, steps=STEPS):
    """Return (gradient, covariance of the all-action gradient, {estimator: covariance of one look's}), each in vec(-K).

    A measure-valued look is one sample of one of the d means; d of them are a sample of the gradient.
    """
    F, B, gain, H, _ = system(name)
    n, d = B.shape
    both = np.kron(F, F)
    law = list(states(F, B, steps))
    mean = np.zeros((n, n))
    fourth = np.zeros((n, n, n, n))  # E[s s s s], discounted twice
    second = np.zeros((n, n))
    of_states = np.zeros((n * n, n * n))
    later = np.zeros_like(of_states)  # what a square moves of the squares after it, discounted
    for t in reversed(range(steps)):
        m, S = law[t]
        own, outer = squares(m, S), S + np.outer(m, m)
        across = later @ own
        of_states += DISCOUNT ** (2 * t) * (own + across + across.T)
        fourth += DISCOUNT ** (2 * t) * (own.reshape(n, n, n, n) + np.einsum("ab,cd->abcd", outer, outer))
        second += DISCOUNT ** (2 * t) * outer
        mean += DISCOUNT**t * outer
        later = DISCOUNT * (np.eye(n * n) + later) @ both
    pull = np.kron(gain, np.eye(n))  # vec(s s^T) -> vec(gain s s^T)
    products = np.einsum("ia,kb,abjl->ikjl", gain, gain, fourth)  # E[G_i G_k s_j s_l]
    length, squared = np.einsum("iijl->jl", products), H @ H
    eye = np.eye(d)
    score = np.einsum("ik,jl->ikjl", eye, length) + products
    score += STD**2 * np.einsum("ik,jl->ikjl", 2 * np.trace(squared) * eye + 8 * squared, second)
    path = 4 * STD**2 * np.einsum("ik,jl->ikjl", squared, second)
    apart = np.diag(np.diag(squared) - np.diag(H) ** 2)
    measure = (4 / np.pi - 1) * np.einsum("ik,ikjl->ikjl", eye, products)
    measure += 16 / np.pi * STD**2 * np.einsum("ik,jl->ikjl", apart, second)
    flat = {
        key: x.transpose(0, 2, 1, 3).reshape(n * d, n * d)
        for key, x in {SCORE: score, MEASURE: measure, PATH: path}.items()
    }
    return (gain @ mean).ravel(), pull @ of_states @ pull.T, flat


def figures_of_merit(gradient, S):
    """Return the exact values of a row: squared distance, and to leading order relative error and cosine distance."""
    size = np.linalg.norm(gradient)
    u = gradient / size
    along = u @ S @ u
    found = np.trace(S) / size**2, np.sqrt(2 / np.pi * along) / size, (np.trace(S) - along) / (2 * size**2)
    return {f"exact_{key}": float(x) for key, x in zip(MERITS, found, strict=True)}


def merits(gradient, g):
    """Return the same of estimates g (runs, P), run by run: {name: (runs,)}."""
    size, lengths = np.linalg.norm(gradient), np.linalg.norm(g, axis=1)
    distances = ((g - gradient) ** 2).sum(axis=1) / size**2
    return dict(zip(MERITS, (distances, np.abs(lengths / size - 1), 1 - g @ gradient / (lengths * size)), strict=True))


def covariance(of_states, of_looks, name, M, d, rollouts):
    """Return S for M samples, that is 2 M d looks, in each state."""
    return (of_states + of_looks[name] / (M if name == MEASURE else 2 * M * d)) / rollouts


# ---- sampled -----------------------------------------------------------------------------------------------------


def sampled(name, rng):
    """Return {estimator: gradients (MOST, P)} of one rollout, for M = 1, ..., MOST samples in each of its states."""
    F, B, gain, H, _ = system(name)
    n, d = B.shape
    s, path = np.full(n, START), np.empty((STEPS, n))
    for t, z in enumerate(rng.standard_normal((STEPS, d))):
        path[t] = s
        s = F @ s + STD * B @ z
    G = path @ gain.T
    weighted = DISCOUNT ** np.arange(STEPS)[:, None] * path
    found = {}
    z = rng.standard_normal((STEPS, MOST, 2 * d, d))
    Hz = z @ H
    above = np.einsum("tmld,td->tml", z, G) - STD * ((Hz * z).sum(axis=-1) - np.trace(H))  # (Q - V) / std
    means = {
        SCORE: np.einsum("tml,tmld->tmd", above, z) / (2 * d),
        PATH: G[:, None, :] - 2 * STD * Hz.mean(axis=2),
    }
    # For each mean i the other actions are normal, and that one is W above and below it.
    z, W = rng.standard_normal((STEPS, MOST, d, d)), rng.rayleigh(size=(STEPS, MOST, d))
    aside = H - np.diag(np.diag(H))
    means[MEASURE] = 2 / np.sqrt(2 * np.pi) * W * (G[:, None, :] - 2 * STD * np.einsum("tmij,ij->tmi", z, aside))
    for key, x in means.items():
        running = np.cumsum(np.einsum("tmd,tj->mdj", x, weighted), axis=0)
        found[key] = running.reshape(MOST, d * n) / np.arange(1, MOST + 1)[:, None]
    return found


def rows(setting, seed, threads):
    """Return the rows of one system."""
    name, runs = setting["system"], setting["runs"]
    gradient, of_states, of_looks = exact(name)
    n, d = np.array(SYSTEMS[name][1]).shape
    size = np.linalg.norm(gradient)
    V = system(name)[4]
    seen = {key: np.empty((runs, MOST, n * d)) for key in NAMES}
    for run in range(runs):
        for key, x in sampled(name, np.random.default_rng([seed, d, run])).items():
            seen[key][run] = x
    same = {"system": name, "actions": d, "norm": float(size), "value": float(V)}
    found = [same | {"estimator": "all actions", "runs": 0} | figures_of_merit(gradient, of_states)]
    for key in NAMES:
        for M in SHOWN:
            row = {"estimator": key, "samples": M, "looks": 2 * M * d, "runs": runs}
            row |= figures_of_merit(gradient, covariance(of_states, of_looks, key, M, d, 1))
            for column, x in merits(gradient, seen[key][:, M - 1]).items():
                row |= {column: float(x.mean()), f"{column}_stderr": float(x.std(ddof=1) / np.sqrt(runs))}
            found.append(same | row)
    return found


def settings(quick):
    """Return the systems; the largest takes most of the time."""
    names = list(SYSTEMS)[:2] if quick else SYSTEMS
    return [{"system": name, "runs": 20 if quick else 400} for name in names]


def report(rows):
    """Return errors with one sample and with many, and how sampled values agree with those to leading order."""
    lines = []
    for name in dict.fromkeys(r["system"] for r in rows):
        here = [r for r in rows if r["system"] == name]
        floor = here[0]
        words = []
        for key in NAMES:
            own = [r for r in here if r["estimator"] == key]
            words.append(f"{key} {own[0]['exact_error']:.2g} to {own[-1]['exact_error']:.2g}")
        lines.append(
            f"  {name}: |g| = {floor['norm']:.1f}; relative error with 1 to {MOST} samples: {', '.join(words)}; "
            f"of states alone {floor['exact_error']:.2g}"
        )
    apart = [abs(r["square"] - r["exact_square"]) / r["square_stderr"] for r in rows if r.get("looks")]
    lines.append(f"  {len(apart)} sampled squared distances, at worst {max(apart):.1f} standard errors from exact")
    return "\n".join(lines)


STUDY = study.Study(
    name="carvalho_2021_systems",
    question="How good is a gradient of several actions in each state, on four systems (Carvalho et al. 2021)?",
    columns=(
        *("system", "actions", "estimator", "samples", "looks", "runs"),
        *(f"{kind}{merit}{end}" for merit in MERITS for kind, end in (("exact_", ""), ("", ""), ("", "_stderr"))),
        *("norm", "value"),
    ),
    settings=settings,
    rows=rows,
    report=report,
)
