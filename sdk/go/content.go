package mcpvisor

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// readText reads a block of JSON that is a text without escapes and nothing else, written as SDKs of MCP write it. Such
// texts are what is long in answers, and encoding/json would walk each of them twice more. It reports whether it is one.
func (o *ContentBlock) readText(data []byte) bool {
	const begin, end = `{"type":"text","text":"`, `"}`
	if len(data) < len(begin)+len(end) || !bytes.HasPrefix(data, []byte(begin)) || !bytes.HasSuffix(data, []byte(end)) {
		return false
	}
	inside := data[len(begin) : len(data)-len(end)]
	if bytes.IndexByte(inside, '"') >= 0 || bytes.IndexByte(inside, '\\') >= 0 || !utf8.Valid(inside) {
		return false
	}
	kind, text := "text", string(inside)
	*o = ContentBlock{Type: &kind, Text: &text, Raw: append(json.RawMessage(nil), data...)}
	return true
}
