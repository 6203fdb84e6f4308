/** A recorded step as a tree of modules: what stands in what, what feeds what. No layout. */

import { ask, type Figure } from "../api";
import { ofStep, type At, type Direction, type Edit, type Loop, type Seed } from "../record";

export interface Group {
  readonly key: string; // its name in links
  readonly name: string;
  readonly kind: string; // a module's class, or ""
  readonly parent: number;
  readonly call: readonly [number, number] | null; // which of how many
  readonly more: number; // of a part of a long level: how many boxes
  readonly out: number | null; // the node that it returned
}

/** The server's answer: nodes are columns. */
export interface Answer {
  readonly step: number;
  readonly epoch: number | null;
  readonly loss: Figure | null;
  readonly rows: number;
  readonly losses: readonly number[];
  readonly edit: Edit | null; // it was run again
  readonly seed: Seed; // what its error signals come from
  readonly groups: readonly Group[];
  readonly ops: readonly { readonly name: string; readonly formula: string }[];
  readonly op: readonly number[];
  readonly inputs: readonly (readonly number[])[];
  readonly parent: readonly number[]; // −1: hangs at its readers
  readonly shape: readonly (readonly number[])[];
  readonly dtype: readonly string[];
  readonly name: readonly string[];
  readonly words: readonly string[];
  readonly where: readonly string[];
  readonly meta: readonly Readonly<Record<string, string>>[];
  readonly samples: readonly number[];
  readonly fused?: Readonly<Record<number, Loop>>; // by node; a saved graph has none
}

/** Root mean squares of all nodes for one sample. */
export interface Sizes {
  readonly value: readonly (Figure | null)[];
  readonly bar: readonly (Figure | null)[];
  readonly update?: readonly (Figure | null)[]; // of what the optimizer changed, where asked for
}

export const getTree = (at: At) => ask<Answer>(ofStep(at, "tree"));
export const getSizes = (at: At, sample: number, what: Direction) =>
  ask<Sizes>(ofStep(at, "sizes", { sample, what }));

/** What enters a group, and what leaves it: ends of edges inside the group. */
export const IN = -1;
export const OUT = -2;

/** Between two items of a level, or one and the level's own ends; ``nodes`` are what it carries. */
export interface Edge {
  readonly from: number;
  readonly to: number;
  readonly nodes: number[];
}

/** Items are nodes by their number, and groups: the number of nodes and theirs. */
export interface Graph {
  readonly answer: Answer;
  readonly count: number;
  readonly members: readonly (readonly number[])[]; // of each group, in the program's order
  readonly edges: readonly (readonly Edge[])[]; // of each group
  readonly hanging: readonly (readonly number[])[]; // of each node: leaves that are shown at it
  readonly readers: readonly (readonly number[])[];
  readonly hasSamples: ReadonlySet<number>;
}

export const isGroup = (graph: Graph, item: number) => item >= graph.count;
export const groupOf = (graph: Graph, item: number) => graph.answer.groups[item - graph.count];

/** The groups around an item, innermost first; the whole, 0, is the last. */
export function around(graph: Pick<Graph, "answer" | "count">, item: number): number[] {
  const { groups, parent } = graph.answer;
  let at = item >= graph.count ? (groups[item - graph.count]?.parent ?? -1) : (parent[item] ?? -1);
  const found: number[] = [];
  while (at >= 0) {
    found.push(at);
    at = groups[at]?.parent ?? -1;
  }
  return found;
}

/** The graph of an answer. */
export function grow(answer: Answer): Graph {
  const count = answer.op.length;
  const hung = (node: number) => answer.parent[node] === -1;
  const readers: number[][] = answer.op.map(() => []);
  const hanging = answer.inputs.map((inputs, node) => {
    for (const source of new Set(inputs)) readers[source]?.push(node);
    return [...new Set(inputs)].filter(hung);
  });
  const base = { answer, count };
  const lines = answer.op.map((_, node) => [node, ...around(base, node).map((g) => count + g)]);
  return {
    ...base,
    readers,
    hanging,
    hasSamples: new Set(answer.samples),
    members: members(answer, readers),
    edges: edges(answer, lines, hung),
  };
}

