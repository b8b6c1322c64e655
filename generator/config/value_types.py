"""Values that several keys have in common, and what is wrong with others."""

import re
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

LONG_AS_A_KEY = 20  # characters; variables are named in capitals


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder, or too long for a file
        raise ValueError('no such time zone; write it like "Asia/Shanghai" or "UTC"') from None
    return name


def _variable(name: str) -> str:
    """Mistaken for the place of the key, it would show the key in messages."""
    if name and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("the name of an environment variable belongs here, never a key itself")
    if len(name) >= LONG_AS_A_KEY and re.search(r"[a-z]", name) and re.search(r"\d", name):
        raise ValueError(
            "this looks like a key: put it into an environment variable, and the variable's name"
            " here"
        )
    return name


TimeZone = Annotated[str, AfterValidator(_timezone)]
Variable = Annotated[str, AfterValidator(_variable)]
# What nobody means is refused, and not found out by a machine that runs out of something.
Count = Annotated[int, Field(ge=0, le=10**15)]
Amount = Annotated[float, Field(ge=0, le=1e12)]
Seconds = Annotated[float, Field(ge=0, le=3.2e7)]  # a year
Minutes = Annotated[float, Field(ge=0, le=5e5)]  # a year
Samples = Annotated[int, Field(ge=1, le=100_000)]
Tokens = Annotated[int, Field(ge=0, le=10**8)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
