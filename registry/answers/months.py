"""The tables of a month's answers: those about certificates, the count of all others, and the gaps."""

from registry.months import Shape

ANSWERS = Shape(
    "答复记录",
    "answers",
    """
CREATE TABLE answers (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, code TEXT NOT NULL, version INTEGER NOT NULL, status TEXT NOT NULL,
  as_of TEXT, known_at TEXT, log_position INTEGER NOT NULL, channel TEXT NOT NULL) STRICT;
CREATE TABLE tallies (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, status TEXT NOT NULL, channel TEXT NOT NULL,
  count INTEGER NOT NULL) STRICT;
CREATE TABLE gaps (
  id INTEGER PRIMARY KEY, began INTEGER NOT NULL, ended INTEGER NOT NULL, lost INTEGER NOT NULL) STRICT;
""",
    ("answers", "tallies", "gaps"),
)
