// The route of an image in this page: decode, sense, gate, derain, encode.

import { checkSize, readHeader, type Format, type Header } from "./containers/header";
import { estimateQuality, readJpegMetadata, replaceJpegMetadata } from "./containers/jpeg";
import { encodePng, readPngMetadata } from "./containers/png";
import { copyWebpMetadata, readWebp } from "./containers/webp";
import type { Report } from "./density";
import { Failure, NOT_WRITTEN } from "./failure";
import { Network, weaken, type OnShare, type Pixels, type Sensing } from "./network";

export interface Wishes {
  strength?: number;
  always?: boolean;
  format?: string;
  quality?: number;
}

export interface Result {
  content: Blob;
  report: Report | null;
  isLeftAlone: boolean;
  notes: string;
  engine: string; // backend and number of threads, in words
}

const WRITTEN: Record<string, Format> = { jpg: "jpeg", png: "png", webp: "webp" };
const LARGE_PIXELS = 8_000_000; // whose pixels are freed before encoding, and computed again on demand
const BAND_ROWS = 512; // rows that are copied at a time
const SENSING_SHARE = 0.3; // share of the progress of an image

// The last image, so that another strength or format does not run the network again.
interface Worked {
  file: File;
  image: Pixels;
  sensing: Sensing;
  isDerained: boolean; // in place of the rainy pixels
}

let last: Worked | null = null;

export async function derainFile(network: Network, file: File, wishes: Wishes, onShare: OnShare): Promise<Result> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const header = readHeader(bytes, file.name);
  const format = wishes.format ? WRITTEN[wishes.format] : header.format;
  if (!format || !Object.values(WRITTEN).includes(format)) {
    throw new Failure(`${file.name} is ${header.format.toUpperCase()}, which this page reads and does not write.`, { type: NOT_WRITTEN });
  }
  const worked = last?.file === file ? last : await decode(network, file, header, onShare);
  last = worked;
  const { image, sensing } = worked;
  if (sensing.report?.isDry && !wishes.always) {
    const isKept = format === header.format;
    const written = isKept
      ? { content: new Blob([bytes], { type: `image/${format}` }), lost: [] }
      : await encode(image, await getRainy(worked, header), header, bytes, format, wishes.quality);
    return { content: written.content, report: sensing.report, isLeftAlone: isKept, notes: tellLost(written.lost), engine: network.engine.name };
  }
  if (!worked.isDerained) {
    last = null; // a half derained image is of no use
    await network.derain(image, sensing, (share) => onShare(SENSING_SHARE + (1 - SENSING_SHARE) * share));
    sensing.look = null;
    worked.isDerained = true;
    last = worked;
  }
  const strength = Number(wishes.strength ?? 1);
  const pixels = strength < 1 ? weaken(await getRainy(worked, header), image.rgba, strength) : image.rgba;
  const { content, lost } = await encode(image, pixels, header, bytes, format, wishes.quality);
  return { content, report: sensing.report, isLeftAlone: false, notes: tellLost(lost), engine: network.engine.name };
}

async function getRainy({ file, image, isDerained }: Worked, header: Header): Promise<Uint8ClampedArray<ArrayBuffer>> {
  return isDerained ? (await decodePixels(file, header)).rgba : image.rgba;
}

function tellLost(lost: string[]): string {
  return lost.length ? `not kept: ${lost.join(", ")}` : "";
}

async function decode(network: Network, file: File, header: Header, onShare: OnShare): Promise<Worked> {
  last = null; // its memory is needed
  const image = await decodePixels(file, header);
  const sensing = await network.sense(image, (share) => onShare(SENSING_SHARE * share));
  return { file, image, sensing, isDerained: false };
}

async function decodePixels(file: File, header: Header): Promise<Pixels> {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new Failure(tellUndecoded(file.name, header.format));
  }
  const { width, height } = bitmap;
  checkSize(width, height, file.name);
  const rgba = new Uint8ClampedArray(4 * width * height);
  // In bands: a canvas of the whole would be held beside the bitmap and the pixels.
  const canvas = new OffscreenCanvas(width, Math.min(height, BAND_ROWS));
  const context = getContext(canvas);
  context.globalCompositeOperation = "copy";
  for (let top = 0; top < height; top += BAND_ROWS) {
    const high = Math.min(BAND_ROWS, height - top);
    context.drawImage(bitmap, 0, -top);
    rgba.set(context.getImageData(0, 0, width, high).data, 4 * width * top);
  }
  bitmap.close();
  return { width, height, rgba, isGrey: header.isGrey };
}

function tellUndecoded(name: string, format: Format): string {
  if (format === "heic") {
    return `${name} is HEIC, which this browser does not decode. Share it as JPEG (on an iPhone: Settings, Camera, Formats, Most Compatible), or use the command crdnet derain.`;
  }
  return `${name} cannot be decoded: it is damaged, or uses a feature that this browser does not support. Open it in another program and save it again.`;
}

export function getContext(canvas: OffscreenCanvas): OffscreenCanvasRenderingContext2D {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new RangeError("no memory for a canvas");
  return context;
}

async function encode(
  image: Pixels,
  rgba: Uint8ClampedArray<ArrayBuffer>,
  header: Header,
  source: Uint8Array,
  format: Format,
  quality?: number,
): Promise<{ content: Blob; lost: string[] }> {
  const isKept = format === header.format;
  const lostWithFormat = isKept ? [] : ["the metadata of the other format"];
  if (format === "png") {
    const { chunks, lost } = isKept ? readPngMetadata(source, header) : { chunks: [], lost: lostWithFormat };
    return { content: await encodePng(image.width, image.height, rgba, image.isGrey, chunks), lost };
  }
  const asked = quality === undefined ? chooseQuality(header, source) : Number(quality) / 100;
  const content = await encodeByBrowser(image, rgba, `image/${format}`, asked);
  if (!isKept) return { content, lost: lostWithFormat };
  const encoded = new Uint8Array(await content.arrayBuffer());
  const { blocks, lost } = format === "jpeg" ? readJpegMetadata(source, header) : { blocks: [], lost: [] };
  const whole = format === "jpeg" ? replaceJpegMetadata(encoded, blocks) : copyWebpMetadata(encoded, source, image.width, image.height);
  return { content: new Blob([whole], { type: content.type }), lost };
}

async function encodeByBrowser({ width, height }: Pixels, rgba: Uint8ClampedArray<ArrayBuffer>, type: string, quality: number): Promise<Blob> {
  const canvas = new OffscreenCanvas(width, height);
  const context = getContext(canvas);
  // In bands: the whole as ImageData would stay in memory until it is collected.
  const band = new ImageData(width, Math.min(height, BAND_ROWS));
  for (let top = 0; top < height; top += BAND_ROWS) {
    band.data.set(rgba.subarray(4 * width * top, 4 * width * Math.min(top + BAND_ROWS, height)));
    context.putImageData(band, 0, top);
  }
  if (width * height > LARGE_PIXELS) {
    last = null;
    rgba.buffer.transfer?.(0);
  }
  const content = await canvas.convertToBlob({ type, quality });
  canvas.width = canvas.height = 0;
  if (content.type !== type) throw new Failure(`This browser does not write ${type}; choose another format.`, { type: NOT_WRITTEN });
  return content;
}

// Return the quality of the source, as far as its format tells it; 1 is lossless in WebP.
function chooseQuality(header: Header, source: Uint8Array): number {
  if (header.format === "jpeg") return estimateQuality(source);
  return header.format === "webp" && readWebp(source).isLossless ? 1 : 0.9;
}
