package mcpvisor

import (
	"crypto/rand"
	"encoding/binary"
	"net/http"
	"time"
)

const (
	firstPause  = 500 * time.Millisecond // of a wait that the server does not name; doubled each time
	longestWait = 30 * time.Second       // before a request is repeated; what takes longer is left to the caller
)

// repeatable reports whether the same request may be sent again by the client itself.
//
// It has to be provable that nothing was carried out, and likely that it helps: the server's own word that it
// took no more requests, or that it runs the call with this Idempotency-Key already and did not begin it anew, or a
// connection that was never made. Beside that, a GET changes nothing and is repeated after a connection that was lost.
func repeatable(e *Error, method string) bool {
	switch e.Kind {
	case ErrRateLimited, ErrServerUnavailable:
		return e.Retryable && e.Phase == PhaseNotSent
	case ErrConflict:
		return e.Retryable // Of all conflicts, only NotRepeatedRunning is.
	case ErrConnection:
		return e.Phase == PhaseNotSent || method == http.MethodGet
	case ErrProtocol:
		return e.lost && method == http.MethodGet
	}
	return false
}

// pause is how long to wait before attempt number `attempt` (1 is the first repetition), and whether to make it.
// `left` is the time until the deadline, or negative without one; `chance` is a number of [0, 1).
func pause(e *Error, attempt int, left time.Duration, chance float64) (time.Duration, bool) {
	wait := e.RetryAfter
	if wait == 0 {
		most := longestWait
		if doublings := attempt - 1; doublings < 6 {
			most = firstPause << doublings
		}
		wait = time.Duration(chance * float64(most))
	}
	if wait > longestWait || left >= 0 && wait >= left {
		return 0, false
	}
	return wait, true
}

// chance is a random number of [0, 1). It needs no seed, which math/rand of Go 1.19 would share or lack.
func chance() float64 {
	var bits [8]byte
	if _, err := rand.Read(bits[:]); err != nil {
		return 0.5 // A machine without randomness: all clients wait the same, which is still a wait.
	}
	return float64(binary.BigEndian.Uint64(bits[:])>>11) / (1 << 53)
}
