"""Removal of properties from XMP; its length and all other bytes stay the same.

An XML parser finds the properties, which are overwritten with spaces, so that no offset in a file
changes.

Sources: XMP specification part 1 (ISO 16684-1), IPTC photo metadata standard, Adobe's gain map
specification, Google's motion photo and dynamic depth formats.
"""

import re
from collections.abc import Callable, Mapping
from xml.parsers import expat

_EXIF = "http://ns.adobe.com/exif/1.0/"
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
_IPTC = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
_IPTC_MORE = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_GAIN_MAP = "http://ns.adobe.com/hdr-gain-map/1.0/"
_CAMERA = "http://ns.google.com/photos/1.0/camera/"
_CONTAINER = "http://ns.google.com/photos/1.0/container/"
_DEPTH = "http://ns.google.com/photos/dd/1.0/"
# Namespaces of prefixes that a packet uses without saying so.
_USUAL_PREFIXES: Mapping[str, str] = {
    "exif": _EXIF,
    "photoshop": _PHOTOSHOP,
    "Iptc4xmpCore": _IPTC,
    "Iptc4xmpExt": _IPTC_MORE,
    "hdrgm": _GAIN_MAP,
    "GCamera": _CAMERA,
    "Container": _CONTAINER,
}

# Properties of any namespace; drones write `GpsLongtitude`.
_LOCATION_NAME = re.compile(r"^gps|latitude|longitude|longtitude|altitude", re.IGNORECASE)
_LOCATION: Mapping[str, re.Pattern[str]] = {
    _PHOTOSHOP: re.compile("City|State|Country"),
    _IPTC: re.compile("Location|CountryCode"),
    _IPTC_MORE: re.compile(
        "Location.*|City|Country.*|ProvinceState|Sublocation|WorldRegion", re.DOTALL
    ),
    "http://www.w3.org/2003/01/geo/wgs84_pos#": re.compile(".*", re.DOTALL),
    "http://purl.org/dc/elements/1.1/": re.compile("coverage"),
    "http://ns.adobe.com/xmp/1.0/DynamicMedia/": re.compile("shotLocation"),
    "http://prismstandard.org/namespaces/basic/2.0/": re.compile("location"),
}
_ANNOUNCED: Mapping[str, re.Pattern[str]] = {
    _GAIN_MAP: re.compile(".*", re.DOTALL),
    "http://ns.apple.com/HDRGainMap/1.0/": re.compile(".*", re.DOTALL),
    _CAMERA: re.compile("(MotionPhoto|MicroVideo).*", re.DOTALL),
    _CONTAINER: re.compile("Directory"),
    _DEPTH + "container/": re.compile("Directory"),
    _DEPTH + "device/": re.compile("Container"),
}
_ATTRIBUTE = re.compile(rb"""\s+([^\s=<>"']+)\s*=\s*("[^"]*"|'[^']*')""")
_EMPTY = re.compile(rb"\s*/>")
_TAG = re.compile(rb"<[^\s/>]+")
_DEEPEST = 200
# Each element that declares a namespace copies those around it.
_MOST_SPACES = 1000

Matches = Callable[[str, str], bool]
"""Function that selects properties by namespace and name."""


class _UnreadableError(ValueError):
    """XMP whose properties cannot be found."""


def remove_location(xmp: bytes) -> bytes:
    """Return XMP of the same length without the location; only spaces if it cannot be read."""
    try:
        return _remove_properties(xmp, _is_location)
    except _UnreadableError:
        return b" " * len(xmp)


def remove_announcements(xmp: bytes) -> bytes:
    """Return XMP of the same length without announcements of data behind the image.

    Such data is a gain map, a video or another image. Unreadable XMP is returned unchanged, because
    other programs cannot read it either.
    """
    try:
        return _remove_properties(xmp, _is_announcement)
    except _UnreadableError:
        return xmp


def tells_gain_map(xmp: bytes) -> bool:
    """Return whether XMP announces a gain map."""
    return b"hdrgm:Version" in xmp


