package mcpvisor

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Kind is the class of an Error. The set is closed: a code that this version does not know has the
// Kind of its status. A Kind is an error itself, so that errors.Is(err, ErrNotFound) tells it.
type Kind string

// The kinds of errors. Those with a status in brackets are the server's answers.
const (
	// ErrAuthentication: the key is missing, unknown, revoked or expired (401).
	ErrAuthentication Kind = "Authentication"
	// ErrPermissionDenied: the key or its member may not do this (403).
	ErrPermissionDenied Kind = "PermissionDenied"
	// ErrNotFound: there is no such server, tool, resource, key or route (404).
	ErrNotFound Kind = "NotFound"
	// ErrConflict: what is asked does not go with how things are, such as a server that is switched off, or a call
	// whose IdempotencyKey is known and has no reply, of which Details has NotRepeatedDetails (409).
	ErrConflict Kind = "Conflict"
	// ErrValidation: the request cannot be carried out as it was made (400, 405, 415, 422 and other 4xx).
	ErrValidation Kind = "Validation"
	// ErrTooLarge: the request is longer than the gateway or a remote server takes (413).
	ErrTooLarge Kind = "TooLarge"
	// ErrToolFailed: the tool ran and reports an error; Details has its content (422 mcp_error).
	ErrToolFailed Kind = "ToolFailed"
	// ErrRateLimited: too many requests a second, or calls at once (429).
	ErrRateLimited Kind = "RateLimited"
	// ErrQuotaExceeded: the calls of this month are used up (429 quota_exceeded).
	ErrQuotaExceeded Kind = "QuotaExceeded"
	// ErrServerUnavailable: the MCP server does not run or ended during the call, or the gateway takes no
	// more at the moment (502 mcp_unreachable, 503).
	ErrServerUnavailable Kind = "ServerUnavailable"
	// ErrServerFailed: the MCP server, the model, or a proxy on the way gave no usable answer (502).
	ErrServerFailed Kind = "ServerFailed"
	// ErrTimeout: the deadline passed, at the server or here (504, 408).
	ErrTimeout Kind = "Timeout"
	// ErrInternal: a defect of the gateway (500).
	ErrInternal Kind = "Internal"
	// ErrConnection: no answer came, because nobody listens there or the connection was lost.
	ErrConnection Kind = "Connection"
	// ErrProtocol: an answer came that is not what the API says it is: no JSON, cut off, of another shape.
	ErrProtocol Kind = "Protocol"
	// ErrCancelled: the context was cancelled.
	ErrCancelled Kind = "Cancelled"
)

// Error makes a Kind usable with errors.Is.
func (k Kind) Error() string { return "mcpvisor: " + string(k) }

// Fault says who has to change something.
type Fault string

// Whose fault an error is.
const (
	// FaultCaller: the request, its key or its rights.
	FaultCaller Fault = "caller"
	// FaultServer: the MCP server.
	FaultServer Fault = "server"
	// FaultGateway: mcpvisor itself, or a proxy before it.
	FaultGateway Fault = "gateway"
	// FaultNetwork: the way to the gateway.
	FaultNetwork Fault = "network"
	// FaultQuota: a rate or a quota that is used up.
	FaultQuota Fault = "quota"
)

// Phase says how far the request came.
type Phase string

// How far a request came.
const (
	// PhaseNotSent: provably nothing was carried out.
	PhaseNotSent Phase = "not_sent"
	// PhaseInFlight: the MCP server had the call and may have carried it out.
	PhaseInFlight Phase = "in_flight"
	// PhaseUnknown: nobody can tell.
	PhaseUnknown Phase = "unknown"
)

// Error is what went wrong with one request.
type Error struct {
	// Kind is the class of the error.
	Kind Kind
	// Message is a text for people.
	Message string
	// Code is the server's word for it, or "" where there was none.
	Code string
	// Status is the HTTP status, or 0 where no answer came or the error is an event of a stream.
	Status int
	// RequestID is the id under which the gateway's log, audit and activity have the request, or "". Where no answer
	// came it is InvokeOptions.RequestID.
	RequestID string
	// Details is what the answer says beside code and message, as JSON: error.details in /v1, the whole
	// body in /api. It is nil where there is nothing. See ToolFailure, TimeoutDetails and the like.
	Details json.RawMessage
	// Retryable says whether the same request, with the same IdempotencyKey, may be sent again without doing anything
	// twice, and whether that may help. It is also true of what this client does not repeat by itself. It is false after a
	// lost call, also of one with an IdempotencyKey, which only the caller knows to be sent to a daemon.
	Retryable bool
	// Fault says who has to change something.
	Fault Fault
	// Phase says how far the request came.
	Phase Phase
	// RetryAfter is how long to wait before asking again, or 0 where the server did not say.
	RetryAfter time.Duration

	cause error
	lost  bool // the connection was lost within an answer
}

// Error tells what happened and what the gateway's log has it under.
func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString("mcpvisor: ")
	text.WriteString(e.Message)
	var notes []string
	if e.Status != 0 {
		notes = append(notes, strconv.Itoa(e.Status))
	}
	if e.Code != "" {
		notes = append(notes, e.Code)
	}
	if e.RequestID != "" {
		notes = append(notes, "request "+e.RequestID)
	}
	if len(notes) > 0 {
		text.WriteString(" (" + strings.Join(notes, ", ") + ")")
	}
	return text.String()
}

// Is reports whether target is the Kind of the error.
func (e *Error) Is(target error) bool {
	kind, ok := target.(Kind)
	return ok && kind == e.Kind
}

// Unwrap returns what led to the error: of the network, of JSON, or of the context.
func (e *Error) Unwrap() error { return e.cause }
