"""The reliance recall: which answers, given while a revocation was in effect but not yet recorded, said "valid".

Whether a revocation was known to an answer is judged by the log position that the answer rested on, not by clocks: a
service process may have read the log just before the revocation came into it and have stamped its answer just after.
"""

from collections.abc import Sequence
from datetime import datetime, time
from typing import Any

import msgspec

from registry.answers.given import GivenAnswer
from registry.answers.log import AnswerLog
from registry.errors import NotFound
from registry.log.facts import Recorded
from registry.terms import BEIJING, Status
from registry.titles.events import TitleRevoked
from registry.titles.state import Title

# Superseded says that the title stands and a newer version of the certificate exists: it vouches for the title too.
VOUCHING = frozenset({Status.VALID, Status.SUPERSEDED})


class Recall(msgspec.Struct, frozen=True, kw_only=True):
    """What a revocation belies: every answer that vouched for the title from `start` on without knowing of it.

    `start` is midnight in Beijing of the effective date, `end` when the revocation was recorded. `records_since` is the
    first answer kept at all (None: there is none), `lost` how many answers about whatever title were lost meanwhile.
    """

    title: str
    decision: TitleRevoked
    start: datetime
    end: datetime
    records_since: datetime | None
    lost: int
    answers: tuple[GivenAnswer, ...]

    @property
    def complete(self) -> bool:
        """Whether records go back to the start of the window and none of it was lost."""
        return not self.lost and self.records_since is not None and self.records_since <= self.start

    def belied(self, answer: GivenAnswer) -> bool:
        """Whether the revocation makes an answer wrong: not if it was asked about a day before the effective date."""
        return answer.about >= self.decision.effective_on


def recall(title: Title, history: Sequence[Recorded[Any]], answers: AnswerLog) -> Recall:
    """The recall for the newest revocation of a title, reinstated since or not; `history` is the title's.

    Raise NotFound if it was never revoked, Unavailable if the answers cannot be read.
    """
    revoked = next((event for event in reversed(history) if isinstance(event.fact, TitleRevoked)), None)
    if revoked is None:
        raise NotFound(f"职称 {title.award.number} 没有撤销决定", fix="核对编号；只有撤销才有答复可追溯")
    start = datetime.combine(revoked.fact.effective_on, time(), BEIJING)
    end = revoked.recorded_at
    found = [
        one for one in answers.between(title, start) if one.status in VOUCHING and one.log_position < revoked.position
    ]
    return Recall(
        title=title.id,
        decision=revoked.fact,
        start=start,
        end=end,
        records_since=answers.began(),
        lost=sum(gap.lost for gap in answers.gaps(start, end)),
        answers=tuple(found),
    )
