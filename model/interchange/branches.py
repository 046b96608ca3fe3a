"""The graph of a net as nested chains: additions of two branches, each a chain again."""

from __future__ import annotations

from dataclasses import dataclass

from model.interchange.description import Add, Description, Node

DEEPEST = 16
"""Additions within branches of additions, at most."""


@dataclass(frozen=True)
class Branch:
    """An addition with the two chains that lead to it from where their ways part.

    Parameters
    ----------
    node : Add
    chains : (tuple, tuple)
        In the order of the node's inputs; each of nodes and branches.
    """

    node: Add
    chains: tuple[tuple, tuple]


Chain = tuple[Node | Branch, ...]


class Brancher:
    """Turns a description's graph into one chain.

    Attributes
    ----------
    problems : list of str
        Why it is none.
    """

    def __init__(self, description: Description):
        self.description, self.problems = description, []
        self.makers = {node.output: node for node in description.nodes}
        self.ways = self.dominators()
        self.used: set[str] = set()

    def chain(self) -> Chain:
        """From the input to the output; whatever could not be placed is among the problems."""
        if self.description.output not in self.ways:
            self.problems.append("the output does not come from the input")
            return ()
        chain = self.between(self.description.output, self.description.input)
        if self.problems:
            return chain
        placed = {node.output for node in self.description.nodes if node.output in self.used}
        for node in self.description.nodes:
            if node.output not in placed:
                self.problems.append(f"{node.where}: nothing uses its output on the way to the net's")
        return chain

    def dominators(self) -> dict[str, list[str]]:
        """For each value, those that every way from the input to it passes, itself the last."""
        ways = {self.description.input: [self.description.input]}
        for node in self.description.nodes:
            before = [ways[name] for name in node.inputs if name in ways]
            if len(before) < len(node.inputs):
                self.problems.append(f"{node.where}: an input of it does not come from the net's input")
            if before:
                common = [at for at, *others in zip(*before) if all(at == other for other in others)]
                ways[node.output] = [*common, node.output]
        return ways

    def between(self, end: str, start: str, depth: int = 0) -> Chain:
        """The nodes that lead from one value to another."""
        steps: list[Node | Branch] = []
        while end != start:
            node = self.makers[end]
            if end in self.used:
                self.problems.append(
                    f"{node.where}: its output goes to layers whose branches cross; accepted: branches that"
                    " part at one layer and meet in one addition"
                )
                return tuple(reversed(steps))
            self.used.add(end)
            if len(node.inputs) == 1:
                steps.append(node)
                end = node.inputs[0]
                continue
            if depth == DEEPEST:
                self.problems.append(f"{node.where}: stands in {depth} branches of others; accepted: fewer")
                return tuple(reversed(steps))
            fork = self.ways[end][-2]
            known = [name for name in node.inputs if name in self.ways]
            chains = tuple(self.between(name, fork, depth + 1) for name in known)
            steps.append(Branch(node, chains) if isinstance(node, Add) else node)
            end = fork
        return tuple(reversed(steps))
