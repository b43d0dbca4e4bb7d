package mcpvisor

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"testing"
)

func TestUnwrap(t *testing.T) {
	for body, good := range map[string]bool{
		`{"success":true,"data":{"id":"org","of_the_future":[1]},"beside":1}`: true,
		`{"success":true,"data":{}}`:                                          true,
		`{"success":true,"data":null}`:                                        false,
		`{"success":true,"data":[]}`:                                          false,
		`{"success":true}`:                                                    false,
		`{"data":{"id":"org"}}`:                                               false,
		`{"success":false,"data":{"id":"org"}}`:                               false,
		`{"success":true,"data":{"id":7}}`:                                    false,
		`{"success":true,"data":{"id":"org"}} trails`:                         false,
		`{"success":true,"data":{"id":"or`:                                    false,
		`[1]`:                                                                 false,
		`"text"`:                                                              false,
		`<html>`:                                                              false,
		``:                                                                    false,
	} {
		_, err := unwrap[Organization](&answer{status: 200, header: http.Header{"X-Request-Id": {"r"}}, body: []byte(body)})
		if good != (err == nil) {
			t.Errorf("%s: got %v", body, err)
		}
		var e *Error
		if err != nil && (!errors.As(err, &e) || e.Kind != ErrProtocol || e.RequestID != "r" || e.Retryable) {
			t.Errorf("%s: got %+v", body, err)
		}
	}
}

func TestBare(t *testing.T) {
	for body, good := range map[string]bool{
		`{"status":"success","message":"done","more":1}`: true,
		`{"status":"success"}`:                           false,
		`{"status":"success","message":null}`:            false,
		`{"message":7}`:                                  false,
		`[]`:                                             false,
		`null`:                                           false,
		``:                                               false,
	} {
		_, err := bare[Done](&answer{status: 200, body: []byte(body)}, "message")
		if good != (err == nil) || err != nil && !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: got %v", body, err)
		}
	}
}

// What is not described is kept, and written again as it came.
func TestAnswersAreKeptAsTheyCame(t *testing.T) {
	const body = `{"id":"m","of_the_future":{"n":9223372036854775807,"big":123456789012345678901234567890}}`
	var mcp MCP
	if err := json.Unmarshal([]byte(body), &mcp); err != nil {
		t.Fatal(err)
	}
	if mcp.ID != "m" || string(mcp.Raw) != body {
		t.Errorf("got %q, %s", mcp.ID, mcp.Raw)
	}
	if again, err := json.Marshal(mcp); err != nil || string(again) != body {
		t.Errorf("written again: %s, %v", again, err)
	}
	mcp.Raw = nil
	var members map[string]any
	if again, err := json.Marshal(mcp); err != nil || json.Unmarshal(again, &members) != nil || members["id"] != "m" {
		t.Errorf("written without Raw: %s, %v", again, err)
	}
}

func TestScopes(t *testing.T) {
	for text, want := range map[string]Scope{`"*"`: {All: true}, `["a","b"]`: *Only("a", "b"), `[]`: {Names: []string{}}} {
		var got Scope
		if err := json.Unmarshal([]byte(text), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read %+v, %v", text, got, err)
		}
		if again, err := json.Marshal(got); err != nil || string(again) != text {
			t.Errorf("%s: wrote %s, %v", text, again, err)
		}
	}
	for text, want := range map[string]ToolScope{
		`"*"`:                       {All: true},
		`["echo"]`:                  *OnlyTools("echo"),
		`{"*":["a"],"demo":["b*"]}`: {ByMCP: map[string][]string{"demo": {"b*"}, "*": {"a"}}},
	} {
		var got ToolScope
		if err := json.Unmarshal([]byte(text), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read %+v, %v", text, got, err)
		}
		if again, err := json.Marshal(got); err != nil || string(again) != text {
			t.Errorf("%s: wrote %s, %v", text, again, err)
		}
	}
	if text, err := json.Marshal(Scope{}); err != nil || string(text) != "[]" {
		t.Errorf("the zero value is written as %s, %v, and has to be nothing", text, err)
	}
	for _, text := range []string{`7`, `"all"`, `[7]`} {
		if json.Unmarshal([]byte(text), &Scope{}) == nil || json.Unmarshal([]byte(text), &ToolScope{}) == nil {
			t.Errorf("%s is taken for a scope", text)
		}
	}
}
