package mcpvisor

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// serverEvent is one Server-Sent Event.
type serverEvent struct {
	name string // "message" where it has none
	id   string // the last one that was named in the stream
	data []byte
}

// eventReader reads a stream of Server-Sent Events, as the HTML standard has it.
type eventReader struct {
	lines   *bufio.Reader
	begun   bool
	afterCR bool // whose LF, if it has one, has yet to come
	id      string
	alive   func() // called for each line, comments too
}

func newEventReader(source io.Reader, alive func()) *eventReader {
	return &eventReader{lines: bufio.NewReaderSize(source, 16<<10), alive: alive}
}

// next reads on to the end of the next event that has data. An event that is cut off is none.
func (r *eventReader) next() (*serverEvent, error) {
	name := ""
	var data [][]byte
	for {
		line, err := r.line()
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			if data == nil {
				name = ""
				continue
			}
			if name == "" {
				name = "message"
			}
			return &serverEvent{name: name, id: r.id, data: bytes.Join(data, []byte("\n"))}, nil
		}
		field, value := line, []byte(nil)
		if colon := bytes.IndexByte(line, ':'); colon >= 0 {
			field, value = line[:colon], bytes.TrimPrefix(line[colon+1:], []byte(" "))
		}
		switch string(field) {
		case "event":
			name = string(value)
		case "data":
			data = append(data, value)
		case "id":
			if !strings.ContainsRune(string(value), 0) {
				r.id = string(value)
			}
		}
	}
}

// line reads a line, which ends with LF, CRLF or CR. What the stream ends in the middle of is an error.
func (r *eventReader) line() ([]byte, error) {
	var line []byte
	for {
		if _, err := r.lines.Peek(1); err != nil {
			return nil, err
		}
		there, _ := r.lines.Peek(r.lines.Buffered())
		if r.afterCR && there[0] == '\n' {
			there = there[1:]
			_, _ = r.lines.Discard(1)
		}
		r.afterCR = false
		end := bytes.IndexAny(there, "\r\n")
		if end < 0 {
			line = append(line, there...)
			_, _ = r.lines.Discard(len(there))
			continue
		}
		line = append(line, there[:end]...)
		r.afterCR = there[end] == '\r'
		_, _ = r.lines.Discard(end + 1)
		r.alive()
		if !r.begun {
			r.begun = true
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		return line, nil
	}
}
