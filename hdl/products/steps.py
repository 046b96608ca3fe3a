"""A beat that stays for several steps: when the next one is taken, and how many steps are left."""

from __future__ import annotations

from amaranth.hdl import Module, Signal

from hdl.parts.pipe import Front, shares


class Steps(Front):
    """Base of the fronts that hand a beat out in steps, which follow each other without a stall.

    A beat is seen in one cycle and copied in the next: so the many registers that hold it hang on
    flip-flops, and not on a chain of ready signals. Throughput: one step a cycle, if the next beat waits two
    cycles before the last step of this one.
    """

    def copies(self, m: Module, width: int, soon: Signal) -> tuple[list[Signal], list[slice]]:
        """Enables that are high in the one cycle in which a beat is copied, and the bits that hang on each.

        Parameters
        ----------
        m : Module
        width : int
            Bits that are held.
        soon : Signal
            At most two steps are left of the beat before.
        """
        own = shares(width)
        takes = [Signal(name=f"take{n}") for n in range(len(own))]
        m.d.sync += [copy.eq(self.i.valid & self.room & soon & ~copy) for copy in takes]
        return takes, own

    def count(self, m: Module, take: Signal, left: Signal, soon: Signal) -> None:
        """Count the steps that are left of a beat: all where one is taken, one less behind each step."""
        with m.If(take):
            m.d.sync += [left.eq(self.steps), soon.eq(self.steps <= 2)]
        with m.Elif(self.o.valid):
            m.d.sync += [left.eq(left - 1), soon.eq(left <= 3)]
