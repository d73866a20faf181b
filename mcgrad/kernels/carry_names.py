"""Names that a reader knows for what kernels carry: `to_go`, `adjoint0`, `sum_reparameterization_K00` for `carry_0`, ...

While estimators are traced, the components of a carry are numbers of classes, since which of them are the same is only then
found out. Names are given when that is done. They depend on what estimators are, not on what a user calls them, so that
another name is not another kernel.
"""

import re
from collections.abc import Sequence
from typing import TypeAlias

from .inputs import RESERVED

# Of a carry, or of sums: None for a number, and a tuple or a list for several of them
Structure: TypeAlias = "None | tuple[Structure, ...] | list[Structure]"


def leaf_names(structure: Structure, names: Sequence[str], default: str) -> list[str]:
    """Return a name for each leaf of a carry.

    Parameters
    ----------
    structure
        That of the carry, see `trees.flatten`.
    names : sequence of str
        Those that the estimator gives to the parts of its carry.
    default : str
        What to call a part without a name.
    """
    if structure is None:
        return [names[0] if names else default]
    parts = [*names, *(f"{default}{k}" for k in range(len(names), len(structure)))]
    return [x for part, inner in zip(parts, structure, strict=False) for x in _numbered(inner, part)]


def _numbered(structure: Structure, name: str) -> list[str]:
    if structure is None:
        return [name]
    return [x for k, inner in enumerate(structure) for x in _numbered(inner, f"{name}{k}")]


def sum_names(structure: Structure, name: str, parameters: Sequence[str]) -> list[str]:
    """Return a name for each sum of pulled-back cotangents: P of one cotangent, or of a (nested) list of them."""
    if isinstance(structure, list):
        several = sum(inner != [] for inner in structure) > 1
        numbered = ((f"{name}{k}_" if several else name, inner) for k, inner in enumerate(structure))
        return [x for inner_name, inner in numbered for x in sum_names(inner, inner_name, parameters)]
    return [name + parameter for parameter in parameters]


def snake(name: str) -> str:
    """Return the name of a class as functions are called: `reward_to_go` for `RewardToGo`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def word(name: str) -> str:
    """Return the letters and digits of a name: `K00` for `K[0, 0]`."""
    return "".join(re.findall(r"[A-Za-z0-9]+", name))


def distinct(names: dict[int, str], taken: set[str], suffix: str) -> dict[int, str]:
    """Return names, {component: name}, that differ from each other and from those that are taken.

    Parameters
    ----------
    names : dict
        Component -> the name that it should have.
    taken : set of str
        Names of the problem's parameters, and of other carries; added to.
    suffix : str
        Tells the names of this scan from those of others in the same kernel.
    """
    final = {}
    for key, name in names.items():
        unique, k = name + suffix, 0
        while not taken.isdisjoint({unique, f"{unique}_new"}) or RESERVED.fullmatch(unique):
            k += 1
            unique = f"{name}{suffix}_{k}"
        taken |= {unique, f"{unique}_new"}
        final[key] = unique
    return final
