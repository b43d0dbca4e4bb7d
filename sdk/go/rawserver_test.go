package mcpvisor

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// step answers one request on a connection; false ends the connection.
type rawStep func(conn net.Conn) bool

// rawServer carries out a script of steps, one for each request that has come whole, and then its last step again.
type rawServer struct {
	t        *testing.T
	listener net.Listener
	url      string

	mu     sync.Mutex
	steps  []rawStep
	came   []*http.Request
	bodies []string
	conns  []net.Conn
}

func newRawServer(t *testing.T, steps ...rawStep) *rawServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{t: t, listener: listener, url: "http://" + listener.Addr().String(), steps: steps}
	go s.accept()
	t.Cleanup(s.close)
	return s
}

func (s *rawServer) close() {
	s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		conn.Close()
	}
}

func (s *rawServer) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, conn)
		s.mu.Unlock()
		go s.serve(conn)
	}
}

func (s *rawServer) serve(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		if !s.next(request, string(body))(conn) {
			return
		}
	}
}

func (s *rawServer) next(request *http.Request, body string) rawStep {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.came, s.bodies = append(s.came, request), append(s.bodies, body)
	step := s.steps[0]
	if len(s.steps) > 1 {
		s.steps = s.steps[1:]
	}
	return step
}

// count is how many requests have come.
func (s *rawServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.came)
}

func (s *rawServer) request(number int) (*http.Request, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number >= len(s.came) {
		s.t.Fatalf("%d requests have come, and number %d is asked for", len(s.came), number)
	}
	return s.came[number], s.bodies[number]
}

// answers writes an answer as it is and keeps the connection.
func answers(text string) rawStep {
	return func(conn net.Conn) bool {
		_, err := io.WriteString(conn, text)
		return err == nil
	}
}

// hangsUp closes the connection in silence.
func hangsUp(net.Conn) bool { return false }

// resets ends the connection by a reset.
func resets(conn net.Conn) bool {
	_ = conn.(*net.TCPConn).SetLinger(0)
	return false
}

// waits says nothing until the client leaves, which it tells.
func waits(left chan<- struct{}) rawStep {
	return func(conn net.Conn) bool {
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == io.EOF {
			left <- struct{}{}
		}
		return false
	}
}

// then does one step after another.
func then(steps ...rawStep) rawStep {
	return func(conn net.Conn) bool {
		for _, step := range steps {
			if !step(conn) {
				return false
			}
		}
		return true
	}
}

// client makes a client of the server.
func (s *rawServer) client(options ...Option) *Client {
	s.t.Helper()
	c, err := New(append([]Option{WithBaseURL(s.url), WithAPIKey("pk_test")}, options...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.CloseIdleConnections)
	return c
}
