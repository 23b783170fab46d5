/// <reference types="vite/client" />
declare module "crdnet-page/page.js";
