"""The command line: files are written first and nobody else's are touched; a user's file that ends or hangs is told of."""

import contextlib
import csv
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import pytest

from mcgrad import checks, command
from mcgrad.comparison import files

ROOT = pathlib.Path(__file__).parent.parent


class Found:
    """What `write_files` needs of a comparison."""

    title, seed, batch = "a problem", 0, 16
    rows = ()

    def __init__(self, value):
        self.value = value
        self.rows = (type("Row", (), {"count": 10, "nonfinite": 0}),)

    def records(self):
        return [{"estimator": "pathwise", "variance": self.value}]

    parameter_records = records

    def recommendation(self):
        return "Use pathwise"


def written(folder, value, stem="mine_compare"):
    """Write the files of a comparison; return what was in the way and their names."""
    paths, foreign = files.write_files(Found(value), folder, stem, figure=False)
    return foreign, [path.name for path in paths]


OURS = ["mine_compare.csv", "mine_compare_parameters.csv", "mine_compare.json"]
SECOND = ["mine_compare_2.csv", "mine_compare_2_parameters.csv", "mine_compare_2.json"]


def test_files_of_an_earlier_comparison_are_replaced(tmp_path):
    assert written(tmp_path / "new" / "folder", 1.0) == (None, OURS)
    assert written(tmp_path / "new" / "folder", 2.0) == (None, OURS)
    folder = tmp_path / "new" / "folder"
    assert sorted(path.name for path in folder.iterdir()) == sorted(OURS)
    assert (folder / OURS[0]).read_text() == "estimator,variance\npathwise,2.0\n"
    about = json.loads((folder / OURS[2]).read_text())
    assert about["recommendation"] == "Use pathwise" and set(about["files"]) == set(OURS[:2])


@pytest.mark.parametrize(
    "name", ["mine_compare.csv", "mine_compare.json", "mine_compare.png", "mine_compare_parameters.csv"]
)
def test_somebody_elses_file_is_never_touched(name, tmp_path):
    (tmp_path / name).write_text("precious")
    foreign, names = written(tmp_path, 1.0)
    assert foreign == tmp_path / name and names == SECOND
    assert (tmp_path / name).read_text() == "precious"
    assert written(tmp_path, 2.0)[1] == SECOND  # and these are ours to replace


def test_a_file_that_was_changed_since_is_somebody_elses(tmp_path):
    written(tmp_path, 1.0)
    with open(tmp_path / OURS[0], "a") as stream:
        stream.write("a note\n")
    assert written(tmp_path, 2.0) == (tmp_path / OURS[0], SECOND)
    assert (tmp_path / OURS[0]).read_text().endswith("a note\n")
    (tmp_path / SECOND[0]).unlink()
    (tmp_path / SECOND[0]).mkdir()
    assert written(tmp_path, 3.0)[1][0] == "mine_compare_3.csv"


# ---- a user's file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["compare", "check"])
@pytest.mark.parametrize("line", ["sys.exit()", "sys.exit(0)", "raise SystemExit('no')", "exit(3)"])
def test_a_file_that_ends_the_program_is_an_error_with_its_name_and_line(verb, line, tmp_path, capsys):
    path = tmp_path / "ends.py"
    path.write_text(f"import sys\n\n{line}\n")
    assert command.main([verb, str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and f"{path}:3: {line}" in captured.err and "SystemExit" in captured.err


def test_one_of_its_functions_may_not_end_it_either(tmp_path, capsys):
    path = tmp_path / "ends.py"
    path.write_text(
        "import sys\nimport mcgrad as mg\n\ndef reward(p, s, a, s_next, w):\n    sys.exit(0)\n\n"
        "world = mg.Environment(states=1, actions=1, init=lambda p, z: (0.0,), step=lambda p, s, a, w: s, reward=reward)\n"
        "problem, theta = mg.Problem(world, mg.policies.gaussian(1, std=0.5), 1), [0.0]\n"
    )
    assert command.main(["compare", str(path), "--out", str(tmp_path)]) == 2
    assert f"{path}:5: sys.exit(0)" in capsys.readouterr().err


def test_a_file_that_never_ends_says_where_it_is_and_stops_at_ctrl_c(tmp_path):
    path = tmp_path / "hangs.py"
    path.write_text("import mcgrad\n\nx = 0\nwhile True:\n    x += 1\n")
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # shells start background jobs with it ignored
        "from mcgrad import command\n"
        f"command.PATIENCE = 0.1\nsys.exit(command.main(['check', {str(path)!r}]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    with process:
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        rest = process.stderr.read()
        assert process.wait() == 130 and time.monotonic() - began < 10
    assert "still running" in first and f"{path}:" in first and "Ctrl-C" in first
    assert rest.strip().startswith(f"mcgrad: interrupted {path}:") and "Traceback" not in rest


PROBLEM = """
import mcgrad as mg
world = mg.Environment(
    states=1, actions=1, init=lambda p, z: (0.0,), step=lambda p, s, a, w: s, reward=lambda p, s, a, s_next, w: -a[0] ** 2
)
problem, theta = mg.Problem(world, mg.policies.gaussian(1, std=0.5), 1), [0.3]
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "small.py"
    path.write_text(PROBLEM)
    return path


def options(folder):
    return ["--count", "2000", "--only", "pathwise", "--no-figure", "--out", str(folder)]


@pytest.mark.parametrize(("silent", "told"), [(0.01, ["checking", "simulating"]), (60.0, [])])
def test_what_takes_long_says_what_it_is_at(silent, told, small, monkeypatch, capsys):
    def slow(*_, say, **__):
        with contextlib.redirect_stderr(io.StringIO()):  # as where processes compile
            time.sleep(0.5 if told else 0.0)
        say("simulating")
        return types.SimpleNamespace(ok=True)

    monkeypatch.setattr(command, "SILENT", silent)
    monkeypatch.setattr(checks, "check", slow)
    assert command.main(["check", str(small)]) == 0
    assert [line.split(" s  ")[1] for line in capsys.readouterr().err.splitlines()] == told


def test_files_are_there_before_anything_is_printed(small, tmp_path):
    """A reader that goes away takes no results along."""
    arguments = [sys.executable, "-m", "mcgrad", "compare", str(small), *options(tmp_path)]
    read, write = os.pipe()
    os.close(read)
    with contextlib.closing(os.fdopen(write, "w")) as gone:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(arguments, stdout=gone, stderr=subprocess.PIPE, text=True, env=environment, timeout=120)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {
        f"small_compare{x}" for x in (".csv", "_parameters.csv", ".json")
    }


def test_what_was_found_is_printed_though_it_cannot_be_written(small, tmp_path, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_files", full)
    assert command.main(["compare", str(small), *options(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert "\nUse pathwise" in captured.out and "No space left on device" in captured.err


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_measured(small, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert command.main(["compare", str(small), *options(tmp_path / "file" / "below")]) == 2
    captured = capsys.readouterr()
    assert "cannot write to" in captured.err and "measuring" not in captured.err and captured.out == ""


def test_a_foreign_file_is_said(small, tmp_path, capsys):
    (tmp_path / "small_compare.csv").write_text("precious")
    assert command.main(["compare", str(small), *options(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert (
        "small_compare.csv is not as mcgrad compare has left it" in captured.err
        and "small_compare_2.csv" in captured.err
    )
    assert (tmp_path / "small_compare.csv").read_text() == "precious"
    (row,) = csv.DictReader((tmp_path / "small_compare_2.csv").read_text().splitlines())
    assert row["estimator"] == "pathwise" and float(row["variance"]) > 0
