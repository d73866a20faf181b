"""The exact critic where there is no closed form: against closed forms, Bellman's equation, and what estimators make of it."""

import numpy as np
import pytest

import mcgrad as mg
from mcgrad.critics import gaussian
from mcgrad.exact.recursion.critics import critic_within
from mcgrad.exact.recursion.refine import Options
from mcgrad.exact.recursion.work import Work

e = mg.estimators
COUNT = 50_000


def well(horizon=4, std=0.5):
    policy = mg.policies.linear_features(lambda s: (s[0], 1.0), 1, 1, std=std)
    return mg.Problem(mg.environments.double_well(), policy, horizon=horizon, discount=0.9), [-0.3, 0.5]


def chosen(critic=None):
    return {
        "A": e.advantage(critic),
        "Q": e.q_function(critic),
        "all": e.all_actions(critic),
        "acv": e.action_control_variate(critic),
        "Q-Prop": e.action_control_variate(critic, first_order=True),
        "trajectory": e.trajectory_control_variate(critic),
        "SVG(0)": e.value_gradient(critic),
        "GAE": e.generalized_advantage(0.5, critic),
        "short": e.short_horizon(2, critic),
        "weak": e.measure_valued(critic=critic or mg.critics.exact()),
    }


def linear(known, actions=1, learn_std=True):
    """A scalar system as the library knows it, or the same as a user's own."""
    B = np.array([[0.5, -0.3][:actions]])
    lq = mg.environments.linear_quadratic(
        [[0.9]], B, [[1.0]], 0.1 * np.eye(actions), terminal_cost=[[2.0]], process_noise=[[0.04]], initial_cov=[[0.25]]
    )
    own = mg.Environment(
        states=1,
        actions=actions,
        noises=1,
        initial_noises=1,
        init=lambda p, z: (0.5 * z[0],),
        step=lambda p, s, a, w: (0.9 * s[0] + sum(p.B[0, i] * a[i] for i in range(actions)) + 0.2 * w[0],),
        reward=lambda p, s, a, s_next, w: -(s[0] ** 2) - 0.1 * sum(x * x for x in a),
        terminal=lambda p, s: -2.0 * s[0] ** 2,
        params={"B": B},
        name="own",
    )
    policy = mg.policies.linear_gaussian(1, actions, std=[0.5, 0.3][:actions], learn_std=learn_std)
    theta = [-0.6, 0.4][:actions] + list(np.log([0.5, 0.3][:actions])) * learn_std
    return mg.Problem(lq if known else own, policy, horizon=3, discount=0.9), theta


@pytest.mark.parametrize("actions", [1, 2])
def test_it_is_that_of_the_closed_form(actions):
    """One system with and without a closed form: Q, and every estimator that asks for it, on the same trajectories."""
    (known, theta), (own, _) = linear(True, actions), linear(False, actions)
    Q = critic_within(own, np.array(theta), Options(1e-6, Work(5.0)))
    random = np.random.default_rng(1)
    s, a = random.normal(0.0, 1.0, (20, 1)), random.normal(0.0, 1.0, (20, actions))
    for t in (0, 2):
        np.testing.assert_allclose(Q(t, s, a), mg.exact.critic(known, theta)(t, s, a), rtol=1e-10)
        np.testing.assert_allclose(mg.exact.critic(own, theta)(t, s, a), Q(t, s, a), rtol=1e-10)
    asking = chosen(mg.critics.exact().wrong(scale=1.2, shift=3.0))
    asking = asking if actions == 1 else {name: asking[name] for name in ("A", "all", "Q-Prop", "SVG(0)")}
    both = [mg.sample(x, theta, asking, 30, seed=2, machine="numpy") for x in (known, own)]
    for name in asking:
        np.testing.assert_allclose(both[1][name], both[0][name], rtol=1e-7, atol=1e-8, err_msg=name)


def test_bellman_s_equation():
    """V_t(s) = E_a Q_t(s, a), Q_{T-1} is a reward and what its state is worth at the end, and returns have these means."""
    problem, theta = well()
    Q = mg.exact.critic(problem, theta)
    x, w = np.polynomial.hermite_e.hermegauss(20)
    s = np.linspace(-1.2, -0.2, 5)
    a = theta[0] * s[:, None] + theta[1] + 0.5 * x
    for t in (0, 3):
        mean = Q(t, np.repeat(s, 20)[:, None], a.reshape(-1, 1)).reshape(5, 20) @ (w / w.sum())
        np.testing.assert_allclose(mean, Q.value(t, s[:, None]), atol=1e-4)
    assert Q(1, [0.3], [0.2]).shape == () and Q.actions == 1
    with pytest.raises(mg.exact.NoClosedForm):
        mg.exact.critic(problem, theta, work=0)
    path = mg.rollout(problem, theta, 20_000, 1, machine="numpy")
    weights = 0.9 ** np.arange(4)
    end = Q.value(4, path.states[:, 4])
    known = Q(1, path.states[:, 1], path.actions[:, 1])
    returns = (path.rewards * weights)[:, 1:].sum(axis=1) + end
    for factor, holds in ((1.0, True), (1.02, False)):
        news = returns - factor * known
        assert (abs(news.mean()) < 5 * news.std() / np.sqrt(len(news))) == holds


