// The orientation in EXIF: pixels are turned upright when they are decoded, so it becomes 1.

import { hasText, view } from "./bytes";

const ORIENTATION = 0x0112;

// Return EXIF (beginning with its TIFF header) with an orientation of 1; damaged EXIF as it is.
export function resetOrientation(exif: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(exif);
  const data = view(copy);
  const isLittle = hasText(copy, "II");
  if (copy.length < 8) return copy;
  const directory = data.getUint32(4, isLittle);
  if (directory + 2 > copy.length) return copy;
  for (let each = 0; each < data.getUint16(directory, isLittle); each++) {
    const entry = directory + 2 + 12 * each;
    if (entry + 12 > copy.length) break;
    if (data.getUint16(entry, isLittle) === ORIENTATION) data.setUint16(entry + 8, 1, isLittle);
  }
  return copy;
}
