"""The house's rules about who may import whom, read from the source itself."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = ("generator", "trainer", "evaluation")
HEAVY = {"torch", "openai", "transformers", "trl", "unsloth", "lighteval", "aiohttp", "datasets"}
# The two rooms of shared/ that may need a heavy library; openai only inside functions.
HEAVY_ROOMS = {"chat_api": {"aiohttp", "openai"}, "inference": {"torch", "transformers"}}

# Inside the generator, parts do not import each other; they meet in these leaves and are wired by
# the composers.
LEAVES = {
    "config",
    "presets",
    "sample_policy",
    "arithmetic",
    "quality",
    "monitor.status",
    "errors",
    "spending",
    "answer",
    "corpus.batch_table",
    "corpus.ledger",
    "corpus.high_water",
}
COMPOSERS = {
    "new_configuration",
    "__main__",
    "pipeline",
    "run",
    "workers",
    "sampler",
    "intake",
    "plan",
    "importer",
    "parts",
}

# Trainer and evaluation are built in floors: a module imports from its own floor and those below,
# never from above.
FLOORS = {
    "trainer": [
        {"config", "disk_errors", "demo_weights"},
        {"data"},
        {"layers"},
        {"planning"},
        {"artifacts"},
        {"loop"},
        {"chat", "inspection", "launcher", "__main__"},
    ],
    "evaluation": [
        {"config", "records", "progress"},
        {"benchmarks", "neighbours", "answer_cache", "stats"},
        {"engines", "scoring", "lighteval"},
        {"answering", "results", "report"},
        {"pipeline", "failure_mining"},
        {"__main__"},
    ],
}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path for package in ("shared", *PROGRAMS) for path in sources(package)
}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(dotted module, whether at the top of the file) for every import in a file."""
    tree = parsed(path)
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            known_modules = [name for name in submodules if name in MODULES]
            if len(known_modules) < len(submodules):
                yield node.module, id(node) in top
            for name in known_modules:
                yield name, id(node) in top


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_never_import_one_another(program: str) -> None:
    other_programs = set(PROGRAMS) - {program}
    offenders = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources(program)
        for name, _ in imports(path)
        if name.split(".")[0] in other_programs
    ]
    assert offenders == []


def test_shared_imports_no_program_and_nothing_heavy_outside_its_two_rooms() -> None:
    offenders = []
    for path in sources("shared"):
        room = path.relative_to(ROOT / "shared").parts[0]
        allowed_packages = HEAVY_ROOMS.get(room, set())
        for name, at_top in imports(path):
            library = name.split(".")[0]
            forbidden = library in set(PROGRAMS) | (HEAVY - allowed_packages)
            if forbidden or (library == "openai" and at_top):
                offenders.append(f"{path.relative_to(ROOT)}: {name}")
    assert offenders == []


@pytest.mark.skipif(
    any(find_spec(library) is None for library in ("aiolimiter", "structlog", "uvloop")),
    reason="the generator's own libraries are not installed in this environment",
)
def test_the_generator_never_loads_torch() -> None:
    """Every module of it, and what they import: not even where torch is installed."""
    modules = [name for name in MODULES if name.startswith("generator") and "__main__" not in name]
    script = (
        "import sys, types\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        assert name.split('.')[0] != 'torch', name\n"
        "sys.meta_path.insert(0, Refuse())\n"
        f"for name in {modules!r}: __import__(name)\n"
    )
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, cwd=ROOT
    )
    assert process.returncode == 0, process.stderr[-2000:]


def test_the_generators_parts_do_not_import_each_other() -> None:
    offenders = []
    for path in sources("generator"):
        part = path.relative_to(ROOT / "generator").parts[0].removesuffix(".py")
        if part in COMPOSERS:
            continue
        for name, _ in imports(path):
            pieces = name.split(".")
            if pieces[0] != "generator" or len(pieces) == 1 or pieces[1] == part:
                continue
            inside = ".".join(pieces[1:])
            if not any(inside == leaf or inside.startswith(f"{leaf}.") for leaf in LEAVES):
                offenders.append(f"{path.relative_to(ROOT)}: {name}")
    assert sorted(set(offenders)) == []


@pytest.mark.parametrize("program", FLOORS)
def test_no_module_imports_from_a_floor_above_its_own(program: str) -> None:
    floor_of = {room: number for number, rooms in enumerate(FLOORS[program]) for room in rooms}
    offenders = []
    for path in sources(program):
        room = path.relative_to(ROOT / program).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for name, _ in imports(path):
            pieces = name.split(".")
            if pieces[0] == program and len(pieces) > 1 and floor_of[pieces[1]] > floor_of[room]:
                offenders.append(f"{path.relative_to(ROOT)}: {name}")
    assert sorted(set(offenders)) == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Cycles among the imports at the top of files; a package stands for its __init__."""
    graph = {
        name: {module for module, at_top in imports(path) if at_top and module in MODULES}
        for name, path in MODULES.items()
    }
    finished_modules: set[str] = set()
    cycles: list[str] = []

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            cycles.append(" -> ".join((*trail[trail.index(name) :], name)))
        elif name not in finished_modules:
            for module in sorted(graph[name]):
                visit(module, (*trail, name))
            finished_modules.add(name)

    for name in sorted(graph):
        visit(name, ())
    assert cycles == []


def test_every_package_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for package in ("shared", *PROGRAMS)
        for path in sources(package)
        if ast.get_docstring(parsed(path)) is None
    ]
    assert silent == []


def test_no_code_that_comes_with_a_model_is_ever_allowed() -> None:
    """Not a model's own Python, and no pickle: only safetensors and numbers."""
    offenders = []
    for package in ("shared", *PROGRAMS, "benchmarks"):
        for path in sources(package):
            for node in ast.walk(parsed(path)):
                if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                    is_refused = isinstance(node.value, ast.Constant) and node.value.value is False
                    offenders += [] if is_refused else [f"{path.name}: trust_remote_code"]
                if isinstance(node, ast.keyword) and node.arg in ("weights_only", "allow_pickle"):
                    is_safe = isinstance(node.value, ast.Constant) and (
                        node.value.value is (node.arg == "weights_only")
                    )
                    offenders += [] if is_safe else [f"{path.name}: {node.arg}"]
            for name, _ in imports(path):
                if name.split(".")[0] in ("dill", "joblib", "cloudpickle", "shelve", "marshal"):
                    offenders.append(f"{path.name}: {name}")
    assert offenders == []
