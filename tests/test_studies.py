"""Studies find what is true, survive interruption, and their figures are drawn from results alone."""

import csv
import dataclasses
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import mcgrad as mg
from figures import __main__ as figures_command
from figures import files, style
from figures import ladder as ladder_figure
from mcgrad import study
from mcgrad.csv_rows import as_csv
from studies import __main__ as studies_command
from studies import by_hand, horizon, ladder, noise_scale, points, throughput, workloads

ROOT = pathlib.Path(__file__).parent.parent
DRAWN = ("floor", "horizon", "ladder", "lessons", "noise_scale", "points")  # here; the others by the CI script
OTHER = {noise_scale: "std", horizon: "horizon"}  # a setting to be wrong about


def deviations(row, mean, variance):
    """Return how many standard errors a row is from a mean and from a variance."""
    of_mean = abs(row["mean"] - mean) / max(row["stderr"], 1e-12 * abs(mean))
    return of_mean, abs(row["variance"] - variance) / max(row["variance_stderr"], 1e-24 * mean**2)


def reduced(module, keep, count):
    """Return a few settings of a study, with fewer trajectories."""
    settings = [s for s in module.settings(True) if s["count"] and keep(s)]
    untimed = {"timed": 0} if "timed" in settings[0] else {}
    return [{**s, "count": count, "start": k * count, **untimed} for k, s in enumerate(settings)]


@pytest.mark.parametrize(
    "module, keep",
    [
        (noise_scale, lambda s: s["std"] == 0 or abs(np.log10(s["std"]) + 1.25) < 1.3),
        (horizon, lambda s: s["spectral_radius"] in (0.5, 1.1) and s["horizon"] in (1, 10, 50)),
        (ladder, lambda s: True),
    ],
    ids=["noise_scale", "horizon", "ladder"],
)
def test_rows_agree_with_exact_values(module, keep, seed):
    number = 0
    for setting in reduced(module, keep, 40_000):
        for row in module.rows(setting, seed, None):
            assert max(deviations(row, row["exact_mean"], row["exact_variance"])) < 5, row
            assert row["nonfinite"] == 0 and row["count"] == setting["count"]
            number += 1
    assert number > 20


@pytest.mark.parametrize("module", OTHER, ids=lambda m: m.STUDY.name)
def test_the_comparison_has_power(module, seed):
    """It rejects the variance of a problem with a fifth more noise or steps; and a mean that is off by 10 errors."""
    setting = reduced(module, lambda s: 0.05 < s[OTHER[module]] < 11, 40_000)[-1]
    key = OTHER[module]
    wrong = {**setting, key: setting[key] * 2 if key == "horizon" else setting[key] * 1.2, "count": 0}
    for row, false in zip(module.rows(setting, seed, None), module.rows(wrong, seed, None), strict=True):
        assert deviations(row, row["exact_mean"], false["exact_variance"])[1] > 5
        assert deviations(row, row["exact_mean"] + 10 * row["stderr"], row["exact_variance"])[0] > 5


def test_the_deterministic_policy_has_the_gradient_of_back_propagation(seed):
    (row,) = noise_scale.rows({"process_noise": 0.0, "std": 0.0, "count": 100, "start": 0}, seed, None)
    s, ds, gradient = 1.0, 0.0, 0.0
    K, F = noise_scale.K, noise_scale.A + noise_scale.B * noise_scale.K
    for _ in range(noise_scale.HORIZON):
        gradient -= 2 * s * ds + 2 * noise_scale.R * K * s * (K * ds + s)
        s, ds = F * s, F * ds + noise_scale.B * s
    assert row["mean"] == pytest.approx(gradient, rel=1e-12)
    assert row["exact_mean"] == pytest.approx(gradient, rel=1e-12)


# ---- running: resume, files ------------------------------------------------------------------------------------


class Interrupted:
    """A study of four settings that is interrupted, once, before the setting number `at`."""

    def __init__(self, at):
        self.at, self.done = at, []
        settings = reduced(noise_scale, lambda s: s["std"] > 0, 500)[:4]

        def rows(setting, seed, threads):
            if len(self.done) == self.at:
                self.at = None
                raise KeyboardInterrupt
            self.done.append(setting)
            return noise_scale.rows(setting, seed, threads)

        self.study = dataclasses.replace(noise_scale.STUDY, settings=lambda quick: settings, rows=rows)


