/** Keys of the page: one table, which `?` shows and which they are read from. */

export interface Key {
  readonly key: string; // as in KeyboardEvent.key
  readonly shown?: string; // as a person reads it
  readonly what: string;
  readonly act: () => void;
}

const TYPED_INTO = new Set(["INPUT", "TEXTAREA", "SELECT"]);

/** The key that an event means; none while somebody types or holds Ctrl, Alt or Meta. */
export function meant(
  keys: readonly Key[],
  event: Pick<KeyboardEvent, "key" | "ctrlKey" | "altKey" | "metaKey" | "defaultPrevented">,
  into: string,
): Key | undefined {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return undefined;
  if (TYPED_INTO.has(into)) return undefined;
  return keys.find((key) => key.key.toLowerCase() === event.key.toLowerCase());
}

/** Let keys act, but where a dialog is open, which has its own; returns how to end that. */
export function listenTo(keys: readonly Key[]): () => void {
  const pressed = (event: KeyboardEvent) => {
    if (document.querySelector("dialog[open]")) return;
    const { target } = event;
    const slides = target instanceof HTMLInputElement && target.type === "range";
    const into = target instanceof Element && !slides ? target.tagName : "";
    const key = meant(keys, event, into);
    if (!key) return;
    event.preventDefault();
    key.act();
  };
  window.addEventListener("keydown", pressed);
  return () => window.removeEventListener("keydown", pressed);
}
