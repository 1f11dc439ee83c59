"""For auditors: export the log, check it elsewhere, ask about any moment, and say what differs between two."""

from registry.audit.diff import Changed, Difference, Figure, Made, Moment, diff, diff_statistics
from registry.audit.export import export
from registry.audit.findings import Code, Finding, Report
from registry.audit.layout import Manifest
from registry.audit.live import verify_history, verify_live
from registry.audit.lookup import Listed, day_of, titles_at
from registry.audit.replay import replay, replay_statistics
from registry.audit.statistics import Statistics, statistics
from registry.audit.verify import verify

__all__ = [
    "Changed",
    "Code",
    "Difference",
    "Figure",
    "Finding",
    "Listed",
    "Made",
    "Manifest",
    "Moment",
    "Report",
    "Statistics",
    "day_of",
    "diff",
    "diff_statistics",
    "export",
    "replay",
    "replay_statistics",
    "statistics",
    "titles_at",
    "verify",
    "verify_history",
    "verify_live",
]
