"""Settings of a study, plain dicts: with other values, on further trajectories, and how long each may take."""

import json
from collections.abc import Mapping
from typing import Any

from .merge_rows import Misfit


def changed(study: str, settings: list[dict[str, Any]], changes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return settings with some of their values replaced, those that become equal but once.

    Settings that had ranges of trajectories of their own keep that, whatever the new `count`. One that measures nothing
    (`count` 0) goes on measuring nothing.

    Raises
    ------
    Misfit
        For a name that no setting has; it says which there are.
    """
    known = sorted({key for s in settings for key in s} - {"start"})
    for name in changes:
        if name not in known:
            raise Misfit(f"{study}: --set {name}: the settings of this study have {', '.join(known)}")
    found = []
    for s in settings:
        own = {k: v for k, v in changes.items() if k in s and not (k == "count" and not s["count"])}
        found.append(s | own)
    if "count" in changes:
        longest: dict[int, int] = {}  # of all settings that share a range
        for old, new in zip(settings, found, strict=True):
            if "start" in old and old.get("count"):
                longest[old["start"]] = max(longest.get(old["start"], 0), new["count"])
        starts, at = {}, 0
        for start in sorted(longest):
            starts[start], at = at, at + longest[start]
        found = [s | ({"start": starts[s["start"]]} if s.get("start") in starts else {}) for s in found]
    kept: list[dict[str, Any]] = []
    first: dict[str, str] = {}
    for old, new in zip(settings, found, strict=True):
        was, is_now = (json.dumps({k: v for k, v in s.items() if k != "start"}, sort_keys=True) for s in (old, new))
        if first.setdefault(is_now, was) == was:  # what has become equal to another one is dropped
            kept.append(new)
    return kept


def shifted(name: str, settings: list[dict[str, Any]], part: int) -> list[dict[str, Any]]:
    """Return the settings of a further part of a study: the same ones on trajectories that no part before has used."""
    if not any(s.get("count") and "start" in s for s in settings):
        raise Misfit(f"{name}: --more needs settings that say `count` and `start`; this study has none")
    span = 4 * max(
        s["start"] + s["count"] for s in settings if s.get("count") and "start" in s
    )  # pilots and folds included
    return [s | ({"start": s["start"] + part * span} if s.get("count") and "start" in s else {}) for s in settings]


def work(settings: list[dict[str, Any]]) -> list[float]:
    """Return how long each setting may take, relative to the others: its trajectories times its horizon, and something."""
    sizes = [float((s.get("count") or 0) * (s.get("horizon") or 1)) for s in settings]
    mean = sum(sizes) / max(len(sizes), 1) or 1.0
    return [1.0 + size / mean for size in sizes]
