package mcpvisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"
)

func TestReplayed(t *testing.T) {
	s := newRawServer(t, answers(ok(called)), answers(bad(200, called, "Idempotent-Replayed: true")),
		answers(bad(200, called, "Idempotent-Replayed: false")))
	c := s.client()
	for number, want := range []bool{false, true, false} {
		_, result, err := InvokeAs[map[string]int](context.Background(), c, "m", "t", nil, &InvokeOptions{IdempotencyKey: "k"})
		if err != nil || result.Replayed != want {
			t.Errorf("answer %d: got %+v, %v", number, result, err)
		}
	}
}

// running is the answer while another caller waits for the call.
func running(retryAfter int) rawStep {
	return answers(bad(409, notRepeated("running"), fmt.Sprintf("Retry-After: %d", retryAfter)))
}

// invoke makes a call with a key that fails, and its error.
func invoke(t *testing.T, ctx context.Context, c *Client) *Error {
	t.Helper()
	_, err := c.Invoke(ctx, "m", "t", nil, &InvokeOptions{IdempotencyKey: "k"})
	return failed(t, err)
}

func TestRunningCallIsAskedForAgain(t *testing.T) {
	s := newRawServer(t, running(1), answers(bad(200, called, "Idempotent-Replayed: true")))
	began := time.Now()
	result, err := s.client().Invoke(context.Background(), "m", "t", map[string]int{"b": 1, "a": 2}, &InvokeOptions{IdempotencyKey: "k"})
	if err != nil || !result.Replayed || s.count() != 2 {
		t.Fatalf("got %+v, %v after %d requests", result, err, s.count())
	}
	if waited := time.Since(began); waited < 950*time.Millisecond {
		t.Errorf("it came again after %s", waited)
	}
	first, body := s.request(0)
	second, again := s.request(1)
	if first.Header.Get("Idempotency-Key") != "k" || second.Header.Get("Idempotency-Key") != "k" || body != again {
		t.Errorf("sent %q and %q, %s and %s", first.Header, second.Header, body, again)
	}
}

func TestRunningCallIsAskedForWithinTheLimits(t *testing.T) {
	const limits = 2
	short, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for name, test := range map[string]struct {
		ctx        context.Context
		retryAfter int
		requests   int
	}{
		"as often as is set": {context.Background(), 0, 1 + limits},
		"beyond the cap":     {context.Background(), 31, 1},
		"at the deadline":    {short, 10, 1},
	} {
		s := newRawServer(t, running(test.retryAfter))
		e := invoke(t, test.ctx, s.client(WithMaxRetries(limits)))
		if e.Kind != ErrConflict || e.Phase != PhaseInFlight || !e.Retryable || e.RetryAfter != time.Duration(test.retryAfter)*time.Second ||
			s.count() != test.requests {
			t.Errorf("%s: got %+v after %d requests", name, e, s.count())
		}
	}
	s := newRawServer(t, running(0))
	if e := invoke(t, context.Background(), s.client(WithMaxRetries(0))); !e.Retryable || s.count() != 1 {
		t.Errorf("never: got %+v after %d requests", e, s.count())
	}
}

func TestOtherConflictsAreFinal(t *testing.T) {
	for body, phase := range map[string]Phase{
		notRepeated("cancelled"):                 PhaseInFlight,
		notRepeated("not_kept"):                  PhaseInFlight,
		notRepeated("of_the_future"):             PhaseInFlight,
		v1Error("conflict", ""):                  PhaseNotSent,
		v1Error("conflict", `{"id":"is taken"}`): PhaseNotSent,
	} {
		s := newRawServer(t, answers(bad(409, body, "Retry-After: 0")))
		e := invoke(t, context.Background(), s.client(WithMaxRetries(5)))
		if e.Kind != ErrConflict || e.Phase != phase || e.Retryable || s.count() != 1 {
			t.Errorf("%s: got %+v after %d requests", body, e, s.count())
		}
	}
}

// What ends the asking for a call that runs does not make that call one that was never sent.
func TestRunningCallStaysInFlight(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := newRawServer(t, running(20))
	time.AfterFunc(50*time.Millisecond, cancel)
	if e := invoke(t, ctx, s.client()); e.Kind != ErrCancelled || e.Phase != PhaseInFlight || s.count() != 1 {
		t.Errorf("cancelled within the wait: got %+v after %d requests", e, s.count())
	}

	s = newRawServer(t, running(0), answers(bad(429, v1Error("rate_limited", ""), "Retry-After: 0")))
	if e := invoke(t, context.Background(), s.client()); e.Kind != ErrRateLimited || e.Phase != PhaseInFlight || !e.Retryable || s.count() != 3 {
		t.Errorf("too often: got %+v after %d requests", e, s.count())
	}

	s = newRawServer(t)
	s.steps = []rawStep{func(conn net.Conn) bool {
		s.listener.Close()
		return answers(bad(409, notRepeated("running"), "Retry-After: 0", "Connection: close"))(conn) && false
	}}
	c := s.client(WithMaxRetries(1))
	if e := invoke(t, context.Background(), c); e.Kind != ErrConnection || e.Phase != PhaseInFlight || !e.Retryable || s.count() != 1 {
		t.Errorf("the gateway ended: got %+v after %d requests", e, s.count())
	}
}

// The connection is lost while the call runs; its caller, and not the client, makes it again.
func TestLostCallIsMadeAgainByItsCaller(t *testing.T) {
	s := newRawServer(t, hangsUp, running(0), answers(bad(200, called, "Idempotent-Replayed: true")))
	c, options := s.client(), &InvokeOptions{IdempotencyKey: "k"}
	_, err := c.Invoke(context.Background(), "m", "t", nil, options)
	if !errors.Is(err, ErrConnection) || failed(t, err).Retryable || s.count() != 1 {
		t.Fatalf("got %v after %d requests", err, s.count())
	}
	result, err := c.Invoke(context.Background(), "m", "t", nil, options)
	if err != nil || !result.Replayed || s.count() != 3 {
		t.Errorf("got %+v, %v after %d requests", result, err, s.count())
	}
}
