"""Back a registry up into one file while it works, and restore it, so that no old copy passes for the present one."""

from registry.backup.archive import Manifest, Member, read_archive
from registry.backup.restoring import Restored, restore
from registry.backup.taking import back_up

__all__ = ["Manifest", "Member", "Restored", "back_up", "read_archive", "restore"]
