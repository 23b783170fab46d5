"""A file that lost its location tells it nowhere: neither in its metadata nor behind the image."""

import struct
from io import BytesIO
from typing import Literal

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.ExifTags import IFD, Base

from crdnet import images
from crdnet.errors import ImageError
from crdnet.images.containers import exif, isobmff, photoshop, png, tiff, xmp
from tests.images.making import (
    SMOOTH,
    exif_of,
    heic,
    opened,
    png_chunks,
    saved,
    segment,
    tiff_of,
    with_chunk,
)

PACKET = b"""<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/'>
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
<rdf:Description xmlns:photoshop='http://ns.adobe.com/photoshop/1.0/' photoshop:City='SECRET'
 xmlns:core='http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/' core:CountryCode = "SECRET > x"
 xmlns:ext='http://iptc.org/std/Iptc4xmpExt/2008-02-29/' xmlns:drone='http://www.dji.com/drone/'
 drone:GpsLongtitude='SECRET' xmlns:geo='http://www.w3.org/2003/01/geo/wgs84_pos#' geo:lat='SECRET'
 photoshop:Headline='kept 1'><photoshop:State a="b>c">SECRET</photoshop:State>
<ext:LocationCreated><rdf:Bag><rdf:li ext:City='SECRET'><ext:City>SECRET</ext:City></rdf:li>
</rdf:Bag></ext:LocationCreated><core:Location/><City>kept 2</City></rdf:Description>
</rdf:RDF></x:xmpmeta><?xpacket end='w'?>"""


def dataset(kind: int, value: bytes) -> bytes:
    return struct.pack(">BBBH", 0x1C, 2, kind, len(value)) + value


IPTC = b"".join(
    dataset(kind, value)
    for kind, value in (
        (5, b"kept 3"),
        *((kind, b"SECRET") for kind in (26, 27, 90, 92, 95, 100, 101)),
        (120, b"kept 4"),
    )
)


def resource(number: int, data: bytes) -> bytes:
    head = b"8BIM" + struct.pack(">HHI", number, 0, len(data))
    return head + data + b"\0" * (len(data) % 2)


RESOURCES = b"".join(
    resource(*each)
    for each in (
        (0x0404, IPTC),
        (0x0422, b"MM\0*SECRET"),
        (0x0424, PACKET),
        (0x0425, b"SECRET of 16 byte"[:16]),
        (0x03ED, b"kept 5 "),
    )
)
FILM = (
    b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + b"\0\0\0\x1cmoov\0\0\0\x14udta\0\0\0\x0c\xa9xyzSECRET"
)


def location_exif() -> bytes:
    """EXIF with a GPS directory and a maker note."""
    found = exif_of(6)
    found[IFD.GPSInfo] = {1: "N", 2: (48.0, 8.0, 30.0), 29: "SECRET"}
    found[Base.MakerNote] = b"SECRET of the maker"
    loaded = Image.Exif()
    loaded.load(found.tobytes())
    loaded.get_ifd(IFD.Exif)[0x927C] = b"SECRET of the maker"
    return loaded.tobytes()


def around_jpeg(*blocks: bytes, behind: bytes = b"") -> bytes:
    plain = saved(kind="JPEG")
    return plain[:2] + b"".join(blocks) + plain[2:] + behind


def test_xmp_loses_every_property_of_a_location_and_keeps_its_length() -> None:
    after = xmp.remove_location(PACKET)
    assert len(after) == len(PACKET)
    assert b"SECRET" not in after
    assert after.count(b"kept") == 2
    assert b"LocationCreated" not in after
    assert b"core:Location/" not in after


@pytest.mark.parametrize(
    "packet",
    [
        PACKET[:-60],
        PACKET.decode().encode("utf-16"),
        b"SECRET",
        b"<!DOCTYPE x [<!ENTITY a 'SECRET'>]><x>&a;</x>",
        b"<a>" * 300 + b"SECRET" + b"</a>" * 300,
    ],
    ids=["cut off", "utf-16", "no xml", "document type", "deep"],
)
def test_xmp_that_cannot_be_read_goes_whole(packet: bytes) -> None:
    assert xmp.remove_location(packet) == b" " * len(packet)


def test_xmp_without_a_location_stays_as_it_is() -> None:
    for packet in (b"", b"\0\0", b"<x>City</x>\0\0", b'<x dc:title="GPS"/>'):
        assert xmp.remove_location(packet) == packet


