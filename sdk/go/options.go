package mcpvisor

import (
	"net/http"
	"time"
)

// Version of this client, which it names in its User-Agent.
const Version = "0.1.0"

// Defaults of the options.
const (
	// DefaultBaseURL is where the daemon listens unless it is told otherwise.
	DefaultBaseURL = "http://127.0.0.1:5000"
	// DefaultTimeout bounds a request whose context has no deadline.
	DefaultTimeout = 60 * time.Second
	// DefaultQueryTimeout bounds, in place of it, a question to a model, which the gateway gives 5 minutes unless it
	// is set otherwise.
	DefaultQueryTimeout = 310 * time.Second
	// DefaultMaxRetries is how often a request is repeated at most.
	DefaultMaxRetries = 2
	// KeyVariable is the environment variable that has the API key where WithAPIKey is not given.
	KeyVariable = "MCPVISOR_API_KEY"
)

// Option changes what a client is made with.
type Option func(*settings)

type settings struct {
	baseURL   string
	key       string
	keyGiven  bool
	timeout   time.Duration
	questions time.Duration // in place of it for questions to a model
	retries   int
	http      *http.Client
	agent     string
	silence   time.Duration // after which a stream is lost
}

// WithBaseURL sets the address of the gateway, DefaultBaseURL by default. A path before /v1 and /api stays; a
// /v1 or a slash at its end is left out.
func WithBaseURL(url string) Option {
	return func(s *settings) { s.baseURL = url }
}

// WithAPIKey sets the key. Without it, it is the value of MCPVISOR_API_KEY when New is called. "" is no key, with
// which the daemon lets its own user use /api.
func WithAPIKey(key string) Option {
	return func(s *settings) { s.key, s.keyGiven = key, true }
}

// WithTimeout bounds everything whose context has no deadline, with all repetitions and their waits: 60 s by
// default, for questions to a model 310 s, 0 for no bound. A stream has it until its beginning. It is not sent along: how long a server may take
// for a call is then said by the gateway. For a deadline of the call there are InvokeOptions and contexts.
func WithTimeout(timeout time.Duration) Option {
	return func(s *settings) { s.timeout, s.questions = timeout, timeout }
}

// WithMaxRetries sets how often a request is repeated at most, 2 by default, 0 for never. It is repeated only when
// nothing of it was carried out: 429 rate_limited, 503 and 502 of which the gateway says so, a connection that
// could not be made, and 409 of a call with an IdempotencyKey that is running already; and a GET after a
// connection that was lost. Before it there is a wait of what Retry-After says, else of 0.5 s, 1 s, 2 s … with full
// jitter; when it would be longer than 30 s or than the deadline, the error comes at once.
func WithMaxRetries(retries int) Option {
	return func(s *settings) { s.retries = retries }
}

// WithHTTPClient sets what sends the requests, such as one with certificates of its own. It is not changed; its
// CheckRedirect is not used, since a redirected call would be sent twice. A Timeout of it cuts streams.
func WithHTTPClient(client *http.Client) Option {
	return func(s *settings) { s.http = client }
}

// WithUserAgent puts the name of a program before the User-Agent, which is mcpvisor-go/VERSION.
func WithUserAgent(agent string) Option {
	return func(s *settings) { s.agent = agent + " " + s.agent }
}
