package mcpvisor

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// v1Error is the body of an error of /v1.
func v1Error(code, details string) string {
	if details != "" {
		details = `,"details":` + details
	}
	return fmt.Sprintf(`{"success":false,"error":{"code":%q,"message":"told so"%s}}`, code, details)
}

// notRepeated is the body of 409 for an Idempotency-Key that is known.
func notRepeated(why string) string {
	return v1Error("conflict", `{"idempotency":"`+why+`","phase":"in_flight"}`)
}

func TestClassify(t *testing.T) {
	const html = "<html><body>502 Bad Gateway</body></html>"
	tests := []struct {
		name      string
		status    int
		body      string
		kind      Kind
		fault     Fault
		phase     Phase
		retryable bool
	}{
		{"bad request", 400, v1Error("invalid_request", `{"tool":"is required"}`), ErrValidation, FaultCaller, PhaseNotSent, false},
		{"arguments that the server refused", 400, v1Error("invalid_arguments", ""), ErrValidation, FaultCaller, PhaseUnknown, false},
		{"no key", 401, v1Error("unauthorized", ""), ErrAuthentication, FaultCaller, PhaseNotSent, false},
		{"revoked", 401, v1Error("revoked_key", ""), ErrAuthentication, FaultCaller, PhaseNotSent, false},
		{"role", 403, v1Error("forbidden", ""), ErrPermissionDenied, FaultCaller, PhaseNotSent, false},
		{"changed tool", 403, v1Error("tool_blocked", `{"change":"changed"}`), ErrPermissionDenied, FaultServer, PhaseNotSent, false},
		{"too many keys", 403, v1Error("quota_exceeded", `{"resource":"api_keys","limit":1}`), ErrPermissionDenied, FaultQuota, PhaseNotSent, false},
		{"no tool", 404, v1Error("tool_not_found", ""), ErrNotFound, FaultCaller, PhaseNotSent, false},
		{"method", 405, v1Error("method_not_allowed", ""), ErrValidation, FaultCaller, PhaseNotSent, false},
		{"slow body", 408, v1Error("invalid_request", ""), ErrTimeout, FaultCaller, PhaseNotSent, true},
		{"switched off", 409, v1Error("mcp_inactive", ""), ErrConflict, FaultCaller, PhaseNotSent, false},
		{"taken", 409, v1Error("conflict", `{"id":"taken"}`), ErrConflict, FaultCaller, PhaseNotSent, false},
		{"key of a running call", 409, notRepeated("running"), ErrConflict, FaultCaller, PhaseInFlight, true},
		{"key of a cancelled call", 409, notRepeated("cancelled"), ErrConflict, FaultCaller, PhaseInFlight, false},
		{"key of a call whose reply is gone", 409, notRepeated("not_kept"), ErrConflict, FaultGateway, PhaseInFlight, false},
		{"key, for a reason of the future", 409, notRepeated("of_the_future"), ErrConflict, FaultCaller, PhaseInFlight, false},
		{"key, without a phase", 409, v1Error("conflict", `{"idempotency":"cancelled"}`), ErrConflict, FaultCaller, PhaseInFlight, false},
		{"another conflict that says running", 409, v1Error("mcp_inactive", `{"idempotency":"running"}`), ErrConflict, FaultCaller, PhaseNotSent, false},
		{"key of another call", 422, v1Error("validation_error", `{"Idempotency-Key":"no"}`), ErrValidation, FaultCaller, PhaseNotSent, false},
		{"long body", 413, v1Error("payload_too_large", ""), ErrTooLarge, FaultCaller, PhaseNotSent, false},
		{"content type", 415, v1Error("invalid_request", ""), ErrValidation, FaultCaller, PhaseNotSent, false},
		{"value", 422, v1Error("validation_error", ""), ErrValidation, FaultCaller, PhaseNotSent, false},
		{"tool failed", 422, v1Error("mcp_error", `{"mcp_error":"oops","content":[]}`), ErrToolFailed, FaultServer, PhaseInFlight, false},
		{"rate", 429, v1Error("rate_limited", ""), ErrRateLimited, FaultQuota, PhaseNotSent, true},
		{"month", 429, v1Error("quota_exceeded", `{"limit":1}`), ErrQuotaExceeded, FaultQuota, PhaseNotSent, true},
		{"defect", 500, v1Error("internal_error", `{"request_id":"r"}`), ErrInternal, FaultGateway, PhaseUnknown, false},
		{"transfer coding", 501, v1Error("invalid_request", ""), ErrValidation, FaultCaller, PhaseNotSent, false},
		{"server is down", 502, v1Error("mcp_unreachable", `{"phase":"not_sent"}`), ErrServerUnavailable, FaultServer, PhaseNotSent, true},
		{"server died", 502, v1Error("mcp_unreachable", `{"phase":"in_flight"}`), ErrServerUnavailable, FaultServer, PhaseInFlight, false},
		{"server is down, nobody says since when", 502, v1Error("mcp_unreachable", ""), ErrServerUnavailable, FaultServer, PhaseUnknown, false},
		{"JSON-RPC error", 502, v1Error("mcp_error", `{"mcp_error":"no","mcp_code":-32000}`), ErrServerFailed, FaultServer, PhaseInFlight, false},
		{"dropped", 502, v1Error("answer_dropped", `{"phase":"in_flight"}`), ErrServerFailed, FaultCaller, PhaseInFlight, false},
		{"busy", 503, v1Error("service_unavailable", ""), ErrServerUnavailable, FaultGateway, PhaseNotSent, true},
		{"breaker", 503, v1Error("service_unavailable", `{"breaker":"open"}`), ErrServerUnavailable, FaultServer, PhaseNotSent, true},
		{"deadline in the queue", 504, v1Error("mcp_timeout", `{"phase":"not_sent","timeout_ms":5}`), ErrTimeout, FaultServer, PhaseNotSent, true},
		{"deadline", 504, v1Error("mcp_timeout", `{"phase":"in_flight","timeout_ms":5}`), ErrTimeout, FaultServer, PhaseInFlight, false},

		{"unknown code, 400", 400, v1Error("of_the_future", ""), ErrValidation, FaultCaller, PhaseUnknown, false},
		{"unknown code, 409", 409, v1Error("of_the_future", ""), ErrConflict, FaultCaller, PhaseUnknown, false},
		{"unknown code, 429", 429, v1Error("of_the_future", ""), ErrRateLimited, FaultQuota, PhaseUnknown, false},
		{"unknown code, 503", 503, v1Error("of_the_future", ""), ErrServerFailed, FaultGateway, PhaseUnknown, false},

		{"api: no server", 404, `{"error":"Server 'x' not found","available_servers":[]}`, ErrNotFound, FaultCaller, PhaseNotSent, false},
		{"api: taken", 409, `{"error":"Server 'x' already exists"}`, ErrConflict, FaultCaller, PhaseNotSent, false},
		{"api: server is down", 500, `{"error":"down","code":"mcp_unreachable"}`, ErrServerUnavailable, FaultServer, PhaseUnknown, false},
		{"api: deadline", 500, `{"error":"slow","code":"mcp_timeout"}`, ErrTimeout, FaultServer, PhaseUnknown, false},
		{"api: model", 500, `{"error":"no","code":"llm_error"}`, ErrServerFailed, FaultServer, PhaseUnknown, false},
		{"api: defect", 500, `{"error":"An unexpected error occurred","request_id":"r"}`, ErrInternal, FaultGateway, PhaseUnknown, false},
		{"api: busy", 503, `{"error":"busy","code":"service_unavailable"}`, ErrServerUnavailable, FaultGateway, PhaseNotSent, true},
		{"api: busy, without a code", 503, `{"error":"busy"}`, ErrServerUnavailable, FaultGateway, PhaseUnknown, false},

		{"proxy 401", 401, html, ErrAuthentication, FaultCaller, PhaseUnknown, false},
		{"proxy 413", 413, html, ErrTooLarge, FaultCaller, PhaseUnknown, false},
		{"proxy 429", 429, html, ErrRateLimited, FaultQuota, PhaseUnknown, false},
		{"proxy 500", 500, "", ErrInternal, FaultGateway, PhaseUnknown, false},
		{"proxy 502", 502, html, ErrServerFailed, FaultGateway, PhaseUnknown, false},
		{"proxy 503", 503, "upstream connect error", ErrServerFailed, FaultGateway, PhaseUnknown, false},
		{"proxy 504", 504, html, ErrTimeout, FaultGateway, PhaseUnknown, false},
		{"foreign JSON", 502, `{"error":{"code":7,"message":null}}`, ErrServerFailed, FaultGateway, PhaseUnknown, false},
		{"redirect", 307, "", ErrProtocol, FaultGateway, PhaseUnknown, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := classify(test.status, http.Header{}, []byte(test.body), false)
			if e.Kind != test.kind || e.Fault != test.fault || e.Phase != test.phase || e.Retryable != test.retryable {
				t.Errorf("got %s, %s, %s, %v; want %s, %s, %s, %v", e.Kind, e.Fault, e.Phase, e.Retryable,
					test.kind, test.fault, test.phase, test.retryable)
			}
			if e.Status != test.status || e.Message == "" {
				t.Errorf("status %d, message %q", e.Status, e.Message)
			}
			if strings.Contains(e.Message, "<html>") {
				t.Errorf("the page of a proxy is in the message: %q", e.Message)
			}
		})
	}
}

