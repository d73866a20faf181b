"""Every public function says what it takes and what it returns; `mypy --strict` reads a user's program (tests/typing)."""

import ast
import inspect
import pathlib

import pytest

import mcgrad as mg

ROOMS = {
    "mcgrad": mg,
    **{
        name: getattr(mg, name)
        for name in (
            "baselines",
            "critics",
            "designs",
            "environments",
            "estimators",
            "exact",
            "noises",
            "optimizers",
            "policies",
        )
    },
    "heads": mg.policies.heads,
    "maps": mg.policies.maps,
}


def public(room):
    """Return the functions of a room that users call."""
    names = getattr(room, "__all__", None) or [x for x in vars(room) if not x.startswith("_")]
    found = {name: getattr(room, name) for name in names}
    functions = {k: f for k, f in found.items() if inspect.isfunction(f)}
    return {k: f for k, f in functions.items() if hasattr(room, "__all__") or f.__module__.startswith(room.__name__)}


@pytest.mark.parametrize("name", ROOMS)
def test_public_functions_have_types(name):
    bare = []
    for function, f in public(ROOMS[name]).items():
        signature = inspect.signature(f)
        missing = [k for k, x in signature.parameters.items() if x.annotation is inspect.Parameter.empty]
        if missing or signature.return_annotation is inspect.Signature.empty:
            bare.append((function, missing))
    assert not bare


def test_the_check_sees_a_bare_one():
    assert len(public(mg.estimators)) > 30
    assert inspect.signature(lambda x: x).return_annotation is inspect.Signature.empty


def without_a_result(text):
    """Return the names of the public functions at the top of a file that do not say what they return."""
    functions = [x for x in ast.parse(text).body if isinstance(x, ast.FunctionDef) and not x.name.startswith("_")]
    return [x.name for x in functions if x.returns is None]


def test_every_function_of_every_file_says_what_it_returns():
    files = pathlib.Path(mg.__file__).parent.rglob("*.py")
    assert not {path.name: bare for path in files if (bare := without_a_result(path.read_text()))}
    assert without_a_result("def told(x: int):\n    return x\n\n\ndef _own(x):\n    return x\n") == ["told"]
