"""Kernels are remembered by structure: numbers never trace again, and nothing that matters is ever missed."""

import collections
import dataclasses
import functools
import gc
import math
import os
import tracemalloc
import types

import numpy as np
import pytest
from test_unbiased import fitted, planted, unbiased

import mcgrad as mg
from mcgrad import estimators as E
from mcgrad.baselines.baseline import Constant
from mcgrad.compiler.structure import Unknown, Walk
from mcgrad.kernels import memo
from mcgrad.kernels.numbers import Data
from mcgrad.kernels.program import _written, gradient_program, rollout_program, traced
from mcgrad.prepare import prepare

BOTH = {"SF": E.reward_to_go(), "PW": E.reparameterization()}
SCALE = 1.0
TABLE = [1.0, 2.0]


@pytest.fixture(autouse=True)
def nothing_remembered():
    memo.forget()


def problem(step=None, reward=None, std=0.3, horizon=3, discount=1.0, **params):
    """Return a small problem, built anew, of functions of one's own."""
    environment = mg.Environment(
        states=1,
        actions=1,
        noises=1,
        initial_noises=1,
        params={"k": 0.9} | params,
        init=lambda p, z: (z[0],),
        step=step or (lambda p, s, a, w: (p.k * s[0] + a[0] + 0.1 * w[0],)),
        reward=reward or (lambda p, s, a, s_next, w: -(s[0] ** 2)),
    )
    return mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=std), horizon, discount)


def fresh(problem, theta, estimators):
    """Return the program of a problem that is traced anew, whatever is remembered."""
    kept = dict(memo._known)
    memo.forget()
    program = gradient_program(problem, theta, estimators)
    memo._known.update(kept)
    return program


def assert_right(problem, theta=(-0.4,), estimators=None):
    """Assert that what is remembered gives the program that tracing anew does; return it."""
    estimators = prepare(estimators or BOTH)
    found, expected = (f(problem, theta, estimators) for f in (gradient_program, fresh))
    assert found.kernel == expected.kernel and found.horizon == expected.horizon and found.data == expected.data
    for name in ("theta", "p", "c", "rows"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    return found


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


# ---- what matters is never missed


def make(step):
    return problem(step=step)


def changes():
    """Yield (name, function) pairs: function(version) -> a step whose meaning depends on the version."""

    def closure(v):
        factor = 1.0 + v
        return lambda p, s, a, w: (factor * s[0] + a[0],)

    def code(v):
        return (lambda p, s, a, w: (s[0] + a[0],)) if v == 0 else (lambda p, s, a, w: (s[0] - a[0],))

    def constant_in_code(v):
        space = {}
        exec(f"def step(p, s, a, w):\n    return ({1.0 + v} * s[0] + a[0],)", space)
        return space["step"]

    def default(v):
        def step(p, s, a, w, factor=1.0 + v):
            return (factor * s[0] + a[0],)

        return step

    def keyword(v):
        def step(p, s, a, w, *, factor=1.0 + v):
            return (factor * s[0] + a[0],)

        return step

    def nested(v):
        def step(p, s, a, w):
            def inner():
                return (1.0 + v) * s[0]

            return (inner() + a[0],)

        return step

    def helper(v):
        def scaled(x):
            return (1.0 + v) * x

        return lambda p, s, a, w: (scaled(s[0]) + a[0],)

    def partial(v):
        return functools.partial(lambda factor, p, s, a, w: (factor * s[0] + a[0],), 1.0 + v)

    def method(v):
        return Holder(1.0 + v).step

    def callable_object(v):
        return Called(1.0 + v)

    def of_class(v):
        cls = type("Anew", (), {"factor": 1.0 + v, "step": lambda self, p, s, a, w: (self.factor * s[0] + a[0],)})
        return cls().step

    def static(v):
        cls = type("Static", (), {"step": staticmethod(closure(v))})
        return cls.step

    def array(v):
        table = np.array([1.0, 1.0 + v])
        return lambda p, s, a, w: (table[1] * s[0] + a[0],)

    def in_a_dict(v):
        numbers = {"factor": {"deep": [0.0, (1.0 + v,)]}}
        return lambda p, s, a, w: (numbers["factor"]["deep"][1][0] * s[0] + a[0],)

    def named_tuple(v):
        point = Point(1.0 + v, 0)
        return lambda p, s, a, w: (point.x * s[0] + a[0],)

    def sign_of_zero(v):
        zero = -0.0 if v else 0.0
        return lambda p, s, a, w: (math.copysign(1.0, zero) * s[0] + a[0],)

    def whole(v):
        n = 2 if v else 2.0
        return lambda p, s, a, w: (s[0] * (3 if isinstance(n, int) else 4) + a[0],)

    def order(v):
        names = {"b": 1, "a": 2} if v else {"a": 2, "b": 1}
        return lambda p, s, a, w: (s[0] * next(iter(names.values())) + a[0],)

    def module(v):
        mine = types.ModuleType("a_module_of_mine")
        mine.factor = 1.0 + v
        space = {"mine": mine}
        exec("def step(p, s, a, w):\n    return (mine.factor * s[0] + a[0],)", space)
        return space["step"]

    yield from ((f.__name__, f) for f in (closure, code, constant_in_code, default, keyword, nested, helper, partial))
    yield from ((f.__name__, f) for f in (method, callable_object, of_class, static, array, in_a_dict, named_tuple))
    yield from ((f.__name__, f) for f in (sign_of_zero, whole, order, module))


class Holder:
    def __init__(self, factor):
        self.factor = factor

    def step(self, p, s, a, w):
        return (self.factor * s[0] + a[0],)


class Called:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, p, s, a, w):
        return (self.factor * s[0] + a[0],)


