"""Names of files and labels that are no UTF-8 text: they come from other systems and can be neither stored
nor printed."""

import os


def is_text(name: str) -> bool:
    """Whether a name is UTF-8 text. One read from a disk of another encoding holds lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str) -> str:
    """The name as it can be printed: what is no UTF-8 text as `\\xe9`."""
    try:
        return os.fsencode(name).decode(errors="backslashreplace")
    except UnicodeEncodeError:  # no name of a file: half of a pair, out of JSON
        return name.encode(errors="backslashreplace").decode()
