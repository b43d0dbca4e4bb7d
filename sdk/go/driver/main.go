// Command driver carries out operations of the client for the tests that all clients have in common: one JSON
// object a line on stdin, one a line on stdout. sdk/tests/README.md has the protocol.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"mcpvisor.invalid/go/mcpvisor"
)

// order is a line that comes.
type order struct {
	New *struct {
		BaseURL    *string  `json:"base_url"`
		APIKey     *string  `json:"api_key"`
		Timeout    *float64 `json:"timeout"`
		MaxRetries *int     `json:"max_retries"`
	} `json:"new"`
	Op            string          `json:"op"`
	Args          json.RawMessage `json:"args"`
	CancelAfterMS *int64          `json:"cancel_after_ms"`
}

// reply is a line that goes.
type reply struct {
	OK     any      `json:"ok,omitempty"`
	Error  *failure `json:"error,omitempty"`
	TookMS *int64   `json:"took_ms,omitempty"`
}

type failure struct {
	Class      string   `json:"class"`
	Code       *string  `json:"code"`
	Status     *int     `json:"status"`
	RequestID  *string  `json:"request_id"`
	Retryable  bool     `json:"is_retryable"`
	Fault      string   `json:"fault"`
	Phase      string   `json:"phase"`
	RetryAfter *float64 `json:"retry_after"`
	Message    string   `json:"message"`
}

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

func serve(in io.Reader, out io.Writer) error {
	client, err := newClient(&order{})
	if err != nil {
		return err
	}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var o order
			if err := json.Unmarshal(line, &o); err != nil {
				return fmt.Errorf("a line that is no order: %w", err)
			}
			answer := &reply{OK: true}
			if o.New != nil {
				if client, err = newClient(&o); err != nil {
					answer = &reply{Error: describe(err)}
				}
			} else {
				answer = carryOut(client, &o)
			}
			if err := write(out, answer); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func write(out io.Writer, answer *reply) error {
	text := json.NewEncoder(out)
	text.SetEscapeHTML(false)
	return text.Encode(answer)
}

// newClient takes from the environment what the order does not say.
func newClient(o *order) (*mcpvisor.Client, error) {
	var options []mcpvisor.Option
	if base := os.Getenv("MCPVISOR_BASE_URL"); base != "" {
		options = append(options, mcpvisor.WithBaseURL(base))
	}
	if n := o.New; n != nil {
		if n.BaseURL != nil {
			options = append(options, mcpvisor.WithBaseURL(*n.BaseURL))
		}
		if n.APIKey != nil {
			options = append(options, mcpvisor.WithAPIKey(*n.APIKey))
		}
		if n.Timeout != nil {
			options = append(options, mcpvisor.WithTimeout(seconds(*n.Timeout)))
		}
		if n.MaxRetries != nil {
			options = append(options, mcpvisor.WithMaxRetries(*n.MaxRetries))
		}
	}
	return mcpvisor.New(options...)
}

func seconds(number float64) time.Duration { return time.Duration(number * float64(time.Second)) }

func carryOut(client *mcpvisor.Client, o *order) *reply {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if o.CancelAfterMS != nil {
		timer := time.AfterFunc(time.Duration(*o.CancelAfterMS)*time.Millisecond, cancel)
		defer timer.Stop()
	}
	began := time.Now()
	value, err := operations(ctx, client, o)
	took := time.Since(began).Milliseconds()
	if err != nil {
		return &reply{Error: describe(err), TookMS: &took}
	}
	return &reply{OK: value, TookMS: &took}
}

// describe writes an error as the protocol has it.
func describe(err error) *failure {
	var e *mcpvisor.Error
	if !errors.As(err, &e) {
		return &failure{Class: "none of the client: " + fmt.Sprintf("%T", err), Message: err.Error()}
	}
	f := &failure{
		Class:     string(e.Kind),
		Retryable: e.Retryable,
		Fault:     string(e.Fault),
		Phase:     string(e.Phase),
		Message:   e.Message,
	}
	if e.Code != "" {
		f.Code = &e.Code
	}
	if e.Status != 0 {
		f.Status = &e.Status
	}
	if e.RequestID != "" {
		f.RequestID = &e.RequestID
	}
	if e.RetryAfter != 0 {
		after := e.RetryAfter.Seconds()
		f.RetryAfter = &after
	}
	return f
}
