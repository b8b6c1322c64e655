"""What stands below a folder, while others may be changing it."""

import os
from pathlib import Path


def everything_below(folder: Path) -> list[Path]:
    """Files and folders in the order of their paths. What goes away meanwhile, or cannot be opened,
    is left out; links to folders are not followed.
    """
    paths = []
    for place, folders, files in os.walk(folder):
        paths += [Path(place, name) for name in (*folders, *files)]
    return sorted(paths)
