/** Numbers onto a canvas. */

import { cellAt, colour, painter, pixelOf, type Grid, type Paint, type Palette } from "./pictures";

const STOPS = {
  ink: ["value-0", "value-1", "value-2", "value-3", "value-4"],
  signed: ["signed-lowest", "signed-low", "signed-zero", "signed-high", "signed-highest"],
  signal: ["signal-lowest", "signal-low", "signal-zero", "signal-high", "signal-highest"],
} as const;

let known: { theme: string; colours: Palette } | null = null;

/** The colours of the theme that is on. */
export function palette(): Palette {
  const theme = document.documentElement.dataset["theme"];
  if (theme !== undefined && known?.theme === theme) return known.colours;
  const style = getComputedStyle(document.documentElement);
  const token = (name: string) => colour(style.getPropertyValue(`--${name}`));
  const colours = {
    ink: STOPS.ink.map(token),
    signed: STOPS.signed.map(token),
    signal: STOPS.signal.map(token),
    nan: token("not-a-number"),
    dot: token("value-1"),
    paper: token("paper"),
  };
  known = theme === undefined ? null : { theme, colours };
  return colours;
}

const TICKED = 8; // pixels that a cell needs for a tick in its corner

/** Draw numbers from ``from`` on; returns the width and height of a cell in CSS pixels. */
export function draw(
  canvas: HTMLCanvasElement,
  numbers: ArrayLike<number>,
  from: number,
  grid: Grid,
  paint: Paint,
  colours: Palette,
): readonly [number, number] {
  const ratio = window.devicePixelRatio;
  const [w, h] = [grid.width, grid.height].map((n) => Math.max(1, Math.round(n * ratio))) as [
    number,
    number,
  ];
  const [wide, high] = [w * grid.columns, h * grid.rows];
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  const context = canvas.getContext("2d");
  if (!context || !wide || !high) return [grid.width, grid.height];
  // Pixel by pixel: a call and a colour's text for each cell took most of a stroke's time, as all
  // pictures of a page are drawn anew with each stroke of a pen.
  const image = context.createImageData(wide, high);
  const pixels = new Uint32Array(image.data.buffer);
  const fill = (rgba: number, x: number, y: number, width: number, height: number) => {
    for (let at = y * wide + x; at < (y + height) * wide; at += wide)
      for (let k = at; k < at + width; k++) pixels[k] = rgba;
  };
  const [ink, dot, paper] = [painter(paint, colours), pixelOf(colours.dot), pixelOf(colours.paper)];
  const least = Math.min(w, h);
  const every = Math.ceil(4 / least); // dots on each tiny cell would be a grey
  for (let cell = 0; cell < grid.count; cell++) {
    const value = numbers[from + cell];
    if (value === undefined) continue;
    const [row, column] = cellAt(grid, cell);
    const [x, y] = [column * w, row * h];
    fill(ink(value), x, y, w, h);
    if (value === 0) {
      const size = Math.max(1, Math.round(least / 6));
      if (row % every === 0 && column % every === 0)
        fill(dot, x + ((w - size) >> 1), y + ((h - size) >> 1), size, size);
    } else if (Math.abs(value) > paint.size && least >= TICKED) {
      const size = Math.round(least / 4);
      fill(paper, x + w - size - 1, y + 1, size, Math.max(1, size >> 1));
    }
  }
  context.putImageData(image, 0, 0);
  // Cells smaller than a pixel are drawn as pixels, and the browser makes the picture smaller.
  return grid.width < 1 ? [grid.width, grid.height] : [w / ratio, h / ratio];
}

/** Three kernels as one picture in colours: grey is 0, ± size the ends of each colour. */
export function drawColours(
  canvas: HTMLCanvasElement,
  numbers: ArrayLike<number>,
  from: number,
  grid: Grid,
  size: number,
): readonly [number, number] {
  const ratio = window.devicePixelRatio;
  const side = Math.max(1, Math.round(grid.width * ratio));
  canvas.width = side * grid.columns;
  canvas.height = side * grid.rows;
  const context = canvas.getContext("2d");
  const level = (value: number) =>
    Math.round(127.5 * (1 + Math.min(1, Math.max(-1, size > 0 ? value / size : 0))));
  for (let cell = 0; context && cell < grid.count; cell++) {
    const parts = [0, 1, 2].map((c) => level(numbers[from + c * grid.count + cell] ?? 0));
    const [row, column] = cellAt(grid, cell);
    context.fillStyle = `rgb(${parts.join(" ")})`;
    context.fillRect(column * side, row * side, side, side);
  }
  return [side / ratio, side / ratio];
}

/** Fade from what was on a canvas to what is. */
export function fade(canvas: HTMLCanvasElement, before: HTMLCanvasElement, milliseconds: number) {
  const context = canvas.getContext("2d");
  if (!context || before.width !== canvas.width || before.height !== canvas.height) return;
  const after = copy(canvas);
  const start = performance.now();
  const frame = (now: number) => {
    if (canvas.dataset["fading"] !== String(start)) return; // it was drawn anew
    const left = Math.max(0, 1 - (now - start) / milliseconds);
    context.globalAlpha = 1;
    context.drawImage(after, 0, 0);
    context.globalAlpha = left;
    if (left > 0) context.drawImage(before, 0, 0);
    context.globalAlpha = 1;
    if (left > 0) requestAnimationFrame(frame);
  };
  canvas.dataset["fading"] = String(start);
  frame(start);
}

/** A canvas with the same picture. */
export function copy(canvas: HTMLCanvasElement): HTMLCanvasElement {
  const twin = document.createElement("canvas");
  [twin.width, twin.height] = [canvas.width, canvas.height];
  if (canvas.width && canvas.height) twin.getContext("2d")?.drawImage(canvas, 0, 0);
  return twin;
}
