package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// document is as much of an OpenAPI document as is needed here.
type document struct {
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas members `json:"schemas"`
	} `json:"components"`
}

type operation struct {
	ID         string      `json:"operationId"`
	Parameters []parameter `json:"parameters"`
	Body       struct {
		Content map[string]struct {
			Schema *schema `json:"schema"`
		} `json:"content"`
	} `json:"requestBody"`
}

type parameter struct {
	Name        string  `json:"name"`
	In          string  `json:"in"`
	Description string  `json:"description"`
	Required    bool    `json:"required"`
	Schema      *schema `json:"schema"`
}

type schema struct {
	Ref         string          `json:"$ref"`
	Type        names           `json:"type"`
	Format      string          `json:"format"`
	Description string          `json:"description"`
	Properties  members         `json:"properties"`
	Required    []string        `json:"required"`
	Items       *schema         `json:"items"`
	Enum        []string        `json:"enum"`
	Const       json.RawMessage `json:"const"`
	Minimum     *float64        `json:"minimum"`
	AnyOf       []*schema       `json:"anyOf"`
	Additional  json.RawMessage `json:"additionalProperties"`
}

// names is `type`, which is one name or several.
type names []string

func (n *names) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		*n = make(names, 1)
		return json.Unmarshal(data, &(*n)[0])
	}
	return json.Unmarshal(data, (*[]string)(n))
}

// members keeps the order in which an object names its members.
type members struct {
	order []string
	by    map[string]*schema
}

func (m *members) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &m.by); err != nil {
		return err
	}
	reader := json.NewDecoder(bytes.NewReader(data))
	if _, err := reader.Token(); err != nil {
		return err
	}
	for reader.More() {
		name, err := reader.Token()
		if err != nil {
			return err
		}
		m.order = append(m.order, name.(string))
		var passed json.RawMessage
		if err := reader.Decode(&passed); err != nil {
			return err
		}
	}
	return nil
}

// refName is the name of the schema that a reference leads to.
func refName(ref string) (string, error) {
	const home = "#/components/schemas/"
	if !strings.HasPrefix(ref, home) {
		return "", fmt.Errorf("reference %q leads out of the schemas", ref)
	}
	return strings.TrimPrefix(ref, home), nil
}

// kind is the one type beside null, or "" where there is none or several.
func (s *schema) kind() string {
	kind := ""
	for _, name := range s.Type {
		if name == "null" {
			continue
		}
		if kind != "" {
			return ""
		}
		kind = name
	}
	return kind
}

func (s *schema) nullable() bool {
	for _, name := range s.Type {
		if name == "null" {
			return true
		}
	}
	return false
}

// open reports whether an object may have members that are not described.
func (s *schema) open() bool { return string(s.Additional) == "true" }

// values is the schema of members that have no name here, or nil where nothing is said of them.
func (s *schema) values() (*schema, error) {
	if len(s.Additional) == 0 || s.Additional[0] != '{' {
		return nil, nil
	}
	var values schema
	return &values, json.Unmarshal(s.Additional, &values)
}

func (s *schema) requires(name string) bool {
	for _, one := range s.Required {
		if one == name {
			return true
		}
	}
	return false
}

// find returns the operation with this id.
func (d *document) find(id string) (*operation, error) {
	for _, methods := range d.Paths {
		for _, op := range methods {
			if op.ID == id {
				return &op, nil
			}
		}
	}
	return nil, fmt.Errorf("there is no operation %s", id)
}

// asSchema is what an operation takes as one object: its body, else its query.
func (o *operation) asSchema() (body bool, whole *schema) {
	if content, ok := o.Body.Content["application/json"]; ok {
		return true, content.Schema
	}
	whole = &schema{Type: names{"object"}, Properties: members{by: map[string]*schema{}}}
	for _, p := range o.Parameters {
		if p.In != "query" {
			continue
		}
		member := *p.Schema
		member.Description = p.Description
		whole.Properties.order = append(whole.Properties.order, p.Name)
		whole.Properties.by[p.Name] = &member
	}
	return false, whole
}