def test_estimators_with_it_are_unbiased_and_quieter(monkeypatch):
    """Exact moments and a measurement of all of them; an error of the critic's data is seen by those that trust it alone."""
    problem, theta = well(3)
    plain = {"to go": e.reward_to_go(), "PW": e.reparameterization()}
    exactly = mg.exact.moments(problem, theta, plain | chosen(), tolerance=1e-2)
    measured = mg.measure(problem, theta, plain | chosen(), COUNT, progress=False, machine="numpy")
    for name in chosen():
        x, y = exactly[name], measured[name]
        np.testing.assert_allclose(x.mean, exactly["PW"].mean, rtol=1e-4)
        assert np.all(np.abs(y.mean - x.mean) < 5 * x.stderr(COUNT)), name
        assert np.all(np.abs(y.variance - x.variance) < 5 * y.variance_stderr), name
        assert np.all(x.variance < exactly["to go"].variance), name
    data = gaussian.data

    def damaged(wrong, problem, theta, truth):
        found = data(wrong, problem, theta, truth)
        found["orders"].values[:, 1] *= 1.02
        return found

    monkeypatch.setattr(gaussian, "data", damaged)
    those = {name: chosen()[name] for name in ("all", "A", "SVG(0)", "acv", "Q-Prop", "trajectory")}
    moved = mg.exact.moments(problem, theta, those, tolerance=1e-2)
    for name in ("all", "A", "SVG(0)"):
        assert np.abs(moved[name].mean / exactly["PW"].mean - 1).max() > 5e-3, name
    for name in ("acv", "Q-Prop", "trajectory"):  # unbiased with any critic
        np.testing.assert_allclose(moved[name].mean, exactly["PW"].mean, rtol=1e-4)


def test_two_states():
    """A pendulum: what Q and what the path say has one mean on the same trajectories; a Q that is 5 % too steep is seen."""
    policy = mg.policies.linear_features(lambda s: (np.sin(s[0]), s[1]), 2, 1, std=0.3)
    problem, theta = mg.Problem(mg.environments.plain_pendulum(), policy, horizon=5), [-1.0, -0.5]
    steep = e.all_actions(mg.critics.exact().wrong(scale=1.05))
    asking = {"PW": e.reparameterization(), "all": e.all_actions(), "steep": steep}
    found = mg.sample(problem, theta, asking, 20_000, seed=1, machine="numpy")
    for name, agrees in (("all", True), ("steep", False)):
        apart = found[name] - found["PW"]
        assert np.all(np.abs(apart.mean(axis=0)) < 5 * apart.std(axis=0) / np.sqrt(20_000)) == agrees, name


def test_where_there_is_none():
    def step(p, s, a, w):
        return tuple(0.9 * x + 0.1 * np.sin(a[0]) for x in s)

    three = mg.Environment(
        states=3,
        actions=1,
        initial_noises=3,
        step=step,
        init=lambda p, z: tuple(z),
        reward=lambda p, s, a, s_next, w: -(s_next[0] ** 2),
    )
    problem, theta = well()
    refused = {
        r"critic: one that oscillates": (problem, theta, mg.critics.exact().wrong(oscillation=(0.1, 3.0))),
        r"one or two independent actions and std > 0": (
            mg.Problem(
                mg.environments.double_well(), mg.policies.linear_features(lambda s: (s[0],), 1, 1, std=0.0), horizon=2
            ),
            [0.3],
            None,
        ),
        r"of 3 states|no grid": (
            mg.Problem(three, mg.policies.linear_gaussian(3, 1, std=0.5), horizon=2),
            np.zeros(3),
            None,
        ),
    }
    for why, (own, at, critic) in refused.items():
        with pytest.raises(ValueError, match=why):
            mg.sample(own, at, {"all": e.all_actions(critic)}, 2, machine="numpy")
    with pytest.raises(mg.exact.NoClosedForm, match="no closed form"):
        mg.sample(problem, theta, {"x": e.doubly_robust()}, 2, machine="numpy")
