import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJson, stringifyJson } from "../dist/esm/json.js";

const big = (text) => parseJson(text, { bigint: true });

test("whole numbers beyond 2^53 keep their digits if asked to", () => {
  assert.deepEqual(big('{"a":9223372036854775807,"b":[-18446744073709551616,1],"c":9007199254740991}'), { a: 9223372036854775807n, b: [-18446744073709551616n, 1], c: 9007199254740991 });
  assert.equal(big("9007199254740993"), 9007199254740993n);
  assert.equal(parseJson("9007199254740993"), 9007199254740992);
});

test("what is no whole number, or stands in a text, stays what it is", () => {
  for (const text of ["0.12345678901234567890", "12345678901234567890.5", "1e400", "12345678901234567890e2", "1.5e-1234567890123456789"]) assert.equal(big(text), JSON.parse(text));
  for (const value of ['12345678901234567890', '\\"12345678901234567890', "\\", 'a"b\\\\"c 12345678901234567890']) assert.deepEqual(big(JSON.stringify([value, { [value]: 1 }])), [value, { [value]: 1 }]);
  assert.deepEqual(big('["\\\\",12345678901234567890,"\\""]'), ["\\", 12345678901234567890n, '"']);
});

test("what is no JSON is no JSON", () => {
  for (const text of ["", "{", '"', '"\\', "12345678901234567890x", "[12345678901234567890", "012345678901234567890", "{12345678901234567890:1}"]) assert.throws(() => big(text), SyntaxError, text);
});

test("a random value comes back as it was, digits and all", () => {
  const random = (depth) => {
    const kind = Math.floor(Math.random() * (depth > 3 ? 5 : 7));
    const text = Array.from({ length: Math.random() * 8 }, () => ['"', "\\", "1", "9", ",", "ü", "🌍", "\n", "\u0000"][Math.floor(Math.random() * 9)]).join("");
    if (kind === 0) return text;
    if (kind === 1) return (Math.random() - 0.5) * 10 ** Math.floor(Math.random() * 40 - 20);
    if (kind === 2) return (Math.random() < 0.5 ? -1n : 1n) * (2n ** 53n + BigInt(Math.floor(Math.random() * 2 ** 50)) ** BigInt(1 + Math.floor(Math.random() * 3)));
    if (kind === 3) return [null, true, false][Math.floor(Math.random() * 3)];
    if (kind === 4) return Math.floor(Math.random() * 2 ** 53);
    const members = Array.from({ length: Math.random() * 5 }, () => random(depth + 1));
    return kind === 5 ? members : Object.fromEntries(members.map((member, number) => [`${text}${number}`, member]));
  };
  for (let round = 0; round < 2000; round += 1) {
    const value = random(0);
    const text = stringifyJson(value);
    // A double without a fraction is written as a whole number, and one beyond 2^53 is read as one.
    const wanted = JSON.stringify(value, (_, member) => (typeof member === "bigint" || (Number.isInteger(member) && !Number.isSafeInteger(member) && Math.abs(member) < 1e21) ? `n${BigInt(String(member))}` : member));
    assert.equal(JSON.stringify(big(text), (_, member) => (typeof member === "bigint" ? `n${member}` : member)), wanted, text);
  }
});

test("a text of 16 MB is read in less time than a person notices", { timeout: 20_000 }, () => {
  const escapes = '\\"'.repeat(4_000_000);
  assert.equal(big(`["${escapes}",12345678901234567890]`)[1], 12345678901234567890n);
});
