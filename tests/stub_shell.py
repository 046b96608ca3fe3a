"""The top of a board with next to nothing in it, so that it is quickly made."""

from boards.shell.design import Design
from boards.shell.top import Top
from boards.shell.trial import Echo


def prepare(design: Design, **options):
    """Amaranth's build plan of a design's top, without the accelerator."""
    target = design.target
    top = Top(target, design.pll, Echo(target.leds))
    return target.platform().prepare(top, "top", emit_src=False, **options)
