"""The study layer: presets, changed settings, more trajectories, time left, and a user's own file run from anywhere."""

import dataclasses
import itertools
import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pandas
import pytest

import mcgrad as mg
from mcgrad import (
    command,
    merge_rows,
    progress,
    provenance,
    study,
    study_command,
    study_figure,
    study_settings,
    template_study,
)
from mcgrad.compiler import cache
from studies import horizon, throughput

ROOT = pathlib.Path(__file__).parent.parent
TEMPLATE = dataclasses.replace(template_study.STUDY, settings=lambda quick: template_study.settings(True)[:3])


# ---- more trajectories -----------------------------------------------------------------------------------------


def test_rows_of_two_ranges_are_those_of_both_together(seed):
    """Their moments, but for the third one in the kurtosis, which costs it 1 / N."""
    problem, theta = template_study.problem(3)

    def rows(count, start):
        return study.measured(problem, theta, template_study.ESTIMATORS, count=count, start=start, seed=seed)

    for one, two, both in zip(rows(8192, 0), rows(24_576, 8192), rows(32_768, 0), strict=True):
        found = merge_rows.merged("x", one, two)
        assert (found["count"], found["start"]) == (32_768, 0)
        for name in ("mean", "stderr", "variance"):
            assert found[name] == pytest.approx(both[name], rel=1e-12), name
        for name in ("kurtosis", "variance_stderr"):
            assert found[name] == pytest.approx(both[name], rel=1e-2), name
        assert one["variance"] != pytest.approx(both["variance"], rel=1e-6)
        false = merge_rows.merged("x", one, one | {"mean": one["mean"] + 1.0})
        assert false["variance"] > one["variance"] + 0.2


def test_more_adds_trajectories_that_were_not_used_before(tmp_path, seed):
    first = study.run(TEMPLATE, tmp_path, seed=seed)
    second = study.run(TEMPLATE, tmp_path, seed=seed, more=True)
    third = study.run(TEMPLATE, tmp_path, seed=seed, more=True)
    for a, b, c in zip(first, second, third, strict=True):
        assert (a["count"], b["count"], c["count"]) == (20_000, 40_000, 60_000)
        assert c["stderr"] < a["stderr"] and len({x["mean"] for x in (a, b, c)}) == 3
        assert abs(c["variance"] - c["exact_variance"]) < 5 * c["variance_stderr"]
        assert c["exact_variance"] == a["exact_variance"]
    about = json.loads((tmp_path / "my_study.json").read_text())
    assert about["parts"] == 3 and about["command"].endswith("then --more 2 time(s)")
    assert sorted(x.suffix for x in tmp_path.iterdir()) == [".csv", ".json"]
    settings = TEMPLATE.settings(False)
    used = sorted(
        (
            range(s["start"], s["start"] + s["count"])
            for k in range(3)
            for s in study_settings.shifted("x", settings, k)
        ),
        key=lambda r: r.start,
    )
    assert all(a.stop <= b.start for a, b in itertools.pairwise(used))


def test_more_that_was_interrupted_goes_on_with_the_same_bytes(tmp_path, seed):
    stop = [None]

    def rows(setting, own_seed, threads):
        if stop[0] == setting["horizon"]:
            stop[0] = None
            raise KeyboardInterrupt
        return template_study.rows(setting, own_seed, threads)

    broken = dataclasses.replace(TEMPLATE, rows=rows)
    for folder in ("whole", "broken"):
        study.run(broken, tmp_path / folder, seed=seed)
    study.run(broken, tmp_path / "whole", seed=seed, more=True)
    stop[0] = 5
    before = (tmp_path / "broken" / "my_study.csv").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        study.run(broken, tmp_path / "broken", seed=seed, more=True)
    assert (tmp_path / "broken" / "my_study.csv").read_bytes() == before
    study.run(broken, tmp_path / "broken", seed=seed, more=True)
    assert (tmp_path / "broken" / "my_study.csv").read_bytes() == (tmp_path / "whole" / "my_study.csv").read_bytes()


