package mcpvisor

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
)

// way knows how far one attempt came on its way to the gateway.
//
// What net/http does by itself when a kept-alive connection dies under a request was tried with Go 1.19.8 and
// 1.27.3 against a server that read the request whole and then closed in silence, and again with a reset:
//
//	GET                                            sent a second time
//	POST, PUT, DELETE, with or without a body      once, the error comes
//	POST or PUT with Idempotency-Key or
//	X-Idempotency-Key, with GetBody                sent a second time
//	the same without GetBody                       once
//	POST with Idempotency-Key and without a body   sent a second time
//
// So requests have no GetBody here, and one with Idempotency-Key always has a body: nothing but a GET, which
// changes nothing, is sent twice by net/http. A GetBody would also let it repeat what it has written no byte of,
// which costs nothing to forgo: connections are given up before the gateway closes them.
type way struct {
	id    string      // that the caller gave the request, under which the gateway knows it if the answer is lost
	asked atomic.Bool // for a connection
	had   atomic.Bool // one, so that something may have been sent
	trace httptrace.ClientTrace
}

// watch follows the request of a context.
func (w *way) watch(ctx context.Context) context.Context {
	w.trace.GetConn = func(string) { w.asked.Store(true) }
	w.trace.GotConn = func(httptrace.GotConnInfo) { w.had.Store(true) }
	return httptrace.WithClientTrace(ctx, &w.trace)
}

// phase is not_sent where there provably was no connection. A transport that tells nothing proves nothing.
func (w *way) phase(err error) Phase {
	var failed *net.OpError
	dialled := errors.As(err, &failed) && failed.Op == "dial"
	if !w.had.Load() && (w.asked.Load() || dialled) {
		return PhaseNotSent
	}
	return PhaseUnknown
}

// failure is the error of a request that was not answered.
func (w *way) failure(ctx context.Context, err error) *Error {
	phase := w.phase(err)
	id := w.id
	if phase == PhaseNotSent {
		id = "" // The gateway knows nothing of it.
	}
	if ctx.Err() != nil {
		e := ended(ctx, phase)
		e.RequestID = id
		return e
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // Its own text has the address with the query.
	}
	e := &Error{
		Kind:      ErrConnection,
		Message:   "no answer came: " + err.Error(),
		Fault:     FaultNetwork,
		Phase:     phase,
		RequestID: id,
		Retryable: phase == PhaseNotSent,
		cause:     err,
	}
	var slow net.Error
	if phase != PhaseNotSent && errors.As(err, &slow) && slow.Timeout() {
		e.Kind = ErrTimeout
	}
	return e
}

// ended is the error of a context that was cancelled or whose deadline has passed.
func ended(ctx context.Context, phase Phase) *Error {
	e := &Error{Phase: phase, cause: ctx.Err()}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e.Kind, e.Fault, e.Message = ErrTimeout, FaultNetwork, "no answer came before the deadline"
		e.Retryable = phase == PhaseNotSent
	} else {
		e.Kind, e.Fault, e.Message = ErrCancelled, FaultCaller, "cancelled"
	}
	return e
}
