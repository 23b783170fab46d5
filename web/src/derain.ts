// Deraining an image on this device. This module takes the place of the server's send.js.

import { Failure } from "./failure";
import type { Reply } from "./messages";
import type { Wishes } from "./route";

export { Failure };

interface Options {
  signal: AbortSignal;
  onProgress: (progress: { stage: string; share: number }) => void;
}

let worker: Worker | null = null;
let inProgress: Promise<unknown> = Promise.resolve();

function getWorker(): Worker {
  if (worker) return worker;
  worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  // ?device=wasm keeps away from a GPU whose driver misbehaves.
  const device = new URLSearchParams(location.search).get("device") ?? "auto";
  worker.postMessage({ kind: "open", modelUrl: new URL("default.onnx", document.baseURI).href, device });
  return worker;
}

// Load the runtime and the model before the first image comes, and wait for an image that came
// nevertheless; failures are told to that image.
export async function warmUp(): Promise<void> {
  const using = getWorker();
  await new Promise((resolve) => {
    using.addEventListener("message", ({ data }: MessageEvent<Reply>) => data.kind === "opened" && resolve(null));
    using.addEventListener("error", resolve);
  });
  await inProgress;
}

// Derain an image file; see send.js for arguments and result.
export function derainImage(file: File, wishes: Wishes, { signal, onProgress }: Options) {
  const began = performance.now();
  const using = getWorker();
  const cancel = () => using.postMessage({ kind: "cancel" });
  const result = new Promise((resolve, reject) => {
    using.onmessage = ({ data }: MessageEvent<Reply>) => {
      if (data.kind === "stage") onProgress(data);
      else if (data.kind === "failed") {
        if (data.isBroken) abandonWorker();
        reject(new Failure(data.words, data));
      } else if (data.kind === "done") {
        const { content, report, isLeftAlone, notes, engine } = data.result;
        const seconds = (performance.now() - began) / 1000;
        resolve({ content, density: report?.density ?? "unknown", score: report?.score.toFixed(4) ?? null, probabilities: report?.probabilities ?? [], isLeftAlone, notes, engine, seconds });
      }
    };
    using.onerror = (event) => {
      abandonWorker();
      reject(new Failure(`This browser cannot run the page's worker${event.message ? ` (${event.message})` : ""}; load the page again, or use another browser.`, { canRetry: true }));
    };
    signal.addEventListener("abort", cancel);
    using.postMessage({ kind: "derain", file, wishes });
  }).finally(() => signal.removeEventListener("abort", cancel));
  inProgress = result.catch(() => {});
  return result;
}

// End a worker whose runtime may be unusable; the next image starts another.
function abandonWorker(): void {
  worker?.terminate();
  worker = null;
}
