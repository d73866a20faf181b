"""A short run of the fuzzer of the public interface (`tests/fuzz/public_api.py`), and what it must find."""

import importlib.util
import pathlib
import time

import pytest

PATH = pathlib.Path(__file__).with_name("public_api.py")
spec = importlib.util.spec_from_file_location("public_api", PATH)
public_api = importlib.util.module_from_spec(spec)
spec.loader.exec_module(public_api)


def test_odd_arguments_are_value_errors(seed):
    found, seen = public_api.faults(3000, seed)
    assert seen == 3000
    assert not found, "\n".join(f"{name}({example}): {wrong}" for (name, wrong), example in found.items())


def test_every_public_function_is_a_target():
    """All that the rooms and the library itself offer, but for what takes no arguments."""
    import inspect

    import mcgrad as mg

    names = " ".join(public_api.targets())
    for room in (mg, mg.estimators, mg.baselines, mg.environments, mg.designs, mg.exact, mg.policies, mg.optimizers):
        for name in getattr(room, "__all__", ("sobol", "latin_hypercube", "stratified_start")):
            function = getattr(room, name)
            # Classes of estimators are made by the functions; without arguments there is nothing to get wrong.
            if not inspect.isfunction(function) or not inspect.signature(function).parameters:
                continue
            assert name in names or name in FAMILIES, name


# Those that share their checks with another of their kind, or are not for users to call.
FAMILIES = {"as_baseline", "with_baseline", "quadratic_scalar", "mixture", "same_batch_mean", "network_weights"}
FAMILIES |= {"trajectory_control_variate", "value_gradient"}
FAMILIES |= {"check", "compare"}  # seconds each; their arguments have tests of their own
FAMILIES |= {"lookup", "stop_gradient", "where", "with_derivative"}  # for traced functions, see `traced.py`


def test_faults_are_found(monkeypatch):
    """An exception of another kind, a message that is empty, and no answer."""

    def wrong(x):
        if x is None:
            raise KeyError("x")
        if isinstance(x, str):
            raise ValueError
        return x

    assert "KeyError" in public_api.fault(wrong, {"x": None})
    assert public_api.fault(wrong, {"x": "a"}) == "a ValueError without a message"
    assert public_api.fault(wrong, {"x": 1}) is None
    monkeypatch.setattr(public_api, "SECONDS", 0.05)
    assert public_api.fault(time.sleep, {}) is not None
    assert public_api.fault(lambda: time.sleep(5), {}) == "no answer within 0.05 s"


@pytest.mark.parametrize("name", ["problem", "theta", "estimator"])
def test_exact_questions_name_the_argument(name):
    import mcgrad as mg

    good = {"problem": public_api.PROBLEM, "theta": public_api.THETA, "estimator": public_api.SF}
    for question in (mg.exact.variance, mg.exact.mean, mg.exact.optimal_over_time, mg.exact.scaling):
        with pytest.raises(ValueError, match=f"^{name}: expected"):
            question(**good | {name: object()})
