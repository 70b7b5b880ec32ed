"""What is wrong with the data: found before anything is learned from it."""

from fovea.audit.audit import Audit, examine
from fovea.audit.finding import FINDINGS, Fault, Finding, FindingInfo, Seen

__all__ = ["FINDINGS", "Audit", "Fault", "Finding", "FindingInfo", "Seen", "examine"]
