package mcpvisor

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"sync"
	"time"
)

// streamSilence is after how long without a line a stream is lost: the gateway sends a comment every 15 s.
const streamSilence = 50 * time.Second

var errSilence = errors.New("nothing came for too long, not even a comment")

// Stream goes through what comes as events. The first Next opens it:
//
//	lines := client.Logs.Follow("demo", nil)
//	defer lines.Close()
//	for lines.Next(ctx) {
//		fmt.Println(lines.Value().Line)
//	}
//	if err := lines.Err(); err != nil { … }
//
// Logs and activity that are followed go on where they were when the connection is lost, as often in a row as
// WithMaxRetries says. The end of a context that Next is waiting with ends the stream. A stream that is not read
// to its end has to be closed. It is not safe for concurrent use, but for Close.
type Stream[T any] struct {
	c       *Client
	request func(lastID string) *request
	read    func(*serverEvent, http.Header) (value T, what step, err error)
	follows bool          // it can be opened again where it was
	opening time.Duration // bounds the wait for its beginning where the context does not; 0 for no bound

	control  *control
	header   http.Header
	events   *eventReader
	quiet    *time.Timer
	value    T
	err      error
	complete bool // the value is the last one
	ended    bool
	lastID   string
	lost     int // how often in a row the connection was lost
	missed   int64
	endsWith string

	mu     sync.Mutex
	body   io.Closer
	closed bool
}

// step is what an event means for its stream.
type step int

const (
	stepSkip step = iota
	stepValue
	stepLast // a value with which the stream ends
	stepEnd
)

// Next waits for the next value. It is false when the stream has ended or is closed, and after an error, which
// Err has.
func (s *Stream[T]) Next(ctx context.Context) bool {
	if s.complete {
		s.finish(nil)
	}
	if s.ended {
		return false
	}
	for {
		found, err := s.advance(ctx)
		if found {
			return true
		}
		if err != nil && s.recovers(ctx, err) {
			continue
		}
		s.finish(err)
		return false
	}
}

// Value is what Next has found.
func (s *Stream[T]) Value() T { return s.value }

// Err is what ended the stream before its end, an *Error, or nil: also nil after Close.
func (s *Stream[T]) Err() error { return s.err }

// Missed is how many values the gateway says it left out, because they came faster than they were read.
func (s *Stream[T]) Missed() int64 { return s.missed }

// EndReason is why the gateway ended the stream, such as "removed" or "shutting_down", or "".
func (s *Stream[T]) EndReason() string { return s.endsWith }

// Close ends the stream, and with it its request. It may be called at any time and more than once.
func (s *Stream[T]) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.control != nil {
		s.control.stop(context.Canceled)
	}
	if s.body != nil {
		s.body.Close()
	}
}

// advance reads on to the next value, after opening the stream if it is not.
func (s *Stream[T]) advance(ctx context.Context) (found bool, err error) {
	if ctx.Err() != nil {
		return false, ended(ctx, PhaseUnknown)
	}
	if !s.begin(ctx) {
		return false, nil
	}
	defer s.control.follow(ctx)()
	if s.events == nil {
		if err := s.open(ctx); err != nil {
			return false, err
		}
	}
	s.quiet = time.AfterFunc(s.c.settings.silence, func() { s.control.stop(errSilence) })
	defer s.quiet.Stop()
	for {
		event, err := s.events.next()
		if err != nil {
			return false, s.broken(err)
		}
		s.lost, s.lastID = 0, event.id
		value, what, err := s.read(event, s.header)
		switch {
		case err != nil || what == stepEnd:
			return false, err
		case what == stepValue, what == stepLast:
			s.value, s.complete = value, what == stepLast
			return true, nil
		}
	}
}

// begin makes the context of the request, unless the stream is closed.
func (s *Stream[T]) begin(ctx context.Context) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.control == nil {
		s.control = newControl(ctx)
	}
	return true
}

// open sends the request.
func (s *Stream[T]) open(ctx context.Context) error {
	if _, has := ctx.Deadline(); !has && s.opening > 0 {
		timer := time.AfterFunc(s.opening, func() { s.control.stop(context.DeadlineExceeded) })
		defer timer.Stop()
	}
	r := s.request(s.lastID)
	if deadline, has := ctx.Deadline(); has {
		r.until = deadline
	}
	response, err := s.c.open(s.control, r)
	if err != nil {
		return err
	}
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind != "text/event-stream" {
		response.Body.Close()
		return (&answer{status: response.StatusCode, header: response.Header}).unusable("it is no stream of events", nil)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body, s.header = response.Body, response.Header
	s.events = newEventReader(response.Body, func() { s.quiet.Reset(s.c.settings.silence) })
	return nil
}

// broken is the error of a stream that ended without its last event.
func (s *Stream[T]) broken(err error) error {
	switch stopped := s.control.Err(); {
	case errors.Is(stopped, errSilence):
		err = errSilence
	case stopped != nil:
		return ended(s.control, PhaseUnknown)
	}
	return &Error{
		Kind:      ErrProtocol,
		Message:   "the stream was cut off: " + err.Error(),
		Status:    http.StatusOK,
		RequestID: s.header.Get("X-Request-Id"),
		Fault:     FaultNetwork,
		Phase:     PhaseUnknown,
		cause:     err,
		lost:      true,
	}
}

// recovers waits and makes ready for opening the stream again, if its connection was lost and may be made anew.
func (s *Stream[T]) recovers(ctx context.Context, err error) bool {
	var e *Error
	if !s.follows || !errors.As(err, &e) || !e.lost || s.lost >= s.c.settings.retries {
		return false
	}
	s.lost++
	r := request{}
	wait, worth := pause(e, s.lost, r.left(ctx), chance())
	if !worth {
		return false
	}
	s.release()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return true
}

// release lets go of the connection, so that the next advance opens another one.
func (s *Stream[T]) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.body != nil {
		s.body.Close()
	}
	if s.control != nil {
		s.control.stop(context.Canceled)
	}
	s.control, s.body, s.events = nil, nil, nil
}

// finish ends the stream for good.
func (s *Stream[T]) finish(err error) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	s.release()
	s.ended = true
	if !closed {
		s.err = err
	}
}