/** What stands in each group: a leaf stands beside its first reader. */
function members(answer: Answer, readers: readonly (readonly number[])[]): number[][] {
  const count = answer.op.length;
  const start = answer.inputs.map((inputs, k) =>
    inputs.length ? k : (readers[k]?.[0] ?? k) - 0.5,
  );
  const first = answer.groups.map(() => Infinity);
  answer.parent.forEach((parent, node) => {
    for (let at = parent; at >= 0; at = answer.groups[at]?.parent ?? -1)
      first[at] = Math.min(first[at] ?? Infinity, start[node] ?? node);
  });
  const found: number[][] = answer.groups.map(() => []);
  answer.parent.forEach((parent, node) => found[parent]?.push(node));
  answer.groups.forEach((group, k) => found[group.parent]?.push(count + k));
  const place = (item: number) => (item < count ? start[item] : first[item - count]) ?? 0;
  return found.map((items) => items.sort((a, b) => place(a) - place(b) || a - b));
}

/** Each edge of the graph as pieces: one in every group that it is in, leaves or enters. */
function edges(
  answer: Answer,
  lines: readonly (readonly number[])[], // of a node: itself, then the groups around it
  hung: (node: number) => boolean,
): Edge[][] {
  const count = answer.op.length;
  const found = answer.groups.map(() => new Map<string, Edge>());
  const add = (level: number, from: number, to: number, node: number) => {
    const known = found[level - count]?.get(`${from} ${to}`);
    if (!known) found[level - count]?.set(`${from} ${to}`, { from, to, nodes: [node] });
    else if (known.nodes.at(-1) !== node) known.nodes.push(node);
  };
  answer.inputs.forEach((inputs, reader) => {
    for (const source of new Set(inputs)) {
      if (hung(source)) continue;
      const [up, down] = [lines[source] ?? [], lines[reader] ?? []];
      let shared = 1; // groups that both are in, from the outermost
      while (up.at(-shared - 1) === down.at(-shared - 1) && shared < up.length - 1) shared += 1;
      const [a, b] = [up.length - shared, down.length - shared]; // places of the innermost shared
      for (let k = 1; k < a; k++) add(up[k] ?? 0, up[k - 1] ?? 0, OUT, source);
      for (let k = 1; k < b; k++) add(down[k] ?? 0, IN, down[k - 1] ?? 0, source);
      add(up[a] ?? 0, up[a - 1] ?? 0, down[b - 1] ?? 0, source);
    }
  });
  return found.map((level) => [...level.values()]);
}

// ------------------------------------------------------------ open and closed

/** What is open where nothing else was said: the outermost calls, as long as little is in them. */
export function openAtFirst(graph: Graph): Set<number> {
  const open = new Set([0]);
  const boxes = () =>
    [...open].reduce((sum, group) => sum + (graph.members[group]?.length ?? 0), 0);
  for (const item of graph.members[0] ?? []) {
    const group = isGroup(graph, item) ? item - graph.count : -1;
    const returned = group > 0 ? groupOf(graph, item)?.out : null;
    const ends = returned !== null && graph.answer.losses.includes(returned ?? -1);
    const inside = graph.members[group]?.length ?? 0;
    if (group > 0 && !ends && !groupOf(graph, item)?.more && boxes() + inside <= 60)
      open.add(group);
  }
  return open;
}

/** The groups that a link names, with the whole; none: what is open at first. */
export function openGroups(graph: Graph, words: string | null): Set<number> {
  if (words === null) return openAtFirst(graph);
  const keys = new Set(words.split(","));
  const open = new Set([0]);
  graph.answer.groups.forEach((group, k) => {
    if (k > 0 && keys.has(group.key)) open.add(k);
  });
  return open;
}

export const NONE = "none"; // in a link: all is closed

/** Open groups as a link has them. */
export function openWords(graph: Graph, open: ReadonlySet<number>): string {
  const keys = graph.answer.groups.filter((_, k) => k > 0 && open.has(k)).map((each) => each.key);
  return keys.length ? keys.join(",") : NONE;
}

/** The items that are drawn, with their depth; an open group before what is in it. */
export function drawn(
  graph: Graph,
  open: ReadonlySet<number>,
): { item: number; depth: number; open: boolean }[] {
  const found: { item: number; depth: number; open: boolean }[] = [];
  const visit = (group: number, depth: number) => {
    for (const item of graph.members[group] ?? []) {
      const inside = isGroup(graph, item) && open.has(item - graph.count);
      found.push({ item, depth, open: inside });
      if (inside) visit(item - graph.count, depth + 1);
    }
  };
  visit(0, 1);
  return found;
}

