"""Which of our code a function's result depends on, as a hash for each definition that can be reached from it.

Here live the reading of this package's own sources and the following of names through them. Not here: what an asset's
entries are and what is left out (geo_pipeline.defs). The one idea: read the code as Python would run it. A name leads
to the top-level definition it stands for, in its own module or through imports in another, and so on; what does not
run (comments, docstrings, layout, annotations outside class bodies) is neither hashed nor followed.

What is reached in other ways than by a name is not seen and needs an entry of its own: attributes of arguments,
`getattr`, modules named in strings (`python -m …`), functions that register themselves.
"""

from __future__ import annotations

import ast
import difflib
import fnmatch
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = Path(__file__).resolve().parent

_EFFECTS = "<module>"
"""The name, as in tracebacks, of a module's statements that bind no name and run when it is imported."""

_MAIN = "__main__"
"""The name of a module's `if __name__ == "__main__"`, which runs only where the module is an entry."""

_EVERY_MODULE_HAS = frozenset({"__name__", "__file__", "__doc__", "__path__", "__package__", "__spec__", "__dict__"})


@dataclass(frozen=True)
class Code:
    """The code behind some entries: `geo_pipeline/cells/hierarchy.py:cell_hierarchy` -> 12 hex digits, sorted."""

    parts: Mapping[str, str]

    @property
    def version(self) -> str:
        """Sixteen hex digits over all parts."""
        return _digest("".join(f"{key}\0{value}\n" for key, value in self.parts.items()), 16)


def code_behind(entries: Sequence[str], *, without: Collection[str] = (), package: Path = PACKAGE) -> Code:
    """The definitions, and the data files they name, that running some entries can reach.

    An entry is `defs.assets.cells:cell_hierarchy` (module below the package, top-level name) or `training.__main__` (a
    whole module with its statements). `without` are patterns of modules (`store`, `defs.*`) or of definitions
    (`evaluation.figures:cells_map`) that are neither followed nor counted; what an entry names itself always counts.
    Files are read once in a process. Raises ValueError for an entry, or a name that we import, that leads nowhere.
    """
    return source_tree(package).code_behind(entries, without)


@cache
def source_tree(package: Path) -> SourceTree:
    """The sources of a package as they stood when they were first asked for (`source_tree.cache_clear` forgets)."""
    return SourceTree(package)


class _Reference(NamedTuple):
    """A dotted name in a module of ours (`cells.table`; the package itself is the empty name), or the whole module."""

    module: str
    names: tuple[str, ...] = ()


class _Step(NamedTuple):
    """What a reference adds to the parts, and what it leads to."""

    parts: Mapping[str, str]
    following: tuple[_Reference, ...] = ()