func TestClassifyKeepsWhatIsSaid(t *testing.T) {
	header := http.Header{"X-Request-Id": {"req_1"}, "Retry-After": {"7"}}
	e := classify(502, header, []byte(v1Error("mcp_unreachable", `{"phase":"not_sent","server":{"pid":9223372036854775807}}`)), false)
	if e.RequestID != "req_1" || e.RetryAfter != 7*time.Second || e.Code != "mcp_unreachable" || e.Message != "told so" {
		t.Errorf("got %+v", e)
	}
	if want := `{"phase":"not_sent","server":{"pid":9223372036854775807}}`; string(e.Details) != want {
		t.Errorf("details %s, want %s", e.Details, want)
	}
	for body, want := range map[string]string{
		v1Error("internal_error", `{"request_id":"req_2"}`): "req_2",
		`{"error":"defect","request_id":"req_3"}`:           "req_3",
		`{"error":"defect"}`:                                "",
	} {
		if e := classify(500, http.Header{}, []byte(body), false); e.RequestID != want {
			t.Errorf("%s: request %q, want %q", body, e.RequestID, want)
		}
	}
}

func TestWordsOfATool(t *testing.T) {
	e := classify(422, http.Header{}, []byte(v1Error("mcp_error", `{"mcp_error":"out of paper","content":[]}`)), false)
	if e.Message != "told so: out of paper" {
		t.Errorf("got %q", e.Message)
	}
	e = classify(422, http.Header{}, []byte(v1Error("mcp_error", `{"mcp_error":"`+strings.Repeat("ä", 600)+`"}`)), false)
	if e.Message != "told so: "+strings.Repeat("ä", 500)+"…" {
		t.Errorf("got %q", e.Message)
	}
}

