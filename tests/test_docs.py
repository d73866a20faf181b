"""The pages run, and say what they print; the site names all that is public and all that is drawn."""

import csv
import importlib.util
import json
import pathlib
import re
import types

import pytest
from test_architecture import ALLOWED, imports

from docs import pages

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
RUN = [p for p in PAGES if "_build" not in p.parts and pages.blocks(p.read_text(encoding="utf-8"))]
OPTIONAL = ("jax", "gymnasium", "dask", "distributed")


def name(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.filterwarnings("ignore::mcgrad.DiscontinuityWarning")  # pages that show what it warns of
@pytest.mark.parametrize("path", RUN, ids=name)
def test_a_page_prints_what_it_says(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = path.read_text(encoding="utf-8")
    missing = {module for module in OPTIONAL if importlib.util.find_spec(module) is None}
    printed = pages.run(text, name(path), missing)
    for block, output in zip(pages.blocks(text), printed, strict=True):
        if output is not None:
            found = pages.difference(block.output, output)
            assert not found, f"{name(path)}:{block.line}: {found}"


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "questions").glob("*.md")), ids=name)
def test_every_number_of_a_question_is_printed_on_its_page(path):
    assert pages.unfounded(path.read_text(encoding="utf-8")) == []


def layers():
    """Return {room: row} of the table of rooms."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = page.partition("| room |")[2].partition("\n\n")[0].splitlines()[2:]
    found = {}
    for number, row in enumerate(rows):
        for room in re.findall(r"`([\w/.]+)`", row.split("|")[1]):
            path = ROOT / room if (ROOT / room).exists() else ROOT / "mcgrad" / room
            assert path.exists(), room
            found[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = number
    return found


def module_of(room):
    """Return the name of the module or package of a room; the theories are in that of `exact`."""
    return "mcgrad" if room == "mcgrad" else f"mcgrad.{room.partition('/')[0]}"


def upward(found, imported):
    """Return (room, import) of all imports that lead to a lower row; `imported`: {path: names}."""
    wrong = []
    for path, names in imported.items():
        own = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        row = next((n for room, n in found.items() if own == room or own.startswith(room + ".")), None)
        for name in names:
            other = next((n for room, n in found.items() if name == room or name.startswith(room + ".")), None)
            if row is not None and other is not None and other > row:
                wrong.append((own, name))
    return wrong


def test_imports_go_the_way_that_the_page_about_architecture_says():
    found = layers()
    imported = {
        path: imports(path) for room in ("mcgrad", "studies", "figures") for path in (ROOT / room).rglob("*.py")
    }
    assert set(found) - {"studies", "figures"} == {module_of(room) for room in ALLOWED}  # every room is on the page
    assert upward(found, imported) == []
    planted = {ROOT / "mcgrad" / "kernels" / "program.py": {"mcgrad.exact.gradient"}}
    assert upward(found, planted) == [("mcgrad.kernels.program", "mcgrad.exact.gradient")]


def test_the_page_about_tests_counts_the_reference_cases():
    cases = json.loads((ROOT / "tests" / "reference" / "lq_cases.json").read_text())["cases"]
    assert len(cases) == 13 and max(len(case["estimators"]) for case in cases) == 46
    assert "thirteen reference systems with up to 46 estimators" in (ROOT / "docs" / "tested.md").read_text()


def test_the_comparison_in_the_readme_is_that_of_its_problem():
    """Total variances of two rows against a measurement on the problem of the tutorial, which is that of the README."""
    readme, tutorial = ((ROOT / p).read_text(encoding="utf-8") for p in ("README.md", "docs/tutorial.md"))
    (spring,) = (b.code for b in pages.blocks(readme) if "mass on a spring" in b.code)
    same = [line for line in spring.splitlines() if line.startswith("    ")]  # bodies of functions, and arguments
    codes = [block.code for block in pages.blocks(tutorial)]
    assert [line.partition("  #")[0] for line in same] == [
        line.partition("  #")[0] for line in codes[0].splitlines() if line.startswith("    ")
    ]
    namespace = {}
    for code in codes[:3]:  # the problem, its estimators, and a measurement
        exec(code, namespace)
    number = r"([\d.]+(?:e\+\d+)?)"
    for row in ("pathwise", "reward to go"):
        total, low, high = map(
            float, re.search(rf"^{row}  .*? {number} \({number} to {number}\)", readme, re.M).groups()
        )
        found = namespace["found"][row]
        error = ((high - low) ** 2 / 16 + found.total_variance_stderr**2) ** 0.5
        assert abs(total - found.total_variance) < 5 * error < abs(1.2 * total - found.total_variance)


PAGE = """Text with 0.25, and `-1.5`.

