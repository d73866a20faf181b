"""Where the numbers of a study come from: what its rows depend on, and what the JSON file beside them says."""

import ast
import datetime
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import subprocess
import sys
import sysconfig

import mcgrad as mg


def fingerprint(study):
    """Return a hash of what a row depends on: the sources of this package and of the study, versions of libraries.

    The study's sources are its own file and all that it imports, directly or not, from outside of installed packages.
    """
    digest = hashlib.sha256(json.dumps(versions()).encode())
    own = pathlib.Path(__file__).parent
    for path in (*sorted(own.rglob("*.py")), *sorted(_imported(study.rows.__module__, own))):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _imported(name, without):
    """Return the files of a module and of all that it imports, except installed packages and what is in a folder."""
    installed = [pathlib.Path(p) for key, p in sysconfig.get_paths().items() if "lib" in key]
    found, waiting = {}, [name]
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if name in found or path is None or without in path.parents or any(x in path.parents for x in installed):
            continue
        found[name] = path
        package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        waiting += [".".join(package[:k]) for k in range(1, len(package))]
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*base, *([node.module] if node.module else [])])
                waiting += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return set(found.values())


def _source(name):
    """Return the file of a module's source, loaded or not; None of what is no module or has none."""
    try:
        module = sys.modules.get(name)
        path = module.__file__ if module is not None else importlib.util.find_spec(name).origin
    except (ImportError, AttributeError, ValueError):
        return None
    return pathlib.Path(path).resolve() if path and path.endswith(".py") else None


def versions():
    """Return {name: version} of Python and of the libraries that numbers come from."""
    libraries = {name: importlib.metadata.version(name) for name in ("numpy", "numba", "llvmlite", "scipy")}
    return {"python": platform.python_version()} | libraries | {"mcgrad": mg.__version__}


def provenance(study, command, **facts):
    """Return where results come from, as a dict for JSON; it names no person, path or host."""
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about = {"study": study.name, "question": study.question, "command": command, "date": date} | facts
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
    machine = {"cpu": cpu or platform.processor(), "cores": os.cpu_count(), "platform": platform.platform()}
    return about | {"versions": versions(), "git": _git(), "machine": machine}


def _git():
    """Return commit and whether any source differs from it, or None if this package does not lie in a repository of its own."""

    def git(*arguments):
        command = ["git", "-C", str(pathlib.Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", ":/*.py"))}
    except (OSError, subprocess.CalledProcessError):
        return None
