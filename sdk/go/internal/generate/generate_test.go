package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is committed is what the documents of the daemon say.
func TestCommittedTypesAreCurrent(t *testing.T) {
	const specs = "../../../../src/http"
	if _, err := os.Stat(specs); err != nil {
		t.Skip("this is no checkout of mcpvisor: ", err)
	}
	if err := run(specs, "../..", true); err != nil {
		t.Error(err)
	}
}

func TestCheckSeesADifference(t *testing.T) {
	path := filepath.Join(t.TempDir(), "types.go")
	if err := settle(path, []byte("new"), true); err == nil {
		t.Error("a file that is missing passes")
	}
	if err := settle(path, []byte("old"), false); err != nil {
		t.Fatal(err)
	}
	if err := settle(path, []byte("new"), true); err == nil {
		t.Error("another file passes")
	}
	if err := settle(path, []byte("old"), true); err != nil {
		t.Error(err)
	}
}

const document1 = `{
  "paths": {
    "/things": {
      "get": {"operationId": "listThings", "parameters": [
        {"name": "page", "in": "query", "schema": {"type": "integer", "minimum": 1}},
        {"name": "limit", "in": "query", "description": "How many", "schema": {"type": "integer", "minimum": 0}},
        {"name": "since", "in": "query", "schema": {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}},
        {"name": "id", "in": "path", "schema": {"type": "string"}}]},
      "put": {"operationId": "changeThing", "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {
        "name": {"type": "string", "description": "Its name."},
        "args": {"type": ["array", "null"], "items": {"type": "string"}},
        "inner": {"type": "object", "properties": {"heat": {"type": "number", "minimum": 0}}}}, "required": ["name"]}}}}}
    }
  },
  "components": {"schemas": {
    "Thing": {"type": "object", "description": "A thing.", "properties": {
      "mcp_id": {"type": "string"}, "at": {"type": ["string", "null"], "format": "date-time"}, "count": {"type": "integer"},
      "state": {"anyOf": [{"$ref": "#/components/schemas/State"}, {"type": "null"}]},
      "scope": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
      "env": {"type": "object", "additionalProperties": {"type": "string"}}, "any": {}, "tags": {"type": "array", "items": {"type": "string"}}},
      "required": ["mcp_id", "at", "state", "scope", "env", "any"], "additionalProperties": true},
    "State": {"type": "string", "description": "How it is.\n\n- ` + "`on_hold`" + `: It waits.", "enum": ["on_hold", "off"]},
    "Hidden": {"type": "string"}
  }}
}`

func dialect1() dialect {
	return dialect{
		document: "x.json",
		skip:     set("Hidden"),
		types:    map[string]string{"Thing.scope": "Scope"},
		inputs: []input{
			{operation: "listThings", name: "ThingOptions", without: set("page")},
			{operation: "changeThing", name: "ThingChange", clears: true},
		},
	}
}

func TestGenerate(t *testing.T) {
	code, err := generate(dialect1(), []byte(document1), map[string]string{})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(code)), " ")
	for _, want := range []string{
		"// Thing: A thing. type Thing struct {",
		"MCPID string `json:\"mcp_id\"`",
		"At *time.Time `json:\"at\"`",
		"Count *int64 `json:\"count,omitempty\"`",
		"State *State `json:\"state\"`",
		"Scope Scope `json:\"scope\"`",
		"Env map[string]string `json:\"env\"`",
		"Any json.RawMessage `json:\"any\"`",
		"Tags []string `json:\"tags,omitempty\"`",
		"Raw json.RawMessage `json:\"-\"`",
		"func (o *Thing) UnmarshalJSON(data []byte) error {",
		"// It waits. StateOnHold State = \"on_hold\" StateOff",
		"type ThingOptions struct { // How many Limit *int64 `json:\"limit,omitempty\"` Since string",
		"if o.Limit != nil { query.Set(\"limit\", strconv.FormatInt(*o.Limit, 10)) }",
		"type ThingChange struct { // Its name. Name string `json:\"name\"` Args []string `json:\"args\"` Inner *ThingChangeInner",
		"type ThingChangeInner struct { Heat *float64 `json:\"heat,omitempty\"` }",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %s in\n%s", want, code)
		}
	}
	if strings.Contains(text, "Hidden") || strings.Contains(text, "Page") {
		t.Errorf("what is to be left out is there:\n%s", code)
	}
}

// A document that the tables do not fit is an error, not code that lacks something.
func TestGenerateRefuses(t *testing.T) {
	for name, change := range map[string]func(*dialect){
		"a schema to skip that is not there":     func(d *dialect) { d.skip["Gone"] = true },
		"a schema to keep that is not there":     func(d *dialect) { d.whole = set("Gone") },
		"an operation that is not there":         func(d *dialect) { d.inputs[0].operation = "gone" },
		"a member to leave out that is not":      func(d *dialect) { d.inputs[0].without["gone"] = true },
		"several kinds of values without a type": func(d *dialect) { d.types = nil },
		"a reference to what is skipped":         func(d *dialect) { d.skip["State"] = true },
		"a name that comes twice":                func(d *dialect) { d.inputs[0].name = "Thing" },
	} {
		d := dialect1()
		change(&d)
		if _, err := generate(d, []byte(document1), map[string]string{}); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
	if _, err := generate(dialect1(), []byte("{"), map[string]string{}); err == nil {
		t.Error("a document that is no JSON passes")
	}
}

func TestGoName(t *testing.T) {
	for name, want := range map[string]string{
		"mcp_id": "MCPID", "built-in": "BuiltIn", "McpDetail": "MCPDetail", "mimeType": "MimeType", "_meta": "Meta", "avg_latency_ms": "AvgLatencyMS",
	} {
		if got := goName(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
