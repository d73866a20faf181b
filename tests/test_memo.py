"""Kernels are remembered by structure: numbers never trace again, and nothing that matters is ever missed."""

import dataclasses
import gc
import tracemalloc

import numpy as np
import pytest
from remembering import BOTH, assert_right, fresh, nothing_remembered, problem  # noqa: F401
from test_unbiased import fitted, planted, unbiased

import mcgrad as mg
from mcgrad import estimators as E
from mcgrad.kernels import memo
from mcgrad.kernels.numbers import Data
from mcgrad.kernels.program import _written, gradient_program, rollout_program
from mcgrad.kernels.tracing import traced
from mcgrad.prepare import prepare

# ---- numbers: nothing is traced again


def test_numbers_and_fresh_problems_trace_once():
    kernels = {id(assert_right(problem()).kernel.text)}
    for k in range(1, 4):
        for x in (
            problem(std=0.1 * k),
            problem(k=0.1 * k),
            problem(horizon=k + 3),
        ):
            kernels.add(id(gradient_program(x, [0.1 * k], BOTH).kernel.text))
            assert_right(x)
    assert len(kernels) == 1 and memo.size() == 1
    for discount in (0.9, 0.8, [0.9, 0.8, 0.7]):
        assert_right(problem(discount=discount))
    assert memo.size() == 2  # rewards with weights are another kernel


def test_systems_and_their_baselines_trace_once(seed):
    rng = np.random.default_rng(seed)
    chosen = {"SF": E.reward_to_go(mg.baselines.value()), "IW": None, "ES": None}
    for k in range(5):
        matrices = rng.normal(size=(2, 2)) / 3, rng.normal(size=(2, 1)), np.diag(rng.random(2) + 1), [[0.1 + k]]
        lq = mg.environments.linear_quadratic(*matrices, process_noise=0.1 * np.eye(2))
        theta = rng.normal(size=2) / 5
        chosen |= {"IW": E.importance_weighted(theta + 0.1), "ES": E.evolution_strategies(0.1 + k, points=2)}
        assert_right(mg.Problem(lq, mg.policies.linear_gaussian(2, 1, std=0.1 + k), 4 + k), theta, chosen)
    assert memo.size() == 1


@pytest.mark.parametrize("S", [3, 6])
def test_tables_trace_once(S, seed):
    """Probabilities are numbers, of a search (3 states) and of the alias method (6); which of them are zero is not."""
    rng = np.random.default_rng(seed)
    policy = mg.policies.softmax(S, 2)
    for _ in range(3):
        P, start = rng.dirichlet(np.ones(S), size=(S, 2)), rng.dirichlet(np.ones(S))
        table = mg.environments.tabular(P, rng.normal(size=(S, 2)), start)
        assert_right(mg.Problem(table, policy, 3), rng.normal(size=2 * S), {"SF": E.reward_to_go()})
    assert memo.size() == 1
    assert_right(
        mg.Problem(mg.environments.tabular(P, rng.normal(size=(S, 2)), np.eye(S)[1]), policy, 3),
        rng.normal(size=2 * S),
        {"SF": E.reward_to_go()},
    )
    assert memo.size() == 2


def test_every_estimator_is_remembered_with_its_numbers(seed):
    """Equal constants share a place in a kernel, and others do not: which are equal is part of the structure."""
    rng = np.random.default_rng(seed)
    lq = mg.environments.linear_quadratic(rng.normal(size=(2, 2)) / 3, rng.normal(size=(2, 1)), np.eye(2), [[0.1]])
    x = mg.Problem(lq, mg.policies.linear_gaussian(2, 1, std=0.3), 4)
    theta = rng.normal(size=2) / 5
    for name, e in {**unbiased(), **planted()}.items():
        for shift in (0.0, 0.1):
            assert_right(x, theta + shift, {name: e})
    assert memo.size() <= len({**unbiased(), **planted()})
    assert fitted()
    pairs = [(E.evolution_strategies(a), E.evolution_strategies(b)) for a, b in ((0.1, 0.2), (0.1, 0.1), (0.3, 0.4))]
    memo.forget()
    kernels = [assert_right(x, theta, {"A": a, "B": b}).kernel for a, b in pairs]
    assert memo.size() == 2 and kernels[0] == kernels[2] != kernels[1]


