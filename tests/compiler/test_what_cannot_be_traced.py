"""What cannot be traced says so, names the line, and says what to write instead."""

import contextlib
import datetime
import functools
import math
import os
import random
import secrets
import time
import uuid
from time import perf_counter

import graphs
import numpy as np
import pytest
import scipy.special
import scipy.stats
from numpy.random import default_rng

from mcgrad.compiler.trace import Graph, TraceError, Tracer, apply


def branches(s):
    if s[0] > 0:
        return s[1]
    return s[2]


def loops(s):
    x = s[0]
    while x < 1:
        x = x + 1
    return x


def fills_an_array(s):
    out = np.zeros(2)
    out[0] = s[0]
    return out


def asserts(s):
    assert s[0] > 0
    return s[0]


GENERATOR = np.random.default_rng(0)
NORMAL = scipy.stats.norm(1.0, 2.0)


def draws_with_random(s):
    from random import gauss

    return s[0] + gauss(0, 1)


def swallows(s):
    try:
        return s[1] if s[0] > 0 else s[2]
    except Exception:
        return 0.0


def catches_division_by_zero(s):
    try:
        return 1.0 / s[0]
    except (TypeError, ZeroDivisionError):
        return 0.0


def catches_everything(s):
    try:
        return math.exp(s[0])
    except:  # noqa: E722
        return 0.0


def suppresses(s):
    with contextlib.suppress(OverflowError):
        return s[0] ** 200
    return 0.0


def draws_of_the_system(s):
    from os import urandom

    return s[0] + urandom(1)[0]


def distribution(s):
    return s[0] * scipy.stats.norm.cdf(0.3) + scipy.stats.norm(0.0, 1.0).rvs()


