package mcpvisor

import (
	"context"
	"math"
	"time"
)

const (
	// longestCall is the longest deadline that the gateway takes unless it is set otherwise.
	longestCall = 5 * time.Minute
	// The wait here is longer than the deadline that is sent along, by a tenth within these bounds: the gateway
	// answers first, and knows how far the call came.
	leastGrace, mostGrace = 250 * time.Millisecond, 2 * time.Second
	// mostHeadStart is by how much the deadline that is sent along is earlier than that of the context, at most.
	mostHeadStart = 250 * time.Millisecond
)

// deadline is when a call has to be answered, by the server's clock and by this one's.
type deadline struct {
	chosen  time.Time // by an option; zero if by none
	grace   time.Duration
	context time.Time     // that of the context; zero if it has none
	silent  bool          // that of the context is not sent along, since the gateway does not take it
	longest time.Duration // that is sent along of the context
}

// newDeadline reads what the caller wants: a timeout of the call, and the deadline of the context.
func newDeadline(ctx context.Context, timeout time.Duration, r *request) *deadline {
	d := &deadline{longest: longestCall}
	if r.asks {
		d.longest = math.MaxInt64 // A question may take as long as the gateway is set to, whatever is sent along.
	}
	d.context, _ = ctx.Deadline()
	if timeout > 0 {
		d.chosen = time.Now().Add(timeout)
		d.grace = between(leastGrace, timeout/10, mostGrace)
	}
	return d
}

// bound is the context of the wait for the answer.
func (d *deadline) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.chosen.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, d.chosen.Add(d.grace))
}

// milliseconds is the deadline as it is sent along, or 0 for none. It is counted anew for each attempt.
func (d *deadline) milliseconds(now time.Time) int64 {
	rest := time.Duration(0)
	if !d.chosen.IsZero() {
		rest = d.chosen.Sub(now)
	}
	if !d.context.IsZero() && !d.silent {
		until := d.context.Sub(now)
		until = between(0, until-between(0, until/10, mostHeadStart), d.longest)
		if d.chosen.IsZero() || until < rest {
			rest = until
		}
	} else if d.chosen.IsZero() {
		return 0
	}
	if rest < time.Millisecond {
		return 1 // The time is over, which the gateway is left to say.
	}
	return int64((rest + time.Millisecond - 1) / time.Millisecond)
}

// between is the value, or the bound that it is beyond.
func between(least, value, most time.Duration) time.Duration {
	if value < least {
		return least
	}
	if value > most {
		return most
	}
	return value
}
