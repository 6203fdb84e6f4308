/** The Python that makes the same drawing. */

import type { At, Direction } from "../record";

/** open: the groups that are, as a link has them. Null for what was changed here: no record has it. */
export function pythonOf(
  at: At,
  sample: number,
  mode: Direction | null,
  open: string | null,
): string | null {
  if (at.edit) return null;
  const words = [`step=${at.step}`, `kind="${at.kind}"`, `sample=${sample}`];
  if (mode) words.push(`mode="${mode}"`);
  if (open) words.push(`opened=${JSON.stringify(open)}`);
  return [
    "import chainrule as cr",
    "from chainrule.studio.saved.graph_file import save_graph",
    "",
    `run = cr.open_run(${JSON.stringify(at.run)})`,
    `save_graph(run, "graph.html", ${words.join(", ")})`,
  ].join("\n");
}
