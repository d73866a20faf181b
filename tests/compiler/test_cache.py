"""Machine code on disk: nobody else's is run, nothing damaged is believed, and nothing else goes wrong either."""

import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import textwrap
import time

import numpy as np
import pytest
from two_functions import ARGUMENTS, result

from mcgrad.compiler import cache, store

ROOT = pathlib.Path(__file__).parent.parent.parent
ROOT_USER = hasattr(os, "geteuid") and os.geteuid() == 0
NAME = "k_" + 20 * "0"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder of kernels of its own, in which nothing has gone wrong yet."""
    monkeypatch.setenv("MCGRAD_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(store, "_said", set())
    return store.folder()


def load(code):
    """Return what adds one, and how often it was compiled (once, or not at all)."""
    calls = []

    def build():
        calls.append("compiled")
        return code

    return cache.load("text", "tag", ARGUMENTS, build), len(calls)


# ---- what is damaged -------------------------------------------------------------------------------------------


def test_a_damaged_entry_is_a_miss_and_is_written_anew(folder, codes):
    """Each flipped bit and each truncation, wherever it is: the number is right, and the file is as it was."""
    assert load(codes[0])[1] == 1
    (path,) = folder.iterdir()
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    head = len(store.MAGIC) + 32
    bits = [*range(0, 8 * head, 7), *rng.integers(0, 8 * len(whole), 150)]
    for damage in [*bits, *(-1 - k for k in (0, 1, head - 1, head, *rng.integers(1, len(whole), 60)))]:
        if damage >= 0:
            data = bytearray(whole)
            data[damage // 8] ^= 1 << damage % 8
        else:
            data = whole[: -damage - 1]
        path.write_bytes(data)
        function, compiled = load(codes[0])
        assert result(function) == [1.0, 2.0, 3.0] and compiled == 1
        assert path.read_bytes() == whole
    path.write_bytes(whole + b"\0")
    assert load(codes[0])[1] == 1
    assert load(codes[0])[1] == 0


def test_the_digest_is_what_tells(folder, codes):
    """With a digest of its own, other machine code is run: without the check the tests above would fail."""
    load(codes[0])
    (path,) = folder.iterdir()
    store.write(path.stem, cache._packed(*codes[1]))
    function, compiled = load(codes[0])
    assert result(function) == [-1.0, 0.0, 1.0] and compiled == 0
    path.rename(folder / f"{NAME}.code")
    assert store.read(NAME) is None  # a good entry of another name


def test_a_process_survives_a_damaged_cache(tmp_path):
    """From end to end, in processes of their own: the same number, one message, and the next process has nothing to compile."""
    code = """
        import sys
        import mcgrad as mg
        from support import w1
        problem, theta = w1(horizon=3)
        print(mg.sample(problem, theta, {"PW": mg.estimators.reparameterization()}, 9)["PW"].tolist())
        print("mcgrad.compiler.lowering" in sys.modules, "numba" in sys.modules)
    """

    def run():
        found = process(code, MCGRAD_CACHE_DIR=str(tmp_path))
        assert found.returncode == 0, found.stderr
        return found.stdout.splitlines(), found.stderr.count("compiling")

    (number, _), compiled = run()
    assert compiled == 1
    assert run() == ([number, "False False"], 0)  # nor is a compiler loaded
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1000])
    assert run() == ([number, "True False"], 1)
    assert run() == ([number, "False False"], 0)


def process(code, **more):
    """Run Python code in a process of its own."""
    variables = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PYTHONDONTWRITEBYTECODE": "1"} | more
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=120)


# ---- what others may have written ------------------------------------------------------------------------------


def plant(folder, codes):
    """Put machine code that computes something else where that of `add` is looked for."""
    store.write(cache.place("text", "tag", ARGUMENTS), cache._packed(*codes[1]))
    (path,) = folder.iterdir()
    return path


def test_what_is_planted_in_a_folder_of_everybody_is_not_run(folder, codes, capsys):
    path = plant(folder, codes)
    assert result(load(codes[0])[0]) == [-1.0, 0.0, 1.0]  # it would be
    planted = path.read_bytes()
    for mode in (0o777, 0o1777, 0o770):
        folder.chmod(mode)
        for _ in range(2):
            function, compiled = load(codes[0])
            assert result(function) == [1.0, 2.0, 3.0] and compiled == 1
    assert path.read_bytes() == planted
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "others may write to it" in message and str(folder) in message


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_a_file_that_others_may_write_is_a_miss_and_is_written_anew(folder, codes, mode):
    path = plant(folder, codes)
    path.chmod(mode)
    function, compiled = load(codes[0])
    assert result(function) == [1.0, 2.0, 3.0] and compiled == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load(codes[0])[1] == 0


@pytest.mark.skipif(not ROOT_USER, reason="only root can give files away")
def test_what_belongs_to_another_user_is_not_run(folder, codes, capsys):
    path = plant(folder, codes)
    os.chown(path, 1234, -1)
    function, compiled = load(codes[0])
    assert result(function) == [1.0, 2.0, 3.0] and compiled == 1
    assert path.stat().st_uid == os.geteuid() and load(codes[0])[1] == 0 and capsys.readouterr().err == ""
    for part, words in ((folder, "it belongs to another user"), (folder.parent, "above it belongs to another user")):
        os.chown(part, 1234, -1)
        assert load(codes[0])[1] == 1 and words in capsys.readouterr().err
        os.chown(part, os.geteuid(), -1)
    folder.parent.chmod(0o777)
    assert load(codes[0])[1] == 1 and "write to a folder above it" in capsys.readouterr().err
    folder.parent.chmod(0o1777)  # as /tmp is: others cannot rename what is ours
    assert load(codes[0])[1] == 0


def test_what_is_no_file_is_a_miss(folder, codes):
    path = plant(folder, codes)
    elsewhere = path.rename(folder / "elsewhere")
    for make in (lambda: path.symlink_to(elsewhere), lambda: os.mkfifo(path)):
        make()
        function, compiled = load(codes[0])
        assert result(function) == [1.0, 2.0, 3.0] and compiled == 1
        assert path.is_file() and not path.is_symlink()
        path.unlink()
    path.mkdir()
    assert load(codes[0])[1] == 1 and path.is_dir()  # it stays in the way


def test_folders_and_files_are_made_for_us_alone(tmp_path, monkeypatch, codes):
    old = os.umask(0o002)
    try:
        monkeypatch.setenv("MCGRAD_CACHE_DIR", str(tmp_path / "kernels"))
        load(codes[0])
    finally:
        os.umask(old)
    (path,) = (tmp_path / "kernels").iterdir()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700 and stat.S_IMODE(path.stat().st_mode) == 0o600


# ---- no room ---------------------------------------------------------------------------------------------------

KEEP = """
    from mcgrad.compiler import store
    for k in range(3):
        store.write(f"k_{k:020x}", bytes(5000))
        print(store.read(f"k_{k:020x}") is None)
