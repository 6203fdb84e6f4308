/** Figures over time as a strip of colours. */

import { colourOf, type Palette } from "./pictures";

/** How a figure becomes a place between 0 and 1; a power of ten, or a share. */
export type Span = readonly [number, number] | "share";

const FAINTEST = 0.08; // the least that can be seen, for what is not zero

/** How far along the ink of a figure is: 0 for zero alone. */
export function inkOf(value: number, span: Span): number {
  if (Number.isNaN(value) || value === 0) return value;
  const along = span === "share" ? value : (Math.log10(value) - span[0]) / (span[1] - span[0]);
  return FAINTEST + (1 - FAINTEST) * Math.min(1, Math.max(0, along));
}

/** Draw buckets from the first step of all to ``end``, each up to the next one; zeros are dotted. */
export function drawStrip(
  canvas: HTMLCanvasElement,
  starts: readonly number[],
  end: number,
  values: readonly number[],
  span: Span,
  colours: Palette,
): void {
  const ratio = window.devicePixelRatio;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  const context = canvas.getContext("2d");
  if (!context) return;
  const first = starts[0] ?? 0;
  const x = (step: number) =>
    Math.round(((step - first) / Math.max(1, end - first)) * canvas.width);
  const fill = (rgb: readonly number[], left: number, top: number, wide: number, high: number) => {
    context.fillStyle = `rgb(${rgb.join(" ")})`;
    context.fillRect(left, top, wide, high);
  };
  for (const [k, start] of starts.entries()) {
    const value = values[k] ?? NaN;
    const [left, right] = [x(start), Math.max(x(start) + 1, x(starts[k + 1] ?? end))];
    const ink = colourOf(inkOf(value, span), { scale: "ink", size: 1 }, colours);
    fill(ink, left, 0, right - left, canvas.height);
    if (value !== 0) continue;
    const dot = Math.max(1, Math.round(ratio));
    for (let at = left - (left % (5 * dot)); at < right; at += 5 * dot) {
      if (at >= left) fill(colours.dot, at, canvas.height >> 1, dot, dot);
    }
  }
}
