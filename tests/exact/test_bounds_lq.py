"""Efficiency bounds of linear-quadratic problems: against the dense referee, known values, limits and symmetries."""

import dataclasses

import lq_leaves as lq
import numpy as np
import pytest
from exact_cases import canonical, random_system
from exact_dense import Dense, covariance

from mcgrad.exact.linear_quadratic.past import Past

HALF = np.array([[1.0], [0.5]])
SYSTEMS = {
    "scalar": lambda: random_system(0, 1, 1, 4),
    "two states": lambda: random_system(1, 2, 1, 3),
    "two of each": lambda: random_system(2, 2, 2, 2),
    "three states, one noise": lambda: random_system(3, 3, 1, 3, W=np.diag([1.0, 0.0, 0.0])),
    "from one point": lambda: random_system(4, 2, 1, 3, cov=np.zeros((2, 2)), W=np.diag([0.3, 0.0])),
    "a thin start": lambda: random_system(5, 2, 2, 2, cov=HALF @ HALF.T, W=HALF @ HALF.T),
}


class Influence:
    """Influence functions as sums of products of quadratics of all noise."""

    def __init__(self, system):
        self.system, self.dense = system, Dense(system)
        self.T, (n, m) = system.horizon, system.B.shape
        self.first = [1 + n + t * (m + n) for t in range(self.T + 1)]  # where the noise of each time begins
        self.values = [self.dense.on_state(V, t) for t, V in enumerate(self.dense.values)] + [self.dense.to_go[-1]]
        self.rewards = [self.dense.to_go[t] - self.dense.to_go[t + 1] for t in range(self.T)]
        self.dV = self._slopes()

    def _slopes(self):
        """dV_t for each parameter, by complex steps through the Bellman recursion."""
        system, found = self.system, []
        for p in range(system.parameters):
            dense = Dense(system, exact=lambda array: np.array(array, dtype=complex))
            if p < system.K.size:
                dense.K[np.unravel_index(p, system.K.shape)] += 1e-30j
            else:
                dense.L[p - system.K.size] *= 1 + 1e-30j
            slopes = [V.imag / 1e-30 for V in dense._values()]
            found.append([self.dense.on_state(V, t) for t, V in enumerate(slopes)] + [0 * self.dense.one])
        return found

    def known(self, q, width):
        """The conditional mean of a quadratic given the noise before `width`."""
        out = np.zeros_like(q)
        out[:width, :width] = q[:width, :width]
        out[0, 0] += np.trace(q[width:, width:])
        return out

    def of_state(self, q, t):
        """The conditional mean of a quadratic given s_t, by projecting the noise."""
        A = self.dense.s[t][:, 1:]
        onto = np.eye(1 + A.shape[1])
        onto[1:, 1:] = np.linalg.pinv(A, rcond=1e-10) @ A
        out = onto @ q @ onto
        out[0, 0] += np.trace(q[1:, 1:] @ (np.eye(A.shape[1]) - onto[1:, 1:]))
        return out

    def function(self, p, markov):
        """phi as products of quadratics."""
        m, total = self.system.actions, [(self.dV[p][0],)]
        scores = self.dense.scores(p)
        for t in range(self.T):
            ahead, news = self.rewards[t] + self.values[t + 1], self.dV[p][t + 1]
            width = self.first[t] + m
            past = sum(scores[:t], 0 * self.dense.one)
            past = self.of_state(past, t) if markov else past
            total.append((past + scores[t], ahead - self.known(ahead, width)))
            total.append((news - self.known(news, width),))
        return total