def test_what_only_data_reads_is_read_by_data_alone():
    """The attributes that are left out of structures are not there while an estimator is traced."""

    def without(x):
        """Return a copy whose attributes that only `data` should read raise when they are used."""
        if not dataclasses.is_dataclass(x) or isinstance(x, type) or not type(x).__module__.startswith("mcgrad."):
            return tuple(map(without, x)) if type(x) is tuple else x
        copy = object.__new__(type(x))
        for f in dataclasses.fields(x):
            value = getattr(x, f.name)
            hidden = f.name in getattr(x, "only_data", ())
            object.__setattr__(copy, f.name, _hidden(value) if hidden else without(value))
        return copy

    lq = mg.environments.linear_quadratic(np.eye(2) / 2, [[1.0], [0.5]], np.eye(2), [[0.1]])
    x, theta, count = mg.Problem(lq, mg.policies.linear_gaussian(2, 1, std=0.3), 4), [0.1, 0.2], 0
    more = {
        "iw": E.importance_weighted([0.1, 0.1], "per decision", clip=2.0),
        "iw, trajectory": E.importance_weighted([0.1, 0.1], clip=2.0),
        "clipped": E.clipped_ratio([0.1, 0.1]),
        "es": E.evolution_strategies(0.1),
        "differences": E.finite_differences([0.1, 0.2], 2),
        "pes": E.persistent_evolution_strategies(0.1, 2, truncated=True),
        "group": E.standardised(4, epsilon=0.1),
        "gae": E.generalized_advantage(0.5),
        "short": E.short_horizon(2),
        "graph": E.computation_graph([0], times=[0, 1]),
        "hvp": E.score_hessian_vector_product([1.0, 0.5], 2.0),
        "natural": E.natural(E.reward_to_go(mg.baselines.fitted_value(64)), np.eye(2)),
        "optimal": E.score_function(mg.baselines.optimal_over_time()),
    }
    for name, e in prepare({**unbiased(), **more}).items():
        expected = written(x, theta, e, e)
        count += bool(getattr(e, "only_data", ()) or getattr(getattr(e, "baseline", None), "only_data", ()))
        assert written(x, theta, e, without(e)) == expected, name
    assert count > 15
    # The check sees one that reads what it says it does not.
    wrong = Liar(2.0)
    with pytest.raises(Exception, match="hidden"):
        written(x, theta, wrong, without(wrong))


def written(x, theta, e, traced_as):
    """Return the kernel of an estimator that is traced as another one, with the data of the first."""
    data = Data(x, [e.data(x, x.theta(theta))])
    return _written(x, traced(x, theta, {"": traced_as}, data), {"": traced_as}, None).kernel


def _hidden(value):
    if value is None or isinstance(value, tuple):  # what may be asked for: is it there, is it one or many
        return value

    return Hidden()


class Hidden:
    """What raises whatever one does with it."""

    def _raise(self, *_, **__):
        raise AssertionError("hidden")

    __getattr__ = __getitem__ = __len__ = __iter__ = __bool__ = __float__ = __array__ = __eq__ = __lt__ = __gt__ = (
        _raise
    )
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __pow__ = __neg__ = (
        _raise
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Liar(E.Estimator):
    """Says that only `data` reads its factor, and reads it when it is traced."""

    factor: float
    only_data = ("factor",)

    def step(self, c, x, carry):
        return carry, tuple(self.factor * z for z in x.score)


Liar.__module__ = "mcgrad.estimators.liar"


# ---- warnings and refusals are those of a problem that is traced


def test_warnings_are_said_of_every_problem():
    for _ in range(2):
        with pytest.warns(mg.DiscontinuityWarning, match="no derivative sees"):
            gradient_program(flat(), [0.3], {"PW": E.reparameterization()})
    for _ in range(2):
        jumps = dataclasses.replace(problem().environment, discontinuous="it jumps")
        with pytest.warns(mg.DiscontinuityWarning, match="it jumps"):
            gradient_program(dataclasses.replace(problem(), environment=jumps), [0.3], BOTH)
    assert memo.size() == 2


def flat():
    policy = mg.Policy(
        states=1,
        actions=1,
        noises=1,
        parameters=("threshold",),
        eta=lambda p, theta, s: (mg.where(s[0] > theta[0], 1.0, 0.0),),
        sample=lambda p, eta, e: (eta[0] + e[0],),
    )
    return mg.Problem(problem().environment, policy, 3)


def test_a_policy_without_a_density_is_refused_though_its_structure_is_known():
    """The std of a component is a number, and with 0 its noise does not move it."""

    def policy(std):
        return mg.Policy(
            states=1,
            actions=1,
            noises=1,
            parameters=("k",),
            params={"std": std},
            eta=lambda p, theta, s: (theta[0] * s[0],),
            sample=lambda p, eta, e: (eta[0] + p.std * e[0],),
            score=lambda p, eta, a, e: (e[0] / p.std,),
        )

    environment = problem().environment
    for std in (0.3, 0.2):
        gradient_program(mg.Problem(environment, policy(std), 3), [0.1], {"SF": E.score_function()})
    with pytest.raises(ValueError, match="no score function here"):
        gradient_program(mg.Problem(environment, policy(0.0), 3), [0.1], {"SF": E.score_function()})
    assert memo.size() == 1


# ---- rollouts, memory


def test_rollouts_of_another_length_are_found():
    for T in (3, 5):
        x = problem(horizon=T)
        found = rollout_program(x, [0.1])
        memo_size = memo.size()
        memo.forget()
        expected = rollout_program(x, [0.1])
        assert found.kernel == expected.kernel and found.kernel.outputs == expected.kernel.outputs
        assert np.array_equal(found.rows, expected.rows) and memo_size == 1
    a, b = (mg.rollout(problem(horizon=T), [0.1], 4, machine="numpy") for T in (3, 5))
    assert np.array_equal(a.states, b.states[:, :4])


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(memo, "MOST", 20)

    def run(k):
        gradient_program(problem(lambda p, s, a, w: (s[0] * k + a[0],)), [0.1], {"SF": E.score_function()})

    for k in range(23):
        run(float(k))
    assert memo.size() == 20
    tracemalloc.start()
    try:
        for _ in range(2):  # now nothing is new
            for k in range(20):
                gradient_program(problem(std=0.1 + k), [0.1 * k], BOTH)
            gc.collect()
            size = tracemalloc.get_traced_memory()[0]
        for k in range(200):
            gradient_program(problem(std=0.1 + k), [0.1 * k], BOTH)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - size < 100_000
    finally:
        tracemalloc.stop()