class Slotted:
    __slots__ = ("factor",)

    def __call__(self, p, s, a, w):
        return (self.factor * s[0] + a[0],)


Point = collections.namedtuple("Point", "x y")


@pytest.mark.parametrize(("name", "build"), list(changes()))
def test_another_meaning_is_another_kernel(name, build):
    texts = [assert_right(make(build(v))).kernel.text for v in (0, 1, 0)]
    assert texts[0] != texts[1] and texts[0] == texts[2]
    assert memo.size() == 2  # it is known, and was found again


def test_what_changes_in_place_is_noticed():
    """The same function object, and something that it reaches changes under its feet."""

    def check(x, change):
        before = assert_right(x).kernel.text
        change()
        after = assert_right(x).kernel.text
        assert before != after

    numbers = [1.0, 2.0]
    check(make(lambda p, s, a, w: (sum(numbers) * s[0] + a[0],)), lambda: numbers.append(3.0))
    holder = Holder(1.0)
    check(make(holder.step), lambda: setattr(holder, "factor", 2.0))
    called = Called(1.0)
    check(make(called), lambda: setattr(called, "factor", 2.0))
    slotted = Slotted()
    slotted.factor = 1.0
    check(make(lambda *x: slotted(*x)), lambda: setattr(slotted, "factor", 2.0))
    array = np.ones(2)
    check(make(lambda p, s, a, w: (array[1] * s[0] + a[0],)), lambda: array.__setitem__(1, 5.0))

    cls = type("Mutable", (), {"factor": 1.0, "__call__": lambda self, p, s, a, w: (self.factor * s[0] + a[0],)})
    check(make(cls()), lambda: setattr(cls, "factor", 2.0))

    def step(p, s, a, w):
        return (s[0] + a[0],)

    other = (lambda p, s, a, w: (s[0] - 2.0 * a[0],)).__code__
    check(make(step), lambda: setattr(step, "__code__", other))

    def with_default(p, s, a, w, factor=1.0):
        return (factor * s[0] + a[0],)

    check(make(with_default), lambda: setattr(with_default, "__defaults__", (2.0,)))


