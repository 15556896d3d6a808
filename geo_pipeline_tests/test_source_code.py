from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_pipeline.source_code import PACKAGE, Code, SourceTree, code_behind, source_tree

FILES = {
    "__init__.py": '"""A package."""\n',
    "defs.py": '''"""The entry."""
from __future__ import annotations

import math as maths
from typing import TYPE_CHECKING

from pkg import tools
from pkg.room import handed_on
from pkg.room.shapes import Square

if TYPE_CHECKING:
    from pkg.nowhere import Absent

LIMIT, UNUSED = 10, 20


def decorated(function):
    return function


@decorated
def entry(count: int = 3, unrelated: int = 0) -> Absent:
    """What it does."""
    # a comment
    from pkg.lazy import late

    size: int = count + LIMIT
    label = f"count {size:>{count}} of" " all"
    return tools.helper(size), handed_on(label), Square(side=count), late(), maths.floor(size), unrelated


def unrelated():
    return 1
''',
    "tools.py": """def helper(value):
    return [value * factor for factor in factors()]


def factors():
    return {"a": 1}


def stranger():
    return 2
""",
    "lazy.py": "def late():\n    return 'table.json'\n",
    "room/__init__.py": "from .inner import original as handed_on\n",
    "room/inner.py": "def original(value):\n    if value:\n        return original(value[1:])\n    return None\n",
    "room/shapes.py": """from dataclasses import dataclass


class Shape:
    name = "shape"


class Unit:
    pass


@dataclass
class Square(Shape):
    side: int
    unit: Unit | None = None

    def area(self) -> float:
        return self.side**2
""",
    "table.json": "{}",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with an entry that uses everything but `unrelated`, `UNUSED` and `stranger`."""
    return write_package(tmp_path / "pkg", FILES)


def write_package(package: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return package


def code(package: Path, *entries: str, without: tuple[str, ...] = ()) -> Code:
    """What a new process finds."""
    return SourceTree(package).code_behind(entries or ["defs:entry"], without)


def change(package: Path, file: str, old: str, new: str) -> None:
    text = (package / file).read_text()
    assert old in text
    (package / file).write_text(text.replace(old, new))


def version_of(source: str, folder: Path) -> str:
    """The version of a one-file package that defines `f`."""
    return code(write_package(folder / "pkg", {"__init__.py": "", "a.py": source}), "a:f").version


def test_parts_are_what_the_entry_reaches_and_nothing_else(package: Path) -> None:
    assert list(code(package).parts) == [
        "pkg/defs.py:LIMIT",
        "pkg/defs.py:decorated",
        "pkg/defs.py:entry",
        "pkg/lazy.py:late",
        "pkg/room/inner.py:original",
        "pkg/room/shapes.py:Shape",
        "pkg/room/shapes.py:Square",
        "pkg/room/shapes.py:Unit",
        "pkg/table.json",
        "pkg/tools.py:factors",
        "pkg/tools.py:helper",
    ]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("defs.py", "    # a comment\n", ""),
        ("defs.py", '    """What it does."""\n', '    """Something else."""\n\n\n'),
        ("defs.py", '    """What it does."""\n', ""),
        ("defs.py", '"""The entry."""', '"""Another text."""\nimport json\n\n'),
        ("defs.py", "entry(count: int = 3", "entry(\n    count: float = 3"),
        ("defs.py", ") -> Absent", ")"),
        ("defs.py", "size: int = count + LIMIT", "size = (count + LIMIT)"),
        ("defs.py", '{count}} of" " all"', '{count}} o" "f all"'),
        ("defs.py", "return 1", "return 100"),
        ("tools.py", "return 2", "return stranger"),
        ("tools.py", '{"a": 1}', "{\n        'a': 0x1,  # one\n    }"),
        ("room/shapes.py", '    name = "shape"', '    """A shape."""\n\n    name = "shape"\n    """Its name."""'),
        ("room/shapes.py", "class Unit:\n    pass", 'class Unit:\n    """One."""'),
        ("room/shapes.py", "-> float", "-> int"),
    ],
)
def test_what_does_not_run_for_the_entry_changes_nothing(package: Path, file: str, old: str, new: str) -> None:
    before = code(package)
    change(package, file, old, new)
    assert code(package) == before


@pytest.mark.parametrize(
    ("file", "old", "new", "part"),
    [
        ("defs.py", "LIMIT, UNUSED = 10", "LIMIT, UNUSED = 11", "defs.py:LIMIT"),
        ("defs.py", "count + LIMIT", "count - LIMIT", "defs.py:entry"),
        ("defs.py", "count: int = 3", "count: int = 3.0", "defs.py:entry"),
        ("defs.py", "@decorated\n", "", "defs.py:entry"),
        ("defs.py", "return function", "return staticmethod(function)", "defs.py:decorated"),
        ("defs.py", "import math as maths", "import cmath as maths", "defs.py:entry"),
        ("defs.py", "{size:>{count}}", "{size:<{count}}", "defs.py:entry"),
        ("defs.py", "{size:>{count}}", "{size!r:>{count}}", "defs.py:entry"),
        ("tools.py", "value * factor", "value / factor", "tools.py:helper"),
        ("tools.py", '{"a": 1}', '{"a": True}', "tools.py:factors"),
        ("lazy.py", "'table.json'", "b'table.json'", "lazy.py:late"),
        ("room/inner.py", "value[1:]", "value[:1]", "room/inner.py:original"),
        ("room/__init__.py", "original as", "other as", "room/inner.py:other"),
        ("room/shapes.py", "(Shape)", "", "room/shapes.py:Square"),
        ("room/shapes.py", '"shape"', '"form"', "room/shapes.py:Shape"),
        ("room/shapes.py", "    side: int\n", "    side: float\n", "room/shapes.py:Square"),
        ("room/shapes.py", "class Unit:", "class Unit(Exception):", "room/shapes.py:Unit"),
        ("table.json", "{}", "[]", "table.json"),
    ],
)
def test_what_runs_for_the_entry_changes_its_own_part(package: Path, file: str, old: str, new: str, part: str) -> None:
    with (package / "room/inner.py").open("a") as stream:
        stream.write("\n\ndef other(value):\n    return value\n")
    before = code(package)
    change(package, file, old, new)
    after = code(package)
    assert after.version != before.version
    assert f"pkg/{part}" in {key for key, value in after.parts.items() if before.parts.get(key) != value}


@given(st.data(), st.integers(1, 7))
def test_the_parts_of_any_graph_of_calls_are_what_can_be_reached_in_it(data: st.DataObject, num_functions: int) -> None:
    numbers = st.integers(0, num_functions - 1)
    calls = [data.draw(st.lists(numbers, unique=True), label=f"calls of f{i}") for i in range(num_functions)]
    place = [data.draw(st.sampled_from(["a", "b", "room.c"]), label=f"module of f{i}") for i in range(num_functions)]
    with TemporaryDirectory() as folder:
        package = write_package(Path(folder) / "pkg", {"__init__.py": "", "room/__init__.py": ""})
        for module in set(place):
            (package / f"{module.replace('.', '/')}.py").write_text(module_text(module, place, calls))
        reached: set[int] = set()
        fresh = {0}
        while fresh:
            reached |= fresh
            fresh = {called for caller in fresh for called in calls[caller]} - reached
        keys = {f"pkg/{place[number].replace('.', '/')}.py:f{number}" for number in reached}
        assert set(code(package, f"{place[0]}:f0").parts) == keys


def module_text(module: str, place: list[str], calls: list[list[int]]) -> str:
    """The functions of one module; those of others are called through imports at the top, inside, or of the module."""
    top: list[str] = []
    functions = []
    for number in (number for number, at in enumerate(place) if at == module):
        lines: list[str] = []
        for called in calls[number]:
            other = place[called]
            forms = [f"from pkg.{other} import f{called}", f"import pkg.{other} as m{called}", f"import pkg.{other}"]
            names = [f"f{called}", f"m{called}.f{called}", f"pkg.{other}.f{called}"]
            form = (number + called) % 3
            if other != module:
                (top if called % 2 else lines).append(forms[form])
            lines.append(f"{names[form] if other != module else names[0]}()")
        functions.append(f"def f{number}():\n" + "".join(f"    {line}\n" for line in [*lines, "return 0"]))
    return "\n".join([*top, *functions])


CONSTANTS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8")),
    st.binary(),
    st.just(...),
)


@given(CONSTANTS, CONSTANTS)
def test_constants_are_told_apart_by_type_and_value(one: object, other: object) -> None:
    with TemporaryDirectory() as folder:
        versions = [version_of(f"f = [{value!r}]", Path(folder)) for value in (one, other)]
    assert (versions[0] == versions[1]) == (type(one) is type(other) and repr(one) == repr(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("f = 'a' 'b'", 'f = """ab"""'),
        ("f = f'a{x}' 'b' f'{y}'", "f = f'a{x}b{y}'"),
        ("f = f'a' 'b'", "f = 'ab'"),
        ("f = u'a'", "f = 'a'"),
        ("f: int = 1", "f = 1"),
        ("def f(a: int, *b: int) -> int: return a", "def f(a, *b): return a"),
        ("class f:\n    'doc'", "class f: pass"),
    ],
)
def test_two_spellings_of_the_same_code_have_one_version(one: str, other: str, tmp_path: Path) -> None:
    assert version_of(one, tmp_path) == version_of(other, tmp_path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("f = {**a, b: c}", "f = {b: c, **a}"),
        ("f = lambda *, a, b=1: a", "f = lambda *, a=1, b: a"),
        ("f = f'{x}{y}a'", "f = f'{x}a{y}'"),
        ("f = f'{x}'", "f = '{x}'"),
        ("class f:\n    a: int = 1\n    b = 2", "class f:\n    a = 1\n    b: int = 2"),
        ("class f:\n    a: int\n    b: int", "class f:\n    b: int\n    a: int"),
        ("def f(): return", "def f(): return None"),
        ("def f(): yield 1", "async def f(): yield 1"),
        ("def f(a, /): return a", "def f(a): return a"),
        ("f = (a, b)", "f = [a, b]"),
        ("f = a.b", "f = a.c"),
    ],
)
def test_different_code_has_different_versions(one: str, other: str, tmp_path: Path) -> None:
    assert version_of(one, tmp_path) != version_of(other, tmp_path)


def test_a_version_is_the_same_in_every_python(tmp_path: Path) -> None:
    source = '''
import os.path as p
from functools import wraps
@wraps(p.join)
async def f(a, /, b: int = 1, *c, d=2.5, e, **g):
    """Text."""
    global h
    x: list[int] = [i async for i in a if (j := i) not in {1, b"\\xff", None, ..., "\U0001fae9"}]
    async with a as (k, *l), b: h = not x[1:, ::2] if k @ 2 ** -1 else lambda q, *r: (yield)
    try: await f(*c, d=d, **g)
    except (OSError, KeyError) as error: raise ValueError(f"{error!r:>{b}} {x=}" "end" f"{{") from error
    else: del x
    finally: pass
    match a:
        case {"k": [1 | 2, *rest], **more} if rest: return 1 < b <= 3
        case p.sep | None as y: assert y, "é"
        case int(real=0): nonlocal_ = {**g}
    while a: break
    for _ in a: continue
'''
    assert version_of(source, tmp_path) == "0e517c661b3dadd4"


def test_layout_and_comments_of_the_whole_package_change_nothing(tmp_path: Path) -> None:
    modules = [".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in own_files()]
    entries = [module for module in modules if not module.endswith("__init__")]
    copy = shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in copy.rglob("*.py"):
        path.write_text("# moved\n\n" + ast.unparse(ast.parse(path.read_bytes())), encoding="utf-8")
    assert code(copy, *entries) == code(PACKAGE, *entries)


@pytest.mark.parametrize(
    ("without", "gone"),
    [
        (("tools",), {"pkg/tools.py:helper", "pkg/tools.py:factors"}),
        (("tools:helper",), {"pkg/tools.py:helper", "pkg/tools.py:factors"}),
        (("tools:factors",), {"pkg/tools.py:factors"}),
        (("room.inner", "lazy"), {"pkg/room/inner.py:original", "pkg/lazy.py:late", "pkg/table.json"}),
        (("*.shapes:S*",), {f"pkg/room/shapes.py:{name}" for name in ("Shape", "Square", "Unit")}),
        (("tool", "defs.*", "helper"), set()),
        (("defs",), {"pkg/defs.py:LIMIT", "pkg/defs.py:decorated"}),
    ],
)
def test_what_is_left_out_is_neither_counted_nor_followed(
    package: Path, without: tuple[str, ...], gone: set[str]
) -> None:
    assert set(code(package).parts) - set(code(package, without=without).parts) == gone


@pytest.mark.parametrize(
    ("file", "text", "reached"),
    [
        ("names.py", "import pkg.tools\ndef f(): return pkg.tools.stranger()", {"pkg/tools.py:stranger"}),
        ("names.py", "from pkg import tools as t\ndef f(): return t.stranger", {"pkg/tools.py:stranger"}),
        ("room/names.py", "from ..tools import stranger\ndef f(): return stranger", {"pkg/tools.py:stranger"}),
        ("room/names.py", "from . import inner\ndef f(): return inner.original", {"pkg/room/inner.py:original"}),
        ("names.py", "from pkg import lazy\ndef f(): return lazy", {"pkg/lazy.py:late", "pkg/table.json"}),
        ("names.py", "from pkg import room\ndef f(): return room", {"pkg/room/inner.py:original"}),
        ("names.py", "from pkg import lazy\ndef f(): return lazy.__name__", set()),
        ("names.py", "from pkg.lazy import late\ndef f(late): return late", set()),
        ("names.py", "from pkg.lazy import late\ndef f():\n    late = 1\n    return late", set()),
        ("names.py", "from pkg.tools import stranger\ndef f(): return [stranger for stranger in ()]", set()),
        (
            "names.py",
            "from pkg.tools import stranger\ndef f(): return [stranger for stranger in ()], stranger",
            {"pkg/tools.py:stranger"},
        ),
        (
            "names.py",
            "from pkg.tools import stranger\ndef f(x=stranger):\n    def g(stranger): pass",
            {"pkg/tools.py:stranger"},
        ),
        (
            "names.py",
            "from pkg.tools import stranger\nclass f:\n    stranger = 1\n    def g(self): return stranger",
            {"pkg/tools.py:stranger"},
        ),
        ("names.py", "class f:\n    from pkg.tools import stranger\n    a = stranger", {"pkg/tools.py:stranger"}),
        (
            "names.py",
            "try:\n    from pkg.tools import stranger as f\nexcept ImportError:\n    f = None",
            {"pkg/tools.py:stranger"},
        ),
        ("names.py", "if 1:\n    def f(): return g()\nelse:\n    f = 2\ndef g(): pass", {"pkg/names.py:g"}),
        ("names.py", "f = {}\nf['a'] = 1\nprint(f)", {"pkg/names.py:<module>"}),
        ("names.py", "f = 0\nif __name__ == '__main__':\n    print(f)", set()),
        ("names.py", "def f(): return g\ng = 1\ng += h\nh = 2", {"pkg/names.py:g", "pkg/names.py:h"}),
        (
            "names.py",
            "from pkg.tools import stranger\ndef f(): return [stranger for stranger in stranger]",
            {"pkg/tools.py:stranger"},
        ),
        ("names.py", "if TYPE_CHECKING:\n    from pkg.nowhere import Absent\nclass f:\n    a: Absent", set()),
        ("names.py", "def f():\n    global g\n    g = g + 1\ng = 1", {"pkg/names.py:g"}),
    ],
)
def test_names_lead_where_python_would_find_them(package: Path, file: str, text: str, reached: set[str]) -> None:
    write_package(package, {file: text})
    module = file.removesuffix(".py").replace("/", ".")
    assert set(code(package, f"{module}:f").parts) == {f"pkg/{file}:f", *reached}


def test_a_whole_module_is_its_definitions_and_its_statements(package: Path) -> None:
    text = "import sys\nprint(sys.argv)\ndef f(): pass\nif __name__ == '__main__':\n    f()\n"
    write_package(package, {"program.py": text})
    before = code(package, "program")
    assert list(before.parts) == ["pkg/program.py:<module>", "pkg/program.py:__main__", "pkg/program.py:f"]
    change(package, "program.py", "    f()", "    f(1)")
    assert code(package, "program").version != before.version


def test_statements_of_a_module_that_hands_a_name_on_count(package: Path) -> None:
    write_package(package, {"shim.py": "from pkg.tools import stranger\nprint('hello')\n"})
    parts = ["pkg/shim.py:<module>", "pkg/tools.py:stranger"]
    assert list(code(package, "shim:stranger").parts) == parts


def test_statements_of_a_package_run_before_its_modules(package: Path) -> None:
    change(package, "room/__init__.py", "from", "print('hello')\nfrom")
    assert "pkg/room/__init__.py:<module>" in code(package, "room.shapes:Unit").parts


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("tool:helper", r"^tool:helper: .* has no module 'tool'; the nearest is 'tools'$"),
        ("tools:help", r"^tools:help: .*tools\.py defines no 'help'; the nearest is 'helper'$"),
        ("room.shape", r"^room\.shape: .* has no module 'room\.shape'; the nearest is 'room\.shapes'$"),
        ("empty", r"^empty: the module holds no definition"),
        ("broken:f", r"^pkg/broken\.py:f: .*tools\.py defines no 'helpers'; the nearest is 'helper'$"),
        ("starred:f", r"starred\.py:1: a star import of ours"),
    ],
)
def test_a_name_that_leads_nowhere_is_an_error_that_names_the_nearest(package: Path, entry: str, message: str) -> None:
    broken = "from pkg.tools import helpers\ndef f(): return helpers"
    write_package(
        package, {"empty.py": "", "broken.py": broken, "starred.py": "from pkg.tools import *\ndef f(): pass"}
    )
    with pytest.raises(ValueError, match=message):
        code(package, entry)


def test_files_are_read_once_in_a_process(package: Path) -> None:
    before = code_behind(["defs:entry"], package=package)
    change(package, "tools.py", "value * factor", "value + factor")
    assert code_behind(["defs:entry"], package=package) == before
    source_tree.cache_clear()
    assert code_behind(["defs:entry"], package=package) != before


@pytest.mark.parametrize(
    ("entry", "reached"),
    [
        ("defs.assets.cells:cell_hierarchy", ["cells/hierarchy.py:cell_hierarchy", "cells/cell_id.py:parse_tokens"]),
        ("defs.crawling:crawl_into_shards", ["crawl/bucket.py:crawl_buckets", "crawl/photo.py:store_picture"]),
        (
            "training.__main__",
            ["training/loss.py:head_losses", "model/network.py:GeoModel", "training/__main__.py:main"],
        ),
        ("evaluation.report:render_report", ["evaluation/report.html.jinja", "evaluation/land_110m.json"]),
        (
            "evaluation.cell_page:render_cell_page",
            [
                *(f"evaluation/cells.{kind}" for kind in ("html.jinja", "css", "js")),
                *(f"evaluation/vendored/{name}" for name in ("leaflet.js", "leaflet.css", "land-50m.json")),
            ],
        ),
        ("world.faults:placeholder_picture", ["world/photo_unavailable.jpg"]),
    ],
)
def test_entries_of_this_package_reach_their_rooms(entry: str, reached: list[str]) -> None:
    parts = code_behind([entry]).parts
    assert {f"geo_pipeline/{key}" for key in reached} <= set(parts)


def own_files() -> Iterator[Path]:
    return PACKAGE.rglob("*.py")


def local_imports() -> list[tuple[str, str]]:
    """(entry, what it imports inside) for each top-level function of this package that imports ours inside."""
    return [
        (f"{'.'.join(path.relative_to(PACKAGE).with_suffix('').parts)}:{function.name}", f"{node.module}.{alias.name}")
        for path in own_files()
        for function in ast.parse(path.read_bytes()).body
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE.name)
        for alias in node.names
    ]


def test_every_import_inside_a_function_of_this_package_is_followed() -> None:
    imports = local_imports()
    assert len(imports) > 10
    for entry, imported in imports:
        name = imported.rpartition(".")[2]
        file = f"{imported.replace('.', '/')}.py:"  # where a module is imported
        keys = code_behind([entry]).parts
        assert any(key.endswith(f":{name}") or key.startswith(file) for key in keys), (entry, imported)
