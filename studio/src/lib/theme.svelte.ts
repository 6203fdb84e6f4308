/** Dark or light: as the system says, until the person says otherwise. */

export type Theme = "light" | "dark";

const KEY = "theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");

function stored(): Theme | null {
  try {
    const word = window.localStorage.getItem(KEY);
    return word === "light" || word === "dark" ? word : null;
  } catch {
    return null; // a browser that keeps nothing
  }
}

class Appearance {
  #chosen: Theme | null = $state(stored());
  #system: Theme = $state(system.matches ? "dark" : "light");

  constructor() {
    system.addEventListener("change", () => {
      this.#system = system.matches ? "dark" : "light";
      this.#show();
    });
    this.#show();
  }

  get now(): Theme {
    return this.#chosen ?? this.#system;
  }

  /** The other one; what the system says is no longer a choice. */
  toggle(): void {
    const other = this.now === "dark" ? "light" : "dark";
    this.#chosen = other === this.#system ? null : other;
    try {
      if (this.#chosen) window.localStorage.setItem(KEY, this.#chosen);
      else window.localStorage.removeItem(KEY);
    } catch {
      // It holds until the page is left.
    }
    this.#show();
  }

  #show(): void {
    document.documentElement.dataset["theme"] = this.now;
  }
}

export const theme = new Appearance();
