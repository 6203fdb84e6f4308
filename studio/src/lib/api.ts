/** What the server says, in types; asking it; and merging what it pushes. */

import { embeddedAnswer, isEmbedded } from "./embedded";

export type Figure = number | "NaN" | "Infinity" | "-Infinity";
export type Figures = Readonly<Record<string, Figure>>;

export interface Result {
  readonly name: string;
  readonly measured: Figure;
  readonly wanted: string; // "" where nothing is demanded
  readonly holds: boolean;
}

/** Where a training that runs stands, as it says itself. */
export interface Place {
  readonly state: "running" | "paused";
  readonly step: number;
  readonly steps: number | null; // of the whole training, if the data tell
  readonly epoch: number; // whole ones behind
  readonly rate: number; // of the step before
  readonly base_rate: number; // before the schedule
  readonly speed: Figure; // samples a second
  readonly left: Figure | null; // seconds
  readonly said: string; // why it did not do what was asked; "" for nothing
}

export interface Run {
  readonly name: string;
  readonly system: string;
  readonly title: string; // of one that no system made: its script or its model
  readonly status: "running" | "finished" | "interrupted" | "recorded" | "damaged";
  readonly started: string; // ISO 8601, or ""
  readonly epochs: number;
  readonly epoch: number; // how many of them are behind
  readonly figures: Figures; // of the last epoch
  readonly results: readonly Result[];
  readonly seconds: number | null;
  readonly recorded: boolean;
  readonly kept: number; // steps whose values are kept
  readonly error: string | null;
  readonly remedy: string | null;
  readonly place: Place | null; // of a training that runs and says it
}

export interface RunDetails extends Run {
  readonly config: Readonly<Record<string, unknown>>;
  readonly history: readonly Figures[];
}

export interface System {
  readonly name: string;
  readonly title: string;
  readonly parameters: number | null;
  readonly epochs: number | null;
  readonly time: string | null;
  readonly data: readonly string[]; // none: it is computed, not trained
}

export interface Training {
  readonly state: "idle" | "running" | "finished" | "interrupted" | "failed";
  readonly system: string;
  readonly started: string;
  readonly run: string | null;
  readonly lines: readonly string[];
  readonly result: { readonly figures?: readonly Result[] } | null;
}

export interface Change {
  readonly runs: readonly Run[];
  readonly gone: readonly string[];
  readonly training?: Training;
  readonly all?: boolean;
}

/** An answer that is no success: one sentence, and what to do. */
export class ApiError extends Error {
  constructor(
    readonly status: number, // 0: no answer
    message: string,
    readonly remedy: string,
  ) {
    super(message);
  }
}

/** The server's answer, read as JSON. */
export async function ask<T>(path: string, options?: RequestInit): Promise<T> {
  const response = await answer(path, options);
  return (await response.json()) as T;
}

/** The server's answer; an ApiError if it is none, or no success. */
export async function answer(path: string, options?: RequestInit): Promise<Response> {
  if (isEmbedded()) return kept(path);
  const response = await fetch(path, options).catch(() => {
    throw new ApiError(0, "The studio's server does not answer.", "chainrule studio starts it.");
  });
  if (response.ok) return response;
  if (response.status === 403)
    throw new ApiError(403, "This page's key is not the studio's.", "Open the link printed last.");
  const body: unknown = await response.json().catch(() => null);
  const said = (body ?? {}) as { error?: string; remedy?: string };
  throw new ApiError(
    response.status,
    said.error ?? `The studio's server answered ${response.status}.`,
    said.remedy ?? "Load the page again.",
  );
}

/** What a saved file knows. */
function kept(path: string): Response {
  const found = embeddedAnswer(path);
  if (found !== undefined) return Response.json(found);
  throw new ApiError(404, "This file keeps no more.", "chainrule studio computes it.");
}

export const getRun = (name: string) => ask<RunDetails>(`/api/runs/${encodeURIComponent(name)}`);
export const getSystems = () => ask<{ systems: System[] }>("/api/systems");
export const getTraining = () => ask<Training>("/api/train");
export const startTraining = (system: string) =>
  ask<Training>("/api/train", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ system }),
  });

/** Ask a training for something; it does it after the step that runs, and says so in its place. */
export const steer = (run: string, command: { do: string; rate?: number }) =>
  ask<{ asked: string }>(`/api/runs/${encodeURIComponent(run)}/control`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(command),
  });

/** The runs after a change, the newest first. */
export function merge(runs: readonly Run[], change: Change): Run[] {
  const named = new Map((change.all ? [] : runs).map((run) => [run.name, run]));
  for (const run of change.runs) named.set(run.name, run);
  for (const name of change.gone) named.delete(name);
  const key = (run: Run) => `${run.started}\n${run.name}`;
  return [...named.values()].sort((a, b) => (key(a) < key(b) ? 1 : -1));
}

/** What can be opened beside the runs. */
export interface Openable {
  readonly models: readonly string[];
  readonly scripts: readonly string[]; // in the server's folder
}

export const getOpenable = () => ask<Openable>("/api/open");

/** Open a run's folder, a script, which then runs, or a model; the run is null as long as it has none. */
export const openThing = (what: string) =>
  ask<{ readonly run: string | null }>("/api/open", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ what }),
  });
