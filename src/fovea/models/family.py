"""Families of backbones from other packages: `family:name` is one of its models. The package is imported when such a name is used."""

from dataclasses import dataclass
from importlib import import_module

from fovea.errors import InputError, UnknownName, missing_extra
from fovea.models.backbone import BackboneInfo
from fovea.registry import Entry, Registry


@dataclass(frozen=True)
class FamilyInfo:
    """The facts that a family states of itself.

    Args:
        package: That brings the models.
        names: What may stand behind the colon, in words.
        example: One of these.
    """

    package: str
    names: str
    example: str


# Each builds the entry of one model from what stands behind the colon: (whole name, rest) -> Entry.
FAMILIES: Registry[FamilyInfo] = Registry("family of backbones", "fovea.models.families")


def family_entry(name: str) -> Entry[BackboneInfo]:
    """The entry of a name such as `timm:resnet18d`, as if it stood in the registry; its facts are measured on the model itself.

    Raises:
        UnknownName: No such family, or no such model in it.
        MissingExtra: The family's package is not installed.
        WeightsError, InputError: The model is not at hand, or gives no feature maps; says why.
    """
    family, _, rest = name.partition(":")
    entry = FAMILIES[family]
    info = entry.info
    if not rest:
        raise UnknownName(
            f"{name!r} names no model of the family {family}", got=repr(name), expected=info.names, fix=f"for example {info.example}"
        )
    try:
        import_module(info.package)
    except ModuleNotFoundError as error:
        raise missing_extra((error.name or info.package).partition(".")[0], "hub", f"the backbone {name!r}") from error
    except Exception as error:  # its own imports can fail in any way, for example over a torchvision that does not fit torch
        raise InputError(
            f"the package {info.package!r}, which {name!r} needs, is installed and cannot be imported",
            got=f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
            expected=f"an environment in which Python can `import {info.package}`",
            fix=f"install {info.package} anew beside this torch, or choose one of Fovea's own backbones (`fovea models`)",
        ) from error
    return entry.build(name, rest)  # type: ignore[return-value]
