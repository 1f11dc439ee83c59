"""What an audit found: each finding has a stable code, says where, what was expected and what was there.

A finding never shows a name, an identity number or the text of a reason: it names places.
"""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

import msgspec

MAX_OF_ONE_CODE = 20


class Code(StrEnum):
    """The kinds of findings. The words are stable: scripts and auditors' notes refer to them."""

    # the files of an export
    MANIFEST = "manifest-unreadable"
    MANIFEST_SIGNATURE = "manifest-signature"
    FILE_MISSING = "file-missing"
    FILE_CHANGED = "file-changed"
    FILE_UNLISTED = "file-unlisted"
    LINE = "line-unreadable"
    COUNTS = "counts-differ"
    KEYS = "keys-unreadable"
    KEY_NOT_PINNED = "key-not-pinned"
    REFERENCE = "reference-differs"
    KIT = "kit-differs"
    KIT_OTHER = "kit-of-another-version"
    POLICY = "policy-unreadable"
    # the log as a whole
    POSITION_GAP = "position-gap"
    POSITION_REPEATED = "position-repeated"
    POSITION_ORDER = "position-order"
    CHECKPOINT = "checkpoint-signature"
    CHECKPOINT_OLDER = "checkpoint-older"
    TAIL_MISSING = "tail-missing"
    TREE_ROOT = "tree-root"
    LIVE_DIFFERS = "live-log-differs"
    FROZEN = "log-frozen"
    # checkpoints that were kept, and the tiles
    KEPT = "checkpoints-unreadable"
    KEPT_SIGNATURE = "checkpoints-signature"
    KEPT_ORDER = "checkpoints-order"
    FORK = "fork"
    BEYOND = "checkpoint-beyond"
    COSIGNATURE = "cosignature"
    ENTRIES = "entries-differ"
    TILE = "tile-differs"
    # single streams
    EVENT = "event-unreadable"
    VERSION = "version-order"
    STREAM = "stream-unknown"
    FOLD = "fold-broken"
    HOLDER = "holder-mismatch"
    LINK = "link-missing"
    SEAL = "seal-broken"
    DECISION = "decision-unfounded"
    OFFICERS = "one-officer"
    PROPOSAL_DIGEST = "proposal-digest"
    ROLE = "officer-without-role"
    ERASED = "fact-after-erasure"
    HOLD = "erased-under-hold"
    KEYSET = "key-set"
    CERTIFICATE = "certificate-form"
    CERTIFICATE_KEY = "certificate-key"
    CERTIFICATE_SIGNATURE = "certificate-signature"
    CERTIFICATE_LEAF = "certificate-leaf"
    CERTIFICATE_DIGEST = "certificate-digest"
    # claims and register against the rebuilt ones
    CLAIM_CONFLICT = "claim-conflict"
    CLAIM_MISSING = "claim-missing"
    CLAIM_EXTRA = "claim-extra"
    CLAIM_DIFFERS = "claim-differs"
    ERASURE = "erasure-incomplete"
    KEY_MISSING = "data-key-missing"
    ROW_MISSING = "row-missing"
    ROW_EXTRA = "row-extra"
    ROW_DIFFERS = "row-differs"
    STATISTICS = "statistics-differ"
    # what could not be checked
    UNREADABLE = "could-not-read"


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is not as it must be, and where: file and line, position, stream and version, table and field."""

    code: Code
    message: str
    file: str | None = None
    line: int | None = None
    position: int | None = None
    stream: str | None = None
    version: int | None = None
    table: str | None = None
    field: str | None = None
    expected: str | None = None
    found: str | None = None

    @property
    def exit_status(self) -> Literal[1, 3]:
        """3: the audit says no. 1: it could not be checked."""
        return 1 if self.code in (Code.UNREADABLE, Code.KIT_OTHER) else 3


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of an audit. `root` is the tree's in hex.

    `pinned` tells whether the checkpoint key was the auditor's own copy; if not, the export vouches for itself and
    `checkpoint_key` is to be compared with the published one. `personal` tells whether sealed fields were opened.
    `checkpoints` counts the kept checkpoints that hold; `cosigned_by` names the keys that cosigned the newest one (the
    log's own ML-DSA-44 key has the log's name), `policy` tells whether they are enough by the policy in the export
    (None: it has none). `findings` holds at most 20 of a code; `totals` counts all.
    """

    what: Literal["export", "live", "history"]
    head: int
    root: str
    pinned: bool
    checkpoint_key: str
    personal: Literal["opened", "sealed"]
    counts: dict[str, int]
    checkpoints: int = 0
    cosigned_by: Sequence[str] = ()
    policy: Literal["met", "not met"] | None = None
    totals: dict[str, int]
    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        """Whether there is no finding at all."""
        return not self.findings

    @property
    def exit_status(self) -> Literal[0, 1, 3]:
        """0: all is as it must be. 3: the audit says no. 1: something could not be checked."""
        if self.ok:
            return 0
        return 3 if any(finding.exit_status == 3 for finding in self.findings) else 1


class Findings:
    """Gathers findings in flat memory: the first 20 of each code, and how many there were."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self.kept: list[Finding] = []

    def add(self, finding: Finding) -> None:
        """Take a finding in."""
        self.totals[finding.code] += 1
        if self.totals[finding.code] <= MAX_OF_ONE_CODE:
            self.kept.append(finding)

    def first(self, *codes: Code) -> Finding | None:
        """The first finding of one of these codes."""
        return next((finding for finding in self.kept if finding.code in codes), None)
