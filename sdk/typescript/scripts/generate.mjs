// Derives src/generated/{v1,api}.ts from the OpenAPI documents of the daemon.
// `--check` writes nothing and fails where a file is not what it would be made.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const HEAD = "// Made by scripts/generate.mjs of the daemon's OpenAPI document. Do not edit: `npm run generate` makes it anew.\n\n";
const documents = { v1: "plexmcp", api: "mcp_cli" };

const isCheck = process.argv.includes("--check");
const target = new URL("../src/generated/", import.meta.url);
let drifted = 0;
await mkdir(target, { recursive: true });
for (const [name, dialect] of Object.entries(documents)) {
  const document = new URL(`../../../src/http/${dialect}/openapi.json`, import.meta.url);
  // By default a member with a default value counts as present, which holds for answers but not for what is sent.
  const made = HEAD + astToString(await openapiTS(document, { defaultNonNullable: false }));
  const file = new URL(`${name}.ts`, target);
  if (!isCheck) {
    await writeFile(file, made);
  } else if (made !== (await readFile(file, "utf8").catch(() => ""))) {
    console.error(`src/generated/${name}.ts is not what ${dialect}'s OpenAPI document says: run \`npm run generate\``);
    drifted += 1;
  }
}
process.exitCode = drifted > 0 ? 1 : 0;
