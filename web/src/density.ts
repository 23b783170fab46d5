// Density of rain from the map of intensities: the rules of crdnet.density and
// crdnet.runtime.sensing, with their numbers.

import { roundHalfEven } from "./sizes";

export const GRADES = ["none", "light", "medium", "heavy"] as const;
export const INTENSITY_THRESHOLDS = [1, 10, 30] as const;
const TEMPERATURE = 0.15;
const STRONGEST_SHARE = 0.05;
const SCORE_MIDDLE = 10;
const VISIBLE_TYPICAL = 0.5;
const VISIBLE_MEAN = 2;
const VISIBLE_STRONGEST = 30;
const DRY_MEAN = 0.8;
const DRY_STRONGEST = 8;
const SURE = 0.7;

export interface Sensed {
  intensity: number; // mean change of luma that the rain makes, in grey levels of 255
  typical: number; // median of the cells of the map
  strongest: number; // mean of the strongest cells
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

export function makeReport({ intensity, typical, strongest }: Sensed): Report {
  const visible = INTENSITY_THRESHOLDS[0] * Math.max(typical / VISIBLE_TYPICAL, intensity / VISIBLE_MEAN, strongest / VISIBLE_STRONGEST);
  const [light, medium, heavy] = INTENSITY_THRESHOLDS.map((threshold, grade) => computeReached(grade ? intensity : visible, threshold)) as [number, number, number];
  const reached = [1, Math.max(light, medium), medium, heavy, 0];
  const probabilities = GRADES.map((name, grade): [string, number] => [name, reached[grade]! - reached[grade + 1]!]);
  const grade = INTENSITY_THRESHOLDS.filter((threshold) => intensity >= threshold).length;
  const isFaint = intensity < DRY_MEAN && strongest < DRY_STRONGEST;
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
