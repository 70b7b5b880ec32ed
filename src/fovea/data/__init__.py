"""From what the user has (a folder, a table, an archive, a name) to decoded pictures and their splits."""

from fovea.data.decode import MAX_PIXELS, Decoded, decode
from fovea.data.kinds import TargetKind, check_classes
from fovea.data.opening import open_source
from fovea.data.source import Source
from fovea.data.split import assign_folds, assign_splits, group_by_path, number_groups

__all__ = [
    "MAX_PIXELS",
    "Decoded",
    "Source",
    "TargetKind",
    "assign_folds",
    "assign_splits",
    "check_classes",
    "decode",
    "group_by_path",
    "number_groups",
    "open_source",
]
