/** A drawing: strokes of points from 0 to 1 on a square, and how they are put onto a canvas. */

export type Point = readonly [number, number];
export type Stroke = readonly Point[];

export const SIDE = 96; // pixels of the picture that is sent: three times a digit's
const PEN = 0.075; // of the side: as thick as a written digit's line

/** Put strokes as ink on paper; returns whether there is any. */
export function ink(
  canvas: HTMLCanvasElement,
  strokes: readonly Stroke[],
  colours: { paper: string; ink: string } = { paper: "#fff", ink: "#000" },
): boolean {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return false;
  const side = canvas.width;
  context.fillStyle = colours.paper;
  context.fillRect(0, 0, side, side);
  context.strokeStyle = context.fillStyle = colours.ink;
  context.lineWidth = PEN * side;
  context.lineCap = context.lineJoin = "round";
  for (const stroke of strokes) {
    const [first] = stroke;
    if (!first) continue;
    context.beginPath();
    context.moveTo(first[0] * side, first[1] * side);
    for (const [x, y] of stroke) context.lineTo(x * side, y * side);
    context.stroke(); // a stroke of one point is a dot, as its ends are round
  }
  return strokes.some((stroke) => stroke.length > 0);
}

/** The brightness of each pixel, row by row: 0 black, 255 white. */
export function greysOf(canvas: HTMLCanvasElement): Uint8Array<ArrayBuffer> {
  const { width, height } = canvas;
  const data = canvas.getContext("2d")?.getImageData(0, 0, width, height).data;
  const greys = new Uint8Array(width * height);
  // Ink is black on white, so that each of its colours is its brightness.
  for (let k = 0; k < greys.length; k++) greys[k] = data?.[4 * k] ?? 255;
  return greys;
}

/** Bytes of base64, as numbers. */
export function bytesOf(base64: string): Uint8Array {
  const text = atob(base64);
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}