class SourceTree:
    """The sources of one package, each file parsed once and each definition hashed once, when they are reached."""

    def __init__(self, package: Path) -> None:
        self.package = package
        self._modules: dict[str, _Module] = {}
        self._steps: dict[_Reference, _Step] = {}
        self._data_files: dict[Path, frozenset[str]] = {}

    def code_behind(self, entries: Sequence[str], without: Collection[str] = ()) -> Code:
        """See the function `code_behind`."""
        hidden = _pattern(frozenset(without))
        todo = [(reference, entry) for entry in entries for reference in self._starts(entry)]
        parts: dict[str, str] = {}
        seen: set[_Reference] = set()
        while todo:
            reference, asker = todo.pop()
            if reference in seen:
                continue
            seen.add(reference)
            step = self._step(reference, asker)
            parts.update(step.parts)
            asker = next(iter(step.parts), asker)
            todo += [(one, asker) for one in step.following if one not in seen and not hidden(one)]
        return Code(dict(sorted(parts.items())))

    def _starts(self, entry: str) -> Sequence[_Reference]:
        """Where an entry begins; a whole module is each of its names."""
        module, colon, name = entry.partition(":")
        if colon:
            return [_Reference(module, (name,))]
        names = self._step(_Reference(module), entry).following
        if not names:
            raise ValueError(f"{entry}: the module holds no definition, so nothing would ever change its version")
        return names

    def _step(self, reference: _Reference, asker: str) -> _Step:
        """Follow a reference by one step, on behalf of `asker`, whom an error names."""
        if reference not in self._steps:
            try:
                self._steps[reference] = self._follow(reference)
            except LookupError as error:
                raise ValueError(f"{asker}: {error.args[0]}") from None
        return self._steps[reference]

    def _follow(self, reference: _Reference) -> _Step:
        """One step, in the order in which Python looks up an attribute of a module. Raises LookupError."""
        module = self._module(reference.module)
        if not reference.names:
            return _Step({}, tuple(_Reference(module.name, (name,)) for name in module.whole))
        head, rest = reference.names[0], reference.names[1:]
        if head in module.statements:
            return _Step({}, (_Reference(module.name, (head,)),)) if rest else self._definition(module, head)
        if head in module.imports:
            handed_on = (_Reference(one.module, one.names + rest) for one in module.imports[head])
            return _Step({}, (*handed_on, *self._effects(module)))
        if module.is_package and self._file(submodule := f"{module.name}.{head}".lstrip(".")):
            return _Step({}, (_Reference(submodule, rest), *self._effects(module)))
        if head in _EVERY_MODULE_HAS:
            return _Step({})
        raise LookupError(f"{module.path} defines no {head!r}{_nearest(head, {**module.statements, **module.imports})}")

    def _definition(self, module: _Module, name: str) -> _Step:
        """The hash of a definition, those of the data files that it names, and the references in it."""
        uses = _Uses(module)
        for statement in module.statements[name]:
            uses.visit(statement, {})
        text = " ".join([_dump(module.statements[name]), *sorted(uses.foreign)])
        parts = {f"{self._key(module.path)}:{name}": _digest(text)}
        for file in sorted(uses.strings & self._files_beside(module.path)):
            path = module.path.with_name(file)
            parts[self._key(path)] = _digest(path.read_bytes())
        return _Step(parts, (*uses.found, *module.imports.get(name, ()), *self._effects(module)))

    def _effects(self, module: _Module) -> Iterator[_Reference]:
        """What runs when a module is imported: its statements without a name and those of the packages around it."""
        parents = (module.name.rsplit(".", depth)[0] for depth in range(module.name.count(".") + 1))
        for name in dict.fromkeys((*parents, "")):
            if _EFFECTS in self._module(name).statements:
                yield _Reference(name, (_EFFECTS,))

    def _module(self, name: str) -> _Module:
        """A module by its dotted name below the package. Raises LookupError naming the nearest."""
        if name not in self._modules:
            path = self._file(name)
            if path is None:
                ours = (path.relative_to(self.package).with_suffix("").parts for path in self.package.rglob("*.py"))
                raise LookupError(f"{self.package} has no module {name!r}{_nearest(name, map('.'.join, ours))}")
            self._modules[name] = _Module(name, path, self.package.name)
        return self._modules[name]

    def _file(self, name: str) -> Path | None:
        """The file of a module or of a package, if there is one."""
        place = self.package.joinpath(*name.split("."))
        package, module = place / "__init__.py", place.with_name(f"{place.name}.py")
        return package if package.is_file() else module if name and module.is_file() else None

    def _files_beside(self, path: Path) -> frozenset[str]:
        """Names of the data files in a module's folder."""
        if path.parent not in self._data_files:
            files = (file for file in path.parent.iterdir() if file.suffix != ".py" and file.is_file())
            self._data_files[path.parent] = frozenset(file.name for file in files)
        return self._data_files[path.parent]

    def _key(self, path: Path) -> str:
        return path.relative_to(self.package.parent).as_posix()


@cache
def _pattern(without: frozenset[str]) -> Callable[[_Reference], bool]:
    """Whether a reference's module, or the definition in it, is left out."""
    pattern = re.compile("|".join(map(fnmatch.translate, without)) or r"(?!)")

    @cache
    def is_hidden(module: str, name: str) -> bool:
        return bool(pattern.match(module) or (name and pattern.match(f"{module}:{name}")))

    return lambda reference: is_hidden(reference.module, reference.names[0] if reference.names else "")


def _nearest(name: str, names: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, names, n=1, cutoff=0)
    return f"; the nearest is {found[0]!r}" if found else ""


