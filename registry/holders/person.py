"""Who a person is: identity document and particulars. All of it is personal data, sealed before it is stored."""

from datetime import date

import msgspec

from registry.terms import IdentityKind, Sex


class Identity(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An identity number, normalised (upper case, half width, no blanks; 15 digits upgraded to 18).

    `alias` keeps the 15-digit number it was written with. `confirmed` means that an officer confirmed a number
    whose check character is wrong. `country` (ISO 3166 alpha-3) belongs to a passport.
    """

    kind: IdentityKind
    number: str
    alias: str | None = None
    confirmed: bool = False
    country: str | None = None


class Person(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A person's particulars. `born` may be a month only: then `born_day_known` is false and the day is 1."""

    name: str
    identity: Identity
    sex: Sex | None = None
    born: date | None = None
    born_day_known: bool = True
