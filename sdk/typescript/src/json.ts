// JSON whose whole numbers keep all their digits. Pure.

const LONG_WHOLE = /-?[1-9]\d{15,}(?![\d.eE]|\s*:)/g;
/** Characters before such digits with which they are part of another number, or of no JSON. */
const WITHIN_NUMBER = /[\d.eE+]/;

/** Options of `parseJson`. */
export interface ParseOptions {
  /** `true`: whole numbers beyond ±(2^53 - 1) become `bigint`; without it they are rounded, as `JSON.parse` does. */
  bigint?: boolean | undefined;
}

/**
 * Reads JSON.
 * @throws SyntaxError where the text is no JSON.
 */
export function parseJson(text: string, options: ParseOptions = {}): unknown {
  if (!options.bigint) return JSON.parse(text);
  // No number is known to be long without a look at it; most texts have none, and then nothing more is done.
  const mark = secret();
  const marked = markLongNumbers(text, mark);
  if (marked === text) return JSON.parse(text);
  return JSON.parse(marked, (_, value: unknown) =>
    typeof value === "string" && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value,
  );
}

/**
 * Writes JSON. A `bigint` is written as a number with all its digits.
 * @throws TypeError where the value has a cycle.
 */
export function stringifyJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    // Either a `bigint`, of which most values have none, or a cycle, which is found again.
    const mark = secret();
    const text = JSON.stringify(value, (_, member: unknown) => (typeof member === "bigint" ? mark + member : member));
    return text.replace(new RegExp(`"${mark}(-?\\d+)"`, "g"), "$1");
  }
}

/** A text that nobody else can have written into a document, since it is made after the document was. */
function secret(): string {
  return `bigint-${Math.random()}-${Math.random()}:`;
}

/** Puts long whole numbers that stand outside of strings into strings that begin with the mark. */
function markLongNumbers(text: string, mark: string): string {
  const pieces: string[] = [];
  let at = 0;
  while (at < text.length) {
    const open = text.indexOf('"', at);
    const end = open < 0 ? text.length : open;
    pieces.push(
      text.slice(at, end).replace(LONG_WHOLE, (digits, place: number, around: string) => {
        const isPart = WITHIN_NUMBER.test(around[place - 1] ?? "");
        return isPart || Number.isSafeInteger(Number(digits)) ? digits : `"${mark}${digits}"`;
      }),
    );
    at = open < 0 ? end : endOfString(text, open);
    pieces.push(text.slice(end, at));
  }
  return pieces.join("");
}

/** The place behind the string that opens here. */
function endOfString(text: string, open: number): number {
  for (let close = text.indexOf('"', open + 1); close >= 0; close = text.indexOf('"', close + 1)) {
    let escapes = 0;
    while (text[close - 1 - escapes] === "\\") escapes += 1;
    if (escapes % 2 === 0) return close + 1;
  }
  return text.length;
}
