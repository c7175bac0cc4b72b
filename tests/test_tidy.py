"""Style as a test: the direction of imports, banned calls, sizes (design, section 11)."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "failoverd"


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 70

LAYERS = (
    ("domain",),
    (
        "ports",
        "errors",
        "bell",
        "pace",
        "accounts",
        "packets",
        "config",
        "wire",
        "records",
        "log",
        "clock",
        "procfs",
        "kernel",
    ),
    ("agents", "spawner", "coordinators", "links", "control", "fencing", "guard"),
    ("runtime",),
    ("cli", "demo", "__main__"),
)
"""From the bottom up: a module imports what is below it, and of its own layer as ``SIBLINGS`` says."""

SIBLINGS = {1: True, 2: False, 3: True, 4: True}
"""Whether the parts of a layer (by index) may import each other: adapters may not."""

EFFECTS = words("""
    asyncio concurrent contextvars datetime fcntl http io locale logging multiprocessing os pathlib platform queue
    random sched secrets select selectors shutil signal socket sqlite3 ssl subprocess sys syslog tempfile threading
    time urllib uuid
""")
"""Modules of the standard library that have no place in the domain: clocks, randomness, the outside world."""

WALL_CLOCK = frozenset({"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"})
WALL_CLOCK_FILES = frozenset({"failoverd/clock.py"})
"""The one place that makes time stamps for people."""

MUTABLE_CALLS = words("list dict set bytearray defaultdict deque Counter OrderedDict")
MUTATORS = words("append appendleft extend insert add update setdefault pop popleft popitem clear remove discard sort")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    path: str
    """Relative to the project."""
    lines: int
    tree: ast.Module

    @property
    def module(self) -> str:
        name = self.path.removesuffix(".py").replace("/", ".")
        return name.removesuffix(".__init__")

    def at(self, node: ast.AST, what: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {what}"


@cache
def sources(directory: str) -> tuple[Source, ...]:
    return tuple(
        Source(path=str(path.relative_to(ROOT)), lines=text.count("\n"), tree=ast.parse(text))
        for path in sorted((ROOT / directory).rglob("*.py"))
        for text in [path.read_text(encoding="utf-8")]
    )


def everything() -> Iterator[Source]:
    return chain(sources(PACKAGE), sources("tests"))


def report(findings: Iterator[str]) -> None:
    found = list(findings)
    assert not found, "\n" + "\n".join(found)


def imports(tree: ast.AST, *, typing: bool = True) -> Iterator[tuple[ast.stmt, str]]:
    """Every module that is imported anywhere in a tree, by its full name; ``typing``: also those that only the type
    checker sees."""
    only_typed = set() if typing else {id(node) for node in under_type_checking(tree)}
    for node in ast.walk(tree):
        if id(node) in only_typed:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield node, name if is_module(name) else str(node.module)


def under_type_checking(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING"):
            for inner in node.body:
                yield from ast.walk(inner)


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def part_of(module: str) -> str | None:
    """``failoverd.agents.exec`` is of the part ``agents``; the package itself of none."""
    pieces = module.split(".")
    return pieces[1] if pieces[0] == PACKAGE and len(pieces) > 1 else None


def layer_of(part: str) -> int:
    for index, parts in enumerate(LAYERS):
        if part in parts:
            return index
    raise AssertionError(f"failoverd/{part} is in no layer: name it in LAYERS")


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of an attribute chain; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, dotted(node.func)


# --- layers ---------------------------------------------------------------------------------------------------


def may_import(importer: str, imported: str) -> bool:
    if importer == imported:
        return True
    above, below = layer_of(importer), layer_of(imported)
    return below < above or (below == above and SIBLINGS.get(above, False))


def test_imports_run_one_way() -> None:
    def findings() -> Iterator[str]:
        for source in sources(PACKAGE):
            part = part_of(source.module)
            for node, name in imports(source.tree):
                other = part_of(name)
                if part is None and name.split(".")[0] == PACKAGE:
                    yield source.at(node, "the package itself imports nothing of its own")
                elif part and other and not may_import(part, other):
                    yield source.at(node, f"{part} must not import {other}")

    report(findings())


def test_layer_rules_are_as_designed() -> None:
    assert may_import("agents", "ports")
    assert may_import("runtime", "links")
    assert not may_import("links", "agents")
    assert not may_import("domain", "ports")
    assert not may_import("ports", "runtime")
    assert not may_import("runtime", "cli")


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {
        source.module: {
            name for _, name in imports(source.tree, typing=False) if name != source.module and is_module(name)
        }
        for source in sources(PACKAGE)
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("circle of imports: " + " -> ".join(error.args[1]))


# --- the domain is pure ---------------------------------------------------------------------------------------


def domain() -> Iterator[Source]:
    return (source for source in sources(PACKAGE) if part_of(source.module) == "domain")


def test_domain_imports_only_pure_modules() -> None:
    def findings() -> Iterator[str]:
        for source in domain():
            for node, name in imports(source.tree):
                top = name.split(".")[0]
                if part_of(name) == "domain":
                    continue
                if top in EFFECTS:
                    yield source.at(node, f"{name}: the domain has no clock, randomness or outside world")
                elif top not in sys.stdlib_module_names:
                    yield source.at(node, f"{name}: the domain imports only the standard library and itself")

    report(findings())


def test_domain_waits_for_nothing_and_prints_nothing() -> None:
    def findings() -> Iterator[str]:
        for source in domain():
            for node in ast.walk(source.tree):
                if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
                    yield source.at(node, "the domain waits for nothing")
            for call, name in calls(source.tree):
                if name in {"open", "print", "input", "exec", "eval"}:
                    yield source.at(call, f"{name} in the domain")

    report(findings())


# --- time -----------------------------------------------------------------------------------------------------


def test_wall_clock_is_read_in_one_place() -> None:
    """Decisions use monotonic time; a time stamp for people comes from the clock port."""

    def findings() -> Iterator[str]:
        for source in sources(PACKAGE):
            if source.path in WALL_CLOCK_FILES:
                continue
            for node in ast.walk(source.tree):
                if isinstance(node, ast.Attribute) and ".".join(dotted(node).split(".")[-2:]) in WALL_CLOCK:
                    yield source.at(node, f"{dotted(node)}: take Clock.wall()")
                if isinstance(node, ast.ImportFrom) and node.module == "time":
                    for alias in node.names:
                        if alias.name in {"time", "time_ns"}:
                            yield source.at(node, f"time.{alias.name}: take Clock.wall()")

    report(findings())


# --- errors ---------------------------------------------------------------------------------------------------

BROAD = frozenset({"Exception", "BaseException"})
BOUNDARIES = {
    "failoverd/control/server.py": "a defect in one command ends that command, not the daemon, and is logged",
    "failoverd/log/values.py": "what foreign values raise when they are printed must not lose the event",
    "tests/unit/runtime/fakes.py": "the crash of a daemon is what a test may be about",
}
"""The files that may catch everything in one place, and why."""


def caught(handler: ast.ExceptHandler) -> Iterator[str]:
    if handler.type is None:
        yield "BaseException"
    else:
        for node in handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]:
            yield dotted(node).removeprefix("builtins.")


def passes_on(handler: ast.ExceptHandler) -> bool:
    """It tidies up and raises what it caught."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_no_error_is_caught_broadly() -> None:
    def findings() -> Iterator[str]:
        for source in everything():
            broad = [
                node
                for node in ast.walk(source.tree)
                if isinstance(node, ast.ExceptHandler) and BROAD & set(caught(node)) and not passes_on(node)
            ]
            for node in broad[1 if source.path in BOUNDARIES else 0 :]:
                yield source.at(node, "catches everything: name what can happen")
            for call, name in calls(source.tree):
                if name.endswith("suppress") and BROAD & {dotted(argument) for argument in call.args}:
                    yield source.at(call, "suppresses everything: name what can happen")

    report(findings())


