package mcpvisor

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	longBody     = 512 << 10 // from here on the server is asked before the body is sent
	mostReserved = 64 << 20  // of memory for an answer before it has come
	mostOfError  = 4 << 20   // of the body of an error that is read
)

// contentType is the value of the header of every request with a body.
var contentType = []string{"application/json"}

// request is one request, which may be sent several times.
type request struct {
	method string
	path   string // escaped
	query  url.Values
	header http.Header
	body   func() ([]byte, error) // made anew each time, since it may have the time that is left; nil for none
	asks   bool                   // a model; see classify
	until  time.Time              // the caller's deadline where it is before that of the context, else zero
}

// set adds a header, unless its value is "".
func (r *request) set(name, value string) {
	if value == "" {
		return
	}
	if r.header == nil {
		r.header = http.Header{}
	}
	r.header.Set(name, value)
}

// get reads something, post and the like send a body of JSON, which nil leaves out.
func (c *Client) get(ctx context.Context, path string, query url.Values) (*answer, error) {
	return c.send(ctx, &request{method: http.MethodGet, path: path, query: query})
}

func (c *Client) change(ctx context.Context, method, path string, body any) (*answer, error) {
	r := &request{method: method, path: path}
	if body != nil {
		r.body = func() ([]byte, error) { return json.Marshal(body) }
	}
	return c.send(ctx, r)
}

// Do sends a request to a route for which there is no method here, such as GET /v1/doctor, and reads the whole
// answer into result, which may be nil or a *json.RawMessage. The body is sent as JSON, if it is not nil. Errors
// and repetitions are as everywhere.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, body, result any) error {
	r := &request{method: method, path: path, query: query}
	if body != nil {
		r.body = func() ([]byte, error) { return json.Marshal(body) }
	}
	a, err := c.send(ctx, r)
	if err != nil || result == nil {
		return err
	}
	if err := json.Unmarshal(a.body, result); err != nil {
		return a.unusable(err.Error(), err)
	}
	return nil
}

// send sends a request until it is answered, is not to be repeated, or the time is over.
func (c *Client) send(ctx context.Context, r *request) (*answer, error) {
	ctx, cancel := c.bound(ctx, r)
	defer cancel()
	var a *answer
	err := c.repeat(ctx, r, func() *Error {
		response, e := c.attempt(ctx, r)
		if e != nil {
			return e
		}
		a, e = readAnswer(ctx, response)
		return e
	})
	return a, err
}

// open is send for a stream: it leaves the body to be read.
func (c *Client) open(ctx context.Context, r *request) (*http.Response, error) {
	var response *http.Response
	err := c.repeat(ctx, r, func() (e *Error) {
		response, e = c.attempt(ctx, r)
		return e
	})
	return response, err
}

// bound gives a context without a deadline that of the client.
func (c *Client) bound(ctx context.Context, r *request) (context.Context, context.CancelFunc) {
	timeout := c.settings.timeout
	if r.asks {
		timeout = c.settings.questions
	}
	if _, has := ctx.Deadline(); has || timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// repeat tries until it succeeds or is not worth another attempt.
func (c *Client) repeat(ctx context.Context, r *request, try func() *Error) error {
	runs := false // A call with the same Idempotency-Key does, as the gateway has said.
	final := func(e *Error) error {
		if runs && e.Phase == PhaseNotSent {
			e.Phase = PhaseInFlight // The last attempt carried nothing out; that call may have.
		}
		return e
	}
	for attempt := 1; ; attempt++ {
		e := try()
		if e == nil {
			return nil
		}
		runs = runs || e.Kind == ErrConflict && e.Retryable
		if r.method == http.MethodGet && (e.lost || e.Kind == ErrConnection || e.Kind == ErrTimeout) {
			e.Retryable = true // It only reads.
		}
		if attempt > c.settings.retries || !repeatable(e, r.method) {
			return final(e)
		}
		wait, worth := pause(e, attempt, r.left(ctx), chance())
		if !worth {
			return final(e)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return final(ended(ctx, PhaseNotSent))
		}
	}
}

// left is the time until the deadline, or -1 without one.
func (r *request) left(ctx context.Context) time.Duration {
	deadline, has := ctx.Deadline()
	if !r.until.IsZero() && (!has || r.until.Before(deadline)) {
		deadline, has = r.until, true
	}
	if !has {
		return -1
	}
	if rest := time.Until(deadline); rest > 0 {
		return rest
	}
	return 0
}

// attempt sends the request once. Its answer is a 2xx whose body has to be read and closed.
func (c *Client) attempt(ctx context.Context, r *request) (*http.Response, *Error) {
	if ctx.Err() != nil {
		return nil, ended(ctx, PhaseNotSent)
	}
	way := &way{id: r.header.Get("X-Request-Id")}
	sent, e := c.prepare(way.watch(ctx), r)
	if e != nil {
		return nil, e
	}
	response, err := c.http.Do(sent)
	if err != nil {
		return nil, way.failure(ctx, err)
	}
	if response.StatusCode >= 200 && response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, mostOfError))
	if err != nil && ctx.Err() != nil {
		return nil, way.failure(ctx, err)
	}
	return nil, classify(response.StatusCode, response.Header, body, r.asks)
}

// prepare makes the request of net/http.
func (c *Client) prepare(ctx context.Context, r *request) (*http.Request, *Error) {
	var content io.Reader
	length := 0
	if r.body != nil {
		body, err := r.body()
		if err != nil {
			e := refused("what is to be sent is no JSON: " + err.Error())
			e.cause = err
			return nil, e
		}
		content, length = bytes.NewReader(body), len(body)
	}
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	sent, err := http.NewRequestWithContext(ctx, r.method, target, content)
	if err != nil {
		e := refused(err.Error())
		e.cause = err
		return nil, e
	}
	// Without GetBody, net/http sends no body twice; see way.go.
	sent.GetBody = nil
	for name, values := range r.header {
		sent.Header[name] = values
	}
	for name, values := range c.header {
		sent.Header[name] = values
	}
	if content != nil {
		sent.Header["Content-Type"] = contentType
	}
	if length > longBody {
		// The gateway refuses what is too long by its length and closes, while the body is on its way: its
		// answer would be lost.
		sent.Header.Set("Expect", "100-continue")
	}
	return sent, nil
}

// readAnswer reads a body to its end.
func readAnswer(ctx context.Context, response *http.Response) (*answer, *Error) {
	defer response.Body.Close()
	a := &answer{status: response.StatusCode, header: response.Header}
	var body bytes.Buffer
	if length := response.ContentLength; length > 0 && length <= mostReserved {
		body.Grow(int(length) + bytes.MinRead) // so that it is never copied into a larger one
	}
	_, err := body.ReadFrom(response.Body)
	a.body = body.Bytes()
	if err == nil {
		return a, nil
	}
	if ctx.Err() != nil {
		e := ended(ctx, PhaseUnknown)
		e.RequestID = response.Header.Get("X-Request-Id")
		return nil, e
	}
	e := a.unusable("it was cut off: "+err.Error(), err)
	e.lost = true
	return nil, e
}

// segment escapes a name or id for a path. Names that a path cannot have are an error.
func segment(name string) (string, error) {
	if name == "" || name == "." || name == ".." {
		return "", refused("there is nothing of the name \"" + name + "\"")
	}
	return url.PathEscape(name), nil
}

// at makes a path of a pattern, in which {} stands for a name.
func at(pattern, name string) (string, error) {
	escaped, err := segment(name)
	return strings.Replace(pattern, "{}", escaped, 1), err
}
