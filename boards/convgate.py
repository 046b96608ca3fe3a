"""``convgate COMMAND``: every command under one name, whatever lies in the folder where it is started."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys

from model import cli

COMMANDS = {
    "a net": {
        "describe": "model.describe",
        "train": "model.train",
        "convert": "model.convert",
        "report": "model.report",
        "classify": "model.classify",
    },
    "its hardware": {
        "plan": "hdl.plan",
        "verify": "sim.verify",
        "build": "boards.build",
    },
    "a board": {
        "host": "boards.host",
        "board": "sim.board",
    },
    "trust": {
        "prove": "sim.prove",
        "fuzz": "sim.fuzz",
        "fuzz-board": "boards.fuzz",
    },
}
"""The commands by task; each is the ``python -m`` command of this name, which is there as well."""
MODULES = {name: module for task in COMMANDS.values() for name, module in task.items()}
INSTEAD = {"sim.board": "boards.terminal"}
"""Where a command's code is that does not stand in the module of its name."""
COMPLETION = "completion"
SHELLS = ("bash", "zsh")
PATHS = {"FILE": ("FILE", "NET", "PICTURE", "PORT, PICTURE"), "DIRECTORY": ("DIR",)}
"""What is completed as a path, by what shtab calls it: how options call their values."""
EXAMPLES = f"""examples:
  convgate build ulx3s                  from the shipped lenet to a bitstream
  convgate train my_net.toml            train a net of your own
  convgate build --help                 what a command takes
  convgate {COMPLETION} bash              a script that completes commands and options on TAB

Each command is also python -m FOLDER.COMMAND, such as python -m boards.build. In a folder with a model.py or
a sim.py of its own only convgate finds it.
"""


def main(argv: list[str] | None = None) -> int:
    """The console command; returns the exit status."""
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] in MODULES:
        cli.call_as({f"python -m {module}": f"convgate {name}" for name, module in MODULES.items()})
        # its modules are imported inside, where an interrupt is one line
        return cli.run(lambda argv: command(words[0]).main(argv), words[1:])
    return cli.run(choose, words)


def command(name: str):
    """The module of a command."""
    module = MODULES[name]
    return importlib.import_module(INSTEAD.get(module, module))


def choose(argv: list[str]) -> None:
    """What there is to do where no command is named."""
    options = parser()
    choice = options.add_argument("command", metavar="COMMAND", choices=[*MODULES, COMPLETION])
    choice.help = "one of the above"
    options.add_argument("shell", metavar="SHELL", nargs="?", choices=SHELLS, help=", ".join(SHELLS))
    if not argv:
        options.print_help()
        return
    chosen = options.parse_args(argv)
    if chosen.shell is None:
        options.error(f"{COMPLETION} needs a shell: {', '.join(SHELLS)}")
    print(completion(chosen.shell))


def parser() -> cli.Parser:
    """The parser of ``convgate`` itself, its commands told by task."""
    lines = []
    for task, commands in COMMANDS.items():
        lines.append(f"{task}:")
        lines += [f"  {name:12} {summary(module)}" for name, module in commands.items()]
    description = "Train a convolutional net and run the very same integers on an open FPGA board.\n\n"
    return cli.Parser(prog="convgate", description=description + "\n".join(lines), epilog=EXAMPLES)


def summary(module: str) -> str:
    """What a command's module says of it in its first line; nothing of it is imported."""
    path = importlib.util.find_spec(INSTEAD.get(module, module)).origin
    with open(path, encoding="utf-8") as file:
        said = ast.get_docstring(ast.parse(file.read()))
    return said.partition("\n")[0].partition("``: ")[2].rstrip(".")


def completion(shell: str) -> str:
    """A script for a shell that completes commands and options."""
    import shtab

    whole = parser()
    commands = whole.add_subparsers()
    commands.add_parser(COMPLETION, help="a script for a shell").add_argument("shell", choices=SHELLS)
    for name, module in MODULES.items():
        options = command(name).parser()
        for action in options._actions:
            if kind := next((kind for kind, words in PATHS.items() if action.metavar in words), None):
                action.complete = getattr(shtab, kind)
        commands.add_parser(name, help=summary(module), parents=[options], add_help=False)
    return shtab.complete(whole, shell)


if __name__ == "__main__":
    sys.exit(main())