@pytest.mark.parametrize("name", SYSTEMS)
def test_bounds_are_the_variances_of_influence_functions(name):
    system = SYSTEMS[name]()
    influence, P = Influence(system), system.parameters
    markov, tree = lq.markov_bound(system, matrix=True), lq.tree_bound(system, matrix=True)
    np.testing.assert_allclose(lq.markov_bound(system), np.diag(markov), rtol=1e-12)
    np.testing.assert_allclose(lq.tree_bound(system), np.diag(tree), rtol=1e-12)
    assert np.linalg.eigvalsh(tree - markov).min() > -1e-12 * np.trace(tree)
    for p, q in {(0, 0), (0, P - 1), (P - 1, P - 1)}:
        x, y = (influence.function(k, True) for k in (p, q))
        scale = np.sqrt(markov[p, p] * markov[q, q])
        assert markov[p, q] == pytest.approx(covariance(x, y), abs=1e-11 * scale)
        assert tree[p, q] == pytest.approx(
            covariance(influence.function(p, False), influence.function(q, False)), abs=1e-11 * tree[p, p]
        )
        if p == q:  # every estimator that is unbiased whatever the law has this covariance with it; pathwise has not
            to_go = influence.dense.reward_to_go(p)
            assert covariance(x, to_go) == pytest.approx(markov[p, p], rel=1e-10)
            assert abs(covariance(x, influence.dense.pathwise(p)) / markov[p, p] - 1) > 1e-6
            # Planted: a state that says nothing of the past
            wrong = [(scores, omega) for (scores, omega) in x[1::2]]
            wrong = [((z, omega)) for z, (_, omega) in zip(influence.dense.scores(p), wrong, strict=True)]
            assert abs(covariance(x[:1] + wrong + x[2::2], to_go) / markov[p, p] - 1) > 1e-6


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_state_says_of_past_scores_what_conditioning_says(name):
    system = SYSTEMS[name]()
    influence, past = Influence(system), Past(system)
    for p in range(system.parameters):
        scores = influence.dense.scores(p)
        for t in range(1, system.horizon):
            exact = influence.of_state(sum(scores[:t]), t)
            C, noise = past.root[t], influence.dense.s[t].copy()
            noise[:, 0] = 0.0
            e = np.linalg.pinv(C, rcond=1e-9) @ noise
            found = np.outer(influence.dense.one[0], past.alpha[t, p] @ e)
            found = (found + found.T) / 2 + e.T @ past.beta[t, p] @ e / 2
            found[0, 0] -= np.trace(past.beta[t, p]) / 2
            np.testing.assert_allclose(found, exact, atol=1e-12 * np.abs(exact).max())
            assert np.abs(found - 1.001 * exact).max() > 1e-9


def test_known_values():
    for changes, markov, tree, pathwise in (
        ({}, 11.379353028546, 15.150013806734, 8.64412788062),
        ({"std": 2.0}, 26.154113292953, 32.702762206943, 238.569204857),
        ({"std": 0.1}, 65.19539481, 116.5195379, 5.10506950861),
        ({"horizon": 20}, 15.310488468995, 26.996773479519, 12.4222793689),
        ({"W": 0.0}, 3.532711092254, 3.532711092254, None),
        ({"horizon": 1}, 0.0288, 0.0288, 0.0388),
    ):
        system = canonical(**{"horizon": 10, **changes})
        assert lq.markov_bound(system)[0] == pytest.approx(markov, rel=1e-9)
        assert lq.tree_bound(system)[0] == pytest.approx(tree, rel=1e-9)
        if pathwise is not None:
            assert lq.variance(system, lq.Reparameterization())[0] == pytest.approx(pathwise, rel=1e-9)
    system = canonical(10, learn_scale=True)
    assert lq.markov_bound(system)[1] == pytest.approx(3.605742388, rel=1e-9)
    assert lq.tree_bound(system)[1] == pytest.approx(7.388375771, rel=1e-9)
    assert lq.stationary_bound(system)[0] == pytest.approx(10.2798729089, rel=1e-11)
    stationary = canonical(10, cov=(0.25 * 0.25 + 0.04) / (1 - 0.36))
    assert lq.stationary_bound(stationary)[0] == pytest.approx(2.29740363764, rel=1e-11)
    assert lq.markov_bound(stationary)[0] == pytest.approx(2.67685497944, rel=1e-11)
    two = lq.System(
        [[0.9, 0.2], [0, 0.8]], [[0], [0.5]], [[-0.2, -0.6]], [[0.5]], np.eye(2), [[0.1]], np.zeros((2, 2)),
        0.04 * np.eye(2), [1, 0], np.eye(2), 10, learn_scale=True,
    )  # fmt: skip
    markov, tree = lq.markov_bound(two, matrix=True), lq.tree_bound(two, matrix=True)
    expected = (
        [405.053859720899, 56.147216542520, 37.812754965472],
        [675.108632799306, 116.833342194708, 91.171632588074],
    )
    np.testing.assert_allclose([np.diag(markov), np.diag(tree)], expected, rtol=1e-12)
    off = ([28.319122876493, 16.934042569475], [49.881836071516, 32.088643633604])
    np.testing.assert_allclose([markov[0, 1:], tree[0, 1:]], off, rtol=1e-11)


STAGES = (
    3.532711092254,
    2.696032528317,
    1.580442759935,
    1.151614183416,
    0.779620082707,
    0.550258320709,
    0.425292197074,
)
STAGES += (0.335249731200, 0.231200051218, 0.096932081714, 0.0)  # of the start and of t = 0..9


