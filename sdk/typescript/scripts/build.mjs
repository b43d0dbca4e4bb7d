// Makes dist/ of src/: the same modules for `import` and for `require`, each with its types.
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
rmSync(here("dist"), { recursive: true, force: true });
for (const project of ["tsconfig.json", "tsconfig.cjs.json"]) {
  execFileSync(process.execPath, [here("node_modules/typescript/bin/tsc"), "--project", here(project)], { stdio: "inherit" });
}
// The package is one of ES modules; this folder is not.
writeFileSync(here("dist/cjs/package.json"), `${JSON.stringify({ type: "commonjs" })}\n`);
