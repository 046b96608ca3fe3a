"""``python -m sim.board BOARD``: the simulated board.

Boards lie above simulation: nothing here imports them. The command is that of ``boards.terminal``, started by
its name, as a shell would.
"""

import runpy

if __name__ == "__main__":
    runpy.run_module("boards.terminal", run_name="__main__", alter_sys=True)
