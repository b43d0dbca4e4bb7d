package main

// dialect says what is made of one OpenAPI document.
type dialect struct {
	document string            // below the directory of the documents
	file     string            // that is written
	skip     map[string]bool   // schemas that are written by hand or not needed
	rename   map[string]string // schemas whose Go name is another one
	types    map[string]string // Go types written by hand, for "Schema" or "Schema.member"
	whole    map[string]bool   // schemas of answers, which are also kept as they came
	inputs   []input           // what operations take
}

// input is the parameters in the query or the body of one operation, as one struct.
type input struct {
	operation string
	name      string          // of the Go type
	without   map[string]bool // members that the methods set themselves
	clears    bool            // an empty list or map means something else than none
}

func set(names ...string) map[string]bool {
	all := map[string]bool{}
	for _, name := range names {
		all[name] = true
	}
	return all
}

var dialects = []dialect{
	{
		document: "plexmcp/openapi.json",
		file:     "types_v1.go",
		// Errors are read by classify.go; an export and a page of the audit have no method.
		skip:   set("Error", "ErrorDetails", "ErrorResponse", "ActivityEnd", "AuditEnd", "ToolPermissions"),
		rename: map[string]string{"Resources": "ResourcesResult"},
		whole: set("ActivityCall", "ApiKey", "KeyRevocation", "LogLine", "Mcp", "McpDetail", "Member", "NewApiKey",
			"Organization", "Resources", "RotatedApiKey", "Usage", "UsageBucket"),
		types: map[string]string{
			"Permissions.mcps":         "Scope",
			"Permissions.tools":        "*ToolScope",
			"NewKey.permissions.mcps":  "*Scope",
			"NewKey.permissions.tools": "*ToolScope",
			"NewKey.limits":            "*KeyLimits",
		},
		inputs: []input{
			{operation: "listMcps", name: "MCPListOptions", without: set("page")},
			{operation: "getLogs", name: "LogOptions", without: set("follow")},
			{operation: "listMembers", name: "MemberListOptions", without: set("page")},
			{operation: "listKeys", name: "KeyListOptions", without: set("page")},
			{operation: "createKey", name: "NewKey"},
			{operation: "getKeyUsage", name: "KeyUsageOptions"},
			{operation: "getUsage", name: "UsageOptions"},
			{operation: "getUsageHistory", name: "UsageHistoryOptions", without: set("page")},
			{operation: "listActivity", name: "ActivityOptions", without: set("cursor", "format", "follow")},
		},
	},
	{
		document: "mcp_cli/openapi.json",
		file:     "types_api.go",
		skip:     set("ErrorResponse", "ServerList", "ToolList"),
		rename:   map[string]string{"Tool": "ServerTool", "Step": "QueryStep"},
		whole:    set("ApiStatus", "Done", "Login", "QueryAnswer", "Server", "Tool"),
		inputs: []input{
			{operation: "addServer", name: "NewServer"},
			{operation: "updateServer", name: "ServerChange", clears: true},
			{operation: "finishLogin", name: "LoginReply"},
			{operation: "runQuery", name: "QueryRequest", without: set("stream")},
		},
	},
}
