package mcpvisor

import (
	"encoding/json"
	"net/http"
	"net/url"
)

// Logs are what servers write beside their answers.
type Logs struct{ c *Client }

// Follow goes through the lines of a server as they come, after the last options.Tail (100) that are there. It ends
// with the server's removal or the daemon's end; a key that ends is an error. Only administrators may.
func (l *Logs) Follow(mcp string, options *LogOptions) *Stream[LogLine] {
	path, err := at("/v1/mcps/{}/logs", mcp)
	return follow[LogLine](l.c, path, err, options.query(), "line")
}

// follow is a stream of /v1 of events with one name, beside `gap` and `end`.
func follow[T any](c *Client, path string, err error, query url.Values, name string) *Stream[T] {
	query.Set("follow", "true")
	s := &Stream[T]{c: c, follows: true, opening: c.settings.timeout, err: err, ended: err != nil}
	s.request = func(lastID string) *request {
		r := &request{method: http.MethodGet, path: path, query: query}
		if lastID != "" {
			r.header = http.Header{"Last-Event-Id": {lastID}}
		}
		return r
	}
	s.read = func(event *serverEvent, header http.Header) (value T, what step, err error) {
		switch event.name {
		case name:
			err = readEvent(event, header, &value)
			return value, stepValue, err
		case "gap":
			var gap struct{ Lines, Calls int64 }
			err = readEvent(event, header, &gap)
			s.missed += gap.Lines + gap.Calls
		case "end":
			var end LogEnd
			if err = readEvent(event, header, &end); err == nil {
				s.endsWith = string(end.Reason)
				err = endOfKey(end.Reason, header)
			}
			return value, stepEnd, err
		}
		return value, stepSkip, err
	}
	return s
}

// endOfKey is the error of a stream that ended because the key may not have it any more, or nil.
func endOfKey(reason LogEndReason, header http.Header) error {
	if reason == LogEndReasonRemoved || reason == LogEndReasonShuttingDown {
		return nil
	}
	e := &Error{Code: string(reason), Message: "the stream is not for the key any more", RequestID: header.Get("X-Request-Id")}
	if _, known := verdicts[e.Code]; !known {
		return nil // A reason of a later version, which EndReason tells.
	}
	judge(e, true)
	return e
}

// readEvent reads the data of an event.
func readEvent(event *serverEvent, header http.Header, into any) error {
	if err := json.Unmarshal(event.data, into); err != nil {
		a := &answer{status: http.StatusOK, header: header, body: event.data}
		return a.unusable("event `"+event.name+"`: "+err.Error(), err)
	}
	return nil
}
