/** The runs and the training as they are now: told by the server, asked for again when it went. */

import { ApiError, getTraining, merge, type Change, type Run, type Training } from "./api";

/** connecting: never heard.  gone: no server.  refused: a server that does not know our key. */
export type Hearing = "connecting" | "open" | "gone" | "refused";

const FIRST_WAIT = 500; // milliseconds, doubled after each failure
const LONGEST_WAIT = 5000;

class Live {
  hearing: Hearing = $state("connecting");
  loaded = $state(false); // whether runs and training are known
  runs: readonly Run[] = $state.raw([]);
  training: Training | null = $state.raw(null);

  #socket: WebSocket | null = null;
  #wait = FIRST_WAIT;
  #timer: number | undefined;

  /** Listen until ``stop``; after a loss, again and again, and when a tab wakes up at once. */
  start(): void {
    this.stop();
    document.addEventListener("visibilitychange", this.#woken);
    const scheme = window.location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${window.location.host}/api/live`);
    this.#socket = socket;
    socket.onmessage = (event) => this.#told(JSON.parse(String(event.data)) as Change);
    socket.onclose = () => {
      if (this.#socket === socket) void this.#lost();
    };
  }

  stop(): void {
    document.removeEventListener("visibilitychange", this.#woken);
    window.clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  /** Try now rather than after the wait. */
  retry(): void {
    this.#wait = FIRST_WAIT;
    this.start();
  }

  readonly #woken = () => {
    if (document.visibilityState === "visible" && this.#socket === null) this.retry();
  };

  #told(change: Change): void {
    this.hearing = "open";
    this.loaded = true;
    this.#wait = FIRST_WAIT;
    this.runs = merge(this.runs, change);
    if (change.training) this.training = change.training;
  }

  async #lost(): Promise<void> {
    this.#socket = null;
    this.#timer = window.setTimeout(() => this.start(), this.#wait);
    this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT);
    // A socket does not say why it was refused; a plain request does.
    const status = await getTraining().then(
      () => 200,
      (error: unknown) => (error instanceof ApiError ? error.status : 0),
    );
    if (this.#socket === null || this.hearing !== "open") {
      this.hearing = status === 403 ? "refused" : "gone";
    }
  }
}

export const live = new Live();
