"""The arrows between the rooms stay one-way."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent

# Room -> what it must not import (directly, from anywhere in its files).
FORBIDDEN = {
    "mcgrad/compiler": [
        "mcgrad." + x
        for x in (
            "problem",
            "estimators",
            "environments",
            "policies",
            "measure",
            "moments",
            "exact",
            "kernel",
            "baselines",
            "study",
        )
    ],
    "mcgrad/exact/lq": [
        "mcgrad.compiler",
        "mcgrad.measure",
        "mcgrad.run",
        "mcgrad.rollouts",
        "mcgrad.moments",
        "mcgrad.kernel",
        "mcgrad.estimators",
        "mcgrad.environments",
        "mcgrad.policies",
        "mcgrad.problem",
        "mcgrad.baselines",
        "numba",
    ],
    "mcgrad/exact/tabular": [
        "mcgrad.compiler",
        "mcgrad.measure",
        "mcgrad.run",
        "mcgrad.rollouts",
        "mcgrad.moments",
        "mcgrad.kernel",
        "mcgrad.estimators",
        "mcgrad.environments",
        "mcgrad.policies",
        "mcgrad.problem",
        "mcgrad.baselines",
        "numba",
    ],
    "mcgrad/exact": [
        "mcgrad.compiler",
        "mcgrad.measure",
        "mcgrad.run",
        "mcgrad.rollouts",
        "mcgrad.moments",
        "mcgrad.kernel",
        "numba",
    ],
    "mcgrad/power_sums.py": [
        "mcgrad.problem",
        "mcgrad.estimators",
        "mcgrad.environments",
        "mcgrad.exact",
        "mcgrad.kernel",
    ],
    "mcgrad/check": ["mcgrad.compare"],
    "mcgrad/optimizers.py": ["mcgrad.problem", "mcgrad.estimators", "mcgrad.kernel", "mcgrad.run", "mcgrad.exact"],
    "mcgrad/ascent.py": ["mcgrad.compare", "mcgrad.check", "mcgrad.study"],
    "mcgrad/cost.py": ["mcgrad.compare", "mcgrad.check"],
    "mcgrad/pilots.py": ["mcgrad.compare", "mcgrad.check", "mcgrad.exact"],
    "mcgrad/compare/measuring.py": ["mcgrad.exact", "mcgrad.check", "mcgrad.compare"],
    "mcgrad/intervals.py": [
        "mcgrad.power_sums",
        "mcgrad.moments",
        "mcgrad.problem",
        "mcgrad.compiler",
        "mcgrad.kernel",
        "numba",
    ],
    "mcgrad/precision.py": [
        "mcgrad.problem",
        "mcgrad.estimators",
        "mcgrad.exact",
        "mcgrad.kernel",
        "mcgrad.moments",
        "numba",
    ],
    "mcgrad/moments.py": [
        "mcgrad.problem",
        "mcgrad.estimators",
        "mcgrad.environments",
        "mcgrad.exact",
        "mcgrad.kernel",
    ],
    "mcgrad/study.py": ["mcgrad.compiler", "mcgrad.kernel"],
    "mcgrad/estimators": [
        "mcgrad.environments",
        "mcgrad.policies",
        "mcgrad.measure",
        "mcgrad.run",
        "mcgrad.rollouts",
        "mcgrad.kernel.program",
        "numba",
    ],
    "mcgrad/environments": [
        "mcgrad.estimators",
        "mcgrad.policies",
        "mcgrad.measure",
        "mcgrad.run",
        "mcgrad.rollouts",
        "mcgrad.compiler.simd",
        "numba",
    ],
    "figures": ["mcgrad", "numba", "studies"],
}


# What is made of traced graphs is no witness of the kernels, but of their noise, simulation and statistics.
FORBIDDEN["mcgrad/exact/recursion"] = [
    *(
        f"mcgrad.{x}"
        for x in ("measure", "run", "rollouts", "moments", "compare", "check", "exact.problems", "exact.finite")
    ),
    "mcgrad.exact.lq",
    "mcgrad.exact.tabular",
    "numba",
]
TRACED = ROOT / "mcgrad" / "exact" / "recursion"


def imports(path):
    """Return the absolute names of all modules and objects that a file imports."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join(base + (node.module.split(".") if node.module else []))
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def files(room):
    path = ROOT / room
    found = [path] if path.is_file() else sorted(path.rglob("*.py"))
    return [x for x in found if room != "mcgrad/exact" or TRACED not in x.parents]


@pytest.mark.parametrize("room", FORBIDDEN)
def test_arrows_are_one_way(room):
    assert files(room)
    for path in files(room):
        for name in imports(path):
            for forbidden in FORBIDDEN[room]:
                assert name != forbidden and not name.startswith(forbidden + "."), f"{path.name} imports {name}"


def test_the_check_sees_relative_imports():
    found = imports(ROOT / "mcgrad" / "run.py")
    assert {"mcgrad.power_sums", "mcgrad.compiler.backends", "mcgrad.kernel.program.gradient_program", "numpy"} <= found


def test_the_public_names_exist():
    import mcgrad

    assert all(hasattr(mcgrad, name) for name in mcgrad.__all__)
    for room in (mcgrad.environments, mcgrad.policies, mcgrad.estimators):
        assert all(hasattr(room, name) for name in room.__all__)


def test_importing_mcgrad_is_quick_to_do_little():
    """Neither Numba nor anything that draws is loaded before it is needed."""
    import subprocess
    import sys

    code = "import sys, mcgrad; print(sorted({'numba', 'seaborn', 'matplotlib', 'pandas', 'scipy'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]", out.stdout
