package mcpvisor

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Answers to calls are read here as the daemon writes them. Their texts are what is long in them, and encoding/json walks
// each of them four times: as a part of the answer, of the list and of the block, and to take its escapes out. What is
// written in another way is left to it.

// readAnswer reads a success of a call: these members, in this order, without blanks between them. Result and the Raw of
// blocks are parts of the body, which nobody else may change. It reports whether it is one.
func (o *Invocation) readAnswer(body []byte) bool {
	rest := cursor(body)
	if !json.Valid(body) || !rest.skip(`{"success":true,"data":{"result":`) {
		return false
	}
	read := Invocation{Result: rest.value()}
	if read.Result == nil || !rest.skip(`,"metadata":`) || json.Unmarshal(rest.value(), &read.Metadata) != nil ||
		!rest.skip(`,"content":`) || !rest.blocks(&read.Content) || string(rest) != `,"is_error":false}}` {
		return false
	}
	*o = read
	return true
}

// cursor is what is left of valid JSON.
type cursor []byte

// skip goes over this text, if it comes next.
func (c *cursor) skip(text string) bool {
	is := len(*c) >= len(text) && string((*c)[:len(text)]) == text
	if is {
		*c = (*c)[len(text):]
	}
	return is
}

// value goes over the value that comes next.
func (c *cursor) value() json.RawMessage {
	text, depth, at := *c, 0, 0
	for at < len(text) {
		switch text[at] {
		case '"':
			at = afterText(text, at)
			if depth == 0 {
				return c.cut(at)
			}
			continue
		case '{', '[':
			depth++
		case '}', ']', ',':
			if depth == 0 {
				return c.cut(at) // of a number or a word, before what it is in goes on
			}
			if text[at] != ',' {
				depth--
			}
			if depth == 0 {
				return c.cut(at + 1)
			}
		}
		at++
	}
	return c.cut(at)
}

// cut takes off the beginning. What has blanks around it is left to encoding/json, and is nil here.
func (c *cursor) cut(length int) json.RawMessage {
	begin := (*c)[:length:length]
	*c = (*c)[length:]
	if length == 0 || begin[0] <= ' ' || begin[length-1] <= ' ' {
		return nil
	}
	return json.RawMessage(begin)
}

// afterText is the place after the text that begins with the quote at a place.
func afterText(text []byte, at int) int {
	for {
		at++
		next := bytes.IndexByte(text[at:], '"')
		if next < 0 {
			return len(text)
		}
		before := at
		at += next
		slashes := 0
		for at-slashes > before && text[at-slashes-1] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return at + 1
		}
	}
}

// blocks reads a list of blocks.
func (c *cursor) blocks(read *[]ContentBlock) bool {
	if !c.skip("[") {
		return false
	}
	*read = []ContentBlock{}
	for !c.skip("]") {
		if len(*read) > 0 && !c.skip(",") {
			return false
		}
		var block ContentBlock
		data := c.value()
		if block.readText(data) {
			block.Raw = data
		} else if json.Unmarshal(data, &block) != nil {
			return false
		}
		*read = append(*read, block)
	}
	return true
}

// readText reads a block of JSON that is a text and nothing else, written as SDKs of MCP write it, but for Raw. It reports
// whether it is one.
func (o *ContentBlock) readText(data []byte) bool {
	const begin, end = `{"type":"text","text":"`, `"}`
	if len(data) < len(begin)+len(end) || !bytes.HasPrefix(data, []byte(begin)) || !bytes.HasSuffix(data, []byte(end)) {
		return false
	}
	text, is := unquote(data[len(begin) : len(data)-len(end)])
	if is {
		read := struct{ kind, text string }{"text", text}
		*o = ContentBlock{Type: &read.kind, Text: &read.text}
	}
	return is
}

// unquote takes the escapes out of what stands between the quotes of a text. It reports whether that is all of one text, and
// nothing that encoding/json would replace.
func unquote(inside []byte) (string, bool) {
	if !utf8.Valid(inside) {
		return "", false
	}
	var text strings.Builder
	text.Grow(len(inside))
	for {
		plain := bytes.IndexByte(inside, '\\')
		if plain < 0 {
			plain = len(inside)
		}
		if bytes.IndexByte(inside[:plain], '"') >= 0 {
			return "", false
		}
		text.Write(inside[:plain])
		if inside = inside[plain:]; len(inside) == 0 {
			return text.String(), true
		}
		char, length := unescape(inside)
		if length == 0 {
			return "", false
		}
		text.WriteRune(char)
		inside = inside[length:]
	}
}

// unescape is the character that an escape at the beginning stands for, and how long that is: 0 if it is none.
func unescape(text []byte) (rune, int) {
	if len(text) < 2 {
		return 0, 0
	}
	switch text[1] {
	case '"', '\\', '/':
		return rune(text[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	first, is := codeUnit(text)
	if !is {
		return 0, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, len(`\u0000`)
	}
	second, _ := codeUnit(text[len(`\u0000`):])
	if char := utf16.DecodeRune(first, second); char != utf8.RuneError {
		return char, len(`\u0000\u0000`)
	}
	return 0, 0
}

// codeUnit is the number of an escape \uXXXX at the beginning.
func codeUnit(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(unit), err == nil
}
