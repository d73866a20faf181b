"""What the algebra and the leaves know beyond single estimators, on linear-quadratic systems, against the dense referee."""

import lq_leaves as lq
import numpy as np
import pytest
from exact_cases import random_system
from exact_dense import Dense, covariance, expectation

from mcgrad import baselines as B
from mcgrad import critics as C
from mcgrad import estimators as E
from mcgrad.baselines.accepted import as_baseline
from mcgrad.estimators import kinds
from mcgrad.exact import NoClosedForm, algebra

SHAPES = [(0, 1, 1, 3), (1, 2, 1, 3), (5, 2, 2, 2)]


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def pair(request):
    system = random_system(*request.param)
    return system, Dense(system)


def some(system):
    """The first and the last parameter of each kind."""
    return sorted({0, system.K.size - 1, system.K.size, system.parameters - 1})


def close(found, truth, *spread):
    """Compare a covariance with the referee's, relative to what it could be at most."""
    assert abs(found - truth) < 1e-9 * np.sqrt(np.prod(spread)), (found, truth)


# ---- wrong values --------------------------------------------------------------------------------------------------


def advantage(dense, p, decay, forms):
    """sum_t z_t sum_{k>=t} decay^(k-t) (r_k + v_{k+1} - v_k), the terminal reward as v_T."""
    T = dense.system.horizon
    v = [dense.on_state(forms[t, 0], t) for t in range(T)] + [dense.to_go[T]]
    delta = [dense.to_go[t] - dense.to_go[t + 1] + v[t + 1] - v[t] for t in range(T)]
    return [(z, sum(decay ** (k - t) * delta[k] for k in range(t, T))) for t, z in enumerate(dense.scores(p))]


@pytest.mark.parametrize("decay", [0.0, 0.6, 1.0])
def test_generalized_advantages_of_a_wrong_value_function(pair, decay):
    system, dense = pair
    forms = np.random.default_rng(3).normal(size=(system.horizon, 1, system.states + 1, system.states + 1))
    forms = forms + forms.swapaxes(-1, -2)
    X, Y = lq.GeneralizedAdvantage(decay, forms), lq.Reparameterization()
    for p in some(system):
        x, y = advantage(dense, p, decay, forms), dense.pathwise(p)
        spread = covariance(x, x), covariance(y, y)
        assert lq.mean(system, X)[p] == pytest.approx(expectation(x), rel=1e-9, abs=1e-9 * np.sqrt(spread[0]))
        close(lq.variance(system, X)[p], spread[0], spread[0], spread[0])
        close(lq.covariance(system, X, Y)[p], covariance(x, y), *spread)
    if decay < 1 and system.horizon > 1:
        assert np.abs(lq.mean(system, X) - lq.gradient(system)).max() > 1e-3  # wrong values bias it


def test_named_values(pair):
    """The estimators of `mcgrad.estimators` with values that are wrong in a known way."""
    system, dense = pair
    theory, T = lq.theory_of(system), system.horizon
    V = lq.value_baseline(system)
    to_go = lq.time_baseline(system, lq.mean_return_to_go(system)[:T])
    shifted = 0.8 * V + lq.constant_baseline(system, 0.3)
    for critic, forms in ((C.exact().wrong(0.8, 0.3), shifted), (B.mean_to_go(), to_go), (as_baseline(0.5), 0 * V)):
        forms = forms + (lq.constant_baseline(system, 0.5) if critic is not None and not forms.any() else 0.0)
        found = algebra.variance(theory, E.generalized_advantage(0.7, critic))
        for p in some(system):
            x = advantage(dense, p, 0.7, forms)
            assert found[p] == pytest.approx(covariance(x, x), rel=1e-9)


# ---- pathwise gradients of other kinds -------------------------------------------------------------------------------


