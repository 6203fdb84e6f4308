/** The Python that draws the same picture. */

import { isParameter, type At, type Direction, type Layer } from "../record";

/** A layer's or parameter's numbers in the record: ``tape["relu"][1].value.numpy()[3]``. */
function numbersOf(layer: Layer, sample: number, bar: boolean): string {
  const [name, again] = /^(.*?)(?: (\d+))?$/.exec(layer.key ?? layer.name)?.slice(1) ?? [];
  const entry = `tape[${JSON.stringify(name)}]${again ? `[${Number(again) - 1}]` : ""}`;
  const row = isParameter(layer) ? "" : `[${sample}]`;
  return `${entry}.${bar ? "bar" : "value"}.numpy()${row}`;
}

/** How their colours are told to matplotlib. */
function coloursOf(layer: Layer, bar: boolean, size: number): readonly [string, number, number] {
  if (bar) return ["RdYlBu_r", -size, size];
  return layer.value?.signed ? ["PRGn", -size, size] : ["Greys", 0, size];
}

const opened = (at: At) => [
  "import chainrule as cr",
  "import matplotlib.pyplot as plt",
  "",
  `tape = cr.open_run("${at.run}").records.tape(${at.step}, "${at.kind}")`,
];

/** Of all layers' maps for one sample, a column each; null where there is no name. */
export function pythonOfAll(
  at: At,
  layers: readonly Layer[],
  sample: number,
  direction: Direction,
  size: (layer: Layer) => number,
): string | null {
  if (at.edit || direction === "update") return null;
  const bar = direction === "bar";
  const named = layers.filter((each) => each.op !== "data" && each[direction] !== null);
  if (!named.length) return null;
  return [
    ...opened(at),
    "layers = [",
    ...named.map((each) => {
      const [map, low, high] = coloursOf(each, bar, size(each));
      const shape = `(-1, ${Math.max(1, each.rows)}, ${each.columns})`;
      const title = JSON.stringify(each.key ?? each.name);
      return `    (${title}, ${numbersOf(each, sample, bar)}.reshape${shape}, "${map}", ${low}, ${high}),`;
    }),
    "]",
    "most = min(16, max(len(maps) for _, maps, *_ in layers))",
    "_, axes = plt.subplots(most, len(layers), squeeze=False)",
    "for column, (name, maps, colours, low, high) in zip(axes.T, layers):",
    "    column[0].set_title(name)",
    "    for axis, picture in zip(column, maps):",
    "        axis.imshow(picture, cmap=colours, vmin=low, vmax=high)",
    "plt.show()",
  ].join("\n");
}

/** Of a layer's maps for one sample, with the ends of their colours; null where there is no name. */
export function pythonOf(
  at: At,
  layer: Layer,
  sample: number,
  direction: Direction,
  size: number,
  map: number | null = null,
): string | null {
  if (layer.op === "data" || at.edit || direction === "update") return null;
  const rows = Math.max(1, layer.rows);
  const one = map === null ? "" : `[${map}:${map + 1}]`;
  const bar = direction === "bar";
  const [colours, low, high] = coloursOf(layer, bar, size);
  return [
    ...opened(at),
    `numbers = ${numbersOf(layer, sample, bar)}`,
    `maps = numbers.reshape(${layer.maps}, ${rows}, ${layer.columns})${one}`,
    "_, axes = plt.subplots(1, len(maps), squeeze=False)",
    "for axis, picture in zip(axes.flat, maps):",
    `    axis.imshow(picture, cmap="${colours}", vmin=${low}, vmax=${high})`,
    "plt.show()",
  ].join("\n");
}
