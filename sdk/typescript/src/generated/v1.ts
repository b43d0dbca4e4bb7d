// Made by scripts/generate.mjs of the daemon's OpenAPI document. Do not edit: `npm run generate` makes it anew.

export interface paths {
    "/v1/openapi.json": {
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
    "/v1/mcps": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List MCPs
         * @description Newest first. MCPs that the key may not use are left out.
         */
        get: operations["listMcps"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/mcps/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get an MCP
         * @description Answers at once, without asking the MCP.
         */
        get: operations["getMcp"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/doctor": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Find what is wrong
         * @description What keeps MCPs from running, or may, with what to do about it: by how they are, and by what their definitions would meet at a start. Nothing is started for it.
         */
        get: operations["getFindings"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/settings": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the settings that are in force
         * @description As the daemon was started with them, in the order of the reference. What may hold a secret by mistake is shown as a reference only. Members, plans and groups are not among them.
         */
        get: operations["listSettings"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/mcps/{id}/queue": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List whose calls wait
         * @description Each key has a line of its own, and the lines take turns. Calls of a pool are among them.
         */
        get: operations["listQueue"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/mcps/{id}/logs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read or follow an MCP's log
         * @description What its processes write beside their answers, newest last.
         */
        get: operations["getLogs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/mcps/{id}/restart": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Restart an MCP
         * @description Its processes are replaced, each when its successor is ready, and a start that is waited for is tried now. Answered at once: ask for the MCP to see what comes of it.
         */
        post: operations["restartMcp"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/mcps/{id}/stop": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Stop an MCP
         * @description Its calls under way have ten seconds. It stays stopped, and its calls are refused, until it is started or restarted, or the gateway is. Answered at once.
         */
        post: operations["stopMcp"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/mcps/{id}/start": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Start an MCP
         * @description One that was stopped, or that rests until its first call. Answered at once: ask for the MCP to see what comes of it.
         */
        post: operations["startMcp"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/mcps/{id}/disable": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Switch an MCP off
         * @description In its definition, by `disabled`, so that it stays off when the gateway is started anew. Needs a key without limits.
         */
        post: operations["disableMcp"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/mcps/{id}/enable": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Switch an MCP on
         * @description In its definition. It is started as its definition says: at once, or by its first call. Needs a key without limits.
         */
        post: operations["enableMcp"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/mcps/{id}/pins": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Compare an MCP's tools with the approved ones
         * @description Compares each tool with the one that was approved, or that was there when the MCP was first seen.
         */
        get: operations["getPins"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/mcps/{id}/pins/approve": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Approve an MCP's tools as they are
         * @description Refused with `tools_changed` if the tools are not any more what the digest stands for.
         */
        post: operations["approveTools"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/mcp/invoke": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Call a tool
         * @description A call that the MCP may have seen is never sent again: an error says in `details.phase` whether it may have been carried out. Leaving cancels the call; with an `Idempotency-Key` after five seconds in which nobody comes back for it.
         */
        post: operations["invokeTool"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/mcp/resources": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Read a resource, or list all resources
         * @description Without `uri` all resources are listed, as the MCP last announced them.
         */
        post: operations["readResource"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/organization": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Get the organization */
        get: operations["getOrganization"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/organization/members": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List members
         * @description The latest to join come first.
         */
        get: operations["listMembers"];
        put?: never;
        /**
         * Make a member
         * @description For administrators.
         */
        post: operations["createMember"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/organization/members/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Get a member */
        get: operations["getMember"];
        put?: never;
        post?: never;
        /**
         * Remove a member and revoke its keys
         * @description For administrators. Its keys are revoked with it.
         */
        delete: operations["deleteMember"];
        options?: never;
        head?: never;
        /**
         * Change a member
         * @description For administrators. Its keys act with what it is from their very next requests on. Members of the gateway's configuration file are changed there.
         */
        patch: operations["updateMember"];
        trace?: never;
    };
    "/v1/organization/plans": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List plans */
        get: operations["listPlans"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/organization/plans/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Make or replace a plan
         * @description For owners. A limit that is left out, or `null`, is unlimited.
         */
        put: operations["putPlan"];
        post?: never;
        /**
         * Remove a plan
         * @description For owners. A plan that is built in is afterwards as it was.
         */
        delete: operations["deletePlan"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/members/{id}/secrets": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the names of a member's secrets
         * @description For the member itself and for administrators. Values are never shown.
         */
        get: operations["listSecrets"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/members/{id}/secrets/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Store a secret of a member for its own processes
         * @description For the member itself and for administrators. The environment of an MCP that is isolated by principal refers to it as `${principal:NAME}`. It is stored sealed, and shown to nobody.
         */
        put: operations["putSecret"];
        post?: never;
        /**
         * Remove a secret of a member
         * @description For the member itself and for administrators. Processes that have it end.
         */
        delete: operations["deleteSecret"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/backup": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Make a backup
         * @description All that is configured as of one change, and what was counted: a file that `mcpvisor restore` takes. Secrets that are written into definitions are in it, of keys only their SHA-256. One is made at a time; for an owner's key without limits.
         */
        post: operations["makeBackup"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/export": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Export the servers
         * @description All servers as they were defined, with references left as they are: a servers file, which a daemon and many clients take. Secrets that are written into definitions are in it; for an owner's key without limits.
         */
        post: operations["exportServers"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/audit": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the audit
         * @description What was done and refused, newest first.
         */
        get: operations["listAudit"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/audit/export": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Export the audit
         * @description All of the audit, for other programs to keep.
         */
        get: operations["exportAudit"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/activity": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List, follow or export calls
         * @description Who called what, when, how long, and how it ended, newest first, also calls that were refused: all for administrators, those of the member for others. Arguments and results are never kept, and nothing outlives the gateway.
         */
        get: operations["listActivity"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/usage": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the calls of a span of time
         * @description Of all keys for administrators, of the member's own keys for others. A span by `since` is widened to whole minutes if it began in the last three hours, else to whole hours or days, as `resolution` says.
         */
        get: operations["getUsage"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/usage/history": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the calls by hours, days or months
         * @description Newest first, up to now, also those without calls.
         */
        get: operations["getUsageHistory"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/api-keys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List API keys
         * @description Newest first. Members see their own keys, administrators all of them.
         */
        get: operations["listKeys"];
        put?: never;
        /**
         * Make an API key
         * @description The only answer with the key's text, which is kept nowhere: keep it.
         */
        post: operations["createKey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/api-keys/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Get an API key */
        get: operations["getKey"];
        put?: never;
        post?: never;
        /**
         * Revoke an API key
         * @description In force when it is answered. A key that is revoked already is no error.
         */
        delete: operations["revokeKey"];
        options?: never;
        head?: never;
        /**
         * Change an API key
         * @description In force from the key's very next request on. It may be narrowed by whoever may see it, and widened as far as your own key goes.
         */
        patch: operations["updateKey"];
        trace?: never;
    };
    "/v1/api-keys/{id}/rotate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Give an API key another text
         * @description The earlier text is refused at once, or after the time that `grace` gives it. The new one is shown this once.
         */
        post: operations["rotateKey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/api-keys/{id}/usage": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Get the calls with an API key */
        get: operations["getKeyUsage"];
        put?: never;
        post?: never;
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
        /** @description A page of calls. */
        Activity: {
            /** @description Calls, the newest first. */
            calls: components["schemas"]["ActivityCall"][];
            /** @description Value of `cursor` for the next page; `null` if there are no further calls. */
            next_cursor: number | null;
            /** @description Which calls are kept, matching or not. */
            kept: components["schemas"]["ActivityKept"];
        };
        /** @description A call that has ended. */
        ActivityCall: {
            /** @description Number, which counts up from the gateway's start in the order in which calls end. */
            number: number;
            /**
             * Format: date-time
             * @description Time when it began, to the millisecond.
             */
            started_at: string;
            /**
             * Format: double
             * @description Duration in milliseconds, to the microsecond.
             */
            duration_ms: number;
            /** @description Dialect that it was made in. */
            dialect: components["schemas"]["CallDialect"];
            /** @description What was asked for. */
            kind: components["schemas"]["CallKind"];
            /** @description Id of the MCP; `null` if there was none of the name. */
            mcp_id: string | null;
            /** @description Name of the MCP then. */
            mcp_name: string;
            /** @description Name of the tool; `null` for what is no tool. */
            tool: string | null;
            /** @description Outcome: `ok`, `tool_error`, `cancelled`, or a word of the table in `docs/errors.md`. */
            outcome: string;
            /** @description `true` if it may have reached the MCP; otherwise it does not count as used. */
            reached: boolean;
            /** @description Id of the member that called. */
            member_id: string;
            /** @description Id of the key, or of what stands in its place. */
            key_id: string;
            /** @description Name of the key then. */
            key_name: string;
            /** @description Request id, as in the answer's `X-Request-Id`. */
            request_id: string;
        };
        /** @description Last line of an export of activity, without which it is not whole. */
        ActivityEnd: {
            /**
             * @description `true`.
             * @constant
             */
            end: true;
            /** @description Number of calls before it. */
            calls: number;
        };
        /** @description Which calls are kept. */
        ActivityKept: {
            /** @description Number of calls that are kept now. */
            calls: number;
            /** @description Most calls that are kept, `activity.calls`; `0` if none are. */
            most: number;
            /**
             * Format: date-time
             * @description Time from which no call is missing: that of the oldest one, or of the gateway's start.
             */
            complete_since: string;
        };
        /** @description An API key, without its text. */
        ApiKey: {
            /** @description Id, which begins with `key_`. */
            id: string;
            /** @description Name, which need not be unique. */
            name: string;
            /** @description Description; `null` if there is none. */
            description: string | null;
            /** @description First characters of the key's text, by which its holder can tell it. */
            prefix: string;
            /** @description Status of the key. */
            status: components["schemas"]["KeyStatus"];
            /**
             * Format: date-time
             * @description Time at which it was made.
             */
            created_at: string;
            /**
             * Format: date-time
             * @description Time at which it was last used; `null` if it never was.
             */
            last_used: string | null;
            /**
             * Format: date-time
             * @description Time from which on it is refused; `null` if it does not expire.
             */
            expires_at: string | null;
            /**
             * Format: date-time
             * @description Time at which it was revoked; `null` if it was not.
             */
            revoked_at: string | null;
            /** @description Id of the member that owns it, with whose role it acts. */
            owner_id: string;
            /** @description Key that made it; `null` for the first key, and where that was not recorded. */
            created_by: components["schemas"]["KeyMaker"] | null;
            /** @description MCPs and tools that it may use. */
            permissions: components["schemas"]["Permissions"];
            /** @description Limits of its own, beside those of its owner's plan. */
            limits: components["schemas"]["KeyLimits"];
            /**
             * Format: date-time
             * @description Time at which it was given its current text; `null` if it still has its first one.
             */
            rotated_at: string | null;
            /**
             * Format: date-time
             * @description Time until which its earlier text is accepted as well; `null` if it is not accepted.
             */
            previous_key_until: string | null;
            /** @description Numbers of its calls. */
            usage: components["schemas"]["KeyUsage"];
        };
        /** @description Last line of an export, without which it is not whole. */
        AuditEnd: {
            /**
             * @description `true`.
             * @constant
             */
            end: true;
            /** @description Number of entries before it. */
            entries: number;
            /** @description Number of entries that a disk has damaged, which are left out; absent if there are none. */
            damaged?: number;
        };
        /** @description An act or a refusal, as the audit has it. */
        AuditEntry: {
            /** @description Number of the entry, which counts up. */
            number: number;
            /**
             * Format: date-time
             * @description Time at which it was recorded.
             */
            at: string;
            /** @description Name of the act, such as `key.create` or `server.restart`. */
            action: string;
            /** @description Id, name or path of what it was done to. */
            target: string;
            /** @description Result. */
            outcome: components["schemas"]["Outcome"];
            /** @description HTTP status of the answer; absent if there was none. */
            status?: number;
            /** @description Id of the member who asked; absent if it is not known. */
            member_id?: string;
            /** @description Id of the key that was used; absent if it is not known. */
            key_id?: string;
            /** @description Address that the request came from; absent for acts of the gateway itself. */
            peer?: string;
            /** @description User of the gateway's machine who sent the request; absent if it is not known. */
            uid?: number;
            /** @description Request id, as in the answer's `X-Request-Id`. */
            request_id?: string;
            /** @description Further particulars of the act; absent if there are none. */
            details?: {
                [key: string]: unknown;
            };
        };
        /** @description Code `tool_blocked`: the tool is not as it was approved. */
        BlockedToolDetails: {
            /** @description State of the tool. */
            change: components["schemas"]["PinState"];
        };
        /** @description Code `service_unavailable` of an MCP that did not answer its last calls. */
        BreakerDetails: {
            /**
             * @description The word `open`.
             * @constant
             */
            breaker: "open";
        };
        /**
         * @description State of the circuit breaker of an MCP.
         *
         *     - `closed`: Calls are let through.
         *     - `open`: Calls are refused, since the last ones were not answered.
         *     - `half_open`: One call is let through as a trial.
         * @enum {string}
         */
        BreakerState: "closed" | "open" | "half_open";
        /**
         * @description Dialect that a call was made in.
         *
         *     - `plexmcp`: This one, `/v1`.
         *     - `mcp_cli`: `/api`, also the calls that a question led to.
         *     - `mcp`: MCP itself, `/mcp`.
         *     - `other`: None of them.
         * @enum {string}
         */
        CallDialect: "plexmcp" | "mcp_cli" | "mcp" | "other";
        /** @description Calls that went before the reader of a stream could have them. */
        CallGap: {
            /** @description Number of these calls, matching or not. */
            calls: number;
        };
        /**
         * @description What a call asked for.
         *
         *     - `tool`: A tool.
         *     - `resource`: A resource.
         *     - `list`: A list.
         *     - `prompt`: A prompt.
         *     - `completion`: Values for an argument.
         *     - `extension`: An extension of MCP.
         * @enum {string}
         */
        CallKind: "tool" | "resource" | "list" | "prompt" | "completion" | "extension";
        /**
         * @description Progress of a call that failed.
         *
         *     - `not_sent`: The MCP cannot have seen the call, so it is safe to repeat it.
         *     - `in_flight`: The MCP may have carried the call out.
         * @enum {string}
         */
        CallPhase: "not_sent" | "in_flight";
        /** @description Block of content as MCP defines it: a text, an image, a sound, a resource or a link to one. */
        ContentBlock: {
            /** @description Kind of the block, such as `text` or `image`. */
            type?: string;
            /** @description Text of a block of the kind `text`. */
            text?: string;
        } & {
            [key: string]: unknown;
        };
        /** @description What is wrong. */
        DoctorReport: {
            /** @description Findings, the gravest first; empty if nothing was found. */
            findings: components["schemas"]["Finding"][];
        };
        /** @description A setting that is in force, as it is told. */
        EffectiveSetting: {
            /** @description Its name, as in `server.port`. */
            setting: string;
            /** @description Its value as it would be written in the configuration file; `None` if it is not set and has no fixed default. */
            value: string | null;
            /** @description Where it comes from: `default`, a file with the line, or a variable. */
            origin: string;
        };
        /** @description Description of an error. */
        Error: {
            /** @description Word for programs, such as `invalid_request`, `not_found` or `mcp_unreachable`. Further ones may be added; `docs/errors.md` has them all. */
            code: string;
            /** @description Text for people. */
            message: string;
            /** @description Particulars of this error; absent if there are none. */
            details?: components["schemas"]["ErrorDetails"];
        };
        /** @description Particulars of an error. Which there are depends on the error's `code`. */
        ErrorDetails: components["schemas"]["ToolFailure"] | components["schemas"]["RpcFailure"] | components["schemas"]["TimeoutDetails"] | components["schemas"]["NotRepeatedDetails"] | components["schemas"]["UnreachableDetails"] | components["schemas"]["BreakerDetails"] | components["schemas"]["LimitDetails"] | components["schemas"]["BlockedToolDetails"] | components["schemas"]["MissingSecretDetails"] | components["schemas"]["InternalErrorDetails"] | components["schemas"]["FieldProblems"];
        /** @description An answer that is not a success. */
        ErrorResponse: {
            /**
             * @description `false`.
             * @constant
             */
            success: false;
            /** @description Description of the error. */
            error: components["schemas"]["Error"];
        };
        /** @description Codes `invalid_request` and `validation_error`: of each member or parameter that is wrong, what is wrong with it. */
        FieldProblems: {
            [key: string]: string;
        };
        /** @description Something that is wrong, with what to do about it. */
        Finding: {
            /** @description Weight of it. */
            severity: components["schemas"]["Severity"];
            /** @description Name of the server; `null` if it is about the gateway itself. */
            server: string | null;
            /** @description What it is about: a member of the definition, a setting, or `state`. */
            place: string;
            /** @description Id of the fault, which stays the same when sentences change; `null` if it is none that is known. `docs/doctor.md` lists them. */
            fault: string | null;
            /** @description What is wrong. */
            cause: string;
            /** @description What to do about it; `null` if nothing is known. */
            fix: string | null;
            /** @description Command that helps to find out or to mend it; `null` if there is none. */
            command: string | null;
        };
        /**
         * @description Health of an MCP.
         *
         *     - `healthy`: It answers calls.
         *     - `unhealthy`: It has crashed, waits for its next start, has failed, or does not answer.
         *     - `unknown`: It was not started yet.
         * @enum {string}
         */
        Health: "healthy" | "unhealthy" | "unknown";
        /** @description Code `internal_error`: a defect of the gateway. */
        InternalErrorDetails: {
            /** @description Id of the request, by which the gateway's log tells more. */
            request_id: string;
        };
        /** @description Result of a tool call. */
        Invocation: {
            /** @description The tool's structured content, if it has any; else, of a single text, the JSON object or array in it, or the text; else the content as it is. */
            result: unknown;
            /** @description Particulars of the call. */
            metadata: components["schemas"]["InvocationMetadata"];
            /** @description Content of the tool's answer, as the MCP sent it. */
            content: components["schemas"]["ContentBlock"][];
            /**
             * @description `false`: a tool that reports an error is answered with status 422.
             * @constant
             */
            is_error: false;
        };
        /** @description Particulars of a tool call. */
        InvocationMetadata: {
            /** @description Id of the MCP, also where it was addressed by its name. */
            mcp_id: string;
            /** @description Name of the tool. */
            tool: string;
            /** @description Time to the MCP's answer, in milliseconds. */
            latency_ms: number;
            /**
             * Format: date-time
             * @description Time of the answer.
             */
            timestamp: string;
        };
        /** @description Limits that a key has of its own, beside those of its owner's plan. The default for keys holds where it has none. */
        KeyLimits: {
            /** @description Number of requests in a second; `null` for the default. */
            requests_per_second: number | null;
            /** @description Number of calls in a month (UTC); `null` for the default. */
            monthly_requests: number | null;
            /** @description Number of calls that may be under way at the same time; `null` for the default. */
            calls_at_once: number | null;
        };
        /** @description Maker of a key. */
        KeyMaker: {
            /** @description Id of the key with which it was made. */
            key_id: string;
            /** @description Id of the member whose key that is. */
            member_id: string;
        };
        /** @description Answer to the revocation of a key. */
        KeyRevocation: {
            /** @description Id of the key. */
            id: string;
            /** @description Status of the key now. */
            status: components["schemas"]["KeyStatus"];
            /**
             * Format: date-time
             * @description Time at which it was revoked; `null` if it is not, or is not kept any more.
             */
            revoked_at: string | null;
            /** @description Ids of all keys that this request has revoked. */
            revoked_keys: string[];
            /** @description `true` if the revocation would outlive a restart of the gateway. It is in force in any case. */
            durable: boolean;
            /** @description Advice for the case that it would not; absent otherwise. */
            warning?: string;
        };
        /**
         * @description Status of an API key.
         *
         *     - `active`: It is accepted.
         *     - `revoked`: It was revoked.
         *     - `expired`: It has expired.
         * @enum {string}
         */
        KeyStatus: "active" | "revoked" | "expired";
        /** @description Numbers of a key's calls. */
        KeyUsage: {
            /** @description Number of all its calls. */
            total_requests: number;
            /** @description Number of its calls since midnight (UTC). */
            requests_today: number;
        };
        /** @description Code `quota_exceeded`: a limit of a plan or of a key is reached. */
        LimitDetails: {
            /** @description Name of the limit, such as `api_keys` or `monthly_requests`. */
            resource: string;
            /** @description Number that it allows. */
            limit: number;
            /**
             * @description The word `key` where it is the key's own limit; absent otherwise.
             * @constant
             */
            of?: "key";
        };
        /** @description The calls of one key that wait. */
        LineOfKey: {
            key_id: string;
            /** @description Its name; `null` if the key is gone. */
            key_name: string | null;
            /** @description Number of its calls that wait for a place. */
            waiting: number;
        };
        /** @description End of the stream of a log. */
        LogEnd: {
            /** @description Reason why it ends. */
            reason: components["schemas"]["LogEndReason"];
        };
        /**
         * @description Reason why the stream of a log ends.
         *
         *     - `removed`: The MCP was removed.
         *     - `shutting_down`: The gateway is shutting down.
         *     - `revoked_key`: The key was revoked.
         *     - `expired_key`: The key has expired.
         *     - `forbidden`: The key's member may not read logs any more.
         *     - `mcp_not_permitted`: The key may not use this MCP any more.
         * @enum {string}
         */
        LogEndReason: "removed" | "shutting_down" | "revoked_key" | "expired_key" | "forbidden" | "mcp_not_permitted";
        /** @description Lines of a log that the reader of a stream has missed. */
        LogGap: {
            /** @description Number of these lines. */
            lines: number;
        };
        /** @description A line that one of an MCP's processes wrote beside its answers. */
        LogLine: {
            /**
             * Format: date-time
             * @description Time at which it was read.
             */
            at: string;
            /** @description Number of the process that wrote it. */
            incarnation: number;
            /** @description Session or principal whose own process wrote it, such as `session 7`; absent for a process that all share. */
            pool?: string;
            /** @description Source of the line. */
            stream: components["schemas"]["LogStream"];
            /** @description Number of the line, which counts up. */
            number: number;
            /** @description Text of the line. Characters that are not seen are written as `\u{…}`. */
            line: string;
        };
        /**
         * @description Source of a line of a log.
         *
         *     - `stderr`: Standard error.
         *     - `stdout`: Standard output, where it was no message of MCP.
         *     - `log`: A log message of MCP, which begins with its level.
         *     - `mcpvisor`: A remark of the gateway.
         * @enum {string}
         */
        LogStream: "stderr" | "stdout" | "log" | "mcpvisor";
        /** @description An MCP server. */
        Mcp: {
            /** @description Id, which begins with `mcp_`. It stays when the definition changes and is never used again. */
            id: string;
            /** @description Unique name. Wherever an MCP is addressed, its name does as well as its id. */
            name: string;
            /** @description Address of a remote MCP, without what may be a secret in it; `null` for one that runs on the gateway's machine. */
            endpoint_url: string | null;
            /** @description Description from its definition; `null` if there is none. */
            description: string | null;
            /** @description Availability: `inactive` if the operator has switched it off, or if it is remote. */
            status: components["schemas"]["McpStatus"];
            /** @description Health, as `state` and earlier crashes show it. */
            health: components["schemas"]["Health"];
            /**
             * Format: date-time
             * @description Time at which it was added.
             */
            created_at: string;
            /**
             * Format: date-time
             * @description Time at which a call last ended; `null` before the first.
             */
            last_active: string | null;
            /** @description Number of its calls. */
            request_count: number;
            /** @description Way in which the gateway speaks to it. */
            transport: components["schemas"]["Transport"];
            /** @description `false` if it is switched off in its definition, by `disabled`. */
            enabled: boolean;
            /** @description State of its process. */
            state: components["schemas"]["ProcessState"];
            /**
             * Format: date-time
             * @description Time at which the state began.
             */
            since: string;
            /** @description Progress of the start; only while `state` is `starting`. */
            phase?: components["schemas"]["StartPhase"];
            /** @description Reason why it does not run, for people; `null` if there is none. It begins with `last: ` while it is started again. */
            cause: string | null;
            /** @description The same as one word, which stays the same when sentences change: `refused`, `exited`, `unauthorized` and others. */
            cause_code?: string | null;
            /** @description Id of the fault, where it is a known one; it stays the same when sentences change. `docs/doctor.md` lists them. */
            fault?: string | null;
            /** @description What to do about it, for people; absent where the fault is not a known one. */
            fix?: string | null;
            /** @description Number of times that its process was started in place of an earlier one. */
            restarts: number;
            /** @description Version of MCP that it speaks; `null` before its first start. */
            protocol_version: string | null;
            /** @description Name and version that it gives itself; `null` before its first start. */
            server_info: components["schemas"]["ServerInfo"] | null;
            /** @description Number of tools that this key may use. */
            tools_count: number;
            /** @description Number of resources that it announces. */
            resources_count: number;
            /** @description Number of prompts that it announces. */
            prompts_count: number;
        };
        /** @description An MCP server with its tools and how it fares. */
        McpDetail: {
            /** @description Id, which begins with `mcp_`. It stays when the definition changes and is never used again. */
            id: string;
            /** @description Unique name. Wherever an MCP is addressed, its name does as well as its id. */
            name: string;
            /** @description Address of a remote MCP, without what may be a secret in it; `null` for one that runs on the gateway's machine. */
            endpoint_url: string | null;
            /** @description Description from its definition; `null` if there is none. */
            description: string | null;
            /** @description Availability: `inactive` if the operator has switched it off, or if it is remote. */
            status: components["schemas"]["McpStatus"];
            /** @description Health, as `state` and earlier crashes show it. */
            health: components["schemas"]["Health"];
            /**
             * Format: date-time
             * @description Time at which it was added.
             */
            created_at: string;
            /**
             * Format: date-time
             * @description Time at which a call last ended; `null` before the first.
             */
            last_active: string | null;
            /** @description Number of its calls. */
            request_count: number;
            /** @description Way in which the gateway speaks to it. */
            transport: components["schemas"]["Transport"];
            /** @description `false` if it is switched off in its definition, by `disabled`. */
            enabled: boolean;
            /** @description State of its process. */
            state: components["schemas"]["ProcessState"];
            /**
             * Format: date-time
             * @description Time at which the state began.
             */
            since: string;
            /** @description Progress of the start; only while `state` is `starting`. */
            phase?: components["schemas"]["StartPhase"];
            /** @description Reason why it does not run, for people; `null` if there is none. It begins with `last: ` while it is started again. */
            cause: string | null;
            /** @description The same as one word, which stays the same when sentences change: `refused`, `exited`, `unauthorized` and others. */
            cause_code?: string | null;
            /** @description Id of the fault, where it is a known one; it stays the same when sentences change. `docs/doctor.md` lists them. */
            fault?: string | null;
            /** @description What to do about it, for people; absent where the fault is not a known one. */
            fix?: string | null;
            /** @description Number of times that its process was started in place of an earlier one. */
            restarts: number;
            /** @description Version of MCP that it speaks; `null` before its first start. */
            protocol_version: string | null;
            /** @description Name and version that it gives itself; `null` before its first start. */
            server_info: components["schemas"]["ServerInfo"] | null;
            /** @description Number of tools that this key may use. */
            tools_count: number;
            /** @description Number of resources that it announces. */
            resources_count: number;
            /** @description Number of prompts that it announces. */
            prompts_count: number;
            /**
             * Format: date-time
             * @description Time since which `state` is what it is; `null` while `health` is `unknown`.
             */
            health_checked_at: string | null;
            /**
             * Format: date-time
             * @description Time at which its definition was last changed.
             */
            updated_at: string;
            /** @description Numbers of its calls. */
            stats: components["schemas"]["Stats"];
            /** @description State of its processes, for whoever has to find out why it does not work. */
            supervision: components["schemas"]["Supervision"];
            /** @description Calls at this moment. */
            traffic: components["schemas"]["Traffic"];
            /** @description Counts of what its processes wrote beside answers to calls, since the gateway was started. */
            output: components["schemas"]["Output"];
            /** @description Resources that its processes use at this moment. */
            tree: components["schemas"]["Tree"];
            /** @description Numbers of tools that are not as they were approved. */
            pins: components["schemas"]["PinCounts"];
            /** @description Tools that this key may use, as the MCP last announced them. */
            tools: components["schemas"]["Tool"][];
        };
        /** @description State of an MCP that could not be reached, in the error that says so. */
        McpState: {
            /** @description State of its process. */
            state: components["schemas"]["ProcessState"];
            /** @description Reason why it does not run, for people; `null` if there is none. */
            cause: string | null;
            /** @description The same as one word, which stays the same when sentences change: `refused`, `exited`, `unauthorized` and others. */
            cause_code?: string | null;
            /** @description Id of the fault, where it is a known one; it stays the same when sentences change. `docs/doctor.md` lists them. */
            fault?: string | null;
            /** @description What to do about it, for people; absent where the fault is not a known one. */
            fix?: string | null;
            /** @description Number of times that its process was started in place of an earlier one. */
            restarts: number;
            /**
             * Format: date-time
             * @description Time at which the state began.
             */
            since: string;
            /** @description Number of the current or last process; 0 before the first. */
            incarnation: number;
            /** @description Process id; `null` if none runs. */
            pid: number | null;
            /** @description Number of failed starts and crashes in a row. */
            failures: number;
            /** @description `true` after so many of them that another start is unlikely to help. */
            crash_loop: boolean;
            /**
             * Format: date-time
             * @description Time of the next start; `null` if none is due.
             */
            next_start_at: string | null;
            /** @description Reason why the last process ended, for people; `null` if it was stopped on request. */
            last_exit: string | null;
            /** @description First lines that the last ended process wrote on its standard error, without those of `last_stderr`; absent if there are none. */
            first_stderr?: string[];
            /** @description Last lines that the last ended process wrote on its standard error, newest last. */
            last_stderr: string[];
            /** @description Remarks about an MCP that works all the same, such as that it offers no tools; absent if there are none. */
            remarks?: string[];
            /** @description Limits of its definition that the gateway's machine does not, or not fully, enforce; absent if there are none. */
            unenforced?: string[];
            /** @description Processes of sessions and principals, where they do not share those of the MCP; absent if they do. */
            pools?: components["schemas"]["Pools"];
            /** @description Processes, where an MCP may have several; empty while it rests. */
            replicas: components["schemas"]["Replica"][];
            /** @description State of a changed definition while the earlier one still serves; absent if there is no such change. */
            update?: components["schemas"]["PendingUpdate"] | null;
        };
        /**
         * @description Availability of an MCP.
         *
         *     - `active`: It can be called.
         *     - `inactive`: The operator has switched it off, or it is remote.
         * @enum {string}
         */
        McpStatus: "active" | "inactive";
        /** @description A member of the organization. */
        Member: {
            /** @description Id, by which keys name their owner. */
            id: string;
            /** @description Email address; `null` if none was given. */
            email: string | null;
            /** @description Name for people. */
            name: string;
            /** @description Role, with which all its keys act. */
            role: components["schemas"]["Role"];
            /** @description Name of a plan of its own; `null` for the organization's. */
            plan: string | null;
            /** @description Place where it was made and can be changed. */
            source: components["schemas"]["Source"];
            /**
             * Format: date-time
             * @description Time at which it was made.
             */
            joined_at: string;
            /**
             * Format: date-time
             * @description Time at which one of its keys was last used; `null` if none was.
             */
            last_active: string | null;
        };
        /** @description Answer to the removal of a member. */
        MemberRemoval: {
            /** @description Id of the member. */
            id: string;
            /**
             * @description The word `removed`.
             * @constant
             */
            status: "removed";
            /** @description Number of its keys that this has revoked. */
            keys_revoked: number;
            /** @description `true` if the removal would outlive a restart of the gateway. It is in force in any case. */
            durable: boolean;
            /** @description Advice for the case that it would not; absent otherwise. */
            warning?: string;
        };
        /** @description Code `secret_missing`: the MCP needs a secret of the caller's member that is not stored. */
        MissingSecretDetails: {
            /** @description Name of the secret. */
            secret: string;
        };
        /** @description An API key that was just made, with its text, which is shown this once. */
        NewApiKey: {
            /** @description Id, which begins with `key_`. */
            id: string;
            /** @description Name, which need not be unique. */
            name: string;
            /** @description Description; `null` if there is none. */
            description: string | null;
            /** @description Text of the key, to be sent as `Authorization: Bearer`. It is not shown again. */
            key: string;
            /** @description First characters of the key's text, by which its holder can tell it. */
            prefix: string;
            /**
             * @description Status of the key.
             * @constant
             */
            status: "active";
            /**
             * Format: date-time
             * @description Time at which it was made.
             */
            created_at: string;
            /**
             * Format: date-time
             * @description Time from which on it is refused; `null` if it does not expire.
             */
            expires_at: string | null;
            /** @description Id of the member that owns it, with whose role it acts. */
            owner_id: string;
            /** @description Key that made it. */
            created_by: components["schemas"]["KeyMaker"] | null;
            /** @description MCPs and tools that it may use. */
            permissions: components["schemas"]["Permissions"];
            /** @description Limits of its own, beside those of its owner's plan. */
            limits: components["schemas"]["KeyLimits"];
        };
        /**
         * @description Reason that a call with an `Idempotency-Key` that is known has no reply.
         *
         *     - `running`: The call is under way, and somebody waits for it: asking again is safe.
         *     - `cancelled`: The call was cancelled, because nobody waited for it any more.
         *     - `not_kept`: The call was carried out. Its reply was too long to be kept, or its room was needed.
         * @enum {string}
         */
        NotRepeated: "running" | "cancelled" | "not_kept";
        /** @description Code `conflict` of a call with an `Idempotency-Key` that is known. */
        NotRepeatedDetails: {
            /** @description Reason that there is no reply. */
            idempotency: components["schemas"]["NotRepeated"];
            /** @description The word `in_flight`: the MCP may have carried the call out. */
            phase: components["schemas"]["CallPhase"];
        };
        /** @description The organization that the gateway serves. */
        Organization: {
            /** @description Id. */
            id: string;
            /** @description Name for people. */
            name: string;
            /** @description Name for addresses: lower-case letters, digits and `-`. */
            slug: string;
            /** @description Description; `null` if there is none. */
            description: string | null;
            /** @description Name of its plan. */
            plan: string;
            /**
             * Format: date-time
             * @description Time at which it was made.
             */
            created_at: string;
            /** @description Settings. */
            settings: components["schemas"]["OrganizationSettings"];
            /** @description Limits of its plan. */
            limits: components["schemas"]["OrganizationLimits"];
            /** @description Numbers that count against the limits. */
            usage: components["schemas"]["OrganizationUsage"];
        };
        /** @description Limits of the organization's plan; `null` is unlimited. */
        OrganizationLimits: {
            /** @description Number of MCPs. */
            mcps: number | null;
            /** @description Number of API keys. */
            api_keys: number | null;
            /** @description Number of members. */
            team_members: number | null;
            /** @description Number of calls in a month (UTC). */
            monthly_requests: number | null;
        };
        /** @description Settings of the organization. */
        OrganizationSettings: {
            /** @description Protection of the dashboard by a PIN, which this gateway does not have: `false`. */
            pin_protection: boolean;
        };
        /** @description Numbers that count against the limits of the organization's plan. */
        OrganizationUsage: {
            /** @description Number of MCPs. */
            mcps: number;
            /** @description Number of API keys. */
            api_keys: number;
            /** @description Number of members. */
            team_members: number;
            /** @description Number of calls in this month (UTC). */
            monthly_requests: number;
        };
        /**
         * @description Result of a recorded request.
         *
         *     - `done`: The request was carried out.
         *     - `refused`: The request was not carried out: the caller lacks the right, or exceeded a rate.
         *     - `failed`: The request was not carried out for another reason.
         *     - `unknown`: The request may or may not have been carried out: the caller left, the child ended, or a defect intervened.
         * @enum {string}
         */
        Outcome: "done" | "refused" | "failed" | "unknown";
        /** @description Counts of what an MCP's processes wrote beside answers to calls. */
        Output: {
            /** @description Number of lines on standard error. */
            stderr_lines: number;
            /** @description Number of lines on standard output that were no messages of MCP. */
            stdout_noise_lines: number;
            /** @description Number of answers to calls that were no longer waited for. */
            late_replies: number;
            /** @description Number of lines that the log did not keep because there were too many. */
            lines_left_out: number;
        };
        /** @description Place of a page in its list. */
        Pagination: {
            /** @description Number of this page, from 1. */
            page: number;
            /** @description Number of entries on a page, at most 100. */
            per_page: number;
            /** @description Number of entries on all pages. */
            total: number;
            /** @description Number of pages; 0 without any entries. */
            total_pages: number;
        };
        /** @description A changed definition that has yet to take over from the one that serves. */
        PendingUpdate: {
            /** @description State of the process that runs the changed definition. */
            state: components["schemas"]["ProcessState"];
            /**
             * Format: date-time
             * @description Time at which that state began.
             */
            since: string;
            /** @description Reason why it does not run, for people; `null` if there is none. */
            cause: string | null;
            /** @description The same as one word, which stays the same when sentences change: `refused`, `exited`, `unauthorized` and others. */
            cause_code?: string | null;
            /** @description Id of the fault, where it is a known one; it stays the same when sentences change. `docs/doctor.md` lists them. */
            fault?: string | null;
            /** @description What to do about it, for people; absent where the fault is not a known one. */
            fix?: string | null;
            /**
             * Format: date-time
             * @description Time of the next start; `null` if none is due.
             */
            next_start_at: string | null;
            /** @description Last lines that its last ended process wrote on its standard error, newest last. */
            last_stderr: string[];
        };
        /** @description MCPs and tools that a key may use. */
        Permissions: {
            /** @description MCPs: `*` for all, also those to come, or the ids of some. */
            mcps: "*" | string[];
            /** @description Tools; absent if the key may use all tools of its MCPs. */
            tools?: components["schemas"]["ToolPermissions"];
        };
        /** @description Numbers of tools that are not as they were approved. */
        PinCounts: {
            /** @description Treatment of such tools. */
            mode: components["schemas"]["PinMode"];
            /** @description Number of tools with another definition than the approved one. */
            changed: number;
            /** @description Number of tools of a name that nobody approved. */
            new: number;
            /** @description Number of approved tools that are no longer announced. */
            gone: number;
        };
        /**
         * @description Treatment of tools that are not as they were approved.
         *
         *     - `off`: They are not compared.
         *     - `warn`: They are reported.
         *     - `block`: They are reported, and neither listed nor called until they are approved.
         * @enum {string}
         */
        PinMode: "off" | "warn" | "block";
        /**
         * @description State of a tool against the approved one of the same name.
         *
         *     - `pinned`: It is as it was approved.
         *     - `reordered`: Only the order of what it enumerates is another one, which is let through.
         *     - `changed`: It is not as it was approved.
         *     - `new`: None of this name was approved.
         *     - `gone`: It was approved and is not announced any more.
         * @enum {string}
         */
        PinState: "pinned" | "reordered" | "changed" | "new" | "gone";
        /** @description A tool beside the approved one of the same name. */
        PinnedTool: {
            /** @description Name. */
            name: string;
            /** @description State against the approved tool. */
            state: components["schemas"]["PinState"];
            /** @description Digest of the tool as it is announced; `null` if it is gone. */
            digest: string | null;
            /** @description Digest of the approved tool; `null` if none of this name was approved. */
            approved_digest: string | null;
            /**
             * Format: date-time
             * @description Time of the approval; `null` if there was none.
             */
            approved_at: string | null;
            /** @description Id of the member that approved it; `null` if nobody did because it was there when the MCP was first seen. */
            approved_by: string | null;
            /** @description Places where it differs from the approved tool, at most 100. */
            differences: components["schemas"]["ToolDifference"][];
            /** @description `true` if there are further places. */
            more_differences: boolean;
            /** @description Characters in it that are not seen or turn the direction of text, such as `U+200B`. */
            hidden_characters: string[];
        };
        /** @description Comparison of an MCP's tools with the approved ones. */
        Pins: {
            /** @description Treatment of tools that are not as they were approved. */
            pin: components["schemas"]["PinMode"];
            /** @description Digest of all announced tools, which an approval has to name. */
            digest: string;
            /** @description Announced tools in their order, then those that are gone; empty if nothing is compared. */
            tools: components["schemas"]["PinnedTool"][];
        };
        /** @description A plan, which limits those who have it. A limit that is `null` is unlimited. */
        Plan: {
            /** @description Unique name. */
            name: string;
            /** @description Place where it was made and can be changed. */
            source: components["schemas"]["Source"];
            /** @description `true` if it is the organization's plan. */
            is_of_organization: boolean;
            /** @description Number of members that have it as a plan of their own. */
            members: number;
            /** @description Number of requests in a second of each member. */
            requests_per_second: number | null;
            /** @description Number of calls in a month (UTC). */
            monthly_requests: number | null;
            /** @description Number of MCPs. */
            max_mcps: number | null;
            /** @description Number of API keys. */
            max_api_keys: number | null;
            /** @description Number of members. */
            max_members: number | null;
        };
        /** @description Answer to the removal of a plan. */
        PlanRemoval: {
            /** @description Name of the plan. */
            name: string;
            /**
             * @description The word `removed`.
             * @constant
             */
            status: "removed";
        };
        /** @description Number of the pools of an MCP: the places for a process of one session or one principal. */
        Pools: {
            /** @description Number of all of them, also of those whose process is not running. */
            count: number;
            /** @description Number of those whose process takes calls. */
            ready: number;
        };
        /**
         * @description State of an MCP's process.
         *
         *     - `disabled`: It is switched off in its definition.
         *     - `stopped`: It was stopped, and stays so until it is started or the gateway is.
         *     - `idle`: It is started by the first call.
         *     - `starting`: It is being started.
         *     - `ready`: It answers calls.
         *     - `degraded`: It runs, but does not answer as it should.
         *     - `stopping`: It is being stopped.
         *     - `backoff`: It has ended, and waits for its next start.
         *     - `unauthorized`: It is a remote server that refuses the credentials, or wants some.
         *     - `failed`: It cannot be started, and is not tried again by itself.
         *     - `exited`: It has ended, and is not to be started again.
         * @enum {string}
         */
        ProcessState: "disabled" | "stopped" | "idle" | "starting" | "ready" | "degraded" | "stopping" | "backoff" | "unauthorized" | "failed" | "exited";
        /** @description One of an MCP's processes. */
        Replica: {
            /** @description Number of its place, never used twice. */
            number: number;
            /** @description State of the process. */
            state: components["schemas"]["ProcessState"];
            /**
             * Format: date-time
             * @description Time at which the state began.
             */
            since: string;
            /** @description Number of the current or last process in this place; 0 before the first. */
            incarnation: number;
            /** @description Process id; `null` if none runs. */
            pid: number | null;
            /** @description `true` if it runs a definition that has been changed since. */
            outdated: boolean;
        };
        /** @description Resource as MCP defines it: its content, or its entry in a list. */
        Resource: {
            /** @description URI. */
            uri?: string;
            /** @description Name. */
            name?: string;
            /** @description Media type. */
            mimeType?: string;
            /** @description Content, if it is text. */
            text?: string;
            /** @description Content in Base64, if it is not text. */
            blob?: string;
        } & {
            [key: string]: unknown;
        };
        /** @description Particulars of a request for resources. */
        ResourceMetadata: {
            /** @description Id of the MCP, also where it was addressed by its name. */
            mcp_id: string;
            /** @description URI of the resource; only if one was asked for. */
            uri?: string;
            /** @description Time to the MCP's answer, in milliseconds. */
            latency_ms: number;
            /**
             * Format: date-time
             * @description Time of the answer.
             */
            timestamp: string;
        };
        /** @description Template of the URIs of resources, as MCP defines it. */
        ResourceTemplate: {
            /** @description Template of the URIs (RFC 6570). */
            uriTemplate?: string;
            /** @description Name. */
            name?: string;
        } & {
            [key: string]: unknown;
        };
        /** @description Content of a resource, or a list of resources. */
        Resources: {
            /** @description Contents of the resource that was asked for; all resources if none was. */
            contents: components["schemas"]["Resource"][];
            /** @description Templates of resources; only if no resource was asked for. */
            resource_templates?: components["schemas"]["ResourceTemplate"][];
            /** @description Particulars of the request. */
            metadata: components["schemas"]["ResourceMetadata"];
        };
        /**
         * @description Role of a member. Each may do what the ones after it may.
         *
         *     - `owner`: Makes plans and gives them to members.
         *     - `admin`: Manages members, all keys, logs, restarts, approvals and the audit.
         *     - `member`: Calls tools, reads resources, and has keys of its own.
         *     - `viewer`: Sees what there is, and the usage of its own keys.
         * @enum {string}
         */
        Role: "owner" | "admin" | "member" | "viewer";
        /** @description An API key with its new text, which is shown this once. */
        RotatedApiKey: {
            /** @description Id, which is as it was. */
            id: string;
            /** @description Name, which need not be unique. */
            name: string;
            /** @description New text of the key, to be sent as `Authorization: Bearer`. It is not shown again. */
            key: string;
            /** @description First characters of the new text, by which its holder can tell it. */
            prefix: string;
            /**
             * Format: date-time
             * @description Time at which it was given this text.
             */
            rotated_at: string | null;
            /**
             * Format: date-time
             * @description Time until which its earlier text is accepted as well; `null` if it is refused from now on.
             */
            previous_key_until: string | null;
            /**
             * Format: date-time
             * @description Time from which on it is refused; `null` if it does not expire.
             */
            expires_at: string | null;
        };
        /** @description Code `mcp_error` with status 502: the MCP answered with an error, or with what cannot be used. */
        RpcFailure: {
            /** @description Message of the MCP. */
            mcp_error: string;
            /** @description Code of the JSON-RPC error; `null` if the MCP sent none. */
            mcp_code: number | null;
            /** @description Data of the JSON-RPC error; absent if the MCP sent none. */
            mcp_data?: unknown;
        };
        /** @description A secret that a member has stored, without its value. */
        Secret: {
            /** @description Id of the member. */
            member_id: string;
            /** @description Name, by which definitions of MCPs refer to it. */
            name: string;
        };
        /** @description Answer to the storing of a secret. */
        SecretChange: {
            /** @description Id of the member. */
            member_id: string;
            /** @description Name of the secret. */
            name: string;
            /**
             * @description The word `stored`.
             * @constant
             */
            status: "stored";
        };
        /** @description Answer to the removal of a secret. */
        SecretRemoval: {
            /** @description Id of the member. */
            member_id: string;
            /** @description Name of the secret. */
            name: string;
            /**
             * @description The word `removed`.
             * @constant
             */
            status: "removed";
        };
        /** @description Name and version that an MCP gives itself. */
        ServerInfo: {
            /** @description Name; `null` if it says none. */
            name: string | null;
            /** @description Version; `null` if it says none. */
            version: string | null;
        };
        /**
         * @description Weight of a finding.
         *
         *     - `error`: It keeps a server from running.
         *     - `warning`: It may keep one from running, or does so now and then.
         *     - `note`: It is worth knowing.
         * @enum {string}
         */
        Severity: "error" | "warning" | "note";
        /**
         * @description Place where something was made and can be changed.
         *
         *     - `built-in`: It is there without being made.
         *     - `file`: The gateway's configuration file.
         *     - `api`: This API.
         * @enum {string}
         */
        Source: "built-in" | "file" | "api";
        /**
         * @description Progress of a start.
         *
         *     - `waiting`: It waits for its turn, since only a few are started at once.
         *     - `spawned`: The process has been started.
         *     - `installing`: Its launcher fetches it.
         *     - `probing`: A remote server is connected to, and asked which era it speaks.
         *     - `handshake`: It introduces itself and lists its tools.
         *     - `listing`: A remote server lists its tools.
         * @enum {string}
         */
        StartPhase: "waiting" | "spawned" | "installing" | "probing" | "handshake" | "listing";
        /** @description Numbers of an MCP's calls. */
        Stats: {
            /** @description Number of all calls. */
            total_requests: number;
            /** @description Number of calls since midnight (UTC). */
            requests_today: number;
            /**
             * Format: double
             * @description Share of calls that failed, from 0 to 1, with two decimals.
             */
            error_rate: number;
            /** @description Mean time to the answer, in milliseconds; `null` before the first call. */
            avg_latency_ms: number | null;
        };
        /** @description State of an MCP's processes. */
        Supervision: {
            /**
             * Format: date-time
             * @description Time at which the state began.
             */
            since: string;
            /** @description Number of the current or last process; 0 before the first. */
            incarnation: number;
            /** @description Process id; `null` if none runs. */
            pid: number | null;
            /** @description Number of failed starts and crashes in a row. */
            failures: number;
            /** @description `true` after so many of them that another start is unlikely to help. */
            crash_loop: boolean;
            /**
             * Format: date-time
             * @description Time of the next start; `null` if none is due.
             */
            next_start_at: string | null;
            /** @description Reason why the last process ended, for people; `null` if it was stopped on request. */
            last_exit: string | null;
            /** @description First lines that the last ended process wrote on its standard error, without those of `last_stderr`; absent if there are none. */
            first_stderr?: string[];
            /** @description Last lines that the last ended process wrote on its standard error, newest last. */
            last_stderr: string[];
            /** @description Remarks about an MCP that works all the same, such as that it offers no tools; absent if there are none. */
            remarks?: string[];
            /** @description Limits of its definition that the gateway's machine does not, or not fully, enforce; absent if there are none. */
            unenforced?: string[];
            /** @description Processes of sessions and principals, where they do not share those of the MCP; absent if they do. */
            pools?: components["schemas"]["Pools"];
            /** @description Processes, where an MCP may have several; empty while it rests. */
            replicas: components["schemas"]["Replica"][];
            /** @description State of a changed definition while the earlier one still serves; absent if there is no such change. */
            update?: components["schemas"]["PendingUpdate"] | null;
        };
        /** @description Code `mcp_timeout`: there was no answer in time. */
        TimeoutDetails: {
            /** @description Progress of the call. */
            phase: components["schemas"]["CallPhase"];
            /** @description Time that the call had, in milliseconds. */
            timeout_ms: number;
        };
        /** @description A tool of an MCP. */
        Tool: {
            /** @description Name, unique within its MCP. */
            name: string;
            /** @description Description for people and models, as the MCP gives it; `null` if it gives none. */
            description: string | null;
            /** @description JSON Schema of the arguments, as the MCP gives it. */
            input_schema: {
                [key: string]: unknown;
            };
            /** @description Further members that the MCP gives the tool; absent if it gives none. */
            _meta?: {
                [key: string]: unknown;
            };
            /** @description State of the tool against the approved one; absent if the two are not compared. */
            pin?: components["schemas"]["PinState"];
        };
        /** @description A place where a tool differs from the approved one. */
        ToolDifference: {
            /** @description Place in the tool, as a JSON Pointer (RFC 6901). */
            path: string;
            /** @description Value of the approved tool; absent if it has none there. */
            before?: unknown;
            /** @description Value as it is announced; absent if there is none. */
            after?: unknown;
        };
        /** @description Code `mcp_error` with status 422: the tool ran and reported an error. */
        ToolFailure: {
            /** @description Texts of the tool's answer, a line each. */
            mcp_error: string;
            /** @description Content of the tool's answer, as the MCP sent it. */
            content: components["schemas"]["ContentBlock"][];
            /** @description Structured content of the tool's answer; absent if there is none. */
            structured_content?: unknown;
        };
        /** @description Names of tools, in which `*` stands for any characters: for all MCPs, or by the id of an MCP, with `*` for all others. */
        ToolPermissions: string[] | {
            [key: string]: string[];
        };
        /** @description Calls of an MCP at this moment. */
        Traffic: {
            /** @description Number of calls that it is working on. */
            in_flight: number;
            /** @description Number of calls that wait for their turn. */
            queued: number;
            /** @description State of the circuit breaker, which refuses calls of an MCP that does not answer. */
            breaker: components["schemas"]["BreakerState"];
            /**
             * Format: date-time
             * @description Time at which a call is let through again as a trial; `null` unless the breaker is `open`.
             */
            breaker_until: string | null;
        };
        /**
         * @description Way in which the gateway speaks to an MCP.
         *
         *     - `stdio`: Standard input and output of a process on the gateway's machine.
         *     - `streamable-http`: Streamable HTTP, for a remote one.
         *     - `sse`: HTTP with Server-Sent Events, for a remote one.
         *     - `websocket`: A WebSocket, which is not supported.
         * @enum {string}
         */
        Transport: "stdio" | "streamable-http" | "sse" | "websocket";
        /** @description Resources that an MCP's processes use. */
        Tree: {
            /** @description Number of processes, with those that they started. */
            processes: number;
            /** @description Memory that is resident, in bytes. */
            rss_bytes: number;
            /**
             * Format: double
             * @description Processor time that they have used, in seconds.
             */
            cpu_seconds: number;
        };
        /** @description Codes `mcp_unreachable` and `answer_dropped`: there is no answer. */
        UnreachableDetails: {
            /** @description Progress of the call. */
            phase: components["schemas"]["CallPhase"];
            /** @description State of the MCP; absent if that is not the reason. */
            server?: components["schemas"]["McpState"];
        };
        /** @description Calls of a span of time. */
        Usage: {
            /** @description Name of the span: `custom` if it was given by its two ends. */
            period: components["schemas"]["UsagePeriod"];
            /**
             * Format: date-time
             * @description First second of the span.
             */
            start_date: string;
            /**
             * Format: date-time
             * @description Last second of the span.
             */
            end_date: string;
            /** @description Number of all calls, beside the limit of a month. */
            requests: components["schemas"]["UsageRequests"];
            /** @description Numbers of calls by success. */
            by_status: components["schemas"]["UsageByStatus"];
            /** @description Numbers of calls by outcome: `ok`, `tool_error`, or a word of the table in `docs/errors.md`. */
            by_outcome: {
                [key: string]: number;
            };
            /** @description Mean time to the answer, in milliseconds; `null` without calls. */
            avg_latency_ms: number | null;
            /** @description Lengths of arguments and results. Their content is never kept. */
            bytes: components["schemas"]["UsageBytes"];
            /** @description Calls by MCP, the most called first. */
            by_mcp: components["schemas"]["UsageByMcp"][];
            /** @description Calls by tool, the most called first. */
            by_tool: components["schemas"]["UsageByTool"][];
            /** @description Calls by API key, the most used first. */
            by_api_key: components["schemas"]["UsageByApiKey"][];
            /** @description Calls of each day of the span. */
            by_day: components["schemas"]["UsageByDay"][];
            /** @description Length of the sums that this is made of: the span is widened to whole ones. */
            resolution: components["schemas"]["UsageResolution"];
            /** @description Length of the steps in seconds; absent without `step`. It is not shorter than the resolution. */
            step_seconds?: number;
            /** @description Calls across what `by` named, by steps, in each the most called first; absent without `by` and `step`. */
            groups?: components["schemas"]["UsageGroup"][];
            /** @description Number of groups beyond 10,000, which are left out; absent if none are. */
            groups_left_out?: number;
        };
        /** @description Calls of an hour, a day or a month. */
        UsageBucket: {
            /**
             * Format: date-time
             * @description First second.
             */
            period_start: string;
            /**
             * Format: date-time
             * @description Last second.
             */
            period_end: string;
            /** @description Number of calls. */
            requests: number;
            /** @description Number of calls that failed. */
            errors: number;
            /** @description Mean time to the answer, in milliseconds; `null` without calls. */
            avg_latency_ms: number | null;
        };
        /** @description Calls of an API key. */
        UsageByApiKey: {
            /** @description Id of the key. */
            key_id: string;
            /** @description Name of the key; `null` if it is not kept any more. */
            name: string | null;
            /** @description Number of calls. */
            requests: number;
        };
        /** @description Calls of a day. */
        UsageByDay: {
            /**
             * Format: date
             * @description Day (UTC).
             */
            date: string;
            /** @description Number of calls. */
            requests: number;
        };
        /** @description Calls of an MCP. */
        UsageByMcp: {
            /** @description Id of the MCP. */
            mcp_id: string;
            /** @description Name of the MCP; `null` if it was removed. */
            name: string | null;
            /** @description Number of calls. */
            requests: number;
            /** @description Number of calls that failed. */
            errors: number;
            /** @description Mean time to the answer, in milliseconds; `null` without calls. */
            avg_latency_ms: number | null;
        };
        /** @description Numbers of calls by success. */
        UsageByStatus: {
            /** @description Number of calls that ended well. */
            success: number;
            /** @description Number of all others. */
            error: number;
        };
        /** @description Calls of a tool. */
        UsageByTool: {
            /** @description Id of the tool's MCP. */
            mcp_id: string;
            /** @description Name of the tool. */
            tool: string;
            /** @description Number of calls. */
            requests: number;
            /** @description Number of calls that failed. */
            errors: number;
            /** @description Mean time to the answer, in milliseconds; `null` without calls. */
            avg_latency_ms: number | null;
        };
        /** @description Lengths of arguments and results, in bytes. */
        UsageBytes: {
            /** @description Length of all arguments. */
            arguments: number;
            /** @description Length of all results. */
            results: number;
        };
        /** @description Calls across what `by` named, and of a step. */
        UsageGroup: {
            /**
             * Format: date-time
             * @description First second of the step; absent without `step`.
             */
            start?: string;
            /** @description Id of the key; absent if calls are not grouped by it. */
            key_id?: string;
            /** @description Name of the key; absent if it is not kept any more. */
            key_name?: string;
            /** @description Id of the MCP; absent if calls are not grouped by it. */
            mcp_id?: string;
            /** @description Last name of the MCP. */
            mcp_name?: string;
            /** @description Name of the tool, or the method of what is no tool; absent if calls are not grouped by it. */
            tool?: string;
            /** @description Number of calls. */
            requests: number;
            /** @description Number of calls that failed. */
            errors: number;
            /** @description Mean time to the answer, in milliseconds. */
            avg_latency_ms: number | null;
            /** @description Lengths of arguments and results. */
            bytes: components["schemas"]["UsageBytes"];
        };
        /**
         * @description Name of a span of time.
         *
         *     - `hour`: The current hour.
         *     - `day`: The current day (UTC).
         *     - `week`: The current week, from Monday.
         *     - `month`: The current calendar month.
         *     - `custom`: A span that was given by its two ends.
         * @enum {string}
         */
        UsagePeriod: "hour" | "day" | "week" | "month" | "custom";
        /** @description Number of all calls of a span, beside the limit of a month. */
        UsageRequests: {
            /** @description Number of all calls. */
            total: number;
            /** @description Number of calls that the plan, or the key, allows in a month; `null` if it is unlimited, and for another span than `month`. */
            limit: number | null;
            /** @description Share of the limit that is used up, in percent; `null` without a limit. */
            percentage: number | null;
        };
        /**
         * @description Length of the sums that an answer about usage is made of.
         *
         *     - `minute`: A minute: of a span that began in the last three hours.
         *     - `hour`: An hour: of one that began in the last 30 days, unless the gateway is configured otherwise.
         *     - `day`: A day (UTC).
         * @enum {string}
         */
        UsageResolution: "minute" | "hour" | "day";
    };
    responses: {
        /** @description The request cannot be used: `invalid_request`, with what is wrong by member or parameter in `details`; or the MCP refused the arguments of its tool: `invalid_arguments`. */
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
        /** @description There is no key or an unknown one: `unauthorized`. Or the key has ended: `expired_key`, `revoked_key`. */
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
        /** @description The role, the key or a plan does not allow it: `forbidden`, `mcp_not_permitted`, `tool_not_permitted`, `tool_blocked`, `quota_exceeded`. Or `Host` or `Origin` is not accepted: `forbidden`. */
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
        /** @description There is none of this id or name: `not_found`, `tool_not_found`, `resource_not_found`. */
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
        /** @description The path has no such method: `method_not_allowed`. */
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
        /** @description The body did not arrive in time: `invalid_request`. */
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
        /** @description It is not in a state that allows it: `mcp_inactive`, `secret_missing`, `tools_changed`, `conflict`. */
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
        /** @description The body is too long: `payload_too_large`. */
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
        /** @description The body is not sent as plain JSON: `invalid_request`. */
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
        /** @description A value cannot be accepted: `validation_error`, with what is wrong by member in `details`. Or the tool reported an error: `mcp_error`. */
        UnprocessableContent: {
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
        /** @description There are too many requests, calls or streams, or bad keys: `rate_limited`. Or the calls of this month are used up: `quota_exceeded`. */
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
        /** @description A defect of the gateway: `internal_error`. */
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
        /** @description The MCP does not run, has ended, or answered what cannot be used: `mcp_unreachable`, `mcp_error`. Or there was no room for its answer: `answer_dropped`. */
        BadGateway: {
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
        /** @description It cannot be done now: `service_unavailable`. Nothing was carried out. */
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
        /** @description The MCP did not answer in time: `mcp_timeout`. */
        GatewayTimeout: {
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
    listMcps: {
        parameters: {
            query?: {
                /** @description Number of the page, from 1, which is the default */
                page?: number;
                /** @description Number of entries on a page: 20 by default, and more than 100 are taken as 100 */
                per_page?: number;
                /** @description Only these; `all` by default */
                status?: "active" | "inactive" | "all";
                /** @description Only those of this health */
                health?: "healthy" | "unhealthy" | "unknown";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of MCPs. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["Mcp"][];
                        /** @description Place of this page in the list. */
                        pagination: components["schemas"]["Pagination"];
                    };
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
    getMcp: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The MCP. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["McpDetail"];
                    };
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
    getFindings: {
        parameters: {
            query?: {
                /** @description Id or exact name of one MCP; all that this key may use otherwise */
                server?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description What was found. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["DoctorReport"];
                    };
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
    listSettings: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The settings. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["EffectiveSetting"][];
                    };
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
    listQueue: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The keys, the longest line first. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["LineOfKey"][];
                    };
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
    getLogs: {
        parameters: {
            query?: {
                /** @description Number of lines: 100 by default, and more than 1000 are taken as 1000 */
                tail?: number;
                /** @description `true` for the lines to come as well, as a stream of events */
                follow?: boolean;
            };
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The lines, or a stream of them. */
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
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["LogLine"][];
                    };
                    "text/event-stream": unknown;
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
    restartMcp: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is being restarted. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: Record<string, never>;
                    };
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
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            502: components["responses"]["BadGateway"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    stopMcp: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is being stopped. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: Record<string, never>;
                    };
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
            422: components["responses"]["UnprocessableContent"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    startMcp: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is being started. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: Record<string, never>;
                    };
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
            422: components["responses"]["UnprocessableContent"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    disableMcp: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is switched off. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: Record<string, never>;
                    };
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
            422: components["responses"]["UnprocessableContent"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    enableMcp: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is switched on. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: Record<string, never>;
                    };
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
            422: components["responses"]["UnprocessableContent"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    getPins: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The comparison. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["Pins"];
                    };
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
    approveTools: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "digest": "sha256:0d5a5aa5d6d8a2e0c3d8e7f7f0d2a1c4b3b2a1908f7e6d5c4b3a291807f6e5d4",
                 *       "tools": [
                 *         "add"
                 *       ]
                 *     }
                 */
                "application/json": {
                    /** @description Digest of all tools, as the comparison showed it. */
                    digest: string;
                    /** @description Names of the tools to approve; all by default, and then those that are gone are forgotten. */
                    tools?: string[] | null;
                };
            };
        };
        responses: {
            /** @description The comparison after the approval. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["Pins"];
                    };
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
    invokeTool: {
        parameters: {
            query?: never;
            header?: {
                /** @description Text that no other call of this API key has. The call is carried out once, however often it comes, and its reply is kept for 24 hours. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "mcp_id": "demo",
                 *       "tool": "add",
                 *       "arguments": {
                 *         "a": 19,
                 *         "b": 23
                 *       }
                 *     }
                 */
                "application/json": {
                    /**
                     * @description Id or exact name of the MCP.
                     * @example demo
                     */
                    mcp_id: string;
                    /**
                     * @description Name of the tool.
                     * @example add
                     */
                    tool: string;
                    /** @description Arguments of the tool, as its schema wants them; `{}` by default. */
                    arguments?: {
                        [key: string]: unknown;
                    } | null;
                    /** @description Time for the answer, in milliseconds, at most what the gateway is set to (300000). Without it the default of the MCP or the gateway holds, which progress extends. */
                    timeout?: number | null;
                    /** @description Particulars for the MCP, which gets them as `_meta["plexmcp/context"]`. */
                    context?: {
                        [key: string]: unknown;
                    } | null;
                };
            };
        };
        responses: {
            /** @description The tool's result. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "Idempotent-Replayed": components["headers"]["Idempotent-Replayed"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "success": true,
                     *       "data": {
                     *         "result": {
                     *           "sum": 42
                     *         },
                     *         "metadata": {
                     *           "mcp_id": "mcp_01a20423a24175009aa01d5aebe98701",
                     *           "tool": "add",
                     *           "latency_ms": 1,
                     *           "timestamp": "2026-11-22T16:43:02Z"
                     *         },
                     *         "content": [
                     *           {
                     *             "type": "text",
                     *             "text": "{\"sum\":42}"
                     *           }
                     *         ],
                     *         "is_error": false
                     *       }
                     *     }
                     */
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["Invocation"];
                    };
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
            422: components["responses"]["UnprocessableContent"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            502: components["responses"]["BadGateway"];
            503: components["responses"]["ServiceUnavailable"];
            504: components["responses"]["GatewayTimeout"];
        };
    };
    readResource: {
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
                 *       "mcp_id": "demo",
                 *       "uri": "demo://status"
                 *     }
                 */
                "application/json": {
                    /**
                     * @description Id or exact name of the MCP.
                     * @example demo
                     */
                    mcp_id: string;
                    /** @description URI of the resource to read; all resources are listed without it. */
                    uri?: string | null;
                    /** @description Time for the answer, in milliseconds, at most what the gateway is set to (300000). Without it the default of the MCP or the gateway holds, which progress extends. */
                    timeout?: number | null;
                };
            };
        };
        responses: {
            /** @description The resource's contents, or all resources. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["Resources"];
                    };
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
            422: components["responses"]["UnprocessableContent"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            502: components["responses"]["BadGateway"];
            503: components["responses"]["ServiceUnavailable"];
            504: components["responses"]["GatewayTimeout"];
        };
    };
    getOrganization: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The organization, with the limits of its plan. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["Organization"];
                    };
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
    listMembers: {
        parameters: {
            query?: {
                /** @description Number of the page, from 1, which is the default */
                page?: number;
                /** @description Number of entries on a page: 20 by default, and more than 100 are taken as 100 */
                per_page?: number;
                /** @description Only those of this role */
                role?: "owner" | "admin" | "member" | "viewer";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of members. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["Member"][];
                        /** @description Place of this page in the list. */
                        pagination: components["schemas"]["Pagination"];
                    };
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
    createMember: {
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
                 *       "name": "Ada",
                 *       "email": "ada@example.com",
                 *       "role": "viewer"
                 *     }
                 */
                "application/json": {
                    /**
                     * @description Name for people.
                     * @example Ada
                     */
                    name: string;
                    /** @description Id; made by default. */
                    id?: string;
                    /** @description Email address. */
                    email?: string;
                    /**
                     * @description Role, at most your own; `member` by default.
                     * @enum {string}
                     */
                    role?: "owner" | "admin" | "member" | "viewer";
                    /** @description Name of a plan of its own, which only owners give. */
                    plan?: string;
                };
            };
        };
        responses: {
            /** @description The member. */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    Location: components["headers"]["Location"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["Member"];
                    };
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
            422: components["responses"]["UnprocessableContent"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    getMember: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The member. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["Member"];
                    };
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
    deleteMember: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
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
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["MemberRemoval"];
                    };
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
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    updateMember: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "role": "member"
                 *     }
                 */
                "application/json": {
                    /** @description Name for people. */
                    name?: string;
                    /** @description Email address; `null` takes it away. */
                    email?: string | null;
                    /**
                     * @description Role, at most your own.
                     * @enum {string}
                     */
                    role?: "owner" | "admin" | "member" | "viewer";
                    /** @description Name of a plan of its own, which only owners give; `null` takes it away. */
                    plan?: string | null;
                };
            };
        };
        responses: {
            /** @description The member after the change. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["Member"];
                    };
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
            422: components["responses"]["UnprocessableContent"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    listPlans: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description All plans, by name. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["Plan"][];
                    };
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
    putPlan: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Name of the plan or of the secret
                 * @example partner
                 */
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "requests_per_second": 50,
                 *       "monthly_requests": 100000
                 *     }
                 */
                "application/json": {
                    /** @description Requests in a second of each member. */
                    requests_per_second?: number | null;
                    /** @description Calls in a month (UTC). */
                    monthly_requests?: number | null;
                    /** @description MCPs. */
                    max_mcps?: number | null;
                    /** @description API keys. */
                    max_api_keys?: number | null;
                    /** @description Members. */
                    max_members?: number | null;
                };
            };
        };
        responses: {
            /** @description The plan. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["Plan"];
                    };
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
    deletePlan: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Name of the plan or of the secret
                 * @example partner
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
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["PlanRemoval"];
                    };
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
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    listSecrets: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The secrets, by name, without their values. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["Secret"][];
                    };
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
    putSecret: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
                /**
                 * @description Name of the plan or of the secret
                 * @example partner
                 */
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "value": "an access token"
                 *     }
                 */
                "application/json": {
                    /** @description The secret, without NUL. */
                    value: string;
                };
            };
        };
        responses: {
            /** @description It is stored. Processes with an earlier one are replaced. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["SecretChange"];
                    };
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
            422: components["responses"]["UnprocessableContent"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    deleteSecret: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
                /**
                 * @description Name of the plan or of the secret
                 * @example partner
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
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["SecretRemoval"];
                    };
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
    makeBackup: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The backup, with its checksum. */
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
                    "application/json": Record<string, never>;
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            405: components["responses"]["MethodNotAllowed"];
            408: components["responses"]["RequestTimeout"];
            409: components["responses"]["Conflict"];
            413: components["responses"]["PayloadTooLarge"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    exportServers: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The servers file. */
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
                    "application/json": {
                        mcpServers: Record<string, never>;
                    };
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["Forbidden"];
            405: components["responses"]["MethodNotAllowed"];
            408: components["responses"]["RequestTimeout"];
            413: components["responses"]["PayloadTooLarge"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    listAudit: {
        parameters: {
            query?: {
                /** @description Number of the page, from 1, which is the default */
                page?: number;
                /** @description Number of entries on a page: 20 by default, and more than 100 are taken as 100 */
                per_page?: number;
                /** @description Only acts of this name, such as `key.create`, or of those that begin so, such as `key` */
                action?: string;
                /** @description Only those with this result */
                outcome?: "done" | "refused" | "failed" | "unknown";
                /** @description Only those of this member */
                member_id?: string;
                /** @description Only those with this key */
                key_id?: string;
                /** @description Only those of then or later */
                since?: string;
                /** @description Only those of then or before, to the end of that second or day */
                until?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of the audit. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["AuditEntry"][];
                        /** @description Place of this page in the list. */
                        pagination: components["schemas"]["Pagination"];
                    };
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
    exportAudit: {
        parameters: {
            query?: {
                /** @description Only acts of this name, such as `key.create`, or of those that begin so, such as `key` */
                action?: string;
                /** @description Only those with this result */
                outcome?: "done" | "refused" | "failed" | "unknown";
                /** @description Only those of this member */
                member_id?: string;
                /** @description Only those with this key */
                key_id?: string;
                /** @description Only those of then or later */
                since?: string;
                /** @description Only those of then or before, to the end of that second or day */
                until?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The audit. */
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
                    "application/x-ndjson": string;
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
    listActivity: {
        parameters: {
            query?: {
                /** @description Only calls with this key: its id or name */
                key?: string;
                /** @description Only calls of this MCP: its id or name */
                server?: string;
                /** @description Only calls of this tool */
                tool?: string;
                /** @description Only those that ended so: `ok`, `failed` for all others, or one of these by its word */
                outcome?: string;
                /** @description Only those that began then or later */
                since?: string;
                /** @description Only those that began then or before, to the end of that second or day */
                until?: string;
                /** @description Number of calls: 100 by default, and more than 1000 are taken as 1000; in a stream those to begin with, 10 by default */
                limit?: number;
                /** @description `next_cursor` of the page before */
                cursor?: number;
                /** @description `csv` or `ndjson` for an export of all calls that match, oldest first */
                format?: "json" | "csv" | "ndjson";
                /** @description `true` for the calls to come as well, as a stream of events */
                follow?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The calls, or a stream of them. */
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
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["Activity"];
                    };
                    "text/event-stream": unknown;
                    "application/x-ndjson": string;
                    "text/csv": string;
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
    getUsage: {
        parameters: {
            query?: {
                /** @description Current hour, day, week or month (UTC); `month` by default */
                period?: "hour" | "day" | "week" | "month";
                /** @description First day of the span, in place of `period`, together with `end_date` */
                start_date?: string;
                /** @description Last day of the span, at most 366 days after the first */
                end_date?: string;
                /** @description First second of the span, in place of all others */
                since?: string;
                /** @description Last second of the span; now by default */
                until?: string;
                /** @description `key`, `server`, `tool`, or several of them with commas between: calls across them, in `groups` */
                by?: string;
                /** @description Length of steps of time, such as `5m`, `1h` or `1d`: `groups` has each of them alone */
                step?: string;
                /** @description Only calls with this key */
                key_id?: string;
                /** @description Only calls of this MCP: its id or exact name */
                mcp_id?: string;
                /** @description Only calls of this tool */
                tool?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The calls of the span. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["Usage"];
                    };
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
    getUsageHistory: {
        parameters: {
            query?: {
                /** @description Current day, week or month (UTC); `month` by default */
                period?: "day" | "week" | "month";
                /** @description First day of the span, in place of `period`, together with `end_date` */
                start_date?: string;
                /** @description Last day of the span, at most 366 days after the first */
                end_date?: string;
                /** @description Length of a part: `day` by default; `hour` for at most 31 days */
                granularity?: "hour" | "day" | "month";
                /** @description Only calls of this MCP: its id or exact name */
                mcp_id?: string;
                /** @description Only calls with this key */
                key_id?: string;
                /** @description Number of the page, from 1, which is the default */
                page?: number;
                /** @description Number of entries on a page: 20 by default, and more than 100 are taken as 100 */
                per_page?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of hours, days or months. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["UsageBucket"][];
                        /** @description Place of this page in the list. */
                        pagination: components["schemas"]["Pagination"];
                    };
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
    listKeys: {
        parameters: {
            query?: {
                /** @description Number of the page, from 1, which is the default */
                page?: number;
                /** @description Number of entries on a page: 20 by default, and more than 100 are taken as 100 */
                per_page?: number;
                /** @description Only those of this status; `all` by default */
                status?: "active" | "revoked" | "expired" | "all";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of keys. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["ApiKey"][];
                        /** @description Place of this page in the list. */
                        pagination: components["schemas"]["Pagination"];
                    };
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
    createKey: {
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
                 *       "name": "Bob",
                 *       "permissions": {
                 *         "mcps": "*",
                 *         "tools": [
                 *           "echo",
                 *           "add"
                 *         ]
                 *       },
                 *       "limits": {
                 *         "requests_per_second": 5
                 *       }
                 *     }
                 */
                "application/json": {
                    /**
                     * @description Name, which need not be unique.
                     * @example Bob
                     */
                    name: string;
                    /** @description Description; `null` for none. */
                    description?: string | null;
                    /** @description Time from which on the key is refused, or a date, of which it is the last second; `null` for none. */
                    expires_at?: string | null;
                    /** @description MCPs and tools that the key may use, never more than the key that asks may. */
                    permissions?: {
                        /** @description MCPs: `*` for all, also those to come, or ids or names of some; `*` by default. */
                        mcps?: "*" | string[];
                        /** @description Tools: `*` for all, which is the default, or names in which `*` stands for any characters, for all MCPs or by MCP, with `*` for those that are not named. */
                        tools?: "*" | string[] | {
                            [key: string]: string[];
                        };
                    };
                    /** @description Limits of its own, beside those of its owner's plan. */
                    limits?: {
                        /** @description Requests in a second; `null` for the default. */
                        requests_per_second?: number | null;
                        /** @description Calls in a month (UTC); `null` for the default. */
                        monthly_requests?: number | null;
                        /** @description Calls that may be under way at the same time; `null` for the default. */
                        calls_at_once?: number | null;
                    };
                    /** @description Id of the member that is to own it; your own by default. */
                    owner_id?: string;
                    /** @description Member to be made along with the key, which is to own it, in place of `owner_id`. */
                    member?: {
                        /** @description Id; made by default. */
                        id?: string;
                        /** @description Name for people; the key's by default. */
                        name?: string;
                        /** @description Email address. */
                        email?: string;
                        /**
                         * @description Role; `member` by default.
                         * @enum {string}
                         */
                        role?: "owner" | "admin" | "member" | "viewer";
                        /** @description Name of a plan of its own. */
                        plan?: string;
                    };
                };
            };
        };
        responses: {
            /** @description The key, with its text. */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    Location: components["headers"]["Location"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["NewApiKey"];
                        /** @description Remarks on what does not come true today, such as a pattern that fits no tool; absent if there are none. */
                        warnings?: string[];
                    };
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
            422: components["responses"]["UnprocessableContent"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    getKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The key. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["ApiKey"];
                    };
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
    revokeKey: {
        parameters: {
            query?: {
                /** @description `true` for the keys as well that it has made, and that those have made; `only` for these and not the key itself */
                descendants?: "true" | "false" | "only";
            };
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is revoked. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["KeyRevocation"];
                    };
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
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    updateKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "description": "For the night's reports",
                 *       "limits": {
                 *         "calls_at_once": 4
                 *       }
                 *     }
                 */
                "application/json": {
                    /** @description Name, which need not be unique. */
                    name?: string;
                    /** @description Description; `null` for none. */
                    description?: string | null;
                    /** @description Time from which on the key is refused, or a date, of which it is the last second; `null` for none. */
                    expires_at?: string | null;
                    /** @description MCPs and tools that the key may use, never more than the key that asks may. */
                    permissions?: {
                        /** @description MCPs: `*` for all, also those to come, or ids or names of some; `*` by default. */
                        mcps?: "*" | string[];
                        /** @description Tools: `*` for all, which is the default, or names in which `*` stands for any characters, for all MCPs or by MCP, with `*` for those that are not named. */
                        tools?: "*" | string[] | {
                            [key: string]: string[];
                        };
                    };
                    /** @description Limits of its own, beside those of its owner's plan. */
                    limits?: {
                        /** @description Requests in a second; `null` for the default. */
                        requests_per_second?: number | null;
                        /** @description Calls in a month (UTC); `null` for the default. */
                        monthly_requests?: number | null;
                        /** @description Calls that may be under way at the same time; `null` for the default. */
                        calls_at_once?: number | null;
                    };
                };
            };
        };
        responses: {
            /** @description The key after the change. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["ApiKey"];
                        /** @description Remarks on what does not come true today, such as a pattern that fits no tool; absent if there are none. */
                        warnings?: string[];
                    };
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
            422: components["responses"]["UnprocessableContent"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    rotateKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                /**
                 * @example {
                 *       "grace": "1h"
                 *     }
                 */
                "application/json": {
                    /** @description Time for which the earlier text is accepted as well: with a unit (`ms`, `s`, `m`, `h`), or as a number of seconds; at most seven days, and none by default. */
                    grace?: string | number;
                };
            };
        };
        responses: {
            /** @description The key, with its new text. */
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
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["RotatedApiKey"];
                    };
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
            422: components["responses"]["UnprocessableContent"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["InternalServerError"];
            503: components["responses"]["ServiceUnavailable"];
        };
    };
    getKeyUsage: {
        parameters: {
            query?: {
                /** @description Current day, week or month (UTC); `month` by default */
                period?: "day" | "week" | "month";
                /** @description First day of the span, in place of `period`, together with `end_date` */
                start_date?: string;
                /** @description Last day of the span, at most 366 days after the first */
                end_date?: string;
            };
            header?: never;
            path: {
                /**
                 * @description Id; of an MCP also its exact name, of a key also `self`, which is the key that is sent, and before `secrets` also `me`, which is the member whose key is sent
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The calls of the span. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /**
                         * @description `true`.
                         * @constant
                         */
                        success: true;
                        data: components["schemas"]["Usage"];
                    };
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
}
