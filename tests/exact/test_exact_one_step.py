"""One-step Gaussian costs: closed forms of the literature, reference values, and quadrature of the estimators themselves."""

import json
import pathlib

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import dawsn

import mcgrad as mg
from mcgrad.exact.one_step import OneStep

E, B = mg.estimators, mg.baselines
COSTS = {
    "quad": mg.environments.quadratic_cost,
    "expsq": mg.environments.exponential_cost,
    "cos": mg.environments.cosine_cost,
}
LADDER = {
    "SF": E.score_function(),
    "mean": E.score_function(B.mean_return()),
    "opt": E.score_function(B.optimal_constant()),
    "PW": E.reparameterization(),
}
CASES = json.loads((pathlib.Path(__file__).parents[1] / "reference" / "toy_cases.json").read_text())["gauss"]


def problem(kind, k):
    return mg.Problem(COSTS[kind](k), mg.policies.gaussian(1), horizon=1)


def ladder(kind, k, mean=1.0, std=1.0):
    """Return the variances of SF, with mean and optimal baseline, pathwise and measure-valued: (5, 2)."""
    p, theta = problem(kind, k), [mean, std]
    rows = [mg.exact.variance(p, theta, x) for x in LADDER.values()]
    return np.array([*rows, mg.exact.variance(p, theta, E.measure_valued())])


# ---- formulas ----------------------------------------------------------------------------------------------------


def quadratic_formulas(k, m, s):
    d = m - k
    mean = [15 * s**2 + 14 * d**2 + d**4 / s**2, 10 * s**2 + 8 * d**2, 6 * s**2 + 8 * d**2, 4 * s**2]
    std = [74 * s**2 + 60 * d**2 + 2 * d**4 / s**2, 56 * s**2 + 40 * d**2, 24 * s**2 + 40 * d**2, 8 * s**2 + 4 * d**2]
    mvd = [(16 / np.pi - 4) * d**2, 4 * s**2 + 4 * d**2]
    return (
        d**2 + s**2,
        [2 * d, 2 * s],
        [3 * s**2 + d**2, 5 * s**2 + d**2],
        np.array([[*mean, mvd[0]], [*std, mvd[1]]]).T,
    )


def cosine_formulas(k, m, s):
    a, c = k * s, lambda t: np.cos(t * m) * np.exp(-(t**2) * s**2 / 2)
    J, g = c(k), np.array([-k * np.sin(k * m) * np.exp(-(a**2) / 2), -k * a * np.cos(k * m) * np.exp(-(a**2) / 2)])
    b = np.array([(1 - a**2) * c(k), (1 - 2 * a**2 + a**4 / 2) * c(k)])
    power = np.array([1, 2]) / s**2
    sf = (
        np.array([0.5 + 0.5 * (1 - 4 * a**2) * c(2 * k), 1 + 0.5 * (2 - 16 * a**2 + 16 * a**4) * c(2 * k)]) / s**2
        - g**2
    )
    pw = np.array([k**2 * (1 - c(2 * k)) / 2, k**2 * (1 - (1 - 4 * a**2) * c(2 * k)) / 2]) - g**2
    product = np.cos(2 * k * m) * (2 * np.exp(-2 * a**2) - np.exp(-(a**2) / 2)) + np.exp(-(a**2) / 2)
    of_std = (0.5 * (1 + (1 - 4 * a**2) * c(2 * k)) + 0.5 * (1 + c(2 * k)) - product) / s**2
    of_mean = 2 * np.sqrt(2) * a * dawsn(np.sqrt(2) * a) * np.sin(k * m) ** 2 / (np.pi * s**2)
    mvd = np.array([of_mean, of_std]) - g**2
    return J, g, b, np.array([sf, sf + power * ((J - b) ** 2 - b**2), sf - power * b**2, pw, mvd])


def exponential_formulas(k, m, s):
    def tilted(c, *powers):
        """Return M(c) E_c[z^n] for each n: the Gaussian tilted by exp(-c x^2)."""
        scale = 1 + 2 * c * s**2
        mu, v = -2 * c * s * m / scale, 1 / scale
        moments = [1.0, mu]
        for n in range(2, 5):
            moments.append(mu * moments[-1] + (n - 1) * v * moments[-2])
        return [scale**-0.5 * np.exp(-c * m**2 / scale) * moments[n] for n in powers]

    (J,), (first, second, fourth) = tilted(k, 0), tilted(k, 1, 2, 4)
    g = np.array([first, second - J]) / s
    b = np.array([second, (fourth - 2 * second + J) / 2])
    zero, z, zz, zzz, zzzz = tilted(2 * k, 0, 1, 2, 3, 4)
    power = np.array([1, 2]) / s**2
    sf = np.array([zz, zzzz - 2 * zz + zero]) / s**2 - g**2
    x2, x2z2 = m**2 * zero + 2 * m * s * z + s**2 * zz, m**2 * zz + 2 * m * s * zzz + s**2 * zzzz
    pw = 4 * k**2 * np.array([x2, x2z2]) - g**2
    return J, g, b, np.array([sf, sf + power * ((J - b) ** 2 - b**2), sf - power * b**2, pw])


