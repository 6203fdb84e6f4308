/** What is drawn: boxes and edges of the open groups at their places; nothing of the browser. */

import { HEADER, PADDING, type Level, type Placed, type Point } from "./layout";
import { IN, isGroup, OUT, type Graph } from "./tree";

export interface Box {
  readonly item: number;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly open: boolean;
}

export interface Line {
  readonly key: string;
  readonly from: number; // items; a level's own end is the group's item
  readonly to: number;
  readonly nodes: readonly number[]; // whose values it carries
  readonly points: readonly Point[];
}

export interface Scene {
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly Box[];
  readonly lines: readonly Line[];
}

export const WIDTH = 176; // of a closed box
export const HEIGHT = 256;
export const CHIP = 28; // of each leaf that hangs at it
export const MOST_CHIPS = 4; // beyond, the last says how many more

export const chipsOf = (graph: Graph, node: number) =>
  Math.min(graph.hanging[node]?.length ?? 0, MOST_CHIPS);

/** The open groups as levels for the layout: sizes and edges alone. */
export function levelOf(graph: Graph, open: ReadonlySet<number>, group = 0): Level {
  const members = graph.members[group] ?? [];
  const place = new Map(members.map((item, k) => [item, k]));
  const end = (item: number) => (item === IN || item === OUT ? item : (place.get(item) ?? 0));
  return {
    boxes: members.map((item) => {
      if (!isGroup(graph, item)) return [WIDTH, HEIGHT + CHIP * chipsOf(graph, item)] as const;
      const inside = item - graph.count;
      return open.has(inside) ? levelOf(graph, open, inside) : ([WIDTH, HEIGHT] as const);
    }),
    edges: (graph.edges[group] ?? []).map((edge) => [end(edge.from), end(edge.to)] as const),
  };
}

/** Boxes and edges at their places in the whole. */
export function sceneOf(graph: Graph, placed: Placed): Scene {
  const boxes: Box[] = [];
  const lines: Line[] = [];
  const visit = (group: number, level: Placed, x: number, y: number, depth: number) => {
    (graph.members[group] ?? []).forEach((item, k) => {
      const box = level.boxes[k];
      if (!box) return;
      const [left, top] = [x + box.x, y + box.y];
      const { width, height } = box;
      boxes.push({ item, x: left, y: top, width, height, depth, open: box.inside !== null });
      if (box.inside)
        visit(item - graph.count, box.inside, left + PADDING, top + HEADER, depth + 1);
    });
    const own = graph.count + group;
    (graph.edges[group] ?? []).forEach((edge, k) => {
      const points = (level.paths[k] ?? []).map(([a, b]): Point => [x + a, y + b]);
      const [from, to] = [edge.from === IN ? own : edge.from, edge.to === OUT ? own : edge.to];
      lines.push({ key: `${group} ${edge.from} ${edge.to}`, from, to, nodes: edge.nodes, points });
    });
  };
  visit(0, placed, 0, 0, 1);
  return { width: placed.width, height: placed.height, boxes, lines };
}

// ------------------------------------------------------------ what is seen of it

/** A scale and where the drawing's corner is on the screen. */
export interface Seen {
  readonly k: number;
  readonly x: number;
  readonly y: number;
}

export const LEAST = 0.01;
export const MOST = 3;
export const SMALL = 0.2; // any drawing can be made as small as this, and none smaller than all of it
export const HIT = 0.14; // from here on a box can be hit: 24 pixels

export function seenOf(text: string | null): Seen | null {
  const found = /^(\d{1,2}(?:\.\d{1,4})?),(-?\d{1,7}),(-?\d{1,7})$/.exec(text ?? "");
  if (!found) return null;
  const [k = 1, x = 0, y = 0] = found.slice(1).map(Number);
  return k >= LEAST && k <= MOST ? { k, x, y } : null;
}

export const seenText = (seen: Seen) =>
  `${Number(seen.k.toFixed(4))},${Math.round(seen.x)},${Math.round(seen.y)}`;

/** All of it, as large as the screen allows. */
export function fit(scene: Scene, width: number, height: number, margin = 16): Seen {
  const across = (width - 2 * margin) / Math.max(scene.width, 1);
  const down = (height - 2 * margin) / Math.max(scene.height, 1);
  const k = Math.min(1.25, Math.max(LEAST, Math.min(across, down)));
  const centred = (size: number, of: number) => (of - k * size) / 2;
  return { k, x: centred(scene.width, width), y: centred(scene.height, height) };
}

/** Detail that there is room for: a name on its side, a name, its shape, a picture, numbers. */
export type Detail = 0 | 1 | 2 | 3 | 4 | 5;

export const detailAt = (k: number): Detail =>
  k < 0.085 ? 0 : k < 0.24 ? 1 : k < 0.28 ? 2 : k < 0.31 ? 3 : k < 1 ? 4 : 5;