"""


def test_a_disk_without_room_is_said_once(tmp_path):
    """The kernel stops each file after a thousand bytes: nothing half written stays."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))"
    found = process(limit + textwrap.dedent(KEEP), MCGRAD_CACHE_DIR=str(tmp_path / "kernels"))
    assert found.returncode == 0 and found.stdout.split() == ["True"] * 3, found.stderr
    assert found.stderr.count("\n") == 1 and "compiled kernels are not kept in" in found.stderr
    assert not list((tmp_path / "kernels").iterdir())


def test_a_folder_that_is_only_to_be_read_is_read(folder, codes, monkeypatch, capsys):
    load(codes[0])
    os.utime(next(folder.iterdir()), (time.time() - 3 * store.DAY,) * 2)

    def refuse(*arguments, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(store.tempfile, "mkstemp", refuse)
    monkeypatch.setattr(store.os, "utime", refuse)
    assert load(codes[0])[1] == 0
    for _ in range(2):
        store.write(NAME, b"other")
    assert store.read(NAME) is None
    assert capsys.readouterr().err.count("Read-only file system") == 1


@pytest.mark.skipif(not ROOT_USER, reason="root is needed to become another user")
def test_a_user_without_a_folder_of_her_own_goes_without():
    """As another user: in a folder of root's, and in her own that is read-only."""
    become = "import os; from mcgrad.compiler import store; os.setgroups([]); os.setgid(1234); os.setuid(1234)"
    with tempfile.TemporaryDirectory() as above:
        os.chmod(above, 0o755)
        own = pathlib.Path(above) / "own"
        own.mkdir(mode=0o500)
        os.chown(own, 1234, 1234)
        for path, words in ((above, "it belongs to another user"), (own, "Permission denied")):
            found = process(become + textwrap.dedent(KEEP), MCGRAD_CACHE_DIR=str(path))
            assert found.returncode == 0 and found.stdout.split() == ["True"] * 3, found.stderr
            assert found.stderr.count("\n") == 1 and words in found.stderr, found.stderr


# ---- many --------------------------------------------------------------------------------------------------------


def test_what_nobody_uses_is_removed(folder, monkeypatch):
    now = time.time()
    names = [f"k_{k:020x}" for k in range(6)]
    for k, name in enumerate(names):
        store.write(name, bytes(1000))
        os.utime(folder / f"{name}.code", (now - k * 20 * store.DAY,) * 2)
    others = {"notes.txt", "k_short.code", f"{NAME}.xyz.tmp"}
    for name in others:
        (folder / name).write_text("")
        os.utime(folder / name, (now - 1000 * store.DAY,) * 2)
    assert store.read(names[2]) == bytes(1000)  # used again, after 40 days
    store.prune(folder)
    left = {path.name for path in folder.iterdir()}
    # Those of 0, 20, 0 (it was 40) days; not those of 60 to 100; and nothing that is not ours.
    assert left == {f"{name}.code" for name in names[:3]} | {"notes.txt", "k_short.code"}
    monkeypatch.setattr(store, "SPACE", 2500)
    store.prune(folder)
    assert {p.stem for p in folder.glob("k_*0*.code")} == {names[0], names[2]}


def test_pruning_is_not_done_for_each_entry(folder, monkeypatch):
    times = []
    monkeypatch.setattr(store, "prune", times.append)
    monkeypatch.setattr(store, "_writes", 0)
    for k in range(101):
        store.write(f"k_{k:020x}", b"x")
        store.read(f"k_{k:020x}")
    assert len(times) == 2


def test_processes_and_threads_that_write_the_same_do_not_meet(folder):
    """Four threads in each of two processes write and read one entry: it is whole, or (never again) missing."""
    code = f"""
        import threading
        from mcgrad.compiler import store
        bad = []
        def work(k):
            for _ in range(25):
                store.write({NAME!r}, bytes([k]) * 100_000)
                found = store.read({NAME!r})
                if found is None or len(found) != 100_000 or len(set(found)) != 1:
                    bad.append(k)
        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for t in threads: t.start()
        for t in threads: t.join()
        print(len(bad))
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, env=variables, text=True) for _ in range(2)]
    assert [p.communicate(timeout=60)[0].strip() for p in both] == ["0", "0"]
    assert [p.name for p in folder.iterdir()] == [f"{NAME}.code"]


def test_the_name_depends_on_the_machine_and_the_compiler(monkeypatch):
    monkeypatch.delenv("NUMBA_CPU_NAME", raising=False)
    names = {cache.place("text", "tag", ARGUMENTS), cache.place("text", "tag", ("in1",)), cache.place("x", "tag", ())}
    for name, value in (("NUMBA_CPU_NAME", "haswell"), ("NUMBA_OPT", "1"), ("NUMBA_NUM_THREADS", "1")):
        monkeypatch.setenv(name, value)
        names.add(cache.place("text", "tag", ARGUMENTS))
    monkeypatch.setattr(cache, "_processor", lambda: "another")
    names.add(cache.place("text", "tag", ARGUMENTS))
    assert len(names) == 3 + 2 + 1
