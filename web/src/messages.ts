// What the page and its worker say to each other. One image is in progress at a time.

import type { Device } from "./engine";
import type { Result, Wishes } from "./route";

export type Request =
  | { kind: "open"; modelUrl: string; device: Device }
  | { kind: "derain"; file: File; wishes: Wishes }
  | { kind: "cancel" };

export type Reply =
  | { kind: "opened" } // or failed to: the first image tells
  | { kind: "stage"; stage: "loading" | "working"; share: number }
  | { kind: "done"; result: Result }
  | { kind: "failed"; words: string; type: string; canRetry: boolean; isBroken: boolean };
