// Choice of the scale at which an image is derained: the rules of crdnet.runtime.scales.

import { INTENSITY_THRESHOLDS, luma } from "./density";
import { resizePlane } from "./resize";
import { roundHalfEven } from "./sizes";

const REDUCTIONS = [1, 2, 4, 8];
const SMALLEST_SIDE = 128;
const NEARLY_ALL = 0.8;
const LOOKALIKE_INTENSITY = 2.0;
const LEAST_SHARE = 0.5;
const EMPTY = 0.45;
const LEAST_DETAIL = 0.3;
const WHOLE_LOOK_PIXELS = 2 ** 19;
const SAMPLES = 3;
const SAMPLE_SIDE = 160;
const RESIZED_REACH = 2;

export interface Sample {
  top: number; // in pixels of the reduced image, as all of these
  left: number;
  height: number;
  width: number;
}

export function listReductions(height: number, width: number): number[] {
  return REDUCTIONS.filter((each) => each === 1 || Math.min(height, width) >= each * SMALLEST_SIDE);
}

// Return the parts to look at in an image of this size: all of it, or evenly spaced samples.
export function listSamples(height: number, width: number): Sample[] {
  if (height * width <= WHOLE_LOOK_PIXELS) return [{ top: 0, left: 0, height, width }];
  const high = Math.min(SAMPLE_SIDE, height);
  const wide = Math.min(SAMPLE_SIDE, width);
  const place = (room: number) => Array.from({ length: SAMPLES }, (_, each) => roundHalfEven((room * (2 * each + 1)) / (2 * SAMPLES)));
  return place(height - high).flatMap((top) => place(width - wide).map((left) => ({ top, left, height: high, width: wide })));
}

// Return the detail that halving an image loses: mean change of luma in grey levels of 255.
//   planes: RGB of 8 bits; only the part height x width of each is looked at.
export function measureDetail(planes: Uint8ClampedArray, stride: number, rows: number, height: number, width: number): number {
  const [high, wide] = [height - (height % 2), width - (width % 2)];
  if (!high || !wide) return 0;
  const whole = new Float32Array(high * wide);
  for (let row = 0; row < high; row++) {
    for (let column = 0; column < wide; column++) {
      const at = row * stride + column;
      whole[row * wide + column] = luma(planes[at]!, planes[at + rows * stride]!, planes[at + 2 * rows * stride]!) / 255;
    }
  }
  const half = resizePlane(whole, wide, high, { left: 0, top: 0, right: wide, bottom: high }, wide / 2, high / 2);
  for (let at = 0; at < half.length; at++) half[at] = Math.min(Math.max(half[at]!, 0), 1);
  const back = resizePlane(half, wide / 2, high / 2, { left: 0, top: 0, right: wide / 2, bottom: high / 2 }, wide, high);
  return (255 * whole.reduce((sum, each, at) => sum + Math.abs(each - back[at]!), 0)) / whole.length;
}

export interface Finding {
  reduction: number;
  intensity: number;
  detail: number;
}

// Choose among findings in ascending order of their reduction.
export function chooseReduction(findings: Finding[]): number {
  const isEmpty = (each: Finding, place: number) => {
    const coarse = findings[place + 1];
    return coarse !== undefined && coarse.detail >= LEAST_DETAIL && each.detail < EMPTY * coarse.detail;
  };
  const seen = findings.slice(findings.findLastIndex(isEmpty) + 1);
  const strongest = Math.max(...seen.map((each) => each.intensity));
  const least = Math.max(LEAST_SHARE * strongest, NEARLY_ALL * strongest - LOOKALIKE_INTENSITY);
  return seen.find((each) => each.intensity >= least || least < INTENSITY_THRESHOLDS[0])!.reduction;
}

// Return the margin of a tile, in pixels of the reduced image.
export function computeMargin(reduction: number, margin: number): number {
  return reduction === 1 ? margin : margin + RESIZED_REACH;
}