def test_an_interrupted_study_goes_on_and_gives_the_same_file(tmp_path):
    whole, broken = Interrupted(None), Interrupted(3)
    study.run(whole.study, tmp_path / "whole", seed=4)
    with pytest.raises(KeyboardInterrupt):
        study.run(broken.study, tmp_path / "broken", seed=4)
    folder = tmp_path / "broken"
    assert [p.name for p in folder.iterdir()] == ["noise_scale.partial"]
    with open(folder / "noise_scale.partial", "a") as stream:
        stream.write('{"key": "cut off in the middle of a li')
    study.run(broken.study, folder, seed=4)
    assert len(broken.done) == 4  # three before the interruption, one after
    assert (folder / "noise_scale.csv").read_bytes() == (tmp_path / "whole" / "noise_scale.csv").read_bytes()
    assert sorted(p.name for p in folder.iterdir()) == ["noise_scale.csv", "noise_scale.json"]


def test_another_seed_does_not_go_on_with_old_settings(tmp_path):
    broken = Interrupted(2)
    with pytest.raises(KeyboardInterrupt):
        study.run(broken.study, tmp_path, seed=4)
    study.run(broken.study, tmp_path, seed=5)
    assert len(broken.done) == 2 + 4


def test_quick_results_leave_full_ones_alone_and_say_what_they_are(tmp_path):
    few = Interrupted(None).study
    study.run(few, tmp_path, seed=1)
    full = (tmp_path / "noise_scale.csv").read_bytes()
    study.run(few, tmp_path, preset="quick", seed=2)
    assert (tmp_path / "noise_scale.csv").read_bytes() == full
    about = json.loads((tmp_path / "quick" / "noise_scale.json").read_text())
    assert (about["quick"], about["seed"], about["counts"]) == (True, 2, [500])
    assert {"command", "date", "versions", "machine", "seconds", "git"} <= set(about)
    assert {"python", "numpy", "numba", "llvmlite", "scipy", "mcgrad"} == set(about["versions"])
    assert not files.read("noise_scale", tmp_path).about["quick"]
    assert files.read("noise_scale", tmp_path / "quick").about["quick"]


def test_floats_survive_the_file():
    values = [0.1 + 0.2, 1e-310, -1.0 / 3.0, 1e300]
    text = as_csv(("x", "y"), [{"x": v} for v in values])
    assert [float(row["x"]) for row in csv.DictReader(text.splitlines())] == values
    assert text.splitlines()[1] == "0.30000000000000004,"
    with pytest.raises(ValueError, match="'z'"):
        as_csv(("x", "y"), [{"z": 1.0}])


@pytest.mark.parametrize("module", [noise_scale, horizon], ids=lambda m: m.STUDY.name)
def test_the_results_in_the_repository_are_of_this_study(module):
    path = studies_command.RESULTS / f"{module.STUDY.name}.csv"
    assert path.stat().st_size < 100_000
    results = files.read(module.STUDY.name)
    assert not results.about["quick"] and tuple(results.rows.columns) == module.STUDY.columns
    for setting in module.settings(False)[5::31]:
        for row in module.rows({**setting, "count": 0}, 0, None):
            same = results.rows[module.STUDY.columns[0]] == row[module.STUDY.columns[0]]
            same &= (results.rows[OTHER[module]] == row[OTHER[module]]) & (
                results.rows["estimator"] == row["estimator"]
            )
            assert results.rows[same]["exact_variance"].item() == pytest.approx(row["exact_variance"], rel=1e-9)


# ---- ladder ----------------------------------------------------------------------------------------------------


def exact_variances(system):
    """Return {estimator: exact variance} of the ladder on a system of one parameter."""
    settings = [s for s in ladder.settings(False) if s["system"] == system]
    rows = [row for s in settings for row in ladder.rows({**s, "count": 0, "timed": 0}, 0, None)]
    return {row["estimator"]: row["exact_variance"] for row in rows}


