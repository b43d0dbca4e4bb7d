package main

import "strings"

// initialisms are written in one case, as Go has it.
var initialisms = map[string]string{
	"Api": "API", "Cpu": "CPU", "Id": "ID", "Ids": "IDs", "Mcp": "MCP", "Mcps": "MCPs", "Ms": "MS", "Pid": "PID",
	"Rpc": "RPC", "Rss": "RSS", "Uid": "UID", "Uri": "URI", "Url": "URL",
}

// goName makes an exported Go name of a schema, a member or a value.
func goName(name string) string {
	var out strings.Builder
	for _, word := range words(name) {
		word = strings.ToUpper(word[:1]) + word[1:]
		if short, ok := initialisms[word]; ok {
			word = short
		}
		out.WriteString(word)
	}
	return out.String()
}

// words cuts snake_case, kebab-case and CamelCase.
func words(name string) []string {
	var all []string
	word := ""
	end := func() {
		if word != "" {
			all = append(all, word)
		}
		word = ""
	}
	for _, r := range name {
		switch {
		case r == '_' || r == '-' || r == ' ':
			end()
			continue
		case r >= 'A' && r <= 'Z':
			end()
		}
		word += string(r)
	}
	end()
	return all
}

// comment writes a text as the comment of what follows, at most 110 columns wide; none without a text.
func comment(out *strings.Builder, indent, text string) {
	if strings.TrimSpace(text) == "" {
		return
	}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		row := indent + "//"
		for _, word := range strings.Fields(line) {
			if len(row)+1+len(word) > 110 {
				out.WriteString(row + "\n")
				row = indent + "//"
			}
			row += " " + word
		}
		out.WriteString(row + "\n")
	}
}
