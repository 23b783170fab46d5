// Shears that make steep rain fall nearly straight down: the rules of crdnet.runtime.direction.

import { modulo, reflect } from "./sizes";

const SHEARS = [[26, 1], [54, 2]] as const;
const STEEPEST = 72;
const LEAST_REMOVED = 0.6;
const LEAST_BRIGHT = 0.85;

// Sums over the luma that the network removes from parts of an image.
export interface Removed {
  pixels: number;
  light: number;
  amount: number; // absolute
  straight: number; // of the structure tensor, as is `diagonal`
  diagonal: number;
}

// Sum up a change of luma, height x width.
export function sumRemoved(change: Float32Array, height: number, width: number): Removed {
  const sums = { pixels: height * width, light: 0, amount: 0, straight: 0, diagonal: 0 };
  for (const each of change) {
    sums.light += each;
    sums.amount += Math.abs(each);
  }
  for (let row = 1; row < height - 1; row++) {
    for (let at = row * width + 1; at < (row + 1) * width - 1; at++) {
      const down = change[at + width]! - change[at - width]!;
      const across = change[at + 1]! - change[at - 1]!;
      sums.straight += across ** 2 - down ** 2;
      sums.diagonal += across * down;
    }
  }
  return sums;
}

export function addRemoved(one: Removed, other: Removed): Removed {
  const { pixels, light, amount, straight, diagonal } = other;
  return { pixels: one.pixels + pixels, light: one.light + light, amount: one.amount + amount, straight: one.straight + straight, diagonal: one.diagonal + diagonal };
}

// Return the columns by which each row is shifted against the row above it; 0 for rain that needs none.
export function chooseShear({ straight, diagonal }: Removed): number {
  const angle = (-Math.atan2(2 * diagonal, straight) * 90) / Math.PI; // from straight down
  if (Math.abs(angle) >= STEEPEST) return 0;
  const size = SHEARS.findLast(([least]) => Math.abs(angle) >= least)?.[1] ?? 0;
  return angle > 0 ? size : -size;
}

export function isBetterSheared(sheared: Removed, unsheared: Removed): boolean {
  const isBright = sheared.light >= LEAST_BRIGHT * sheared.amount;
  return isBright && sheared.amount / sheared.pixels > (LEAST_REMOVED * unsheared.amount) / unsheared.pixels;
}

// Shear planes (channels, height, width) for the network. Reflected columns keep the ends of the
// rotated rows away from the image, and repeated ones the border of the sheared image.
//   margin: of the network, in pixels of the planes.
export function shearPlanes(planes: Uint8ClampedArray, height: number, width: number, shear: number, margin: number): { planes: Uint8ClampedArray; width: number } {
  const [left, around] = measurePadding(width, shear, margin);
  const wide = around + 2 * margin;
  const sheared = new Uint8ClampedArray((planes.length / width) * wide);
  for (let line = 0; line < planes.length / width; line++) {
    const shift = shear * (line % height);
    for (let column = 0; column < wide; column++) {
      const place = modulo(column - margin + shift, around) - left;
      sheared[line * wide + column] = planes[line * width + reflect(place, width)]!;
    }
  }
  return { planes: sheared, width: wide };
}

// Shear planes of the network's output back; undoes `shearPlanes`.
//   cell: pixels on a side of a value of the planes: 1 for colours, the size multiple for densities.
export function shearBack(planes: Float32Array, height: number, width: number, shear: number, margin: number, cell: number): Float32Array {
  const [high, wide] = [height / cell, width / cell];
  const [left, around] = measurePadding(width, shear, margin).map((pixels) => pixels / cell) as [number, number];
  const whole = around + (2 * margin) / cell;
  const back = new Float32Array((planes.length / whole) * wide);
  for (let line = 0; line < planes.length / whole; line++) {
    const shift = shear * (line % high);
    for (let column = 0; column < wide; column++) {
      back[line * wide + column] = planes[line * whole + margin / cell + modulo(column + left - shift, around)]!;
    }
  }
  return back;
}

// Return the reflected columns on each side, and the length of a row with both.
function measurePadding(width: number, shear: number, margin: number): [number, number] {
  const left = margin * (1 + Math.abs(shear));
  return [left, width + 2 * left];
}
