"""Real engines: a cluster of Dask on this machine, and MPI with three ranks; a worker is killed, and the bytes are the same.

Each runs in a process of its own, with all that it starts in one session, of which nothing may be left.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

import mcgrad as mg
from mcgrad import command, engines, shards, study, study_command, template_study

ROOT = pathlib.Path(__file__).parent.parent
HORIZONS = (1, 2, 3, 4, 5, 6)

# A study of one's own, with a file beside it; whoever has the third setting first is killed, once.
STUDY = f"""
from __future__ import annotations

import dataclasses
import os
import pathlib
import signal

import beside
from mcgrad import study, template_study

KILLED = pathlib.Path(__file__).with_name("killed")


@dataclasses.dataclass
class Record:
    x: float  # an annotation that is looked up in the module


def settings(quick):
    return [{{"horizon": T, "count": 2000, "start": 2000 * T}} for T in {HORIZONS}]


def rows(setting, seed, threads):
    assert threads == beside.THREADS
    if setting["horizon"] == 3 and not KILLED.exists():
        KILLED.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return template_study.rows(setting, seed, threads)


STUDY = study.Study("deadly", "?", ("horizon", *study.MEASURED), settings, rows, lambda rows: str(len(rows)))
"""

SCRIPT = """
import pathlib
import sys

import numpy as np

import mcgrad as mg
from mcgrad import command, engines, executors, study, template_study

if __name__ == "__main__":
    engine, file = sys.argv[1], pathlib.Path(sys.argv[2])
    with engines.executor(engine, 2 if engine == "dask" else None) as pool:
        with command._importable(file):
            study.run(command.load(file).STUDY, file.parent / "results", executor=pool)
        problem, theta = template_study.problem(5)
        found = mg.measure(problem, theta, template_study.ESTIMATORS, 10_007, executor=pool, chunk=512)
        np.savez(file.with_name("found.npz"), workers=executors.workers(pool), own=found.sums.own)
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Return a study's file, in a folder of its own."""
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    (tmp_path / "deadly.py").write_text(STUDY)
    (tmp_path / "beside.py").write_text("THREADS = 1\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path / "deadly.py"


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return the bytes of the study, done by this process."""
    folder = tmp_path_factory.mktemp("alone")
    settings = [{"horizon": T, "count": 2000, "start": 2000 * T} for T in HORIZONS]
    study.run(study_of(settings), folder)
    return (folder / "deadly.csv").read_bytes()


def study_of(settings):
    columns = ("horizon", *study.MEASURED)
    return study.Study("deadly", "?", columns, lambda quick: settings, template_study.rows, str)


def run(*words, folder):
    """Run a command in a session of its own; return its status and what it printed, when nothing of the session is left."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": ""}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(words, **pipes, text=True, cwd=folder, env=variables, start_new_session=True) as process:
        try:
            said, _ = process.communicate(timeout=120)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
    deadline = time.monotonic() + 10
    while left := members(process.pid):
        assert time.monotonic() < deadline, f"left behind: {left}\n{said}"
        time.sleep(0.05)
    return process.returncode, said