def _is_location(space: str, name: str) -> bool:
    return bool(_LOCATION_NAME.search(name)) or _fits(_LOCATION, space, name)


def _is_announcement(space: str, name: str) -> bool:
    return _fits(_ANNOUNCED, space, name)


def _fits(table: Mapping[str, re.Pattern[str]], space: str, name: str) -> bool:
    pattern = table.get(space)
    return pattern is not None and pattern.fullmatch(name) is not None


def _remove_properties(xmp: bytes, matches: Matches) -> bytes:
    plain = xmp.rstrip(b"\0")
    if not plain.strip():
        return xmp
    if b"\0" in plain or plain.startswith((b"\xfe\xff", b"\xff\xfe")):
        raise _UnreadableError("XMP of 16 or 32 bits per character")
    edited = bytearray(xmp)
    for begin, end in _Finder(plain, matches).spans:
        edited[begin:end] = b" " * (end - begin)
    return bytes(edited)


class _Finder:
    """XML handler that finds the bytes of properties.

    Attributes:
        spans: Start and end offset of each property.
    """

    def __init__(self, xmp: bytes, matches: Matches) -> None:
        self.spans = list[tuple[int, int]]()
        self._xmp, self._matches = xmp, matches
        self._spaces: list[Mapping[str, str]] = [_USUAL_PREFIXES]
        self._begun: int | None = None
        """Offset at which the current property to remove begins; None outside such a property."""
        self._begun_depth = 0
        self._parser = expat.ParserCreate()
        self._parser.ordered_attributes = True
        self._parser.StartElementHandler = self._open_element
        self._parser.EndElementHandler = self._close_element
        self._parser.StartDoctypeDeclHandler = _refuse
        try:
            self._parser.Parse(xmp, True)
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise _UnreadableError(str(error)) from error

    def _open_element(self, tag: str, attributes: list[str]) -> None:
        pairs = dict(zip(attributes[::2], attributes[1::2], strict=True))
        bound = {name[6:]: uri for name, uri in pairs.items() if name.startswith("xmlns:")}
        bound |= {"": pairs["xmlns"]} if "xmlns" in pairs else {}
        self._spaces.append({**self._spaces[-1], **bound} if bound else self._spaces[-1])
        if len(self._spaces) > _DEEPEST:
            raise _UnreadableError("XMP of too many levels")
        if len(self._spaces[-1]) > _MOST_SPACES:
            raise _UnreadableError("XMP of too many namespaces")
        if self._begun is not None:
            return
        begin = self._parser.CurrentByteIndex
        if self._is_meant(tag):
            self._begun, self._begun_depth = begin, len(self._spaces)
        elif any(self._is_meant(name, of_attribute=True) for name in pairs):
            self._skip_attributes(begin, keep=False)

    def _close_element(self, _tag: str) -> None:
        if self._begun is not None and len(self._spaces) == self._begun_depth:
            last = self._skip_attributes(self._begun, keep=True)
            if _EMPTY.match(self._xmp, last) is None:  # it has content and a closing tag
                last = self._parser.CurrentByteIndex
            self.spans.append((self._begun, self._xmp.index(b">", last) + 1))
            self._begun = None
        self._spaces.pop()

    def _skip_attributes(self, tag: int, *, keep: bool) -> int:
        """Return the end offset of the attributes of the tag at `tag`; note those to remove."""
        found = _TAG.match(self._xmp, tag)
        place = found.end() if found else tag
        while found := _ATTRIBUTE.match(self._xmp, place):
            name = found[1].decode(errors="replace")
            if not keep and self._is_meant(name, of_attribute=True):
                self.spans.append(found.span())
            place = found.end()
        return place

    def _is_meant(self, name: str, *, of_attribute: bool = False) -> bool:
        prefix, _, local = name.rpartition(":")
        if prefix == "xmlns" or name == "xmlns" or (of_attribute and not prefix):
            return False
        return self._matches(self._spaces[-1].get(prefix, prefix), local)


def _refuse(*_: object) -> None:
    raise _UnreadableError("XMP with a document type")