def test_the_sum_over_stages_in_rational_form():
    """The scalar problem with a centred start, written out by hand."""
    for T, std, W, S0 in ((10, 0.5, 0.04, 1.0), (7, 1.3, 0.7, 0.2)):
        s = canonical(T, std=std, W=W, cov=S0)
        P, c, _, _ = lq.values.riccati(s)
        D = -lq.values.gradient_to_go(s, [0])[0][:, 0, 0, 0]
        S, dS, b, f = S0, 0.0, 0.5, s.closed[0, 0]
        total = 2 * D[0] ** 2 * S0**2
        stages = [total]
        for t in range(T):
            before = total
            al, ga, de, next_P = (
                P[t + 1, 0, 0] * dS / (2 * S),
                P[t + 1, 0, 0] ** 2 * S / std**2,
                D[t + 1],
                P[t + 1, 0, 0],
            )
            total += 4 * W * f**2 * S * (10 * al**2 + 3 * ga + de**2 + 4 * al * de)
            total += 4 * W * b**2 * std**2 * (2 * al**2 + 3 * ga + de**2) + 2 * W**2 * (2 * al**2 + ga + de**2)
            total += 16 * W * f * b * next_P * S * (2 * al + de)
            stages.append(total - before)
            dS, S = f**2 * dS + 2 * b * f * S, f**2 * S + b**2 * std**2 + W
        assert lq.markov_bound(s)[0] == pytest.approx(total, rel=1e-13)
        assert abs(lq.markov_bound(s)[0] / lq.markov_bound(canonical(T, std=std, W=1.001 * W, cov=S0))[0] - 1) > 1e-6
        if T == 10:
            np.testing.assert_allclose(stages, STAGES, rtol=1e-10, atol=1e-12)


def test_limits():
    small = [std**2 * lq.markov_bound(canonical(10, std=std))[0] for std in (1e-3, 1e-5)]
    assert small[1] == pytest.approx(0.57057, abs=2e-5) and small[0] == pytest.approx(small[1], rel=1e-4)
    assert lq.markov_bound(canonical(10, std=0.1))[0] * 0.01 != pytest.approx(0.57057, rel=0.05)  # not there yet
    one = random_system(3, 1, 2, 1)
    matrices = [bound(one, matrix=True) for bound in (lq.stationary_bound, lq.markov_bound, lq.tree_bound)]
    np.testing.assert_allclose(matrices[0], matrices[2], rtol=1e-10)
    np.testing.assert_allclose(matrices[1], matrices[2], rtol=1e-12)
    two = random_system(3, 1, 2, 2)  # with another step they part
    assert np.trace(lq.markov_bound(two, matrix=True)) < 0.995 * np.trace(lq.tree_bound(two, matrix=True))
    certain = random_system(4, 2, 2, 3, W=np.zeros((2, 2)))
    all_actions = lq.covariance_by_step(certain, lq.AllActions(), lq.AllActions())[0]
    np.testing.assert_allclose(lq.markov_bound(certain), all_actions, rtol=1e-12)
    np.testing.assert_allclose(lq.tree_bound(certain), all_actions, rtol=1e-12)
    nearly = dataclasses.replace(certain, W=1e-3 * np.eye(2))
    assert (lq.markov_bound(nearly) > lq.covariance_by_step(nearly, lq.AllActions(), lq.AllActions())[0]).all()
    point = canonical(6, cov=0.0, mean=1.0, learn_scale=True)
    near = canonical(6, cov=1e-8, mean=1.0, learn_scale=True)  # a start that overlaps with no later state by much
    np.testing.assert_allclose(lq.stationary_bound(point), lq.stationary_bound(near), rtol=1e-3)


def test_units_of_states_and_noise():
    """All noise times c: the bound of K times c^4. Coordinates s -> M s: gradients dJ/dK turn by M."""
    s, c = random_system(6, 2, 1, 4), 1.7
    louder = dataclasses.replace(s, W=c**2 * s.W, cov=c**2 * s.cov, mean=c * s.mean, L=c * s.L)
    gain = slice(s.K.size)
    for bound in (lq.markov_bound, lq.tree_bound):
        np.testing.assert_allclose(bound(louder)[gain], c**4 * bound(s)[gain], rtol=1e-11)
        assert abs(bound(dataclasses.replace(louder, W=s.W))[0] / (c**4 * bound(s)[0]) - 1) > 1e-3
    scalar = random_system(7, 1, 2, 3)
    louder = dataclasses.replace(scalar, W=c**2 * scalar.W, cov=c**2 * scalar.cov, mean=c * scalar.mean, L=c * scalar.L)
    np.testing.assert_allclose(lq.stationary_bound(louder)[:2], c**4 * lq.stationary_bound(scalar)[:2], rtol=1e-10)
    s = dataclasses.replace(s, W=np.diag([0.3, 0.5]), cov=np.diag([0.7, 0.2]))
    for short in (1e-3, 1e-7):  # states whose variances differ by up to 14 orders of magnitude
        M = np.diag([1.0, short])
        back = np.linalg.inv(M)
        other = dataclasses.replace(
            s, A=M @ s.A @ back, B=M @ s.B, K=s.K @ back, Q=back @ s.Q @ back, Qf=back @ s.Qf @ back, W=M @ s.W @ M,
            cov=M @ s.cov @ M, mean=M @ s.mean,
        )  # fmt: skip
        turn = np.diag([1.0, short, 1.0])
        np.testing.assert_allclose(lq.markov_bound(other, True), turn @ lq.markov_bound(s, True) @ turn, rtol=1e-8)


