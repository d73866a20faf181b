"""A short version of the fuzz of traced functions, and that it sees what it looks for."""

import numpy as np
import pytest
import traced

from mcgrad.compiler import known_functions, namespaces


def test_no_traced_function_is_silently_wrong():
    verdicts, _, wrong = traced.run(100, seed=0)
    assert not wrong, "\n\n".join(f"{text}\n{what}" for text, what in wrong)
    assert verdicts["agrees"] > 50 and verdicts["refused"] > 10


FUNCTION = "def f(s):\n    return ({}, s[1] // 0.7, min(s))\n"


@pytest.mark.parametrize(
    "planted",
    [
        lambda patch: patch.setitem(known_functions.OF_PYTHON, "min", known_functions.OF_PYTHON["max"]),
        lambda patch: patch.setitem(known_functions.NAMES, "tanh", lambda x: x * 1.0),
        lambda patch: patch.setitem(traced.on_numpy.names.__globals__["FUNCTIONS"], "floor_divide", np.divide),
    ],
)
def test_a_planted_error_is_seen(planted, monkeypatch):
    monkeypatch.setattr(
        namespaces, "_of_builtins", namespaces._of_builtins.__wrapped__
    )  # what was made before is right
    planted(monkeypatch)
    verdict, _ = traced.judge(FUNCTION.format("math.tanh(s[0])"), "f", np.random.default_rng(1))
    assert verdict == "wrong"


@pytest.mark.parametrize(
    "odd",
    [
        "COUNT.append(1) or len(COUNT) * s[0]",
        "KEPT.append(s[0]) or KEPT[0]",
        "KEPT.append(-s[0]) or s[1] + KEPT[0]",
        "random.random() * s[0]",
        "time.time() * s[0]",
        "len(f'{s[0]}') * s[1]",
        "(s[0] if type(s[0]) is float else s[1])",
        "float(s[0])",
        "id(s[0]) % 3 * s[1]",
    ],
)
def test_what_a_kernel_cannot_do_is_refused(odd):
    verdict, _ = traced.judge(FUNCTION.format(odd), "f", np.random.default_rng(1))
    assert verdict == "refused"
