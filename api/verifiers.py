"""A verifier who is signed in for an employer is no stranger: the person concerned reads which employer verified them.

Everybody else stays unknown, as before. It changes no answer: what goes wrong here is logged, and the answer is given.
"""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from api.errors import BadRequest, report
from api.signin.principal import principal_of
from registry.errors import RegistryError
from registry.looks import Look, Purpose, What
from registry.service import Registry
from registry.terms import Role
from registry.titles.answer import Answer

_SIGNED_IN = (b"cookie", b"authorization")  # names come in lower case (ASGI)
DOOR = "verification"  # never the path: it holds the code


async def remember(request: Request, *answers: Answer) -> None:
    """Record which certificates an employer was answered about. Costs nothing where nobody is signed in."""
    if not any(name in _SIGNED_IN for name, _ in request.scope["headers"]):
        return
    try:
        await run_in_threadpool(_remember, request, answers)
    except (RegistryError, BadRequest) as error:
        report(error)


def _remember(request: Request, answers: tuple[Answer, ...]) -> None:
    registry: Registry = request.app.state.registry
    actor = principal_of(request).actor
    standing = registry.authorising.standing(actor) if actor else None
    over = next((over for role, over in standing.roles if role is Role.EMPLOYER), None) if standing else None
    if actor is None or over is None:
        return
    known = [registry.certificate(one.certificate.code)[0] for one in answers if one.certificate]
    now = registry.clock()
    registry.looks.record(
        [
            Look(
                at=now,
                actor=actor,
                role=Role.EMPLOYER,
                over=over,
                door=DOOR,
                purpose=Purpose.IDENTITY,
                holder=title.holder,
                what=What.DOCUMENT,
                stream=title.id,
            )
            for title in known
        ]
    )
