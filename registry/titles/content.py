"""What an e-certificate says: everything that is printed, in one value that is sealed and stored before signing."""

from datetime import date

import msgspec

from registry.terms import Level, Obtained, Sex


class PaperOrigin(msgspec.Struct, frozen=True, gc=False):
    """The pre-2007 paper certificate that this one replaces (依据纸质证书换发)."""

    number: str
    issued_on: date | None


class CertificateContent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Every word on one version of one certificate. The document is rendered from this alone.

    `code` is the 17 characters of the verification code without blanks; `base_url` has no trailing slash.
    `identity_masked` shows the first six and the last four characters at most. `template` and `sample` are part of
    the content, so that the same bytes come out years later; so is `name_masked`, which the token carries.
    """

    code: str
    version: int
    base_url: str
    authority: str
    authority_name: str
    number: str
    name: str
    sex: Sex | None
    born_month: str | None
    identity_masked: str
    series: str
    specialty: str
    level: Level
    title_name: str
    obtained: Obtained
    committee: str
    awarded_on: date
    approval_document: str
    issued_on: date
    paper: PaperOrigin | None = None
    remarks: tuple[str, ...] = ()
    template: str = "lishui-a4/1"
    sample: bool = False
    name_masked: str = ""
