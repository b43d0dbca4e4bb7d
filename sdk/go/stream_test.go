package mcpvisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Request-Id: req_9\r\n\r\n"

// lines is the events of some lines of a log.
func lines(numbers ...int) string {
	text := ""
	for _, n := range numbers {
		text += fmt.Sprintf("event: line\nid: %d\ndata: {\"number\":%d,\"line\":\"l%d\"}\n\n", n, n, n)
	}
	return text
}

// read goes through a stream of lines.
func readLines(s *Stream[LogLine]) (text string) {
	for s.Next(context.Background()) {
		text += s.Value().Line
	}
	return text
}

func TestFollow(t *testing.T) {
	body := streamHead + ": hi\n\n" + lines(1) + "event: gap\ndata: {\"lines\":3}\n\n" + "event: of_the_future\ndata: {}\n\n" +
		lines(5) + "event: end\ndata: {\"reason\":\"removed\"}\n\n"
	s := newRawServer(t, then(answers(body), hangsUp))
	stream := s.client().Logs.Follow("m", &LogOptions{Tail: 10})
	defer stream.Close()
	if text := readLines(stream); text != "l1l5" || stream.Err() != nil || stream.Missed() != 3 || stream.EndReason() != "removed" {
		t.Errorf("got %q, %v, %d missed, ended by %q", text, stream.Err(), stream.Missed(), stream.EndReason())
	}
	if request, _ := s.request(0); request.URL.RawQuery != "follow=true&tail=10" || s.count() != 1 {
		t.Errorf("asked for %s, %d times", request.URL.RawQuery, s.count())
	}
}

func TestFollowGoesOnWhereItWas(t *testing.T) {
	s := newRawServer(t,
		then(answers(streamHead+lines(1, 2)+"event: line\nid: 3\ndata: {\"nu"), hangsUp),
		then(answers(streamHead+lines(3)), resets),
		then(answers(streamHead+lines(4)+"event: end\ndata: {\"reason\":\"shutting_down\"}\n\n"), hangsUp))
	stream := s.client().Logs.Follow("m", nil)
	defer stream.Close()
	if text := readLines(stream); text != "l1l2l3l4" || stream.Err() != nil {
		t.Errorf("got %q, %v", text, stream.Err())
	}
	for number, want := range []string{"", "2", "3"} {
		if request, _ := s.request(number); request.Header.Get("Last-Event-ID") != want {
			t.Errorf("request %d: Last-Event-ID %q, want %q", number, request.Header.Get("Last-Event-ID"), want)
		}
	}
}

func TestFollowGivesUp(t *testing.T) {
	cut := then(answers(streamHead), hangsUp)
	for retries := 0; retries < 3; retries++ {
		s := newRawServer(t, then(answers(streamHead+lines(1)), hangsUp), cut)
		stream := s.client(WithMaxRetries(retries)).Logs.Follow("m", nil)
		text := readLines(stream)
		e := failed(t, stream.Err())
		if text != "l1" || e.Kind != ErrProtocol || e.RequestID != "req_9" || s.count() != retries+1 {
			t.Errorf("%d retries: got %q, %+v, %d requests", retries, text, e, s.count())
		}
	}
}

func TestFollowEndsWithItsKey(t *testing.T) {
	for reason, want := range map[string]Kind{
		"revoked_key": ErrAuthentication, "expired_key": ErrAuthentication, "forbidden": ErrPermissionDenied, "mcp_not_permitted": ErrPermissionDenied,
	} {
		s := newRawServer(t, then(answers(streamHead+"event: end\ndata: {\"reason\":\""+reason+"\"}\n\n"), hangsUp))
		stream := s.client().Logs.Follow("m", nil)
		if readLines(stream); !errors.Is(stream.Err(), want) || stream.EndReason() != reason || s.count() != 1 {
			t.Errorf("%s: got %v, %d requests", reason, stream.Err(), s.count())
		}
	}
}

func TestFollowRefused(t *testing.T) {
	s := newRawServer(t, answers(bad(403, v1Error("forbidden", ""))), answers(ok(`{"success":true,"data":[]}`)))
	for _, want := range []Kind{ErrPermissionDenied, ErrProtocol} {
		stream := s.client().Logs.Follow("m", nil)
		if stream.Next(context.Background()) || !errors.Is(stream.Err(), want) {
			t.Errorf("got %v, want %s", stream.Err(), want)
		}
	}
}

func TestStreamIsLostInSilence(t *testing.T) {
	left := make(chan struct{}, 9)
	comments := func(conn net.Conn) bool { // which keep it alive for longer than the silence that is borne
		for i := 0; i < 10; i++ {
			time.Sleep(40 * time.Millisecond)
			if _, err := io.WriteString(conn, ":\n\n"); err != nil {
				return false
			}
		}
		return true
	}
	s := newRawServer(t, then(answers(streamHead+lines(1)), comments, answers(lines(2)), waits(left)))
	c := s.client(WithMaxRetries(0))
	c.settings.silence = 200 * time.Millisecond
	stream := c.Logs.Follow("m", nil)
	text := readLines(stream)
	if e := failed(t, stream.Err()); text != "l1l2" || e.Kind != ErrProtocol || !errors.Is(e, errSilence) {
		t.Errorf("got %q, %+v", text, e)
	}
	<-left
}