FORMULAS = {"quad": quadratic_formulas, "cos": cosine_formulas, "expsq": exponential_formulas}


@pytest.mark.parametrize("kind", FORMULAS)
def test_closed_forms(kind):
    """Mohamed, Rosca, Figurnov and Mnih (2020): Figures 2 and 3 as formulas, at random means, stds and k."""
    rng = np.random.default_rng(1)
    for _ in range(10):
        k, m, s = rng.uniform(0.1, 2.5), rng.normal(), rng.uniform(0.3, 1.5)
        J, g, b, variances = FORMULAS[kind](k, m, s)
        p, theta = problem(kind, k), [m, s]
        assert mg.exact.objective(p, theta) == pytest.approx(J, rel=1e-12)
        np.testing.assert_allclose(mg.exact.gradient(p, theta), g, rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(mg.exact.coefficients(p, theta, LADDER["opt"])[0], b, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(ladder(kind, k, m, s)[: len(variances)], variances, rtol=1e-10, atol=1e-13)


VALUES = {  # mean = std = 1, k: SF, mean baseline, optimal baseline, pathwise, measure-valued, for the mean and the std
    ("quad", -3): ([495, 138, 134, 4, 17.4873], [1546, 696, 664, 72, 68]),
    ("quad", 0): ([30, 18, 14, 4, 1.09296], [136, 96, 64, 12, 8]),
    ("quad", 1): ([15, 10, 6, 4, 0], [74, 56, 24, 8, 4]),
    ("quad", 3): ([87, 42, 38, 4, 4.37183], [346, 216, 184, 24, 20]),
    ("expsq", 0.1): (
        [0.563532, 0.054075, 0.0404677, 0.0162902, 0.00250909],
        [0.935384, 0.228894, 0.140991, 0.02777, 0.0219705],
    ),
    ("expsq", 1): (
        [0.17575, 0.080673, 0.0722217, 0.211723, 0.0125676],
        [0.17669, 0.223173, 0.112784, 0.175731, 0.0706647],
    ),
    ("expsq", 10): (
        [0.0769404, 0.0602344, 0.0601966, 0.941629, 0.0206558],
        [0.0090346, 0.0391889, 0.00873908, 0.892046, 0.116732],
    ),
    ("cos", 0.5): (
        [0.455248, 0.155351, 0.117864, 0.0392846, 0.00827547],
        [0.798658, 0.723684, 0.460102, 0.0875129, 0.0652662],
    ),
    ("cos", 1.58): (
        [0.324847, 0.324875, 0.324832, 1.05103, 0.162726],
        [0.790387, 0.790426, 0.790377, 1.17205, 0.466627],
    ),
    ("cos", 5): (
        [0.5, 0.5, 0.5, 12.5, 0.295717],
        [1, 1, 1, 12.5, 0.999993],
    ),
}


@pytest.mark.parametrize("case", VALUES, ids=str)
def test_values_of_the_figures(case):
    np.testing.assert_allclose(ladder(*case).T, VALUES[case], rtol=5e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "parameter", "first", "second", "between", "k"),
    [
        ("quad", 0, 3, 4, (1.5, 3), 1 + 1.913058),  # pathwise = measure-valued
        ("expsq", 0, 3, 0, (0.1, 3), 0.8700),
        ("expsq", 0, 3, 2, (0.1, 3), 0.3580),
        ("expsq", 1, 3, 0, (0.1, 3), 1.0028),
        ("expsq", 1, 3, 2, (0.1, 3), 0.7519),
        ("expsq", 1, 4, 2, (0.8, 3), 1.4181),
        ("cos", 0, 3, 0, (0.5, 1.5), 1.0638),
        ("cos", 1, 3, 0, (0.5, 1.5), 1.2973),
    ],
)
def test_where_the_curves_cross(kind, parameter, first, second, between, k):
    def difference(k):
        rows = ladder(kind, k)
        return rows[first, parameter] - rows[second, parameter]

    assert brentq(difference, *between, xtol=1e-8) == pytest.approx(k, abs=6e-5)


def test_remarks_on_the_figures():
    rows = ladder("expsq", 10)
    assert rows[1, 1] / rows[0, 1] == pytest.approx(4.34, abs=0.01)  # the mean baseline hurts
    assert ladder("cos", np.pi)[4, 0] < 1e-15  # the kink in Figure 3: the branches are each other's mirror image
    large = ladder("expsq", 4000.0)  # exp(-k mean^2) alone underflows
    assert np.isfinite(large).all() and (large > 0).all()


# ---- reference values --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['f']}-{c['k']}-{c['mu']}")
def test_reference_cases(case):
    p, theta = problem(case["f"], case["k"]), [case["mu"], case["sigma"]]
    sf, pw = LADDER["SF"], LADDER["PW"]
    assert mg.exact.objective(p, theta) == pytest.approx(case["J"], rel=1e-12)
    np.testing.assert_allclose(mg.exact.gradient(p, theta), [case["dmu"], case["dsigma"]], rtol=1e-12)
    found = {
        "sf": mg.exact.variance(p, theta, sf),
        "sf_bJ": mg.exact.variance(p, theta, LADDER["mean"]),
        "b_opt": mg.exact.coefficients(p, theta, LADDER["opt"])[0],
        "sf_bopt": mg.exact.variance(p, theta, LADDER["opt"]),
        "pw": mg.exact.variance(p, theta, pw),
        "sf_anti": mg.exact.variance(p, theta, E.antithetic(sf)),
        "pw_anti": mg.exact.variance(p, theta, E.antithetic(pw)),
        "cov_sf_pw": mg.exact.covariance(p, theta, sf, pw),
        "mix_sf_pw": mg.exact.variance(p, theta, E.mixture(sf, pw)),
        "pw_cvscore": mg.exact.variance(p, theta, E.control_variate(pw, E.score())),
        "mvd_coupled": OneStep(p, theta).measure_valued_variance(),
        "mvd_indep": OneStep(p, theta).measure_valued_variance(coupled=False),
    }
    assert found.keys() == case["var_mu"].keys() == case["var_sigma"].keys()
    for key, value in found.items():
        expected = [case["var_mu"][key], case["var_sigma"][key]]
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-14, err_msg=key)


