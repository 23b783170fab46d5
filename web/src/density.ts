// Density of rain from the map of intensities: the rules of crdnet.density and
// crdnet.runtime.sensing, with their numbers.

import { roundHalfEven } from "./sizes";

export const GRADES = ["none", "light", "medium", "heavy"] as const;
export const INTENSITY_THRESHOLDS = [1, 10, 30] as const;
const TEMPERATURE = 0.15;
const STRONGEST_SHARE = 0.05;
const SCORE_MIDDLE = 10;
const VISIBLE_TYPICAL = 0.34;
const VISIBLE_MEAN = 2;
const VISIBLE_STRONGEST = 30;
const DRY_MEAN = 0.8;
const DRY_STRONGEST = 8;
const SURE = 0.9;
const LEAST_ROOM = 0.1;
const CHANCE = 0.03 / 255;
const LIGHT_TINT = 0.1;
const LEAST_MISFIT = 0.2;
const MISFIT_EXPONENT = 2;
const LEAST_WEIGHT = 0.05;

const CHANNELS = [0, 1, 2] as const;

type Colour = [number, number, number];

export interface Sensed {
  intensity: number; // mean change of luma that the rain makes, in grey levels of 255
  typical: number; // median of the cells of the map
  strongest: number; // mean of the strongest cells
  misfit: number; // of what is removed, see measureMisfit
}

export interface Report {
  density: string; // one of GRADES
  score: number;
  probabilities: [string, number][];
  isDry: boolean;
}

export function luma(red: number, green: number, blue: number): number {
  return 0.299 * red + 0.587 * green + 0.114 * blue;
}

// Return the mean of a map of cells, each weighted by its pixels in the image.
export function averageIntensity(cells: Float32Array, columns: number, height: number, width: number, cell: number): number {
  let sum = 0;
  for (let row = 0; row * cell < height; row++) {
    const down = Math.min(height - row * cell, cell);
    for (let column = 0; column * cell < width; column++) {
      sum += down * Math.min(width - column * cell, cell) * cells[row * columns + column]!;
    }
  }
  return sum / (height * width);
}

export function averageStrongest(cells: Float32Array): number {
  const count = Math.max(1, roundHalfEven(STRONGEST_SHARE * cells.length));
  return cells.slice().sort().subarray(-count).reduce((sum, each) => sum + each, 0) / count;
}

export function findMedian(cells: Float32Array): number {
  const sorted = cells.slice().sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

// Return how far changes are from what rain makes of backgrounds: crdnet.density.measure_misfit.
// Each part holds changes and then backgrounds, three numbers a pixel, in units of white.
export function measureMisfit(parts: Float32Array[]): number {
  const wanted: Colour = [0, 0, 0];
  let [squares, brightness, count] = [0, 0, 0];
  for (const part of parts) {
    forEachPixel(part, (change, colour, opacity) => {
      count++;
      squares += opacity * opacity;
      brightness += Math.abs(luma(change[0], change[1], change[2]));
      for (const channel of CHANNELS) wanted[channel] += opacity * (change[channel] + opacity * colour[channel]);
    });
  }
  if (!brightness) return Infinity;
  const middle = luma(...wanted);
  const light = wanted.map((sum) => 1 + Math.min(Math.max((sum - middle) / squares, -LIGHT_TINT), LIGHT_TINT));
  let deviation = 0;
  for (const part of parts) {
    forEachPixel(part, (change, colour, opacity) => {
      for (const channel of CHANNELS) deviation += Math.abs(change[channel] - opacity * (light[channel]! - colour[channel])) / 3;
    });
  }
  return (deviation + CHANCE * count) / brightness;
}

// Call `take` with the change of each pixel, its background, and the opacity that follows from both.
function forEachPixel(part: Float32Array, take: (change: Colour, colour: Colour, opacity: number) => void): void {
  const half = part.length / 2;
  const [change, colour]: [Colour, Colour] = [[0, 0, 0], [0, 0, 0]];
  for (let at = 0; at < half; at += 3) {
    for (let channel = 0; channel < 3; channel++) {
      change[channel] = part[at + channel]!;
      colour[channel] = Math.min(Math.max(part[half + at + channel]!, 0), 1);
    }
    const room = Math.max(1 - luma(colour[0], colour[1], colour[2]), LEAST_ROOM);
    take(change, colour, luma(change[0], change[1], change[2]) / room);
  }
}

export function makeReport({ intensity, typical, strongest, misfit }: Sensed): Report {
  const weight = misfit <= LEAST_MISFIT ? 1 : Math.max(LEAST_WEIGHT, (LEAST_MISFIT / misfit) ** MISFIT_EXPONENT);
  const visible = weight * INTENSITY_THRESHOLDS[0] * Math.max(typical / VISIBLE_TYPICAL, intensity / VISIBLE_MEAN, strongest / VISIBLE_STRONGEST);
  const [light, medium, heavy] = INTENSITY_THRESHOLDS.map((threshold, grade) => computeReached(grade ? intensity : visible, threshold)) as [number, number, number];
  const reached = [1, Math.max(light, medium), medium, heavy, 0];
  const probabilities = GRADES.map((name, grade): [string, number] => [name, reached[grade]! - reached[grade + 1]!]);
  const grade = INTENSITY_THRESHOLDS.filter((threshold) => intensity >= threshold).length;
  const isFaint = weight * intensity < DRY_MEAN && weight * strongest < DRY_STRONGEST;
  return {
    density: GRADES[visible >= INTENSITY_THRESHOLDS[0] ? Math.max(grade, 1) : 0]!,
    score: intensity / (intensity + SCORE_MIDDLE),
    probabilities,
    isDry: isFaint && probabilities[0]![1] >= SURE,
  };
}

// Return the probability that the rain reaches a threshold.
function computeReached(intensity: number, threshold: number): number {
  return 1 / (1 + Math.exp((Math.log1p(threshold) - Math.log1p(intensity)) / TEMPERATURE));
}
