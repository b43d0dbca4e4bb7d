// Names for what the API answers and takes, all of it derived from the OpenAPI documents of the daemon.

import type { components as apiComponents, operations as apiOperations } from "./generated/api.js";
import type { components, operations } from "./generated/v1.js";

type V1 = components["schemas"];
type Api = apiComponents["schemas"];
type Query<Name extends keyof operations> = NonNullable<operations[Name]["parameters"]["query"]>;
type Body<Operation> = Operation extends { requestBody?: infer Sent }
  ? NonNullable<Sent> extends { content: { "application/json": infer Json } }
    ? Json
    : never
  : never;

export type Mcp = V1["Mcp"];
export type McpDetail = V1["McpDetail"];
export type Tool = V1["Tool"];
export type LogLine = V1["LogLine"];
export type ContentBlock = V1["ContentBlock"];
export type InvocationMetadata = V1["InvocationMetadata"];
export type Resources = V1["Resources"];
export type Resource = V1["Resource"];
export type Organization = V1["Organization"];
export type Member = V1["Member"];
export type ApiKey = V1["ApiKey"];
export type NewApiKey = V1["NewApiKey"];
export type RotatedApiKey = V1["RotatedApiKey"];
export type KeyRevocation = V1["KeyRevocation"];
export type Usage = V1["Usage"];
export type UsageBucket = V1["UsageBucket"];
export type ActivityCall = V1["ActivityCall"];
export type ActivityPage = V1["Activity"];

/** Filters of `mcps.list`. */
export type McpFilter = Omit<Query<"listMcps">, "page">;
/** Filters of `organization.members`. */
export type MemberFilter = Omit<Query<"listMembers">, "page">;
/** Filters of `keys.list`. */
export type KeyFilter = Omit<Query<"listKeys">, "page">;
/** Filters of `activity.list`. */
export type ActivityFilter = Omit<Query<"listActivity">, "cursor" | "format" | "follow">;
/** Filters and span of `usage.get`. */
export type UsageQuery = Query<"getUsage">;
/** Filters, span and granularity of `usage.history`. */
export type UsageHistoryQuery = Omit<Query<"getUsageHistory">, "page">;
/** A key to be made. */
export type KeyRequest = Body<operations["createKey"]>;
/** What is to be changed of a key. */
export type KeyChange = Body<operations["updateKey"]>;

export type ApiStatus = Api["ApiStatus"];
/** A server as it is defined. */
export type ServerDefinition = Api["Server"];
/** A tool as `/api` lists it. */
export type ServerTool = Api["Tool"];
/** Answer to a change: it is stored. */
export type Done = Api["Done"];
export type Login = Api["Login"];
export type QueryAnswer = Api["QueryAnswer"];
/** A server to be defined. */
export type ServerRequest = Body<apiOperations["addServer"]>;
/** What is to be changed of a server. */
export type ServerChange = Body<apiOperations["updateServer"]>;
/** What a browser brought back from a login. */
export type LoginResult = Body<apiOperations["finishLogin"]>;
/** What a question may say beside its text; `timeout`, `signal` and `stream` are options of the call. */
export type QueryParameters = Omit<Body<apiOperations["runQuery"]>, "query" | "timeout" | "stream">;
/** An event of an answer that is streamed; the last one is `final`. */
export type QueryEvent =
  | Api["TokenEvent"]
  | Api["ToolCallEvent"]
  | Api["ToolResultEvent"]
  | (QueryAnswer & { type: "final" });
