"""A report's pictures, read from the data when its page is written: loads nothing that learns."""

from collections.abc import Callable
from typing import Any

from fovea.data import Source, decode
from fovea.errors import UnreadableImage
from fovea.loading.parallel import map_ordered
from fovea.report import ReportData
from fovea.report.kept import picture_paths, read_report
from fovea.report.pictures import LONGEST_PX, shrunk
from fovea.types import Item, Pixels


def with_pictures(plain: Any, source: Source | None) -> ReportData:
    """What `report.json` holds, with the pictures that it names, as far as they can be had.

    Args:
        plain: The value of its `report`.
        source: The data; None leaves all pictures out.
    """
    found: dict[str, Pixels | None] = {}
    if source is not None:
        at = {item.path: item for item in source.items}
        wanted = [at[path] for path in picture_paths(plain) if path in at]
        found = dict(zip([item.path for item in wanted], map_ordered(_reader(source), wanted), strict=True))
    return read_report(plain, found.get)


def _reader(source: Source) -> Callable[[Item], Pixels | None]:
    return lambda item: thumbnail(source, item)


def thumbnail(source: Source, item: Item) -> Pixels | None:
    """A picture as a page shows it, uint8 (H, W, 3) of at most `LONGEST_PX`; None where it can no longer be read."""
    try:
        return shrunk(decode(source.read(item), path=item.path, min_side_px=LONGEST_PX).pixels)
    except UnreadableImage:
        return None
