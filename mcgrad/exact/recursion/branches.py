"""Rollouts that branch off the one that is scanned, as the kernels have them (`kernels.branches`): measure-valued derivatives.

At each time t some rollouts take another number r_ti, with a law of its own, in place of the noise e_ti of one action. What a
branch is paid from there on is its reward, and what a rollout from the state y that it comes to is paid later, R = r + Z(y):
Z is a random function of the state, in the world of noise that the branch lives in,

    common          that of the main rollout
    independent     one for all plus branches of a time, and one for all minus branches

The R of all branches are new variables, and what the estimator is given is their differences.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from ...compiler.emit import live_inputs
from ...compiler.trace import Graph, Number
from ...estimators.branch_request import BranchRequest, replacements_count
from ...kernels.inputs import Inputs
from ..theory import NoClosedForm
from .laws import MAXWELL, RAYLEIGH, UNIFORM
from .ring import Values, apply, plus, variable

PAID = "paid:"  # before the name of a branch: its return from where it branches off
OWN = PAID + "own"  # the return of a rollout from the state of the main one
MAIN = "main"  # the world of the rollout that is scanned, in which all branches on common noise live
ONCE = "_1"  # at the end of the names of what is drawn for the one time at which rollouts branch off
DRAWN = re.compile(rf"r(\d+)({ONCE})?")
OF_STEP = re.compile(r"([ew])[abc](\d+)")  # noise of a step of another world


@dataclasses.dataclass(frozen=True, eq=False)
class Branch:
    """One rollout that branches off.

    Attributes
    ----------
    paid : str
        The variable of its return.
    world : str
        Whose noise its future has.
    graph, s_next, reward
        Its first step in terms of state and noise.
    """

    paid: str
    world: str
    graph: Graph
    s_next: tuple[Number, ...]
    reward: Number


def branches_of(inputs: Inputs, kind: BranchRequest) -> list[Branch]:
    """Return the branches of a request, plus and minus in turns."""
    found = []
    apart = [inputs.noise_names(x) for x in ("a", "b", "c")]
    for k in range(2 * len(kind.pairs)):
        graph = Graph()
        others, w_names = (apart[2][0], apart[k % 2][1]) if kind.independent else (inputs.e_names, inputs.w_names)
        end = ONCE if kind.once else ""
        names = [f"r{i}{end}" for i in range(replacements_count(kind.actions, kind.scales))]
        i, e_i = kind.replaced([graph.input(x) for x in names])[k]
        e: list[Number] = [graph.input(x) for x in others]
        e[i] = e_i
        step = inputs.step(graph, e=tuple(e), w=inputs.many(graph, w_names))
        world = f"{kind.name}{k % 2}" if kind.independent else MAIN
        found.append(Branch(f"{PAID}{kind.name}.{k}", world, graph, step.s_next, step.reward))
    return found


def in_main(name: str) -> str:
    """Return the name of the noise of a step in the main world that has the part of one in another world, or itself."""
    base = OF_STEP.fullmatch(name)
    return base[1] + base[2] if base else name


def is_of_one_world(name: str) -> bool:
    """Tell whether a noise is that of the plus branches, or of the minus branches, alone."""
    return name[:2] in ("wa", "wb")


class Branches:
    """All that the scan of one rollout wants of measure-valued noise.

    Parameters
    ----------
    inputs : Inputs
    scans : sequence of ReverseScan
        Of the rollouts of one chain.
    kinds : dict
        Name -> law of the noise of a step.

    Attributes
    ----------
    of : dict
        BranchRequest -> its branches.
    noises : dict
        Name -> law, of the numbers that are drawn besides those of a step.
    products : dict
        Input name -> the two of these that it is the product of.
    """

    def __init__(self, inputs: Inputs, scans: Sequence[Any], kinds: dict[str, str]) -> None:
        wanted = list(dict.fromkeys(kind for scan in scans for kind in scan.step.wanted))
        if sum(kind.independent for kind in wanted) > 1:
            raise NoClosedForm(
                "no recursion: rollouts that branch off with noise of their own at all times and at one, which share some of "
                "that; ask for one after the other"
            )
        self.of = {kind: branches_of(inputs, kind) for kind in wanted}
        self._actions = inputs.problem.environment.actions
        reads: set[str] = set()
        for scan in scans:
            sums = [y for slot in scan.scattered.slots.values() for y in (slot.index, slot.share)]
            reads |= live_inputs(scan.step.graph, [*(x.new for x in scan.recurrences().values()), *sums])
        for x in self.all:
            reads |= live_inputs(x.graph, [*x.s_next, x.reward])
        self.noises = {}
        self._all_noises = set(kinds)
        self.products: dict[str, tuple[str, str]] = {}
        for name in sorted(reads):
            if drawn := DRAWN.fullmatch(name):
                self._draw(int(drawn[1]), drawn[2] or "")
            elif OF_STEP.fullmatch(name):
                self.noises[name] = kinds[in_main(name)]

        self._all_noises |= set(self.noises)

    def _draw(self, k: int, end: str) -> None:
        """Note the numbers that a replacement is made of: W of each action, then M and U M of each."""
        if k < self._actions:
            self.noises[f"r{k}{end}"] = RAYLEIGH
            return
        first = k - (k - self._actions) % 2
        self.noises[f"r{first}{end}"] = MAXWELL
        if k > first:
            self.noises[f"u{k}{end}"] = UNIFORM
            self.products[f"r{k}{end}"] = (f"r{first}{end}", f"u{k}{end}")

    def __bool__(self) -> bool:
        return bool(self.of)

    @property
    def all(self) -> list[Branch]:
        """Every branch."""
        return [x for found in self.of.values() for x in found]

    def values(self, noise: Values) -> Values:
        """Return {input name: value} of the noise that is drawn besides."""
        values = {k: noise[k] for k in self.noises if k in noise}
        products = {k: apply("*", [noise[x] for x in pair]) for k, pair in self.products.items() if pair[0] in noise}
        return values | products

    def sources(self, reads: set[str]) -> set[str]:
        """Return names of inputs with the noise that products among them are made of in their place."""
        return {y for x in reads for y in self.products.get(x, (x,))}

    def differences(self) -> Values:
        """Return {input name: G^+ - G^-} of all pairs."""
        found: Values = {}
        for kind, own in self.of.items():
            for name, up, down in zip(kind.differences, own[::2], own[1::2], strict=True):
                found[name] = plus(variable(up.paid), variable(down.paid), -1.0)
        return found

    def reads(self, x: Branch) -> set[str]:
        """Return the noises that a branch reads."""
        return self.sources(live_inputs(x.graph, [*x.s_next, x.reward])) & self._all_noises
