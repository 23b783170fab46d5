// The service worker: keeps all files of the app, so that it opens without a network, and adds the
// headers that let WebAssembly use threads where the host does not send them.

declare const FILES_OF_BUILD: string[];
declare const VERSION_OF_BUILD: string;

const worker = self as unknown as ServiceWorkerGlobalScope;
const CACHE = `crdnet-${VERSION_OF_BUILD}`;

worker.addEventListener("install", (event) => {
  const keep = async () => {
    const cache = await caches.open(CACHE);
    await cache.addAll(FILES_OF_BUILD.map((name) => new Request(name, { cache: "no-cache" })));
    await worker.skipWaiting();
  };
  event.waitUntil(keep());
});

worker.addEventListener("activate", (event) => {
  const clean = async () => {
    for (const name of await caches.keys()) if (name.startsWith("crdnet-") && name !== CACHE) await caches.delete(name);
    await worker.clients.claim();
  };
  event.waitUntil(clean());
});

worker.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET" || !event.request.url.startsWith(worker.registration.scope)) return;
  const answer = async () => {
    const cache = await caches.open(CACHE);
    const kept = await cache.match(event.request, { ignoreSearch: true });
    const found = kept ?? (await fetch(event.request));
    // The runtime for a GPU is large, and kept by those who have one.
    if (!kept && found.ok) await cache.put(event.request, found.clone());
    return isolate(found);
  };
  event.respondWith(answer());
});

function isolate(answer: Response): Response {
  if (!answer.ok) return answer;
  const headers = new Headers(answer.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  return new Response(answer.body, { status: answer.status, statusText: answer.statusText, headers });
}
