"""Whom the registry knows under what a provider said. Nothing is written, whoever it is.

A holder is found by the identity number alone; an officer by a link that an approver made, or by the identity number
they were registered with.
"""

from typing import Protocol

from api.signin.idtoken import Claims
from api.signin.oidc import Provider, SignsIn
from registry.errors import BadInput, Refused
from registry.holders.holder import HOLDERS
from registry.holders.identity import parse
from registry.holders.person import Identity
from registry.officers.officer import actor_of, staff_key
from registry.service import Registry
from registry.terms import Role


class NotRegistered(Refused):
    """Signed in with the provider, and the registry does not know them. Nothing of them is kept."""

    code = "not-registered"


class Links(Protocol):
    """Which actor an approver linked a provider's subject to."""

    def linked(self, issuer: str, subject: str) -> str | None:
        """The actor, or None."""


def actor_for(registry: Registry, links: Links, provider: Provider, claims: Claims) -> str:
    """Whom the registry knows under what the provider said. Raise NotRegistered; nothing is written."""
    if provider.signs_in is SignsIn.HOLDERS:
        return _holder(registry, provider, claims)
    actor = _officer(registry, links, provider, claims)
    roles = {role for role, _ in registry.authorising.standing(actor).roles} if actor else set()
    ours = roles == {Role.EMPLOYER} if provider.signs_in is SignsIn.EMPLOYERS else roles - {Role.EMPLOYER}
    if actor is None or not ours:
        raise NotRegistered("这个账号没有在本系统登记，或没有角色", fix="请本单位的批准人为您登记、关联账号并授予角色")
    return actor


def _officer(registry: Registry, links: Links, provider: Provider, claims: Claims) -> str | None:
    """By link, else by identity number. Two ways that lead to two people lead nowhere."""
    linked = links.linked(provider.issuer, claims.subject)
    identity = _identity(provider, claims)
    stream = registry.log.claimed("identity", _index(registry, staff_key(identity))) if identity else None
    by_number = actor_of(stream) if stream else None
    if linked and by_number and linked != by_number:
        raise NotRegistered("这个账号关联的人员与证件号码不符", fix="请批准人核对账号的关联")
    return linked or by_number


def _index(registry: Registry, key: str) -> str:
    return registry.custody.vault().blind_index(key)


def _holder(registry: Registry, provider: Provider, claims: Claims) -> str:
    identity = _identity(provider, claims)
    stream = registry.holder_of(identity) if identity else None
    if stream is None or not registry.authorising.standing(stream).roles:
        raise NotRegistered("您的证件号码下没有登记的职称", fix="如有纸质证书，可到登记机关申请补登")
    if provider.name_claim is not None:
        _check_name(registry, stream, claims.text(provider.name_claim))
    return stream


def _check_name(registry: Registry, stream: str, name: str | None) -> None:
    """A number typed wrongly long ago must not open another person's record: the name must be one they have had."""
    holder = registry.log.current(HOLDERS, stream)
    if holder is None or name is None or name not in holder.all_names():
        raise NotRegistered("证件号码下登记的姓名与您的姓名不同", fix="请到登记机关核对；改名的，先办理姓名变更")


def _identity(provider: Provider, claims: Claims) -> Identity | None:
    """The identity number that the provider vouches for, even with a wrong check character; None without one."""
    number = claims.text(provider.identity_claim) if provider.identity_claim else None
    if number is None:
        return None
    try:
        return parse(number, kind=provider.identity_kind, confirmed=True)
    except BadInput:
        return None
