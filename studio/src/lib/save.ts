/** A panel of a page as a file: PNG, or SVG with its text as text. */

/** The file's name: the panel's, without what a file system does not like. */
export function fileName(name: string, ending: "png" | "svg"): string {
  const plain = name.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");
  return `${plain || "panel"}.${ending}`;
}

/** Let the browser save a panel as it is seen now, twice as fine as PNG. */
export async function save(panel: HTMLElement, name: string, ending: "png" | "svg"): Promise<void> {
  const { domToForeignObjectSvg, domToPng } = await import("modern-screenshot");
  const paper = getComputedStyle(document.documentElement).getPropertyValue("--paper").trim();
  const options = {
    backgroundColor: paper,
    font: false as const, // the fonts are the system's; reading them would need styles in line
    filter: (node: Node) => !(node instanceof Element && node.classList.contains("panel-menu")),
  };
  const anchor = document.createElement("a");
  anchor.download = fileName(name, ending);
  if (ending === "png") {
    anchor.href = await domToPng(panel, { ...options, scale: 2 });
  } else {
    const drawn = new XMLSerializer().serializeToString(
      await domToForeignObjectSvg(panel, options),
    );
    anchor.href = URL.createObjectURL(new Blob([drawn], { type: "image/svg+xml" }));
    setTimeout(() => URL.revokeObjectURL(anchor.href), 60_000);
  }
  anchor.click();
}
