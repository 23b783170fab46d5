// The chunks of PNG files (W3C, Portable Network Graphics, third edition).

import { asBytes, join, view } from "./bytes";
import { resetOrientation } from "./exif";
import type { Header } from "./header";

const SIGNATURE = 8;
const KEPT = ["iCCP", "sRGB", "gAMA", "cHRM", "pHYs", "eXIf", "tEXt", "zTXt", "iTXt", "tIME"];

interface Chunk {
  name: string;
  whole: Uint8Array;
  content: Uint8Array;
}

function* iterateChunks(bytes: Uint8Array): Generator<Chunk> {
  const data = view(bytes);
  let at = SIGNATURE;
  while (at + 12 <= bytes.length) {
    const end = at + 12 + data.getUint32(at);
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    yield { name, whole: bytes.subarray(at, end), content: bytes.subarray(at + 8, end - 4) };
    at = end;
  }
}

export function readPng(bytes: Uint8Array): Header {
  const data = view(bytes);
  const chunks = [...iterateChunks(bytes)].map(({ name }) => name);
  return {
    format: "png",
    width: data.getUint32(16),
    height: data.getUint32(20),
    bits: data.getUint8(24),
    isGrey: [0, 4].includes(data.getUint8(25)),
    isAnimated: chunks.includes("acTL"),
    isWhole: chunks.includes("IEND"),
  };
}

export function readPngMetadata(bytes: Uint8Array, header: Header): { chunks: Uint8Array<ArrayBuffer>[]; lost: string[] } {
  const kept = [...iterateChunks(bytes)].filter(({ name }) => KEPT.includes(name));
  const chunks = kept.map(({ name, whole, content }) => (name === "eXIf" ? packChunk(name, resetOrientation(content)) : new Uint8Array(whole)));
  const lost = header.bits > 8 ? [`${header.bits} bits a sample (written with 8)`] : [];
  return { chunks, lost };
}

// Return a PNG. Browsers write RGBA whatever the pixels are, and round colours under alpha.
export async function encodePng(width: number, height: number, rgba: Uint8ClampedArray, isGrey: boolean, chunks: Uint8Array<ArrayBuffer>[]): Promise<Blob> {
  const places = [...(isGrey ? [0] : [0, 1, 2]), ...(hasAlpha(rgba) ? [3] : [])]; // of the samples in RGBA
  const head = new Uint8Array(13);
  view(head).setUint32(0, width);
  view(head).setUint32(4, height);
  head.set([8, [0, 4, 2, 6][places.length - 1]!], 8);
  const rows = filterRows(width, height, rgba, places);
  const packed = await deflate(rows);
  const parts = [asBytes("\x89PNG\r\n\x1a\n"), packChunk("IHDR", head), ...chunks, packChunk("IDAT", packed), packChunk("IEND", new Uint8Array())];
  return new Blob(parts, { type: "image/png" });
}

// In one piece: a Blob's stream brings small ones, each from another process.
async function deflate(content: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const { readable, writable } = new CompressionStream("deflate");
  const writer = writable.getWriter();
  void writer.write(content);
  void writer.close();
  return new Uint8Array(await new Response(readable).arrayBuffer());
}

function hasAlpha(rgba: Uint8ClampedArray): boolean {
  for (let at = 3; at < rgba.length; at += 4) if (rgba[at] !== 255) return true;
  return false;
}

// Return rows filtered by Paeth's predictor, which suits photographs.
function filterRows(width: number, height: number, rgba: Uint8ClampedArray, places: number[]): Uint8Array<ArrayBuffer> {
  const step = places.length;
  const length = width * step;
  const rows = new Uint8Array(height * (1 + length));
  let [line, above] = [new Uint8Array(length), new Uint8Array(length)];
  for (let row = 0, into = 0; row < height; row++) {
    for (let column = 0, at = 0; column < width; column++) {
      for (let each = 0; each < step; each++) line[at++] = rgba[4 * (row * width + column) + places[each]!]!;
    }
    rows[into++] = 4;
    for (let at = 0; at < length; at++) {
      const left = at < step ? 0 : line[at - step]!;
      const corner = at < step ? 0 : above[at - step]!;
      rows[into++] = line[at]! - predict(left, above[at]!, corner);
    }
    [line, above] = [above, line];
  }
  return rows;
}

function predict(left: number, above: number, corner: number): number {
  const byLeft = Math.abs(above - corner);
  const byAbove = Math.abs(left - corner);
  const byCorner = Math.abs(left + above - 2 * corner);
  if (byLeft <= byAbove && byLeft <= byCorner) return left;
  return byAbove <= byCorner ? above : corner;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function packChunk(name: string, content: Uint8Array): Uint8Array<ArrayBuffer> {
  const chunk = join(new Uint8Array(4), asBytes(name), content, new Uint8Array(4));
  let crc = ~0;
  for (let at = 4; at < chunk.length - 4; at++) crc = TABLE[(crc ^ chunk[at]!) & 255]! ^ (crc >>> 8);
  view(chunk).setUint32(0, content.length);
  view(chunk).setUint32(chunk.length - 4, ~crc >>> 0);
  return chunk;
}
