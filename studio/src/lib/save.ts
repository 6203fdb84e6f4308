/** A panel of a page as a file: PNG, or SVG with its text as text. */

/** The file's name: the panel's, without what a file system does not like. */
export function fileName(name: string, ending: "png" | "svg"): string {
  const plain = name.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");
  return `${plain || "panel"}.${ending}`;
}

/** Let the browser save a panel as it is seen now, twice as fine as PNG. */
export async function save(panel: HTMLElement, name: string, ending: "png" | "svg"): Promise<void> {
  const { domToPng, domToSvg } = await import("modern-screenshot");
  const paper = getComputedStyle(document.documentElement).getPropertyValue("--paper").trim();
  const options = {
    backgroundColor: paper,
    filter: (node: Node) => !(node instanceof Element && node.classList.contains("panel-menu")),
  };
  const draw =
    ending === "png" ? domToPng(panel, { ...options, scale: 2 }) : domToSvg(panel, options);
  const anchor = document.createElement("a");
  anchor.href = await draw;
  anchor.download = fileName(name, ending);
  anchor.click();
}
