// The network for images of any size: senses at several scales and works by tiles, as
// crdnet.runtime.network does.

import { averageIntensity, averageStrongest, findMedian, luma, makeReport, measureMisfit, type Report } from "./density";
import { addRemoved, chooseShear, isBetterSheared, type Removed, shearBack, shearPlanes, sumRemoved } from "./direction";
import type { Answer, Engine } from "./engine";
import { type Part, reduceImage, resizePlane } from "./resize";
import { chooseReduction, computeMargin, listReductions, listSamples, measureDetail, type Sample } from "./scales";
import { cutAxis, reflect, roundUp, type Span } from "./sizes";

// Side of a tile in pixels. Smaller ones consist mostly of margin, larger ones take more memory than
// phones grant a page.
const TILE = 768;
// Every second pixel of every fourth row has the misfit of all.
const [ROW_STEP, COLUMN_STEP] = [4, 2];

export interface Pixels {
  width: number;
  height: number;
  rgba: Uint8ClampedArray<ArrayBuffer>;
  isGrey: boolean;
}

// Called with the share of the work that is done; may throw to stop it.
export type OnShare = (share: number) => void;

interface Look extends Answer {
  planes: Uint8ClampedArray;
  height: number; // with its padding
  width: number;
}

export interface Sensing {
  report: Report | null; // null where the model does not sense rain
  reduction: number;
  shear: number; // see direction.ts
  look: Look | null; // at the whole image at this scale and shear
}

// What the samples of an image at one scale and shear show.
interface Finding {
  reduction: number;
  shear: number;
  intensity: number;
  detail: number;
  report: Report;
  removed: Removed;
  look: Look | null;
}

export class Network {
  constructor(readonly engine: Engine) {}

  async sense(image: Pixels, onShare: OnShare): Promise<Sensing> {
    if (!this.engine.info.senses) return { report: null, reduction: 1, shear: 0, look: null };
    const reductions = listReductions(image.height, image.width);
    const plans = new Map(reductions.map((reduction) => [reduction, listSamples(Math.ceil(image.height / reduction), Math.ceil(image.width / reduction))]));
    const total = [...plans.values()].flat().length;
    let done = 0;
    const onSample = () => onShare(Math.min(++done / total, 1));
    const findings: Finding[] = [];
    for (const [reduction, samples] of plans) findings.push(await this.find(image, reduction, 0, samples, onSample));
    const reduction = chooseReduction(findings);
    const chosen = findings.find((each) => each.reduction === reduction)!;
    if (!chosen.report.isDry) {
      // Steep rain is missed most at full size, and may be found at a smaller scale instead.
      for (const { reduction, removed } of findings.slice(0, findings.indexOf(chosen) + 1)) {
        const shear = chooseShear(removed);
        if (!shear) continue;
        const sheared = await this.find(image, reduction, shear, plans.get(reduction)!, onSample);
        if (!isBetterSheared(sheared.removed, chosen.removed)) continue;
        // Each view may miss rain that the other one shows.
        const report = sheared.report.score > chosen.report.score ? sheared.report : chosen.report;
        return { report, reduction, shear, look: sheared.look };
      }
    }
    return { report: chosen.report, reduction, shear: 0, look: chosen.look };
  }

  private async find(image: Pixels, reduction: number, shear: number, samples: Sample[], onSample: () => void): Promise<Finding> {
    const multiple = this.engine.info.sizeMultiple;
    const sensed = { intensity: 0, detail: 0 };
    const cells: number[] = [];
    const thinned: Float32Array[] = [];
    const removed: Removed[] = [];
    let look: Look | null = null;
    for (const sample of samples) {
      look = await this.look(image, reduction, shear, sample);
      const [rows, columns] = [Math.ceil(sample.height / multiple), Math.ceil(sample.width / multiple)];
      const stride = look.width / multiple;
      sensed.intensity += averageIntensity(look.density!, stride, sample.height, sample.width, multiple) / samples.length;
      sensed.detail += measureDetail(look.planes, look.width, look.height, sample.height, sample.width) / samples.length;
      for (let row = 0; row < rows; row++) cells.push(...look.density!.subarray(row * stride, row * stride + columns));
      thinned.push(thinOut(look, sample));
      removed.push(sumRemoved(subtractLuma(look, sample), sample.height, sample.width));
      await nextTurn();
      onSample();
    }
    const map = Float32Array.from(cells);
    const report = makeReport({ intensity: sensed.intensity, typical: findMedian(map), strongest: averageStrongest(map), misfit: measureMisfit(thinned) });
    return { reduction, shear, ...sensed, report, removed: removed.reduce(addRemoved), look: samples.length === 1 ? look : null };
  }

