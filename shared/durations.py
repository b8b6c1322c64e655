"""Durations in words, the same in every program."""


def duration(seconds: float) -> str:
    """45 -> "45 s", 75 -> "1 min 15 s", 5400 -> "1 h 30 min", 200000 -> "2.3 days"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole / 86400:.1f} days"
