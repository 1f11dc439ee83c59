"""Who may manage whose account: an approver, those whose roles are all within their reach, and never their own."""

from registry.errors import Forbidden, NotFound
from registry.holders.holder import HOLDERS
from registry.permissions import RULES, Permission
from registry.service import Registry


def require_over(registry: Registry, officer: str, actor: str) -> None:
    """Let an officer manage the accounts of an actor. Raise Forbidden, or NotFound for an actor who is nobody.

    An officer without any role yet is managed by the approvers of the highest authority; a holder, who belongs to no
    authority, by every approver but the one who is that person.
    """
    authorising = registry.authorising
    authorising.require(officer, Permission.MANAGE_ACCOUNTS, None)
    if officer == actor:
        raise Forbidden("不能为本人开户或管理本人的账户", fix="由另一名批准人办理")
    standing = authorising.standing(actor)
    if actor.startswith(HOLDERS.prefix + "-"):
        authorising.require_other_person(officer, registry.holder(actor))
        if not standing.roles:
            raise NotFound(f"没有持证人 {actor}", fix="该持证人的信息已删除")
        return
    if standing.officer is None:
        raise NotFound(f"没有人员 {actor}", fix="先登记人员：officers register")
    for over in {authority for _, authority in standing.roles} or {registry.catalogue.root.code}:
        authorising.require(officer, Permission.MANAGE_ACCOUNTS, over)


def within(registry: Registry, officer: str, actor: str) -> bool:
    """Whether an officer may manage the accounts of an actor, or is that actor."""
    if officer == actor:
        return True
    try:
        require_over(registry, officer, actor)
    except (Forbidden, NotFound):
        return False
    return True


def is_alone(registry: Registry, officer: str, actor: str) -> bool:
    """Whether nobody but this officer could set up an account for that actor; else a second one countersigns."""
    others = (one.actor for one in registry.appointing.all() if one.actor not in (officer, actor))
    return not any(within(registry, other, actor) for other in others)


def grantable() -> list[Permission]:
    """The rights that an API key can have: those of some role."""
    return [one for one in Permission if RULES[one].roles]
