/**
 * Where boxes stand. Each level is laid out for itself, from left to right, as its structure alone
 * says: equal structures get one and the same layout. Nothing here knows what a box is.
 */

import { graphlib, layout as dagre } from "@dagrejs/dagre";

/** Boxes by their place in the list; −1 and −2 are where the level is entered and left. */
export interface Level {
  readonly boxes: readonly (readonly [number, number] | Level)[]; // width and height, or a level
  readonly edges: readonly (readonly [number, number])[];
}

export type Point = readonly [number, number];
type XY = { readonly x: number; readonly y: number };

export interface Placed {
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly PlacedBox[]; // relative to the level
  readonly paths: readonly (readonly Point[])[]; // of each edge
}

export interface PlacedBox {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly inside: Placed | null;
}

export const PADDING = 36; // left and right of what is in an open group
const MANY = 8; // readers of one value in a level
const STUB = 32;
export const HEADER = 36; // above it, and as much below, so that a row of boxes is in its middle

const isLevel = (box: Level["boxes"][number]): box is Level => "boxes" in box;

/** Lay out a level and those in it; ``known`` keeps what was laid out before. */
export function place(level: Level, known: Map<string, Placed>): Placed {
  const key = JSON.stringify(level);
  const before = known.get(key);
  if (before) return before;
  const inside = level.boxes.map((box) => (isLevel(box) ? place(box, known) : null));
  const sizes = level.boxes.map((box, k): Point => {
    const own = inside[k];
    return own
      ? [own.width + 2 * PADDING, own.height + 2 * HEADER]
      : (box as readonly [number, number]);
  });
  const placed = placeFlat(sizes, level.edges, inside);
  known.set(key, placed);
  return placed;
}

function placeFlat(
  sizes: readonly Point[],
  edges: Level["edges"],
  inside: readonly (Placed | null)[],
): Placed {
  const graph = new graphlib.Graph({ multigraph: false });
  graph.setGraph({ rankdir: "LR", nodesep: 24, ranksep: 32, edgesep: 16 });
  graph.setDefaultEdgeLabel(() => ({}));
  sizes.forEach(([width, height], k) => graph.setNode(String(k), { width, height }));
  const stubs = new Set(edges.filter((edge) => isStub(edge, edges)));
  for (const end of ["-1", "-2"])
    if (edges.some((edge) => edge.map(String).includes(end)))
      graph.setNode(end, { width: 1, height: 1 });
  for (const edge of edges)
    if (!stubs.has(edge)) graph.setEdge(String(edge[0]), String(edge[1]), {});
  dagre(graph);
  const at = sizes.map((_, k) => graph.node(String(k)) as { x: number; y: number; rank: number });
  const rank = new Map<number, number>(); // the width of what stands below each other
  sizes.forEach(([width], k) => {
    const own = at[k]?.rank ?? 0;
    rank.set(own, Math.max(rank.get(own) ?? 0, width));
  });
  const boxes = sizes.map(([width, height], k) => {
    const { x, y, rank: own } = at[k] ?? { x: 0, y: 0, rank: 0 };
    const room = ((rank.get(own) ?? width) - width) / 2;
    // What enters from nowhere stands beside its reader, what leads nowhere beside its source.
    const beside = !edges.some(([, to]) => to === k)
      ? room
      : edges.some(([from]) => from === k)
        ? 0
        : -room;
    return {
      x: x - width / 2 + beside,
      y: y - height / 2,
      width,
      height,
      inside: inside[k] ?? null,
    };
  });
  const left = Math.min(...boxes.map((box) => box.x), Infinity);
  const top = Math.min(...boxes.map((box) => box.y), Infinity);
  const moved = boxes.map((box) => ({ ...box, x: box.x - left, y: box.y - top }));
  const width = Math.max(...moved.map((box) => box.x + box.width), 0);
  const height = Math.max(...moved.map((box) => box.y + box.height), 0);
  const paths = edges.map((edge) => {
    const [from, to] = [moved[edge[0]], moved[edge[1]]];
    const last = end(to, width, height);
    if (stubs.has(edge)) return [[last[0] - STUB, last[1] - STUB / 2] as const, last];
    const found = graph.edge(String(edge[0]), String(edge[1])) as { points?: XY[] } | undefined;
    const between = (found?.points ?? [])
      .slice(1, -1)
      .map(({ x, y }): Point => [x - left, y - top])
      .filter(([x]) => x > 0 && x < width); // the ends of a level stand at its border
    return [start(from, height), ...between, last];
  });
  return { width, height, boxes: moved, paths };
}

/**
 * Whether an edge is drawn at its end alone: what many read (the input of an unrolled loop) would
 * else be a fan of lines over the whole drawing, and push apart what belongs together.
 */
function isStub(edge: readonly [number, number], edges: Level["edges"]): boolean {
  const count = (from: number) => edges.filter((each) => each[0] === from).length;
  if (edge[1] < 0 || count(edge[0]) <= MANY) return false;
  return edges.some(([from, to]) => to === edge[1] && from !== edge[0] && count(from) <= MANY);
}

const middle = (box: PlacedBox) => box.y + box.height / 2;

/** An edge begins at the right of a box, or where the group around is entered. */
const start = (box: PlacedBox | undefined, height: number): Point =>
  box ? [box.x + box.width, middle(box)] : [-PADDING, height / 2];

const end = (box: PlacedBox | undefined, width: number, height: number): Point =>
  box ? [box.x, middle(box)] : [width + PADDING, height / 2];

// ------------------------------------------------------------ paths

/** A smooth path through points, level at each of them. */
export function curve(points: readonly Point[]): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let [x, y] = first;
  let path = `M${round(x)} ${round(y)}`;
  for (const [nextX, nextY] of rest) {
    const half = (x + nextX) / 2;
    path += `C${round(half)} ${round(y)} ${round(half)} ${round(nextY)} ${round(nextX)} ${round(nextY)}`;
    [x, y] = [nextX, nextY];
  }
  return path;
}

/** The middle of a path, and its direction there in degrees. */
export function middleOf(points: readonly Point[]): { x: number; y: number; angle: number } {
  const k = Math.max(1, Math.floor(points.length / 2));
  const [a, b] = [points[k - 1] ?? [0, 0], points[k] ?? points[k - 1] ?? [0, 0]];
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  // A curve that is level at both ends is steeper in its middle than the straight line.
  const angle = (Math.atan2(1.5 * dy, dx) * 180) / Math.PI;
  return { x: (a[0] + b[0]) / 2, y: (a[1] + b[1]) / 2, angle };
}

const round = (n: number) => Math.round(10 * n) / 10;
