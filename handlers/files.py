"""Objects that are written once: their key says what they hold, or who wrote them."""

from triggers import Conflict, Place


def write_once(place: Place, key: str, data: bytes) -> bool:
    """Write an object unless there is one; return whether it is new."""
    try:
        place.replace(key, data, seen=None)
    except Conflict:
        return False
    return True