def test_captions_lose_the_location_and_keep_their_length() -> None:
    after = photoshop.remove_resource_location(RESOURCES)
    assert len(after) == len(RESOURCES)
    assert b"SECRET" not in after
    assert all(f"kept {number}".encode() in after for number in (1, 2, 3, 4, 5))
    long = b"\x1c\x02\x5a\x80\x04" + struct.pack(">I", 6) + b"SECRET" + dataset(5, b"kept")
    assert photoshop.remove_iptc_location(long) == dataset(5, b"kept").ljust(len(long), b"\0")


def test_resources_that_cannot_be_read_become_zeros() -> None:
    cut = RESOURCES[:-3]
    after = photoshop.remove_resource_location(cut)
    assert len(after) == len(cut)
    assert b"kept 3" in after
    assert b"kept 5" not in after


@pytest.mark.filterwarnings("ignore:.*malformed MPO")
def test_a_jpeg_tells_its_location_nowhere() -> None:
    middle = RESOURCES.index(b"SECRET") + 3
    before = around_jpeg(
        segment(0xE1, b"Exif\0\0" + location_exif().removeprefix(b"Exif\0\0")),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + PACKET),
        segment(0xED, b"Photoshop 3.0\0" + RESOURCES[:middle]),
        segment(0xED, b"Photoshop 3.0\0" + RESOURCES[middle:]),
        segment(0xEB, b"JP\0\x01SECRET"),
        segment(0xE6, b"GoPro\0SECRET"),
        segment(0xE2, b"MPF\0SECRET"),
        segment(0xFE, b"kept 6"),
        behind=FILM,
    )
    assert before.count(b"SECRET") > 18
    after, dropped = images.remove_location(before)
    assert b"SECRET" not in after
    assert all(f"kept {number}".encode() in after for number in (1, 2, 3, 5, 6))
    assert b"kept 4" in images.decode(after).metadata.around.photoshop
    assert set(dropped) == {
        "the maker note",
        "a signed history (C2PA)",
        "a block of unknown content (APP6)",
        "further images (MPF)",
        "the video behind the image",
    }
    assert opened(after).getexif()[Base.Artist] == "Somebody"
    np.testing.assert_array_equal(np.asarray(opened(after)), np.asarray(opened(before)))


def test_a_gain_map_that_goes_with_what_lies_behind_is_named() -> None:
    packet = b"<x xmlns:hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/' hdrgm:Version='1.0'/>"
    before = saved(kind="JPEG", xmp=packet) + saved(255 - SMOOTH, "JPEG")
    after, dropped = images.remove_location(before)
    assert dropped[0] == "the gain map"
    assert b"Version" not in opened(after).info["xmp"]
    assert images.list_notes(images.decode(after)) == ()


def test_a_png_tells_its_location_nowhere() -> None:
    before = saved(exif=location_exif())
    for name, payload in (
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + PACKET),
        (b"tEXt", b"XML:com.adobe.xmp\0SECRET"),
        (b"tEXt", b"exif:GPSLatitude\0SECRET"),
        (b"zTXt", b"Raw profile type exif\0\0SECRET"),
        (b"tEXt", b"Title\0kept 3"),
        (b"caBX", b"SECRET"),
        (b"prVt", b"SECRET"),
    ):
        before = with_chunk(before, name, payload)
    after, dropped = images.remove_location(before + b"SECRET")
    assert b"SECRET" not in after
    assert after.count(b"kept") == 3
    assert set(dropped) == {
        "the maker note",
        "metadata as text",
        "a signed history (C2PA)",
        "the chunk prVt",
        "6 bytes behind the image",
    }
    np.testing.assert_array_equal(np.asarray(opened(after)), SMOOTH)


