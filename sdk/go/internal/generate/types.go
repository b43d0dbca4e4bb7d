package main

import (
	"fmt"
	"strings"
)

// typeName is the Go name of a schema of the components.
func (w *writer) typeName(schemaName string) string {
	if other, ok := w.dialect.rename[schemaName]; ok {
		return other
	}
	return goName(schemaName)
}

// fieldType is the Go type of a member, and whether it is left out when it has the zero value.
//
// Of an answer, what may be absent or null is a pointer, unless its type has a nil. What is sent is a pointer
// only where zero means something. Where an empty list or map clears, it is always there: null is as good as
// absent.
func (w *writer) fieldType(o object, name string, s *schema) (goType string, omit bool, err error) {
	place := o.place + "." + name
	required := o.s.requires(name)
	if byHand, ok := w.dialect.types[place]; ok {
		return byHand, !required, nil
	}
	s, nullable := withoutNull(s)
	goType, err = w.plain(object{name: o.name + goName(name), place: place, input: o.input}, s)
	if err != nil {
		return "", false, err
	}
	hasNil := strings.HasPrefix(goType, "[]") || strings.HasPrefix(goType, "map[") || goType == "json.RawMessage"
	switch {
	case hasNil && o.input:
		return goType, !required && !(o.clears && nullable), nil
	case hasNil || required && !nullable:
		return goType, !required, nil
	case o.input && emptyIsAbsent(goType, s):
		return goType, true, nil
	}
	return "*" + goType, !required, nil
}

// emptyIsAbsent reports whether the zero value of something to be sent cannot be meant.
func emptyIsAbsent(goType string, s *schema) bool {
	switch goType {
	case "string", "bool":
		return true
	case "int64", "float64":
		return s.Minimum != nil && *s.Minimum > 0
	}
	return false
}

// withoutNull takes null out of an anyOf, and says whether null is a value.
func withoutNull(s *schema) (*schema, bool) {
	if len(s.AnyOf) == 0 {
		return s, s.nullable()
	}
	nullable := false
	rest := *s
	rest.AnyOf = nil
	for _, one := range s.AnyOf {
		if len(one.Type) == 1 && one.Type[0] == "null" {
			nullable = true
			continue
		}
		rest.AnyOf = append(rest.AnyOf, one)
	}
	if len(rest.AnyOf) == 1 {
		return rest.AnyOf[0], nullable
	}
	return &rest, nullable
}

// plain is the Go type of a schema, without regard to null. `as` names an object without a name of its own.
func (w *writer) plain(as object, s *schema) (string, error) {
	switch {
	case s.Ref != "":
		name, err := refName(s.Ref)
		if err == nil && w.dialect.skip[name] {
			err = fmt.Errorf("%s has no type, and %s is not in the table of types", name, as.place)
		}
		return w.typeName(name), err
	case len(s.AnyOf) > 0:
		for _, one := range s.AnyOf {
			if one.kind() != "string" {
				return "", fmt.Errorf("several kinds of values, and %s is not in the table of types", as.place)
			}
		}
		return "string", nil
	}
	switch s.kind() {
	case "string":
		if s.Format == "date-time" && !as.input {
			w.imports["time"] = true
			return "time.Time", nil
		}
		return "string", nil
	case "integer":
		return "int64", nil
	case "number":
		return "float64", nil
	case "boolean":
		return "bool", nil
	case "array":
		item, err := w.plain(as, s.Items)
		return "[]" + item, err
	case "object":
		return w.plainObject(as, s)
	case "":
		if len(s.Type) == 0 {
			w.imports["encoding/json"] = true
			return "json.RawMessage", nil
		}
	}
	return "", fmt.Errorf("a type that is not known here: %v", s.Type)
}

func (w *writer) plainObject(as object, s *schema) (string, error) {
	if len(s.Properties.order) > 0 {
		as.s = s
		w.later = append(w.later, as)
		return as.name, nil
	}
	values, err := s.values()
	switch {
	case err != nil:
		return "", err
	case values != nil:
		value, err := w.plain(as, values)
		return "map[string]" + value, err
	case as.input:
		return "map[string]any", nil
	}
	w.imports["encoding/json"] = true
	return "json.RawMessage", nil
}