  // Take all of the rain out of an image, in its place: images of phones leave no room for another.
  async derain(image: Pixels, { reduction, shear, look }: Sensing, onShare: OnShare): Promise<void> {
    const { rgba, width: row } = image;
    const multiple = this.engine.info.sizeMultiple;
    if (look) {
      const whole = { rows: { start: 0, stop: look.height }, columns: { start: 0, stop: look.width } };
      finish(rgba, 0, image, reduction, look, whole, whole);
      return;
    }
    // What is `margin` rows away is moved by as many columns, or by twice as many.
    const margin = roundUp(computeMargin(reduction, this.engine.info.margin * (1 + Math.abs(shear))), multiple);
    const [height, width] = [image.height, image.width].map((side) => roundUp(Math.ceil(side / reduction), multiple)) as [number, number];
    const side = Math.max(TILE, 3 * margin); // of a model with a large margin, or of steep rain
    const across = cutAxis(width, side, margin);
    const down = cutAxis(height, side, margin);
    let done = 0;
    let last: { band: Uint8ClampedArray; first: number } | null = null; // whose margin the next band sees
    for (const rows of down) {
      const first = rows.core.start * reduction;
      const band = rgba.slice(4 * row * first, 4 * row * rows.core.stop * reduction);
      for (const columns of across) {
        const window = { rows: rows.window, columns: columns.window };
        const planes = cutWindow(image, reduction, window);
        const [high, wide] = [rows.window.stop - rows.window.start, columns.window.stop - columns.window.start];
        const answer = await this.run(planes, high, wide, shear);
        finish(band, first, image, reduction, { planes, height: high, width: wide, ...answer }, { rows: rows.core, columns: columns.core }, window);
        await nextTurn();
        onShare(++done / (down.length * across.length));
      }
      if (last) rgba.set(last.band, 4 * row * last.first);
      last = { band, first };
    }
    rgba.set(last!.band, 4 * row * last!.first);
  }

  // Run the network on a part of the reduced image, padded to the size multiple.
  private async look(image: Pixels, reduction: number, shear: number, { top, left, height, width }: Sample): Promise<Look> {
    const multiple = this.engine.info.sizeMultiple;
    const [high, wide] = [roundUp(height, multiple), roundUp(width, multiple)];
    const planes = cutWindow(image, reduction, { rows: { start: top, stop: top + high }, columns: { start: left, stop: left + wide } });
    return { planes, height: high, width: wide, ...(await this.run(planes, high, wide, shear)) };
  }

  // Run the network on sheared planes, and shear its output back.
  private async run(planes: Uint8ClampedArray, height: number, width: number, shear: number): Promise<Answer> {
    if (!shear) return this.engine.run(planes, height, width);
    const { sizeMultiple: multiple, margin } = this.engine.info;
    const around = roundUp(margin, multiple);
    const sheared = shearPlanes(planes, height, width, shear, around);
    const { derained, density } = await this.engine.run(sheared.planes, height, sheared.width);
    const back = (output: Float32Array, cell: number) => shearBack(output, height, width, shear, around, cell);
    return { derained: back(derained, 1), density: density && back(density, multiple) };
  }
}

interface Area {
  rows: Span;
  columns: Span;
}

// Let the worker read its messages.
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

// Cut a window of the reduced image, continued by reflection; return RGB in planes.
function cutWindow({ rgba, width, height }: Pixels, reduction: number, { rows, columns }: Area): Uint8ClampedArray {
  const [top, left] = [rows.start * reduction, columns.start * reduction];
  const [high, wide] = [(rows.stop - rows.start) * reduction, (columns.stop - columns.start) * reduction];
  const pixels = new Uint32Array(rgba.buffer, rgba.byteOffset, width * height);
  const cut = new Uint32Array(wide);
  const bytes = new Uint8ClampedArray(cut.buffer);
  const inside = Math.min(wide, width - left);
  const beyond = Array.from({ length: wide - inside }, (_, each) => reflect(left + inside + each, width));
  const readRow = (row: number) => {
    const from = reflect(top + row, height) * width;
    cut.set(pixels.subarray(from + left, from + left + inside));
    beyond.forEach((column, each) => (cut[inside + each] = pixels[from + column]!));
    return bytes;
  };
  return reduceImage(readRow, wide, high, reduction);
}

