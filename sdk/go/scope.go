package mcpvisor

import (
	"bytes"
	"encoding/json"
)

// everything is how the API writes that there is no restriction.
var everything = []byte(`"*"`)

// Scope says which servers a key may use. The zero value is none.
type Scope struct {
	// All servers, also those to come; Names is then not looked at.
	All bool
	// Names are ids or names; the gateway keeps ids.
	Names []string
}

// Only is the scope of these servers.
func Only(names ...string) *Scope { return &Scope{Names: names} }

// MarshalJSON writes "*" or the names.
func (s Scope) MarshalJSON() ([]byte, error) {
	if s.All {
		return everything, nil
	}
	return json.Marshal(append([]string{}, s.Names...))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Scope) UnmarshalJSON(data []byte) error {
	*s = Scope{All: bytes.Equal(data, everything)}
	if s.All {
		return nil
	}
	return json.Unmarshal(data, &s.Names)
}

// ToolScope says which tools a key may use. The zero value is none.
type ToolScope struct {
	// All tools; the others are then not looked at.
	All bool
	// Names are tools of any server; * in one stands for any characters.
	Names []string
	// ByMCP, where it is not nil, has the tools of each server by its id or name, and by "*" those of all others.
	ByMCP map[string][]string
}

// OnlyTools is the scope of these tools.
func OnlyTools(names ...string) *ToolScope { return &ToolScope{Names: names} }

// MarshalJSON writes "*", the names, or an object of names by server.
func (s ToolScope) MarshalJSON() ([]byte, error) {
	switch {
	case s.All:
		return everything, nil
	case s.ByMCP != nil:
		return json.Marshal(s.ByMCP)
	}
	return json.Marshal(append([]string{}, s.Names...))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *ToolScope) UnmarshalJSON(data []byte) error {
	*s = ToolScope{All: bytes.Equal(data, everything)}
	switch {
	case s.All:
		return nil
	case len(data) > 0 && data[0] == '{':
		return json.Unmarshal(data, &s.ByMCP)
	}
	return json.Unmarshal(data, &s.Names)
}
