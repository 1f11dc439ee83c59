"""Who looked at whom, when and for what: recorded before anything is shown, and shown to the person concerned."""

from registry.looks.log import LookLog
from registry.looks.look import Look, Purpose, What

__all__ = ["Look", "LookLog", "Purpose", "What"]
