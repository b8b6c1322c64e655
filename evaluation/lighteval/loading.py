"""lighteval imported without litellm, which none of our engines uses.

litellm fetches a price list and lighteval opens a disk cache for it in the working directory, both
while they are imported.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version


@contextmanager
def without_litellm() -> Iterator[None]:
    """Import lighteval inside: it takes litellm for not installed, which it is prepared for.

    GitPython, which it imports, refuses to be imported where there is no git unless it is told to.
    """
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    from lighteval.utils import imports

    def version_of(package: str) -> str:
        """The installed version; litellm alone is not to be found."""
        if package == "litellm":
            raise PackageNotFoundError(package)
        return version(package)

    setattr(imports, "version", version_of)  # noqa: B010  (mypy: not exported there)
    try:
        yield
    finally:
        setattr(imports, "version", version)  # noqa: B010
