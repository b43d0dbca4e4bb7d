// When a request is made once more. Pure.

import type { McpvisorError } from "./errors.js";

/** Longest `Retry-After` that is waited for, in milliseconds: whoever is told to come later is told so by the error. */
export const LONGEST_WAIT = 30_000;

const KINDS = new Set(["RateLimited", "ServerUnavailable", "Connection", "Protocol"]);

/** How a request stands when one of its tries has failed. */
export interface Tries {
  /** Tries that have failed before this one. */
  failed: number;
  /** Further tries that may be made. */
  maxRetries: number;
  /** Milliseconds to the caller's deadline. */
  left: number;
  /** A number from 0 up to 1, by chance. */
  random: number;
}

/**
 * Milliseconds to wait before the next try; `null` when the error is the caller's. Only what was provably not carried out
 * is repeated, and what only reads: that is what `isRetryable` says. What is used up for a month, or beyond its deadline,
 * is safe to repeat but not worth it.
 */
export function retryDelay(error: McpvisorError, tries: Tries): number | null {
  // A call with a key that is still running answers whoever asks for it again.
  const mayHelp = KINDS.has(error.kind) || error.details?.["idempotency"] === "running";
  if (!error.isRetryable || !mayHelp || tries.failed >= tries.maxRetries) return null;
  const told = error.retryAfter === null ? null : error.retryAfter * 1000;
  const wait = told ?? tries.random * 500 * 2 ** tries.failed;
  return wait > LONGEST_WAIT || wait >= tries.left ? null : wait;
}
