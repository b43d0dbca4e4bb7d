package main

import "fmt"

// input writes what an operation takes: its body, or the parameters in its query with a method for them.
func (w *writer) input(in input) error {
	op, err := w.doc.find(in.operation)
	if err != nil {
		return err
	}
	body, whole := op.asSchema()
	whole.Properties, err = whole.Properties.less(in.without)
	if err != nil {
		return err
	}
	about := "what can be asked for; nil and the zero value are the defaults."
	if body {
		about = "what is sent."
	}
	whole.Description = about
	if err := w.structs(object{name: in.name, place: in.name, s: whole, input: true, clears: in.clears}); err != nil {
		return err
	}
	if body {
		return nil
	}
	return w.query(in.name, whole)
}

// less is the members without some, all of which have to be there.
func (m members) less(without map[string]bool) (members, error) {
	rest := members{by: m.by}
	left := len(without)
	for _, name := range m.order {
		if without[name] {
			left--
			continue
		}
		rest.order = append(rest.order, name)
	}
	if left > 0 {
		return rest, fmt.Errorf("one of %v is not there to be left out", without)
	}
	return rest, nil
}

// query writes the method that makes the query of the parameters that are set.
func (w *writer) query(name string, whole *schema) error {
	w.imports["net/url"] = true
	fmt.Fprintf(&w.out, "\nfunc (o *%s) query() url.Values {\n\tquery := url.Values{}\n\tif o == nil {\n\t\treturn query\n\t}\n", name)
	for _, parameter := range whole.Properties.order {
		goType, _, err := w.fieldType(object{name: name, place: name, s: whole, input: true}, parameter, whole.Properties.by[parameter])
		if err != nil {
			return err
		}
		field := "o." + goName(parameter)
		condition, value := "", ""
		switch goType {
		case "string":
			condition, value = field+` != ""`, field
		case "int64":
			condition, value = field+" != 0", "strconv.FormatInt("+field+", 10)"
		case "*int64":
			condition, value = field+" != nil", "strconv.FormatInt(*"+field+", 10)"
		case "bool":
			condition, value = field, `"true"`
		default:
			return fmt.Errorf("parameter %s is %s, which no query has yet", parameter, goType)
		}
		if goType == "int64" || goType == "*int64" {
			w.imports["strconv"] = true
		}
		fmt.Fprintf(&w.out, "\tif %s {\n\t\tquery.Set(%q, %s)\n\t}\n", condition, parameter, value)
	}
	w.out.WriteString("\treturn query\n}\n")
	return nil
}
