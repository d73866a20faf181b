"""The examples in docstrings run, and print what they say; arguments and errors of public functions are told of."""

import builtins
import doctest
import importlib
import inspect
import operator
import pathlib
import pkgutil
import re

import pytest

import mcgrad

ROOT = pathlib.Path(mcgrad.__file__).parent
WITH_EXAMPLES = [
    x.name
    for x in pkgutil.walk_packages([str(ROOT)], "mcgrad.", onerror=lambda name: None)
    if ">>> " in pathlib.Path(x.module_finder.find_spec(x.name).origin).read_text(encoding="utf-8")
]
# Where public functions are; see `test_all_arguments_and_errors_are_told_of`.
ROOMS = ["", "estimators", "baselines", "critics", "environments", "policies", "policies.heads", "policies.maps"]
ROOMS += ["noises", "designs", "optimizers", "engines", "exact"]
# Functions of numbers that are traced, and differ between trajectories: there is nothing to be checked beforehand.
RAISE_NOTHING = {"stop_gradient", "noises.exponential", "noises.laplace", "noises.student_t"}


class Finder(doctest.DocTestFinder):
    """It also finds examples of functions that are decorated (`printing.as_called`)."""

    def _from_module(self, module, thing):
        return super()._from_module(module, inspect.unwrap(thing) if callable(thing) else thing)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_print_what_they_say(name):
    runner, module = doctest.DocTestRunner(verbose=False), importlib.import_module(name)
    for example in Finder().find(module, name):
        runner.run(example)
    assert runner.summarize(verbose=False).attempted and not runner.failures


def test_the_functions_that_are_used_most_have_examples():
    e, x = mcgrad.estimators, mcgrad.exact
    used = [mcgrad.measure, mcgrad.sample, mcgrad.rollout, mcgrad.where, mcgrad.ascend, mcgrad.kernel, mcgrad.Problem]
    used += [x.objective, x.gradient, x.mean, x.variance, x.covariance, x.optimum, x.efficiency_bound, x.moments]
    used += [e.score_function, e.reward_to_go, e.reparameterization, e.leave_one_out, e.all_actions]
    used += [mcgrad.environments.linear_quadratic, mcgrad.policies.linear_gaussian, mcgrad.policies.softmax]
    used += [mcgrad.baselines.value, mcgrad.environments.bandit, mcgrad.Moments.load, mcgrad.check, mcgrad.compare]
    assert [f.__name__ for f in used if ">>> " not in f.__doc__] == []


def test_a_wrong_example_is_caught():
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda text: None).failed == 1


def public_functions():
    """Return {name: function} of all that users call."""
    found = {}
    for room in ROOMS:
        home = operator.attrgetter(room)(mcgrad) if room else mcgrad
        found |= {f"{room}.{name}".lstrip("."): getattr(home, name) for name in home.__all__}
    return {name: x for name, x in found.items() if inspect.isfunction(x)}


def section(function, title):
    """Return the lines of a section of a docstring, or None."""
    parts = re.split(r"^([A-Z][a-z]+)\n-+\n", inspect.getdoc(function) or "", flags=re.MULTILINE)
    return dict(zip(parts[1::2], map(str.splitlines, parts[2::2]), strict=True)).get(title)


def faults(name, function):
    """Return what a docstring lacks: arguments and what is no argument, and what is raised."""
    takes = [x.name for x in inspect.signature(function).parameters.values()]
    lines = [x for x in section(function, "Parameters") or [] if x and not x[0].isspace()]
    told = [x.strip().lstrip("*") for line in lines for x in line.split(" : ")[0].split(",")]
    found = [f"{x} is not told of" for x in takes if x not in told] + [f"{x} is none" for x in told if x not in takes]
    raised = [x for x in section(function, "Raises") or [] if x and not x[0].isspace()]
    if takes and not raised and name not in RAISE_NOTHING:
        found.append("what does it raise?")
    return found + [f"{x} is no exception" for x in raised if not any(map(is_exception, homes_of(x)))]


def homes_of(name):
    """Return what goes by a name: Python's, or in the rooms that have exceptions of their own."""
    return [getattr(home, name, None) for home in (builtins, mcgrad, mcgrad.exact, mcgrad.engines)]


def is_exception(x):
    return isinstance(x, type) and issubclass(x, Exception)


@pytest.mark.parametrize("room", ROOMS)
def test_all_arguments_and_errors_are_told_of(room):
    here = {name: x for name, x in public_functions().items() if name.rpartition(".")[0] == room}
    assert here
    assert {name: x for name, function in here.items() if (x := faults(name, function))} == {}


def test_what_raises_nothing_exists():
    assert set(public_functions()) >= RAISE_NOTHING


def test_a_docstring_with_gaps_is_caught():
    def planted(n, m, *others, seed=0):
        """Return nothing.

        Parameters
        ----------
        n, k : int
            Sizes, and a line : with a colon.
        *others : float

        Raises
        ------
        Error
            Never.
        """

    wrong = ["m is not told of", "seed is not told of", "k is none", "Error is no exception"]
    assert faults("planted", planted) == wrong
    planted.__doc__ = "Return nothing."
    assert len(faults("planted", planted)) == 5
