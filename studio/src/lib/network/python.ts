/** The Python that draws the same picture. */

import { isParameter, type At, type Direction, type Layer } from "../record";

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
  const bar = direction === "bar";
  const [name, again] = /^(.*?)(?: (\d+))?$/.exec(layer.key ?? layer.name)?.slice(1) ?? [];
  const entry = `tape[${JSON.stringify(name)}]${again ? `[${Number(again) - 1}]` : ""}`;
  const row = isParameter(layer) ? "" : `[${sample}]`;
  const rows = Math.max(1, layer.rows);
  const one = map === null ? "" : `[${map}:${map + 1}]`;
  const colours = bar
    ? `cmap="RdYlBu_r", vmin=-${size}, vmax=${size}`
    : layer.value?.signed
      ? `cmap="PRGn", vmin=-${size}, vmax=${size}`
      : `cmap="Greys", vmin=0, vmax=${size}`;
  return [
    "import chainrule as cr",
    "import matplotlib.pyplot as plt",
    "",
    `tape = cr.open_run("${at.run}").records.tape(${at.step}, "${at.kind}")`,
    `numbers = ${entry}.${bar ? "bar" : "value"}.numpy()${row}`,
    `maps = numbers.reshape(${layer.maps}, ${rows}, ${layer.columns})${one}`,
    "_, axes = plt.subplots(1, len(maps), squeeze=False)",
    "for axis, picture in zip(axes.flat, maps):",
    `    axis.imshow(picture, ${colours})`,
    "plt.show()",
  ].join("\n");
}
