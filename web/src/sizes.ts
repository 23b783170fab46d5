// Sizes that the network accepts, and tiles of one fixed size: the rules of crdnet.sizes and
// crdnet.tiling.

export interface Span {
  start: number;
  stop: number;
}

export interface Window {
  core: Span; // part of the result that the window computes
  window: Span; // input of the network: the core and its margin
}

export function roundUp(pixels: number, multiple: number): number {
  return Math.ceil(pixels / multiple) * multiple;
}

// Python rounds halves to the even neighbour, and the places of samples follow from it.
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

export function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}

// Position in 0 1 2 1 0 1 ... of a coordinate that may lie beyond either end.
export function reflect(position: number, size: number): number {
  if (size === 1) return 0;
  const period = 2 * (size - 1);
  const folded = modulo(position, period);
  return Math.min(folded, period - folded);
}

// Cut one axis into windows of `side`, or one window of the whole length if it is shorter.
//   length, side, margin: multiples of the size multiple.
// A window ends at the border, so that the network's own zero padding lies where it does for the
// whole image.
export function cutAxis(length: number, side: number, margin: number): Window[] {
  if (length <= side) {
    const whole = { start: 0, stop: length };
    return [{ core: whole, window: whole }];
  }
  const windows: Window[] = [];
  let done = 0;
  for (let start = 0; done < length; start = Math.min(start + side - 2 * margin, length - side)) {
    const stop = start + side === length ? length : start + side - margin;
    windows.push({ core: { start: done, stop }, window: { start, stop: start + side } });
    done = stop;
  }
  return windows;
}