INSTEAD_OF_IF = r"Write where\(condition, a, b\) instead of `if`"
NO_NUMBER = r"has no (numerical|integer) value yet"
REFUSED = {
    "if": (branches, INSTEAD_OF_IF),
    "while": (loops, INSTEAD_OF_IF),
    "assert": (asserts, INSTEAD_OF_IF),
    "and": (lambda s: s[0] > 0 and s[1], INSTEAD_OF_IF),
    "or": (lambda s: (s[0] > 0) or s[1], INSTEAD_OF_IF),
    "not": (lambda s: not s[0], INSTEAD_OF_IF),
    "chain": (lambda s: 0 < s[0] < 1, INSTEAD_OF_IF),
    "in": (lambda s: s[0] in (1, 2), INSTEAD_OF_IF),
    "sorted": (lambda s: sorted(s)[0], INSTEAD_OF_IF),
    "array of comparisons": (lambda s: np.where(np.array(s) > 0, 1.0, 0.0), "compare their elements one by one"),
    "range(int())": (lambda s: sum(1.0 for _ in range(int(s[0]))), NO_NUMBER),
    "range": (lambda s: list(range(s[0])), NO_NUMBER),
    "index": (lambda s: s[s[0]], NO_NUMBER),
    "float()": (lambda s: float(s[0]), NO_NUMBER),
    "round()": (lambda s: round(s[0], 2), r"round\(x\) and np.round\(x, digits\) can be traced"),
    "math.gamma": (lambda s: math.gamma(s[0]), r"math.gamma cannot be traced. What can: arithmetic.*lgamma"),
    "np.spacing": (lambda s: np.spacing(s[0]), r"np.spacing cannot be traced"),
    "scipy.special": (lambda s: scipy.special.j0(s[0]), r"scipy.special.j0 cannot be traced"),
    "options": (lambda s: np.sin(s[0], dtype=float), r"np.sin: got an unexpected keyword argument 'dtype'"),
    "too few": (lambda s: math.atan2(s[0]), r"math.atan2: missing 1 required positional argument"),
    "interp": (lambda s: np.interp(s[0], [1.0, 0.0], [1.0, 2.0]), "interp: expected xp in increasing order"),
    "select": (lambda s: np.select([s[0] > 0], [1, 2]), "select: expected as many choices as conditions, got 2 and 1"),
    "polygamma": (lambda s: scipy.special.polygamma(3, s[0]), "expected a constant order of 0, 1 or 2, got 3"),
    "math.remainder": (lambda s: math.remainder(s[0], 2.0), "math.remainder cannot be traced"),
    "np.array of floats": (lambda s: np.array(s, dtype=float), NO_NUMBER),
    "filling a float array": (fills_an_array, r"build a tuple or a list instead of filling an array"),
    "reduce": (lambda s: np.sum(s[0]), r"np.add.reduce of a single number cannot be traced"),
    "& of numbers": (lambda s: s[0] & s[1], r"combine conditions such as \(a > 0\) & \(b < 1\)"),
    "~ of a number": (lambda s: ~s[0], r"combine conditions such as \(a > 0\) & \(b < 1\)"),
    "complex128": (lambda s: np.complex128(1j) * s[0], "expected a real number in double precision, got complex128"),
    "complex": (lambda s: 1j * s[0], "expected a real number in double precision, got complex"),
    "float32": (lambda s: np.float32(0.1) * s[0], "expected a real number in double precision, got float32"),
    "a dict": (lambda s: {s[0]: 1}, "cannot be looked up in a dict"),
    "a cache": (lambda s: functools.lru_cache(lambda x: x)(s[0]), "cannot be looked up in a dict"),
    "f-string": (lambda s: float(f"{s[0]:.3f}"), "has no text"),
    "str": (lambda s: len(str(s[0])) * s[0], "has no text"),
    "repr": (lambda s: len(repr(s)) * s[0], "has no text"),
    "!r": (lambda s: len(f"{s[0]!r}") * s[0], "has no text"),
    "type": (lambda s: s[0] if type(s[0]) is float else s[1], r"isinstance\(x, float\) is True"),
    "a method of float": (lambda s: s[0].is_integer(), ".is_integer of a number that is not known yet"),
    "swallowed": (swallows, INSTEAD_OF_IF),
    "swallowed by hasattr": (lambda s: s[0] if hasattr(s[0], "hex") else s[1], ".hex of a number"),
    "ZeroDivisionError": (catches_division_by_zero, "caught by `except ZeroDivisionError` in catches_division_by_zero"),
    "except:": (catches_everything, "caught by `except` in catches_everything"),
    "suppress": (suppresses, "caught by `except OverflowError` in suppresses"),
    "None": (lambda s: np.minimum(s[0], None), "expected a number, got NoneType"),
    "string": (lambda s: np.where(s[0] > 0, "a", "b"), "expected a number, got str"),
    "np.random": (lambda s: s[0] + np.random.normal(), "standard normals that it is given"),  # noqa: NPY002
    "generator": (lambda s: s[0] + GENERATOR.normal(), "standard normals that it is given"),
    "random": (lambda s: s[0] + random.random(), "standard normals that it is given"),
    "default_rng": (lambda s: s[0] + default_rng(0).normal(), "random numbers come from outside"),
    "os.urandom": (lambda s: s[0] + os.urandom(1)[0], "random numbers of the system come from outside"),
    "from os import": (draws_of_the_system, "random numbers of the system come from outside"),
    "secrets": (lambda s: s[0] + secrets.randbelow(9), "random numbers of the system come from outside"),
    "uuid": (lambda s: s[0] + uuid.uuid4().int, "random numbers of the system come from outside"),
    "time": (lambda s: s[0] + time.time(), "times of the clock come from outside"),
    "a function of time": (lambda s: s[0] + perf_counter(), "times of the clock come from outside"),
    "datetime": (lambda s: s[0] + datetime.datetime.now().timestamp(), "come from outside"),
    "rvs": (distribution, "random numbers come from outside"),
    "a frozen distribution": (lambda s: s[0] + NORMAL.rvs(), "random numbers come from outside"),
    "from random import": (draws_with_random, "standard normals that it is given"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_traced_says_what_to_write_instead(name):
    function, message = REFUSED[name]
    # After the line of the source, in which the message stands as well.
    said = rf"(?s)in {function.__name__}, .*test_what_cannot_be_traced.py:[0-9]+: [^\n]*\n.*{message}"
    with pytest.raises(TraceError, match=said):
        graphs.traced(function, 3)


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda s: s[5], IndexError),
        (lambda s: list(s[0]), TypeError),
        (lambda s: (lambda x, y: x)(*s[0]), TypeError),
        (lambda s: s[0] + None, TypeError),
        (lambda s: s[0].shape, AttributeError),
        (lambda s: np.linalg.inv(np.array([[s[0], 1.0], [1.0, s[1]]])), TypeError),
        (lambda s: s[0] + 10**400, OverflowError),
    ],
)
def test_other_errors_are_those_of_python(function, error):
    """`mcgrad.calls.call` turns them into a TraceError that names the line."""
    with pytest.raises(error):
        graphs.traced(function, 3)


def test_equality_with_what_is_not_a_number_is_false():
    graph = Graph()
    x = graph.input("s0")
    assert (x == None) is False and (x == "a") is False and (x != None) is True  # noqa: E711
    assert isinstance(apply("==", x, 1.0), Tracer)