def test_what_has_no_bound():
    s = random_system(8, 2, 2, 3)
    with pytest.raises(ValueError, match="stationary: expected one state variable, got 2"):
        lq.stationary_bound(s)
    with pytest.raises(ValueError, match="L is singular"):
        lq.markov_bound(dataclasses.replace(s, L=np.zeros((2, 2))))


def test_a_state_in_equilibrium_has_the_stationary_bound_in_more_dimensions():
    """Against Gauss-Hermite quadrature over (s, u, w), exact for these polynomials; and for one state against its own way."""
    scalar = canonical(10, cov=(0.25 * 0.25 + 0.04) / (1 - 0.36), learn_scale=True)
    found = lq.bounds._at_all_times(scalar, True)
    np.testing.assert_allclose(found, lq.stationary_bound(scalar, True), rtol=1e-11)
    s = random_system(9, 2, 1, 3, mean=np.zeros(2), learn_scale=False)
    s = dataclasses.replace(s, A=0.7 * s.A / np.abs(np.linalg.eigvals(s.closed)).max(), K=0.3 * s.K)
    S = np.zeros((2, 2))
    for _ in range(2000):
        S = s.closed @ S @ s.closed.T + s.noise @ s.noise.T
    s = dataclasses.replace(s, cov=(S + S.T) / 2)
    x, weight = np.polynomial.hermite_e.hermegauss(6)
    grid = np.stack(np.meshgrid(*[x] * 5, indexing="ij"), axis=-1).reshape(-1, 5)
    chance = np.prod(np.stack(np.meshgrid(*[weight] * 5, indexing="ij"), axis=-1).reshape(-1, 5), axis=1)
    chance /= chance.sum()
    states, u, w = grid[:, :2] @ np.linalg.cholesky(S).T, grid[:, 2:3] @ s.L.T, grid[:, 3:] @ np.linalg.cholesky(s.W).T
    P, H = lq.values.riccati(s)[0], lq.values.gradient_to_go(s, np.arange(2))[0]
    middle = states @ s.closed.T + u @ s.B.T
    inverse, phi, dS = np.linalg.inv(S), 0.0, np.zeros((2, 2, 2))

    def news(form):  # of x^T form x once w is known
        after = middle + w
        return np.sum((after @ form) * after - (middle @ form) * middle, axis=1) - np.sum(form * s.W)

    for t in range(3):
        for_each = np.einsum("ni,ij,pjk,kl,nl->np", states, inverse, dS, inverse, states)
        d = (for_each - np.einsum("ij,pji->p", inverse, dS)) / 2
        zeta = d + (u / s.policy_cov[0, 0]) * states
        phi = phi - zeta * news(P[t + 1])[:, None] + np.stack([news(h) for h in H[t + 1]], axis=1)
        move = np.einsum("i,pj->pij", s.B[:, 0], np.eye(2)) @ S @ s.closed.T
        dS = s.closed @ dS @ s.closed.T + move + move.swapaxes(1, 2)
    start = lq.covariance_by_step(s, lq.AllActions(), lq.AllActions())[0]
    bound = lq.stationary_bound(s, matrix=True)
    exact = np.einsum("n,np,nq->pq", chance, phi, phi) / 3
    assert bound[0, 1] == pytest.approx(exact[0, 1] + start_between(s), rel=1e-8)
    np.testing.assert_allclose(np.diag(bound), np.diag(exact) + start, rtol=1e-9)
    np.testing.assert_allclose(lq.stationary_bound(s), np.diag(bound), rtol=1e-12)
    assert np.abs(np.diag(bound) / (np.diag(exact) * 0.999 + start) - 1).min() > 1e-5
    assert np.linalg.eigvalsh(lq.markov_bound(s, True) - bound).min() > 0


def start_between(s):
    """Cov(dV_0/dp, dV_0/dq) of the first two parameters over a centred start."""
    one, two = lq.values.gradient_to_go(s, np.arange(2))[0][0]
    return 2 * np.trace(one @ s.cov @ two @ s.cov)