def test_the_scalar_ladder_has_the_variances_of_the_literature():
    found = exact_variances("scalar")
    assert found["score function"] == pytest.approx(633.34557, rel=1e-7)
    assert found["score function, baseline J"] == pytest.approx(298.3181, rel=1e-6)
    assert found["score function, optimal constant"] == pytest.approx(209.35742, rel=1e-7)
    assert found["reward to go"] == pytest.approx(367.55598, rel=1e-7)
    assert found["reward to go, value baseline"] == pytest.approx(33.40124, rel=1e-6)
    assert found["value gradient"] == pytest.approx(5.9709976, rel=1e-7)
    assert found["all actions"] == pytest.approx(4.3504879, rel=1e-7)
    assert found["reparameterization"] == pytest.approx(8.6441279, rel=1e-7)


def test_the_ladder_on_which_folk_wisdom_fails_is_a_reference_case():
    cases = json.loads((ROOT / "tests" / "reference" / "lq_cases.json").read_text())["cases"]
    reference = next(case for case in cases if case["id"] == "S12")["estimators"]
    found = exact_variances("only actions cost")
    names = {
        "score function": "total",
        "score function, baseline J": "total_bJ",
        "score function, optimal constant": "total_bopt",
        "reward to go": "rtg",
        "reward to go, mirrored actions": "anti_eps(rtg)",
        "reward to go, baseline J": "rtg_bJ",
        "reward to go, mean baseline": "rtg_btmean",
        "reward to go, optimal over time": "rtg_btopt",
        "reward to go, value baseline": "rtg_V",
        "reward to go, optimal quadratic": "rtg_qopt",
        "action control variate": "qcv",
        "generalized advantage, .9": "gae(0.9)",
        "generalized advantage, 0": "gae(0)",
        "advantage": "A",
        "value gradient": "svg0",
        "all actions": "aa",
        "reparameterization": "pw",
        "reparameterization, mirrored actions": "anti_eps(pw)",
        "reparameterization, score control": "pw_cvscore",
        "reparameterization, mixed with reward to go": "mix(rtg_V,pw)",
    }
    for name, key in names.items():
        assert found[name] == pytest.approx(reference[key]["var"][0], rel=1e-9), name
    assert set(found) - set(names) == {"evolution strategies", "score function, leave one out"}


def test_the_ladder_in_the_repository_is_of_this_study_and_says_what_its_figure_says():
    path = studies_command.RESULTS / "ladder.csv"
    assert path.stat().st_size < 100_000
    results = files.read("ladder")
    assert not results.about["quick"] and tuple(results.rows.columns) == ladder.STUDY.columns
    kept = results.rows.set_index(["system", "estimator", "parameter"])
    assert len(kept) == results.about["rows"] == len(ladder.RUNGS) * (1 + 8 + 1)
    for setting in ladder.settings(False):
        for row in ladder.rows({**setting, "count": 0, "timed": 0}, 0, None):
            found = kept.loc[row["system"], row["estimator"], row["parameter"]]
            if row["exact_variance"] is None:
                assert row["estimator"] == "evolution strategies" and np.isnan(found["exact_variance"])
                continue
            assert found["exact_variance"] == pytest.approx(row["exact_variance"], rel=1e-9)
            assert found["exact_mean"] == pytest.approx(row["exact_mean"], rel=1e-9)
            assert found["variance_times_rollouts"] == found["rollouts"] * found["exact_variance"]
            for bound in ("tree_bound", "markov_bound"):
                assert found[bound] == pytest.approx(row[bound], rel=1e-9, abs=1e-12)
    failed = ladder_figure.failures(ladder_figure.summary(results.rows))
    mirrored, only = "reparameterization, mirrored actions", "only actions cost"
    assert [name for system, name in failed if system != only] == [mirrored, mirrored]
    four = {"reward to go, baseline J", "reward to go, value baseline", "value gradient", "all actions"}
    assert {name for system, name in failed if system == only} == four
    assert four < set(ladder_figure.WORDS)
    assert set(ladder.RUNGS) == {name for group in ladder_figure.GROUPS for name in group.labels}


def test_the_ladder_is_told_as_a_table(results):
    rows = files.read("ladder", results).rows.replace({np.nan: None}).to_dict("records")
    text = ladder.STUDY.report(rows)
    assert "only actions cost: value gradient has, per rollout, 12.3 times reparameterization" in text
    assert len(text.splitlines()) > len(rows) / 2  # a line for each estimator, two systems


