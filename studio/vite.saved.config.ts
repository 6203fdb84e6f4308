import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, type Plugin } from "vite";
import { woff2Only } from "./fonts.ts";

// A file that a browser opens from disk may start no worker: layouts.saved.ts has none.
const noWorker: Plugin = {
  name: "no-worker",
  enforce: "pre",
  resolveId(source, importer) {
    return source.endsWith("/graph/layouts") ? this.resolve(`${source}.saved`, importer) : null;
  },
};

// The pages that can be saved as one file: one script and one style with everything in them.
export default defineConfig({
  plugins: [noWorker, svelte(), woff2Only()],
  publicDir: false,
  define: { "process.env.NODE_ENV": '"production"' },
  build: {
    rolldownOptions: { checks: { bundlerTimings: false } },
    outDir: "../src/chainrule/studio/assets/saved",
    emptyOutDir: true,
    assetsInlineLimit: Number.MAX_SAFE_INTEGER,
    cssCodeSplit: false,
    target: "es2022",
    lib: {
      entry: "src/saved.ts",
      formats: ["iife"],
      name: "saved",
      fileName: () => "saved.js",
      cssFileName: "saved",
    },
  },
});