// Write the core of a window into the derained image, or rows of it.
//   firstRow: of the image, which `into` begins with.
//   core, window: in pixels of the reduced image.
function finish(into: Uint8ClampedArray, firstRow: number, image: Pixels, reduction: number, look: Look, core: Area, window: Area): void {
  const { width, height, isGrey } = image;
  const rain = subtractPlanes(look);
  const area = look.height * look.width;
  const stop = { row: Math.min(core.rows.stop * reduction, height), column: Math.min(core.columns.stop * reduction, width) };
  const first = { row: core.rows.start * reduction, column: core.columns.start * reduction };
  const wide = stop.column - first.column;
  const left = core.columns.start - window.columns.start;
  const band = 256; // rows that are enlarged at once
  for (let row = first.row; row < stop.row; row += band) {
    const high = Math.min(band, stop.row - row);
    const top = row / reduction - window.rows.start;
    const part = { left, top, right: left + wide / reduction, bottom: top + high / reduction };
    const planes = [0, 1, 2].map((channel) => enlarge(rain.subarray(channel * area, (channel + 1) * area), reduction, look, part, wide, high));
    const [red, green, blue] = planes as [Float32Array, Float32Array, Float32Array];
    for (let line = 0; line < high; line++) {
      for (let column = 0; column < wide; column++) {
        const at = 4 * ((row + line - firstRow) * width + first.column + column);
        const from = line * wide + column;
        // Clamped and rounded by the array, except that the luma of grey takes colours in range.
        into[at]! -= 255 * red[from]!;
        into[at + 1]! -= 255 * green[from]!;
        into[at + 2]! -= 255 * blue[from]!;
        if (isGrey) into[at] = into[at + 1] = into[at + 2] = luma(into[at]!, into[at + 1]!, into[at + 2]!);
      }
    }
  }
}

// Bring a part of a plane to the size of the image.
function enlarge(plane: Float32Array, reduction: number, { width, height }: Look, part: Part, wide: number, high: number): Float32Array {
  if (reduction > 1) return resizePlane(plane, width, height, part, wide, high);
  const rows = new Float32Array(high * wide);
  for (let row = 0; row < high; row++) {
    const from = (part.top + row) * width + part.left;
    rows.set(plane.subarray(from, from + wide), row * wide);
  }
  return rows;
}

// Return what is removed from some pixels of a sample, and then what is left, three numbers a pixel.
// The rows take turns in the columns they give, so that no vertical streak is missed.
function thinOut({ planes, derained, height: high, width: wide }: Look, { height, width }: Sample): Float32Array {
  const places: number[] = [];
  for (let row = 0; row < height; row += ROW_STEP) {
    for (let column = (row / ROW_STEP) % COLUMN_STEP; column < width; column += COLUMN_STEP) places.push(row * wide + column);
  }
  const half = 3 * places.length;
  const thinned = new Float32Array(2 * half);
  let into = 0;
  for (const place of places) {
    for (let channel = 0; channel < 3; channel++, into++) {
      const at = channel * high * wide + place;
      thinned[into] = planes[at]! / 255 - derained[at]!;
      thinned[half + into] = derained[at]!;
    }
  }
  return thinned;
}

// Return the luma that is removed from a sample.
function subtractLuma({ planes, derained, height: high, width: wide }: Look, { height, width }: Sample): Float32Array {
  const change = new Float32Array(height * width);
  const area = high * wide;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const at = row * wide + column;
      const removed = [at, at + area, at + 2 * area].map((each) => planes[each]! / 255 - derained[each]!) as [number, number, number];
      change[row * width + column] = luma(...removed);
    }
  }
  return change;
}

function subtractPlanes({ planes, derained }: Look): Float32Array {
  const rain = new Float32Array(planes.length);
  for (let at = 0; at < rain.length; at++) rain[at] = planes[at]! / 255 - derained[at]!;
  return rain;
}

// Take out a share of the rain only; the rainy pixels become the result.
export function weaken(rainy: Uint8ClampedArray<ArrayBuffer>, derained: Uint8ClampedArray, strength: number): Uint8ClampedArray<ArrayBuffer> {
  for (let at = 0; at < rainy.length; at++) rainy[at]! += strength * (derained[at]! - rainy[at]!);
  return rainy;
}