# --- state ----------------------------------------------------------------------------------------------------


def is_mutable(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        return dotted(value.func).rsplit(".", 1)[-1] in MUTABLE_CALLS
    return isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)


def module_assignments(tree: ast.Module) -> Iterator[tuple[ast.stmt, str, ast.expr | None]]:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Name):
                yield node, target.id, getattr(node, "value", None)


def is_table(name: str) -> bool:
    return name.lstrip("_").isupper() or name == "__all__"


def mutations(function: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Where a function changes something that is named like a constant."""
    for node in ast.walk(function):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.AugAssign):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            yield node, dotted(node.func.value)
        for target in targets:
            if isinstance(target, ast.Subscript):
                yield node, dotted(target.value)


def test_modules_hold_no_state() -> None:
    def findings() -> Iterator[str]:
        for source in sources(PACKAGE):
            for node, name, value in module_assignments(source.tree):
                if is_mutable(value) and not is_table(name):
                    yield source.at(node, f"{name}: mutable state of a module")
            for function in functions(source):
                for inner in ast.walk(function):
                    if isinstance(inner, ast.Global):
                        yield source.at(inner, "global statement")
                for changed, table in mutations(function):
                    if table and is_table(table.rsplit(".", 1)[-1]):
                        yield source.at(changed, f"{table}: a table is changed at run time")

    report(findings())


# --- sizes ----------------------------------------------------------------------------------------------------


def functions(source: Source) -> Iterator[Function]:
    return (node for node in ast.walk(source.tree) if isinstance(node, Function))


def test_files_and_functions_are_small() -> None:
    def findings() -> Iterator[str]:
        for source in everything():
            if source.lines > MAX_FILE_LINES:
                yield f"{source.path}: {source.lines} lines, {MAX_FILE_LINES} are the limit"
            for function in functions(source):
                lines = (function.end_lineno or function.lineno) - function.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    yield source.at(function, f"{function.name} has {lines} lines, {MAX_FUNCTION_LINES} are the limit")

    report(findings())


# --- tests and documentation ----------------------------------------------------------------------------------


def test_no_test_is_skipped_without_a_reason() -> None:
    def findings() -> Iterator[str]:
        for source in sources("tests"):
            bare = {
                id(decorator): decorator
                for function in ast.walk(source.tree)
                if isinstance(function, Function | ast.ClassDef)
                for decorator in function.decorator_list
                if dotted(decorator).rsplit(".", 1)[-1] in {"skip", "skipif", "xfail"}
            }
            for decorator in bare.values():
                yield source.at(decorator, "skipped without a reason")
            for call, name in calls(source.tree):
                if name in {
                    "pytest.mark.skip",
                    "pytest.mark.skipif",
                    "pytest.mark.xfail",
                    "pytest.skip",
                    "pytest.xfail",
                }:
                    given = [keyword.value for keyword in call.keywords if keyword.arg in {"reason", "msg"}]
                    positional = call.args if name in {"pytest.skip", "pytest.xfail"} else []
                    if not any(given_reason(value) for value in chain(given, positional)):
                        yield source.at(call, f"{name} without a reason")

    report(findings())


def given_reason(value: ast.expr) -> bool:
    return not isinstance(value, ast.Constant) or bool(str(value.value).strip())


def test_package_docstring_is_the_architecture() -> None:
    """The first thing that a newcomer reads names every part there is."""
    package = next(source for source in sources(PACKAGE) if source.module == PACKAGE)
    text = ast.get_docstring(package.tree) or ""
    parts = {part for source in sources(PACKAGE) if (part := part_of(source.module))} - {"__main__"}
    missing = sorted(part for part in parts if part not in text)
    assert not missing, f"failoverd/__init__.py says nothing of {', '.join(missing)}"
