"""One registry class for everything that is added by dropping in a file, or by a package from outside."""

import difflib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from typing import Generic, TypeVar

from fovea.errors import DuplicateName, UnknownName

Info = TypeVar("Info")
Build = TypeVar("Build", bound=Callable[..., object])

PLUGIN_GROUP = "fovea.plugins"


@dataclass(frozen=True)
class Entry(Generic[Info]):
    """One registered thing: its name, what builds it, the facts it states, and where it stands."""

    name: str
    build: Callable[..., object]
    info: Info
    where: str  # "module:line", shown when two entries clash


class Registry(Generic[Info]):
    """Names to entries, filled by importing every module of one folder once.

    Adding an entry is adding a file to `folder`; no list elsewhere names it. A package from outside adds its own
    through the entry point group `fovea.plugins`: the module it names is imported at the same moment.

    Args:
        kind: What one entry is called in messages, for example "backbone".
        folder: The dotted name of the package whose modules hold the entries.
        elsewhere: Finds the entry of a name with a colon in it (`family:name`), which is no file's here; raises UnknownName.
    """

    def __init__(self, kind: str, folder: str, *, elsewhere: Callable[[str], Entry[Info]] | None = None) -> None:
        self.kind, self.folder, self._elsewhere = kind, folder, elsewhere
        self._entries: dict[str, Entry[Info]] = {}
        self._scanned = False

    def add(self, info: Info, *, name: str | None = None) -> Callable[[Build], Build]:
        """Decorator: registers a function or class under its own name (or `name`), with the facts `info`."""

        def mark(build: Build) -> Build:
            entry_name = name or build.__name__
            code = getattr(build, "__code__", None)
            where = f"{build.__module__}:{code.co_firstlineno if code else build.__qualname__}"
            existing = self._entries.get(entry_name)
            if existing and existing.where != where:  # the same place again is a module that is imported anew
                raise DuplicateName(
                    f"two {self.kind}s are called {entry_name!r}",
                    got=where,
                    expected=f"a name other than the one at {existing.where}",
                    fix="rename one of the two",
                )
            self._entries[entry_name] = Entry(entry_name, build, info, where)
            return build

        return mark

    def names(self) -> list[str]:
        """All names, sorted."""
        self._scan()
        return sorted(self._entries)

    def __iter__(self) -> Iterator[Entry[Info]]:
        return (self[name] for name in self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __contains__(self, name: str) -> bool:
        return name in self.names()

    def __getitem__(self, name: str) -> Entry[Info]:
        self._scan()
        if self._elsewhere and ":" in name:
            return self._elsewhere(name)
        if name not in self._entries:
            raise self.unknown(name)
        return self._entries[name]

    def unknown(self, name: str, *, also: Sequence[str] = ()) -> UnknownName:
        """The error for a name that is none; `also` may be asked for beside the entries, as "auto" may."""
        known = sorted([*self.names(), *also])
        near = difflib.get_close_matches(name, known, n=3)
        return UnknownName(
            f"no {self.kind} is called {name!r}",
            got=repr(name),
            expected="one of " + ", ".join(known),
            fix=f"did you mean {' or '.join(near)}?" if near else "choose one of these",
        )

    def _scan(self) -> None:
        if self._scanned:
            return
        home = import_module(self.folder)
        for module in pkgutil.iter_modules(home.__path__):
            if not module.name.startswith("_"):
                import_module(f"{self.folder}.{module.name}")
        _load_plugins()
        self._scanned = True  # last, so that a file that fails to import fails again next time, loudly


@cache  # once for all registries: a plug-in's module adds to whichever it likes, and looking for plug-ins reads the metadata of all packages
def _load_plugins() -> None:
    for plugin in metadata.entry_points(group=PLUGIN_GROUP):
        plugin.load()
