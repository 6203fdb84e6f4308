/** What the convolution lab shows: the words of its address, and the question that they ask. */

export const TABS = [
  { tab: "slide", name: "Slide" },
  { tab: "copies", name: "Layers of copies" },
  { tab: "wiring", name: "Wiring and matrix" },
  { tab: "pool", name: "Pooling" },
  { tab: "channels", name: "Several channels" },
] as const;

export type Tab = (typeof TABS)[number]["tab"];

export interface View {
  readonly run: string | null; // what other pages look at: kept, so that one comes back to it
  readonly tab: Tab;
  readonly mode: "value" | "bar";
  readonly image: string; // a name, or numbers as lab_inputs.py reads them
  readonly size: number;
  readonly dims: number;
  readonly kernel: string;
  readonly stride: number;
  readonly padding: string; // a name, or a whole number
  readonly dilation: number;
  readonly op: "correlation" | "convolution";
  readonly upstream: string;
  readonly wanted: number;
  readonly of: "weights" | "pixels"; // which copies
  readonly copy: number; // how many copies are added up
  readonly pool: "max" | "mean";
  readonly window: number;
  readonly every: number;
  readonly around: number; // padding of a pooling
  readonly shift: "right" | "left" | "down" | "up";
  readonly outputs: number;
  readonly seed: number;
  readonly at: string | null; // whose computation is open, such as y.0,2,1
  readonly fill: boolean; // the output ends at that place
}

const COUNTS = [
  "size",
  "dims",
  "stride",
  "dilation",
  "wanted",
  "copy",
  "window",
  "every",
  "around",
  "outputs",
  "seed",
] as const;
const TEXTS = ["image", "kernel", "padding", "upstream"] as const;

const IMAGES: Partial<Record<Tab, string>> = { copies: "small", pool: "four", channels: "scene" };
const KERNELS: Partial<Record<Tab, string>> = { copies: "two", channels: "opponents" };

/** What a tab shows before anything is chosen. */
export function begin(tab: Tab, dims: number): View {
  const copies = tab === "copies" || (tab === "wiring" && dims === 1);
  return {
    run: null,
    tab,
    mode: "value",
    image: dims === 1 ? "five" : (IMAGES[tab] ?? "lecture"),
    size: 12,
    dims,
    kernel: dims === 1 ? "three" : (KERNELS[tab] ?? "cross"),
    stride: 1,
    padding: copies ? (tab === "wiring" ? "same" : "full") : "valid",
    dilation: 1,
    op: tab === "copies" ? "convolution" : "correlation",
    upstream: "ones",
    wanted: 3,
    of: "weights",
    copy: 999,
    pool: "max",
    window: 2,
    every: 2,
    around: 0,
    shift: "right",
    outputs: 3,
    seed: 0,
    at: null,
    fill: false,
  };
}

/** The wiring of a few units is seen best, so that tab begins with one dimension. */
const dimsOf = (tab: Tab) => (tab === "wiring" ? 1 : 2);

/** The view that a query names; what it does not name is as the tab begins. */
export function parse(query: string): View {
  const given = new URLSearchParams(query);
  const one = <Word extends string>(name: string, words: readonly Word[], other: Word): Word =>
    words.find((word) => word === given.get(name)) ?? other;
  const names = TABS.map((each) => each.tab);
  const tab = one("tab", names, "slide");
  const count = (name: string, other: number) => {
    const word = given.get(name) ?? "";
    return /^\d{1,6}$/.test(word) ? Number(word) : other;
  };
  const first = begin(tab, count("dims", dimsOf(tab)) === 1 ? 1 : 2);
  return {
    ...first,
    run: given.get("run") || null,
    ...Object.fromEntries(COUNTS.map((name) => [name, count(name, first[name])])),
    ...Object.fromEntries(TEXTS.map((name) => [name, given.get(name) || first[name]])),
    dims: first.dims,
    mode: one("mode", ["value", "bar"], "value"),
    op: one("op", ["correlation", "convolution"], first.op),
    of: one("of", ["weights", "pixels"], "weights"),
    pool: one("pool", ["max", "mean"], "max"),
    shift: one("shift", ["right", "left", "down", "up"], "right"),
    at: given.get("at") || null,
    fill: given.get("fill") === "1",
  };
}

/** The link to a view; what is as the tab begins is not in it. */
export function link(view: View): string {
  const first = { ...begin(view.tab, view.dims), tab: "slide", dims: dimsOf(view.tab) };
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(view)) {
    if (value !== first[name as keyof View] && value !== null) {
      given.set(name, value === true ? "1" : String(value));
    }
  }
  const text = given.toString();
  return text ? `/lab?${text}` : "/lab";
}

/** Where a view is computed, and what is asked there. */
export function question(view: View): { path: string; asked: Record<string, unknown> } {
  const padding = /^\d{1,6}$/.test(view.padding) ? Number(view.padding) : view.padding;
  const { image, size, kernel, stride, dilation, op, upstream, outputs, seed } = view;
  const shared = { image, size, upstream };
  if (view.tab === "pool") {
    const { pool, window, every, around, shift } = view;
    const asked = { ...shared, pool, window, every, around, dilation, shift };
    return { path: "/api/lab/pool", asked };
  }
  const moved = { ...shared, kernel, stride, padding, dilation, op, back: view.mode === "bar" };
  if (view.tab === "channels") {
    return { path: "/api/lab/channels", asked: { ...moved, outputs, seed } };
  }
  const copies = view.tab === "copies" ? view.of : "";
  const { dims, wanted } = view;
  const matrix = view.tab === "wiring";
  return { path: "/api/lab/slide", asked: { ...moved, dims, wanted, copies, matrix } };
}

/** A place such as y.0,2,1: whose, and its index. */
export interface Place {
  readonly node: string;
  readonly index: readonly number[];
}

export const placeText = (place: Place) => `${place.node}.${place.index.join(",")}`;

/** The place that a text names; null if it is none. */
export function placeOf(text: string | null): Place | null {
  const found = /^(x|w|y|b)\.(\d{1,4}(?:,\d{1,4}){0,3})$/.exec(text ?? "");
  const [, node, index] = found ?? [];
  return node && index ? { node, index: index.split(",").map(Number) } : null;
}
