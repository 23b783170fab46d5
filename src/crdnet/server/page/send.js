// Sending an image to the server. This module is the seam: the app that derains in the browser
// (web/src/derain.ts) replaces `derainImage` and keeps everything else.

export class Failure extends Error {
  // canRetry: whether the same request may succeed later.
  constructor(words, { type = "", canRetry = false } = {}) {
    super(words);
    this.type = type;
    this.canRetry = canRetry;
  }
}

const RETRIES = 20;
const POLL_MILLISECONDS = 600;

// Derain an image file.
//   wishes: parameters of /v1/derain.
//   options.key: the API key, or "".
//   options.signal: an AbortSignal.
//   options.onProgress: called with { stage, share }; the stages are loading (the app), uploading,
//     waiting, working and busy (the server asked to come again later).
// Resolves to { content, density, score, probabilities, isLeftAlone, notes, seconds }: a Blob, the
// grade, null or a text of a number, [grade, probability] pairs, and so on; the app adds `engine`,
// what computed.
export async function derainImage(file, wishes, options) {
  for (let retry = 0; ; retry++) {
    try {
      return await sendOnce(file, wishes, options);
    } catch (error) {
      if (!error.retryAfter || retry >= RETRIES) throw error;
      options.onProgress({ stage: "busy", share: 0 });
      await pause(1000 * error.retryAfter, options.signal);
    }
  }
}

function sendOnce(file, wishes, { key, signal, onProgress }) {
  const request = new XMLHttpRequest(); // fetch does not report the progress of an upload
  const identifier = makeIdentifier();
  const polling = new AbortController();
  return new Promise((resolve, reject) => {
    const abort = () => request.abort();
    const fail = (...failure) => reject(new Failure(...failure));
    request.open("POST", `v1/derain?${new URLSearchParams({ ...wishes, progress: identifier })}`);
    request.responseType = "blob";
    request.setRequestHeader("Content-Type", "application/octet-stream");
    if (key) request.setRequestHeader("Authorization", `Bearer ${key}`);
    request.upload.onprogress = (event) =>
      event.lengthComputable && onProgress({ stage: "uploading", share: event.loaded / event.total });
    request.upload.onload = () => pollProgress(identifier, key, polling.signal, onProgress);
    request.onerror = () => fail("The server cannot be reached, or it ended the connection.", { canRetry: true });
    request.onabort = () => fail("Cancelled.", { canRetry: true });
    request.onload = async () => {
      if (request.status === 200) resolve(readResult(request));
      else reject(await readProblem(request));
    };
    request.onloadend = () => {
      polling.abort();
      signal.removeEventListener("abort", abort);
    };
    signal.addEventListener("abort", abort);
    if (signal.aborted) fail("Cancelled.", { canRetry: true });
    else request.send(file);
  });
}

function readResult(request) {
  const header = (name) => request.getResponseHeader(name) || "";
  const [, taken] = /total;dur=([\d.]+)/.exec(header("Server-Timing")) || [];
  return {
    content: request.response,
    density: header("X-Rain-Density") || "unknown",
    score: header("X-Rain-Score") || null,
    probabilities: header("X-Rain-Probabilities").split(", ").filter(Boolean).map((each) => each.split("=")),
    isLeftAlone: header("X-Rain-Left-Alone") === "true",
    notes: header("X-Notes"),
    seconds: taken ? taken / 1000 : null,
  };
}

async function readProblem(request) {
  let problem = {};
  try {
    problem = JSON.parse(await request.response.text());
  } catch { /* a proxy's answer, not ours */ }
  const detail = problem.detail || `the server answered ${request.status}`;
  const words = `${detail[0].toUpperCase()}${detail.slice(1)}.`;
  const canRetry = [401, 408, 429].includes(request.status) || request.status >= 500;
  const failure = new Failure(words, { type: problem.type, canRetry });
  failure.retryAfter = Number(request.getResponseHeader("Retry-After"));
  return failure;
}

async function pollProgress(identifier, key, signal, onProgress) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  onProgress({ stage: "waiting", share: 0 });
  try {
    for (;;) {
      const answer = await fetch(`v1/progress/${identifier}`, { headers, signal });
      const { state, tiles_done, tiles } = await answer.json();
      if (signal.aborted) return;
      if (state !== "unknown") onProgress({ stage: state, share: tiles ? tiles_done / tiles : 0 });
      await pause(POLL_MILLISECONDS, signal);
    }
  } catch { /* the request has ended, or its progress stays unknown */ }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const cancel = () => {
      clearTimeout(timer);
      reject(new Failure("Cancelled.", { canRetry: true }));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", cancel); // a long request pauses thousands of times
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", cancel);
  });
}

// crypto.randomUUID is missing on pages without TLS.
function makeIdentifier() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
