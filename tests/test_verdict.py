"""What a comparison takes for the gradient: nothing biased is recommended, nothing unbiased fails, and who is wrong is said."""

import dataclasses
import math
import sys

import compare_thirty
import numpy as np
import pytest
from compare_thirty import CASES, Case, complaints
from support import SEED

import mcgrad as mg
from mcgrad.comparison import compare
from mcgrad.comparison.evidence import DIFFERENCES
from mcgrad.comparison.measuring import from_another, from_exact, measure, unskewed
from mcgrad.comparison.rests import is_smoothed, is_unbiased, rests_on
from mcgrad.comparison.verdict import limit
from mcgrad.kernels.program import gradient_program

e = mg.estimators
FEW = ("reward to go, mean to go", "pathwise")
FAST = {"count": 6400, "seconds": 1e-4, "seed": SEED, "machine": "numpy"}  # nothing is compiled


# ---- the test for bias -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("expected", [8.0, 30.0, 300.0])
def test_a_mean_that_hangs_on_rare_trajectories_fails_no_more_often_than_promised(expected):
    """Counts of rare events, whose chances are known: P(z > 3.7) is at most that of a normal number, or nearly so."""
    most = limit(5)
    k = np.arange(1, int(expected + 20 * math.sqrt(expected)) + 20)
    t, g = (k - expected) / np.sqrt(k), 1.0 / np.sqrt(k)
    probability = np.exp(k * math.log(expected) - expected - np.array([math.lgamma(x + 1.0) for x in k]))
    alarm, naive = probability[unskewed(t, g) > most].sum(), probability[np.abs(t) > most].sum()
    assert alarm < 2.5 * 2e-4 and (alarm < 0.2 * naive or expected > 100)
    # It has power: half of what is expected, or twice as much, is seen once there are 60 of them.
    assert (unskewed(np.array([(30 - 60) / math.sqrt(30)]), np.array([1 / math.sqrt(30)])) > most).all()
    assert (unskewed(np.array([(120 - 60) / math.sqrt(120)]), np.array([1 / math.sqrt(120)])) > most).all()


def test_a_z_is_that_of_a_normal_number_on_common_noise():
    """Of 200 measurements of two unbiased estimators; a difference of a tenth of the gradient is seen in most of them."""
    case = CASES["cosine cost"]()
    found = {"measure": e.measure_valued(), "mirrored": e.antithetic(e.reward_to_go(), "actions")}
    program = gradient_program(case.problem, case.problem.theta(case.theta), found)
    zs, off = [], []
    for seed in range(200):
        x = measure(program, case.problem, found, 0, 3200, 64, 1000 * SEED + seed, "numpy")
        zs.append(from_another(x["measure"], "measure", x["mirrored"], "mirrored").z)
        off.append(from_exact(x["measure"], "measure", 1.1 * case.gradient).worst)
    for level, chance in ((1.0, 0.3173), (1.96, 0.05), (2.576, 0.01)):
        for above in (np.array(zs) > level).mean(axis=0):
            assert abs(above - chance) < 5 * math.sqrt(chance * (1 - chance) / 200)
    assert np.max(zs) < 5 and np.mean(np.array(off) > limit(4)) > 0.5


def test_what_is_not_skewed_is_left_alone():
    t = np.array([-8.0, -1.0, 0.0, 3.0])
    np.testing.assert_allclose(unskewed(t, np.zeros(4)), np.abs(t))
    np.testing.assert_allclose(unskewed(t, np.full(4, 1e-4)), np.abs(t), rtol=1e-3)
    np.testing.assert_array_equal(unskewed(t, np.full(4, 0.3)), unskewed(-t, np.full(4, -0.3)))


# ---- problems whose gradient is known --------------------------------------------------------------------------

SHORT = ("saturating reward", "jump beside a slope", "digital without a score")  # the script has all thirty


@pytest.fixture(scope="module")
def short():
    """The comparisons of a few of the thirty."""
    found = {}
    for name in SHORT:
        case = CASES[name]()
        only = FEW if not case.problem.policy.no_score else None
        found[name] = case, compare(case.problem, case.theta, only=only, **FAST | {"count": 25_600})
    return found


@pytest.mark.parametrize("name", SHORT)
def test_nothing_biased_is_recommended_and_nothing_unbiased_fails(name, short):
    case, found = short[name]
    assert complaints(case, found) == []


