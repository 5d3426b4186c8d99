"""How much a client may send and ask for: all that bounds the server's memory, in one place."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Upper bounds; what lies beyond is refused before it is decoded."""

    body_bytes: int = 64 * 2**20
    """Bytes of a request's body, counted while they arrive."""
    seconds: float = 600.0
    """Seconds of an uploaded sound, or of the span of it that is asked for."""
    reach: float = 3600.0
    """Seconds from an uploaded sound's beginning to the end of that span: all of it has to be decoded."""
    channels: int = 8
    """Channels of an uploaded sound."""
    samples: int = 2**25
    """Samples of all channels of an upload together: 128 MB once decoded."""
    answers: int = 1000
    """Rows of one answer."""
    picture_seconds: float = 600.0
    """Seconds of a clip that its picture shows."""
