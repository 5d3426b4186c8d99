"""Words about numbers."""


def count(n: int, noun: str) -> str:
    """ "1 seed", "5 seeds"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}{'es' if noun.endswith('ss') else 's'}"