def test_complaints_are_made_where_there_is_something_to_complain_of(short):
    case, found = short["jump beside a slope"]
    smooth = Case(case.problem, case.theta, case.gradient, jumps=False)
    assert any("pathwise is unbiased and fails" in x for x in complaints(smooth, found))
    off = Case(case.problem, case.theta, 1.2 * case.gradient, jumps=True)
    assert any("standard errors from the truth" in x for x in complaints(off, found))
    case, found = short["saturating reward"]
    jumps = Case(case.problem, case.theta, case.gradient, jumps=True)
    assert any("a biased estimator is recommended" in x for x in complaints(jumps, found))
    case, found = short["digital without a score"]
    off = Case(case.problem, case.theta, 2.0 * case.gradient, jumps=True)
    assert any("differences are" in x for x in complaints(off, found))


def test_where_nothing_is_unbiased_it_is_said_and_what_would_help(short):
    """The pathwise gradient does not vary: one sample is the gradient, 0, and it is wrong."""
    case, found = short["digital without a score"]
    text = found.recommendation()
    assert found["pathwise"].variance == 0 and found["pathwise"].jumps and not found.passes(found["pathwise"])
    assert found.reference == DIFFERENCES and found.contenders() == []
    assert "the spot is not random" in text and "What would help: a score" in text and "measure_valued" in text
    said = float(text.partition("gradient: S0 ")[2].split(" ")[0])
    assert said == pytest.approx(case.gradient[0], rel=0.1)
    assert "Use " not in text and "FAILS" not in str(found) and "by central differences" in str(found)


def test_a_declared_jump_excludes_derivatives_whatever_the_numbers_are(monkeypatch):
    """A declaration is believed and not searched for: here nothing jumps, and the pathwise gradient is right."""
    monkeypatch.setattr(sys.modules["mcgrad.comparison"], "return_jumps", None)
    case = CASES["saturating reward"]()
    declared = dataclasses.replace(case.problem.environment, discontinuous="it jumps at a = 1000")
    found = compare(mg.Problem(declared, case.problem.policy, 1), case.theta, only=FEW, **FAST)
    assert found["pathwise"].bias_z < 4 and not found.passes(found["pathwise"])
    assert found.recommendation().startswith("Use reward to go, mean to go: ") and "a = 1000" in str(found)


# ---- disagreement ----------------------------------------------------------------------------------------------


def test_a_wrong_sign_of_the_score_ends_in_a_finding_and_no_recommendation():
    case = CASES["saturating reward"]()
    changes = {"score": lambda p, eta, a, e: (-e[0] / 0.5,), "log_prob": None, "closed_form": None}
    problem = dataclasses.replace(case.problem, policy=dataclasses.replace(case.problem.policy, **changes))
    found = compare(problem, case.theta, only=FEW, **FAST)
    text = found.recommendation()
    assert text.startswith("No recommendation: ") and found.contenders() == [] and "\nUse " not in str(found)
    disagreement = found.verdict.disagreement
    assert disagreement.against == ("reward to go, mean to go",) and disagreement.beside == ("pathwise",)
    assert "side with pathwise. So the score is not that of what `sample` draws" in text
    assert found.reference == "pathwise" and "in dispute" in str(found) and "APART" in str(found)
    assert "score" in found.report.wrong and "mcgrad.check: score WRONG" in text


def test_a_wrong_score_is_seen_by_returns_where_there_is_no_derivative():
    """Discrete actions: the score is all that there is, and only returns can contradict it; here it has a factor of two."""
    bandit = compare_thirty.CASES["bandit"]()
    policy = bandit.problem.policy
    wrong = dataclasses.replace(policy, score=lambda p, eta, a, e: tuple(2.0 * x for x in policy.score(p, eta, a, e)))
    problem = dataclasses.replace(bandit.problem, policy=wrong)
    found = compare(problem, bandit.theta, only=["reward to go, mean to go"], **FAST)
    text = found.recommendation()
    assert text.startswith("No recommendation: ") and "So the score is not that of what `sample` draws" in text
    right = compare(bandit.problem, bandit.theta, only=["reward to go, mean to go"], **FAST)
    assert right.recommendation().startswith("Use reward to go, mean to go")
    assert "Central differences of returns agree" in right.recommendation() and right.report is None


def test_derivatives_that_miss_a_jump_no_search_has_met_are_blamed(monkeypatch):
    jump = CASES["jump beside a slope"]()
    monkeypatch.setattr(sys.modules["mcgrad.comparison"], "return_jumps", lambda *_: [])
    found = compare(jump.problem, jump.theta, only=FEW, **FAST)
    assert found.verdict.disagreement.against == ("pathwise",) and found.reference == "reward to go, mean to go"
    assert "So derivatives of step, reward or sample miss something" in found.recommendation()


# ---- one's own estimators --------------------------------------------------------------------------------------