# ---- points ----------------------------------------------------------------------------------------------------


def test_errors_of_designs_are_of_estimates_that_are_right(results, seed):
    rows = files.read("points", results).rows
    deviation = np.abs(rows["mean"] - rows["exact_mean"]) / rows["stderr"]
    assert len(rows) == 2 * 4 * 3 * len(points.sizes(True)) and deviation.max() < 5
    known = rows[rows["exact_variance"].notna()]
    assert set(known["design"]) == {"random", "mirrored actions"}
    assert (np.abs(known["error"] - known["exact_error"]) / known["error_stderr"]).max() < 5
    # Of one point, a design is random: its spread is that of one trajectory.
    p, theta = points.problem(1)
    one = {"horizon": 1, "design": "Sobol", "trajectories": [1], "count": 20_000, "start": 0}
    for row in points.rows(one, seed, None):
        exact = mg.exact.variance(p, theta, points.estimators("Sobol")[row["estimator"]])[0]
        assert max(deviations(row, row["exact_mean"], exact)) < 5
        assert deviations(row, row["exact_mean"], 4 * exact)[1] > 5


def test_the_points_in_the_repository_are_of_this_study_and_say_what_their_figure_says():
    results = files.read("points")
    assert (studies_command.RESULTS / "points.csv").stat().st_size < 100_000
    assert not results.about["quick"] and tuple(results.rows.columns) == points.COLUMNS
    rows = results.rows.set_index(["horizon", "design", "estimator", "trajectories"]).sort_index()
    assert len(rows) == results.about["rows"] == 2 * 4 * 3 * len(points.sizes(False))
    for setting in points.settings(False):
        if setting["design"] in points.POINTS:
            continue
        for row in points.rows({**setting, "count": 0}, 0, None):
            found = rows.loc[row["horizon"], row["design"], row["estimator"], row["trajectories"]]
            assert found["exact_variance"] == pytest.approx(row["exact_variance"], rel=1e-9)
            assert found["exact_mean"] == pytest.approx(row["exact_mean"], rel=1e-9)
    last, first = max(points.sizes(False)), max(points.sizes(False)) // 64
    for T in points.HORIZONS:
        errors = rows["error"][T, "Sobol"]
        slopes = {
            name: np.log(errors[name, last] / errors[name, first]) / np.log(64) for name in errors.index.levels[0]
        }
        assert -1.2 < slopes["reparameterization"] < -0.9
        assert -0.95 < slopes["score function"] < -0.6


# ---- throughput ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["W1 lq-4x2", "W3 bandit (x-k)^2", "W3 bandit cos(kx)", "W4 pendulum"])
def test_the_program_by_hand_computes_the_same(name, seed):
    workload = workloads.WORKLOADS[name]()
    rng = np.random.default_rng(seed)
    count, mean, variance = by_hand.moments(np.stack(workload.batch(2048, rng)) for _ in range(4))
    found = mg.measure(workload.problem, workload.theta, throughput.ALONE, 40_000, seed, progress=False)
    assert throughput.deviation((count, mean, variance), found) < 5
    assert throughput.deviation((count, mean + 7 * np.sqrt(variance / count), variance), found) > 5


@pytest.mark.parametrize("name", ["W2 lq-1x1", "W3 bandit cos(kx)", "W4 pendulum"])
def test_the_program_for_jax_computes_the_same(name, seed):
    pytest.importorskip("jax")
    from studies import by_jax

    workload = workloads.WORKLOADS[name]()
    count, mean, variance = by_jax.measured(name, workload, 8192)(seed)
    found = mg.measure(workload.problem, workload.theta, throughput.ALONE, 40_000, seed, progress=False)
    assert count == 8192 and throughput.deviation((count, mean, variance), found) < 5
    assert throughput.deviation((count, mean + 7 * np.sqrt(variance / count), variance), found) > 5


def test_throughput_sweeps_many_thetas(seed):
    rows = throughput.sweep_rows("W2 lq-1x1", workloads.lq_1x1(), 3, 1, seed)
    assert rows[0]["code"] == "mcgrad" and rows[0]["count"] == 3 * 256 and rows[0]["cpu_seconds"] >= 0
    assert all(row["deviation"] < 5 for row in rows if row.get("deviation") is not None)


