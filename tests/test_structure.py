"""What the meaning of a function depends on is never missed: another structure is another kernel."""

import collections
import dataclasses
import functools
import gc
import math
import os
import types

import numpy as np
import pytest
from remembering import BOTH, assert_right, fresh, nothing_remembered, problem  # noqa: F401

from mcgrad import estimators as E
from mcgrad.baselines.baseline import Constant
from mcgrad.compiler.structure import Unknown, Walk
from mcgrad.kernels import memo

SCALE = 1.0
TABLE = [1.0, 2.0]


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
