// The authorization server: oidc-provider as it is published, with what a person would do at its pages left to
// run.py. What it is asked and what it did goes into the journal (../../remotes/servers/journal.mjs), and beside the
// lines that are there:
//
//   token     a request for a token was answered   grant client proof refresh resource scope status error reason
//   held      one came to the gate (gate.mjs)      mode
//   event     something that oidc-provider tells   name grant token error reason
//
// A refresh token is named there by the beginning of its hash. The texts themselves, and all others that nobody but
// the daemon may see, go into a file of their own, which is what the canary of run.py looks for.
//
//   node authorization.mjs PORT JOURNAL --settings=FILE
//
// The file is JSON: `resource`, the only address that tokens are given out for; `life` of access tokens in seconds;
// `methods` by which clients say who they are; `clients` that are known from the start; `refresh`, "always" or
// "offline" for who gets a refresh token; `secrets`, the file for them. /control is run.py's own way in.

import { createHash } from "node:crypto";
import { appendFileSync, readFileSync } from "node:fs";
import { createServer } from "node:http";

import Provider, { errors } from "oidc-provider";

import { given } from "../../remotes/servers/http.mjs";
import { Gate } from "./gate.mjs";

const { port, journal } = given();
const settings = JSON.parse(readFileSync(process.argv.find((one) => one.startsWith("--settings=")).slice(11)));
const gate = new Gate(journal);
// Every grant of a person, so that they can be taken back.
const grants = new Set();

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: settings.clients,
  clientAuthMethods: settings.methods,
  cookies: { keys: ["of a test"] },
  pkce: { required: () => true },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    registration: { enabled: true },
    resourceIndicators: { enabled: true, getResourceServerInfo, useGrantedResource: () => true },
  },
  rotateRefreshToken: true,
  ...(settings.refresh === "always" && { issueRefreshToken }),
  ttl: { AccessToken: settings.life, ClientCredentials: settings.life },
});

// To whoever may use one, asked for or not. Without this it goes by OpenID's rule.
function issueRefreshToken(_ctx, client) {
  return client.grantTypeAllowed("refresh_token");
}

function getResourceServerInfo(_ctx, resource) {
  if (resource !== settings.resource) throw new errors.InvalidTarget();
  return { scope: "mcp", audience: resource, accessTokenFormat: "jwt", accessTokenTTL: settings.life };
}

function keepSecret(kind, value) {
  if (value) appendFileSync(settings.secrets, `${JSON.stringify({ kind, value })}\n`);
}

function keepSecrets(told, kinds) {
  for (const kind of kinds) keepSecret(kind, told?.[kind]);
}

const named = (token) => token && createHash("sha256").update(token).digest("hex").slice(0, 12);

function proofOf(ctx, form) {
  if (ctx.get("authorization")) return "basic";
  if (form.client_assertion) return "assertion";
  return form.client_secret ? "post" : "none";
}

async function token(ctx, next) {
  await next();
  const form = ctx.oidc?.body ?? {};
  keepSecret("authorization", ctx.get("authorization").split(" ")[1]);
  keepSecrets(form, ["refresh_token", "code", "code_verifier", "client_secret", "client_assertion"]);
  keepSecrets(ctx.body, ["access_token", "refresh_token", "id_token"]);
  const { grant_type: grant, resource, scope } = form;
  const client = ctx.oidc?.client?.clientId ?? form.client_id;
  const refused = { error: ctx.body?.error, reason: ctx.body?.error_description };
  const told = { grant, client, proof: proofOf(ctx, form), resource, scope };
  journal.write("token", { ...told, refresh: named(form.refresh_token), status: ctx.status, ...refused });
}

async function registration(ctx, next) {
  await next();
  keepSecrets(ctx.body, ["client_secret", "registration_access_token"]);
}

provider.use(async (ctx, next) => {
  if (ctx.path === "/reg") return registration(ctx, next);
  if (ctx.path !== "/token") return next();
  return gate.pass(ctx, () => token(ctx, next));
});

const event = (name, told) => journal.write("event", { name, ...told });
// The lines of oidc-provider's own that run.py looks at: what was used, what was refused, and what was taken back.
provider.on("authorization.success", (_ctx, answer) => {
  keepSecret("code", answer.code);
  event("authorization.success");
});
for (const name of ["authorization.error", "grant.error", "registration_create.error", "server_error"]) {
  provider.on(name, (_ctx, error) => event(name, { error: error.message, reason: error.error_detail ?? error.stack }));
}
provider.on("grant.revoked", (_ctx, grant) => event("grant.revoked", { grant }));
provider.on("refresh_token.saved", (token) => {
  grants.add(token.grantId);
  event("refresh_token.saved", { grant: token.grantId, token: named(token.jti) });
});
provider.on("refresh_token.consumed", (token) => event("refresh_token.consumed", { token: named(token.jti) }));

// As an administrator does it who takes a grant back: nothing that was given out for it is good any more.
async function revoke() {
  for (const id of grants) {
    await (await provider.Grant.find(id))?.destroy();
    await Promise.all([provider.RefreshToken, provider.AccessToken].map((model) => model.revokeByGrantId(id)));
  }
}

async function control(url) {
  if (url.pathname === "/control/gate") gate.set(url.searchParams.get("mode"));
  else if (url.pathname === "/control/revoke") await revoke();
  else return 404;
  return 204;
}

const callback = provider.callback();
const server = createServer((req, res) => {
  const url = new URL(req.url, "http://server");
  if (!url.pathname.startsWith("/control/")) return callback(req, res);
  control(url).then((status) => res.writeHead(status).end(), (error) => res.writeHead(500).end(String(error)));
});
journal.watch(server).listen(port, "127.0.0.1");
