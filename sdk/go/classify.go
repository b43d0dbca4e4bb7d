package mcpvisor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// verdict is what is known of an error by its code alone.
type verdict struct {
	kind      Kind
	fault     Fault
	phase     Phase
	retryable bool
}

// verdicts are the codes of both dialects (docs/errors.md). Where details.phase is there it wins, and what
// "depends on the phase" is retryable only with not_sent; see judge.
var verdicts = map[string]verdict{
	"invalid_request":     {ErrValidation, FaultCaller, PhaseNotSent, false},
	"invalid_arguments":   {ErrValidation, FaultCaller, PhaseUnknown, false},
	"validation_error":    {ErrValidation, FaultCaller, PhaseNotSent, false},
	"method_not_allowed":  {ErrValidation, FaultCaller, PhaseNotSent, false},
	"unauthorized":        {ErrAuthentication, FaultCaller, PhaseNotSent, false},
	"expired_key":         {ErrAuthentication, FaultCaller, PhaseNotSent, false},
	"revoked_key":         {ErrAuthentication, FaultCaller, PhaseNotSent, false},
	"forbidden":           {ErrPermissionDenied, FaultCaller, PhaseNotSent, false},
	"mcp_not_permitted":   {ErrPermissionDenied, FaultCaller, PhaseNotSent, false},
	"tool_not_permitted":  {ErrPermissionDenied, FaultCaller, PhaseNotSent, false},
	"tool_blocked":        {ErrPermissionDenied, FaultServer, PhaseNotSent, false},
	"not_found":           {ErrNotFound, FaultCaller, PhaseNotSent, false},
	"tool_not_found":      {ErrNotFound, FaultCaller, PhaseNotSent, false},
	"resource_not_found":  {ErrNotFound, FaultCaller, PhaseUnknown, false},
	"mcp_inactive":        {ErrConflict, FaultCaller, PhaseNotSent, false},
	"conflict":            {ErrConflict, FaultCaller, PhaseNotSent, false},
	"already_exists":      {ErrConflict, FaultCaller, PhaseNotSent, false},
	"tools_changed":       {ErrConflict, FaultCaller, PhaseNotSent, false},
	"secret_missing":      {ErrConflict, FaultCaller, PhaseNotSent, false},
	"login_failed":        {ErrConflict, FaultServer, PhaseNotSent, false},
	"payload_too_large":   {ErrTooLarge, FaultCaller, PhaseNotSent, false},
	"rate_limited":        {ErrRateLimited, FaultQuota, PhaseNotSent, true},
	"quota_exceeded":      {ErrQuotaExceeded, FaultQuota, PhaseNotSent, true},
	"service_unavailable": {ErrServerUnavailable, FaultGateway, PhaseNotSent, true},
	"mcp_unreachable":     {ErrServerUnavailable, FaultServer, PhaseUnknown, false},
	"mcp_timeout":         {ErrTimeout, FaultServer, PhaseUnknown, false},
	"timeout":             {ErrTimeout, FaultServer, PhaseUnknown, false},
	"mcp_error":           {ErrServerFailed, FaultServer, PhaseInFlight, false},
	"llm_error":           {ErrServerFailed, FaultServer, PhaseUnknown, false},
	"answer_dropped":      {ErrServerFailed, FaultCaller, PhaseInFlight, false},
	"internal_error":      {ErrInternal, FaultGateway, PhaseUnknown, false},
}

// failureBody is an error of either dialect.
type failureBody struct {
	code, message, requestID string
	details                  json.RawMessage
	ours                     bool // the body has the shape of an error of the API
}

// classify makes the error of an answer that is none of 2xx. `query` is whether a model was asked: its 503 may
// come after tools were called, because the daemon stopped in between.
func classify(status int, header http.Header, body []byte, query bool) *Error {
	said := readFailure(body)
	e := &Error{
		Status:     status,
		Code:       said.code,
		Message:    said.message,
		Details:    said.details,
		RequestID:  header.Get("X-Request-Id"),
		RetryAfter: retryAfter(header.Get("Retry-After"), time.Now()),
	}
	if e.RequestID == "" {
		e.RequestID = said.requestID
	}
	if e.Message == "" {
		e.Message = fmt.Sprintf("%d %s, without an error of the API in it: is a proxy answering, or the base URL wrong?",
			status, http.StatusText(status))
	}
	judge(e, said.ours)
	if e.Kind == ErrToolFailed {
		e.Message += wordsOfTool(e.Details)
	}
	if query && e.Kind == ErrServerUnavailable {
		e.Phase, e.Retryable = PhaseUnknown, false
	}
	return e
}

