"""Photoshop's image resources, in which JPEG and TIFF files hold IPTC captions.

Sources: Adobe Photoshop file formats specification; IPTC-NAA Information Interchange Model 4.
"""

from collections.abc import Iterator

from crdnet.images.containers import xmp

_IMAGE_RESOURCE = b"8BIM"
# Thumbnails of Photoshop 4 (BGR) and of later versions.
_RESOURCE_THUMBNAILS = (0x0409, 0x040C)
_IPTC, _EXIF, _MORE_EXIF, _XMP, _IPTC_DIGEST = 0x0404, 0x0422, 0x0423, 0x0424, 0x0425
# Marker before each dataset of IPTC-NAA, and the flag of a length that is itself counted.
_DATASET = 0x1C
# Content location code and name, city, sublocation, province or state, country code and name.
_LOCATION_DATASETS = {(2, 26), (2, 27), (2, 90), (2, 92), (2, 95), (2, 100), (2, 101)}
_LONG_DATASET = 0x8000


def remove_resource_thumbnail(resources: bytes) -> tuple[bytes, bool]:
    """Return image resources without the thumbnail, and whether there was one."""
    kept, place = [], 0
    for number, begin, _, end in _iterate_resources(resources):
        if number not in _RESOURCE_THUMBNAILS:
            kept.append(resources[begin:end])
        place = end
    rest = resources[place:]
    had = sum(map(len, kept)) < place
    return b"".join((*kept, rest)), had


def remove_resource_location(resources: bytes) -> bytes:
    """Return image resources of the same length without the location.

    Unreadable data becomes zeros, because its content is unknown.
    """
    edited, place = bytearray(resources), 0
    for number, _, data, end in _iterate_resources(resources):
        size = int.from_bytes(resources[data - 4 : data], "big")
        value = resources[data : data + size]
        if number == _IPTC:
            value = remove_iptc_location(value)
        elif number == _XMP:
            value = xmp.remove_location(value)
        elif number in (_EXIF, _MORE_EXIF, _IPTC_DIGEST):
            value = bytes(size)
        edited[data : data + size] = value
        place = end
    edited[place:] = bytes(len(resources) - place)
    return bytes(edited)


def remove_iptc_location(iptc: bytes) -> bytes:
    """Return IPTC datasets without the location, padded with zeros to the same length."""
    kept, place = [], 0
    while iptc[place : place + 1] == bytes((_DATASET,)) and place + 5 <= len(iptc):
        kind = iptc[place + 1], iptc[place + 2]
        size, begin = int.from_bytes(iptc[place + 3 : place + 5], "big"), place + 5
        if size & _LONG_DATASET:
            digits = size & ~_LONG_DATASET
            size = int.from_bytes(iptc[begin : begin + digits], "big")
            begin += digits
        if kind not in _LOCATION_DATASETS:
            kept.append(iptc[place : begin + size])
        place = begin + size
    return b"".join(kept).ljust(len(iptc), b"\0")


def _iterate_resources(resources: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield (number, start, start of the value, end) of each resource.

    It stops before a resource that reaches beyond the end of the data.
    """
    place = 0
    while resources[place : place + 4] == _IMAGE_RESOURCE and place + 12 <= len(resources):
        number = int.from_bytes(resources[place + 4 : place + 6], "big")
        # A Pascal string, padded to an even length.
        name = resources[place + 6] + 1
        data = place + 6 + name + name % 2 + 4
        size = int.from_bytes(resources[data - 4 : data], "big")
        if data + size > len(resources):
            return
        # Values are padded to an even length.
        end = min(data + size + size % 2, len(resources))
        yield number, place, data, end
        place = end
