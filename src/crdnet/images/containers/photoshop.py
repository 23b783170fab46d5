"""Photoshop's image resources, in which JPEG and TIFF files hold IPTC captions."""

_IMAGE_RESOURCE = b"8BIM"
_RESOURCE_THUMBNAILS = (0x0409, 0x040C)


def resources_without_thumbnail(resources: bytes) -> tuple[bytes, bool]:
    """Return Photoshop's image resources without the thumbnail, and whether they had one."""
    kept, place, had = [], 0, False
    while resources[place : place + 4] == _IMAGE_RESOURCE and place + 12 <= len(resources):
        number = int.from_bytes(resources[place + 4 : place + 6], "big")
        name = resources[place + 6] + 1
        data = place + 6 + name + name % 2
        size = int.from_bytes(resources[data : data + 4], "big")
        end = data + 4 + size + size % 2
        if number in _RESOURCE_THUMBNAILS:
            had = True
        else:
            kept.append(resources[place:end])
        place = end
    return b"".join((*kept, resources[place:])), had
