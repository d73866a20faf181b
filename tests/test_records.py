"""Nothing that a study has found is lost, mixed with what is out of date, or believed after it was damaged."""

import contextlib
import dataclasses
import errno
import json
import os
import pathlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from support import w1

import mcgrad as mg
from mcgrad import provenance, records, study
from studies import ladder, lessons

ROOT = pathlib.Path(__file__).parent.parent


class Counted:
    """A study of five settings that counts how many were done, and stops before number `at`."""

    def __init__(self, at=None):
        self.done = 0

        def rows(setting, seed, threads):
            if self.done == at:
                raise KeyboardInterrupt
            self.done += 1
            return [{"x": setting["x"], "y": setting["x"] / 3.0}]

        self.study = study.Study("counted", "?", ("x", "y"), lambda quick: [{"x": x} for x in range(5)], rows, str)


def interrupted(folder):
    """Return the partial file of a study that was interrupted after four settings."""
    with pytest.raises(KeyboardInterrupt):
        study.run(Counted(4).study, folder)
    return folder / "counted.partial"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the result of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    study.run(Counted().study, folder)
    return (folder / "counted.csv").read_bytes()


def test_a_damaged_file_is_set_aside_and_what_is_whole_goes_on(tmp_path, whole, capsys):
    partial = interrupted(tmp_path)
    good = partial.read_bytes()
    first, second, *_ = good.splitlines(keepends=True)
    no_rows = records.line({"key": json.loads(first.partition(b" ")[2])["key"], "seconds": 1.0})
    changed = first.replace(b"0.0}", b"9.0}")
    assert changed != first
    damages = {
        "foreign bytes": (b"\xff\xfe\x00nonsense\n" + good, 4),
        "no rows": (no_rows + b"".join(good.splitlines(keepends=True)[1:]), 3),
        "other number": (changed + b"".join(good.splitlines(keepends=True)[1:]), 3),
        "a list": (good + records.line([1, 2]) + records.line("key"), 4),
        "old format": (good + b'{"key": "k", "seconds": 1.0, "rows": []}\n', 4),
        "rows of numbers": (good + records.line({"key": "k", "seconds": 1.0, "rows": [1]}), 4),
        "a hole": (good.replace(second, bytes(len(second) - 1) + b"\n"), 3),
    }
    for number, (name, (data, left)) in enumerate(damages.items(), 1):
        partial.write_bytes(data)
        again = Counted()
        study.run(again.study, tmp_path)
        assert again.done == 5 - left, name
        assert (tmp_path / "counted.csv").read_bytes() == whole, name
        aside = tmp_path / ("counted.partial.damaged" + (f".{number}" if number > 1 else ""))
        assert aside.read_bytes() == data
        message = capsys.readouterr().err
        assert "are damaged" in message and str(aside) in message and message.count("\n") == 1
    assert not partial.exists()


