"""Who may import whom: model <- hdl <- sim <- boards, and no circles."""

import ast
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
        (
            "hdl/parts/pipe.py",
            "from hdl.products import mac",
            "a circle: hdl.parts.pipe -> hdl.products.mac -> hdl.parts.pipe",
        ),
        ("hdl/parts/pipe.py", "from .mac import Mac", "hdl.parts.pipe: a relative import"),
    ],
)
def test_mutants_fail(path, line, message, tmp_path):
    tree = {
        "model/golden/spec.py": "import numpy",
        "model/layers/conv.py": "from model.golden.spec import Spec",
        "hdl/products/mac.py": "from hdl.parts.pipe import Pipe\nfrom model.layers.conv import ConvSpec",
        "hdl/parts/pipe.py": "from amaranth.hdl import Signal",
        "sim/bench/bench.py": "import hdl.products.mac",
        "boards/shell/top.py": "from sim import bench",
    }
    for name, text in tree.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    check(tmp_path)
    (tmp_path / path).write_text(f"{tree[path]}\n{line}\n")
    with pytest.raises(AssertionError, match=message):
        check(tmp_path)
