// The model on onnxruntime-web. A session computes one shape: dynamic shapes leak memory in that
// runtime (onnxruntime#29016).

import * as ort from "onnxruntime-web/wasm";
import loaderUrl from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import binaryUrl from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import { type ModelInfo, readModelInfo } from "./model";

export interface Answer {
  derained: Float32Array; // RGB in planes, not clipped
  density: Float32Array | null; // intensity in each cell of sizeMultiple squared pixels
}

const MOST_THREADS = 4;
const MOST_SESSIONS = 3; // an image needs its tiles and its samples; a small one each of its scales

export class Engine {
  private readonly sessions = new Map<string, ort.InferenceSession>(); // the last used is last

  private constructor(
    private readonly file: Uint8Array,
    readonly info: ModelInfo,
  ) {}

  // Load the model and the runtime, which the browser keeps after the first time.
  static async open(modelUrl: string): Promise<Engine> {
    ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
    ort.env.wasm.wasmPaths = { mjs: new URL(loaderUrl, location.href).href, wasm: new URL(binaryUrl, location.href).href };
    const answer = await fetch(modelUrl);
    if (!answer.ok) throw new Error(`The model cannot be loaded (${answer.status}); load the page again.`);
    const file = new Uint8Array(await answer.arrayBuffer());
    return new Engine(file, readModelInfo(file));
  }

  get threads(): number {
    return ort.env.wasm.numThreads ?? 1;
  }

  // Run the network on RGB of 8 bits in planes; both sides are multiples of the size multiple.
  async run(planes: Uint8ClampedArray, height: number, width: number): Promise<Answer> {
    const session = await this.prepare(height, width);
    const rainy = new ort.Tensor("float32", Float32Array.from(planes, (level) => level / 255), [1, 3, height, width]);
    const { derained, density } = await session.run({ rainy });
    return { derained: derained!.data as Float32Array, density: density ? (density.data as Float32Array) : null };
  }

  private async prepare(height: number, width: number): Promise<ort.InferenceSession> {
    const shape = `${height} x ${width}`;
    const known = this.sessions.get(shape);
    this.sessions.delete(shape);
    if (!known && this.sessions.size === MOST_SESSIONS) {
      const [oldest, session] = this.sessions.entries().next().value!;
      this.sessions.delete(oldest);
      await session.release();
    }
    const session = known ?? (await ort.InferenceSession.create(this.file, { executionProviders: ["wasm"], enableCpuMemArena: false }));
    this.sessions.set(shape, session);
    return session;
  }
}
