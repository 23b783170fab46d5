// Builds the app into src/crdnet/server/app: the page of the server with derain.ts in the place of
// send.js, the model, and a service worker that keeps all of it.

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { defineConfig, transformWithOxc, type Plugin } from "vite";

const WEB = dirname(fileURLToPath(import.meta.url));
const PACKAGE = resolve(WEB, "../src/crdnet");
const PAGE = resolve(PACKAGE, "server/page");
const APP = resolve(PACKAGE, "server/app");

// As the server sends it with the app. A page cannot say by itself who may frame it.
const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; " +
  "img-src 'self' blob: data:; media-src blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'";

// Use the server's page: its parts for the app in the place of those for the server.
function usePage(): Plugin {
  return {
    name: "use-page",
    enforce: "pre",
    resolveId(source, importer) {
      if (source === "crdnet-page/page.js") return resolve(PAGE, "page.js");
      if (source === "./send.js" && importer?.startsWith(PAGE)) return resolve(WEB, "src/derain.ts");
      return null;
    },
    transformIndexHtml: {
      order: "pre",
      handler: (html) =>
        html
          .replace(/<!-- server -->[^]*?<!-- \/server -->/g, "")
          .replace(/<!-- app ([^]*?) -->/g, "$1")
          .replace("POLICY", POLICY)
          .replace("assets/page.js", "/@fs/" + resolve(WEB, "src/app.ts"))
          .replaceAll('"assets/', '"./'),
    },
    generateBundle() {
      const emit = (fileName: string, path: string) => this.emitFile({ type: "asset", fileName, source: readFileSync(path) });
      emit("assets/example.jpg", resolve(PAGE, "example.jpg"));
      emit("default.onnx", resolve(PACKAGE, "weights/default.onnx"));
    },
  };
}

// Write the service worker, which lists all files, and a packed copy of those that are large.
function finishApp(): Plugin {
  const files = new Map<string, string | Uint8Array>();
  return {
    name: "finish-app",
    writeBundle(_, bundle) {
      for (const [name, each] of Object.entries(bundle)) files.set(name, each.type === "chunk" ? each.code : each.source);
    },
    async closeBundle() {
      for (const name of ["manifest.webmanifest", "icon-192.png", "icon-512.png"]) files.set(name, readFileSync(resolve(WEB, "public", name)));
      const digest = createHash("sha256");
      for (const name of [...files.keys()].sort()) digest.update(name).update(files.get(name)!);
      const names = ["./", ...[...files.keys()].filter((name) => name !== "index.html" && !name.includes("asyncify"))];
      const define = { FILES_OF_BUILD: JSON.stringify(names), VERSION_OF_BUILD: JSON.stringify(digest.digest("hex").slice(0, 16)) };
      const source = readFileSync(resolve(WEB, "src/sw.ts"), "utf8");
      writeFileSync(resolve(APP, "sw.js"), (await transformWithOxc(source, "sw.ts", { define })).code);
      for (const [name, content] of files) {
        if (name.endsWith(".wasm")) writeFileSync(resolve(APP, `${name}.gz`), gzipSync(content, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  root: PAGE,
  base: "./",
  publicDir: resolve(WEB, "public"),
  plugins: [usePage(), finishApp()],
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "import", "default"] },
  worker: { format: "es", plugins: () => [usePage()] },
  build: { outDir: APP, emptyOutDir: true, target: "es2023", modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
});
