"""What derivatives are blind to is said by name: where the returns depend on a parameter through comparisons alone."""

import math
import warnings

import numpy as np
import pytest

import mcgrad as mg
from mcgrad.comparison import compare
from mcgrad.kernels.flat import may_jump
from mcgrad.kernels.inputs import Inputs
from mcgrad.kernels.program import gradient_program

E = mg.estimators
H, M = mg.policies.heads, mg.policies.maps
NORMAL = mg.policies.gaussian(1, std=1.0)


def environment(**own):
    usual = {
        "states": 1,
        "actions": 1,
        "init": lambda p, z: (0.0,),
        "step": lambda p, s, a, w: (s[0] + a[0],),
        "reward": lambda p, s, a, s_next, w: -(s_next[0] ** 2),
    }
    return mg.Environment(**usual | own)


def newsvendor(p, s, a, s_next, w):
    return 5.0 * np.minimum(a[0], mg.noises.poisson(w[0], p.mean, 40)) - 2.0 * a[0]


def queue(p, s, a, w):
    return (np.maximum(s[0] + mg.noises.exponential(w[0], p.rate) - mg.noises.exponential(w[1]), 0.0),)


def noise(p, z):
    return (p.c + z[0],)


COUNT = environment(uniforms=1, params={"mean": 6.0}, reward=newsvendor)
WAITS = {"actions": 0, "uniforms": 2, "params": {"rate": 1.3}, "step": queue}
ENDS = environment(params={"bound": 1.5}, reward=lambda p, s, a, s_next, w: -1.0, done=lambda p, s: s[0] > p.bound)
WINS = environment(terminal=lambda p, s: mg.where(s[0] > 1.0, 1.0, 0.0), reward=lambda p, s, a, s_next, w: 0.0)
CHOICE = environment(
    choices=2,
    params={"c": 1.0},
    initial_noises=1,
    init=noise,
    step=lambda p, s, a, w: s,
    reward=lambda p, s, a, *_: a[0],
)
HARD = M.each(lambda x: mg.where(x > 0.0, 1.0, 0.0), M.linear(M.features(lambda s: s[:1]), outputs=1))
CHOOSES = H.discrete(2, M.linear())
KINK = environment(
    params={"c": 1.0}, init=noise, initial_noises=1, reward=lambda p, s, a, *_: mg.where(s[0] > p.c, s[0], 0.0)
)
FLAG = environment(params={"use": 1.0}, reward=lambda p, s, a, *_: mg.where(p.use > 0.5, a[0], -a[0]))
FIXED = environment(
    actions=0, params={"k": 0.5}, init=lambda p, z: (1.0,), step=lambda p, s, a, w: (mg.where(s[0] > p.k, 0.0, 1.0),)
)
STOPPED = environment(params={"c": 1.0}, reward=lambda p, s, a, *_: mg.stop_gradient(p.c) * a[0])

# Problem -> what scores are blind to, what derivatives along the path are.
CASES = {
    "the mean of a count": (mg.Problem(COUNT, NORMAL, 1, design=("mean",)), ["mean"], ["mean"]),
    "a count that theta does not move": (mg.Problem(COUNT, NORMAL, 1), [], []),
    "a bound of episodes": (mg.Problem(ENDS, NORMAL, 4, design=("bound",)), ["bound"], ["mean[0]", "bound"]),
    "a prize at the end": (mg.Problem(WINS, NORMAL, 4), [], ["mean[0]"]),
    "long waits": (
        mg.Problem(
            environment(**WAITS, reward=lambda p, s, a, x, w: mg.where(x[0] > 1.0, -1.0, 0.0)),
            None,
            8,
            design=("rate",),
        ),
        None,
        ["rate"],
    ),
    "waits": (mg.Problem(environment(**WAITS), None, 8, design=("rate",)), None, []),
    "a start that choices depend on": (mg.Problem(CHOICE, mg.policies.joint(1, CHOOSES), 2, design=("c",)), [], None),
    "a memory of zeros and ones": (
        mg.Problem(mg.environments.with_memory(CHOICE, 1), mg.policies.joint(2, CHOOSES, H.deterministic(HARD)), 2),
        ["deterministic.value.W[0,0]"],
        None,
    ),
    "a threshold that is a start, too": (mg.Problem(KINK, NORMAL, 2, design=("c",)), [], []),
    "what theta alone decides": (mg.Problem(FLAG, NORMAL, 1, design=("use",)), [], []),
    "nothing random": (mg.Problem(FIXED, None, 3, design=("k",)), None, []),
    "a derivative that is stopped": (mg.Problem(STOPPED, NORMAL, 1, design=("c",)), [], []),
}


def blind(problem, estimator):
    """Return the names in the warning, [] without one, None where the estimator does not exist."""
    theta = np.full(len(problem.parameters), 0.3)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            gradient_program(problem, theta, {"": estimator})
        except ValueError:
            return None
    texts = {str(x.message) for x in said if x.category is mg.DiscontinuityWarning}
    if not texts:
        return []
    (text,) = texts
    return text.removeprefix("no derivative sees ").split(": the returns of")[0].split(", ")


@pytest.mark.parametrize("name", CASES)
def test_parameters_that_move_returns_through_comparisons_alone_are_named(name):
    problem, scored, followed = CASES[name]
    assert blind(problem, E.reward_to_go()) == scored
    assert blind(problem, E.reparameterization()) == followed
    assert blind(problem, E.evolution_strategies(0.1)) == []


