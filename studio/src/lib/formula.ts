/** KaTeX, loaded with the first formula: 0.6 MB that other pages do not need. */

type Katex = typeof import("katex").default;

let loaded: Katex | null = null;

async function load(): Promise<Katex> {
  const [katex] = await Promise.all([import("katex"), import("katex/dist/katex.min.css")]);
  return (loaded = katex.default);
}

/** Draw a formula; returns how to drop it if KaTeX is not here yet. */
export function setFormula(box: HTMLElement, tex: string, block: boolean): () => void {
  let current = true;
  // Elements, no text of HTML: the pages' policy allows no style attributes in that.
  const draw = (katex: Katex) =>
    katex.render(tex, box, {
      displayMode: block,
      throwOnError: false,
      // Fractions in full size: an index in a small one would be too small to read.
      macros: { "\\of": "\\htmlData{of=#1}{#2}", "\\frac": "\\dfrac" },
      trust: (context) => context.command === "\\htmlData",
      strict: (code: string) => (code === "htmlExtension" ? "ignore" : "warn"),
    });
  if (loaded) draw(loaded);
  else void load().then((katex) => current && draw(katex));
  return () => (current = false);
}
