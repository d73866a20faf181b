"""The examples run, and say what is right: two estimators that share nothing but the problem agree on the gradient."""

import importlib.util
import pathlib
import re
import subprocess
import sys

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


def test_an_estimator(capsys):
    """Exact and measured moments of one's own agree within exact standard errors, and a tenth too much is seen."""
    count = 200_000
    found = example("an_estimator").main(count)
    assert len(found) == 6 and "bias" in capsys.readouterr().out
    for name, (x, y) in found.items():
        varies = x.variance > 1e-12 * x.variance.max()
        far = np.abs(y.mean - x.mean)[varies] / x.stderr(count)[varies]
        assert far.max() < 5, name
        error = x.variance_stderr(count)[varies]
        assert np.all(np.abs(y.variance - x.variance)[varies] < 5 * error), name
        assert np.any(np.abs(1.1**2 * y.variance - x.variance)[varies] > 5 * error), name


def test_a_study_and_its_figure(tmp_path):
    """From another folder, by the command line; the exact variances are where the measured ones are."""
    options = {"cwd": tmp_path, "check": True, "capture_output": True, "text": True}
    file = str(FOLDER / "a_study.py")
    said = subprocess.run(
        [sys.executable, "-m", "mcgrad", "study", file, "--quick", "--results", str(tmp_path)], **options
    )
    worst = float(re.search(r"at worst (.*) standard errors", said.stdout)[1])
    assert worst < 5
    subprocess.run(
        [sys.executable, "-m", "mcgrad", "figure", file, "--results", str(tmp_path), "--out", str(tmp_path)], **options
    )
    assert [x.stat().st_size > 5000 for x in tmp_path.rglob("a_study.p*")] == [True, True]