// wordsOfTool is what a tool says of its failure, cut after 500 characters; Details have all of it.
func wordsOfTool(details json.RawMessage) string {
	var failure ToolFailure
	if json.Unmarshal(details, &failure) != nil || failure.MCPError == "" {
		return ""
	}
	words := []rune(failure.MCPError)
	if len(words) > 500 {
		words = append(words[:500], '…')
	}
	return ": " + string(words)
}

// judge fills in what follows from status, code and details.
func judge(e *Error, ours bool) {
	known, ok := verdicts[e.Code]
	if !ok {
		known = byStatus(e.Status, ours && e.Code == "")
	}
	e.Kind, e.Fault, e.Phase, e.Retryable = known.kind, known.fault, known.phase, known.retryable
	switch {
	case e.Code == "mcp_error" && e.Status == http.StatusUnprocessableEntity:
		e.Kind = ErrToolFailed
	case e.Code == "quota_exceeded" && e.Status == http.StatusForbidden:
		// As many keys or servers as there may be: waiting does not help.
		e.Kind, e.Retryable = ErrPermissionDenied, false
	case e.Code == "invalid_request" && e.Status == http.StatusRequestTimeout:
		e.Kind, e.Retryable = ErrTimeout, true
	}
	var details struct {
		Phase       Phase       `json:"phase"`
		Breaker     string      `json:"breaker"`
		Idempotency NotRepeated `json:"idempotency"`
	}
	if json.Unmarshal(e.Details, &details) != nil {
		return // They are something else, or are not there.
	}
	if details.Breaker != "" {
		e.Fault = FaultServer
	}
	if e.Code == "conflict" && details.Idempotency != "" {
		// A call with this Idempotency-Key has come before. This one was not carried out, and never is beside it: as
		// long as that runs, asking for its reply is safe.
		e.Phase, e.Retryable = PhaseInFlight, details.Idempotency == NotRepeatedRunning
		if details.Idempotency == NotRepeatedNotKept {
			e.Fault = FaultGateway
		}
	}
	if details.Phase == "" {
		return
	}
	e.Phase = details.Phase
	if e.Kind == ErrServerUnavailable || e.Kind == ErrTimeout {
		e.Retryable = e.Phase == PhaseNotSent
	}
}

// byStatus is for codes that are not known here and for errors without one. `plain` is an error of /api, which
// has a code only where programs may want to tell cases apart: its 4xx come before anything is done.
func byStatus(status int, plain bool) verdict {
	v := verdict{ErrInternal, FaultGateway, PhaseUnknown, false}
	switch {
	case status == http.StatusUnauthorized:
		v.kind = ErrAuthentication
	case status == http.StatusForbidden:
		v.kind = ErrPermissionDenied
	case status == http.StatusNotFound:
		v.kind = ErrNotFound
	case status == http.StatusConflict:
		v.kind = ErrConflict
	case status == http.StatusRequestEntityTooLarge:
		v.kind = ErrTooLarge
	case status == http.StatusTooManyRequests:
		return verdict{ErrRateLimited, FaultQuota, PhaseUnknown, false}
	case status == http.StatusRequestTimeout, status == http.StatusGatewayTimeout:
		v.kind = ErrTimeout
	case status == http.StatusServiceUnavailable && plain:
		v.kind = ErrServerUnavailable
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable:
		// A proxy may say so of a request that was carried out: Envoy's 503 has been seen to.
		v.kind = ErrServerFailed
	case status >= 400 && status < 500, status == http.StatusNotImplemented:
		v.kind = ErrValidation
	case status < 400:
		v.kind = ErrProtocol
	}
	if status >= 400 && status < 500 {
		v.fault = FaultCaller
		if plain {
			v.phase = PhaseNotSent
		}
	}
	return v
}

// readFailure reads the body of an error: {"error": {code, message, details}} of /v1 or {"error": text, …} of /api.
func readFailure(body []byte) failureBody {
	var whole struct {
		Error     json.RawMessage `json:"error"`
		Code      string          `json:"code"`
		RequestID string          `json:"request_id"`
	}
	if json.Unmarshal(body, &whole) != nil || len(whole.Error) == 0 {
		return failureBody{}
	}
	var text string
	if json.Unmarshal(whole.Error, &text) == nil {
		return failureBody{whole.Code, text, whole.RequestID, bytes.TrimSpace(body), true}
	}
	var v1 struct {
		Code    string          `json:"code"`
		Message string          `json:"message"`
		Details json.RawMessage `json:"details"`
	}
	if json.Unmarshal(whole.Error, &v1) != nil || v1.Code == "" {
		return failureBody{}
	}
	var inside struct {
		RequestID string `json:"request_id"`
	}
	_ = json.Unmarshal(v1.Details, &inside) // Only a defect has it.
	return failureBody{v1.Code, v1.Message, inside.RequestID, v1.Details, true}
}

// retryAfter reads the header: whole seconds, or a date. What cannot be read is 0.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}