def _digest(content: str | bytes, length: int = 12) -> str:
    """The first hex digits of a SHA-256."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:length]


# What a file binds: for each name the statements and the imports of ours that it stands for.

_Bound = Mapping[str, Sequence[_Reference]]
"""Names that a piece of code binds, with the imports of ours that each stands for (none: something else)."""

_IMPORTS = (ast.Import, ast.ImportFrom)
_OUTSIDE = (ast.Global, ast.Nonlocal)


class _Module:
    """A source file: for each top-level name its statements, its imports of ours, or the foreign name it stands for."""

    def __init__(self, name: str, path: Path, package: str) -> None:
        self.name, self.path, self.package = name, path, package
        self.is_package = path.name == "__init__.py"
        self.statements: dict[str, list[ast.stmt]] = {}
        self.imports: dict[str, list[_Reference]] = {}
        self.foreign: dict[str, str] = {}
        for statement in _top_level(ast.parse(path.read_bytes(), path).body):
            self._add(statement)

    @property
    def whole(self) -> Sequence[str]:
        """The names that the module itself stands for: its definitions, and of a package also what it hands on."""
        return [*self.statements, *(self.imports if self.is_package else ())]

    def _add(self, statement: ast.stmt) -> None:
        bound = self.bound([statement])
        if isinstance(statement, _IMPORTS):
            self.foreign |= {name: source for name, source, ours in self._imported(statement) if not ours}
        else:
            for name in [_MAIN] if _is_main(statement) else bound or [_EFFECTS]:
                self.statements.setdefault(name, []).append(statement)
        for name, references in bound.items():
            self.imports.setdefault(name, []).extend(references)

    def bound(self, nodes: Iterable[ast.AST]) -> _Bound:
        """The names that some code binds in its own scope, not those of functions, classes and comprehensions in it."""
        bound: dict[str, list[_Reference]] = {}
        elsewhere: set[str] = set()
        todo = list(nodes)
        while todo:
            node = todo.pop()
            if isinstance(node, _IMPORTS):
                for name, _, reference in self._imported(node):
                    bound.setdefault(name, []).extend([reference] if reference else [])
            elif isinstance(node, _OUTSIDE):
                elsewhere.update(node.names)
            elif (binds := _bound_name(node)) is not None:
                bound.setdefault(binds, [])
            if type(node) not in _SCOPES:
                todo.extend(_children(node))
        return {name: references for name, references in bound.items() if name not in elsewhere}

    def _imported(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str, _Reference | None]]:
        """Each name that an import binds, the full name that it stands for, and where that is if it is ours."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                source = alias.name if alias.asname else alias.name.partition(".")[0]
                yield alias.asname or source, source, self._ours(source)
            return
        module = self._ours(node.module or "") if not node.level else _Reference(self._above(node))
        for alias in node.names:
            if alias.name == "*" and module:
                raise ValueError(f"{self.path}:{node.lineno}: a star import of ours hides what it binds; name it")
            reference = _Reference(module.module, (alias.name,)) if module else None
            yield alias.asname or alias.name, f"{node.module}.{alias.name}", reference

    def _ours(self, absolute: str) -> _Reference | None:
        """A module by its full name, if it is one of this package."""
        top, _, name = absolute.partition(".")
        return _Reference(name) if top == self.package else None

    def _above(self, node: ast.ImportFrom) -> str:
        """The module that a relative import names."""
        parts = self.name.split(".")
        climbed = node.level - self.is_package
        return ".".join(filter(None, [*parts[: len(parts) - climbed], node.module or ""]))


def _top_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module that run: no bare strings, and of `if TYPE_CHECKING` only the `else`."""
    for statement in body:
        if isinstance(statement, ast.If) and _name_of(statement.test) == "TYPE_CHECKING":
            yield from _top_level(statement.orelse)
        elif not _is_idle(statement):
            yield statement


def _is_main(statement: ast.stmt) -> bool:
    """Whether a statement is `if __name__ == "__main__"`."""
    if not (isinstance(statement, ast.If) and isinstance(statement.test, ast.Compare)):
        return False
    return "__name__" in map(_name_of, (statement.test.left, *statement.test.comparators))


def _name_of(node: ast.AST) -> str | None:
    """The name, or the last part of the dotted name, that an expression is."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None


_NAMED = {
    ast.FunctionDef: "name",
    ast.AsyncFunctionDef: "name",
    ast.ClassDef: "name",
    ast.ExceptHandler: "name",
    ast.MatchAs: "name",
    ast.MatchStar: "name",
    ast.MatchMapping: "rest",
}
"""Kinds of nodes that bind a name, and the field that holds it."""


def _bound_name(node: ast.AST) -> str | None:
    """The name that a single node binds, if it binds one."""
    if isinstance(node, ast.Name):
        return node.id if isinstance(node.ctx, ast.Store) else None
    place = _NAMED.get(type(node))
    name: str | None = getattr(node, place) if place else None
    return name


# What a definition uses: every name that runs, followed with Python's rules of scope.

_NAMES = (ast.Name, ast.Attribute)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = frozenset({*_FUNCTIONS, *_COMPREHENSIONS, ast.ClassDef})


