"""What a study keeps on disk while it runs: records of finished settings, and a lock.

A record is a line of JSON behind a digest of it. What was not written to its end, because the process died, is left out; what
was changed since is set aside, with a message, and the records that are whole go on.
"""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any, TypeAlias

Record: TypeAlias = dict[str, Any]  # what one setting gave: its key, its rows, the seconds that it took

try:
    import fcntl
except ImportError:  # where there is none, nobody is locked out
    fcntl = None  # type: ignore[assignment]  # Windows has none


class Busy(RuntimeError):
    """Another process runs the same study in the same folder."""


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however that ends; `Busy` if another one holds it.

    Where a file system has no locks nobody is locked out.
    """
    if fcntl is None:
        yield
        return
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):  # a file system of a cluster may have no locks
                os.close(file)
                path.unlink(missing_ok=True)
                yield
                return
            owner = os.read(file, 20).decode(errors="replace").strip()
            os.close(file)
            what = f"process {owner}" if owner else "another process"
            raise Busy(f"{path.stem}: {what} is at work on it in {path.parent}") from None
        if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
            break
        os.close(file)  # whoever had it has just removed it
    try:
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(file)


def line(record: Record) -> bytes:
    """Return a record as a line of a file."""
    text = json.dumps(record).encode()
    return hashlib.sha256(text).hexdigest().encode() + b" " + text + b"\n"


def kept(path: pathlib.Path) -> dict[str, Record]:
    """Return {key: record} of a file, and leave it with whole records only; set a damaged one aside, with a message."""
    if not path.exists():
        return {}
    data = path.read_bytes()
    *lines, last = data.split(b"\n")  # the last one was not finished
    found = [(x, _record(x)) for x in lines if x]
    bad = sum(record is None for _, record in found)
    if bad:
        aside = _free(path.with_name(f"{path.name}.damaged"))
        write(aside, data)
        print(
            f"mcgrad: {bad} of {len(found)} records in {path} are damaged; they are done again. The file is kept as {aside}",
            file=sys.stderr,
            flush=True,
        )
    if bad or last:
        write(path, b"".join(x + b"\n" for x, record in found if record is not None))
    return {record["key"]: record for _, record in found if record is not None}


def _record(text: bytes) -> Record | None:
    """Return the record of a line, None if it is not what was written."""
    digest, _, text = text.partition(b" ")
    if hashlib.sha256(text).hexdigest().encode() != digest:
        return None
    try:
        record = json.loads(text)
        rows, whole = record["rows"], isinstance(record["key"], str) and isinstance(record["seconds"], float)
    except (ValueError, TypeError, KeyError):
        return None
    return record if whole and isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else None


def _free(path: pathlib.Path) -> pathlib.Path:
    """Return the first of NAME, NAME.2, NAME.3, ... that does not exist."""
    number = 1
    while True:
        free = path if number == 1 else path.with_name(f"{path.name}.{number}")
        if not free.exists():
            return free
        number += 1


def write(path: pathlib.Path, data: bytes) -> None:
    """Write a file in one stroke: whoever reads it sees the old bytes or the new ones."""
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(path.parent))
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
