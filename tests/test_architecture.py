"""Arrows between rooms go one way: for every room, what it may import, wherever in a file; and no file is in a circle."""

import ast
import functools
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent

# Room (a folder, or a file by itself) -> the rooms that it may import. What a room has no need of is not here: a new arrow is a
# decision. Theories are rooms of their own, and ask `exact` for what they have in common.
ALLOWED = {
    "__main__": "command",
    "archive": "records",
    "ascent": "archive printing validate",
    "baselines": "calls compiler environments per_step printing problem scan_types truth validate",
    "batches": "compiler estimators executors kernels power_sums problem run source validate",
    "behaviours": "estimators exact kernels policies printing problem validate",
    "calls": "compiler validate",
    "checks": (
        "calls compiler differences estimators exact kernels pilots precompile prepare problem rollouts run validate"
    ),
    "command": "checks comparison problem study study_command study_figure version",
    "comparison": (
        "baselines checks compiler costs critics csv_rows differences estimate estimators exact exact/recursion floor "
        "intervals kernels moments pilots power_sums precompile prepare problem provenance run text validate"
    ),
    "compiler": "",
    "continuing_problem": "environments exact kernels problem validate",
    "costs": "compiler estimators kernels pilots precompile prepare problem run validate",
    "csv_rows": "",
    "critics": "baselines compiler environments per_step policies printing problem scan_types truth validate",
    "designs": "kernels validate",
    "differences": "compiler estimators kernels problem run validate",
    "directional_problem": "calls compiler problem validate",
    "engines": "run validate",
    "environment": "parts printing validate",
    "environments": "compiler problem validate",
    "estimate": "intervals printing",
    "estimators": "baselines calls compiler critics per_step policies printing problem scan_types validate",
    "exact": (
        "baselines compiler critics environments estimators exact/linear_quadratic exact/one_step exact/recursion "
        "exact/tabular policies printing problem rollouts truth validate"
    ),
    "exact/linear_quadratic": "baselines critics environments estimators exact policies printing problem validate",
    "exact/one_step": "environments estimators exact policies problem",
    "exact/recursion": (
        "compiler environments estimators exact kernels per_step printing problem progress scan_types truth validate"
    ),
    "exact/tabular": "environments estimators exact policies printing problem",
    "executors": "validate",
    "fisher_information": "estimators kernels measurement printing problem validate",
    "fitting": "estimators moments power_sums problem run",
    "fixed": "",
    "floor": "estimators exact problem",
    "gym": "problem validate",
    "intervals": "validate",
    "gradient_ascent": (
        "ascent batches compiler differences estimators exact kernels optimizers per_step prepare problem progress run validate"
    ),
    "kernel_handle": "compiler estimators kernels prepare problem run validate",
    "kernels": "calls compiler estimators per_step problem scan_types validate",
    "mcgrad": (
        "ascent baselines behaviours checks comparison compiler continuing_problem costs critics designs "
        "directional_problem engines environments estimators exact fisher_information gradient_ascent kernel_handle kernels "
        "measurement moments noises optimizers policies precision problem rollouts targets version"
    ),
    "measurement": (
        "batches designs estimators fitting kernels moments power_sums precision prepare problem progress run source "
        "targets validate"
    ),
    "merge_rows": "",
    "moments": "archive estimate intervals power_sums printing source text validate",
    "noises": "compiler validate",
    "optimizers": "validate",
    "parts": "fixed printing validate",
    "per_step": "",
    "pilots": "baselines estimators fitting kernels prepare problem rollouts run truth",
    "policy": "parts printing validate",
    "policies": "calls compiler problem validate",
    "power_sums": "compiler",
    "precision": "compiler kernels run validate",
    "precompile": "compiler run",
    "printing": "",
    "prepare": "estimators exact truth validate",
    "problem": "environment policy printing validate",
    "progress": "compiler validate",
    "provenance": "version",
    "records": "",
    "rollouts": "kernels printing problem run validate",
    "run": "compiler designs estimators executors kernels power_sums problem validate",
    "scan_types": "compiler problem",
    "shards": "merge_rows records",
    "source": "version",
    "study": (
        "csv_rows estimators exact executors measurement merge_rows problem progress provenance records shards study_pieces "
        "study_settings targets validate"
    ),
    "study_command": "engines executors records shards study validate",
    "study_figure": "merge_rows records",
    "study_pieces": "merge_rows provenance",
    "study_settings": "merge_rows",
    "targets": "moments power_sums printing validate",
    "template": "mcgrad",
    "template_study": "mcgrad study",
    "text": "",
    "truth": "",
    "validate": "",
    "version": "",
}

