// What the runtimes differ in. Which of them repeats a POST by itself is in the README, with the experiment.

/** The parts of the runtimes' globals that are looked at. */
interface Runtime {
  process?: { env?: Record<string, string | undefined>; versions?: { node?: string } };
  Deno?: unknown;
  document?: unknown;
  WorkerGlobalScope?: unknown;
}

const runtime = globalThis as unknown as Runtime;

/** `true` in Deno, whose workers are called as those of browsers. */
const IS_DENO = runtime.Deno !== undefined;

/** `true` in a browser, in a page or a worker. Bundlers bring a `process` along, test runners for Node a `document`. */
export const IS_BROWSER =
  !IS_DENO && !runtime.process?.versions?.node && (runtime.document !== undefined || runtime.WorkerGlobalScope !== undefined);

/** The value of an environment variable; `undefined` where there is none or it may not be read. */
export function environment(name: string): string | undefined {
  try {
    return runtime.process?.env?.[name];
  } catch {
    return undefined; // Deno asks for a permission.
  }
}

/**
 * The body in a form that the runtime sends once. Deno repeats a request whose kept connection was closed in silence,
 * but none whose body it cannot read twice.
 */
export function bodyOnce(text: string): BodyInit {
  return IS_DENO ? new Blob([text]) : text;
}

let prefix = "";
let count = 0;

/** A text that no other call has: 16 hexadecimal digits by chance, which cost more than all else and are made once, and a number. */
export function uniqueId(): string {
  // Some runtimes have no randomness before a first request.
  prefix ||= Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  count += 1;
  return `${prefix}_${count.toString(16).padStart(8, "0")}`;
}

/** `true` where an error of `fetch` shows that not one byte of the request was sent. */
export function wasNotSent(error: unknown): boolean {
  const cause = (error as { cause?: unknown } | null)?.cause ?? error;
  const { code, syscall, message } = (cause ?? {}) as { code?: unknown; syscall?: unknown; message?: unknown };
  if (syscall !== undefined) return syscall === "connect" || syscall === "getaddrinfo";
  // Node says it by a code where it has tried several addresses, Bun always, Deno in words.
  return UNCONNECTED.has(String(code)) || String(message).includes("client error (Connect)");
}

const UNCONNECTED = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
  "ConnectionRefused",
  "FailedToOpenSocket",
]);

/** `true` where an error of `fetch` is a time of the runtime's own that has run out. */
export function isTimeOfRuntime(error: unknown): boolean {
  const code = (error as { cause?: { code?: unknown } } | null)?.cause?.code;
  return code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT";
}
