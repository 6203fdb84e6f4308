/** Layouts beside the page: it stays awake while a large level is laid out. */

import { place, type Level, type Placed } from "./layout";

const known = new Map<string, Placed>();

self.onmessage = (event: MessageEvent<{ id: number; level: Level }>) => {
  const { id, level } = event.data;
  self.postMessage({ id, placed: place(level, known) });
};
