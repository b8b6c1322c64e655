"""The house's rules about who may import whom, read from the source itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = ("generator", "trainer", "evaluation")
HEAVY = {"torch", "openai", "transformers", "trl", "unsloth", "lighteval", "aiohttp", "datasets"}

# Inside the generator, parts do not import each other; they meet in these leaves and are wired by the composers.
LEAVES = {"config", "terms", "arithmetic", "presets", "status", "sampling", "flags", "suspects"}
COMPOSERS = {"__main__", "pipeline", "run", "intake", "plan"}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(dotted module, whether at the top of the file) for every import in a file."""
    tree = ast.parse(path.read_text(), str(path))
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module, id(node) in top
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) in top


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_never_import_one_another(program: str) -> None:
    others = set(PROGRAMS) - {program}
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources(program)
        for name, _ in imports(path)
        if name.split(".")[0] in others
    ]
    assert found == []


def test_shared_imports_no_program_and_nothing_heavy() -> None:
    forbidden = set(PROGRAMS) | HEAVY
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources("shared")
        for name, _ in imports(path)
        if name.split(".")[0] in forbidden
    ]
    assert found == []


def test_the_generators_parts_do_not_import_each_other() -> None:
    found = []
    for path in sources("generator"):
        part = path.relative_to(ROOT / "generator").parts[0].removesuffix(".py")
        if part in COMPOSERS:
            continue
        for name, _ in imports(path):
            pieces = name.split(".")
            if pieces[0] == "generator" and len(pieces) > 1 and pieces[1] not in LEAVES | {part}:
                found.append(f"{path.relative_to(ROOT)}: {name}")
    assert sorted(set(found)) == []


def test_every_package_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for package in ("shared", *PROGRAMS)
        for path in sources(package)
        if ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert silent == []
