/** Where the nodes of a small graph stand: computed ones in ranks, what they are given below. */

import { graphlib, layout } from "@dagrejs/dagre";
import type { Node } from "./script";

export interface Box {
  readonly x: number; // of its left upper corner
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Edge {
  readonly from: number;
  readonly to: number;
  readonly points: readonly Point[];
  readonly along: "x" | "y"; // how it leaves and ends
}

export type Point = readonly [number, number];

export interface Drawn {
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly Box[]; // one for each node
  readonly edges: readonly Edge[];
}

const HIGH = 68;
const LOW = 46; // of what is given
const BESIDE = 9; // of a line that runs along boxes
const APART = 14;
const LARGEST = 1.3; // how far a small graph is drawn larger to fill its room

interface Sizes {
  readonly wide: number; // of a box: a signed number of four digits has room in the narrowest
  readonly ranks: number; // between ranks: room for an arrow
  readonly apart: number; // between boxes of a rank
}
const ROOMY: Sizes = { wide: 128, ranks: 44, apart: 28 };
const NARROWER: readonly Sizes[] = [
  { wide: 128, ranks: 32, apart: 24 },
  { wide: 112, ranks: 28, apart: 18 },
  { wide: 102, ranks: 24, apart: 10 },
];

/** What stands beside the boxes: across, lines from what hangs run along the left side. */
export const margins = (across: boolean) => ({
  left: across ? 20 : 4,
  right: across ? 4 : BESIDE + 4,
  top: 4,
  bottom: 4,
});

/** How much larger or smaller it is drawn in a room; text keeps its size if it would be small. */
export function scale(width: number, room: number): number {
  return room > 0 ? Math.min(LARGEST, Math.max(1, room / width)) : 1;
}

/** The roomiest drawing that fits, else the narrowest, which then has to be scrolled. */
export function fitted(nodes: readonly Node[], across: boolean, room: number): Drawn {
  const { left, right } = margins(across);
  let found = drawn(nodes, across);
  for (const sizes of NARROWER) {
    if (!room || found.width + left + right <= room) break;
    found = drawn(nodes, across, sizes);
  }
  return found;
}

/** across: left to right; else top to bottom, with what is given at the side. */
export function drawn(nodes: readonly Node[], across: boolean, sizes: Sizes = ROOMY): Drawn {
  const hung = hangers(nodes);
  const owner = new Map(hung.flatMap((leaves, k) => leaves.map((leaf) => [leaf, k] as const)));
  const graph = new graphlib.Graph();
  graph.setGraph({ rankdir: across ? "LR" : "TB", ranksep: sizes.ranks, nodesep: sizes.apart });
  graph.setDefaultEdgeLabel(() => ({}));
  nodes.forEach((_node, k) => {
    if (!owner.has(k)) graph.setNode(String(k), sizeOf(hung[k]?.length ?? 0, across, sizes));
  });
  nodes.forEach((node, k) => {
    for (const input of node.inputs) {
      const from = owner.get(input) ?? input;
      if (from !== k) graph.setEdge(String(from), String(k));
    }
  });
  layout(graph);
  const boxes: Box[] = [];
  for (const name of graph.nodes()) {
    const k = Number(name);
    const { x = 0, y = 0, width = 0, height = 0 } = graph.node(name) as Partial<Box>;
    // Across, a node stands in the middle of its room, so that a chain stays on one line.
    place(boxes, k, hung[k] ?? [], x - width / 2, y - (across ? HIGH : height) / 2, across, sizes);
  }
  const top = Math.min(...boxes.map((box) => box.y));
  boxes.forEach((box, k) => (boxes[k] = { ...box, y: box.y - top }));
  const home = (k: number) => owner.get(k) ?? k;
  const bottoms = boxes.map(({ y, height }, k) =>
    Math.max(y + height, ...(hung[k] ?? []).map((leaf) => (boxes[leaf]?.y ?? 0) + LOW)),
  );
  const lines = nodes.flatMap((node, to) =>
    node.inputs.map((from) => {
      const side = owner.get(from) === to;
      const points = side
        ? hanging(boxes, from, to, across)
        : route(graph, boxes, [home(from), from, to], top, bottoms[home(from)] ?? 0, across);
      return { from, to, points, along: (across ? "x" : side ? "x" : "y") as Edge["along"] };
    }),
  );
  const width = Math.max(...boxes.map((box) => box.x + box.width));
  const height = Math.max(...boxes.map((box) => box.y + box.height));
  return { width, height, boxes, edges: lines };
}

/** Of each node what hangs at it: the given values whose first reader it is. */
function hangers(nodes: readonly Node[]): number[][] {
  const hung: number[][] = nodes.map(() => []);
  const taken = new Set<number>();
  nodes.forEach((node, k) => {
    for (const input of node.inputs) {
      if (nodes[input]?.kind === "computed" || taken.has(input)) continue;
      taken.add(input);
      hung[k]?.push(input);
    }
  });
  return hung;
}

/** The room of a node with what hangs at it. */
function sizeOf(leaves: number, across: boolean, { wide, apart }: Sizes) {
  const column = leaves * (LOW + APART);
  return across
    ? { width: wide, height: HIGH + 2 * column }
    : {
        width: leaves ? 2 * wide + apart : wide,
        height: Math.max(HIGH, column - APART),
      };
}

function place(
  boxes: Box[],
  k: number,
  leaves: readonly number[],
  x: number,
  y: number,
  across: boolean,
  { wide, apart }: Sizes,
) {
  boxes[k] = { x, y, width: wide, height: HIGH };
  leaves.forEach((leaf, n) => {
    const down = n * (LOW + APART) + (across ? HIGH + APART : 0);
    const aside = across ? 0 : wide + apart;
    boxes[leaf] = { x: x + aside, y: y + down, width: wide, height: LOW };
  });
}

/** From what hangs at a node to it: along the left side, or across the gap. */
function hanging(boxes: readonly Box[], from: number, to: number, across: boolean): Point[] {
  const [a, b] = [boxes[from], boxes[to]];
  if (!a || !b) return [];
  const middle = a.y + a.height / 2;
  if (!across) {
    return [
      [a.x, middle],
      [b.x + b.width, Math.min(middle, b.y + b.height - 10)],
    ];
  }
  const [out, end] = [a.x - 10, b.y + b.height - 14];
  return [
    [a.x, middle],
    [out, middle - 8],
    [out, end + 8],
    [b.x, end],
  ];
}

/** From the side of one box to that of the other, round what the layout put between. */
function route(
  graph: InstanceType<typeof graphlib.Graph>,
  boxes: readonly Box[],
  [owner, from, to]: readonly [number, number, number],
  top: number,
  bottom: number, // of where its owner stands with what hangs there: lines go round it
  across: boolean,
): Point[] {
  const [a, b] = [boxes[from], boxes[to]];
  if (!a || !b) return [];
  const found = graph.edge(String(owner), String(to)) as { points?: Corner[] } | undefined;
  const points = found?.points ?? [];
  const within = points.slice(1, -1).map(({ x, y }): Point => [x, y - top]);
  const middle = within.length > 1 ? within : [];
  if (across) return [[a.x + a.width, a.y + a.height / 2], ...middle, [b.x, b.y + b.height / 2]];
  const [x, y] = [a.x + a.width / 2, a.y + a.height];
  const side = a.x + a.width + BESIDE;
  const start: Point[] =
    owner === from
      ? [[x, y], ...(bottom > y ? [[x, bottom] as const] : [])]
      : [
          [a.x + a.width, y - a.height / 2],
          [side, y - a.height / 2 + BESIDE],
          [side, bottom],
        ];
  return [...start, ...middle, [b.x + b.width / 2, b.y]];
}

interface Corner {
  readonly x: number;
  readonly y: number;
}

/** A smooth line through points, which leaves and ends along an axis: the d of an SVG path. */
export function smooth({ points, along }: Edge): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let text = `M${first[0]},${first[1]}`;
  let [x, y] = first;
  for (const [p, q] of rest) {
    const half = along === "x" ? (p - x) / 2 : (q - y) / 2;
    if (Math.abs(half) <= 6) text += `L${p},${q}`;
    else if (along === "x") text += `C${x + half},${y} ${p - half},${q} ${p},${q}`;
    else text += `C${x},${y + half} ${p},${q - half} ${p},${q}`;
    [x, y] = [p, q];
  }
  return text;
}

/** The head of an arrow that ends at the last point; at the first one for error signals. */
export function head({ points, along }: Edge, back: boolean): string {
  const [tip, before] = back ? [points[0], points[1]] : [points.at(-1), points.at(-2)];
  if (!tip || !before) return "";
  const [x, y] = tip;
  const [u, v] = along === "x" ? [Math.sign(x - before[0]), 0] : [0, Math.sign(y - before[1])];
  const at = (behind: number, aside: number) =>
    `${x - behind * u - aside * v},${y - behind * v - aside * u}`;
  return `M${x},${y}L${at(8, 4.5)}L${at(8, -4.5)}Z`;
}
