// Made by scripts/generate.mjs of the daemon's OpenAPI document. Do not edit: `npm run generate` makes it anew.

export interface paths {
    "/api/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get this document
         * @description OpenAPI 3.1. The same file is in the gateway's repository.
         */
        get: operations["getOpenApi"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/status": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Check that the API answers
         * @description Answers while the API does, however the servers are.
         */
        get: operations["getStatus"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/servers": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List servers */
        get: operations["listServers"];
        put?: never;
        /**
         * Add a server
         * @description Stored when it is answered, and started in the background. The same definition again is no change.
         */
        post: operations["addServer"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/servers/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Get a server */
        get: operations["getServer"];
        /**
         * Change a server
         * @description At least one member is needed. Each replaces the stored one as a whole, the others stay.
         */
        put: operations["updateServer"];
        post?: never;
        /** Remove a server */
        delete: operations["removeServer"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/servers/{name}/tools": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List a server's tools
         * @description A server that has announced none yet is waited for.
         */
        get: operations["listTools"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/servers/{name}/login": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Begin a login at a remote server
         * @description For a remote server whose `mcpvisor.auth` is of type `login`. The login must be finished within ten minutes.
         */
        post: operations["beginLogin"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/servers/{name}/login/finish": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Finish a login at a remote server
         * @description The server is connected to at once.
         */
        post: operations["finishLogin"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/query": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Answer a question with a server's tools
         * @description The model is asked again and again, and the tools that it wants are called, until it has an answer. Leaving cancels all of it.
         */
        post: operations["runQuery"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/config/export": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Write all servers to a file
         * @description Written whole or not at all; an existing file is replaced.
         */
        post: operations["exportConfig"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/config/import": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Replace all servers by those of a file
         * @description All or nothing. Servers that are equal keep running.
         */
        post: operations["importConfig"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description State of the API. */
        ApiStatus: {
            /**
             * @description The word `ok`.
             * @constant
             */
            status: "ok";
            /** @description Name of the API. */
            service: string;
            /** @description Version of the API, not of the gateway. */
            version: string;
        };
        /** @description Answer to a change: it is stored. A server starts in the background. */
        Done: {
            /**
             * @description The word `success`.
             * @constant
             */
            status: "success";
            /** @description Text for people, such as `Server 'playwright' added successfully`. */
            message: string;
        };
        /** @description An answer that is not a success. */
        ErrorResponse: {
            /** @description Text for people. */
            error: string;
            /** @description Word for programs, such as `mcp_unreachable` or `llm_error`, where they may want to tell cases apart; absent elsewhere. Further ones may be added. */
            code?: string;
            /** @description Names of all servers; only in an error about the name of one. */
            available_servers?: string[];
            /** @description Everything that is wrong with a definition; only if that is more than what `error` says. */
            problems?: string[];
            /** @description Id of the request, by which the gateway's log tells more; only for an internal error. */
            request_id?: string;
            /** @description Reason why a key is needed here; only where the gateway's own user would need none. */
            reason?: string;
        };
        /**
         * @description Reasons why the model stopped.
         *
         *     - `stop`: The model had finished its answer.
         *     - `length`: The answer was cut off at its length limit.
         *     - `refusal`: The model refused, or its provider did for it.
         *     - `max_turns`: The model used all its turns and still wanted to call tools.
         * @enum {string}
         */
        FinishReason: "stop" | "length" | "refusal" | "max_turns";
        /** @description A tool that was left out of the request to the model after all. */
        LeftOutTool: {
            /** @description Name of the server. */
            server: string;
            /** @description Tool's name as its server gives it. */
            tool: string;
            /** @description Text of the endpoint's refusal, at most 300 characters. */
            reason: string;
        };
        /** @description Beginning of a login. */
        Login: {
            /**
             * @description The word `success`.
             * @constant
             */
            status: "success";
            /** @description Address to open in a browser. */
            authorization_url: string;
            /** @description Text by which what the browser brings back is known. */
            state: string;
        };
        /** @description A model's answer to a question. */
        QueryAnswer: {
            /**
             * @description The word `success`.
             * @constant
             */
            status: "success";
            /** @description Text of the answer. */
            result: string;
            /** @description Reason why the model stopped. */
            finish_reason: components["schemas"]["FinishReason"];
            /** @description Name of the model that was asked. */
            model: string;
            /** @description Number of turns: how often the model was asked. */
            turns: number;
            /** @description Tokens of all turns, as far as the model's endpoint counts them. */
            usage: components["schemas"]["TokenUsage"];
            /** @description Tools that the model's endpoint refused to be told of; absent if there are none. */
            left_out?: components["schemas"]["LeftOutTool"][];
            /** @description Tool calls that were made; only if the question asks for them by `include_steps`. */
            steps?: components["schemas"]["Step"][];
        };
        /** @description An MCP server: the program that is run for it. */
        Server: {
            /** @description Unique name. */
            name: string;
            /** @description Program; empty for a server that is elsewhere and has an address. */
            command: string;
            /** @description Arguments of the program. */
            args: string[];
            /** @description Environment variables that are set for it. The values are `[REDACTED]` where the gateway is told to show none. */
            env: {
                [key: string]: string;
            };
            /** @description Address of a server that is elsewhere, without what may be a secret in it. */
            url?: string | null;
            /** @description Way in which a server that is elsewhere is spoken to. */
            type?: string | null;
            /** @description Headers that are sent to a server that is elsewhere; the values are always `[REDACTED]`. */
            headers?: {
                [key: string]: string;
            } | null;
        };
        /** @description All servers. */
        ServerList: {
            /** @description Servers, in the order in which they were added. */
            servers: components["schemas"]["Server"][];
        };
        /** @description A tool call that was made. */
        Step: {
            /** @description Name of the server; `null` if the model named an unknown tool. */
            server: string | null;
            /** @description Tool's own name, or the unknown name that the model used. */
            tool: string;
            /** @description Arguments, as the model wrote them. */
            arguments: unknown;
            /** @description Result, as the model got it. */
            result: string;
            /** @description `true` if the result was an error. */
            is_error: boolean;
            /** @description Duration of the call in milliseconds. */
            duration_ms: number;
        };
        /** @description Event of a streamed answer: words of the model, as they come. */
        TokenEvent: {
            /**
             * @description The word `token`.
             * @constant
             */
            type: "token";
            /** @description Words. */
            text: string;
        };
        /** @description Token counts, as the endpoint reports them. */
        TokenUsage: {
            /** @description Tokens of the request. */
            prompt_tokens: number;
            /** @description Tokens of the model's reply. */
            completion_tokens: number;
            /** @description Sum of both, as the endpoint reports it. */
            total_tokens: number;
        };
        /** @description A tool of a server. */
        Tool: {
            /** @description Name, unique within its server. */
            name: string;
            /** @description Description for people and models; empty if the server gives none. */
            description: string;
            /** @description JSON Schema of the arguments, as the server gives it. */
            parameters: {
                [key: string]: unknown;
            };
        };
        /** @description Event of a streamed answer: the model has a tool called. */
        ToolCallEvent: {
            /**
             * @description The word `tool_call`.
             * @constant
             */
            type: "tool_call";
            /** @description Id of the call, which its result has as well. */
            id: string;
            /** @description Name of the server; `null` if the model named an unknown tool. */
            server: string | null;
            /** @description Name of the tool. */
            tool: string;
            /** @description Arguments, as the model wrote them. */
            arguments: unknown;
        };
        /** @description Tools of a server. */
        ToolList: {
            /**
             * @description The word `success`.
             * @constant
             */
            status: "success";
            /** @description Tools, in the server's own order. */
            tools: components["schemas"]["Tool"][];
        };
        /** @description Event of a streamed answer: a tool has answered. */
        ToolResultEvent: {
            /**
             * @description The word `tool_result`.
             * @constant
             */
            type: "tool_result";
            /** @description Id of the call. */
            id: string;
            /** @description Name of the server; `null` if the model named an unknown tool. */
            server: string | null;
            /** @description Name of the tool. */
            tool: string;
            /** @description Result, as the model got it. */
            result: string;
            /** @description `true` if the result is an error. */
            is_error: boolean;
            /** @description Duration of the call, in milliseconds. */
            duration_ms: number;
        };
    };
    responses: {
        /** @description The request cannot be used; `error` says why. */
        BadRequest: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["ErrorResponse"];
            };
        };
        /** @description A key is needed, and there is none that is accepted. */
        Unauthorized: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["ErrorResponse"];
            };
        };
        /** @description The key, a plan or the configuration does not allow it, or `Host` or `Origin` is not accepted. */
        Forbidden: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["ErrorResponse"];
            };
        };
        /** @description There is no such server, tool or file. */
        NotFound: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["ErrorResponse"];
            };
        };
        /** @description The path has no such method. */
        MethodNotAllowed: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                Allow: components["headers"]["Allow"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["ErrorResponse"];
            };
        };
        /** @description The body did not arrive in time. */
        RequestTimeout: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["ErrorResponse"];
            };
        };
        /** @description The name is taken by another definition or a group of servers, or the server is switched off. */
        Conflict: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                "Retry-After": components["headers"]["Retry-After"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["ErrorResponse"];
            };
        };
        /** @description The body is too long. */
        PayloadTooLarge: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["ErrorResponse"];
            };
        };
        /** @description The body is not sent as plain JSON. */
        UnsupportedMediaType: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["ErrorResponse"];
            };
        };
        /** @description There are too many requests, calls or bad keys. */
        TooManyRequests: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                "Retry-After": components["headers"]["Retry-After"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["ErrorResponse"];
            };
        };
        /** @description The server, the model or a file failed, by `code`; or a defect of the gateway. */
        InternalServerError: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                "Retry-After": components["headers"]["Retry-After"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["ErrorResponse"];
            };
        };
        /** @description It cannot be done now, and nothing was carried out. */
        ServiceUnavailable: {
            headers: {
                "X-Request-Id": components["headers"]["X-Request-Id"];
                "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                "Retry-After": components["headers"]["Retry-After"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["ErrorResponse"];
            };
        };
    };
    parameters: never;
    requestBodies: never;
    headers: {
        /** @description Id of the request: the one that it was sent with, or one made here. The gateway's log and audit have it, too. */
        "X-Request-Id": string;
        /** @description Number of requests that may come at once; absent where there is no limit. */
        "X-RateLimit-Limit": number;
        /** @description Number of those that may come now; absent where there is no limit. */
        "X-RateLimit-Remaining": number;
        /** @description Unix time in seconds at which all of them may come again; absent where there is no limit. */
        "X-RateLimit-Reset": number;
        /** @description Seconds after which asking again is worth it; absent where that is not known. */
        "Retry-After": number;
        /** @description Challenge (RFC 6750). */
        "WWW-Authenticate": string;
        /** @description Methods of the path. */
        Allow: string;
        /** @description Path of what was made. */
        Location: string;
        /** @description `true`: the reply was made for an earlier request with the same `Idempotency-Key`. */
        "Idempotent-Replayed": string;
        /** @description `no-store`: the answer must not be kept by caches. */
        "Cache-Control": string;
    };
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    getOpenApi: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The document. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        [key: string]: unknown;
                    };
                };
            };
            400: components["responses"]["BadRequest"];
            403: components["responses"]["Forbidden"];
            405: components["responses"]["MethodNotAllowed"];
            500: components["responses"]["InternalServerError"];
        };
    };
    getStatus: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It answers. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiStatus"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            405: components["responses"]["MethodNotAllowed"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    listServers: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description All servers. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ServerList"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            405: components["responses"]["MethodNotAllowed"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    addServer: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "playwright",
                 *       "command": "npx",
                 *       "args": [
                 *         "@playwright/mcp@latest"
                 *       ],
                 *       "env": {
                 *         "DISPLAY": ":1"
                 *       }
                 *     }
                 */
                "application/json": {
                    /** @description Unique name. */
                    name: string;
                    /** @description Program to run; a server has either this or `url`. */
                    command?: string | null;
                    /** @description Address of a server that is elsewhere. */
                    url?: string | null;
                    /** @description Way in which such a server is spoken to; found out by default. */
                    type?: string | null;
                    /** @description Headers to send to such a server; none by default. */
                    headers?: {
                        [key: string]: string;
                    } | null;
                    /** @description Arguments of the program; none by default. */
                    args?: string[] | null;
                    /** @description Environment variables to set for it; none by default. */
                    env?: {
                        [key: string]: string;
                    } | null;
                    /** @description Treatment of the server, as `docs/configuration.md` of the gateway has it. */
                    mcpvisor?: {
                        [key: string]: unknown;
                    } | null;
                };
            };
        };
        responses: {
            /** @description It is added. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Done"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            405: components["responses"]["MethodNotAllowed"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["Conflict"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    getServer: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Name of the server
                 * @example playwright
                 */
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The server. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Server"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            405: components["responses"]["MethodNotAllowed"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    updateServer: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Name of the server
                 * @example playwright
                 */
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "command": "npx",
                 *       "args": [
                 *         "@playwright/mcp@latest",
                 *         "--headless"
                 *       ],
                 *       "env": {
                 *         "DISPLAY": ":1",
                 *         "DEBUG": "pw:api"
                 *       }
                 *     }
                 */
                "application/json": {
                    /** @description Program to run; a server has either this or `url`. */
                    command?: string | null;
                    /** @description Address of a server that is elsewhere. */
                    url?: string | null;
                    /** @description Way in which such a server is spoken to; found out by default. */
                    type?: string | null;
                    /** @description Headers to send to such a server; none by default. */
                    headers?: {
                        [key: string]: string;
                    } | null;
                    /** @description Arguments of the program; none by default. */
                    args?: string[] | null;
                    /** @description Environment variables to set for it; none by default. */
                    env?: {
                        [key: string]: string;
                    } | null;
                    /** @description Treatment of the server, as `docs/configuration.md` of the gateway has it. */
                    mcpvisor?: {
                        [key: string]: unknown;
                    } | null;
                };
            };
        };
        responses: {
            /** @description It is changed. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Done"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            405: components["responses"]["MethodNotAllowed"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    removeServer: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Name of the server
                 * @example playwright
                 */
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is removed. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Done"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            405: components["responses"]["MethodNotAllowed"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["PayloadTooLarge"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    listTools: {
        parameters: {
            query?: {
                /** @description Passed over: no model is needed to list tools */
                model?: string;
            };
            header?: never;
            path: {
                /**
                 * @description Name of the server
                 * @example playwright
                 */
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Its tools. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ToolList"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            405: components["responses"]["MethodNotAllowed"];
            409: components["responses"]["Conflict"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    beginLogin: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Name of the server
                 * @example playwright
                 */
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "redirect_uri": "http://127.0.0.1:7777/callback"
                 *     }
                 */
                "application/json": {
                    /** @description Address of the person's own machine that the browser is sent to at the end. */
                    redirect_uri: string;
                };
            };
        };
        responses: {
            /** @description Where to go. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Login"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            405: components["responses"]["MethodNotAllowed"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["Conflict"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    finishLogin: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Name of the server
                 * @example playwright
                 */
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "state": "k3v…",
                 *       "code": "spl…",
                 *       "iss": "https://auth.example.org"
                 *     }
                 */
                "application/json": {
                    /** @description Text that came back, as it was given at the beginning. */
                    state: string;
                    /** @description Code that came back. */
                    code?: string;
                    /** @description Authorization server that sent it back, if it said (RFC 9207). */
                    iss?: string;
                    /** @description Error that came back. */
                    error?: string;
                };
            };
        };
        responses: {
            /** @description The login is kept. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Done"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            405: components["responses"]["MethodNotAllowed"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["Conflict"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    runQuery: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "server": "playwright",
                 *       "query": "Find the best restaurants in San Francisco",
                 *       "model": "gpt-3.5-turbo"
                 *     }
                 */
                "application/json": {
                    /** @description Question. */
                    query: string;
                    /** @description Name or id of the server whose tools are used; required unless `servers` is given. */
                    server?: string | null;
                    /** @description Model; by default the one that the gateway is set to. */
                    model?: string | null;
                    /** @description Further servers. */
                    servers?: string[] | null;
                    /** @description Tools that may be used; all by default. */
                    tools?: string[] | null;
                    /** @description `true` for a stream of events; `false` by default. */
                    stream?: boolean | null;
                    /** @description How often the model is asked at most; what the gateway is set to by default. */
                    max_turns?: number | null;
                    /** @description Temperature of the model; its own by default. */
                    temperature?: number | null;
                    /** @description Time for the answer, in milliseconds; what the gateway is set to by default. */
                    timeout?: number | null;
                    /** @description `true` to have the tool calls in the answer; `false` by default. */
                    include_steps?: boolean | null;
                };
            };
        };
        responses: {
            /** @description The answer, or a stream of events that ends with it. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["QueryAnswer"];
                    "text/event-stream": string;
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            405: components["responses"]["MethodNotAllowed"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["Conflict"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    exportConfig: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "filepath": "/path/to/config.json"
                 *     }
                 */
                "application/json": {
                    /** @description Path of the file. With a key it has to be in the folder that `api.config_root` names. */
                    filepath: string;
                };
            };
        };
        responses: {
            /** @description It is written. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Done"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            405: components["responses"]["MethodNotAllowed"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    importConfig: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "filepath": "/path/to/config.json"
                 *     }
                 */
                "application/json": {
                    /** @description Path of the file. With a key it has to be in the folder that `api.config_root` names. */
                    filepath: string;
                };
            };
        };
        responses: {
            /** @description They are replaced. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Done"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            405: components["responses"]["MethodNotAllowed"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["Conflict"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
}
