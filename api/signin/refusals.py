"""Why somebody is not signed in. One answer for every wrong thing, and one for too many tries."""

from registry.errors import Refused


class NotSignedIn(Refused):
    """The account, password or second factor is wrong, or the account is closed: which of them is never said."""

    code = "sign-in-refused"

    def __init__(self) -> None:
        super().__init__("账号、密码或动态码不对", fix="核对后重试；验证器丢失的用恢复码，仍不行的请批准人重置账户")


class TooMany(Refused):
    """Too many tries or requests. `retry_after` is how many whole seconds to wait. Nothing was checked."""

    code = "too-many"

    def __init__(self, retry_after: float) -> None:
        self.retry_after = max(1, -int(-retry_after // 1))
        super().__init__(
            f"尝试次数过多，请在 {self.retry_after} 秒后再试", fix="稍后再试", retry_after=self.retry_after
        )
