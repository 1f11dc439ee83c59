"""For auditors: export the log, check it elsewhere, replay it to any moment, and say what differs between two."""

from registry.audit.diff import Changed, Difference, Made, Moment, diff
from registry.audit.export import export
from registry.audit.findings import Code, Finding, Report
from registry.audit.layout import Manifest
from registry.audit.live import verify_live
from registry.audit.replay import replay
from registry.audit.verify import verify

__all__ = [
    "Changed",
    "Code",
    "Difference",
    "Finding",
    "Made",
    "Manifest",
    "Moment",
    "Report",
    "diff",
    "export",
    "replay",
    "verify",
    "verify_live",
]