class _Uses:
    """The references (in order, each once), the foreign names and the strings in code of one module."""

    def __init__(self, module: _Module) -> None:
        self._module = module
        self.found: dict[_Reference, None] = {}
        self.foreign: set[str] = set()
        self.strings: set[str] = set()

    def visit(self, node: ast.AST, scope: _Bound) -> None:
        """Collect from a node; `scope` are the names that functions around it bind."""
        if isinstance(node, _NAMES):
            self._visit_name(node, scope)
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                self.strings.add(node.value)
        elif type(node) in _SCOPES:
            self._visit_scope(node, scope)
        else:
            self._visit_all(_children(node), scope)

    def _visit_all(self, nodes: Iterable[ast.AST], scope: _Bound) -> None:
        for node in nodes:
            if not _is_idle(node):
                self.visit(node, scope)

    def _visit_name(self, node: ast.AST, scope: _Bound) -> None:
        """A dotted name, or an attribute of any other expression."""
        attributes: tuple[str, ...] = ()
        while isinstance(node, ast.Attribute):
            attributes = (node.attr, *attributes)
            node = node.value
        if not isinstance(node, ast.Name):
            self.visit(node, scope)
        elif isinstance(node.ctx, ast.Store):
            return
        elif node.id in scope:
            self._found(scope[node.id], attributes)
        else:
            self._found(self._module.imports.get(node.id, ()), attributes)
            if node.id in self._module.statements:
                self._found([_Reference(self._module.name, (node.id,))], ())
            if node.id in self._module.foreign:
                self.foreign.add(f"{node.id}={self._module.foreign[node.id]}")

    def _found(self, references: Iterable[_Reference], attributes: tuple[str, ...]) -> None:
        self.found |= dict.fromkeys(_Reference(one.module, one.names + attributes) for one in references)

    def _visit_scope(self, node: ast.AST, scope: _Bound) -> None:
        """A function, a class or a comprehension: what runs around it, then its inside with the names it binds."""
        bound = self._module.bound
        if isinstance(node, ast.ClassDef):  # its names are no names of its methods; imports in its body are kept
            inner = {name: references for name, references in bound(node.body).items() if references}
            annotations = (one.annotation for one in node.body if isinstance(one, ast.AnnAssign))
            self._visit_all((*_children(node), *annotations), {**scope, **inner})
        elif isinstance(node, _FUNCTIONS):
            body = [node.body] if isinstance(node, ast.Lambda) else node.body
            decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
            self._visit_all([*decorators, node.args], scope)
            self._visit_all(body, {**scope, **dict.fromkeys(_parameters(node.args), ()), **bound(body)})
        elif isinstance(node, _COMPREHENSIONS):
            self.visit(node.generators[0].iter, scope)
            self._visit_all(_children(node), {**scope, **bound(each.target for each in node.generators)})


def _parameters(arguments: ast.arguments) -> Iterator[str]:
    for one in (*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg):
        if one:
            yield one.arg


# What runs of a syntax node, and its hash.


_SILENT = frozenset({"annotation", "returns", "type_params", "type_comment", "ctx", "kind", "simple"})
"""Fields that do not run, or that only repeat what another field says."""

_FIELDS = {
    kind: tuple(name for name in kind._fields if name not in _SILENT)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}
"""The fields of each kind of node that run."""


def _children(node: ast.AST) -> list[ast.AST]:
    """The nodes in a node that run."""
    children: list[ast.AST] = []
    for name in _FIELDS[type(node)]:
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            children.append(value)
        elif isinstance(value, list):
            children += [item for item in value if isinstance(item, ast.AST) and not _is_idle(item)]
    return children


def _is_idle(node: object) -> bool:
    """Whether a statement does nothing: a docstring, `pass`, an annotation without a value."""
    if not isinstance(node, ast.stmt):
        return False
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.Pass) or (isinstance(node, ast.AnnAssign) and node.value is None)


def _dump(value: object) -> str:
    """Text that is equal for code that runs equally, in every version of Python (`ast.dump` differs between them)."""
    if isinstance(value, list):
        return f"[{','.join([_dump(item) for item in value if not _is_idle(item)])}]"
    if not isinstance(value, ast.AST):
        return f"{type(value).__name__}:{value!a}"
    special = _SPECIAL.get(type(value))
    return special(value) if special else _dump_fields(value)


def _dump_fields(node: ast.AST) -> str:
    kind = type(node)
    fields = [(name, getattr(node, name, None)) for name in _FIELDS[kind]]
    dumped = [f"{name}={_dump(content)}" for name, content in fields if content is not None and content != []]
    return f"{kind.__name__}({','.join(dumped)})"


def _dump_class(node: ast.ClassDef) -> str:
    """A class with the annotations of its fields, which dataclasses and pydantic read."""
    annotated = [(one.target, one.annotation) for one in node.body if isinstance(one, ast.AnnAssign)]
    return _dump_fields(node) + "".join(f"{_dump(target)}:{_dump(annotation)};" for target, annotation in annotated)


def _dump_annotated(node: ast.AnnAssign) -> str:
    """As the plain assignment that it is."""
    return f"Assign(targets=[{_dump(node.target)}],value={_dump(node.value)})"


def _dump_joined(node: ast.JoinedStr) -> str:
    """An f-string with neighbouring texts put together, which versions of Python split differently."""
    texts = [""]
    values = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            texts[-1] += str(part.value)
        else:
            values.append(part)
            texts.append("")
    return f"JoinedStr({_dump(texts)},{_dump(values)})" if values else _dump(ast.Constant(texts[0]))


_SPECIAL: Mapping[type, Callable[[Any], str]] = {
    ast.ClassDef: _dump_class,
    ast.AnnAssign: _dump_annotated,
    ast.JoinedStr: _dump_joined,
}
