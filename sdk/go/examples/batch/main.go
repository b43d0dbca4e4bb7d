// Command batch calls a tool once for each line of JSON on its input, some at a time, and writes a line for each, in
// their order:
//
//	go run ./examples/batch SERVER TOOL < arguments.jsonl > results.jsonl
//
// MCPVISOR_BASE_URL is the address of the gateway, http://127.0.0.1:5000 by default, and MCPVISOR_API_KEY the key.
// What was provably not carried out is named as such ("again": true) and may be put in once more; what may have
// been is not. Ctrl-C cancels what is under way. The exit code is 1 where a call failed.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"mcpvisor.invalid/go/mcpvisor"
)

const (
	atOnce   = 4
	longest  = time.Minute // of one call
	longLine = 1 << 20     // what the gateway takes unless it is set otherwise
)

// outcome is a line that is written.
type outcome struct {
	Line      int             `json:"line"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     mcpvisor.Kind   `json:"error,omitempty"`
	Message   string          `json:"message,omitempty"`
	RequestID string          `json:"request_id,omitempty"`
	Again     bool            `json:"again,omitempty"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: batch SERVER TOOL")
		os.Exit(2)
	}
	var options []mcpvisor.Option
	if base := os.Getenv("MCPVISOR_BASE_URL"); base != "" {
		options = append(options, mcpvisor.WithBaseURL(base))
	}
	client, err := mcpvisor.New(options...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	failed, err := run(ctx, client, os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if failed || err != nil {
		os.Exit(1)
	}
}

// run reads, calls and writes. Of the calls at most atOnce are under way, and their outcomes wait in a queue in the
// order of their lines.
func run(ctx context.Context, client *mcpvisor.Client, server, tool string) (failed bool, err error) {
	queue := make(chan chan outcome, atOnce-1)
	read := make(chan error, 1)
	go func() {
		defer close(queue)
		lines := bufio.NewScanner(os.Stdin)
		lines.Buffer(nil, longLine)
		for number := 1; ctx.Err() == nil && lines.Scan(); number++ {
			arguments := append(json.RawMessage(nil), lines.Bytes()...)
			if len(arguments) == 0 {
				continue
			}
			slot := make(chan outcome, 1)
			queue <- slot
			go func(number int) { slot <- call(ctx, client, server, tool, number, arguments) }(number)
		}
		read <- lines.Err()
	}()
	out := json.NewEncoder(os.Stdout)
	for slot := range queue {
		one := <-slot
		failed = failed || one.Error != ""
		if err := out.Encode(one); err != nil {
			return failed, err
		}
	}
	return failed, <-read
}

// call makes one call.
func call(ctx context.Context, client *mcpvisor.Client, server, tool string, line int, arguments json.RawMessage) outcome {
	answer, err := client.Invoke(ctx, server, tool, arguments, &mcpvisor.InvokeOptions{Timeout: longest})
	if err == nil {
		return outcome{Line: line, Result: answer.Result, RequestID: answer.RequestID}
	}
	var e *mcpvisor.Error
	if !errors.As(err, &e) {
		return outcome{Line: line, Error: mcpvisor.ErrInternal, Message: err.Error()}
	}
	return outcome{
		Line:      line,
		Error:     e.Kind,
		Message:   e.Message,
		RequestID: e.RequestID,
		Again:     e.Phase == mcpvisor.PhaseNotSent && (e.Retryable || e.Kind == mcpvisor.ErrCancelled),
	}
}
