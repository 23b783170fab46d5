// The model on onnxruntime-web. A session computes one shape: dynamic shapes leak memory in that
// runtime (onnxruntime#29016).

import type * as Ort from "onnxruntime-web";
import gpuLoaderUrl from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url";
import gpuBinaryUrl from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url";
import loaderUrl from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import binaryUrl from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import { Failure } from "./failure";
import { type ModelInfo, readModelInfo } from "./model";

export interface Answer {
  derained: Float32Array; // RGB in planes, not clipped
  density: Float32Array | null; // intensity in each cell of sizeMultiple squared pixels
}

// auto: the GPU if there is one that computes the same, else the processor.
export type Device = "auto" | "webgpu" | "wasm";

type Provider = "webgpu" | "wasm";

// A module with an instruction of SIMD (i8x16.popcnt).
const SIMD = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11);
const MOST_THREADS = 4;
const MOST_SESSIONS = 3; // an image needs its tiles and its samples; a small one each of its scales
const CHECKED_SIDE = 64; // pixels, up to a multiple of the model's
const MOST_DIFFERENCE = 0.5 / 255; // of the GPU from the processor

export class Engine {
  private readonly sessions = new Map<string, Ort.InferenceSession>(); // the last used is last
  private spare: Ort.InferenceSession | null = null; // has computed nothing yet

  private constructor(
    private readonly runtime: typeof Ort,
    private readonly file: Uint8Array,
    readonly info: ModelInfo,
    private readonly provider: Provider,
  ) {}

  // Load the model and the runtime, which the browser keeps after the first time.
  static async open(modelUrl: string, device: Device): Promise<Engine> {
    if (typeof WebAssembly !== "object" || !WebAssembly.validate(SIMD)) {
      throw new Failure("This browser has no WebAssembly with SIMD, which the network needs; use a current version of Chrome, Edge, Firefox or Safari.");
    }
    const [file, runtime] = await Promise.all([loadModel(modelUrl), import("onnxruntime-web/wasm")]);
    const info = readModelInfo(file);
    const onGpu = device !== "wasm" && (await hasGpu(device)) ? await openOnGpu(file, info) : null;
    if (onGpu) return onGpu;
    configure(runtime, loaderUrl, binaryUrl);
    const engine = Engine.make(runtime, file, info, "wasm");
    engine.spare = await engine.createSession(); // compiles the runtime before an image comes
    return engine;
  }

  static make(runtime: typeof Ort, file: Uint8Array, info: ModelInfo, provider: Provider): Engine {
    return new Engine(runtime, file, info, provider);
  }

  // What computes, in words.
  get name(): string {
    const threads = this.runtime.env.wasm.numThreads ?? 1;
    if (this.provider === "webgpu") return "WebGPU";
    return `WebAssembly with ${threads} thread${threads > 1 ? "s" : ""}`;
  }

  // Run the network on RGB of 8 bits in planes; both sides are multiples of the size multiple.
  async run(planes: Uint8ClampedArray, height: number, width: number): Promise<Answer> {
    const session = await this.prepare(height, width);
    const colours = new Float32Array(planes.length);
    for (let at = 0; at < planes.length; at++) colours[at] = planes[at]! / 255;
    const rainy = new this.runtime.Tensor("float32", colours, [1, 3, height, width]);
    const start = performance.now();
    const { derained, density } = await session.run({ rainy });
    performance.measure(`network ${height} x ${width}`, { start });
    return { derained: derained!.data as Float32Array, density: density ? (density.data as Float32Array) : null };
  }

  async release(): Promise<void> {
    for (const session of this.sessions.values()) await session.release();
    this.sessions.clear();
  }

  private async prepare(height: number, width: number): Promise<Ort.InferenceSession> {
    const shape = `${height} x ${width}`;
    let session = this.sessions.get(shape);
    this.sessions.delete(shape);
    if (!session) {
      if (this.sessions.size === MOST_SESSIONS) {
        const [oldest, unused] = this.sessions.entries().next().value!;
        this.sessions.delete(oldest);
        await unused.release();
      }
      session = this.spare ?? (await this.createSession());
      this.spare = null;
    }
    this.sessions.set(shape, session);
    return session;
  }

  private createSession(): Promise<Ort.InferenceSession> {
    const extra = { session: { intra_op: { allow_spinning: "0" } } }; // threads that wait take the time of those that work
    const options = { executionProviders: [this.provider], enableCpuMemArena: false, extra };
    return this.runtime.InferenceSession.create(this.file, options);
  }
}

async function loadModel(url: string): Promise<Uint8Array> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`The model cannot be loaded (${answer.status}); load the page again.`);
  return new Uint8Array(await answer.arrayBuffer());
}

function configure(runtime: typeof Ort, loader: string, binary: string): void {
  runtime.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
  runtime.env.wasm.wasmPaths = { mjs: new URL(loader, location.href).href, wasm: new URL(binary, location.href).href };
}

interface Gpu {
  requestAdapter(): Promise<{ info: { isFallbackAdapter?: boolean } } | null>;
}

// Whether there is a GPU; one that the browser imitates is slower than the processor.
async function hasGpu(device: Device): Promise<boolean> {
  const { gpu } = navigator as { gpu?: Gpu };
  const adapter = await gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter) && (device === "webgpu" || !adapter!.info.isFallbackAdapter);
}

// Return an engine on the GPU, or null where it fails or computes something else: drivers differ.
async function openOnGpu(file: Uint8Array, info: ModelInfo): Promise<Engine | null> {
  try {
    const runtime = await import("onnxruntime-web/webgpu");
    configure(runtime, gpuLoaderUrl, gpuBinaryUrl);
    const onGpu = Engine.make(runtime, file, info, "webgpu");
    const onProcessor = Engine.make(runtime, file, info, "wasm");
    const difference = await compare(onGpu, onProcessor, Math.ceil(CHECKED_SIDE / info.sizeMultiple) * info.sizeMultiple);
    await onProcessor.release();
    return difference <= MOST_DIFFERENCE ? onGpu : null;
  } catch {
    return null;
  }
}

// Return the largest difference of two engines' colours on a pattern.
async function compare(one: Engine, other: Engine, side: number): Promise<number> {
  const pattern = Uint8ClampedArray.from({ length: 3 * side * side }, (_, at) => (at * 73) % 251);
  const first = await one.run(pattern, side, side);
  const second = await other.run(pattern, side, side);
  return first.derained.reduce((most, each, at) => Math.max(most, Math.abs(each - second.derained[at]!)), 0);
}
