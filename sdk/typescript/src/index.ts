// What the package offers.

export { Client, type ClientOptions, type InvokeOptions, type InvokeResult, type McpEndpoint } from "./client.js";
export type { Api, Config, QueryOptions, Servers, Tools } from "./api.js";
export * from "./errors.js";
export { parseJson, stringifyJson, type ParseOptions } from "./json.js";
export { type Page, Paged } from "./pages.js";
export { EventStream } from "./stream.js";
export type { RequestOptions } from "./transport.js";
export type * from "./types.js";
export { type CallList, type FollowOptions, type Activity, type Keys, type Logs, type Mcps, type Organizations, type Resources as ResourceRoutes, type Usage as UsageRoutes } from "./v1.js";
export { VERSION } from "./version.js";
