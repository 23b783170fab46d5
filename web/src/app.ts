// The page without a server: that of the server, with its images derained here, and kept for use
// without a network.

import "crdnet-page/page.js";
import { warmUp } from "./derain";

await warmUp(); // the service worker loads all files once more, which would slow the first image
if (navigator.serviceWorker && isSecureContext) void navigator.serviceWorker.register("sw.js");
