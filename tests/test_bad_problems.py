"""Environments, policies and problems whose parts do not fit, are refused by name."""

import pytest
from refusals import (
    NAN,
    environment,
    lq,
    own_policy,
    policy,
    refused,
)

import mcgrad as mg

ENVIRONMENTS = [
    ({"states": 0}, "states: expected a whole number >= 1, got 0"),
    ({"states": -2}, "states: expected a whole number >= 1, got -2"),
    ({"states": 2.5}, "states: expected a whole number, got float 2.5"),
    ({"states": None}, "states: expected a whole number, got NoneType None"),
    ({"states": "2"}, "states: expected a whole number, got str '2'"),
    ({"states": [2]}, "states: expected a whole number, got list"),
    ({"actions": -1}, "actions: expected a whole number >= 0, got -1"),
    ({"noises": -1}, "noises: expected a whole number >= 0, got -1"),
    ({"initial_noises": NAN}, "initial_noises: expected a whole number, got float nan"),
    ({"init": None}, "init: expected a function, got NoneType None"),
    ({"step": (1.0, 2.0)}, "step: expected a function, got tuple"),
    ({"reward": 5.0}, "reward: expected a function, got float 5.0"),
    ({"terminal": "t"}, "terminal: expected a function, got str 't'"),
    ({"params": [1.0]}, "params: expected a dict of numbers and arrays, got list"),
    ({"params": None}, "params: expected a dict of numbers and arrays, got NoneType"),
    ({"params": {1: 2.0}}, "params: expected names that can be written as p.name.*got 1"),
    ({"params": {"a b": 2.0}}, "params: expected names that can be written as p.name.*got 'a b'"),
    ({"params": {"lambda": 2.0}}, "params: expected names that can be written as p.name.*got 'lambda'"),
    ({"params": {"_owner": 2.0}}, "params: expected names that can be written as p.name.*got '_owner'"),
    ({"params": {"g": "9.8"}}, r"params\['g'\]: expected real numbers, got str '9.8'"),
]


@pytest.mark.parametrize(("changes", "message"), ENVIRONMENTS)
def test_environment(changes, message):
    refused("^" + message, environment, **changes)


POLICIES = [
    ({"states": 0}, "states: expected a whole number >= 1, got 0"),
    ({"noises": 1.5}, "noises: expected a whole number, got float 1.5"),
    ({"parameters": ()}, "parameters: expected a name for each component of theta, all different, got tuple"),
    ({"parameters": "ab"}, "parameters: expected a name for each component of theta, all different, got str 'ab'"),
    ({"parameters": 2}, "parameters: expected a name for each component of theta, all different, got int 2"),
    ({"parameters": None}, "parameters: expected a name for each component of theta, all different, got NoneType"),
    ({"parameters": ("a", "a")}, r"parameters: expected a name .* all different, got tuple \('a', 'a'\)"),
    ({"eta": None}, "eta: expected a function, got NoneType None"),
    ({"sample": 1.0}, "sample: expected a function, got float 1.0"),
    ({"score": 1.0}, "score: expected a function, got float 1.0"),
    ({"log_prob": "p"}, "log_prob: expected a function, got str 'p'"),
    ({"params": 3}, "params: expected a dict of numbers and arrays, got int 3"),
    ({"start": [1.0, 2.0, 3.0]}, "start: expected at most 2 numbers, one for each parameter, got 3"),
    ({"start": 1.0}, r"start: expected shape \(any,\), got \(\)"),
    ({"start": ["a"]}, "start: expected real numbers, got list"),
]


@pytest.mark.parametrize(("changes", "message"), POLICIES)
def test_policy(changes, message):
    refused("^" + message, own_policy, **changes)


PROBLEMS = [
    ({"horizon": 0}, "horizon: expected a whole number from 1 to .*, got 0"),
    ({"horizon": -5}, "horizon: expected a whole number from 1 to .*, got -5"),
    ({"horizon": 10.5}, "horizon: expected a whole number, got float 10.5"),
    ({"horizon": None}, "horizon: expected a whole number, got NoneType None"),
    ({"horizon": 10**12}, "horizon: expected a whole number from 1 to .*, got 1000000000000"),
    ({"horizon": True}, "horizon: expected a whole number, got bool True"),
    ({"discount": 0}, "discount: expected a number <= 1.0 and > 0.0, got 0.0"),
    ({"discount": -0.5}, "discount: expected a number <= 1.0 and > 0.0, got -0.5"),
    ({"discount": 1.01}, "discount: expected a number <= 1.0 and > 0.0, got 1.01"),
    ({"discount": [0.9]}, r"discount: expected a number or shape \(5,\), one for each step, got \(1,\)"),
    ({"environment": policy()}, "environment: expected an Environment, got Policy"),
    ({"environment": mg.Environment}, "environment: expected an Environment, got type"),
    ({"environment": None}, "environment: expected an Environment, got NoneType None"),
    ({"policy": lq()}, "policy: expected a Policy, got Environment"),
    ({"policy": mg.policies.linear_gaussian}, "policy: expected a Policy, got function"),
    ({"policy": policy(3, 1)}, "policy: expected one for 2 states, as the environment has, got one for 3"),
    ({"policy": policy(2, 2)}, "policy: expected one for 1 actions, as the environment has, got one for 2"),
]


@pytest.mark.parametrize(("changes", "message"), PROBLEMS)
def test_problem(changes, message):
    refused("^" + message, mg.Problem, **({"environment": lq(), "policy": policy(), "horizon": 5} | changes))
