// The chunks of WebP files (RFC 9649).

import { asBytes, hasText, join, view } from "./bytes";
import { resetOrientation } from "./exif";
import type { Header } from "./header";

const START = 12;
const PLACES = { ALPH: 0x10, ICCP: 0x20, EXIF: 0x08, "XMP ": 0x04 } as const; // flags of VP8X

interface Chunk {
  name: string;
  content: Uint8Array;
}

function* iterateChunks(bytes: Uint8Array): Generator<Chunk> {
  const data = view(bytes);
  for (let at = START; at + 8 <= bytes.length; ) {
    const size = data.getUint32(at + 4, true);
    if (at + 8 + size > bytes.length) throw new RangeError("a chunk ends beyond the file");
    yield { name: String.fromCharCode(...bytes.subarray(at, at + 4)), content: bytes.subarray(at + 8, at + 8 + size) };
    at += 8 + size + (size % 2);
  }
}

export function readWebp(bytes: Uint8Array): Header & { isLossless: boolean } {
  const chunks = new Map([...iterateChunks(bytes)].map(({ name, content }) => [name, content]));
  const isLossless = chunks.has("VP8L");
  const { width, height } = measure(chunks);
  return { format: "webp", width, height, bits: 8, isGrey: false, isAnimated: chunks.has("ANIM"), isWhole: true, isLossless };
}

function measure(chunks: Map<string, Uint8Array>): { width: number; height: number } {
  const [extended, lossless, lossy] = ["VP8X", "VP8L", "VP8 "].map((name) => chunks.get(name));
  if (extended) return { width: 1 + (view(extended).getUint32(3, true) >>> 8), height: 1 + (view(extended).getUint32(6, true) >>> 8) };
  if (lossless) {
    const packed = view(lossless).getUint32(1, true);
    return { width: 1 + (packed & 0x3fff), height: 1 + ((packed >>> 14) & 0x3fff) };
  }
  if (!lossy) throw new RangeError("no image");
  return { width: view(lossy).getUint16(6, true) & 0x3fff, height: view(lossy).getUint16(8, true) & 0x3fff };
}

// Return an encoded WebP with the metadata of another.
export function copyWebpMetadata(encoded: Uint8Array, source: Uint8Array, width: number, height: number): Uint8Array<ArrayBuffer> {
  const take = (bytes: Uint8Array, ...names: string[]) => [...iterateChunks(bytes)].filter(({ name }) => names.includes(name));
  const profile = take(source, "ICCP");
  const rest = take(source, "EXIF", "XMP ").map(({ name, content }) => ({ name, content: name === "EXIF" ? resetExif(content) : content }));
  if (!profile.length && !rest.length) return join(encoded);
  const image = take(encoded, "ALPH", "VP8 ", "VP8L");
  const head = new Uint8Array(10);
  const lossless = image.find(({ name }) => name === "VP8L");
  const hasAlpha = lossless && view(lossless.content).getUint32(1, true) & (1 << 28);
  head[0] = [...profile, ...rest, ...image].reduce((flags, { name }) => flags | (PLACES[name as keyof typeof PLACES] ?? 0), hasAlpha ? PLACES.ALPH : 0);
  head.set([width - 1, height - 1].flatMap((side) => [side & 255, (side >> 8) & 255, side >> 16]), 4);
  const body = join(asBytes("WEBP"), ...[{ name: "VP8X", content: head }, ...profile, ...image, ...rest].map(packChunk));
  return join(asBytes("RIFF"), packNumber(body.length), body);
}

// Some programs write EXIF with the mark that it has in JPEG.
function resetExif(content: Uint8Array): Uint8Array {
  return hasText(content, "Exif\0\0") ? join(content.subarray(0, 6), resetOrientation(content.subarray(6))) : resetOrientation(content);
}

function packChunk({ name, content }: Chunk): Uint8Array {
  return join(asBytes(name), packNumber(content.length), content, new Uint8Array(content.length % 2));
}

function packNumber(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  view(bytes).setUint32(0, value, true);
  return bytes;
}
