"""From an award command to facts of two streams in one unit: recognise or register the holder, then award."""

from collections.abc import Callable, Iterable

from registry.errors import AlreadyAwarded, NumberTaken
from registry.holders.holder import HOLDERS, register
from registry.holders.identity import index_key
from registry.holders.person import Person
from registry.log.changes import Claim, Foresight
from registry.log.unit import Unit
from registry.titles.award import AwardTitle, award, particulars
from registry.titles.content import PaperOrigin
from registry.titles.events import Particulars
from registry.titles.state import TITLES, Title, origin, slot


def foreseen(command: AwardTitle, index: Callable[[str], str]) -> Foresight:
    """The claims that an award asks for first: the person's, by the blind index, and its number's if it has one."""
    text = index_key(command.person.identity)
    person = Claim("identity", index(text))
    number = [_claim(command, command.number)] if command.number else []
    return Foresight([person, *number], {text: person.key})


class Awarding:
    """Awards within one unit of work. It counts up the numbers it assigns, so that a long list stays quick."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self._last_number: dict[str, int] = {}

    def foresee(self, commands: Iterable[AwardTitle]) -> None:
        """Look the people and numbers of the next commands up at once; it decides nothing."""
        index, claims, following = self.unit.blind_index, list[Claim](), dict(self._last_number)
        for one in commands:
            claims.append(Claim("identity", index(index_key(one.person.identity))))
            number, prefix = one.number, _prefix(one)
            if not number and prefix in following:
                following[prefix] += 1
                number = _number(prefix, following[prefix])
            if number:
                claims.append(_claim(one, number))
        self.unit.foresee(claims)

    def recognise(self, person: Person) -> str:
        """The holder's stream, found by the blind index of the identity number, or begun here.

        Raise HolderConflict if the number is registered with other particulars.
        """
        return self._recognise(person)[0]

    def _recognise(self, person: Person) -> tuple[str, bool]:
        """The holder's stream, and whether it was begun here."""
        unit = self.unit
        stream = unit.claimed("identity", unit.blind_index(index_key(person.identity)))
        if stream is None:
            stream = unit.new_id(HOLDERS)
            return unit.start(HOLDERS, register(stream, person, None), stream), True
        register(stream, person, unit.state(HOLDERS, stream))
        return stream, False

    def award(
        self, command: AwardTitle, *, paper: PaperOrigin | None = None, application: str | None = None
    ) -> tuple[str, bool]:
        """Award the title; return its stream and whether it is new. The same award again changes nothing.

        Raise NumberTaken, AlreadyAwarded or HolderConflict; then the unit must be given up.
        """
        holder, new = self._recognise(command.person)
        existing = self._existing(command, holder, new=new)
        title = self.unit.state(TITLES, existing) if existing else None
        number = command.number or (title.award.number if title else self._next_number(command))
        facts = award(command, holder, number, title, paper=paper, application=application)
        if existing:
            return existing, False
        return self.unit.start(TITLES, facts), True

    def _existing(self, command: AwardTitle, holder: str, *, new: bool) -> str | None:
        unit = self.unit
        by_number = unit.claimed("number", f"{command.authority}|{command.number}") if command.number else None
        if by_number:
            self._check_number(unit.state(TITLES, by_number), holder, command)
        if new:
            return by_number  # whose stream has just begun has no other title
        wanted = particulars(command, command.number or "")
        by_origin = unit.claimed("origin", origin(holder, wanted))
        return by_number or by_origin or unit.claimed("title", slot(holder, wanted))

    def _check_number(self, title: Title | None, holder: str, command: AwardTitle) -> None:
        if title is not None and title.holder != holder:
            raise NumberTaken(
                f"证书编号 {command.number} 在该发证机关已属于另一人的职称",
                fix="核对编号；同一发证机关内编号不得重复，也不得重用",
            )

    def _next_number(self, command: AwardTitle) -> str:
        """The next number of our own: authority, year, six digits. Uniqueness is the claim's, not this counter's."""
        prefix = _prefix(command)
        if prefix not in self._last_number:
            last = self.unit.last_claim("number", f"{command.authority}|{prefix}")
            tail = last.rpartition("|")[2][len(prefix) :] if last else "0"
            self._last_number[prefix] = int(tail) if tail.isdecimal() else 0
        while True:
            self._last_number[prefix] += 1
            number = _number(prefix, self._last_number[prefix])
            if self.unit.claimed("number", f"{command.authority}|{number}") is None:
                return number


def _claim(command: AwardTitle, number: str) -> Claim:
    return Claim("number", f"{command.authority}|{number}")


def _prefix(command: AwardTitle) -> str:
    return f"{command.authority}{command.awarded_on.year}"


def _number(prefix: str, count: int) -> str:
    return f"{prefix}{count:06d}"


def check_free(unit: Unit, title: Title, wanted: Particulars) -> None:
    """Raise NumberTaken or AlreadyAwarded if another title holds the number or the slot that this one is to have."""
    if unit.claimed("number", f"{wanted.authority}|{wanted.number}") not in (None, title.id):
        raise NumberTaken(
            f"证书编号 {wanted.number} 在该发证机关已属于另一职称",
            fix="核对编号；同一发证机关内编号不得重复，也不得重用",
        )
    if unit.claimed("title", slot(title.holder, wanted)) not in (None, title.id):
        raise AlreadyAwarded(
            "该持证人另有系列、专业、资格名称都相同的职称，两者不能并存",
            fix="核对两条记录；确属重复的，先注销其中一条",
        )