def test_globals_are_noticed(monkeypatch):
    def step(p, s, a, w):
        return (SCALE * s[0] + TABLE[1] * a[0],)

    x = make(step)
    texts = [assert_right(x).kernel.text]
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    texts.append(assert_right(x).kernel.text)
    monkeypatch.setitem(globals(), "TABLE", [1.0, 3.0])
    texts.append(assert_right(x).kernel.text)
    monkeypatch.undo()
    texts.append(assert_right(x).kernel.text)
    assert len(set(texts)) == 3 and texts[0] == texts[3]


def test_attributes_of_estimators_are_noticed():
    @dataclasses.dataclass(frozen=True, eq=False)
    class Scaled(E.Estimator):
        factor: float

        def step(self, c, x, carry):
            return carry, tuple(self.factor * z for z in x.score)

    texts = {assert_right(problem(), estimators={"": Scaled(f)}).kernel.text for f in (1.5, 2.5)}
    assert len(texts) == 2

    class OfConstant(Constant):
        """A baseline of one's own that reads what it inherited: what the library leaves out, it does not."""

        def value(self, c, x):
            return self.b * x.s[0]

    texts = {assert_right(problem(), estimators={"": E.reward_to_go(OfConstant(b))}).kernel.text for b in (1.5, 2.5)}
    assert len(texts) == 2


def test_numbers_of_the_problem_are_no_part_of_a_structure_and_so_no_estimator_may_read_them_unseen():
    nosy = E.custom(lambda c, x, later: (later, tuple(float(x.problem.horizon) * z for z in x.score)))
    for T in (3, 4):
        assert_right(problem(horizon=T), estimators={"": nosy})
    assert memo.size() == 0


@pytest.mark.parametrize(
    "source",
    [
        "import os\ndef step(p, s, a, w):\n    return (float(os.environ['MCGRAD_TEST_FACTOR']) * s[0] + a[0],)",
        "factor = 1.0\ndef step(p, s, a, w):\n    return (globals()['factor'] * s[0] + a[0],)",
        "import pathlib\ndef step(p, s, a, w):\n    return (float(pathlib.Path('x').exists()) * s[0] + a[0],)",
        "def step(p, s, a, w):\n    return (eval('1.0') * s[0] + a[0],)",
    ],
)
def test_what_cannot_be_known_is_traced_anew(source, monkeypatch):
    monkeypatch.setenv("MCGRAD_TEST_FACTOR", "1.0")
    space = {}
    exec(source, space)
    before = assert_right(make(space["step"])).kernel.text
    assert memo.size() == 0
    if "environ" in source:
        monkeypatch.setenv("MCGRAD_TEST_FACTOR", "2.0")
        assert assert_right(make(space["step"])).kernel.text != before


def test_structures():
    def of(x):
        return Walk().of(x)

    same = [(1.5, 1.5), ([1, (2,)], [1, (2,)]), (np.arange(3), np.arange(3)), ({"a": 1}, {"a": 1}), (np.sin, np.sin)]
    assert all(of(a) == of(b) for a, b in same)
    apart = [
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ("1.0", 1.0),
        ([1], (1,)),
        (np.arange(3), np.arange(3.0)),
        (np.sin, np.cos),
    ]
    apart += [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (np.zeros((1, 4)), np.zeros((4, 1))),
        (math.sin, math.cos),
        (b"a", "a"),
    ]
    assert all(of(a) != of(b) for a, b in apart)
    endless = []
    endless.append(endless)
    assert of(endless) == of(endless)
    for unknown in (iter([]), object(), gc, os.getpid, os.environ):
        with pytest.raises(Unknown):
            of(unknown)
    with pytest.raises(Unknown):
        of(list(map(object.__new__, [type("Some", (), {})] * 30_000)))


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
        gradient_program(make(lambda p, s, a, w: (s[0] * k + a[0],)), [0.1], {"SF": E.score_function()})

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
