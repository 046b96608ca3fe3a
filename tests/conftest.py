"""Lets the tests import the helpers beside them; settings of all drawn tests."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

# A busy machine is slow, not wrong.
settings.register_profile("convgate", deadline=None)
settings.load_profile("convgate")