func TestStreamIsClosed(t *testing.T) {
	left := make(chan struct{}, 1)
	s := newRawServer(t, then(answers(streamHead+lines(1)), waits(left)))
	stream := s.client().Logs.Follow("m", nil)
	if !stream.Next(context.Background()) {
		t.Fatal(stream.Err())
	}
	time.AfterFunc(50*time.Millisecond, stream.Close) // while Next waits
	if stream.Next(context.Background()) || stream.Err() != nil {
		t.Errorf("after Close: %v", stream.Err())
	}
	stream.Close()
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("the connection is open")
	}
	closed := s.client().Logs.Follow("m", nil)
	closed.Close()
	if closed.Next(context.Background()) || closed.Err() != nil || s.count() != 1 {
		t.Errorf("closed before it began: %v, %d requests", closed.Err(), s.count())
	}
}

// The context of one Next is not that of the stream, unless it ends while Next waits.
func TestStreamOutlivesContexts(t *testing.T) {
	left := make(chan struct{}, 1)
	s := newRawServer(t, then(answers(streamHead+lines(1, 2, 3)), waits(left)))
	stream := s.client().Logs.Follow("m", nil)
	for i := 0; i < 3; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		found := stream.Next(ctx)
		cancel()
		if !found {
			t.Fatalf("line %d: %v", i, stream.Err())
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if stream.Next(ctx) || !errors.Is(stream.Err(), ErrTimeout) || !errors.Is(stream.Err(), context.DeadlineExceeded) {
		t.Errorf("got %v", stream.Err())
	}
	<-left
}

func TestOpeningIsBounded(t *testing.T) {
	left := make(chan struct{}, 1)
	s := newRawServer(t, waits(left))
	stream := s.client(WithTimeout(50*time.Millisecond)).Logs.Follow("m", nil)
	if stream.Next(context.Background()) || !errors.Is(stream.Err(), ErrTimeout) {
		t.Errorf("got %v", stream.Err())
	}
	<-left
}

const final = `event: final` + "\n" + `data: {"type":"final","status":"success","result":"42","finish_reason":"stop","model":"m","turns":1,"usage":{"total_tokens":24}}` + "\n\n"

func TestQueryStream(t *testing.T) {
	s := newRawServer(t, then(answers(streamHead+
		"event: token\ndata: {\"type\":\"token\",\"text\":\"4\"}\n\n"+
		"event: tool_call\ndata: {\"type\":\"tool_call\",\"id\":\"c\",\"server\":\"demo\",\"tool\":\"add\",\"arguments\":{\"a\":1}}\n\n"+
		"event: tool_result\ndata: {\"type\":\"tool_result\",\"id\":\"c\",\"server\":null,\"tool\":\"add\",\"result\":\"42\",\"is_error\":false,\"duration_ms\":1}\n\n"+
		"event: of_the_future\ndata: {\"n\":1}\n\n"+final), hangsUp))
	stream := s.client().API.QueryStream(&QueryRequest{Server: "demo", Query: "?"})
	defer stream.Close()
	var kinds []string
	for stream.Next(context.Background()) {
		e := stream.Value()
		kinds = append(kinds, e.Type)
		switch {
		case e.Type == "token" && e.Text == "4", e.ToolCall != nil && string(e.ToolCall.Arguments) == `{"a":1}`,
			e.ToolResult != nil && e.ToolResult.Result == "42", e.Final != nil && e.Final.Usage.TotalTokens == 24,
			string(e.Raw) == `{"n":1}`:
		default:
			t.Errorf("got %+v", e)
		}
	}
	if got := strings.Join(kinds, " "); got != "token tool_call tool_result of_the_future final" || stream.Err() != nil {
		t.Errorf("got %s, %v", got, stream.Err())
	}
	if _, body := s.request(0); body != `{"query":"?","server":"demo","stream":true}` {
		t.Errorf("sent %s", body)
	}
}

func TestQueryStreamFails(t *testing.T) {
	token := "event: token\ndata: {\"text\":\"4\"}\n\n"
	s := newRawServer(t, then(answers(streamHead+token+"event: error\ndata: {\"type\":\"error\",\"error\":\"it broke\",\"code\":\"llm_error\"}\n\n"), hangsUp))
	stream := s.client().API.QueryStream(&QueryRequest{Query: "?"})
	if !stream.Next(context.Background()) || stream.Next(context.Background()) {
		t.Fatal("wanted a token, and then the error")
	}
	if e := failed(t, stream.Err()); e.Kind != ErrServerFailed || e.Code != "llm_error" || e.Message != "it broke" || e.Retryable {
		t.Errorf("got %+v", e)
	}

	s = newRawServer(t, then(answers(streamHead+token), hangsUp), then(answers(streamHead+final), hangsUp))
	stream = s.client(WithMaxRetries(5)).API.QueryStream(&QueryRequest{Query: "?"})
	for stream.Next(context.Background()) {
	}
	if !errors.Is(stream.Err(), ErrProtocol) || s.count() != 1 {
		t.Errorf("a question that is cut: %v, %d requests", stream.Err(), s.count())
	}
}
