"""Who may do what. This table is the only place that says so; `authorising.py` asks it, and every door has a row.

A role counts over the authority it was granted for and those below it (隶属: the city over its counties). A holder
counts for their own records only. What a role sees of a person: nothing, masked (张*三), or clear; each clear look is
recorded. A right of `HOST` belongs to whoever runs commands on the machine with the passphrase: it shows no person.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from registry.terms import Role


class Sight(StrEnum):
    """How much of a person is seen."""

    NOTHING = "nothing"
    MASKED = "masked"
    CLEAR = "clear"


class Permission(StrEnum):
    """A right. Its name is what API keys are limited by, so none is ever renamed."""

    PUBLIC = "public"
    HOST = "host"
    ACCOUNT = "account"
    READ_OWN = "read-own"
    READ_TITLES = "read-titles"
    READ_PAPERS = "read-papers"
    READ_HISTORY = "read-history"
    CHECK_LIST = "check-list"
    AWARD = "award"
    SUBMIT_PAPER = "submit-paper"
    DECIDE_PAPER = "decide-paper"
    ISSUE = "issue"
    PROPOSE = "propose"
    DECIDE = "decide"
    CHANGE_HOLDER = "change-holder"
    ANSWER_REQUEST = "answer-request"
    ERASE = "erase"
    HOLD = "hold"
    RECALL = "recall"
    READ_LOOKS = "read-looks"
    PRUNE = "prune"
    READ_OFFICERS = "read-officers"
    PROPOSE_ROLE = "propose-role"
    GRANT_ROLE = "grant-role"
    MANAGE_ACCOUNTS = "manage-accounts"
    MANAGE_KEYS = "manage-keys"
    METRICS = "metrics"


class Rule(NamedTuple):
    """Who has a right, with what each sees of a person by it, and why it is so."""

    roles: Mapping[Role, Sight]
    why: str


_N, _M, _C = Sight.NOTHING, Sight.MASKED, Sight.CLEAR
_HO, _EM, _CL, _AP, _CO, _AU, _OP = (
    Role.HOLDER,
    Role.EMPLOYER,
    Role.CLERK,
    Role.APPROVER,
    Role.COMMITTEE_OFFICE,
    Role.AUDITOR,
    Role.OPERATOR,
)
_P = Permission

RULES: Final[Mapping[Permission, Rule]] = {
    _P.PUBLIC: Rule({}, "anyone, without signing in; answers are masked"),
    _P.HOST: Rule({}, "whoever holds the machine and the passphrase; no person is shown"),
    _P.ACCOUNT: Rule(dict.fromkeys(Role, _N), "whoever is signed in: their own account"),
    _P.READ_OWN: Rule({_HO: _C}, "a holder sees their own records (PIPL 45)"),
    _P.READ_TITLES: Rule({_CL: _C, _AP: _C, _CO: _M, _AU: _M}, "who handles a matter sees it; others see it masked"),
    _P.READ_PAPERS: Rule({_CL: _C, _AP: _C, _AU: _M}, "as above, for applications with scans"),
    _P.READ_HISTORY: Rule({_CL: _C, _AP: _C, _AU: _M}, "who replays a history need not know the person"),
    _P.CHECK_LIST: Rule({_CL: _C, _CO: _C}, "a committee office tries its own list (form 2-4) before it sends it"),
    _P.AWARD: Rule({_CL: _C}, "a clerk enters what the published document says"),
    _P.SUBMIT_PAPER: Rule({_HO: _C, _CL: _C}, "a holder applies, or a clerk for them (notice 一(一))"),
    _P.DECIDE_PAPER: Rule({_AP: _C}, "the second officer"),
    _P.ISSUE: Rule({_CL: _C, _AP: _C}, "signing what was awarded"),
    _P.PROPOSE: Rule({_CL: _C, _AP: _C}, "the first officer of a decision"),
    _P.DECIDE: Rule({_AP: _C}, "the second officer: approve, return, refuse"),
    _P.CHANGE_HOLDER: Rule({_CL: _C, _AP: _C}, "name and identity documents, by a document"),
    _P.ANSWER_REQUEST: Rule({_CL: _C, _AP: _C}, "a holder's request under PIPL 45 and 46"),
    _P.ERASE: Rule({_CL: _C, _AP: _C}, "proposed by one; only an approver approves (PIPL 47)"),
    _P.HOLD: Rule({_AP: _C}, "a legal hold keeps a person's data from being erased"),
    _P.RECALL: Rule({_CL: _C, _AP: _C, _AU: _M}, "which answers a revocation overtook; no verifier is named"),
    _P.READ_LOOKS: Rule({_HO: _C, _AU: _M}, "who looked: the person concerned, and the auditor"),
    _P.PRUNE: Rule({_OP: _N}, "dropping what is past its time"),
    _P.READ_OFFICERS: Rule({_AP: _C, _AU: _M, _OP: _N}, "who may do what is no secret inside; who they are is"),
    _P.PROPOSE_ROLE: Rule({_AP: _C}, "register an officer, propose a role, take one away"),
    _P.GRANT_ROLE: Rule({_AP: _C}, "the second officer of a grant"),
    _P.MANAGE_ACCOUNTS: Rule({_AP: _N}, "never an operator: who resets a password can act as its owner"),
    _P.MANAGE_KEYS: Rule({_OP: _N}, "the operator does it, a threshold of approval signatures allows it"),
    _P.METRICS: Rule({_OP: _N}, "figures of the service"),
}


def _cli(words: str) -> tuple[str, ...]:
    return tuple(f"cli {line.strip()}" for line in words.strip().split("\n"))


def _decisions(verb: str) -> tuple[str, ...]:
    return tuple(f"cli {kind} {verb}" for kind in ("revoke", "invalidate", "suspend", "reinstate", "correct"))


_LOG: tuple[str, ...] = ("checkpoint", "key", "policy", "tile/entries/{number:path}", "tile/{level}/{number:path}")
_LOG = (*_LOG, "proof/inclusion", "proof/consistency", "proof/event/{position}")

_BY_PERMISSION: Final[Mapping[Permission, tuple[str, ...]]] = {
    _P.PUBLIC: (
        *("GET /", "GET /v", "POST /v", "GET /v/{code:path}", "GET /static", "GET /docs", "GET /openapi.json"),
        *("GET /api/v1/verifications/{code:path}", "GET /api/v1/verifications/{code}/receipt"),
        *("POST /api/v1/verifications", "POST /api/v1/verifications/batch"),
        *("GET /healthz", "GET /readyz", "GET /.well-known/jwks.json"),
        *("GET /.well-known/key-set", "GET /.well-known/root.pem"),
        *(f"GET /log/{path}" for path in _LOG),
        *(f"GET /log/{{generation:int}}/{path}" for path in _LOG),
        *(
            "GET /sign-in",
            "POST /sign-in",
            "POST /sign-out",
        ),
        *("GET /sign-in/with/{provider}", "GET /sign-in/with/{provider}/back"),
        *("GET /sign-in/with/{provider}/code", "POST /sign-in/with/{provider}/code"),
        *("GET /enrol", "POST /enrol", "POST /enrol/confirm"),
        *_cli("verify\nimport template"),
    ),
    _P.HOST: _cli("""
        demo
        init
        serve
        doctor
        backup
        restore
        move
        bench
        audit export
        audit verify
        audit history
        audit replay
        audit statistics
        audit diff
        log check
        log checkpoint
        log keys
        log prove
        log consistency
        log status
        log rebuild
        log witness init
        log witness add-log
        log witness show
        log witness serve
        register status
        register rebuild
        config check
        keys list
        keys export
        keys root
        keys set
        keys verify-set
        keys ceremony approver
        keys ceremony show
        keys ceremony sign
        answers status
        looks status
        officers found
        officers list
        officers show
    """),
    _P.READ_TITLES: (
        "GET /api/v1/titles",
        "GET /api/v1/titles/{id}",
        "POST /api/v1/holders/search",
        "GET /api/v1/holders/{id}",
        "GET /api/v1/proposals",
        "GET /api/v1/proposals/{id}",
        *_cli("titles list\ntitles show\nholders show\nproposals list\nproposals show\ncertificates show"),
    ),
    _P.READ_PAPERS: (
        "GET /api/v1/paper-applications",
        "GET /api/v1/paper-applications/{id}",
        "GET /api/v1/paper-applications/{id}/evidence/{sha256}",
        *_cli("paper list\npaper show"),
    ),
    _P.RECALL: _cli("titles recall"),
    _P.AWARD: (
        "POST /api/v1/awards",
        *_cli("import awards"),
    ),
    _P.CHANGE_HOLDER: _cli("holders rename\nholders link"),
    _P.SUBMIT_PAPER: (
        "POST /api/v1/paper-applications",
        *_cli("paper submit"),
    ),
    _P.DECIDE_PAPER: (
        "POST /api/v1/paper-applications/{id}/approval",
        "POST /api/v1/paper-applications/{id}/refusal",
        "POST /api/v1/paper-applications/{id}/return",
        *_cli("paper approve\npaper refuse\npaper return"),
    ),
    _P.ISSUE: (
        "POST /api/v1/titles/{id}/certificates",
        "GET /api/v1/certificates/{code}.pdf",
        *_cli("certificates issue\ncertificates issue-all"),
    ),
    _P.PROPOSE: (
        "POST /api/v1/proposals",
        "POST /api/v1/proposals/{id}/refusal",
        *_decisions("propose"),
    ),
    _P.DECIDE: (
        "POST /api/v1/proposals/{id}/approval",
        "POST /api/v1/proposals/{id}/return",
        *(*_decisions("approve"), *_decisions("refuse"), *_decisions("return")),
    ),
    _P.MANAGE_ACCOUNTS: _cli("""
        accounts enrol
        accounts countersign
        accounts list
        accounts disable
        accounts enable
        accounts reset
        accounts sessions
        accounts end-sessions
        accounts link
        accounts unlink
    """),
    _P.PROPOSE_ROLE: _cli("officers register\nofficers propose"),
    _P.GRANT_ROLE: _cli("officers approve\nofficers refuse\nofficers withdraw"),
    _P.MANAGE_KEYS: _cli("keys rotate\nkeys compromise\nkeys publish\nkeys ceremony hand-over\nlog succeed"),
    _P.CHECK_LIST: ("POST /api/v1/award-imports", "GET /api/v1/jobs/{id}", "GET /api/v1/jobs/{id}/errors.xlsx"),
    _P.READ_OWN: (
        "GET /api/v1/me/titles",
        "GET /api/v1/me/certificates/{id}.pdf",
        "GET /api/v1/me/lookups",
        "GET /api/v1/me/data",
        "POST /api/v1/me/requests",
        "GET /api/v1/me/requests",
    ),
    _P.READ_HISTORY: ("GET /api/v1/events", "GET /api/v1/titles/{id}/history"),
    _P.ACCOUNT: (
        *_cli("accounts api-key create\naccounts api-key list\naccounts api-key revoke"),
        "GET /sign-in/again",
        "POST /sign-in/again",
        "GET /account",
        "POST /account/sessions/end",
        "POST /account/keys/end",
    ),
    _P.METRICS: ("GET /metrics",),
    _P.ERASE: _cli("""
        holders erase propose
        holders erase approve
        holders erase refuse
        holders erase list
    """),
    _P.HOLD: _cli("holders hold place\nholders hold lift\nholders hold list"),
    _P.ANSWER_REQUEST: _cli("holders export\nrequests list\nrequests make\nrequests answer"),
    _P.PRUNE: _cli("answers prune\nlooks prune"),
    _P.READ_LOOKS: _cli("looks of\nlooks by"),
}
DOORS: Final[Mapping[str, Permission]] = {
    door: permission for permission, doors in _BY_PERMISSION.items() for door in doors
}
