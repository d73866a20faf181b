"""Table look-ups in kernels: values, what is out of range, derivatives, on all machines."""

import numpy as np
import pytest

import mcgrad as mg

MACHINES = ("simd", "scalar", "numpy")
TABLE = np.arange(12.0).reshape(3, 4) ** 2 - 7.0


def looked_up(reward, params, machine, uniforms=2, count=64):
    """Return the rewards of trajectories of one step, and the uniform numbers behind them."""
    environment = mg.Environment(
        states=1,
        actions=1,
        uniforms=uniforms,
        params=params,
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: s,
        reward=reward,
    )
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=1.0), 1)
    found = mg.rollout(problem, [0.0], count, seed=4, machine=machine)
    return found.rewards[:, 0], found.noise.process[:, 0]


@pytest.mark.parametrize("machine", MACHINES)
def test_elements_rows_columns_and_what_is_out_of_range(machine):
    def reward(p, s, a, s_next, w):
        i, j = np.floor(w[0] * 5) - 1, np.floor(w[1] * 6) - 1  # -1 ... 3 and -1 ... 4: one too far on either side
        column = mg.lookup(p.table[:, 2], i)
        row = mg.lookup(p.table[1], j)
        known = mg.lookup(p.table, i, 3) + mg.lookup(p.table, 0, j)
        return mg.lookup(p.table, i, j) + 1e3 * column + 1e6 * row + 1e9 * known

    got, w = looked_up(reward, {"table": TABLE}, machine)
    i, j = np.floor(w[:, 0] * 5) - 1, np.floor(w[:, 1] * 6) - 1
    inside = (i >= 0) & (i < 3) & (j >= 0) & (j < 4)
    i, j = i[inside].astype(int), j[inside].astype(int)
    expected = TABLE[i, j] + 1e3 * TABLE[i, 2] + 1e6 * TABLE[1, j] + 1e9 * (TABLE[i, 3] + TABLE[0, j])
    assert 10 < inside.sum() < 60
    assert np.array_equal(got[inside], expected)
    assert np.isnan(got[~inside]).all()


@pytest.mark.parametrize("machine", MACHINES)
def test_no_index_reads_out_of_bounds(machine):
    """Neither NaN nor infinities nor numbers beyond those of the integers; one kernel reads all of them."""

    def reward(p, s, a, s_next, w):
        nan, infinite = p.zero / p.zero, p.one / p.zero
        read = [mg.lookup(p.table, x + 0.0 * w[0]) for x in (nan, infinite, -infinite, p.index)]
        return sum(mg.where(x == x, 0.0, 10.0**k) for k, x in enumerate(read))

    for index in (1e300, -1e-9, -1.0, 12.0, 2.0**63):
        got, _ = looked_up(reward, {"table": TABLE.ravel(), "one": 1.0, "zero": 0.0, "index": index}, machine)
        assert np.array_equal(got, np.full(64, 1111.0))
    for index in (0.0, 11.0, 11.999):
        got, _ = looked_up(reward, {"table": TABLE.ravel(), "one": 1.0, "zero": 0.0, "index": index}, machine)
        assert np.array_equal(got, np.full(64, 111.0))


@pytest.mark.parametrize("machine", MACHINES)
def test_a_table_of_computed_numbers(machine):
    def reward(p, s, a, s_next, w):
        return mg.lookup((w[1], 2.0 * w[1], 7.0), np.floor(4.0 * w[0]))

    got, w = looked_up(reward, {}, machine)
    which = np.floor(4.0 * w[:, 0]).astype(int)
    table = np.stack([w[:, 1], 2.0 * w[:, 1], np.full(64, 7.0), np.full(64, np.nan)])
    assert np.array_equal(got, table[which, np.arange(64)], equal_nan=True)


@pytest.mark.parametrize("machine", MACHINES)
def test_components_of_the_state_of_noise_and_of_actions_in_any_order(machine):
    """They are numbers in registers, not elements of an array in memory."""

    def reward(p, s, a, s_next, w):
        place = np.floor(3.0 * w[1])
        return mg.lookup((w[1], w[0], p.table[2]), place) + 10.0 * mg.lookup((a[0], s[0], w[0]), place)

    got, w = looked_up(reward, {"table": TABLE.ravel()}, machine)
    action = looked_up(lambda p, s, a, s_next, w: a[0], {}, machine)[0]
    place = np.floor(3.0 * w[:, 1]).astype(int)
    first = np.stack([w[:, 1], w[:, 0], np.full(64, TABLE.ravel()[2])])[place, np.arange(64)]
    second = np.stack([action, np.zeros(64), w[:, 0]])[place, np.arange(64)]
    assert np.allclose(got, first + 10.0 * second, rtol=1e-15)


def test_on_plain_numbers_and_arrays():
    assert mg.lookup(TABLE, 1, 2) == TABLE[1, 2]
    assert np.isnan(mg.lookup(TABLE, 1, 4))
    assert np.array_equal(
        mg.lookup(TABLE, np.array([0.0, 2.0, 5.0]), 1), [TABLE[0, 1], TABLE[2, 1], np.nan], equal_nan=True
    )


def test_derivatives_with_respect_to_a_table_of_parameters():
    """The gradient of a policy whose mean is read from a table, against central differences with the same noise."""
    S, P = 5, 10

    def eta(p, theta, s):
        table = np.array(theta, dtype=object).reshape(S, 2)
        place = np.floor(mg.where(s[0] > 0.0, mg.where(s[0] < 4.9, s[0], 4.9), 0.0))
        return (mg.lookup(table[:, 0], place) + mg.lookup(table, place, 1) * np.sin(s[0]),)

    policy = mg.Policy(
        states=1, actions=1, noises=1, parameters=range(P), eta=eta, sample=lambda p, eta, e: (eta[0] + 0.5 * e[0],)
    )
    environment = mg.Environment(
        states=1,
        actions=1,
        noises=1,
        initial_uniforms=1,
        init=lambda p, z: (5.0 * z[0],),
        step=lambda p, s, a, w: (0.8 * s[0] + 0.3 * a[0] + 0.1 * w[0] + 0.5,),
        reward=lambda p, s, a, s_next, w: -((s_next[0] - 2.0) ** 2) - 0.1 * a[0] ** 2,
    )
    problem = mg.Problem(environment, policy, 6)
    theta, count, h = np.linspace(-0.5, 0.5, P), 200, 1e-6
    gradient = mg.sample(problem, theta, {"PW": mg.estimators.reparameterization()}, count)["PW"]

    def returns(theta):
        return mg.rollout(problem, theta, count).rewards.sum(axis=1)

    differences = np.stack([(returns(theta + h * e) - returns(theta - h * e)) / (2 * h) for e in np.eye(P)], axis=1)
    # Where a difference crosses from one entry of the table to the next, it sees a jump.
    smooth = np.abs(differences) < 1e3
    assert smooth.mean() > 0.99
    assert np.abs(gradient - differences)[smooth].max() < 1e-6 * np.abs(gradient).max()


def test_the_wrong_number_of_indices_is_explained():
    def reward(p, s, a, s_next, w):
        return mg.lookup(p.table, w[0])

    with pytest.raises(ValueError, match=r"lookup: expected 2 indices, one for each dimension .* \(3, 4\), got 1"):
        looked_up(reward, {"table": TABLE}, "numpy")


def test_a_constant_index_out_of_range_is_explained():
    def reward(p, s, a, s_next, w):
        return mg.lookup(p.table, 3, w[0])

    with pytest.raises(ValueError, match="lookup: index 3 is out of bounds"):
        looked_up(reward, {"table": TABLE}, "numpy")
