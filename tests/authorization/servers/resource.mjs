// The server that wants tokens, on the TypeScript SDK of the first line with the SDK's own guard before it: each
// request needs a token that was given out for this server by the authorization server that its metadata names. The
// journal has a line `ran` for each call (../../remotes/servers/journal.mjs).
//
//   node resource.mjs PORT JOURNAL --issuer=URL

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";

import { InvalidTokenError } from "@modelcontextprotocol/sdk/server/auth/errors.js";
import { requireBearerAuth } from "@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js";
import * as auth from "@modelcontextprotocol/sdk/server/auth/router.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import express from "express";
import { createRemoteJWKSet, jwtVerify } from "jose";
import * as z from "zod/v4";

import { given, sessions } from "../../remotes/servers/http.mjs";

const { port, journal } = given();
const issuer = process.argv.find((one) => one.startsWith("--issuer=")).slice(9);
const own = new URL(`http://127.0.0.1:${port}/mcp`);

const oauthMetadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
const keys = createRemoteJWKSet(new URL(oauthMetadata.jwks_uri));

// The SDK leaves to the application what is to be looked at in a token; all else is up to its guard.
async function verifyAccessToken(token) {
  const { payload } = await jwtVerify(token, keys, { issuer, audience: own.href }).catch((error) => {
    throw new InvalidTokenError(error.code ?? "not a token");
  });
  const { client_id: clientId, scope, exp: expiresAt, aud } = payload;
  return { token, clientId, scopes: scope?.split(" ") ?? [], expiresAt, resource: new URL(aud) };
}

function made() {
  const server = new McpServer({ name: "guarded", version: "1" });
  const inputSchema = z.object({ text: z.string() });
  server.registerTool("echo", { description: "Gives a text back", inputSchema }, (args) => {
    journal.ran("echo", args);
    return { content: [{ type: "text", text: args.text }] };
  });
  return server;
}

const guard = requireBearerAuth({
  verifier: { verifyAccessToken },
  requiredScopes: ["mcp"],
  resourceMetadataUrl: auth.getOAuthProtectedResourceMetadataUrl(own),
  expectedResource: own,
});
const answer = sessions(async (callbacks) => {
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, ...callbacks });
  await made().connect(transport);
  return transport;
});
const app = express();
app.use(auth.mcpAuthMetadataRouter({ oauthMetadata, resourceServerUrl: own, scopesSupported: ["mcp"] }));
app.all(own.pathname, guard, (req, res) => answer(req, res));
journal.watch(createServer(app)).listen(port, "127.0.0.1");
