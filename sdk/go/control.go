package mcpvisor

import (
	"context"
	"sync"
	"time"
)

// control is the context of a stream's request. It has the values of the context with which the stream began, and
// ends when it is told to: at different times it follows the contexts of different calls of Next.
type control struct {
	values context.Context
	done   chan struct{}

	mu  sync.Mutex
	err error
}

func newControl(values context.Context) *control {
	return &control{values: values, done: make(chan struct{})}
}

// stop ends the request; err says why. The first one counts.
func (c *control) stop(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.done)
	}
}

// follow stops with a context, until the function that it returns has been called.
func (c *control) follow(ctx context.Context) (release func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	released, exited := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(exited)
		select {
		case <-ctx.Done():
			c.stop(ctx.Err())
		case <-released:
		}
	}()
	return func() {
		close(released)
		<-exited // so that what ends the context from now on does not end the stream
	}
}

func (c *control) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c *control) Done() <-chan struct{}       { return c.done }
func (c *control) Value(key any) any           { return c.values.Value(key) }

func (c *control) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