```python
x = 0.123456
print(f"{x:.4f}")
```

```text
0.1235
```

```python nonesuch
print("never")
```

```python
print("mean 2.00 +- 0.10")
```

```text
mean 2.05 +- 0.11
```
"""


def test_the_speed_in_the_readme_is_that_of_the_study():
    with open(ROOT / "studies" / "results" / "throughput.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["workload"] == "W1 lq-4x2" and row["code"] == "mcgrad"]
    one, sweep = (next(row for row in rows if row["estimators"].startswith(x)) for x in ("both", "both, 4096 thetas"))
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert (
        f"in {float(sweep['cpu_seconds']):.2f} s: {float(one['times_jax']):.0f} and {float(sweep['times_jax']):.0f} times"
        in text
    )
    assert "two million times a second" in text and 1.9e6 < float(one["trajectories_per_second"]) < 2.2e6


def test_blocks_are_run_and_read():
    first, second, third = pages.blocks(PAGE)
    assert (first.line, first.output, second.needs, third.output) == (
        3,
        "0.1235\n",
        ("nonesuch",),
        "mean 2.05 +- 0.11\n",
    )
    assert pages.run(PAGE, "page", {"nonesuch"}) == ["0.1235\n", None, "mean 2.00 +- 0.10\n"]
    assert "mean 2.00 +- 0.10\n```\n" in pages.written(PAGE, ["0.1235\n", None, "mean 2.00 +- 0.10\n"])


@pytest.mark.parametrize(
    "said, printed, agree",
    [
        ("gradient -1.3290\n", "gradient   -1.3290\n", True),  # blanks are free
        ("gradient -1.3290\n", "gradient -1.3291\n", True),  # linear algebra rounds as it likes in the last digit
        ("gradient -1.3290\n", "gradient -1.3293\n", False),
        ("gradient -1.3290\n", "slope -1.3290\n", False),
        ("1.76e+09\n", "1.79e+09\n", False),
        ("x 2.00 +- 0.10\n", "x 2.40 +- 0.12\n", True),  # 2.6 standard errors
        ("x 2.00 +- 0.10\n", "x 3.00 +- 0.10\n", False),  # seven
        ("x 2.00 +- 0.10\n", "x 2.00 +- 0.30\n", False),  # another variance
        ("True\n", "False\n", False),
        ("1 2\n", "1 2 3\n", False),
    ],
)
def test_what_is_said_is_compared_with_what_is_printed(said, printed, agree):
    assert (pages.difference(said, printed) is None) == agree


def test_numbers_in_the_text_have_to_be_printed():
    assert pages.unfounded(PAGE) == ["0.25", "-1.5"]
    assert pages.unfounded(PAGE.replace("0.25", "0.12").replace("-1.5", "2.05")) == []
    assert pages.unfounded(PAGE.replace("0.25", "0.13").replace("-1.5", "2.05")) == ["0.13"]


def test_the_gallery_has_every_figure_and_where_it_comes_from():
    gallery = load("gallery")
    entries = {stem: (title, about) for stem, title, about in gallery.entries(ROOT)}
    assert set(entries) == {p.stem for p in (ROOT / "figures").glob("*.png")}
    for stem, (title, about) in entries.items():
        assert len(title) > 20 and about["command"].startswith("python -m studies") and about["seconds"] > 0, stem


def test_the_site_reaches_every_room():
    """What is public has a reference page: the rooms of `mcgrad.__all__` that have names of their own."""
    import mcgrad

    listed = re.findall(r"public-names:: (\S+)", "".join(p.read_text() for p in (ROOT / "docs/reference").glob("*.md")))
    rooms = {f"mcgrad.{x}" for x in mcgrad.__all__ if isinstance(getattr(mcgrad, x), types.ModuleType)}
    assert set(listed) == rooms | {"mcgrad"}


def load(extension):
    pytest.importorskip("sphinx")
    spec = importlib.util.spec_from_file_location(extension, ROOT / "docs" / "extensions" / f"{extension}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
