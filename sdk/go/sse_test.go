package mcpvisor

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestEvents(t *testing.T) {
	tests := []struct{ name, stream, want string }{
		{"one", "event: line\nid: 7\ndata: {}\n\n", "line 7 {};"},
		{"without a name", "data: x\n\n", "message  x;"},
		{"several lines of data", "data: a\ndata:b\ndata\ndata:  c\n\n", "message  a\nb\n\n c;"},
		{"CRLF", "event: a\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", "a  1;message  2;"},
		{"CR", "event: a\rdata: 1\r\rdata: 2\r\r", "a  1;message  2;"},
		{"comments and blank lines", ": hello\n\n\n: x\ndata: 1\n: y\n\n", "message  1;"},
		{"byte order mark", "\xef\xbb\xbfdata: 1\n\n", "message  1;"},
		{"an id holds", "id: 3\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", "message 3 a;message 3 b;message  c;"},
		{"an id with NUL is none", "id: 3\ndata: a\n\nid: 4\x00\ndata: b\n\n", "message 3 a;message 3 b;"},
		{"a name without data is forgotten", "event: a\n\ndata: 1\n\n", "message  1;"},
		{"unknown fields", "retry: 10\nwhat: ever\ndata: 1\n\n", "message  1;"},
		{"an event that is cut is none", "data: 1\n\ndata: 2\n", "message  1;"},
		{"a line that is cut is none", "data: 1\n\ndata: 2", "message  1;"},
		{"more than a buffer", "data: " + strings.Repeat("ä", 40000) + "\n\n", "message  " + strings.Repeat("ä", 40000) + ";"},
	}
	for _, test := range tests {
		for way, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader,
		} {
			got := ""
			lines := 0
			events := newEventReader(wrap(strings.NewReader(test.stream)), func() { lines++ })
			var err error
			for err == nil {
				var event *serverEvent
				if event, err = events.next(); err == nil {
					got += fmt.Sprintf("%s %s %s;", event.name, event.id, event.data)
				}
			}
			if got != test.want || !errors.Is(err, io.EOF) {
				t.Errorf("%s, %s: got %.100q, %v; want %.100q", test.name, way, got, err, test.want)
			}
			if lines == 0 {
				t.Errorf("%s, %s: no sign of life", test.name, way)
			}
		}
	}
}
