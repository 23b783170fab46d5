// Bicubic interpolation as Pillow computes it, so that the network sees the same pixels as in Python.
// Source: Pillow, src/libImaging/Resample.c.

interface Taps {
  first: number; // sample that the first weight belongs to
  weights: Float64Array;
}

const SUPPORT = 2;
const FIXED = 1 << 22; // Pillow's fixed point for 8 bits

function bicubic(x: number): number {
  const a = -0.5;
  const distance = Math.abs(x);
  if (distance < 1) return ((a + 2) * distance - (a + 3)) * distance * distance + 1;
  if (distance < 2) return (((distance - 5) * distance + 8) * distance - 4) * a;
  return 0;
}

// Return the weights for each of `size` samples made of the part from `begin` to `end` of `length`.
function listTaps(length: number, begin: number, end: number, size: number): Taps[] {
  const scale = (end - begin) / size;
  const stretch = Math.max(scale, 1);
  const support = SUPPORT * stretch;
  return Array.from({ length: size }, (_, place) => {
    const middle = begin + (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(middle - support + 0.5));
    const last = Math.min(length, Math.trunc(middle + support + 0.5));
    const weights = Float64Array.from({ length: last - first }, (_, each) => bicubic((each + first - middle + 0.5) / stretch));
    const sum = weights.reduce((total, each) => total + each, 0);
    return { first, weights: weights.map((each) => each / sum) };
  });
}

// Reduce RGBA of 8 bits by a whole factor; return RGB in planes, 8 bits.
//   readRow: returns a row of RGBA; what it returned before may change.
export function reduceImage(readRow: (row: number) => Uint8ClampedArray, width: number, height: number, factor: number): Uint8ClampedArray {
  const [wide, high] = [width / factor, height / factor];
  const planes = new Uint8ClampedArray(3 * high * wide);
  if (factor === 1) {
    for (let row = 0; row < high; row++) {
      const rgba = readRow(row);
      for (let channel = 0; channel < 3; channel++) {
        for (let column = 0; column < wide; column++) planes[(channel * high + row) * wide + column] = rgba[4 * column + channel]!;
      }
    }
    return planes;
  }
  const across = listTaps(width, 0, width, wide).map(fixWeights);
  const down = listTaps(height, 0, height, high).map(fixWeights);
  const rows = new Uint8ClampedArray(3 * height * wide);
  for (let row = 0; row < height; row++) {
    const rgba = readRow(row);
    for (let column = 0; column < wide; column++) {
      const { first, weights } = across[column]!;
      for (let channel = 0; channel < 3; channel++) {
        let sum = FIXED / 2;
        let at = 4 * first + channel;
        for (let tap = 0; tap < weights.length; tap++, at += 4) sum += weights[tap]! * rgba[at]!;
        rows[(channel * height + row) * wide + column] = Math.floor(sum / FIXED);
      }
    }
  }
  for (let channel = 0; channel < 3; channel++) {
    for (let row = 0; row < high; row++) {
      const { first, weights } = down[row]!;
      for (let column = 0; column < wide; column++) {
        let sum = FIXED / 2;
        let at = (channel * height + first) * wide + column;
        for (let tap = 0; tap < weights.length; tap++, at += wide) sum += weights[tap]! * rows[at]!;
        planes[(channel * high + row) * wide + column] = Math.floor(sum / FIXED);
      }
    }
  }
  return planes;
}

function fixWeights({ first, weights }: Taps): Taps {
  return { first, weights: weights.map((each) => Math.trunc(each * FIXED + (each < 0 ? -0.5 : 0.5))) };
}

// Part of a plane, in its pixels; it need not lie on whole pixels.
export interface Part {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

// Resize a part of a plane of floats; pixels around the part are read too, so that parts join.
export function resizePlane(plane: Float32Array, width: number, height: number, part: Part, wide: number, high: number): Float32Array {
  const across = listTaps(width, part.left, part.right, wide);
  const down = listTaps(height, part.top, part.bottom, high);
  const top = down[0]!.first;
  const bottom = down[high - 1]!.first + down[high - 1]!.weights.length;
  const rows = new Float32Array((bottom - top) * wide);
  for (let row = top; row < bottom; row++) {
    for (let column = 0; column < wide; column++) {
      const { first, weights } = across[column]!;
      let sum = 0;
      for (let tap = 0; tap < weights.length; tap++) sum += weights[tap]! * plane[row * width + first + tap]!;
      rows[(row - top) * wide + column] = sum;
    }
  }
  const resized = new Float32Array(high * wide);
  for (let row = 0; row < high; row++) {
    const { first, weights } = down[row]!;
    for (let column = 0; column < wide; column++) {
      let sum = 0;
      for (let tap = 0; tap < weights.length; tap++) sum += weights[tap]! * rows[(first - top + tap) * wide + column]!;
      resized[row * wide + column] = sum;
    }
  }
  return resized;
}
