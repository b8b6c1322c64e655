"""Folders of the system, which none of the programs fills: `corpus = "/"` would put its files
beside those that the machine starts from.
"""

import os
from pathlib import Path

# Neither they nor anything in them, but for a few places that are meant for users' data.
CLOSED = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/sbin",
    "/sys",
    "/usr",
)
OPEN_WITHIN = ("/dev/shm", "/usr/local")
# Full of others' folders: one of one's own in them is fine. A disk may be mounted at /mnt itself.
SHARED = ("/", "/home", "/opt", "/run", "/tmp", "/var", "/var/tmp", *OPEN_WITHIN)


def refuse_system_folder(path: str | Path) -> None:
    """Refuse a folder to be filled that belongs to the system; it need not exist.

    Symbolic links and `..` are followed first. Errors: `ValueError` with the remedy.
    """
    real_path = Path(os.path.realpath(os.path.expanduser(path)))
    places = {str(place) for place in (real_path, *real_path.parents)}
    is_closed = not places.isdisjoint(CLOSED) and places.isdisjoint(OPEN_WITHIN)
    if is_closed or str(real_path) in SHARED:
        raise ValueError(f"{real_path} is a folder of the system: give one of your own")