# Libraries that are not everywhere: which rooms may load them, at the top of a file or when they are needed.
LIBRARIES = {
    "numba": {"compiler", "kernel_handle"},
    "llvmlite": {"compiler"},
    "scipy": {
        "behaviours",
        "designs",
        "exact/linear_quadratic",
        "exact/one_step",
        "exact/recursion",
        "intervals",
    },
    "pandas": {
        "moments",
        "comparison",
        "ascent",
        "costs",
        "exact",
        "exact/recursion",
        "fisher_information",
        "study_figure",
    },
    "matplotlib": {"comparison", "study_figure", "template_study"},
    "gymnasium": {"gym"},
    "distributed": set(),  # who has a client hands it over
    "mpi4py": {"engines"},
}


@functools.cache
def modules():
    """Return {name: path} of all files of the library."""
    paths = sorted((ROOT / "mcgrad").rglob("*.py"))
    return {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in paths}


def imports(path, text=None):
    """Return the absolute names of all modules and objects that a file imports, wherever it does so."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    package, found = list(parts[:-1]), set()
    for node in ast.walk(ast.parse(text or path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module.split(".") if node.module else [])])
            deeper = {f"{module}.{alias.name}" for alias in node.names}
            # Of a package's own names the package itself is imported; of its modules only these are.
            found |= deeper if deeper <= set(modules()) else deeper | {module}
    return found


def room(name):
    """Return the room of a module: a folder, or a file by itself; the theories are rooms of their own."""
    path = modules()[name].relative_to(ROOT / "mcgrad")
    folders = path.parts[:-1]
    if not folders:
        return path.stem if path.stem != "__init__" else "mcgrad"
    return "/".join(folders[: 2 if folders[0] == "exact" else 1])


def allowed():
    """Return {room: the rooms that it may import}."""
    return {name: set(rooms.split()) for name, rooms in ALLOWED.items()}


def wrong(name, found, may):
    """Return what a module imports that its room may not."""
    own = room(name)
    bad = [x for x in found if x in modules() and room(x) not in may.get(own, set()) | {own}]
    for library, rooms in LIBRARIES.items():
        if own not in rooms:
            bad += [x for x in found if x == library or x.startswith(library + ".")]
    return bad


def circles(edges):
    """Return the files that reach themselves, in groups (strongly connected components, by forward reach)."""
    reach = {}
    for start in edges:
        seen, waiting = set(), [start]
        while waiting:
            for x in edges[waiting.pop()]:
                if x not in seen:
                    seen.add(x)
                    waiting.append(x)
        reach[start] = seen
    return {frozenset(y for y in reach[x] if x in reach[y]) for x in edges if x in reach[x]}


@functools.cache
def edges():
    return {name: imports(path) & set(modules()) - {name} for name, path in modules().items()}


def test_every_room_is_in_the_list_and_none_that_is_gone():
    assert set(allowed()) == {room(name) for name in modules()}


@pytest.mark.parametrize("name", modules())
def test_a_file_imports_what_its_room_may(name):
    assert not wrong(name, imports(modules()[name]), allowed())


def test_no_file_is_in_a_circle():
    assert not circles(edges())


PLANTED = {
    "mcgrad.compiler.trace": "from ..problem import Problem",
    "mcgrad.compiler.emit": "from ..estimators import Estimator",
    "mcgrad.compiler.functions": "def f():\n    from ..kernels import program",
    "mcgrad.problem": "from .kernels.program import gradient_program",
    "mcgrad.environments.pendulum": "from ..policies import gaussian",
    "mcgrad.policies.softmax": "import mcgrad.estimators.score",
    "mcgrad.estimators.reward_to_go": "def f():\n    from ..exact import value",
    "mcgrad.estimators.measure_valued": "from ..kernels.branches import Branches",
    "mcgrad.baselines.known": "from .. import exact",
    "mcgrad.baselines.fitted": "from ..rollouts import rollout",
    "mcgrad.critics.table": "from ..run import Run",
    "mcgrad.kernels.program": "from ..measurement import measure",
    "mcgrad.power_sums": "from .problem import Problem",
    "mcgrad.moments": "from .estimators import knows",
    "mcgrad.intervals": "import numba",
    "mcgrad.checks": "from .. import comparison",
    "mcgrad.estimators.score": "from ..environments import pendulum",
    "mcgrad.run": "from .exact import variance",
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_import_is_seen(name):
    path = modules()[name]
    assert wrong(name, imports(path, path.read_text() + "\n" + PLANTED[name] + "\n"), allowed())


def test_a_planted_circle_is_seen():
    for a, b in (("mcgrad.compiler.trace", "mcgrad.compiler.emit"), ("mcgrad.validate", "mcgrad.measurement")):
        planted = edges() | {a: edges()[a] | {b}, b: edges()[b] | {a}}
        assert circles(planted)


def hidden(text):
    """Return the lines of imports within functions of our own modules, or of small ones of Python, that do not say why."""
    heavy, lines = {*LIBRARIES, "numpy"}, text.splitlines()
    found = []
    for function in ast.walk(ast.parse(text)):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    name = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                    own = isinstance(node, ast.ImportFrom) and node.level > 0
                    if (own or name.split(".")[0] not in heavy) and "#" not in lines[node.lineno - 1]:
                        found.append(lines[node.lineno - 1].strip())
    return found


def test_imports_within_functions_are_of_heavy_libraries_or_say_why():
    assert {name: x for name, path in modules().items() if (x := hidden(path.read_text()))} == {}
    assert hidden("def f():\n    from .run import Run\n    import numba") == ["from .run import Run"]
    assert hidden("def f():\n    from .run import Run  # it takes long") == []


def by_room(arrows):
    """Return {room: rooms that it imports}, the theories being part of `exact`: who is in a circle, counted by rooms."""
    found = {}
    for name, others in arrows.items():
        own = room(name).partition("/")[0]
        found.setdefault(own, set()).update({room(x).partition("/")[0] for x in others} - {own})
    return found


def test_no_room_is_in_a_circle():
    """Nor is the facade, `mcgrad`: it imports most rooms, and none that it imports may import it."""
    assert not circles(by_room(edges()))
    planted = edges() | {"mcgrad.provenance": edges()["mcgrad.provenance"] | {"mcgrad"}}
    assert frozenset({"mcgrad", "comparison", "provenance"}) <= next(iter(circles(by_room(planted))))


def test_every_arrow_is_used():
    used = {}
    for name, others in edges().items():
        used.setdefault(room(name), set()).update(map(room, others))
    unused = {own: rooms - used[own] for own, rooms in allowed().items() if rooms - used[own]}
    assert unused == {}
    libraries = {
        (library, room(name))
        for name, path in modules().items()
        for x in imports(path)
        for library in LIBRARIES
        if x == library or x.startswith(library + ".")
    }
    assert {(x, own) for x, rooms in LIBRARIES.items() for own in rooms} - libraries == set()


def test_figures_read_files_alone():
    for path in (ROOT / "figures").glob("*.py"):
        found = {x.split(".")[0] for x in imports(path)}
        assert not found & {"mcgrad", "numba", "studies"}, path.name


def test_the_public_names_exist():
    import mcgrad

    assert all(hasattr(mcgrad, name) for name in mcgrad.__all__)
    for rooms in (mcgrad.environments, mcgrad.policies, mcgrad.estimators):
        assert all(hasattr(rooms, name) for name in rooms.__all__)


def test_importing_mcgrad_is_quick_to_do_little():
    """Neither Numba nor anything that draws is loaded before it is needed."""
    code = "import sys, mcgrad; print(sorted({'numba', 'seaborn', 'matplotlib', 'pandas', 'scipy'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]", out.stdout
