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
}

export type Point = readonly [number, number];

export interface Drawn {
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly Box[]; // one for each node
  readonly edges: readonly Edge[];
}

export const WIDE = 104;
const HIGH = 68;
const LOW = 46; // of what is given
const APART = 14;
const RANKS = 44; // between ranks: room for an arrow

/** across: left to right; else top to bottom, with what is given at the side. */
export function drawn(nodes: readonly Node[], across: boolean): Drawn {
  const hung = hangers(nodes);
  const graph = new graphlib.Graph();
  graph.setGraph({ rankdir: across ? "LR" : "TB", ranksep: RANKS, nodesep: 28 });
  graph.setDefaultEdgeLabel(() => ({}));
  nodes.forEach((node, k) => {
    if (!isHung(hung, node, k)) graph.setNode(String(k), sizeOf(hung[k] ?? [], across));
  });
  const owner = (k: number) => hung.findIndex((leaves) => leaves.includes(k));
  nodes.forEach((node, k) => {
    for (const input of node.inputs) {
      const from = graph.hasNode(String(input)) ? input : owner(input);
      if (from !== k) graph.setEdge(String(from), String(k));
    }
  });
  layout(graph);
  const boxes: Box[] = [];
  for (const name of graph.nodes()) {
    const k = Number(name);
    const { x = 0, y = 0, width = 0, height = 0 } = graph.node(name) as Partial<Box>;
    place(boxes, k, hung[k] ?? [], x - width / 2, y - height / 2, across);
  }
  const edges = nodes.flatMap((node, to) =>
    node.inputs.map((from) => ({ from, to, points: route(graph, boxes, from, to, across) })),
  );
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number };
  return { width, height, boxes, edges };
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

const isHung = (hung: readonly number[][], node: Node, k: number) =>
  node.kind !== "computed" && hung.some((leaves) => leaves.includes(k));

function sizeOf(leaves: readonly number[], across: boolean) {
  const column = leaves.length * (LOW + APART);
  return across
    ? { width: WIDE, height: HIGH + column }
    : {
        width: leaves.length ? 2 * WIDE + 2 * APART : WIDE,
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
) {
  boxes[k] = { x, y, width: WIDE, height: HIGH };
  leaves.forEach((leaf, n) => {
    const down = n * (LOW + APART) + (across ? HIGH + APART : 0);
    const aside = across ? 0 : WIDE + 2 * APART;
    boxes[leaf] = { x: x + aside, y: y + down, width: WIDE, height: LOW };
  });
}

/** From the side of one box to that of the other, round what lies between. */
function route(
  graph: InstanceType<typeof graphlib.Graph>,
  boxes: readonly Box[],
  from: number,
  to: number,
  across: boolean,
): readonly Point[] {
  const [a, b] = [boxes[from], boxes[to]];
  if (!a || !b) return [];
  if (across && a.x === b.x) {
    // Hung below: along the left side, past those that hang above it.
    const out = a.x - 10;
    const end = b.y + b.height - 12;
    return [
      [a.x, a.y + a.height / 2],
      [out, a.y + a.height / 2 - 8],
      [out, end + 8],
      [b.x, end],
    ];
  }
  if (!across && a.height === LOW && a.x === b.x + WIDE + 2 * APART && a.y >= b.y - 1) {
    const level = Math.min(a.y + a.height / 2, b.y + b.height - 8);
    return [
      [a.x, a.y + a.height / 2],
      [b.x + b.width, level],
    ];
  }
  const known = graph.hasEdge(String(from), String(to))
    ? ((graph.edge(String(from), String(to)) as { points?: { x: number; y: number }[] }).points ??
      [])
    : [];
  const within = known.slice(1, -1).map(({ x, y }): Point => [x, y]);
  const middle = known.length > 3 ? within : [];
  return across
    ? [[a.x + a.width, a.y + a.height / 2], ...middle, [b.x, b.y + HIGH / 2]]
    : [[a.x + a.width / 2, a.y + a.height], ...middle, [b.x + b.width / 2, b.y]];
}

/** A smooth line through points, as the d of an SVG path. */
export function smooth(points: readonly Point[], across: boolean): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let text = `M${first[0]},${first[1]}`;
  let [x, y] = first;
  for (const [p, q] of rest) {
    const half = across ? (p - x) / 2 : (q - y) / 2;
    const curved = across ? Math.abs(p - x) > 12 : Math.abs(q - y) > 12;
    text += !curved
      ? `L${p},${q}`
      : across
        ? `C${x + half},${y} ${p - half},${q} ${p},${q}`
        : `C${x},${y + half} ${p},${q - half} ${p},${q}`;
    [x, y] = [p, q];
  }
  return text;
}

/** The head of an arrow that ends at the last point; at the first one for error signals. */
export function head(points: readonly Point[], back: boolean): string {
  const order = back ? [...points].reverse() : points;
  const tip = order.at(-1);
  const before = order.at(-2);
  if (!tip || !before) return "";
  const [dx, dy] = [tip[0] - before[0], tip[1] - before[1]];
  const flat = Math.abs(dx) >= Math.abs(dy);
  const [u, v] = flat ? [Math.sign(dx), 0] : [0, Math.sign(dy)];
  const [x, y] = tip;
  const at = (along: number, aside: number) =>
    `${x - along * u - aside * v},${y - along * v - aside * u}`;
  return `M${x},${y}L${at(8, 4.5)}L${at(8, -4.5)}Z`;
}
