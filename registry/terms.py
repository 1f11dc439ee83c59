"""The ubiquitous language: levels, ways of obtaining, kinds of identity, statuses, and the ids of streams.

The words are those of the notice and of its glossary; every name here is stored in events, so none is ever renamed.
"""

import os
import time
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from functools import lru_cache

YEARS = 2, 9998  # of an instant that is asked about; beyond them it has no date in another zone
BEIJING = timezone(timedelta(hours=8), "Asia/Shanghai")
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LETTERS = (CROCKFORD * 8).encode()  # a random byte gives each of the 32 letters as often


class _Named(StrEnum):
    """A stored word with a Chinese and an English name for people."""

    zh: str
    en: str

    def __new__(cls, value: str, zh: str, en: str) -> "_Named":
        member = str.__new__(cls, value)
        member._value_ = value
        member.zh, member.en = zh, en
        return member


class Level(_Named):
    """级别: the five levels of a title. Never derived from a title's name (高级教师 is 副高级, 高级记者 is 正高级)."""

    SENIOR_FULL = "senior_full", "正高级", "Senior (full)"
    SENIOR_ASSOCIATE = "senior_associate", "副高级", "Senior (associate)"
    INTERMEDIATE = "intermediate", "中级", "Intermediate"
    ASSISTANT = "assistant", "助理级", "Assistant"
    TECHNICIAN = "technician", "员级", "Technician"


class Obtained(_Named):
    """取得方式: how a title was obtained. Only 评审 falls under the notice's promise of 2007 (section 1.1)."""

    REVIEW = "review", "评审", "Review"
    EXAM_BASED = "exam_based", "以考代评", "Examination"
    EXAM_AND_REVIEW = "exam_and_review", "考评结合", "Examination and review"
    INITIAL_DETERMINATION = "initial_determination", "初定", "Initial determination"
    AUTONOMOUS_EVALUATION = "autonomous_evaluation", "自主评聘", "Autonomous evaluation"
    SERIES_CONVERSION = "series_conversion", "转评", "Series conversion"
    QUALIFICATION_MATCH = "qualification_match", "职业资格对应", "Matched vocational qualification"
    RECOGNITION = "recognition", "确认", "Recognition of another region's title"
    DIRECT_REPORT = "direct_report", "直报", "Direct report"


class IdentityKind(_Named):
    """证件类型: the documents by which a person is recognised."""

    RESIDENT_ID = "resident_id", "居民身份证", "Resident identity card"
    RESIDENCE_PERMIT = "residence_permit", "港澳台居民居住证", "Residence permit (HK, Macao, Taiwan)"
    PERMANENT_RESIDENCE = "permanent_residence", "外国人永久居留身份证", "Permanent residence card"
    HOME_RETURN_PERMIT = "home_return_permit", "港澳居民来往内地通行证", "Mainland travel permit (HK, Macao)"
    TAIWAN_PERMIT = "taiwan_permit", "台湾居民来往大陆通行证", "Mainland travel permit (Taiwan)"
    PASSPORT = "passport", "护照", "Passport"


class Sex(_Named):
    """性别, as on the identity document."""

    MALE = "male", "男", "Male"
    FEMALE = "female", "女", "Female"


class Status(_Named):
    """The verdicts at the door (interface: "A verification answer")."""

    VALID = "valid", "有效", "Valid"
    REVOKED = "revoked", "已撤销", "Revoked"
    INVALIDATED = "invalidated", "已注销", "Invalidated"
    SUPERSEDED = "superseded", "已换发", "Superseded"
    SUSPENDED = "suspended", "暂停", "Suspended"
    NOT_YET_EFFECTIVE = "not_yet_effective", "尚未生效", "Not yet effective"
    TAMPERED = "tampered", "签名不符", "Signature does not match"
    UNKNOWN = "unknown", "未查到", "Not found"
    LINK_EXPIRED = "link_expired", "链接已失效", "Link expired"
    UNREADABLE = "unreadable", "无法识别", "Not one of ours"
    UNAVAILABLE = "unavailable", "暂时无法核验", "Could not be checked"
    OFFLINE = "offline", "状态未核实", "Offline: signature only"


class Role(_Named):
    """What a person may be at a door. Which role may do what is said in `permissions.py` and nowhere else."""

    HOLDER = "holder", "持证人", "Holder"
    EMPLOYER = "employer", "用人单位经办人", "Employer"
    CLERK = "clerk", "经办人", "Clerk"
    APPROVER = "approver", "批准人", "Approver"
    COMMITTEE_OFFICE = "committee_office", "评委会办公室", "Committee office"
    AUDITOR = "auditor", "审计人员", "Auditor"
    OPERATOR = "operator", "运维人员", "Operator"


def new_id(kind: str, now: datetime) -> str:
    """Return a stream id `kind-` + 26 characters: 48 bits of time, then 80 random bits, so that ids sort by age.

    It is never derived from anything about a person.
    """
    return f"{kind}-{_moment(int(now.timestamp() * 1000))}{os.urandom(16).translate(_LETTERS).decode()}"


@lru_cache(maxsize=16)
def _moment(milliseconds: int) -> str:
    return "".join([CROCKFORD[milliseconds >> shift & 31] for shift in range(45, -1, -5)])


def utc_now() -> datetime:
    """The recorded clock. Only doors and the log ask for it; decisions get it as an argument."""
    return datetime.fromtimestamp(time.time(), UTC)


def civil_date(instant: datetime) -> date:
    """The date in Beijing at that instant. Civil dates are Beijing's; instants are UTC."""
    return instant.astimezone(BEIJING).date()