def fake(**changes):
    """Return a study without trajectories; `x` of its rows is what the setting says."""

    def rows(setting, seed, threads):
        return [
            {"x": setting["x"], "count": setting.get("count"), "mean": float(seed), "variance": 0.0, "nonfinite": 0}
        ]

    columns = ("x", "count", "mean", "stderr", "variance", "variance_stderr", "kurtosis", "nonfinite")
    settings = [
        {"x": 1, "count": 10, "start": 0},
        {"x": 2, "count": 20, "start": 10},
        {"x": 3, "count": 0, "start": 30},
    ]
    own = study.Study("fake", "?", columns, lambda quick: settings, rows, str)
    return dataclasses.replace(own, **changes)


def test_more_refuses_what_does_not_fit(tmp_path):
    with pytest.raises(study.Misfit, match="fake: --more adds to finished results, and there are none in"):
        study.run(fake(), tmp_path, more=True)
    study.run(fake(), tmp_path)
    with pytest.raises(study.Misfit, match="--more adds trajectories of the same seed alone"):
        study.run(fake(), tmp_path, more=True, seed=1)
    about = json.loads((tmp_path / "fake.json").read_text())
    (tmp_path / "fake.json").write_text(json.dumps(about | {"sources": "of last year"}))
    with pytest.raises(study.Misfit, match="the same sources and versions alone"):
        study.run(fake(), tmp_path, more=True)
    study.run(fake(settings=lambda quick: [{"x": 1}]), tmp_path)
    with pytest.raises(study.Misfit, match="--more needs settings that say `count` and `start`"):
        study.run(fake(settings=lambda quick: [{"x": 1}]), tmp_path, more=True)
    clock = iter(range(100))

    def timed(setting, seed, threads):
        return [{"x": next(clock), "count": 10, "mean": 0.0, "variance": 0.0, "nonfinite": 0}]

    study.run(fake(rows=timed), tmp_path)
    with pytest.raises(study.Misfit, match="x depends on the trajectories as well"):
        study.run(fake(rows=timed), tmp_path, more=True)


# ---- changed settings ------------------------------------------------------------------------------------------


def test_changed_settings_keep_ranges_of_their_own():
    settings = horizon.settings(True)
    counted = [s for s in settings if s["count"]]
    found = study_settings.changed("x", settings, {"count": 7})
    assert len(found) == len(settings)
    now = [s for s in found if s["count"]]
    assert [s["count"] for s in now] == [7] * len(counted)
    assert [s["start"] for s in now] == [7 * k for k in range(len(counted))]
    (one,) = {s["horizon"] for s in study_settings.changed("x", settings, {"horizon": 12})}
    assert one == 12 and len(study_settings.changed("x", settings, {"horizon": 12})) == 2 * len(
        horizon.RADII
    )  # exact, measured
    twice = [{"x": 1, "count": 5, "start": 0}, {"x": 1, "count": 5, "start": 5}]
    assert study_settings.changed("x", twice, {"x": 2}) == [s | {"x": 2} for s in twice]  # repetitions stay
    with pytest.raises(
        study.Misfit, match="x: --set hirozon: the settings of this study have count, horizon, spectral"
    ):
        study_settings.changed("x", settings, {"hirozon": 12})


def test_changed_runs_never_replace_others(tmp_path):
    study.run(fake(), tmp_path)
    kept = (tmp_path / "fake.csv").read_bytes()
    rows = study.run(fake(), tmp_path, changes={"x": 9})
    assert {row["x"] for row in rows} == {9} and (tmp_path / "fake.csv").read_bytes() == kept
    about = json.loads((tmp_path / "set" / "fake.json").read_text())
    assert about["set"] == {"x": 9} and about["command"] == "python -m studies fake --seed 0 --set x=9"


def test_the_command_line_says_what_is_to_be_changed(tmp_path, capsys):
    import argparse

    parser = argparse.ArgumentParser()
    study_command.add_options(parser)
    asked = parser.parse_args(["--set", "x=4", "--set", "name=some words", "--quick", "--seed", "3"])
    plan = study_command.plan(asked)
    assert plan.changes == {"x": 4, "name": "some words"} and (plan.preset, plan.seed) == ("quick", 3)
    assert study_command.run([fake()], tmp_path, parser.parse_args(["--set", "y=1"])) == 1
    assert "fake: --set y: the settings of this study have count, x" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parser.parse_args(["--set", "count"])
    assert "expected NAME=VALUE, such as count=100000, got 'count'" in capsys.readouterr().err


