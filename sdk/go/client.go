package mcpvisor

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Client speaks to one gateway with one key. It is safe for concurrent use.
type Client struct {
	// MCPs are the servers behind the gateway, as /v1 has them.
	MCPs *MCPs
	// Logs are what servers write beside their answers.
	Logs *Logs
	// Resources are what servers offer to be read.
	Resources *Resources
	// Keys are the API keys.
	Keys *Keys
	// Usage is how much was called.
	Usage *Usages
	// Organization is who uses the gateway.
	Organization *Organizations
	// Activity is the calls of late, one by one.
	Activity *Activities
	// API is the other dialect, /api of the MCP CLI.
	API *API

	base     string      // without a slash at its end
	header   http.Header // of every request
	settings settings
	http     *http.Client
}

// New makes a client. It sends nothing. It fails, with an *Error of ErrValidation, where the base URL or the key
// cannot be used.
func New(options ...Option) (*Client, error) {
	s := settings{
		baseURL:   DefaultBaseURL,
		timeout:   DefaultTimeout,
		questions: DefaultQueryTimeout,
		retries:   DefaultMaxRetries,
		agent:     "mcpvisor-go/" + Version,
		silence:   streamSilence,
	}
	for _, option := range options {
		option(&s)
	}
	if !s.keyGiven {
		s.key = os.Getenv(KeyVariable)
	}
	base, err := readBase(s.baseURL)
	if err != nil {
		return nil, err
	}
	if !visible(s.key + s.agent) {
		return nil, refused("the key and the user agent have to be visible ASCII")
	}
	c := &Client{base: base, header: http.Header{"User-Agent": {s.agent}}, settings: s, http: sender(s.http)}
	c.authorize(c.header)
	c.MCPs, c.Logs, c.Resources, c.Keys = &MCPs{c}, &Logs{c}, &Resources{c}, &Keys{c}
	c.Usage, c.Organization, c.Activity, c.API = &Usages{c}, &Organizations{c}, &Activities{c}, newAPI(c)
	return c, nil
}

// CloseIdleConnections closes the connections that are kept open for further requests.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// MCPURL is the address of the gateway's MCP endpoint, of all servers together or, with a server's name or id or
// the name of a group, of that alone, and the headers with which an MCP SDK has to be set up.
func (c *Client) MCPURL(server string) (string, http.Header) {
	header := http.Header{}
	c.authorize(header)
	if server == "" {
		return c.base + "/mcp", header
	}
	return c.base + "/mcp/" + url.PathEscape(server), header
}

func (c *Client) authorize(header http.Header) {
	if c.settings.key != "" {
		header.Set("Authorization", "Bearer "+c.settings.key)
	}
}

// readBase checks the base URL and takes off what every path begins with.
func readBase(text string) (string, error) {
	base, err := url.Parse(strings.TrimSpace(text))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" ||
		base.RawQuery != "" || base.Fragment != "" || base.User != nil {
		return "", refused(fmt.Sprintf("the base URL has to be http://HOST or https://HOST, not %q", text))
	}
	whole := strings.TrimRight(base.String(), "/")
	return strings.TrimRight(strings.TrimSuffix(whole, "/v1"), "/"), nil
}

// sender is the caller's client or one with a pool of its own, without redirects: a POST that is redirected is
// either sent again or turned into a GET, and the gateway redirects nothing.
func sender(given *http.Client) *http.Client {
	own := http.Client{}
	if given != nil {
		own = *given
	} else {
		own.Transport = transport()
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

// transport is net/http's with a pool for many calls at once, and connections that are given up before the
// daemon closes them (after 75 s): a call that meets a connection just closed is lost, since it is not repeated.
func transport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       50 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// visible reports whether a text can stand in a header.
func visible(text string) bool {
	for _, r := range text {
		if r < ' ' || r > '~' {
			return false
		}
	}
	return true
}

// refused is the error of something that is wrong before a request is made.
func refused(message string) *Error {
	return &Error{Kind: ErrValidation, Message: message, Fault: FaultCaller, Phase: PhaseNotSent}
}
