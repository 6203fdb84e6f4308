import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";
import { woff2Only } from "./fonts.ts";

// The pages that can be saved as one file: one script and one style with everything in them.
export default defineConfig({
  plugins: [svelte(), woff2Only()],
  publicDir: false,
  // A file that a browser opens from disk may start no worker.
  resolve: {
    alias: [
      {
        find: /^.*\/graph\/layouts$/,
        replacement: fileURLToPath(new URL("src/lib/graph/layouts.saved.ts", import.meta.url)),
      },
    ],
  },
  define: { "process.env.NODE_ENV": '"production"' },
  build: {
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