def test_throughput_reports_times(tmp_path):
    setting = {"workload": "W3 bandit cos(kx)", "steps": 1, "repeats": 1}
    one = dataclasses.replace(throughput.STUDY, settings=lambda quick: [setting])
    rows = study.run(one, tmp_path, preset="quick")
    assert [(r["code"], r["estimators"]) for r in rows][:2] == [("numpy", "both"), ("mcgrad", "both")]
    ours = [r for r in rows if not r["code"].startswith("jax")]  # which is not everywhere
    assert len(ours) == 5 and ours[1]["times_numpy"] > 0 and ours[1]["deviation"] < 5
    assert ours[1]["cold_seconds"] > ours[1]["warm_seconds"] > 0 and ours[4]["code"] == "mcgrad single"
    assert "W3 bandit" in throughput.STUDY.report(rows)


# ---- commands and figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [studies_command, figures_command])
def test_an_unknown_name_gets_help(command, capsys):
    assert command.main(["noise-scale"]) == 2
    message = capsys.readouterr().err
    assert "'noise-scale'" in message and ", horizon, " in message
    assert "Did you mean noise_scale?" in message


@pytest.mark.parametrize("command", [studies_command, figures_command])
def test_what_lies_in_the_folder_is_found_and_listed(command, capsys):
    assert command.main(["--list"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == sorted(names) == list(command.found()) and {"noise_scale", "horizon"} <= set(names)
    helpers = {"style", "files", "by_hand", "problems", "learned_tables"}
    assert not helpers & set(names)
    assert {path.stem for path in command.HERE.glob("*.py") if "\nSTUDY = " in path.read_text()} == set(names)


def test_a_study_that_is_not_called_as_its_file_is_refused(monkeypatch):
    false = dataclasses.replace(horizon.STUDY, name="other")
    monkeypatch.setattr(horizon, "STUDY", false)
    with pytest.raises(ValueError, match="horizon.py: the study is called 'other'"):
        studies_command.found()


def test_presets_are_what_they_say(tmp_path):
    few = Interrupted(None)
    assert few.study.planned("full") == few.study.planned("default")
    settings = few.study.settings(False)
    longer = dataclasses.replace(few.study, full=lambda: settings[:2])
    assert len(study.run(longer, tmp_path, preset="full")) < len(study.run(longer, tmp_path))
    with pytest.raises(ValueError, match="not 'fast'"):
        study.run(longer, tmp_path, preset="fast")


def test_an_estimator_that_no_table_knows_has_a_look_of_its_own():
    known, new = style.look("reparameterization"), style.look("decayed")
    assert known.colour == "#10305c" and new != known
    code = "from figures import style; print(style.look('decayed'))"
    assert subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout == (f"{new}\n")


def test_figures_without_results_say_how_to_get_them(tmp_path, capsys):
    assert figures_command.main(["horizon", "--results", str(tmp_path), "--output", str(tmp_path)]) == 1
    assert "python -m studies horizon" in capsys.readouterr().err


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return the folder of the results of quick runs, made by the command."""
    folder = tmp_path_factory.mktemp("results")
    assert studies_command.main([*DRAWN, "--quick", "--results", str(folder)]) == 0
    return folder


def test_figures_are_drawn_again_byte_for_byte_without_the_library(results, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    assert figures_command.main([*DRAWN, "--results", str(results), "--output", str(here)]) == 0
    code = (
        "import sys; from figures.__main__ import main; "
        f"main([*{DRAWN}, '--results', {str(results)!r}, '--output', {str(there)!r}]); "
        "assert not {'mcgrad', 'numba', 'studies'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=True, capture_output=True)
    names = sorted(p.name for p in here.iterdir())
    assert names == [f"{name}.{kind}" for name in DRAWN for kind in ("pdf", "png")]
    for name in names:
        assert (here / name).read_bytes() == (there / name).read_bytes(), name
        assert b"CreationDate" not in (here / name).read_bytes()
        assert b"a quick run" in (here / name).read_bytes()
