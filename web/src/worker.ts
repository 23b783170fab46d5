// The worker that derains images one after the other, so that the page goes on answering.

import { isClip } from "./containers/header";
import { type Device, Engine } from "./engine";
import { Failure } from "./failure";
import type { Reply, Request } from "./messages";
import { Network } from "./network";
import { derainFile, type Wishes } from "./route";

let opening: Promise<Network>; // of the first message
let isCancelled = false;

function reply(message: Reply): void {
  postMessage(message);
}

async function openNetwork(modelUrl: string, device: Device): Promise<Network> {
  return new Network(await Engine.open(modelUrl, device));
}

async function derain(file: File, wishes: Wishes): Promise<void> {
  isCancelled = false;
  try {
    reply({ kind: "stage", stage: "loading", share: 0 });
    const network = await opening;
    reply({ kind: "stage", stage: "working", share: 0 });
    const start = new Uint8Array(await file.slice(0, 64).arrayBuffer());
    const work = isClip(start) ? (await import("./clip")).derainClip : derainFile; // most visitors have no clip
    const result = await work(network, file, wishes, (share) => {
      if (isCancelled) throw new Failure("Cancelled.", { canRetry: true });
      reply({ kind: "stage", stage: "working", share });
    });
    reply({ kind: "done", result });
  } catch (error) {
    reply({ kind: "failed", ...describeError(error) });
  }
}

// Whatever is not a failure of the image may have left the runtime unusable: the page then starts
// another worker.
function describeError(error: unknown) {
  if (error instanceof Failure) return { words: error.message, type: error.type, canRetry: error.canRetry, isBroken: false };
  const text = error instanceof Error ? error.message : String(error);
  const isMemory = error instanceof RangeError || /memory|bad_alloc|allocat|abort/i.test(text);
  const words = isMemory
    ? "The memory that this browser grants is used up. Close other tabs and try again, or reduce the image."
    : `The file could not be derained: ${text.split("\n")[0]}`;
  return { words, type: "", canRetry: true, isBroken: true };
}

onmessage = ({ data }: MessageEvent<Request>) => {
  if (data.kind === "cancel") isCancelled = true;
  else if (data.kind === "open") {
    opening = openNetwork(data.modelUrl, data.device);
    opening.catch(() => {}).then(() => reply({ kind: "opened" }));
  }
  else void derain(data.file, data.wishes);
};