def test_a_webp_tells_its_location_nowhere() -> None:
    before = saved(kind="WEBP", exif=location_exif(), xmp=PACKET)
    body = before[8:] + b"abcd\x06\0\0\0SECRET"
    before = b"RIFF" + struct.pack("<I", len(body)) + body + b"SECRET"
    after, dropped = images.remove_location(before)
    assert b"SECRET" not in after
    assert b"kept 2" in after
    assert dropped[1:] == ("the chunk abcd", "6 bytes behind the image")
    np.testing.assert_array_equal(np.asarray(opened(after)), SMOOTH)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_tells_its_location_nowhere(order: Literal["<", ">"]) -> None:
    tags = [
        (0x02BC, "B", len(PACKET), PACKET, True),
        (0x83BB, "B", len(IPTC), IPTC, True),
        (0x8649, "B", len(RESOURCES), RESOURCES, True),
        (0x830E, "s", 0, "SECRET of the map", True),
        (0xCD41, "s", 0, "SECRET of the signer", True),
        (0x010F, "s", 0, "kept 6", True),
    ]
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer, byteorder=order) as file:
        file.write(SMOOTH, photometric="rgb", extratags=tags, metadata=None)
        file.write(SMOOTH[::2, ::2], photometric="rgb", extratags=tags, subfiletype=1)
    before = buffer.getvalue()
    after, dropped = images.remove_location(before)
    assert len(after) == len(before)
    assert b"SECRET" not in after
    assert dropped == ("the map coordinates (GeoTIFF)", "a signed history (C2PA)")
    found = tiff.read_pages(after)[0]
    assert {0x830E, 0xCD41} & set(found) == set()
    assert found[0x010F].value.startswith(b"kept 6")
    np.testing.assert_array_equal(images.decode(after).pixels, SMOOTH)


def test_an_avif_tells_its_location_nowhere() -> None:
    before = saved(kind="AVIF", exif=location_exif(), xmp=PACKET)
    before += struct.pack(">I4s", 8 + len(FILM), b"mpvd") + FILM + b"SECRET"
    after, dropped = images.remove_location(before)
    assert len(after) == len(before)
    assert b"SECRET" not in after
    assert b"kept 2" in after
    assert dropped == ("the maker note", "the box mpvd")
    np.testing.assert_array_equal(np.asarray(opened(after)), np.asarray(opened(before)))


def test_an_item_that_lies_where_nobody_reads_is_refused() -> None:
    before = bytearray(saved(kind="AVIF", exif=exif_of().tobytes()))
    places = before.index(b"iloc") + 4
    assert before[places] in (0, 1)
    version, count = before[places], struct.unpack_from(">H", before, places + 6)[0]
    assert version == 0
    # The item is counted twice under the number of the image, so that none is left for EXIF.
    struct.pack_into(">H", before, places + 6, count - 1)
    with pytest.raises(ImageError, match="may hold its location where crdnet cannot remove it"):
        images.remove_location(bytes(before), "it.avif")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_unreadable_exif_goes_from_every_format() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "AVIF"):
        before = saved(kind=kind, exif=b"Exif\0\0II*\0\xff\xff\xff\x7fSECRET")
        after, _ = images.remove_location(before)
        assert b"SECRET" not in after
        assert opened(after).size == (36, 24)


def test_a_chain_of_directories_without_end_is_refused() -> None:
    content = bytearray(b"II*\0\x08\0\0\0")
    for at in range(100):
        content += struct.pack("<HI", 0, 8 + 6 * (at + 1))
    with pytest.raises(ValueError, match="too many directories"):
        exif.remove_location(bytes(content))
    looped = b"II*\0\x08\0\0\0" + struct.pack("<HI", 0, 8)
    assert exif.remove_location(looped) == (looped, ())


def test_a_format_that_carries_no_metadata_is_left_as_it_is() -> None:
    before = saved(kind="BMP")
    assert images.remove_location(before) == (before, ())


def test_a_heic_loses_the_location_and_keeps_its_pixels() -> None:
    before = heic("street")
    after, _ = images.remove_location(before)
    assert len(after) == len(before)
    np.testing.assert_array_equal(images.decode(after).pixels, images.decode(before).pixels)
    assert isobmff.read_metadata(after).around.exif


def test_only_chunks_of_a_location_go_from_a_png_without_one() -> None:
    before = with_chunk(saved(dpi=(72, 72)), b"tEXt", b"Title\0kept")
    after, dropped = images.remove_location(before)
    assert (list(png_chunks(after)), dropped) == (list(png_chunks(before)), ())
    assert png.is_interlaced(after) is False


def test_a_tiff_of_samples_alone_is_left_as_it_is() -> None:
    before = tiff_of(SMOOTH, photometric="rgb", metadata=None)
    assert images.remove_location(before) == (before, ())