def members(session):
    """Return the processes of a session that are alive."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, own = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has just ended
            continue
        if int(own) == session and state not in "ZX":
            found.append((path.parent / "cmdline").read_bytes())
    return found


def mpi(*words, folder, ranks=3):
    """Run Python with three ranks, the first of which hands out work."""
    pytest.importorskip("mpi4py")
    start = pathlib.Path(sys.executable).with_name("mpiexec")
    if not start.exists():
        pytest.skip("no mpiexec beside this Python: no wheel of mpich for this machine")
    return run(str(start), "-n", str(ranks), sys.executable, "-m", "mpi4py.futures", *words, folder=folder)


def check(file, expected):
    assert (file.parent / "results" / "deadly.csv").read_bytes() == expected
    assert (file.parent / "killed").exists()
    problem, theta = template_study.problem(5)
    alone = mg.measure(problem, theta, template_study.ESTIMATORS, 10_007, chunk=512)
    with np.load(file.with_name("found.npz")) as found:
        np.testing.assert_array_equal(found["own"], alone.sums.own)
        assert 1 <= found["workers"] <= 2  # Dask may be about to replace the other one


def test_dask_does_the_work_of_a_worker_that_was_killed_again(file, expected):
    pytest.importorskip("distributed")
    status, said = run(sys.executable, "script.py", "dask", str(file), folder=file.parent)
    assert status == 0, said
    check(file, expected)


def test_mpi_ends_with_a_rank_that_was_killed_and_the_same_command_goes_on(file, expected):
    words = ("-m", "mcgrad", "study", "deadly.py", "--engine", "mpi")
    status, said = mpi(*words, folder=file.parent)
    assert status != 0 and (file.parent / "killed").exists() and not (file.parent / "results/deadly.csv").exists(), said
    status, said = mpi("script.py", "mpi", str(file), folder=file.parent)
    assert status == 0, said
    check(file, expected)


def test_processes_do_the_work_of_one_that_was_killed_again(file, expected):
    """By the command of users, from another folder."""
    assert command.main(["study", str(file), "--engine", "processes", "--workers", "1"]) == 0
    assert (file.parent / "results" / "deadly.csv").read_bytes() == expected and (file.parent / "killed").exists()


# ---- what is refused -------------------------------------------------------------------------------------------


def test_mpi_has_to_be_started_as_such(file, capsys):
    pytest.importorskip("mpi4py")
    assert command.main(["study", str(file), "--engine", "mpi"]) == 1
    assert "mpiexec -n RANKS python -m mpi4py.futures" in capsys.readouterr().err


def test_mistakes_that_workers_meet_are_told_with_their_line(file, capsys):
    file.write_text(STUDY.replace("assert threads", "{}[threads]\n    assert threads"))
    assert command.main(["study", str(file), "--engine", "processes", "--workers", "1"]) == 2
    assert f"{file}:25: {{}}[threads]\nKeyError: 1" in capsys.readouterr().err


def test_workers_with_other_sources_are_refused(file, expected, monkeypatch):
    """What a worker has imported, and what lies on its disk, has to be what the sender has."""
    monkeypatch.syspath_prepend(str(file.parent))
    module = command.load(file)
    with engines.executor("processes", 1) as pool:
        other = [{"horizon": 2, "count": 2000, "start": 0}]
        where = study.study_pieces.origin(module.STUDY)
        for change, message in (
            ({"sources": "others"}, "a worker has others: the sources of mcgrad or of the study"),
            ({"module": "no_such", "path": "/no/such.py"}, "a worker has no file /no/such.py"),
        ):
            future = pool.submit(study.study_pieces.rows, where._replace(**change), other[0], 0, 1)
            assert message in str(future.exception(timeout=60))
        # A file that was edited while a worker lives is another study, which that worker cannot do.
        (file.parent / "killed").touch()
        study.run(module.STUDY, file.parent / "before", executor=pool)
        file.write_text(file.read_text() + "# edited\n")
        with pytest.raises(
            study.Misfit, match="deadly.py was edited after a worker has imported it; restart the workers"
        ):
            study.run(command.load(file).STUDY, file.parent / "after", executor=pool)
    assert (file.parent / "before" / "deadly.csv").read_bytes() == expected
    local = lambda setting, seed, threads: []  # noqa: E731
    with pytest.raises(study.Misfit, match="deadly: other processes need its rows as a function at the top of a file"):
        study.run(study.dataclasses.replace(study_of(other), rows=local), file.parent / "two", executor=pool)


class Dying(concurrent.futures.ThreadPoolExecutor):
    """A pool that does three pieces of work."""

    done = 0

    def submit(self, function, /, *arguments):
        if self.done == 3:
            raise concurrent.futures.BrokenExecutor("it is gone")
        self.done += 1
        future = super().submit(function, *arguments)
        future.exception()
        return future


def test_a_pool_that_dies_costs_no_setting_that_is_finished(tmp_path, expected, monkeypatch, capsys):
    """It is said in one line; the same command goes on."""
    settings = [{"horizon": T, "count": 2000, "start": 2000 * T} for T in HORIZONS]
    monkeypatch.setattr(study_command.engines, "executor", lambda *how: Dying(1))
    parser = argparse.ArgumentParser()
    study_command.add_options(parser)
    for left in (3, 0):
        assert study_command.run([study_of(settings)], tmp_path, parser.parse_args([])) == (1 if left else 0)
        if left:
            assert len(study.records.kept(tmp_path / "deadly.partial")) == 6 - left
            what = "deadly: executor: expected one that takes work, but Dying says: it is gone; "
            assert capsys.readouterr().err == what + "finished settings are kept, the same command goes on\n"
    assert (tmp_path / "deadly.csv").read_bytes() == expected


def test_a_study_of_times_runs_alone(tmp_path):
    timed = study.dataclasses.replace(study_of([{"horizon": 1, "count": 0}]), quiet=True)
    for option in ({"shard": shards.Shard(1, 2)}, {"merge": True}):
        with pytest.raises(study.Misfit, match="it measures times, and wants a machine to itself"):
            study.run(timed, tmp_path, **option)


# ---- shards ----------------------------------------------------------------------------------------------------


def shard(file, *words):
    return command.main(["study", str(file), "--threads", "1", *words])


def test_shards_make_the_bytes_of_one_run(file, expected, capsys):
    (file.parent / "killed").touch()
    assert shard(file, "--merge") == 1
    assert "deadly: there are no shards in" in capsys.readouterr().err
    for one in ("1/3", "3/3"):
        assert shard(file, "--shard", one) == 0
    assert shard(file, "--merge") == 1
    assert "deadly: 2 of 6 settings are missing, those of shards 2/3: run these" in capsys.readouterr().err
    assert shard(file, "--shard", "2/3", "--seed", "1") == 0
    assert shard(file, "--merge") == 1
    assert "shards 2/3: run these; shard 2/3 is of other seed" in capsys.readouterr().err
    assert shard(file, "--shard", "2/3") == 0
    folder = file.parent / "results"
    names = [f"deadly.shard-{k}-of-3" for k in (1, 2, 3)]
    assert sorted(p.name for p in folder.iterdir()) == names
    # The last line was not finished: its setting is missing, and the shard that has it goes on.
    whole = (folder / names[2]).read_bytes()
    (folder / names[2]).write_bytes(whole[:-20])
    assert shard(file, "--merge") == 1 and "1 of 6 settings are missing, those of shards 3/3" in capsys.readouterr().err
    assert shard(file, "--shard", "3/3") == 0
    assert shard(file, "--merge") == 0
    assert (folder / "deadly.csv").read_bytes() == expected
    assert sorted(p.name for p in folder.iterdir()) == ["deadly.csv", "deadly.json"]
    about = json.loads((folder / "deadly.json").read_text())
    assert about["command"] == "mcgrad study deadly.py --seed 0" and about["shards"] == 3


def test_an_edited_study_is_not_merged_with_what_was_before(file, capsys):
    (file.parent / "killed").touch()
    assert shard(file, "--shard", "1/1") == 0
    (file.parent / "beside.py").write_text("THREADS = 1  # edited\n")
    assert shard(file, "--merge") == 1
    assert "6 of 6 settings are missing, those of shards 1/1: run these; shard 1/1 is of other sources" in (
        capsys.readouterr().err
    )


def test_a_shard_at_work_is_not_merged(file):
    (file.parent / "killed").touch()
    assert shard(file, "--shard", "1/1") == 0
    path = file.parent / "results" / "deadly.shard-1-of-1"
    with study.records.locked(path.with_name(f"{path.name}.lock")):
        assert shard(file, "--merge") == 1 and shard(file, "--shard", "1/1") == 1
    assert path.exists() and shard(file, "--merge") == 0


def test_settings_are_dealt_out_evenly():
    weights = [8.0, 1.0, 1.0, 4.0, 1.0, 1.0]
    dealer = shards.dealt(weights, 2)
    assert [sum(w for w, d in zip(weights, dealer, strict=True) if d == k) for k in (1, 2)] == [8.0, 8.0]
    assert sorted(shards.dealt([1.0] * 12, 4)) == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3
    for text in ("0/3", "4/3", "3", "1/0", "a/b", " 1/2"):
        with pytest.raises(ValueError, match="expected I/N, the number of the shard from 1 on"):
            shards.parsed(text)
    assert str(shards.parsed("3/40")) == "3/40"


def test_more_trajectories_come_in_shards_too(tmp_path):
    few = study_of([{"horizon": T, "count": 2000, "start": 2000 * T} for T in (1, 2, 3)])
    study.run(few, tmp_path / "alone")
    study.run(few, tmp_path / "shards")
    study.run(few, tmp_path / "alone", more=True)
    for k in (1, 2):
        study.run(few, tmp_path / "shards", more=True, shard=shards.Shard(k, 2))
    study.run(few, tmp_path / "shards", more=True, merge=True)
    files = [(tmp_path / name / "deadly.csv").read_bytes() for name in ("alone", "shards")]
    assert files[0] == files[1] and b",4000,2000," in files[0]