def remembering(reward):
    """A cue that is seen once, a memory of it, and choices: derivatives go through the memory, scores do the rest."""
    environment = mg.Environment(
        states=2,
        actions=1,
        choices=2,
        initial_noises=1,
        params={"bound": 0.3},
        init=lambda p, z: (z[0], 1.0),
        step=lambda p, s, a, w: (s[0], 0.0),
        reward=reward,
    )
    memory = M.layer(1, M.features(lambda s: (s[0] * s[1], s[2])))
    policy = mg.policies.joint(3, H.discrete(2, M.linear(memory, bias=True)), H.deterministic(memory))
    return mg.environments.with_memory(environment, 1), policy


def test_jumps_of_choices_that_are_scored_do_not_lie_on_the_way_of_a_memory(seed):
    own, policy = remembering(lambda p, s, a, s_next, w: mg.where(s[1] > 0.5, 0.0, s[0] * (2.0 * a[0] - 1.0)))
    theta = policy.start + np.linspace(0.2, 0.8, len(policy.start))
    only = ("reward to go", "score function, leave one out of 4")
    found = compare(mg.Problem(own, policy, 2), theta, only=only, count=1000, seconds=0.001, machine="numpy", seed=seed)
    assert not any(row.jumps for row in found.rows) and all(row.unbiased for row in found.rows)
    assert found.recommendation().startswith("Use ")


def jumps_may_matter(problem):
    return may_jump(Inputs(problem))


def test_where_a_jump_may_lie_on_the_way_of_what_is_followed():
    for reward, expected in (
        (lambda p, s, a, s_next, w: mg.where(s[1] > 0.5, 0.0, s[0] * a[0]), False),  # of the time alone
        (lambda p, s, a, s_next, w: mg.where(a[0] > 0.5, p.bound, -p.bound) * s[0], False),  # of what is scored
        (lambda p, s, a, s_next, w: mg.where(s[0] > p.bound, p.bound, -p.bound) * a[0], True),
        (lambda p, s, a, s_next, w: p.bound * np.floor(s[0] * p.bound), True),
    ):
        own, policy = remembering(reward)
        assert jumps_may_matter(mg.Problem(own, policy, 2, design=("bound",))) == expected
    kept = mg.Problem(ENDS, NORMAL, 4)
    assert not jumps_may_matter(kept)  # actions are all that theta moves, and they are scored
    assert jumps_may_matter(CASES["a bound of episodes"][0])
    hard, soft = CASES["a memory of zeros and ones"][0], CASES["a start that choices depend on"][0]
    assert jumps_may_matter(hard) and not jumps_may_matter(soft)


def test_the_zero_of_which_it_warns_is_wrong_and_evolution_strategies_see_what_it_hides():
    """dJ/dmean = 5 P(demand >= the stock that is left to it), here from the Poisson distribution."""
    problem, theta = CASES["the mean of a count"][0], [5.5, 6.0]
    with pytest.warns(mg.DiscontinuityWarning, match="no derivative sees mean: "):
        blind_one = mg.measure(problem, theta, {"SF": E.leave_one_out(8)}, 2000, machine="numpy")["SF"]
    assert blind_one.mean[1] == 0.0 == blind_one.variance[1]
    # d E[min(q, N)] / dm = E[min(q, N + 1) - min(q, N)] for N ~ Poisson(m), over q ~ N(5.5, 1)
    x, weight = np.polynomial.legendre.leggauss(400)
    q, weight = 5.5 + 8.0 * x, 8.0 * weight
    density = np.exp(-0.5 * (q - 5.5) ** 2) / math.sqrt(2.0 * math.pi)
    chance = [math.exp(-6.0) * 6.0**k / math.factorial(k) for k in range(41)]
    slope = sum(c * (np.minimum(q, k + 1.0) - np.minimum(q, k)) for k, c in enumerate(chance))
    truth = 5.0 * float(np.sum(weight * density * slope))
    found = mg.measure(problem, theta, {"ES": E.evolution_strategies(0.05)}, 100_000, machine="numpy")["ES"]
    assert abs(found.mean[1] - truth) < 5.0 * found.stderr[1] < 0.5 * truth


def test_what_design_parameters_have_no_part_in_is_refused_by_name():
    problem = mg.Problem(KINK, NORMAL, 2, design=("c",))
    for estimator, message in (
        (E.natural(E.score_function(), np.eye(2)), "natural: expected .* got design parameters c"),
        (E.score_hessian_vector_product([1.0, 1.0]), "no second derivative of the score here: design parameters"),
    ):
        with pytest.raises(ValueError, match=message):
            gradient_program(problem, [0.3, 1.0], {"": estimator})


def test_steps_of_their_own_move_design_parameters_too(seed):
    """Persistent evolution strategies of one step perturb theta anew at each: unbiased for a quadratic return."""
    environment = mg.Environment(
        states=1,
        actions=1,
        params={"c": 1.0},
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: s,
        reward=lambda p, s, a, s_next, w: p.c * a[0] - 0.5 * p.c**2,
    )
    problem, theta = mg.Problem(environment, NORMAL, 3, design=("c",)), [0.7, 0.4]
    estimator = {"PES": E.persistent_evolution_strategies(0.01, 1)}
    found = mg.measure(problem, theta, estimator, 20_000, seed, machine="numpy")["PES"]
    assert np.all(abs(found.mean - [3 * 0.4, 3 * (0.7 - 0.4)]) < 5.0 * found.stderr) and np.all(found.stderr < 0.05)