// ------------------------------------------------------------ words

/** A node's shape, of one sample if it has samples: "6 × 28 × 28". */
export function shapeText(graph: Graph, node: number): string {
  const shape = graph.answer.shape[node] ?? [];
  return (graph.hasSamples.has(node) ? shape.slice(1) : shape).join(" × ");
}

/** Whether a node is one number, of each sample if it has samples: a picture would say less. */
export const isNumber = (graph: Graph, node: number) =>
  (graph.answer.shape[node] ?? []).every(
    (size, k) => size === 1 || (k === 0 && graph.hasSamples.has(node)),
  );

/** A name in the parts between which a line may break: "max_", "pool2d"; "Cross", "Entropy". */
export const partsOf = (name: string): string[] =>
  name.split(/(?<=[_.\s])(?=\S)|(?<=[a-z])(?=[A-Z])/);

export const opName = (answer: Answer, node: number) =>
  answer.ops[answer.op[node] ?? -1]?.name ?? "";

/** What a box is called. */
export function nameOf(graph: Graph, item: number): string {
  const group = isGroup(graph, item) ? groupOf(graph, item) : undefined;
  if (!group) return graph.answer.name[item] || opName(graph.answer, item);
  return group.name + (group.call ? ` (${group.call[0]} of ${group.call[1]})` : "");
}

/** The node that a box shows: its own, or what a group returned. */
export const shownNode = (graph: Graph, item: number): number | null =>
  isGroup(graph, item) ? (groupOf(graph, item)?.out ?? null) : item;

/** How many nodes are in a group, with all that is inside. */
export function nodesIn(graph: Graph, group: number): number {
  return (graph.members[group] ?? []).reduce(
    (sum, item) => sum + (isGroup(graph, item) ? nodesIn(graph, item - graph.count) : 1),
    0,
  );
}

/** The nodes that a search means: by name, module, op, or shape such as 6,28,28. */
export function search(graph: Graph, words: string): number[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  if (!wanted.length) return [];
  const { answer } = graph;
  const texts = answer.op.map((_, node) => {
    const shape = answer.shape[node] ?? [];
    const modules = around(graph, node).map((group) => answer.groups[group]);
    return [
      answer.name[node],
      answer.words[node],
      opName(answer, node),
      `[${shape.join(",")}]`,
      shape.join("×"),
      ...modules.map((group) => `${group?.key ?? ""} ${group?.kind ?? ""}`),
    ]
      .join(" ")
      .toLowerCase();
  });
  const found = answer.op.map((_, node) => node);
  return found.filter((node) => wanted.every((word) => texts[node]?.includes(word)));
}

/** The leaves that hang at what is in a box. */
export function leavesIn(graph: Graph, item: number): number[] {
  if (!isGroup(graph, item)) return [...(graph.hanging[item] ?? [])];
  const members = graph.members[item - graph.count] ?? [];
  return members.flatMap((each) => leavesIn(graph, each));
}

/** How many of these nodes are in each group, with all that is inside. */
export function countIn(graph: Graph, nodes: readonly number[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const node of nodes)
    for (const group of around(graph, boxOf(graph, node)))
      counts.set(group, (counts.get(group) ?? 0) + 1);
  return counts;
}

/** The open groups with another one open, or closed if it was. */
export function turnedGroup(open: ReadonlySet<number>, group: number): Set<number> {
  const groups = new Set(open);
  if (!groups.delete(group)) groups.add(group);
  return groups;
}

/** The open groups with those around a node open too. */
export const withAround = (graph: Graph, open: ReadonlySet<number>, node: number): Set<number> =>
  new Set([...open, ...around(graph, boxOf(graph, node))]);

/** Of what was found the next after the one that is chosen, round and round; by: 1, or −1 back. */
export function nextOf(
  nodes: readonly number[],
  chosen: number | null,
  by: number,
): number | undefined {
  const at = chosen === null ? -1 : nodes.indexOf(chosen);
  return nodes[(at + by + nodes.length) % nodes.length] ?? nodes[0];
}

/** The box that shows a node: a leaf's is its first reader's. */
export const boxOf = (graph: Graph, node: number): number =>
  graph.answer.parent[node] === -1 ? (graph.readers[node]?.[0] ?? node) : node;
