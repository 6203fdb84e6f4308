/** What is looked at: one record, which is the URL's query, so that every view is a link. */

export interface Selection {
  readonly run: string | null; // a run's name
  readonly follow: "yes" | null; // what runs: to Network, as soon as one of its steps is kept
  readonly step: number | null; // the number of a recorded step
  readonly kind: "probe" | "batch" | null; // which record of the step
  readonly sample: number | null; // an index in the batch, or of a probe
  readonly node: string | null; // a node's number in the step
  readonly unit: string | null; // a place in the node's value, such as 7,4,5
  readonly mode: "value" | "bar" | "update" | null; // values, error signals, the optimizer's step
  readonly number: string | null; // whose computation is open, such as 6.bar.0,7,4,5
  readonly bank: string | null; // the name of the parameter whose filters are shown
  readonly filter: number | null; // one of them
  readonly channel: number | null; // of its kernels the one whose numbers are shown
  readonly film: "time" | null; // filters through all kept steps
  readonly seed: string | null; // what the error signals come from: loss:3, score:3, or an element
  readonly other: string | null; // a run's name, with which the first is compared
  readonly axis: "log" | null; // of losses; else linear
  readonly edit: string | null; // what was changed before it was run again, as the server names it
  readonly scale: "channel" | "network" | null; // whose largest size ends the colours; null: layer
  readonly hold: "steps" | "step" | null; // the same colours at all kept steps, or those of each
  readonly maps: "rms" | "number" | "all" | null; // which of many maps; null: the largest
  readonly open: string | null; // the groups of the graph that are open, by their keys
  readonly find: string | null; // what is searched for in the graph
  readonly view: string | null; // scale and place of what is seen of the graph: 0.8,-40,12
  // of the stepper
  readonly example: string | null; // one of the lectures' examples
  readonly formula: string | null; // or one's own
  readonly values: string | null; // of its names, as they are typed
  readonly learned: string | null; // names with commas between
  readonly rate: string | null; // of the update
  readonly move: number | null; // how many moves were made
  readonly notation: Notation | null; // how error signals are called
  readonly game: "guess" | "bug" | null;
  readonly bug: number | null; // which of the planted ones
  readonly naive: "yes" | null; // without reuse
}

/** v̄, ∂L/∂v, δ, or rows times Jacobians. */
export type Notation = "bar" | "leibniz" | "delta" | "jacobian";

export const NOTHING: Selection = {
  run: null,
  follow: null,
  step: null,
  kind: null,
  sample: null,
  node: null,
  unit: null,
  mode: null,
  number: null,
  bank: null,
  filter: null,
  channel: null,
  film: null,
  seed: null,
  other: null,
  axis: null,
  edit: null,
  scale: null,
  hold: null,
  maps: null,
  open: null,
  find: null,
  view: null,
  example: null,
  formula: null,
  values: null,
  learned: null,
  rate: null,
  move: null,
  notation: null,
  game: null,
  bug: null,
  naive: null,
};

/** The selection that a query such as "?run=lenet-001&step=40" names; what is no number is none. */
export function parse(query: string): Selection {
  const given = new URLSearchParams(query);
  const text = (name: keyof Selection) => given.get(name) || null;
  const count = (name: keyof Selection) => {
    const word = given.get(name) ?? "";
    return /^\d{1,15}$/.test(word) ? Number(word) : null;
  };
  const one = <Word extends string>(name: keyof Selection, ...words: readonly Word[]) =>
    words.find((word) => word === given.get(name)) ?? null;
  return {
    run: text("run"),
    step: count("step"),
    kind: one("kind", "probe", "batch"),
    sample: count("sample"),
    node: text("node"),
    unit: text("unit"),
    mode: one("mode", "value", "bar", "update"),
    number: text("number"),
    bank: text("bank"),
    filter: count("filter"),
    channel: count("channel"),
    film: one("film", "time"),
    follow: one("follow", "yes"),
    seed: text("seed"),
    other: text("other"),
    axis: one("axis", "log"),
    edit: text("edit"),
    scale: one("scale", "channel", "network"),
    hold: one("hold", "steps", "step"),
    maps: one("maps", "rms", "number", "all"),
    open: text("open"),
    find: text("find"),
    view: text("view"),
    example: text("example"),
    formula: text("formula"),
    values: text("values"),
    learned: text("learned"),
    rate: text("rate"),
    move: count("move"),
    notation: one("notation", "bar", "leibniz", "delta", "jacobian"),
    game: one("game", "guess", "bug"),
    bug: count("bug"),
    naive: one("naive", "yes"),
  };
}

/** The query of a selection, "" for nothing: always the same one, in the order of the type. */
export function query(selection: Selection): string {
  const given = new URLSearchParams();
  for (const name of Object.keys(NOTHING) as (keyof Selection)[]) {
    const value = selection[name];
    if (value !== null) given.set(name, String(value));
  }
  const text = given.toString();
  return text && `?${text}`;
}

/** The link to a page with a selection; what is not named is not selected. */
export function link(path: string, chosen: Partial<Selection> = {}): string {
  return path + query({ ...NOTHING, ...chosen });
}
