"""Who may import whom: model <- hdl <- sim <- boards, within each of them by floors, and no circles."""

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "model": {"model"},
    "hdl": {"model", "hdl"},
    "sim": {"model", "hdl", "sim"},
    "boards": {"model", "hdl", "sim", "boards"},
}
FOREIGN = {
    "model": {"amaranth", "amaranth_boards", "cocotb", "cocotb_tools"},
    "hdl": {"cocotb", "cocotb_tools"},
}
"""Libraries that a folder knows nothing of."""

COMMANDS = "commands"
FLOORS = {
    "model": (
        {"arithmetic", "signals"},
        {"golden"},
        {"net"},
        {"layers"},
        {"quantisation", "files"},
        {"cli"},
        {"training", "interchange"},
        {COMMANDS},
    ),
    "hdl": (
        {"devices", "folding"},
        {"parts"},
        {"loadable"},
        {"products"},
        {"stages"},
        {"network"},
        {"planning"},
        {COMMANDS},
    ),
    "sim": ({"simulators"}, {"bench"}, {"proofs"}, {"damage"}, {COMMANDS}),
    "boards": ({"link", "pll"}, {"catalogue"}, {"shell"}, {"tools", "simulated"}, {COMMANDS}),
}
"""Rooms of each folder, from the lowest floor up: a room imports from itself and from lower floors. What
stands at the top of a folder and is not named here is a command, and may use another one."""


def floor_of(name: str, modules) -> tuple[str, int] | None:
    """Room and floor of a module; None for a folder itself."""
    folder, _, rest = name.partition(".")
    if not rest:
        return None
    room = rest.partition(".")[0]
    is_folder = any(other.startswith(f"{folder}.{room}.") for other in modules)
    named = {known for floor in FLOORS[folder] for known in floor}
    assert room in named or not is_folder, f"{folder}.{room} stands on no floor"
    room = room if room in named else COMMANDS
    return room, next(number for number, floor in enumerate(FLOORS[folder]) if room in floor)


def sources(root: Path) -> dict[str, ast.Module]:
    """The modules of the four folders, by their dotted names."""
    found = {}
    for folder in MAY_IMPORT:
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def imported(name: str, tree: ast.Module, modules) -> set[str]:
    """Names that a module imports anywhere; of ours the module in which they stand."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                names.add(whole if whole in modules else node.module)
    return names


def check(root: Path) -> None:
    modules = sources(root)
    graph = {name: imported(name, tree, modules) for name, tree in modules.items()}
    for name, targets in graph.items():
        folder = name.split(".")[0]
        for target in targets:
            top = target.split(".")[0]
            if top in MAY_IMPORT:
                assert top in MAY_IMPORT[folder], f"{name} imports {target}"
            if top == folder and target in modules and (here := floor_of(name, modules)):
                there = floor_of(target, modules)
                assert there and (here[0] == there[0] or there[1] < here[1]), (
                    f"{name} imports {target}: not downwards"
                )
            assert top not in {"tests", "benchmarks"} | FOREIGN.get(folder, set()), f"{name} imports {target}"
    done: set[str] = set()

    def visit(name, path):
        assert name not in path, f"a circle: {' -> '.join([*path, name])}"
        if name not in done:
            for target in sorted(graph[name] & graph.keys()):
                visit(target, [*path, name])
            done.add(name)

    for name in graph:
        visit(name, [])


def test_imports_point_one_way():
    assert len(sources(ROOT)) > 40
    check(ROOT)


def test_files_are_short_and_folders_say_what_they_own():
    lengths = {}
    for path in (path for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lengths[path] = text.count("\n")
        if path.name == "__init__.py":
            said = ast.get_docstring(ast.parse(text))
            assert said and "\n" not in said, path
        else:
            assert (path.parent / "__init__.py").is_file(), path
    assert max(lengths.values()) <= 400, max(lengths, key=lengths.get)
    assert statistics.median(lengths.values()) < 150


@pytest.mark.parametrize(
    ("path", "line", "message"),
    [
        ("model/golden/spec.py", "import hdl.parts.pipe", "model.golden.spec imports hdl.parts.pipe"),
        (
            "model/layers/conv.py",
            "def f():\n    from boards import build",
            "model.layers.conv imports boards",
        ),
        ("hdl/parts/pipe.py", "from sim.bench.bench import Bench", "hdl.parts.pipe imports sim.bench.bench"),
        ("hdl/parts/pipe.py", "import cocotb.triggers", "hdl.parts.pipe imports cocotb.triggers"),
        ("model/golden/spec.py", "from amaranth.hdl import Signal", "model.golden.spec imports amaranth.hdl"),
        (
            "sim/bench/bench.py",
            "from boards.shell.top import Top",
            "sim.bench.bench imports boards.shell.top",
        ),
        ("hdl/parts/pipe.py", "from hdl.products import mac", "hdl.parts.pipe imports hdl.products.mac: not"),
        (
            "hdl/folding/net.py",
            "import hdl.devices.device",
            "hdl.folding.net imports hdl.devices.device: not",
        ),
        ("hdl/parts/pipe.py", "from hdl.network import X", "hdl.parts.pipe imports hdl.network: not"),
        ("hdl/network.py", "import hdl.plan", "hdl.network imports hdl.plan: not"),
        ("hdl/network.py", "import hdl", "hdl.network imports hdl: not"),
        ("hdl/attic/box.py", "import hdl.parts.pipe", "hdl.attic stands on no floor"),
        (
            "hdl/parts/pipe.py",
            "from hdl.parts import raster",
            "-> hdl.parts.pipe -> hdl.parts.raster -> hdl.parts.pipe",
        ),
        ("hdl/parts/pipe.py", "from .mac import Mac", "hdl.parts.pipe: a relative import"),
    ],
)
def test_mutants_fail(path, line, message, tmp_path):
    tree = {
        "model/golden/spec.py": "import numpy",
        "model/layers/conv.py": "from model.golden.spec import Spec",
        "hdl/products/mac.py": "from hdl.parts.pipe import Pipe\nfrom model.layers.conv import ConvSpec",
        "hdl/__init__.py": "",
        "hdl/devices/device.py": "",
        "hdl/folding/net.py": "",
        "hdl/parts/pipe.py": "from amaranth.hdl import Signal\nimport hdl.folding.net",
        "hdl/parts/raster.py": "from hdl.parts.pipe import Pipe",
        "hdl/network.py": "import hdl.products.mac",
        "hdl/plan.py": "import hdl.network",
        "sim/bench/bench.py": "import hdl.products.mac",
        "boards/shell/top.py": "from sim import bench",
    }
    for name, text in tree.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    check(tmp_path)
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text(f"{tree.get(path, '')}\n{line}\n")
    with pytest.raises(AssertionError, match=message):
        check(tmp_path)
