"""Choice of the output format by the header `Accept` (RFC 9110, section 12.5.1)."""

from crdnet.images import FORMATS
from crdnet.server.problems import Kind, ProblemError

MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
}
BYTES = "application/octet-stream"
"""Media type for an image of any format, for clients without media types of images."""


def choose_format(accept: str, own: str) -> str | None:
    """Return the format of the output, such as PNG; None keeps that of the upload.

    Among formats of equal preference, that of the upload comes first.

    Args:
        accept: Value of the header; empty accepts everything.
        own: Format of the upload, which may be a read-only format.

    Raises:
        ProblemError: The client accepts no format that can be written.
    """
    ranges = _parse_accept(accept)
    rated = {name: _rate(ranges, media_type) for name, media_type in MEDIA_TYPES.items()}
    best = max(rated.values())
    if not ranges or (best == 0 and _rate(ranges, BYTES)):
        return None
    if best == 0:
        raise ProblemError(
            Kind.NOT_ACCEPTABLE,
            f"Accept is {accept[:100]!r}, but the response is an image; accept one of "
            f"{', '.join(MEDIA_TYPES.values())}, or omit the header",
        )
    # "*/*" states no preference. For an upload in a read-only format, the caller chooses a format.
    likes_all_equally = min(rated.values()) == best
    if rated.get(own) == best or likes_all_equally:
        return None
    return next(name for name, rate in rated.items() if rate == best)


def choose_media_type(accept: str, written: str) -> str:
    """Return the media type under which an image of a format is sent."""
    media_type = MEDIA_TYPES[written]
    ranges = _parse_accept(accept)
    return BYTES if ranges and not _rate(ranges, media_type) else media_type


def get_suffix(name: str) -> str:
    """Return the suffix of a format, such as jpg, which is also its name in a request."""
    return next(suffix for suffix, other in FORMATS.items() if other == name)


def _parse_accept(accept: str) -> dict[str, float]:
    """Return the preference for each media range, 0 to 1."""
    ranges = {}
    for part in accept.lower().split(","):
        media_range, *parameters = (each.strip() for each in part.split(";"))
        if media_range:
            # Parameters such as charset= mean nothing for images.
            quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
            ranges[media_range] = _parse_quality(quality)
    return ranges


def _parse_quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 1.0  # an invalid weight must not refuse an image
    return quality if 0 <= quality <= 1 else 1.0


def _rate(ranges: dict[str, float], media_type: str) -> float:
    """Return the preference for a media type: that of the most specific range with it."""
    whole = media_type.partition("/")[0] + "/*"
    return next((ranges[each] for each in (media_type, whole, "*/*") if each in ranges), 0.0)
