/** Jobs of which the newest counts: one is at work, and of those that come meanwhile the last waits. */
export class Latest {
  #waiting: (() => Promise<void>) | null = null;
  #working = false;

  /** Do this next; a job that waits is dropped. */
  push(job: () => Promise<void>): void {
    this.#waiting = job;
    if (!this.#working) void this.#work();
  }

  async #work(): Promise<void> {
    this.#working = true;
    for (let job = this.#waiting; job; job = this.#waiting) {
      this.#waiting = null;
      await job().catch(() => undefined); // a job tells its own failures
    }
    this.#working = false;
  }
}
