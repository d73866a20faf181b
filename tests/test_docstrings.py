"""The examples in docstrings run, and print what they say."""

import doctest
import importlib
import inspect
import pathlib
import pkgutil

import pytest

import mcgrad

ROOT = pathlib.Path(mcgrad.__file__).parent
WITH_EXAMPLES = [
    x.name
    for x in pkgutil.walk_packages([str(ROOT)], "mcgrad.", onerror=lambda name: None)
    if ">>> " in pathlib.Path(x.module_finder.find_spec(x.name).origin).read_text(encoding="utf-8")
]


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
    used += [mcgrad.baselines.value, mcgrad.environments.bandit, mcgrad.Moments.load]
    assert [f.__name__ for f in used if ">>> " not in f.__doc__] == []


def test_a_wrong_example_is_caught():
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda text: None).failed == 1
