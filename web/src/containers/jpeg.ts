// The blocks of JPEG files (ITU-T T.81 annex B): header, quality, and metadata carried over.

import { asBytes, hasText, join, view } from "./bytes";
import { resetOrientation } from "./exif";
import type { Header } from "./header";

const EXIF = "Exif\0\0";
const ICC = "ICC_PROFILE\0";
const [SOI, SOS, EOI, APP0, APP1, APP2, APP13, APP15, COMMENT, DQT] = [0xd8, 0xda, 0xd9, 0xe0, 0xe1, 0xe2, 0xed, 0xef, 0xfe, 0xdb];
// The JPEG standard's luminance table at quality 50, whose sum tells the quality of another.
const STANDARD_SUM = 3688;

interface Block {
  marker: number;
  whole: Uint8Array; // with marker and length
  payload: Uint8Array;
}

// Yield the blocks before the first scan.
function* iterateBlocks(bytes: Uint8Array): Generator<Block> {
  const data = view(bytes);
  let at = 2;
  while (at + 4 <= bytes.length) {
    const marker = bytes[at + 1]!;
    if (bytes[at] !== 0xff || marker === 0xff) {
      at++;
      continue;
    }
    if (marker === SOS || marker === EOI) return;
    const end = at + 2 + data.getUint16(at + 2);
    yield { marker, whole: bytes.subarray(at, end), payload: bytes.subarray(at + 4, end) };
    at = end;
  }
}

function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
}

export function readJpeg(bytes: Uint8Array): Header {
  for (const { marker, payload } of iterateBlocks(bytes)) {
    if (!isFrame(marker)) continue;
    const data = view(payload);
    return {
      format: "jpeg",
      bits: data.getUint8(0),
      height: data.getUint16(1),
      width: data.getUint16(3),
      isGrey: data.getUint8(5) === 1,
      isAnimated: false,
      isWhole: hasEnd(bytes),
    };
  }
  throw new RangeError("no frame");
}

// Phones append videos and images, so the end may lie anywhere; a file cut short has none.
function hasEnd(bytes: Uint8Array): boolean {
  for (let at = bytes.length - 2; at > 2; at--) if (bytes[at] === 0xff && bytes[at + 1] === EOI) return true;
  return false;
}

// Return the quality, 0 to 1, of the standard tables that come nearest.
export function estimateQuality(bytes: Uint8Array): number {
  for (const { marker, payload } of iterateBlocks(bytes)) {
    if (marker !== DQT) continue;
    const wide = payload[0]! >> 4;
    let sum = 0;
    for (let each = 0; each < 64; each++) sum += wide ? view(payload).getUint16(1 + 2 * each) : payload[1 + each]!;
    // libjpeg multiplies the standard tables by 50 / quality below 50, and 2 - quality / 50 above.
    const scale = sum / STANDARD_SUM;
    return Math.min(Math.max(scale > 1 ? 0.5 / scale : 1 - scale / 2, 0.01), 1);
  }
  return 0.9;
}

export interface JpegMetadata {
  blocks: Uint8Array[];
  lost: string[]; // what of the file is not carried over
}

// Return the metadata to carry over; pixels are upright and have no further images.
export function readJpegMetadata(bytes: Uint8Array, header: Header): JpegMetadata {
  const blocks: Uint8Array[] = [];
  const lost = new Set<string>();
  for (const { marker, whole, payload } of iterateBlocks(bytes)) {
    if (!((marker >= APP0 && marker <= APP15) || marker === COMMENT)) continue;
    if (marker === APP0 && !hasText(payload, "JFIF\0")) continue;
    if (marker === APP2 && hasText(payload, "MPF\0")) lost.add("further images (MPF)");
    else if (marker === APP2 && hasText(payload, "urn:iso:std:iso:ts:21496:-1")) lost.add("the gain map");
    else if (marker === APP2 && hasText(payload, ICC) && !isProfileOf(payload, "RGB ")) lost.add("the colour profile, which is not for RGB");
    else if (marker === APP1 && hasText(payload, EXIF)) blocks.push(join(whole.subarray(0, 10), resetOrientation(payload.subarray(6))));
    else if ([APP0, APP1, APP2, APP13, COMMENT].includes(marker)) blocks.push(whole);
  }
  if (header.isGrey) lost.add("its single channel (written as RGB)");
  return { blocks, lost: [...lost] };
}

// Whether the first part of a profile is for a colour space; further parts follow the first.
function isProfileOf(payload: Uint8Array, space: string): boolean {
  const isFirst = payload[ICC.length] === 1;
  return !isFirst || hasText(payload, space, ICC.length + 2 + 16);
}

// Return an encoded JPEG with other metadata.
export function replaceJpegMetadata(encoded: Uint8Array, blocks: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const own = [...iterateBlocks(encoded)].filter(({ marker }) => marker >= APP0 && marker <= APP15);
  const begin = own.reduce((end, { whole }) => Math.max(end, whole.byteOffset - encoded.byteOffset + whole.length), 2);
  const hasJfif = blocks.some((block) => block[1] === APP0);
  const jfif = own.filter(({ marker }) => marker === APP0 && !hasJfif).map(({ whole }) => whole);
  return join(asBytes(`\xff${String.fromCharCode(SOI)}`), ...jfif, ...blocks, encoded.subarray(begin));
}