# ---- progress --------------------------------------------------------------------------------------------------


def test_the_time_left_leaves_out_the_compiler_and_weighs_settings(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    bar = progress.StudyProgress("mine", [1.0, 1.0, 1.0, 6.0], [True, False, False, False])
    with bar:
        now[0] += 60.0  # 50 s of them in the compiler: ten a unit
        bar.finished(1, 50.0)
        now[0] += 10.0
        bar.finished(2, 0.0)
        assert "mine: 3 of 4 settings, 60 s left" in capsys.readouterr().err
        now[0] += 60.0
        bar.finished(3, 0.0)
    assert capsys.readouterr().err == "mine: 4 of 4 settings\n"
    assert [progress.duration(x) for x in (12.3, 600.0, 9000.0)] == ["12 s", "10 min", "2.5 h"]


def test_seconds_of_the_compiler_are_known():
    before = progress.compiling()
    with cache._announced("what every compilation goes through", True):
        time.sleep(0.02)
    assert 0.02 <= progress.compiling() - before < 5.0


def test_studies_report_to_functions(tmp_path):
    seen = []
    study.run(fake(), tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert len(seen) == 3 and seen[-1][0] == pytest.approx(seen[-1][1])
    with pytest.raises(ValueError, match="progress: expected None, a bool, a function or tqdm"):
        study.run(fake(), tmp_path, progress="yes")


# ---- a study of one's own --------------------------------------------------------------------------------------


def test_the_template_of_a_study_runs_from_anywhere_and_is_drawn(tmp_path, monkeypatch, capsys):
    (tmp_path / "own").mkdir()
    file = tmp_path / "own" / "growth.py"
    assert command.main(["new", "--study", str(file)]) == 0
    text = file.read_text()
    file.write_text(text.replace("20_000 if quick", "2_000 if quick").replace("(1, 2, 5, 10, 20) if", "(1, 2, 3) if"))
    monkeypatch.chdir(tmp_path)
    assert command.main(["study", str(file), "--quick"]) == 0
    captured = capsys.readouterr()
    assert (
        "6 measured variances, at worst" in captured.out
        and "quick/growth.csv; for a figure: mcgrad figure" in captured.err
    )
    about = json.loads((file.parent / "results" / "quick" / "growth.json").read_text())
    assert about["command"] == "mcgrad study growth.py --seed 0 --quick" and str(tmp_path) not in json.dumps(about)
    assert command.main(["study", str(file), "--quick", "--more"]) == 0
    rows = pandas.read_csv(file.parent / "results" / "quick" / "growth.csv")
    assert (rows["count"] == 4_000).all() and (np.abs(rows["mean"] - rows["exact_mean"]) < 5 * rows["stderr"]).all()
    assert command.main(["figure", str(file)]) == 0
    pictures = [file.parent / "figures" / f"growth.{kind}" for kind in ("pdf", "png")]
    bytes_of = [path.read_bytes() for path in pictures]
    # Without a function of one's own: another figure, the same bytes each time.
    file.write_text(file.read_text().replace("def draw(", "def unused("))
    assert command.main(["figure", str(file)]) == 0
    again = [path.read_bytes() for path in pictures]
    assert again != bytes_of and b"mcgrad study growth.py" in again[1]
    assert command.main(["figure", str(file)]) == 0 and [path.read_bytes() for path in pictures] == again


def test_an_edit_of_ones_own_study_is_another_study(tmp_path):
    file = tmp_path / "edited.py"
    text = (
        "from mcgrad import study\nimport beside\n\n\ndef rows(setting, seed, threads):\n    return [{'x': beside.X}]\n\n\n"
        "STUDY = study.Study('edited', '?', ('x',), lambda quick: [{'n': n} for n in range(2)], rows, str)\n"
    )
    file.write_text(text)
    (tmp_path / "beside.py").write_text("X = 1\n")
    code = f"import sys; from mcgrad import command; sys.exit(command.main(['study', {str(file)!r}]))"
    options = {"capture_output": True, "text": True, "cwd": ROOT}
    sources = []
    for x in (1, 2):
        (tmp_path / "beside.py").write_text(f"X = {x}\n")
        found = subprocess.run([sys.executable, "-B", "-c", code], **options)
        assert found.returncode == 0, found.stderr
        assert (tmp_path / "results" / "edited.csv").read_text() == f"x\n{x}\n{x}\n"
        sources.append(json.loads((tmp_path / "results" / "edited.json").read_text())["sources"])
    assert sources[0] != sources[1]


@pytest.mark.parametrize(
    "text, message",
    [
        ("x = 1\n", "nothing is called `STUDY`; it should define STUDY = mcgrad.study.Study"),
        ("STUDY = 3\n", "`STUDY` is a int"),
        (
            "from mcgrad import study\ndef rows(setting, seed, threads):\n    return [{'y': 1 + []}]\n"
            "STUDY = study.Study('bad', '?', ('y',), lambda quick: [{}], rows, str)\n",
            "TypeError: unsupported operand",
        ),
        (
            "from mcgrad import study\n"
            "STUDY = study.Study('bad', '?', ('y',), lambda quick: [{}], lambda *x: [{'z': 1}], str)\n",
            "ValueError: dict contains fields not in fieldnames: 'z'",
        ),
    ],
)
def test_mistakes_in_ones_own_study_are_told(text, message, tmp_path, capsys):
    file = tmp_path / "bad.py"
    file.write_text(text)
    assert command.main(["study", str(file)]) == 2
    assert message in capsys.readouterr().err
    assert command.main(["figure", str(file)]) == 2
    assert command.main(["study", str(tmp_path / "none.py")]) == 2
    assert "`mcgrad new --study" in capsys.readouterr().err


def test_the_figure_that_nobody_has_drawn_says_what_it_lacks():
    about = {"study": "x", "question": "?"}
    rows = pandas.DataFrame({"a": [1, 2], "b": ["u", "v"]})
    with pytest.raises(study.Misfit, match="x: its rows have no count, estimator, exact_variance"):
        study_figure.draw(rows, about)
    same = pandas.DataFrame(
        {"estimator": ["e"], "variance": 1.0, "variance_stderr": 0.1, "exact_variance": 1.0, "count": 1}
    )
    with pytest.raises(study.Misfit, match="no setting varies that is a number"):
        study_figure.draw(same, about)


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out == f"mcgrad {mg.__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["study", "x.py", "--threads", "0"], "argument --threads: expected a whole number from 1 to 4096, got '0'"),
        (["study", "x.py", "--seed", "-1"], "argument --seed: expected a whole number from 0 to"),
        (["study", "x.py", "--workers", "0"], "argument --workers: expected a whole number of at least 1"),
        (["compare", "x.py", "--seed", "1.5"], "argument --seed: expected a whole number from 0 to"),
        (["compare", "x.py", "--batch", "0"], "argument --batch: expected a whole number of at least 1"),
        (["check", "x.py", "--count", "many"], "argument --count: expected a whole number of at least 1, got 'many'"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_options_that_are_out_of_range_are_named(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(words)
    assert stop.value.code == 2 and message in capsys.readouterr().err
    from mcgrad import template_study

    for options, what in (({"seed": -1}, "seed"), ({"threads": 0}, "threads")):
        with pytest.raises(ValueError, match=f"^{what}: expected a whole number"):
            study.run(template_study.STUDY, "nowhere", preset="quick", **options)


def test_versions_of_what_a_study_uses_besides_are_noted():
    found = provenance.versions_of(("pytest", "no-such-library"))
    assert found == {"pytest": pytest.__version__}
    about = provenance.provenance(dataclasses.replace(TEMPLATE, libraries=("pytest",)), "a command")
    assert about["versions"] == provenance.versions() | found
    assert "jax" in throughput.STUDY.libraries