def test_every_flipped_bit_and_every_cut_gives_the_same_result(tmp_path, whole, capsys, monkeypatch):
    for name in ("fingerprint", "provenance"):  # they take their time, and are not what this is about
        monkeypatch.setattr(study, name, lambda *about, **facts: "")
    partial = interrupted(tmp_path)
    good, rng = partial.read_bytes(), np.random.default_rng(0)
    for at in rng.integers(0, 8 * len(good), 60):
        data = bytearray(good)
        data[at // 8] ^= 1 << at % 8
        for damaged in (bytes(data), good[: at // 8]):
            partial.write_bytes(damaged)
            study.run(Counted().study, tmp_path)
            assert (tmp_path / "counted.csv").read_bytes() == whole
    kept = [p.name for p in tmp_path.iterdir()]
    assert not any(name.endswith((".tmp", ".lock", ".partial")) for name in kept)
    capsys.readouterr()
    partial.write_bytes(good[:-5])  # a process that died while it wrote is nothing to talk about
    study.run(Counted().study, tmp_path)
    assert capsys.readouterr().err == "" and sorted(kept) == sorted(p.name for p in tmp_path.iterdir())


def test_a_second_run_on_a_folder_is_refused(tmp_path):
    """And goes ahead when the first has died without a word."""
    code = f"""
        import pathlib, sys, time
        sys.path.insert(0, {str(ROOT)!r})
        from mcgrad import records
        with records.locked(pathlib.Path({str(tmp_path)!r}) / "counted.lock"):
            print("locked", flush=True)
            time.sleep(60)
    """
    first = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "locked\n"
    second = Counted()
    with pytest.raises(study.Busy, match=f"counted: process {first.pid} is at work on it"):
        study.run(second.study, tmp_path)
    assert second.done == 0 and [p.name for p in tmp_path.iterdir()] == ["counted.lock"]
    study.run(dataclasses.replace(second.study, name="other"), tmp_path)  # another study may
    first.kill()
    first.communicate()
    assert (tmp_path / "counted.lock").exists()
    study.run(second.study, tmp_path)
    assert sorted(p.suffix for p in tmp_path.glob("counted.*")) == [".csv", ".json"]


def test_the_lock_holds_within_a_process_too(tmp_path):
    with records.locked(tmp_path / "x.lock"):
        with pytest.raises(study.Busy, match=f"process {os.getpid()}"), records.locked(tmp_path / "x.lock"):
            pass
    with records.locked(tmp_path / "x.lock"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_result_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "x.csv").write_bytes(b"old")

    def refuse(*names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records.os, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        records.write(tmp_path / "x.csv", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["x.csv"] and (tmp_path / "x.csv").read_bytes() == b"old"


# ---- what rows depend on -----------------------------------------------------------------------------------------


def test_an_edit_of_anything_that_a_study_imports_is_another_study(tmp_path, monkeypatch):
    package = tmp_path / "some_studies_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "asks.py").write_text(
        "from . import direct\nfrom some_studies_of_a_test.inner import f\n\n\ndef rows(setting, seed, threads):\n"
        "    from some_studies_of_a_test import late\n\n    return []\n"
    )
    for name, text in (("direct", "import some_studies_of_a_test.deep as d\n"), ("inner", "def f():\n    pass\n")):
        (package / f"{name}.py").write_text(text)
    for name in ("deep", "late", "unrelated"):
        (package / f"{name}.py").write_text("import numpy, math\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    from some_studies_of_a_test import asks

    this = dataclasses.replace(Counted().study, rows=asks.rows)
    before = provenance.fingerprint(this)
    for name, matters in (
        ("unrelated", False),
        *((x, True) for x in ("asks", "direct", "inner", "deep", "late", "__init__")),
    ):
        path = package / f"{name}.py"
        old = path.read_text()
        path.write_text(old + "# edited\n")
        assert (provenance.fingerprint(this) != before) == matters, name
        path.write_text(old)
    assert provenance.fingerprint(this) == before


def test_the_studies_of_this_repository_know_their_sources():
    package = pathlib.Path(mg.__file__).parent
    names = {p.name for p in provenance._imported(lessons.STUDY.rows.__module__, package)}
    assert {"lessons.py", "problems.py", "ladder.py", "workloads.py", "__init__.py"} <= names
    assert "horizon.py" not in names and not {"numpy", "numba"} & {p.parent.name for p in map(pathlib.Path, names)}
    assert {p.name for p in provenance._imported(ladder.STUDY.rows.__module__, package)} < names


def test_the_exact_mean_of_a_biased_estimator_is_not_the_gradient(seed):
    """The value gradient with half of the exact critic has half of the gradient as its mean."""
    problem, theta = w1(horizon=4)
    biased = mg.estimators.value_gradient(mg.critics.exact().wrong(scale=0.5))
    chosen = {"biased": biased, "PW": mg.estimators.reparameterization()}
    rows = study.measured(problem, theta, chosen, count=20_000, seed=seed)
    wrong = 0
    for row, gradient in zip(rows, 2 * mg.exact.gradient(problem, theta).tolist(), strict=True):
        assert abs(row["mean"] - row["exact_mean"]) < 5 * row["stderr"]
        wrong += abs(row["mean"] - gradient) > 5 * row["stderr"]
    assert wrong > 0


def test_a_file_system_without_locks_locks_nobody_out(tmp_path, monkeypatch):
    """As of some clusters; an error that says that another process has the lock still does."""
    for number, busy in ((errno.ENOSYS, False), (errno.ENOLCK, False), (errno.EWOULDBLOCK, True)):

        def refuse(file, how, number=number):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(records.fcntl, "flock", refuse)
        with pytest.raises(study.Busy) if busy else contextlib.nullcontext(), records.locked(tmp_path / "x.lock"):
            assert not busy
        assert busy or not list(tmp_path.iterdir())
