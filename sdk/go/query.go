package mcpvisor

import (
	"encoding/json"
	"math"
	"net/http"
	"time"
)

// QueryEvent is something that happens while a model answers. What its Type says is there, the others are nil.
type QueryEvent struct {
	// Type is "token", "tool_call", "tool_result" or "final"; later versions may have others.
	Type string
	// Text is the next words of a "token".
	Text string
	// ToolCall is a tool that the model wants called.
	ToolCall *ToolCallEvent
	// ToolResult is what it was told of the tool.
	ToolResult *ToolResultEvent
	// Final is the whole answer, with which the stream ends.
	Final *QueryAnswer
	// Raw is the event as it came.
	Raw json.RawMessage
}

// QueryStream is Query with what happens on the way. Closing it gives the question up. What goes wrong after the
// first event is the stream's error as well. Without a deadline of the context, its beginning has the request's
// Timeout, else WithTimeout, and its end no bound but the gateway's. A deadline of the context of the first Next
// is sent along.
func (a *API) QueryStream(question *QueryRequest) *Stream[QueryEvent] {
	opening := a.c.settings.questions
	if question.Timeout > 0 {
		opening = time.Duration(question.Timeout)*time.Millisecond + mostGrace
	}
	s := &Stream[QueryEvent]{c: a.c, opening: opening, read: readQueryEvent}
	s.request = func(string) *request {
		r := &request{method: http.MethodPost, path: "/api/query", asks: true}
		d := &deadline{longest: math.MaxInt64}
		if question.Timeout > 0 {
			d.chosen = time.Now().Add(time.Duration(question.Timeout) * time.Millisecond)
		}
		r.body = func() ([]byte, error) {
			d.context = r.until // that of the Next which opens the stream
			return json.Marshal(asked{question, d.milliseconds(time.Now()), true}.body())
		}
		return r
	}
	return s
}

// asked is a question as it is sent.
type asked struct {
	question *QueryRequest
	timeout  int64 // in milliseconds, 0 for none
	stream   bool
}

func (a asked) body() any {
	question := *a.question
	question.Timeout = a.timeout
	return struct {
		*QueryRequest
		Stream bool `json:"stream,omitempty"`
	}{&question, a.stream}
}

// readQueryEvent reads one event of an answer.
func readQueryEvent(event *serverEvent, header http.Header) (e QueryEvent, what step, err error) {
	e = QueryEvent{Type: event.name, Raw: event.data}
	switch event.name {
	case "token":
		var token TokenEvent
		err = readEvent(event, header, &token)
		e.Text = token.Text
	case "tool_call":
		err = readEvent(event, header, &e.ToolCall)
	case "tool_result":
		err = readEvent(event, header, &e.ToolResult)
	case "final":
		err = readEvent(event, header, &e.Final)
		return e, stepLast, err
	case "error":
		failure := classify(http.StatusInternalServerError, header, event.data, true)
		failure.Status = 0
		return e, stepEnd, failure
	}
	return e, stepValue, err
}