def blocks(dense, p, steps, scale):
    """The derivative of each block's rewards at fixed noise, and of scale V_t at its end; D starts anew with each block."""
    (m, n), T, D, total = dense.K.shape, dense.system.horizon, 0 * dense.s[0], 0 * dense.one
    for t, (s, u, a) in enumerate(zip(dense.s, dense.u, dense.a, strict=False)):
        d = 0 * a
        if p < m * n:
            d[p // n] = s[p % n]
        else:
            d[p - m * n] = u[p - m * n]
        d = d + dense.K @ D
        total = total - 2 * dense.gamma[t] * (s.T @ dense.Q @ D + a.T @ dense.R @ d)
        D = dense.A @ D + dense.B @ d
        if (t + 1) % steps == 0 and t + 1 < T:
            total = total + 2 * scale * dense.s[t + 1].T @ dense.values[t + 1][1:, 1:] @ D
            D = 0 * D
    total = total - 2 * dense.terminal_weight * dense.s[-1].T @ dense.Qf @ D  # the end is no matter of the critic
    return [((total + total.T) / 2,)]


def test_blocks_and_weights_beside_others(pair):
    """Two kinds of sensitivities on one trajectory: what had a variance has covariances, between parameters, too."""
    system, dense = pair
    theory, T = lq.theory_of(system), system.horizon
    k = np.linspace(0.2, 0.9, T)
    weighted = E.inverse_variance_per_step(B.value(), weights=k)

    def mixed(p):
        of_path = dense.pathwise(p, k)
        return of_path + [(z * (1 - k[t]), G) for t, (z, G) in enumerate(dense.reward_to_go(p, dense.values))]

    chosen = [
        (E.short_horizon(2), lambda p: blocks(dense, p, 2, 1.0)),
        (E.short_horizon(1, C.exact().wrong(0.7)), lambda p: blocks(dense, p, 1, 0.7)),
        (E.truncated_reparameterization(2), lambda p: blocks(dense, p, 2, 0.0)),
        (weighted, mixed),
        (E.reparameterization(), dense.pathwise),
        (E.reward_to_go(), dense.reward_to_go),
        (E.score(), dense.score),
    ]
    for i, (X, of_x) in enumerate(chosen):
        for Y, of_y in chosen[: i + 1]:
            found = algebra.covariance(theory, X, Y)
            joint = algebra.covariance_matrix(theory, X, Y)
            np.testing.assert_allclose(np.diag(joint), found, rtol=1e-9, atol=1e-9 * np.abs(joint).max())
            for p in some(system):
                x, y = of_x(p), of_y(p)
                spread = covariance(x, x), covariance(y, y)
                close(found[p], covariance(x, y), *spread)
            x, y = of_x(0), of_y(system.parameters - 1)
            close(joint[0, -1], covariance(x, y), covariance(x, x), covariance(y, y))


# ---- mirrored noise ------------------------------------------------------------------------------------------------


def mirrored(dense, x, start, action, process):
    """An estimator on the rollout whose noise has other signs."""
    n, m, T = dense.system.states, dense.system.actions, dense.system.horizon
    signs = np.concatenate([[1.0], np.full(n, start), *[np.repeat([action, process], [m, n])] * T])
    return [tuple(signs[:, None] * q * signs for q in product) for product in x]


def times(c, x):
    return [(c * first, *rest) for first, *rest in x]


def test_pairs_of_pairs_and_their_controls(pair):
    system, dense = pair
    theory, P = lq.theory_of(system), system.parameters
    c = np.linspace(0.1, 0.7, P)
    rtg, pw, score = E.reward_to_go(), E.reparameterization(), E.score()
    nested = E.antithetic(E.antithetic(rtg, "actions"))
    apart = E.difference(E.antithetic(rtg), E.antithetic(pw, "actions"))
    controlled = E.control_variate(E.antithetic(rtg), score, c[None])
    for p in some(system):
        x, y, z = dense.reward_to_go(p), dense.pathwise(p), dense.score(p)
        four = [times(0.25, mirrored(dense, x, *s)) for s in ((1, 1, 1), (1, -1, 1), (-1, -1, -1), (-1, 1, -1))]
        truth = {
            nested: sum(four, []),
            apart: times(0.5, x + mirrored(dense, x, -1, -1, -1)) + times(-0.5, y + mirrored(dense, y, 1, -1, 1)),
            controlled: times(0.5, x + mirrored(dense, x, -1, -1, -1)) + times(-c[p], z),
        }
        for estimator, samples in truth.items():
            assert algebra.variance(theory, estimator)[p] == pytest.approx(covariance(samples, samples), rel=1e-9)
    best = E.control_variate(E.antithetic(rtg), score)
    assert (algebra.variance(theory, best) <= algebra.variance(theory, controlled) * (1 + 1e-12)).all()


# ---- what is not known ---------------------------------------------------------------------------------------------


class OwnReturn(kinds.RewardToGo):
    """Derived from an estimator whose variance is known, with a step that may do anything."""

    def step(self, c, x, later):
        return later + x.reward, tuple(2.0 * z for z in x.score)


def test_nothing_is_said_of_estimators_of_your_own():
    theory = lq.theory_of(random_system(0, 1, 1, 3))
    own = OwnReturn(as_baseline(None))
    for estimator in (own, E.antithetic(own), E.difference(own, E.score())):
        with pytest.raises(NoClosedForm, match="OwnReturn"):
            algebra.variance(theory, estimator)
    with pytest.raises(NoClosedForm, match="baseline OfState"):
        algebra.variance(theory, E.reward_to_go(B.of_state(lambda p, s: s[0])))
    with pytest.raises(NoClosedForm, match="alpha depends on its pilot"):
        algebra.variance(theory, E.alpha_order(E.reparameterization(), E.reward_to_go(), 0.1))
    with pytest.raises(NoClosedForm, match="pairs of groups"):
        algebra.variance(theory, E.antithetic(E.leave_one_out(2)))
