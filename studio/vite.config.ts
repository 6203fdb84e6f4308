import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";
import { woff2Only } from "./fonts.ts";

export default defineConfig({
  plugins: [svelte(), woff2Only()],
  build: {
    rolldownOptions: { checks: { bundlerTimings: false } },
    outDir: "../src/chainrule/studio/assets",
    emptyOutDir: true,
    assetsDir: "hashed", // the server lets browsers keep these for ever
    assetsInlineLimit: 0, // the pages' policy allows no inline style or script
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  test: { environment: "node", css: true, include: ["src/**/*.test.ts"] },
});
