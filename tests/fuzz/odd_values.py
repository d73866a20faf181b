"""Things that are no good argument for most functions, and the smallest of problems for those that are."""

import datetime
import decimal
import fractions

import numpy as np

import mcgrad as mg

E, P, G, B = mg.environments, mg.policies, mg.estimators, mg.baselines
LQ = E.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.01]])
GAUSSIAN = P.linear_gaussian(1, 1, std=0.5)
PROBLEM, THETA = mg.Problem(LQ, GAUSSIAN, 2), np.array([-0.4])
TABLE = mg.Problem(E.random_walk(3), P.softmax(3, 2), 2)
ONE = mg.Problem(E.quadratic_cost(1.0), P.gaussian(1), 1)
SF, PW = G.score_function(), G.reparameterization()


class Awkward:
    """Raises in all that is asked of it."""

    def __array__(self, *_, **__):
        raise RuntimeError("no array")

    def __len__(self):
        raise RuntimeError("no length")

    def __repr__(self):
        return "<awkward>"


def odd_values():
    """Return things that are no good argument for most."""
    numbers = [
        True,
        False,
        -1,
        0,
        1,
        2,
        3,
        65,
        10**30,
        -(10**30),
        2**63,
        2**64,
        10**400,
        0.5,
        1.5,
        -0.0,
        1e-320,
        1e308,
        -1e308,
    ]
    numbers += [
        np.nan,
        np.inf,
        -np.inf,
        1j,
        complex("nan"),
        np.float32(0.5),
        np.int8(3),
        np.uint64(2**63),
        np.bool_(True),
    ]
    numbers += [
        fractions.Fraction(1, 3),
        decimal.Decimal("0.1"),
        decimal.Decimal("NaN"),
        np.longdouble(2),
        np.float16(1),
    ]
    texts = ["", "x", "1.0", "all", "common", b"x", bytearray(b"x"), "lambda: 0", "\0", "ſ", "x" * 10_000]
    others = [
        None,
        object(),
        object,
        int,
        len,
        lambda: 0,
        lambda *a: a,
        lambda p, s: s,
        NotImplemented,
        Ellipsis,
        Awkward(),
    ]
    others += [slice(None), range(3), iter([1.0]), (x for x in (1, 2)), datetime.date(2020, 1, 1), mg, ValueError("x")]
    boxes = [
        [],
        (),
        {},
        set(),
        [1],
        [1.0, 2.0],
        [[1.0], [2.0, 3.0]],
        [[]],
        [[[1.0]]],
        [None],
        ["x"],
        [np.nan],
        [1j],
        [[0.5]],
    ]
    boxes += [
        {"a": 1.0},
        {"a": SF},
        {1: SF},
        {None: None},
        {"": SF},
        {"a": None},
        {"a b": 1.0},
        (1, 2),
        ("a",),
        [SF],
        [[10**400]],
    ]
    arrays = [
        np.zeros(0),
        np.zeros((0, 3)),
        np.ones(3),
        np.ones((2, 2)),
        np.ones((1, 1)),
        -np.eye(1),
        np.array([np.nan]),
    ]
    arrays += [
        np.array([[np.inf]]),
        np.array([1j]),
        np.array(["a"]),
        np.array([None]),
        np.array([object()]),
        np.array([1, "a"]),
    ]
    arrays += [np.ma.array([1.0], mask=[True]), np.ma.array([[0.5]], mask=False), np.array([10**400], dtype=object)]
    arrays += [
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.array([(1, 2.0)], dtype="i4,f8"),
        np.array(0.5),
        np.array([True]),
    ]
    arrays += [
        np.ones((1,) * 20),
        np.array([1e308, -1e308]),
        np.full((2, 2), 1e308),
        np.array([[1.0, 2.0], [3.0, 4.0]]),
    ]
    ours = [
        PROBLEM,
        TABLE,
        ONE,
        LQ,
        GAUSSIAN,
        TABLE.policy,
        E.cart_pole(),
        SF,
        PW,
        G.leave_one_out(2),
        G.mixture(SF, PW),
    ]
    ours += [
        B.value(),
        B.optimal_over_time(),
        B.fitted_value(16),
        mg.critics.exact(),
        mg.designs.sobol(4),
        mg.Problem,
        SF.step,
    ]
    ours += [
        G.finite_differences(0.1, 1),
        G.importance_weighted(THETA),
        G.clipped_ratio(THETA),
        G.measure_valued(),
        G.natural(SF),
    ]
    return numbers + texts + others + boxes + arrays + ours
