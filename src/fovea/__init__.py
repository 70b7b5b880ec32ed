"""Fovea turns a small folder of pictures into a model that can be trusted and shipped, on the machine at hand.

    import fovea

    run = fovea.train("photos/", out="run")
    print(fovea.predict("run/bundle", "new.jpg").to_text())

Every command of the command line is a function here, of the same name and with the same arguments. The names are loaded
when they are first used: `import fovea` alone imports neither torch nor numpy.
"""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

_PLACES = {
    "open_source": "fovea.data",
    "create_backbone": "fovea.models.backbone",
    "load_bundle": "fovea.bundle",
    "FoveaError": "fovea.errors",
}
_FOLDER = os.path.dirname(__file__)


def __getattr__(name: str) -> object:
    if name == "__all__":
        return __dir__()
    if name.startswith("_"):
        raise AttributeError(f"module 'fovea' has no attribute {name!r}")
    if name in _PLACES:
        value = getattr(import_module(_PLACES[name]), name)
    elif not _is_recipe(name):
        from fovea.commands import near

        raise AttributeError(" ".join([f"fovea has no {name!r}:", near(name, __dir__()) or "it has " + ", ".join(__dir__())]))
    elif os.path.isdir(os.path.join(_FOLDER, name)):
        value = import_module(f"fovea.{name}")
    else:
        from fovea.commands import load

        value = load(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    from fovea.commands import names

    return sorted([*_PLACES, *names(), "__version__"])


def _command_of(package: ModuleType) -> Callable[..., object]:
    from fovea.commands import load

    return load(package.__name__.rpartition(".")[2])


def _is_recipe(name: str) -> bool:
    return os.path.isfile(os.path.join(_FOLDER, "recipes", f"{name}.py"))


# Some commands share their name with the folder of their stage: `fovea.audit("photos/")` is the command, while
# `fovea.audit.hashes` is a module. Python sets the attribute `audit` of this module to the folder's module whenever any
# part of it is imported, so the attribute must be the same thing before and after: the folder's module, made callable.
# Both classes below are put in place by assigning `__class__`, the way that Python's data model documents for modules.


class _CommandPackage(ModuleType):
    # A sub-package that is called like the command of its name, and shows that command's signature and help.

    def __call__(self, *arguments: object, **options: object) -> object:
        return _command_of(self)(*arguments, **options)

    @property
    def __signature__(self) -> object:
        import inspect

        return inspect.signature(_command_of(self))

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return _command_of(self).__doc__


class _Front(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        if type(value) is ModuleType and value.__name__ == f"fovea.{name}" and _is_recipe(name):
            value.__class__ = _CommandPackage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Front
