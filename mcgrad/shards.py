"""A study in shards: its settings dealt out to jobs that know nothing of each other, and put together again.

Shard i of n keeps the rows of its settings in NAME.shard-i-of-n, a file of records as an interrupted study has one. The files
lie in one folder, or are copied into one. Which setting a shard has does not matter when they are put together.
"""

import heapq
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from . import records
from .merge_rows import Misfit


class Shard(NamedTuple):
    """One of several jobs: number 1 to `total`."""

    number: int
    total: int

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"

    def path(self, folder: pathlib.Path, name: str) -> pathlib.Path:
        """Return the file with the records of this shard of a study."""
        return folder / f"{name}.shard-{self.number}-of-{self.total}"


def parsed(text: str) -> Shard:
    """Return the `Shard` that "3/40" says."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", text)
    shard = Shard(*map(int, found.groups())) if found else None
    if shard is None or shard.number > shard.total:
        raise ValueError(
            f"expected I/N, the number of the shard from 1 on and how many there are, such as 3/40, got {text!r}"
        )
    return shard


def dealt(work: Sequence[float], total: int) -> list[int]:
    """Return the number of the shard, from 1 on, that each setting goes to: the longest first, to whoever has least.

    Parameters
    ----------
    work : list of float
        How long each setting takes, relative to the others.
    total : int
    """
    loads, found = [(0.0, number) for number in range(1, total + 1)], [0] * len(work)
    for k in sorted(range(len(work)), key=lambda k: (-work[k], k)):
        load, number = loads[0]
        heapq.heapreplace(loads, (load + work[k], number))
        found[k] = number
    return found


def there(folder: pathlib.Path, name: str) -> list[Shard]:
    """Return the shards of a study that have left a file in a folder, in order."""
    matches = [
        re.fullmatch(rf"{re.escape(name)}\.shard-(\d+)-of-(\d+)", path.name) for path in folder.glob(f"{name}.shard-*")
    ]
    return sorted(Shard(*map(int, match.groups())) for match in matches if match)


def gathered(
    name: str,
    folder: pathlib.Path,
    found: Sequence[Shard],
    keys: Sequence[str],
    weights: Sequence[float],
    about: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """Return {key: record} of all settings, from the files of the shards.

    Parameters
    ----------
    name : str
        Of the study.
    folder : path
    found : list of Shard
        Those that are there.
    keys : list of str
        Of all settings, in order.
    weights : list of float
        How long each setting takes: it tells which shard has which.
    about : dict
        What records have to agree with.

    Raises
    ------
    Misfit
        If some settings are missing: it says which shards have them, and which are of another seed or other sources.
    """
    if not found:
        raise Misfit(f"{name}: there are no shards in {folder}; run them with --shard 1/N to N/N")
    kept: dict[str, dict[str, Any]] = {}
    others = []
    for shard in found:
        own = records.kept(shard.path(folder, name))
        kept = own | kept
        if own and not any(key in own for key in keys):
            last = list(own.values())[-1].get("of", {})
            what = [word for word, value in about.items() if last.get(word) != value]
            others.append(f"shard {shard} is of other {', '.join(what) or 'settings'}")
    missing = [k for k, key in enumerate(keys) if key not in kept]
    if missing:
        totals = [shard.total for shard in found]
        total = max(set(totals), key=lambda n: (totals.count(n), n))
        dealer = dealt(weights, total)
        of = ", ".join(f"{number}/{total}" for number in sorted({dealer[k] for k in missing}))
        told = "".join(f"; {other}" for other in others)
        raise Misfit(
            f"{name}: {len(missing)} of {len(keys)} settings are missing, those of shards {of}: run these{told}"
        )
    return {key: kept[key] for key in keys}