def test_what_an_estimator_rests_on_is_seen():
    case = compare_thirty.one_action(np.tanh, [0.4])

    def likelihood(c, x, later):
        return later + x.reward, tuple((later + x.reward) * z for z in x.score)

    seen = {
        "score": e.custom(likelihood, lambda c, end: end.reward),
        "derivatives": e.antithetic(e.reparameterization()),
        "both": e.difference(e.score_function(), e.reparameterization()),
        "measure": e.measure_valued(),
        "returns": e.evolution_strategies(0.1),
    }
    found = {name: set(rests_on(case.problem, case.theta, x)) for name, x in seen.items()}
    assert found == {name: {name} for name in seen} | {"both": {"score", "derivatives"}, "returns": set()}
    assert [name for name, x in seen.items() if is_smoothed(x)] == ["returns"]
    assert [name for name, x in seen.items() if is_unbiased(x)] == ["derivatives", "measure"]


def test_an_own_estimator_of_a_jump_is_excluded_and_one_without_a_theory_needs_a_test_that_could_see_a_bias():
    jump = CASES["jump beside a slope"]()
    own = {
        "my pathwise": e.reparameterization(),
        "my score": e.custom(
            lambda c, x, later: (later + x.reward, tuple((later + x.reward - 0.5) * z for z in x.score)),
            lambda c, end: end.reward,
        ),
    }
    found = compare(jump.problem, jump.theta, own, only=["reward to go, mean to go", *own], **FAST)
    assert found["my pathwise"].jumps and not found.passes(found["my pathwise"])
    mine = found["my score"]
    assert found.passes(mine) and not mine.unbiased and found.contends(mine) == (mine.visible_bias <= 0.05)
    seen, unseen = (dataclasses.replace(mine, visible_bias=x) for x in (0.049, 0.051))
    assert found.contends(seen) and not found.contends(unseen)
    alone = dataclasses.replace(found, rows=(seen,))
    assert "No theory says that it is unbiased" in alone.recommendation()


def test_hybrid_actions_may_be_followed_in_part_though_the_choice_jumps():
    """The choice is scored, the number followed: what jumps is not on its way, and the test for bias has to say so."""

    def weight(x):
        return 1.0 / (1.0 + np.exp(-x))

    hybrid = mg.Policy(
        states=1,
        actions=2,
        noises=1,
        uniforms=1,
        parameters=("logit", "mean"),
        eta=lambda p, theta, s: tuple(theta),
        sample=lambda p, eta, e: (mg.where(e[1] < weight(eta[0]), 1.0, 0.0), eta[1] + 0.5 * e[0]),
        log_prob=lambda p, eta, a: (
            mg.where(a[0] > 0.5, np.log(weight(eta[0])), np.log(1.0 - weight(eta[0]))) - 2.0 * (a[1] - eta[1]) ** 2
        ),
    )
    world = mg.Environment(
        states=1,
        actions=2,
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: s,
        reward=lambda p, s, a, s_next, w: -((a[1] - a[0]) ** 2),
    )
    name = "pathwise in part, reward to go else"
    found = compare(
        mg.Problem(world, hybrid, 1), [0.3, 0.2], only=["reward to go, mirrored actions", "pathwise", name], **FAST
    )
    part = found[name]
    assert found["pathwise"].jumps and not part.jumps and found.passes(part) and not part.unbiased
    q = 1.0 / (1.0 + math.exp(-0.3))
    truth = np.array([q * (1.0 - q) * (0.04 - 0.64), 1.6 * q - 0.4 * (1.0 - q)])
    assert (np.abs(part.mean - truth) < 5 * part.stderr).all()
    assert not found.contends(dataclasses.replace(part, visible_bias=0.1))
    assert found.contends(dataclasses.replace(part, visible_bias=0.03))
    alone = dataclasses.replace(found, rows=(dataclasses.replace(part, visible_bias=0.03),))
    assert "no jump lies on the way of what it follows" in alone.recommendation()


# ---- at a prompt -----------------------------------------------------------------------------------------------


def test_a_comparison_at_a_prompt_is_a_few_lines_and_a_table_in_a_notebook(short):
    found = short["saturating reward"][1]
    lines = repr(found).splitlines()
    assert len(lines) <= 8 and lines[0] == found.title and lines[-1].startswith("Use ")
    assert "array(" not in repr(found) and max(map(len, lines[:-1])) < 100
    page = found._repr_html_()
    assert page.count("<tr>") == 1 + len(found.rows) and "<script" not in page
    odd = dataclasses.replace(found, title="<b> & so on")
    assert "&lt;b&gt; &amp; so on" in odd._repr_html_()
