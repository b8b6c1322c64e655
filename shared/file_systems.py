"""Which file system a folder is on, and whether its locks can be believed.

A lock (`flock`) and SQLite's log both need a kernel that sees every writer. Over a network that is
the server's word, and servers, mounts (`nolock`, `cache=loose`) and their clients' caches break it
in ways that no program can see: two runs write one corpus, a ledger is damaged.
"""

import ctypes
import os
from pathlib import Path

# f_type of statfs(2), from linux/magic.h and the file systems' own sources.
_NETWORK_TYPES = {
    0x6969: "nfs",
    0xFF534D42: "cifs",
    0xFE534D42: "smb2",
    0x517B: "smb",
    0x01021997: "9p",
    0x5346414F: "afs",
    0x6B414653: "afs",
    0x73757245: "coda",
    0x564C: "ncp",
}
# Shared by several machines too, with locks of their own that hold where they are set up: a cluster
# has nothing else.
_CLUSTER_TYPES = {
    0x00C36400: "ceph",
    0x0BD00BD0: "lustre",
    0x47504653: "gpfs",
    0x19830326: "beegfs",
    0x7461636F: "ocfs2",
    0x01161970: "gfs2",
}
_FUSE_TYPE = 0x65735546
# What is behind a FUSE mount is told by /proc/self/mountinfo alone ("fuse.sshfs").
_NETWORK_NAMES = {
    *_NETWORK_TYPES.values(),
    *("nfs4", "smb3", "smbfs", "davfs", "fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse"),
    *("fuse.goofys", "fuse.geesefs", "fuse.mount-s3", "fuse.davfs2", "fuse.curlftpfs"),
}
_CLUSTER_NAMES = {
    *_CLUSTER_TYPES.values(),
    *("fuse.glusterfs", "glusterfs", "fuse.juicefs", "fuse.ceph-fuse", "fuse.moosefs", "virtiofs"),
    *("fuse.grpcfuse", "fuse.osxfs", "wekafs", "pvfs2", "orangefs", "acfs"),
}
_MOUNTS = Path("/proc/self/mountinfo")


def network_name(folder: Path) -> str:
    """The name of the network file system that `folder` is on ("nfs"); "" where it is on none.

    `folder` need not exist: the nearest folder above it that does is asked.
    """
    kind = _kind(folder)
    if kind == "9p" and _is_the_only_disk(folder):
        return ""
    return kind if kind in _NETWORK_NAMES else ""


def cluster_name(folder: Path) -> str:
    """As `network_name`, for file systems whose locks hold if their administrator saw to it."""
    kind = _kind(folder)
    if kind == "9p" and _is_the_only_disk(folder):
        return kind
    is_unknown_fuse = kind.startswith("fuse.") and kind not in _NETWORK_NAMES
    return kind if kind in _CLUSTER_NAMES or is_unknown_fuse else ""


def _is_the_only_disk(folder: Path) -> bool:
    """A sandbox's own root (gVisor) is told as 9p, and nobody else sees it."""
    return os.stat(_nearest(folder)).st_dev == os.stat("/").st_dev


def _nearest(folder: Path) -> Path:
    place = Path(os.path.realpath(folder))
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _kind(folder: Path) -> str:
    place = _nearest(folder)
    number = _statfs_type(place)
    known_types = {**_NETWORK_TYPES, **_CLUSTER_TYPES}
    if number in known_types:
        return known_types[number]
    name = _mounted_as(place)
    if name.startswith("fuse.") or number != _FUSE_TYPE:
        return name
    return "fuse.unknown"


def _statfs_type(place: Path) -> int:
    """`f_type`, the first field of `struct statfs`; 0 where it cannot be asked."""
    try:
        statfs = ctypes.CDLL(None, use_errno=True).statfs
    except (OSError, AttributeError):  # no Linux
        return 0
    buffer = ctypes.create_string_buffer(1024)
    if statfs(os.fsencode(place), buffer) != 0:
        return 0
    # a long; magic numbers have 32 bits
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF


def _mounted_as(place: Path) -> str:
    """The type in the line of the innermost mount above `place`; "" where none is told.

    36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - fuse.sshfs user@host:/data rw
    """
    try:
        lines = _MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    kinds: dict[Path, str] = {}  # a later mount on the same point hides the earlier one
    for line in lines:
        mount, _, source = line.partition(" - ")
        fields = mount.split(" ")
        if len(fields) > 4 and source:
            kinds[Path(_unescaped(fields[4]))] = source.split(" ")[0]
    return next((kinds[point] for point in (place, *place.parents) if point in kinds), "")


def _unescaped(text: str) -> str:
    """A path as mountinfo writes it, with blanks and backslashes in octal."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