# ---- quadrature --------------------------------------------------------------------------------------------------

FUNCTIONS = {
    "quad": (lambda x, k: (x - k) ** 2, lambda x, k: 2 * (x - k)),
    "expsq": (lambda x, k: np.exp(-k * x * x), lambda x, k: -2 * k * x * np.exp(-k * x * x)),
    "cos": (lambda x, k: np.cos(k * x), lambda x, k: -k * np.sin(k * x)),
    "ripples": (
        lambda x, k: -(0.1 * np.sin(k * x / np.pi) + x * x / 100 + 0.1),
        lambda x, k: -(0.1 * k / np.pi * np.cos(k * x / np.pi) + x / 50),
    ),
}


def density(z):
    return np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_quadrature_of_the_estimators(kind):
    """Samples of every estimator as functions of the noise, on a fine grid: no algebra shared."""
    rng = np.random.default_rng(2)
    z = np.linspace(-12, 12, 24001)
    weight = density(z) * (z[1] - z[0])
    for _ in range(3):
        k, m, s = rng.uniform(0.2, 3), rng.normal(), rng.uniform(0.3, 1.2)
        p = mg.Problem((COSTS | {"ripples": mg.environments.sinusoid_on_parabola})[kind](k), mg.policies.gaussian(1), 1)
        f, slope = FUNCTIONS[kind]

        def samples(z, b, k=k, m=m, s=s, f=f, slope=slope):
            x, score = m + s * z, np.array([z / s, (z * z - 1) / s])
            return (f(x, k) - b) * score, slope(x, k) * np.array([np.ones_like(z), z]), score

        b = f(m + s * z, k) @ weight
        (sf, pw, score), (sf_b, *_) = samples(z, 0.0), samples(z, b)
        mirrored_sf, mirrored_pw, _ = samples(-z, 0.0)
        for estimator, values in (
            (LADDER["SF"], sf),
            (LADDER["mean"], sf_b),
            (E.reward_to_go([0.7]), sf - 0.7 * score),
            (LADDER["PW"], pw),
            (E.score(), score),
            (E.difference(LADDER["SF"], LADDER["PW"]), sf - pw),
            (E.antithetic(LADDER["SF"]), (sf + mirrored_sf) / 2),
            (E.antithetic(LADDER["PW"], "actions"), (pw + mirrored_pw) / 2),
            (E.control_variate(LADDER["PW"], E.score(), [[0.3, -0.2]]), pw - np.array([[0.3], [-0.2]]) * score),
        ):
            mean = values @ weight
            variance = (values - mean[:, None]) ** 2 @ weight
            np.testing.assert_allclose(mg.exact.mean(p, [m, s], estimator), mean, rtol=1e-9, atol=1e-10)
            np.testing.assert_allclose(mg.exact.variance(p, [m, s], estimator), variance, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_quadrature_of_measure_valued_derivatives(kind):
    k, m, s = 1.3, 0.4, 0.7
    p = mg.Problem((COSTS | {"ripples": mg.environments.sinusoid_on_parabola})[kind](k), mg.policies.gaussian(1), 1)

    def f(z):
        return FUNCTIONS[kind][0](m + s * z, k)

    def rayleigh(g):
        return quad(lambda w: w * np.exp(-w * w / 2) * g(w), 0, 12, epsabs=1e-13)[0]

    def maxwell(g):
        return quad(lambda z: z * z * density(z) * g(z), -12, 12, epsabs=1e-13, limit=200)[0]

    def normal(g):
        return quad(lambda z: density(z) * g(z), -12, 12, epsabs=1e-13, limit=200)[0]

    g = mg.exact.gradient(p, [m, s])
    scale = s * np.sqrt(2 * np.pi)
    assert (rayleigh(f) - rayleigh(lambda w: f(-w))) / scale == pytest.approx(g[0], rel=1e-9)
    assert (maxwell(f) - normal(f)) / s == pytest.approx(g[1], rel=1e-9)
    product = quad(lambda u: maxwell(lambda z: f(z) * f(u * z)), 0, 1, epsabs=1e-12)[0]
    squares = [rayleigh(lambda w, e=e: f(e * w) ** 2) - rayleigh(lambda w, e=e: f(e * w)) ** 2 for e in (1, -1)]
    coupled = [
        rayleigh(lambda w: (f(w) - f(-w)) ** 2) / scale**2 - g[0] ** 2,
        (maxwell(lambda z: f(z) ** 2) + normal(lambda z: f(z) ** 2) - 2 * product) / s**2 - g[1] ** 2,
    ]
    of_maxwell = maxwell(lambda z: f(z) ** 2) - maxwell(f) ** 2
    apart = [sum(squares) / scale**2, (of_maxwell + normal(lambda z: f(z) ** 2) - normal(f) ** 2) / s**2]
    np.testing.assert_allclose(OneStep(p, [m, s]).measure_valued_variance(), coupled, rtol=1e-8)
    np.testing.assert_allclose(OneStep(p, [m, s]).measure_valued_variance(coupled=False), apart, rtol=1e-8)


def test_baselines_and_groups():
    p, theta = problem("cos", 1.0), [0.7, 0.5]
    J, power = mg.exact.objective(p, theta), np.array([1, 2]) / 0.25
    at_mean = mg.exact.variance(p, theta, LADDER["mean"])
    for same in (E.reward_to_go(B.value()), E.reward_to_go(B.mean_to_go()), E.score_function(J)):
        np.testing.assert_allclose(mg.exact.variance(p, theta, same), at_mean, rtol=1e-12)
    best = mg.exact.variance(p, theta, LADDER["opt"])
    for same in (E.reward_to_go(B.optimal_over_time()), E.reward_to_go(B.naive_optimal_over_time())):
        np.testing.assert_allclose(mg.exact.variance(p, theta, same), best, rtol=1e-12)
    # One number for both parameters lies between the two optima, and no other does better in sum.
    b = mg.exact.total_optimal_constant(p, theta, LADDER["SF"])
    total = mg.exact.variance(p, theta, E.score_function(B.total_optimal_constant())).sum()
    optima = mg.exact.coefficients(p, theta, LADDER["opt"])[0]
    assert total == pytest.approx((best + power * (b - optima) ** 2).sum(), rel=1e-12)
    assert optima.min() < b < optima.max()
    # The leave-one-out mean as a baseline: never seen by its own score, but noisy.
    groups = [mg.exact.variance(p, theta, E.leave_one_out(G)) * G for G in (2, 4, 16)]
    assert (groups[0] > groups[1]).all() and (groups[1] > groups[2]).all() and (groups[2] > at_mean).all()
    np.testing.assert_allclose(mg.exact.variance(p, theta, E.same_batch_mean(4)), 0.75**2 * groups[1] / 4, rtol=1e-12)


def test_many_dimensions():
    """Figure 4: 2 c^2 / std^2 for a constant, D^2 / (2 std^2) + 2 D + 8 for a sum at mean 1/2 (std 1), for each std."""
    for D in (1, 10, 100):
        theta = np.concatenate([np.full(D, 0.5), np.ones(D)])
        for environment, expected in (
            (mg.environments.constant_cost(D), 20000.0),
            (mg.environments.sum_cost(D), D**2 / 2 + 2 * D + 8),
        ):
            p = mg.Problem(environment, mg.policies.gaussian(D), 1)
            np.testing.assert_allclose(mg.exact.variance(p, theta, LADDER["SF"])[D:], expected, rtol=1e-12)
    p = mg.Problem(mg.environments.sum_cost(3), mg.policies.gaussian(3, std=[0.5, 1.0, 2.0]), 1)
    # f = sum of the means + sum_d std_d z_d: for a mean, E f^2 z_d^2 / std_d^2 - 1 by hand.
    mean, var = 0.6, 0.25 + 1.0 + 4.0
    by_hand = [(mean**2 + var + 2 * s**2) / s**2 - 1 for s in (0.5, 1.0, 2.0)]
    theta = [0.1, 0.2, 0.3]
    np.testing.assert_allclose(mg.exact.variance(p, theta, LADDER["SF"]), by_hand, rtol=1e-12)
    np.testing.assert_allclose(mg.exact.variance(p, theta, LADDER["PW"]), 0.0, atol=1e-14)
    # (R z + R' z') / 2 with R = mean + w, R' = mean - w, z' = -z: w z, even.
    anti = [(var + 2 * s**2) / s**2 - 1 for s in (0.5, 1.0, 2.0)]
    np.testing.assert_allclose(mg.exact.variance(p, theta, E.antithetic(LADDER["SF"])), anti, rtol=1e-12)
    # Branches: (2 s W)^2 / (2 pi s^2) with E W^2 = 2; apart, the other actions differ as well.
    coupled, apart = (OneStep(p, theta).measure_valued_variance(x) for x in (True, False))
    np.testing.assert_allclose(coupled, 4 / np.pi - 1, rtol=1e-12)
    rayleigh = [2 * s**2 * (2 - np.pi / 2) + 2 * (var - s**2) for s in (0.5, 1.0, 2.0)]
    np.testing.assert_allclose(apart, np.array(rayleigh) / (2 * np.pi * np.array([0.25, 1.0, 4.0])), rtol=1e-12)


def test_where_there_is_no_closed_form():
    cost, gaussian = mg.environments.cosine_cost(1.0), mg.policies.gaussian(1)
    no = mg.exact.NoClosedForm
    with pytest.raises(no, match="for a horizon of 2"):
        mg.exact.variance(mg.Problem(cost, gaussian, 2), [0, 1], LADDER["SF"], work=0)
    with pytest.raises(no, match="expected mcgrad.policies.gaussian"):
        mg.exact.gradient(mg.Problem(cost, mg.policies.linear_gaussian(1, 1, std=1.0), 1), [0], work=0)
    with pytest.raises(no, match="standard deviation of 0"):
        mg.exact.objective(mg.Problem(cost, mg.policies.gaussian(1, std=0.0), 1), [0], work=0)
    p = mg.Problem(cost, gaussian, 1)
    with pytest.raises(ValueError, match=r"theta: expected standard deviations > 0, got \[-1.0\]"):
        mg.exact.objective(p, [0, -1])
    with pytest.raises(no, match="EvolutionStrategies on cosine cost under Gaussian m=1"):
        mg.exact.variance(p, [0, 1], E.evolution_strategies(0.1), work=0)
    with pytest.raises(no, match="covariances between parameters"):
        mg.exact.coefficients(p, [0, 1], E.control_variate(LADDER["SF"], E.score(), full=True), work=0)
    with pytest.raises(ValueError, match="expected a control variate"):
        mg.exact.coefficients(p, [0, 1], LADDER["SF"])
    with pytest.raises(no, match="scaling: no closed form is known for cosine cost"):
        mg.exact.scaling(p, [0, 1], LADDER["SF"])
    with pytest.raises(no, match="OfState"):
        mg.exact.variance(p, [0, 1], E.reward_to_go(B.of_state(lambda p, s: s[0])), work=0)
