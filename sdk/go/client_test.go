package mcpvisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const called = `{"success":true,"data":{"result":{"sum":42},"metadata":{"mcp_id":"mcp_1","tool":"add","latency_ms":1,` +
	`"timestamp":"2026-11-22T15:45:00Z"},"content":[{"type":"text","text":"42","annotations":{"n":9007199254740993}}],"is_error":false}}`

// ok is an answer of 200, bad one of another status.
func ok(body string) string { return bad(200, body) }

func bad(status int, body string, header ...string) string {
	head := strings.Join(append(header, ""), "\r\n")
	return fmt.Sprintf("HTTP/1.1 %d Told\r\nContent-Type: application/json\r\nX-Request-Id: req_9\r\n%sContent-Length: %d\r\n\r\n%s",
		status, head, len(body), body)
}

// failed is the *Error that an error has to be.
func failed(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("wanted an *Error, got %T: %v", err, err)
	}
	return e
}

func TestInvoke(t *testing.T) {
	s := newRawServer(t, answers(ok(called)))
	result, err := s.client().Invoke(context.Background(), "demo", "add", map[string]any{"a": 2, "b": 40},
		&InvokeOptions{Timeout: 1500 * time.Millisecond, Context: map[string]int{"n": 1}, IdempotencyKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	if string(result.Result) != `{"sum":42}` || result.Metadata.MCPID != "mcp_1" || result.RequestID != "req_9" || string(result.Raw) != called {
		t.Errorf("got %+v", result)
	}
	if block, err := json.Marshal(result.Content[0]); err != nil || !strings.Contains(string(block), "9007199254740993") {
		t.Errorf("the block is not as it came: %s, %v", block, err)
	}
	request, body := s.request(0)
	if want := `{"mcp_id":"demo","tool":"add","arguments":{"a":2,"b":40},"timeout":1500,"context":{"n":1}}`; body != want {
		t.Errorf("sent %s, want %s", body, want)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer pk_test", "Content-Type": "application/json", "Idempotency-Key": "k", "User-Agent": "mcpvisor-go/" + Version,
	} {
		if got := request.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestInvokeAs(t *testing.T) {
	const body = `{"success":true,"data":{"result":{"id":9223372036854775807,"more":18446744073709551615},"metadata":{}}}`
	s := newRawServer(t, answers(ok(body)))
	c := s.client()
	typed, result, err := InvokeAs[struct{ ID int64 }](context.Background(), c, "m", "t", nil, nil)
	if err != nil || typed.ID != 9223372036854775807 || result == nil {
		t.Errorf("got %+v, %v", typed, err)
	}
	loose, _, err := InvokeAs[map[string]any](context.Background(), c, "m", "t", nil, nil)
	if err != nil || loose["more"] != json.Number("18446744073709551615") {
		t.Errorf("got %#v, %v", loose, err)
	}
	_, result, err = InvokeAs[[]string](context.Background(), c, "m", "t", nil, nil)
	if e := failed(t, err); e.Kind != ErrProtocol || e.Phase != PhaseInFlight || result == nil {
		t.Errorf("a result of another type: %+v, %v", e, result)
	}
}

func TestErrorsAreToldByKind(t *testing.T) {
	s := newRawServer(t, answers(bad(404, v1Error("not_found", ""))))
	_, err := s.client().MCPs.Get(context.Background(), "x")
	if !errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) {
		t.Errorf("errors.Is tells something else of %v", err)
	}
	if e := failed(t, err); e.RequestID != "req_9" || e.Status != 404 {
		t.Errorf("got %+v", e)
	}
}

// net/http itself sends what has Idempotency-Key and GetBody a second time. If this ever fails, the reason of what
// prepare does is gone; the tests after it hold in any case.
func TestNetHTTPRepeatsIdempotentPosts(t *testing.T) {
	s := newRawServer(t, answers(ok("{}")), hangsUp, answers(ok("{}")))
	client := &http.Client{Transport: &http.Transport{}}
	for i := 0; i < 2; i++ {
		request, err := http.NewRequest(http.MethodPost, s.url, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Idempotency-Key", "k")
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	if s.count() != 3 {
		t.Errorf("%d requests came of two, one of which was lost", s.count())
	}
}

func TestCallsAreSentOnce(t *testing.T) {
	for name, dies := range map[string]rawStep{"silence": hangsUp, "reset": resets} {
		for _, key := range []string{"", "k"} {
			t.Run(name+key, func(t *testing.T) {
				s := newRawServer(t, answers(ok(called)), dies, answers(ok(called)))
				c := s.client(WithMaxRetries(5))
				options := &InvokeOptions{IdempotencyKey: key, RequestID: "mine"}
				if _, err := c.Invoke(context.Background(), "m", "t", nil, options); err != nil {
					t.Fatal(err)
				}
				_, err := c.Invoke(context.Background(), "m", "t", nil, options)
				if e := failed(t, err); e.Kind != ErrConnection || e.Phase != PhaseUnknown || e.Retryable || e.Fault != FaultNetwork {
					t.Errorf("got %+v", e)
				}
				if s.count() != 2 {
					t.Fatalf("%d requests came of two", s.count())
				}
				if request, _ := s.request(1); failed(t, err).RequestID != "mine" || request.Header.Get("X-Request-Id") != "mine" {
					t.Errorf("the lost request is known as %q, here as %q", request.Header.Get("X-Request-Id"), failed(t, err).RequestID)
				}
			})
		}
	}
}

func TestLostReadsAreRepeatedAndRepeatable(t *testing.T) {
	s := newRawServer(t, hangsUp)
	_, err := s.client(WithMaxRetries(1)).MCPs.Get(context.Background(), "m")
	if e := failed(t, err); e.Kind != ErrConnection || e.Phase != PhaseUnknown || !e.Retryable || s.count() != 2 {
		t.Errorf("got %+v after %d requests", e, s.count())
	}
}

func TestRestartIsSentOnce(t *testing.T) {
	s := newRawServer(t, answers(ok(`{"success":true,"data":{}}`)), hangsUp, answers(ok(`{"success":true,"data":{}}`)))
	c := s.client()
	if err := c.MCPs.Restart(context.Background(), "m"); err != nil {
		t.Fatal(err)
	}
	if err := c.MCPs.Restart(context.Background(), "m"); !errors.Is(err, ErrConnection) || s.count() != 2 {
		t.Errorf("got %v after %d requests", err, s.count())
	}
}

// A transport that does not say when it has a connection proves nothing: its failures may have been sent.
func TestForeignTransportProvesNothing(t *testing.T) {
	sent := 0
	transport := roundTripper(func(*http.Request) (*http.Response, error) {
		sent++
		return nil, errors.New("lost")
	})
	c, err := New(WithHTTPClient(&http.Client{Transport: transport}), WithAPIKey(""))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Invoke(context.Background(), "m", "t", nil, nil)
	if e := failed(t, err); e.Kind != ErrConnection || e.Phase != PhaseUnknown || sent != 1 {
		t.Errorf("got %+v after %d attempts", e, sent)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

func TestRefusedConnectionIsNotSent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	c, err := New(WithBaseURL("http://"+listener.Addr().String()), WithMaxRetries(1), WithAPIKey(""))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Invoke(context.Background(), "m", "t", nil, nil)
	if e := failed(t, err); e.Kind != ErrConnection || e.Phase != PhaseNotSent || !e.Retryable || e.RequestID != "" {
		t.Errorf("got %+v", e)
	}
}

func TestCancelClosesTheConnection(t *testing.T) {
	left := make(chan struct{}, 1)
	s := newRawServer(t, waits(left))
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := s.client().Invoke(ctx, "m", "t", nil, nil)
	if e := failed(t, err); e.Kind != ErrCancelled || e.Phase != PhaseUnknown || !errors.Is(err, context.Canceled) {
		t.Errorf("got %+v", e)
	}
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("the connection is open")
	}
	_, err = s.client().Invoke(ctx, "m", "t", nil, nil)
	if e := failed(t, err); e.Kind != ErrCancelled || e.Phase != PhaseNotSent || s.count() != 1 {
		t.Errorf("cancelled before: got %+v, %d requests", e, s.count())
	}
}

func TestDeadlineOfTheContextIsSentAlong(t *testing.T) {
	left := make(chan struct{}, 1)
	s := newRawServer(t, waits(left))
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err := s.client().Invoke(ctx, "m", "t", nil, nil)
	if e := failed(t, err); e.Kind != ErrTimeout || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %+v", e)
	}
	var sent struct{ Timeout int64 }
	if _, body := s.request(0); json.Unmarshal([]byte(body), &sent) != nil || sent.Timeout < 200 || sent.Timeout > 270 {
		t.Errorf("sent %s", body)
	}
}

// A gateway that gives calls less time than the context has is asked again without a deadline.
func TestDeadlineThatTheGatewayRefuses(t *testing.T) {
	refusal := bad(400, v1Error("invalid_request", `{"timeout":"must be a whole number of milliseconds from 1 to 1000"}`))
	s := newRawServer(t, answers(refusal), answers(ok(called)))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := s.client().Invoke(ctx, "m", "t", nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, body := s.request(1); strings.Contains(body, "timeout") {
		t.Errorf("the second time %s was sent", body)
	}
	s = newRawServer(t, answers(refusal), answers(ok(called)))
	_, err := s.client().Invoke(ctx, "m", "t", nil, &InvokeOptions{Timeout: 2 * time.Second})
	if !errors.Is(err, ErrValidation) || s.count() != 1 {
		t.Errorf("a deadline that was chosen: got %v, %d requests", err, s.count())
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := newRawServer(t, answers(ok(called)))
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := newRawServer(t, answers(bad(status, "", "Location: "+elsewhere.url+"/v1/mcp/invoke")))
		_, err := s.client(WithHTTPClient(&http.Client{})).Invoke(context.Background(), "m", "t", nil, nil)
		if e := failed(t, err); e.Kind != ErrProtocol || e.Status != status {
			t.Errorf("%d: got %+v", status, e)
		}
	}
	if elsewhere.count() != 0 {
		t.Errorf("%d requests came to the other place", elsewhere.count())
	}
}

func TestLists(t *testing.T) {
	page := func(number int, items string) rawStep {
		return answers(ok(fmt.Sprintf(`{"success":true,"data":[%s],"pagination":{"page":%d,"per_page":2,"total":3,"total_pages":2}}`, items, number)))
	}
	s := newRawServer(t, page(1, `{"id":"a"},{"id":"b"}`), page(2, `{"id":"c"}`))
	list := s.client().MCPs.List(&MCPListOptions{PerPage: 2, Health: "healthy"})
	if s.count() != 0 {
		t.Error("a page was fetched before it was asked for")
	}
	seen := ""
	for list.Next(context.Background()) {
		seen += list.Value().ID
		if seen == "ab" && s.count() != 1 {
			t.Error("the second page was fetched before it was reached")
		}
	}
	if seen != "abc" || list.Err() != nil || list.Next(context.Background()) || s.count() != 2 {
		t.Errorf("got %q, %v, %d requests", seen, list.Err(), s.count())
	}
	if request, _ := s.request(1); request.URL.RawQuery != "health=healthy&page=2&per_page=2" {
		t.Errorf("asked for %s", request.URL.RawQuery)
	}

	s = newRawServer(t, page(1, `{"id":"a"}`), answers(bad(403, v1Error("forbidden", ""))))
	all, err := s.client().MCPs.List(nil).All(context.Background())
	if len(all) != 1 || !errors.Is(err, ErrPermissionDenied) {
		t.Errorf("an error on the second page: got %d, %v", len(all), err)
	}
}

func TestNamesInPaths(t *testing.T) {
	s := newRawServer(t, answers(ok(`{"success":true,"data":{"id":"m"}}`)))
	c := s.client(WithBaseURL(s.url + "/gateway/v1/"))
	if _, err := c.MCPs.Get(context.Background(), "a b/ü?#%"); err != nil {
		t.Fatal(err)
	}
	if request, _ := s.request(0); request.RequestURI != "/gateway/v1/mcps/a%20b%2F%C3%BC%3F%23%25" {
		t.Errorf("asked for %s", request.RequestURI)
	}
	for _, name := range []string{"", ".", ".."} {
		if _, err := c.MCPs.Get(context.Background(), name); !errors.Is(err, ErrValidation) {
			t.Errorf("%q: got %v", name, err)
		}
		if stream := c.Logs.Follow(name, nil); stream.Next(context.Background()) || !errors.Is(stream.Err(), ErrValidation) {
			t.Errorf("%q: followed, %v", name, stream.Err())
		}
	}
	if s.count() != 1 {
		t.Errorf("%d requests came", s.count())
	}
	if address, header := c.MCPURL("a b"); address != s.url+"/gateway/mcp/a%20b" || header.Get("Authorization") != "Bearer pk_test" {
		t.Errorf("got %s, %v", address, header)
	}
}

func TestNew(t *testing.T) {
	t.Setenv(KeyVariable, "pk_of_environment")
	c, err := New(WithUserAgent("prog/1"))
	if err != nil {
		t.Fatal(err)
	}
	if c.base != DefaultBaseURL || c.settings.key != "pk_of_environment" || c.settings.agent != "prog/1 mcpvisor-go/"+Version {
		t.Errorf("got %s, %+v", c.base, c.settings)
	}
	for _, base := range []string{"", "localhost:5000", "ftp://h", "http://", "http://h?x=1", "http://h#x", "http://u:p@h", ":"} {
		if _, err := New(WithBaseURL(base)); !errors.Is(err, ErrValidation) {
			t.Errorf("%q: got %v", base, err)
		}
	}
	for _, key := range []string{"a\r\nX: y", "schlüssel"} {
		if _, err := New(WithAPIKey(key)); !errors.Is(err, ErrValidation) {
			t.Errorf("%q: got %v", key, err)
		}
	}
}

func TestArgumentsThatAreNoJSON(t *testing.T) {
	s := newRawServer(t, answers(ok(called)))
	_, err := s.client().Invoke(context.Background(), "m", "t", map[string]any{"f": func() {}}, nil)
	if e := failed(t, err); e.Kind != ErrValidation || e.Phase != PhaseNotSent || s.count() != 0 {
		t.Errorf("got %+v", e)
	}
}

func TestOptionsThatCannotBeSent(t *testing.T) {
	s := newRawServer(t, answers(ok(called)))
	for _, options := range []InvokeOptions{
		{IdempotencyKey: "a\nb"}, {IdempotencyKey: "a b"}, {IdempotencyKey: " "}, {IdempotencyKey: "a\x7f"}, {IdempotencyKey: "ä"},
		{IdempotencyKey: strings.Repeat("k", 256)}, {RequestID: "ä"},
	} {
		_, err := s.client().Invoke(context.Background(), "m", "t", nil, &options)
		if e := failed(t, err); e.Kind != ErrValidation || e.Phase != PhaseNotSent || s.count() != 0 {
			t.Errorf("got %+v", e)
		}
	}
}

func TestKeysThatAreSent(t *testing.T) {
	s := newRawServer(t, answers(ok(called)))
	for number, key := range []string{"!", "~", strings.Repeat("k", 255)} {
		if _, err := s.client().Invoke(context.Background(), "m", "t", nil, &InvokeOptions{IdempotencyKey: key}); err != nil {
			t.Fatal(err)
		}
		if request, _ := s.request(number); request.Header.Get("Idempotency-Key") != key {
			t.Errorf("sent %q for %q", request.Header.Get("Idempotency-Key"), key)
		}
	}
}

// A body that is too long is refused by its length, before it is sent.
func TestLongBodyIsAnnounced(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, v1Error("payload_too_large", ""))
	}))
	defer server.Close()
	c, err := New(WithBaseURL(server.URL), WithAPIKey(""))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 20; i++ {
		_, err := c.Invoke(context.Background(), "m", "t", map[string]string{"text": strings.Repeat("x", 8<<20)}, nil)
		if e := failed(t, err); e.Kind != ErrTooLarge || e.Phase != PhaseNotSent {
			t.Fatalf("attempt %d: got %+v", i, e)
		}
	}
}

func TestDo(t *testing.T) {
	s := newRawServer(t, answers(ok(`{"success":true,"data":{"findings":[{"cause":"x"}]}}`)))
	var report struct{ Data DoctorReport }
	if err := s.client().Do(context.Background(), http.MethodGet, "/v1/doctor", nil, nil, &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Data.Findings) != 1 || report.Data.Findings[0].Cause != "x" {
		t.Errorf("got %+v", report)
	}
}

func TestOneClientForMany(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Arguments json.RawMessage }
		if json.NewDecoder(r.Body).Decode(&body) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"success":true,"data":{"result":%s,"metadata":{}}}`, body.Arguments)
	}))
	defer server.Close()
	c, err := New(WithBaseURL(server.URL), WithAPIKey(""))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := 0; i < 200; i++ {
		all.Add(1)
		go func(n int) {
			defer all.Done()
			got, _, err := InvokeAs[map[string]int](context.Background(), c, "m", "t", map[string]int{"n": n}, nil)
			if err != nil || got["n"] != n {
				t.Errorf("%d: got %v, %v", n, got, err)
			}
		}(i)
	}
	all.Wait()
}
