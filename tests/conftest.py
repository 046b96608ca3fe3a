"""Lets the tests import the helpers beside them; what holds for all of them."""

import signal
import sys
from pathlib import Path

from hypothesis import Phase, settings

sys.path.insert(0, str(Path(__file__).parent))

# A busy machine is slow, not wrong.
settings.register_profile("convgate", deadline=None)
settings.load_profile("convgate")
# Where it only matters whether a test fails: the failing example is not made smaller, which takes minutes.
settings.register_profile("unshrunk", settings(), phases=(Phase.explicit, Phase.generate))

# What a shell starts in the background ignores Control-C, and so would the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
