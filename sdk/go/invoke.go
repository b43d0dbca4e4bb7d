package mcpvisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

// longestKey is the longest Idempotency-Key that the gateway takes.
const longestKey = 255

// InvokeOptions are particulars of one call; nil is none.
type InvokeOptions struct {
	// Timeout is the time for the answer, sent along as the deadline of the call, of which the gateway takes at
	// most 5 minutes unless it is set otherwise. The wait here is a little longer (a tenth, 250 ms to 2 s), so that
	// the gateway's answer, which says how far the call came, is there first. 0 leaves it to the deadline of the context, if it has one, else
	// to the gateway (30 s, longer while the server reports progress).
	Timeout time.Duration
	// Context is sent along to the server, as _meta["plexmcp/context"]; anything that is an object in JSON.
	Context any
	// IdempotencyKey is sent as Idempotency-Key, 1 to 255 visible ASCII characters without blanks; "" sends none. It
	// should be as unique as a UUID. The daemon carries the same call of this API key (server, tool, arguments and
	// Context as they are written) out once, however often it comes with this key, and keeps its reply for 24 hours,
	// though not over a restart, after which it carries it out again. After a lost connection, of which this client
	// never repeats a call by itself, since PlexMCP's own service does not know the header, the caller may therefore
	// call the daemon again with the same key: the reply of the first call comes (see InvokeResult.Replayed), without a
	// second execution, or the call is made now if it never arrived. Where there is no reply the error is ErrConflict
	// with NotRepeatedDetails: NotRepeatedRunning, while another caller waits for it, which is asked for again like
	// what WithMaxRetries lists, NotRepeatedCancelled or NotRepeatedNotKept. Another call with the key is
	// ErrValidation.
	IdempotencyKey string
	// RequestID is sent as X-Request-Id, 1 to 128 visible ASCII characters: the gateway's log, audit and activity
	// then have the call under it, so that Activity.List can tell how a call ended whose answer was lost. It should
	// be unique. The gateway makes one where it is "", which costs it less.
	RequestID string
}

// InvokeResult is what a tool answered.
type InvokeResult struct {
	// Result, Content and Metadata, with all digits of numbers.
	Invocation
	// RequestID is the id under which the gateway's log has the call.
	RequestID string
	// Replayed says that this is the reply of an earlier call with the same IdempotencyKey, and that nothing was
	// carried out for this one.
	Replayed bool
	// Raw is the body of the answer as it came. Result and the Raw of blocks may be parts of it.
	Raw json.RawMessage
}

// Invoke calls a tool of the server with this name or id. The arguments are anything that is an object in JSON,
// or nil. Cancelling the context cancels the call at the server; with an IdempotencyKey only after five seconds in
// which nobody came back for it. A tool that reports an error is ErrToolFailed.
func (c *Client) Invoke(ctx context.Context, mcp, tool string, arguments any, options *InvokeOptions) (*InvokeResult, error) {
	if options == nil {
		options = &InvokeOptions{}
	}
	if key := options.IdempotencyKey; len(key) > longestKey || !visible(key) || strings.Contains(key, " ") {
		return nil, refused("IdempotencyKey has to be 1 to 255 visible ASCII characters")
	}
	if !visible(options.RequestID) {
		return nil, refused("RequestID has to be visible ASCII")
	}
	body := struct {
		MCP       string `json:"mcp_id"`
		Tool      string `json:"tool"`
		Arguments any    `json:"arguments,omitempty"`
		Timeout   int64  `json:"timeout,omitempty"`
		Context   any    `json:"context,omitempty"`
	}{MCP: mcp, Tool: tool, Arguments: arguments, Context: options.Context}
	r := &request{method: http.MethodPost, path: "/v1/mcp/invoke"}
	r.set("Idempotency-Key", options.IdempotencyKey)
	r.set("X-Request-Id", options.RequestID)
	a, err := c.call(ctx, r, options.Timeout, func(timeout int64) any {
		body.Timeout = timeout
		return body
	})
	if err != nil {
		return nil, err
	}
	result := &InvokeResult{
		RequestID: a.header.Get("X-Request-Id"),
		Replayed:  a.header.Get("Idempotent-Replayed") == "true",
		Raw:       a.body,
	}
	if !result.readAnswer(a.body) {
		whole, err := unwrap[Invocation](a)
		if err != nil {
			return nil, err
		}
		result.Invocation = *whole.Data
	}
	if result.Result == nil {
		return nil, a.unusable("it has no `result`", nil)
	}
	return result, nil
}

// call sends what has a deadline in its body.
func (c *Client) call(ctx context.Context, r *request, timeout time.Duration, body func(timeout int64) any) (*answer, error) {
	d := newDeadline(ctx, timeout, r)
	ctx, cancel := d.bound(ctx)
	defer cancel()
	r.until = d.chosen
	r.body = func() ([]byte, error) { return json.Marshal(body(d.milliseconds(time.Now()))) }
	a, err := c.send(ctx, r)
	if d.chosen.IsZero() && !d.context.IsZero() && refusesTimeout(err) {
		// The context may have more time than this gateway is set to give a call: its own deadline holds then.
		d.silent = true
		a, err = c.send(ctx, r)
	}
	return a, err
}

// refusesTimeout reports whether a request was refused for nothing but its deadline.
func refusesTimeout(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Code != "invalid_request" || e.Phase != PhaseNotSent {
		return false
	}
	var fields FieldProblems
	return json.Unmarshal(e.Details, &fields) == nil && len(fields) == 1 && fields["timeout"] != ""
}

// InvokeAs is Invoke with the result read into a type. Numbers in it that have none, as in a map[string]any, are
// json.Number, so that no digit is lost. Where the result does not fit the type, the call has been carried out
// all the same: the error is ErrProtocol, and the InvokeResult is there beside it.
func InvokeAs[T any](ctx context.Context, c *Client, mcp, tool string, arguments any, options *InvokeOptions) (T, *InvokeResult, error) {
	var value T
	result, err := c.Invoke(ctx, mcp, tool, arguments, options)
	if err != nil {
		return value, nil, err
	}
	reader := json.NewDecoder(bytes.NewReader(result.Result))
	reader.UseNumber()
	if err := reader.Decode(&value); err != nil {
		return value, result, &Error{
			Kind:      ErrProtocol,
			Message:   "the tool was called, and its result is of another type: " + err.Error(),
			Status:    http.StatusOK,
			RequestID: result.RequestID,
			Fault:     FaultServer,
			Phase:     PhaseInFlight,
			cause:     err,
		}
	}
	return value, result, nil
}
