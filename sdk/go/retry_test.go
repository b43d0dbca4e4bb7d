package mcpvisor

import (
	"testing"
	"time"
)

func TestRepeatable(t *testing.T) {
	tests := []struct {
		name      string
		e         Error
		post, get bool
	}{
		{"rate", Error{Kind: ErrRateLimited, Phase: PhaseNotSent, Retryable: true}, true, true},
		{"rate, of a proxy", Error{Kind: ErrRateLimited, Phase: PhaseUnknown}, false, false},
		{"month", Error{Kind: ErrQuotaExceeded, Phase: PhaseNotSent, Retryable: true}, false, false},
		{"down", Error{Kind: ErrServerUnavailable, Phase: PhaseNotSent, Retryable: true}, true, true},
		{"died", Error{Kind: ErrServerUnavailable, Phase: PhaseInFlight}, false, false},
		{"the call runs already", Error{Kind: ErrConflict, Phase: PhaseInFlight, Retryable: true}, true, true},
		{"the call was cancelled", Error{Kind: ErrConflict, Phase: PhaseInFlight}, false, false},
		{"switched off", Error{Kind: ErrConflict, Phase: PhaseNotSent}, false, false},
		{"page of a proxy", Error{Kind: ErrServerFailed, Phase: PhaseUnknown}, false, false},
		{"refused connection", Error{Kind: ErrConnection, Phase: PhaseNotSent}, true, true},
		{"lost connection", Error{Kind: ErrConnection, Phase: PhaseUnknown}, false, true},
		{"cut answer", Error{Kind: ErrProtocol, Phase: PhaseUnknown, lost: true}, false, true},
		{"odd answer", Error{Kind: ErrProtocol, Phase: PhaseUnknown}, false, false},
		{"deadline", Error{Kind: ErrTimeout, Phase: PhaseNotSent, Retryable: true}, false, false},
		{"cancelled", Error{Kind: ErrCancelled, Phase: PhaseNotSent}, false, false},
		{"defect", Error{Kind: ErrInternal, Phase: PhaseUnknown}, false, false},
	}
	for _, test := range tests {
		if got := repeatable(&test.e, "POST"); got != test.post {
			t.Errorf("%s, POST: got %v", test.name, got)
		}
		if got := repeatable(&test.e, "DELETE"); got != test.post {
			t.Errorf("%s, DELETE: got %v", test.name, got)
		}
		if got := repeatable(&test.e, "GET"); got != test.get {
			t.Errorf("%s, GET: got %v", test.name, got)
		}
	}
}

func TestPause(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	tests := []struct {
		name       string
		retryAfter time.Duration
		attempt    int
		left       time.Duration
		chance     float64
		want       time.Duration
		worth      bool
	}{
		{"first, the longest", 0, 1, -1, 0.999999999, 500*ms - 1, true},
		{"first, none", 0, 1, -1, 0, 0, true},
		{"second", 0, 2, -1, 0.5, 500 * ms, true},
		{"fourth", 0, 4, -1, 0.5, 2 * s, true},
		{"never above the cap", 0, 1000, -1, 0.5, 15 * s, true},
		{"what the server says, without chance", 2 * s, 1, -1, 0, 2 * s, true},
		{"at the cap", 30 * s, 1, -1, 0, 30 * s, true},
		{"beyond the cap", 31 * s, 1, -1, 0, 0, false},
		{"within the deadline", 2 * s, 1, 3 * s, 0, 2 * s, true},
		{"at the deadline", 2 * s, 1, 2 * s, 0, 0, false},
		{"after the deadline", 0, 1, 0, 0, 0, false},
	}
	for _, test := range tests {
		wait, worth := pause(&Error{RetryAfter: test.retryAfter}, test.attempt, test.left, test.chance)
		if wait != test.want || worth != test.worth {
			t.Errorf("%s: got %s, %v; want %s, %v", test.name, wait, worth, test.want, test.worth)
		}
	}
}

func TestChanceIsOfTheUnitInterval(t *testing.T) {
	seen := map[float64]bool{}
	for i := 0; i < 1000; i++ {
		number := chance()
		if number < 0 || number >= 1 {
			t.Fatalf("got %v", number)
		}
		seen[number] = true
	}
	if len(seen) < 990 {
		t.Errorf("only %d different numbers of 1000", len(seen))
	}
}

func TestDeadline(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	in := func(d time.Duration) time.Time { return now.Add(d) }
	tests := []struct {
		name string
		d    deadline
		want int64
	}{
		{"none", deadline{}, 0},
		{"chosen", deadline{chosen: in(1500 * time.Millisecond)}, 1500},
		{"chosen, rounded up", deadline{chosen: in(1500*time.Millisecond - time.Microsecond)}, 1500},
		{"chosen, beyond what the gateway takes, which says so", deadline{chosen: in(10 * time.Minute)}, 600000},
		{"chosen, over", deadline{chosen: in(-time.Second)}, 1},
		{"of the context, a little earlier", deadline{context: in(10 * time.Second), longest: longestCall}, 9750},
		{"of the context, a tenth earlier", deadline{context: in(time.Second), longest: longestCall}, 900},
		{"of the context, beyond what the gateway takes", deadline{context: in(time.Hour), longest: longestCall}, 300000},
		{"of the context, over", deadline{context: in(-time.Hour), longest: longestCall}, 1},
		{"of the context, which the gateway refused", deadline{context: in(time.Second), longest: longestCall, silent: true}, 0},
		{"both, chosen first", deadline{chosen: in(time.Second), context: in(time.Minute), longest: longestCall}, 1000},
		{"both, the context's first", deadline{chosen: in(time.Minute), context: in(time.Second), longest: longestCall}, 900},
	}
	for _, test := range tests {
		if got := test.d.milliseconds(now); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}
