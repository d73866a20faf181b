"""The examples run, and say what is right: two estimators that share nothing but the problem agree on the gradient."""

import importlib.util
import pathlib

import numpy as np
import pytest

import mcgrad as mg

FOLDER = pathlib.Path(__file__).parent.parent / "examples"


def example(name):
    """Return the module of an example."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def agree(found):
    one, other = found["reward to go"], found["pathwise"]
    return bool(np.all(np.abs(one.mean - other.mean) < 5 * np.hypot(one.stderr, other.stderr)))


def test_an_environment(capsys):
    with pytest.warns(mg.DiscontinuityWarning, match="mountain car.*the wall on the left"):
        found = example("an_environment").main(20_000)
    assert agree(found) and "total variance" in capsys.readouterr().out


def test_a_policy():
    assert agree(example("a_policy").main(20_000))
