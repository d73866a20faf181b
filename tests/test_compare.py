"""The command line: what it finds is true, what it writes can be read, and mistakes are explained in a few words."""

import csv
import dataclasses
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

import mcgrad as mg
from figures import style
from mcgrad import command
from mcgrad.comparison import compare
from mcgrad.comparison import figure as compare_figure
from mcgrad.comparison.candidates import candidates
from mcgrad.pilots import fitted
from mcgrad.text import interval

ROOT = pathlib.Path(__file__).parent.parent
COUNT, BATCH = 20_000, 16
ONLY = ("score function", "score function, leave one out of 4", "reward to go", "reward to go, exact value", "pathwise")
ONLY += ("pathwise mixed with reward to go", "measure-valued", "evolution strategies, h = 0.02", "decayed", "not here")

# Two states, so that a gradient has a direction; exactly solvable, so that everything has a witness.
LINEAR = """
import mcgrad as mg

environment = mg.environments.linear_quadratic(
    [[0.9, 0.1], [0.0, 0.8]], [[0.0], [0.5]], [[1.0, 0.0], [0.0, 0.5]], [[0.1]], process_noise=[[0.01, 0.0], [0.0, 0.02]]
)
problem = mg.Problem(environment, mg.policies.linear_gaussian(2, 1, std=0.5), horizon=6, discount=0.95)
theta = [-0.3, -0.5]
batch = 16


def last(c, end):
    return end.reward


def step(c, x, later):
    to_go = x.reward + 0.5 * later
    return to_go, tuple(to_go * z for z in x.score)


estimators = {
    "decayed": mg.estimators.custom(step, last),
    "not here": mg.estimators.finite_differences(0.1, 7),
}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("problem") / "linear.py"
    path.write_text(LINEAR)
    return path


@pytest.fixture(scope="module")
def found(file):
    user = command.load(file)
    return compare(user.problem, user.theta, user.estimators, only=ONLY, count=COUNT, batch=BATCH, seconds=0.02)


@pytest.fixture(scope="module")
def problem(file):
    user = command.load(file)
    return user.problem, np.array(user.theta)


# ---- what is found ---------------------------------------------------------------------------------------------


def test_all_families_are_there_and_what_is_missing_has_a_reason(found):
    names = {row.estimator for row in found.rows}
    assert names == set(ONLY) - {"not here"}
    assert {row.family for row in found.rows} == {"score", "measure", "pathwise", "mixed", "returns", "own"}
    assert list(found.missing) == ["not here"] and "expected 7" in found.missing["not here"]
    assert found.reference == "exact" and all(row.nonfinite == 0 for row in found.rows)


def test_means_and_variances_are_the_exact_ones(found, problem):
    """For all that an exact variance is known of; baselines fitted on a pilot are not among them."""
    known = 0
    for row in found.rows:
        x = found.moments[row.estimator][row.estimator]
        measured, error = x.total_variance, x.total_variance_stderr
        assert abs(row.variance - measured) < 5 * error if row.exact else row.variance == measured
        try:
            estimator = candidates(*problem)[row.estimator].make()
            variance = mg.exact.variance(*problem, estimator, work=0)
        except (KeyError, mg.exact.NoClosedForm):
            continue
        known += 1
        # Fitted coefficients cost a little more than optimal ones.
        slack = 0.02 * variance.sum() if "optimal" in row.estimator or "mixed" in row.estimator else 0.0
        assert row.exact and abs(row.variance - variance.sum()) <= 1e-12 * row.variance + slack, row.estimator
        assert abs(measured - variance.sum()) < 5 * error + slack, row.estimator
        assert row.variance_low == row.variance_high == row.variance and row.variance_stderr == 0.0
    assert known == 7
    exactly = mg.exact.gradient(*problem)
    np.testing.assert_array_equal(found.gradient, exactly)
    assert found.objective == mg.exact.objective(*problem)


def test_ratios_are_those_of_variance_times_time_and_their_intervals_hold_the_exact_ratio(found, problem):
    """On common noise: the interval is narrower than that of two measurements."""
    names = ("reward to go", "reward to go, exact value")
    made = [candidates(*problem)[name].make() for name in names]
    a, b = (found[name] for name in names)
    exactly = np.divide(*(mg.exact.variance(*problem, x).sum() for x in made)) * a.nanoseconds / b.nanoseconds
    ratio, low, high = found.ratio(a, b)
    assert ratio == pytest.approx(a.price / b.price) and low < exactly < high
    still = [dataclasses.replace(x, nanoseconds_spread=0.0) for x in (a, b)]
    assert found.ratio(*still) == (
        ratio,
        *[pytest.approx(ratio)] * 2,
    )  # of what is exact nothing is left open but times
    of = {x.estimator: found.moments[x.estimator][x.estimator] for x in still}
    still = [
        dataclasses.replace(x, exact="", variance=y.total_variance, variance_low=low, variance_high=high)
        for x in still
        for y in [of[x.estimator]]
        for low, high in [y.total_variance_interval()]
    ]
    ratio, low, high = found.ratio(*still)
    ends = [x.variance_low / x.variance for x in still], [x.variance_high / x.variance for x in still]
    apart = np.exp(np.hypot(*(np.log(high / low) for low, high in zip(*ends, strict=True))))
    assert 1.0 < high / low < apart


def test_a_biased_estimator_fails_and_the_others_pass(found):
    for row in found.rows:
        assert found.passes(row) == (row.estimator != "decayed"), row
        assert (row.bias_z > 5) == (row.estimator == "decayed")
    assert 3.5 < found.threshold < 5


def test_a_bias_shows_without_exact_truth_too():
    """A hidden jump is found, and the pathwise family neither passes nor is what others are compared with."""
    environment = mg.Environment(
        states=1,
        actions=1,
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: s,
        reward=lambda p, s, a, s_next, w: mg.where(a[0] > 0.3, 1.0, 0.0) - 0.1 * a[0] ** 2,
    )
    jump = mg.Problem(environment, mg.policies.gaussian(1, std=0.5), 1)
    only = ("pathwise", "reward to go", "reward to go, mean to go")
    result = compare(jump, [0.2], only=only, count=COUNT, seconds=0.002, machine="numpy")
    assert {row.estimator for row in result.rows if not result.passes(row)} == {"pathwise"}
    assert result[result.reference].family == "score" and "JUMPS: derivatives do not see jumps" in str(result)
    # dJ/dmean = phi((0.3 - 0.2) / 0.5) / 0.5 - 0.2 mean
    exactly = np.exp(-0.02) / np.sqrt(2 * np.pi) / 0.5 - 0.04
    best = result[result.reference]
    assert abs(best.mean[0] - exactly) < 5 * best.stderr[0]
    assert " JUMPS\n" in str(result) and result["pathwise"].bias_z > 50
    assert result.recommendation().startswith(
        "Use reward to go, mean to go: "
    ) and not result.recommendation().startswith("Use pathwise:")


def test_estimators_that_do_not_vary_are_compared_all_the_same():
    """A constant reward: variances of 0, whose ratios are of nothing over nothing."""
    still = mg.Environment(
        states=1,
        actions=1,
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: s,
        reward=lambda p, s, a, s_next, w: 1.0,
    )
    problem = mg.Problem(still, mg.policies.gaussian(1, std=1.0), 2)
    only = ("pathwise", "score function", "score function, leave one out of 4")
    result = compare(problem, [0.2], only=only, count=2000, seconds=0.002, machine="numpy")
    assert "it does not vary at all here, one sample is the gradient" in str(result)
    times = {row[0]: row[result.cells()[0].index("x best")] for row in result.cells()[1:]}
    assert sorted(times.values()) == ["-", "1", "inf"] and times["score function"] == "inf"
    assert [result[x].variance == 0.0 for x in only] == [True, False, True]
    assert result.ratio(result["score function"], result["pathwise"]).ratio == np.inf


def test_where_theta_does_nothing_there_is_nothing_to_choose_and_without_actions_nothing_to_mirror():
    """The gains meet a state that is 0 throughout; and a derivative in a mass needs no actions."""
    rest = mg.Environment(
        states=1,
        actions=1,
        params={"mass": 2.0},
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: (0.0,),
        reward=lambda p, s, a, s_next, w: a[0] - p.mass,
    )
    options = {"only": ("pathwise", "pathwise, mirrored actions"), "count": 2000, "seconds": 0.002, "machine": "numpy"}
    nothing = compare(mg.Problem(rest, mg.policies.linear_gaussian(1, 1, std=1.0), 1), [0.2], **options)
    assert nothing.recommendation().startswith("Nothing to choose: all are 0") and len(nothing.rows) == 2
    alone = dataclasses.replace(rest, actions=0, reward=lambda p, s, a, s_next, w: -p.mass)
    found = compare(mg.Problem(alone, None, 1, design=("mass",)), [2.0], **options)
    assert [row.estimator for row in found.rows] == ["pathwise"] and "no actions to mirror" in str(found)
    assert found.recommendation().startswith("Use pathwise: it does not vary")


def test_an_estimator_of_many_rollouts_can_be_alone(problem):
    alone = compare(*problem, only=["measure-valued"], count=256, seconds=1e-3)
    assert [row.estimator for row in alone.rows] == ["measure-valued"] and alone.rows[0].count == 256
    assert alone.recommendation().startswith("Use measure-valued: ") and alone.reference == "exact"


def test_cosines_are_those_of_batches(found, problem):
    names = ("pathwise", "reward to go")
    chosen = fitted(*problem, {name: candidates(*problem)[name].make() for name in names})
    samples = mg.sample(*problem, chosen, COUNT, seed=0)
    g = mg.exact.gradient(*problem)
    for name in names:
        means = samples[name].reshape(-1, BATCH, 2).mean(axis=1)
        cosines = means @ g / np.linalg.norm(means, axis=1) / np.linalg.norm(g)
        assert found[name].cosine == pytest.approx(cosines.mean(), rel=1e-9)
    assert found["pathwise"].cosine > found["reward to go"].cosine


def test_numbers_do_not_depend_on_threads(problem, monkeypatch):
    results = []
    for threads in (1, 2):
        monkeypatch.setattr(
            sys.modules["mcgrad.comparison.measuring"], "thread_count", lambda _, threads=threads: threads
        )
        results.append(compare(*problem, only=("pathwise", "reward to go"), count=30_000, seconds=0.001))
    assert len(results[0].rows) == 2
    for row in results[0].rows:
        other = results[1][row.estimator]
        assert (row.variance, row.cosine, row.bias_z) == (other.variance, other.cosine, other.bias_z)
        np.testing.assert_array_equal(row.mean, other.mean)


def test_the_recommendation_is_what_the_table_says(found):
    passing = [row for row in found.rows if found.contends(row)]
    assert {row.estimator for row in found.rows if row not in passing} == {"decayed", "evolution strategies, h = 0.02"}
    best = min(passing, key=lambda row: row.variance * row.nanoseconds)
    text = found.recommendation()
    assert text.startswith(f"Use {best.estimator}: ")
    factor = found["reward to go"].price / best.price
    assert f"{factor:.3g} times less than plain reward to go (95%: " in text
    low, high = map(float, re.search(r"\(95%: (\S+) to (\S+)\)", text).groups())
    assert low < factor < high  # narrow ones were rounded to one number, beside the factor
    near = [row.estimator for row in passing if row is not best and found.ratio(row, best).low <= 1.0]
    said = text.partition("); ")[2].partition(" within its error bars.")[0].rpartition(" ")[0]
    assert said == (f"{', '.join(near[:-1])} and {near[-1]}" if len(near) > 1 else "".join(near))
    still = dataclasses.replace(found, rows=(dataclasses.replace(best, variance=0.0), *found.rows))
    assert still.recommendation().startswith(f"Use {best.estimator}: it does not vary")
    plain = found["reward to go"]
    as_cheap = dataclasses.replace(plain, nanoseconds=1.001 * best.price / plain.variance)
    assert "reward to go is within its error bars" in dataclasses.replace(found, rows=(best, as_cheap)).recommendation()
    nothing = dataclasses.replace(found, rows=(dataclasses.replace(best, bias_z=99.0),))
    assert nothing.recommendation().startswith("No estimator")


# ---- the command -----------------------------------------------------------------------------------------------


def run(*arguments):
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    command_line = [sys.executable, "-W", "error", "-m", "mcgrad", *map(str, arguments)]
    return subprocess.run(command_line, capture_output=True, text=True, env=variables, timeout=120)


def test_the_command_prints_and_writes_and_a_second_process_compiles_nothing(found, file, tmp_path):
    done = run("compare", file, "--count", COUNT, "--out", tmp_path / "out", "--parameters", "--only", *ONLY)
    assert done.returncode == 0, done.stderr
    assert "compiling a kernel" not in done.stderr  # `found` has compiled them all
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == [f"linear_compare{x}" for x in (".csv", ".json", ".pdf", ".png", "_parameters.csv")]
    assert "J = " in done.stdout and "K[0,1]" in done.stdout and "\nUse " in done.stdout
    rows = list(csv.DictReader((tmp_path / "out" / "linear_compare.csv").read_text().splitlines()))
    assert len(rows) == 10 and rows[-1]["estimator"] == "not here" and "expected 7" in rows[-1]["missing"]
    for row in rows[:-1]:
        assert float(row["variance"]) == found[row["estimator"]].variance
        assert float(row["variance_x_nanoseconds"]) == float(row["variance"]) * float(row["nanoseconds"])
    rows = list(csv.DictReader((tmp_path / "out" / "linear_compare_parameters.csv").read_text().splitlines()))
    assert len(rows) == 18 and {row["parameter"] for row in rows} == {"K[0,0]", "K[0,1]"}


def test_the_figure_is_drawn_again_byte_for_byte(found):
    few = dataclasses.replace(found, rows=(*found.rows[:3], dataclasses.replace(found.rows[3], estimator="fitted")))
    one, two = (compare_figure.rendered(compare_figure.draw(few), found.title) for _ in range(2))
    assert one == two and set(one) == {"pdf", "png"} and b"CreationDate" not in one["pdf"]
    # Each font is in it once, which takes a tenth of a second: a ligature would be in a part of its own.
    assert len(set(re.findall(rb"/BaseFont /(\S+)", one["pdf"]))) == 2
    import matplotlib

    # Nothing of the user's is changed.
    assert matplotlib.rcParams["font.size"] == matplotlib.rcParamsDefault["font.size"]


def test_nothing_in_the_figure_is_cut_off_and_every_family_has_a_look_of_its_own(found):
    long = dataclasses.replace(
        found["decayed"], estimator="an estimator of my own with a name that is far too long for one line"
    )
    dear = dataclasses.replace(found["score function"], nanoseconds=1e9)
    figure = compare_figure.draw(dataclasses.replace(found, rows=(*found.rows, long, dear)))
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    FigureCanvasAgg(figure).draw()
    texts = [x for x in figure.findobj(Text) if x.get_text() and x.get_visible()]
    assert len(texts) > 20 and min(x.get_size() for x in texts) > 7  # exponents of tick labels are smaller
    # No formulas: their parser takes a tenth of a second.
    assert not any("$" in x.get_text() for x in texts) and any(re.search("10[⁰¹²³⁴-⁹]", x.get_text()) for x in texts)
    whole = figure.bbox
    for text in texts:
        box = text.get_window_extent()
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1, text
    looks = compare_figure.LOOKS.values()
    assert len({x.colour for x in looks}) == len({x.marker for x in looks}) == len(looks)
    # In a column of 3.35 inches no letter of these is below 5.5 points; and looks are those of the studies' figures.
    assert (
        min(x.get_size() for x in figure.findobj(Text) if x.get_text() and x.figure is figure) * 3.35
        > 5.5 * (figure.get_size_inches()[0])
    )
    shared = {"score": "score function", "pathwise": "reparameterization", "measure": "measure-valued"}
    for family, name in shared.items():
        assert compare_figure.LOOKS[family][:2] == style.look(name)[:2]


def test_a_new_problem_runs_and_is_not_overwritten(tmp_path, capsys):
    path = tmp_path / "mine.py"
    assert command.main(["new", str(path)]) == 0
    user = command.load(path)
    assert mg.rollout(user.problem, user.theta, 10, machine="numpy").rewards.shape == (10, 50)
    assert all(isinstance(x, mg.estimators.Estimator) for x in user.estimators.values())
    path.write_text("mine")
    assert command.main(["new", str(path)]) == 2
    assert path.read_text() == "mine" and "is left as it is" in capsys.readouterr().err
    assert command.main(["new", str(tmp_path / "no" / "folder.py")]) == 2


def test_check_from_the_command_line(file, capsys):
    assert command.main(["check", str(file), "--count", "1000"]) == 0
    assert "families  note" in capsys.readouterr().out


START = """
import mcgrad as mg
def init(p, z): return (z[0],)
def step(p, s, a, w): return (0.9 * s[0] + a[0],)
def reward(p, s, a, s_next, w): return -s[0] ** 2
"""
END = """
environment = mg.Environment(states=1, actions=1, initial_noises=1, params={"g": 0.0}, init=init, step=step, reward=reward)
problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.5), 5)
theta = [-0.5]
"""

# A mistake, what the message has to say, and the source of the line that it has to name, if any.
MISTAKES = {
    "no file": (None, "there is no file .*; `mcgrad new .*` writes one", None),
    "not Python": ("x = = 1", "invalid syntax: x = = 1", "x = = 1"),
    "an exception": ("import mcgrad as mg\nx = [1][3]", "IndexError: list index out of range", "x = [1][3]"),
    "no problem": ("theta = [1.0]", "nothing is called `problem`; it should define", None),
    "not a problem": ("problem = 3", "`problem` is a int; it should define", None),
    "no theta": (START + END.replace("theta", "other"), r"nothing is called `theta`: .* K\[0,0\]", None),
    "theta of another length": (START + END + "theta = [1.0, 2.0]", r"theta: expected shape \(1,\), got \(2,\)", None),
    "too few samples": (START + END + "count = 10", "count: expected a whole number >= 256, got 10", None),
    "estimators as a list": (START + END + "estimators = [1]", "estimators: expected a dict", None),
    "a list": ("def step(p, s, a, w): return [s[0]]", "expected a tuple of 1 numbers, got a list", "def step"),
    "two states": ("def step(p, s, a, w): return (s[0], a[0])", "expected a tuple of 1 numbers, got 2", "def step"),
    "an if": ("def step(p, s, a, w):\n    if s[0] > 0: return s\n    return a", "Write where", "if s[0] > 0"),
    "an unknown function": (
        "import math\ndef reward(p, s, a, s_next, w):\n    return math.gamma(s[0])",
        "math.gamma cannot be traced. What can: ",
        "return math.gamma",
    ),
    "a division": ("def reward(p, s, a, s_next, w):\n    return s[0] / 0", "division by the constant 0", "s[0] / 0"),
    "an index": ("def reward(p, s, a, s_next, w):\n    return [1.0, 2.0][s[0]]", "no integer value", "[s[0]]"),
    "a wrong name": (
        "def reward(p, s, a, s_next, w):\n    return p.gravity",
        "no parameter 'gravity'; it has: g",
        "p.gravity",
    ),
    "too few arguments": ("def reward(s, a): return 0.0", r"it is called as reward\(p, s, a, s_next, w\)", None),
    "nothing returned": ("def reward(p, s, a, s_next, w): pass", "expected one number, got None", "def reward"),
}


ONLY_COMPARED = ("too few samples", "estimators as a list")


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_end_in_a_short_message_with_the_line(name, tmp_path, capsys):
    text, message, line = MISTAKES[name]
    path = tmp_path / "test.py"  # called like a module of Python's
    if text is not None:
        fragment = text.startswith(("def", "import math"))
        text = START + text + END if fragment else text
        path.write_text(text)
    for verb in ("compare", "check") if name not in ONLY_COMPARED else ("compare",):
        assert command.main([verb, str(path)]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and "Traceback" not in captured.err
        assert re.search(message, captured.err), captured.err
        if line:
            number = [k for k, x in enumerate(text.splitlines(), 1) if line in x][-1]
            assert f"{path}:{number}" in captured.err, captured.err
        assert len(captured.err) < 1500


def test_a_problem_that_blows_up_is_compared_all_the_same(tmp_path, capsys):
    """Estimators that are not finite on every trajectory cannot be recommended."""
    path = tmp_path / "explodes.py"
    wild = "import math\ndef reward(p, s, a, s_next, w): return math.log(s[0] + 1.5)\ndef step(p, s, a, w): return s\n"
    path.write_text(START + wild + END.replace("5)\n", "2)\n"))
    options = ["--count", "2000", "--no-figure", "--out", str(tmp_path)]
    assert command.main(["compare", str(path), *options, "--only", "pathwise", "reward to go, fitted value"]) == 0
    out = capsys.readouterr().out
    assert command.main(["compare", str(path), *options, "--only", "patwise"]) == 2
    assert "only: expected names among score function," in capsys.readouterr().err
    assert "of its samples were not finite" in out and "No estimator was finite" in out


def test_functions_of_a_session_are_compared_as_those_of_a_file(tmp_path):
    """Functions of __main__, as in a notebook or a script without a guard, and of a module that can be imported."""
    (tmp_path / "dynamics.py").write_text(START)
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport mcgrad as mg\nfrom dynamics import init, step\n"
        f"def reward(p, s, a, s_next, w): return -s[0] ** 2\n{END}"
        "from mcgrad.comparison import compare\n"
        "found = compare(problem, theta, only=['pathwise'], count=256, seconds=1e-4)\nprint(found.recommendation())\n"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=variables, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Use ")


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((199.1, 198.4, 199.9), "198.4 to 199.9"),  # two digits would make it 200 to 200
        ((138.4, 133.9, 142.8), "134 to 143"),
        ((151.4, 112.0, 204.0), "110 to 200"),
        ((2.0, 2.0, 2.0), "2 to 2"),
        ((2.0, 1.0, np.inf), "1 to inf"),
    ],
)
def test_intervals_have_the_digits_of_their_width(numbers, said):
    assert interval(*numbers) == said