// A daemon that stops answers a question with 503, though tools were called for it.
func TestClassifyQuestion(t *testing.T) {
	e := classify(503, http.Header{}, []byte(`{"error":"stopping","code":"service_unavailable"}`), true)
	if e.Phase != PhaseUnknown || e.Retryable || repeatable(e, http.MethodPost) {
		t.Errorf("got %s, %v", e.Phase, e.Retryable)
	}
}

// The table of codes has every code that the documentation of the daemon names.
func TestEveryDocumentedCodeIsKnown(t *testing.T) {
	text, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Skip("this is no checkout of mcpvisor: ", err)
	}
	codes := regexp.MustCompile("[1-5][0-9][0-9] `([a-z_]+)`").FindAllStringSubmatch(string(text), -1)
	if len(codes) < 40 {
		t.Fatalf("only %d codes were found in docs/errors.md", len(codes))
	}
	for _, code := range codes {
		if _, known := verdicts[code[1]]; !known {
			t.Errorf("%s is not known", code[1])
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"1":                             time.Second,
		" 20 ":                          20 * time.Second,
		"1.5":                           0,
		"-3":                            0,
		"soon":                          0,
		"99999999999999999999":          0,
		"Mon, 30 Nov 2026 12:00:07 GMT": 7 * time.Second,
		"Mon, 30 Nov 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
}

func TestErrorText(t *testing.T) {
	e := &Error{Kind: ErrNotFound, Message: "MCP not found", Status: 404, Code: "not_found", RequestID: "req_1"}
	if got, want := e.Error(), "mcpvisor: MCP not found (404, not_found, request req_1)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := (&Error{Message: "no answer came: EOF"}).Error(), "mcpvisor: no answer came: EOF"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
