// Format and size of an image file, from its first bytes, and what this page does not take.

import { Failure } from "../failure";
import { readJpeg } from "./jpeg";
import { readPng } from "./png";
import { readWebp } from "./webp";

export type Format = "jpeg" | "png" | "webp" | "gif" | "bmp" | "avif" | "heic";

export interface Header {
  format: Format;
  width: number; // 0 where only the decoder tells
  height: number;
  isGrey: boolean;
  bits: number;
  isAnimated: boolean;
  isWhole: boolean; // whether the file has its end
}

// 400 MB as decoded and derained pixels, as much again while they are encoded.
export const MOST_PIXELS = 50_000_000;

const HEIC_BRANDS = /hei[cxms]|hev[cx]|mif1|msf1/;

// Whether a file that begins so is a clip in MP4, MOV, WebM or Matroska.
export function isClip(start: Uint8Array): boolean {
  const text = String.fromCharCode(...start.subarray(0, 64));
  const brands = text.slice(8);
  return text.startsWith("\x1a\x45\xdf\xa3") || (text.startsWith("ftyp", 4) && !brands.includes("avi") && !HEIC_BRANDS.test(brands));
}

// Read a header, or say why the file is not taken.
export function readHeader(bytes: Uint8Array, name: string): Header {
  const header = recognise(bytes, name);
  if (header.isAnimated) throw new Failure(`${name} is an animation; save one of its frames as an image first.`);
  if (!header.isWhole) throw new Failure(`${name} is damaged: it ends too early. Fetch or save it again.`);
  checkSize(header.width, header.height, name);
  return header;
}

export function checkSize(width: number, height: number, name: string): void {
  if (width * height <= MOST_PIXELS) return;
  const millions = (pixels: number) => Math.round(pixels / 1e6);
  throw new Failure(`${name} has ${millions(width * height)} megapixels, and this page takes up to ${millions(MOST_PIXELS)}; reduce it, or use the command crdnet derain, which takes any size.`);
}

function recognise(bytes: Uint8Array, name: string): Header {
  const start = String.fromCharCode(...bytes.subarray(0, 64));
  const other = { width: 0, height: 0, isGrey: false, bits: 8, isAnimated: false, isWhole: true };
  if (!bytes.length) throw new Failure(`${name} is empty (0 bytes); fetch or save it again.`);
  try {
    if (start.startsWith("\xff\xd8\xff")) return readJpeg(bytes);
    if (start.startsWith("\x89PNG\r\n\x1a\n")) return readPng(bytes);
    if (start.startsWith("RIFF") && start.startsWith("WEBP", 8)) return readWebp(bytes);
  } catch (error) {
    if (error instanceof RangeError) throw new Failure(`${name} is damaged: it ends too early. Fetch or save it again.`);
    throw error;
  }
  if (start.startsWith("GIF8")) return { ...other, format: "gif", isAnimated: hasSeveralFrames(bytes) };
  if (start.startsWith("BM")) return { ...other, format: "bmp" };
  if (start.startsWith("ftyp", 4)) {
    const brands = start.slice(8, 64);
    if (brands.includes("avis")) return { ...other, format: "avif", isAnimated: true };
    if (brands.includes("avif")) return { ...other, format: "avif" };
    if (HEIC_BRANDS.test(brands)) return { ...other, format: "heic" };
  }
  if (/^(II\*\0|MM\0\*)/.test(start)) {
    throw new Failure(`${name} is a TIFF or a raw file, which browsers do not decode; save it as PNG or JPEG, or use the command crdnet derain.`);
  }
  throw new Failure(`${name} is not an image that this page reads (JPEG, PNG, WebP, AVIF, GIF, BMP); save it as one of them first.`);
}

// A GIF is an animation if there is a second image descriptor behind the blocks of the first.
function hasSeveralFrames(bytes: Uint8Array): boolean {
  const tableSize = (flags: number) => (flags & 128 ? 3 * 2 ** ((flags & 7) + 1) : 0);
  let at = 13 + tableSize(bytes[10] ?? 0);
  let frames = 0;
  while (at < bytes.length && bytes[at] !== 0x3b) {
    if (bytes[at] === 0x2c && ++frames > 1) return true;
    at += bytes[at] === 0x2c ? 11 + tableSize(bytes[at + 9] ?? 0) : 2;
    while (bytes[at]) at += bytes[at]! + 1;
    at++;
  }
  return false;
}
