"""The versions of what a result depends on, written beside it."""

import platform
from importlib import metadata


def versions(*packages: str) -> dict[str, str]:
    """Installed versions by package name, and Python's; a package that is not there is left out."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
