// Command chat asks a model questions, line by line, and shows its words and its tool calls as they come:
//
//	go run ./examples/chat SERVER
//
// MCPVISOR_BASE_URL is the address of the gateway, http://127.0.0.1:5000 by default. The gateway needs a model
// (section [llm] of its settings), and a key in MCPVISOR_API_KEY only where it is not run by the same user. Ctrl-C
// ends the question that is being answered, with the tool calls that it has led to; at the prompt it ends the
// program. The exit code is 1 where a question failed.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"mcpvisor.invalid/go/mcpvisor"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: chat SERVER")
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
	failed := false
	questions := bufio.NewScanner(os.Stdin)
	for fmt.Print("> "); questions.Scan(); fmt.Print("> ") {
		if question := strings.TrimSpace(questions.Text()); question != "" {
			if err := answer(client, os.Args[1], question); err != nil {
				fmt.Println(err)
				failed = true
			}
		}
	}
	fmt.Println()
	if failed {
		os.Exit(1)
	}
}

// answer asks one question. Being cancelled is no error.
func answer(client *mcpvisor.Client, server, question string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	stream := client.API.QueryStream(&mcpvisor.QueryRequest{Server: server, Query: question})
	defer stream.Close()
	for stream.Next(ctx) {
		show(stream.Value())
	}
	fmt.Println()
	if errors.Is(stream.Err(), mcpvisor.ErrCancelled) {
		fmt.Println("(cancelled)")
		return nil
	}
	return stream.Err()
}

func show(event mcpvisor.QueryEvent) {
	switch {
	case event.Type == "token":
		fmt.Print(event.Text)
	case event.ToolCall != nil:
		fmt.Printf("→ %s %s\n", event.ToolCall.Tool, event.ToolCall.Arguments)
	case event.ToolResult != nil:
		outcome := ""
		if event.ToolResult.IsError {
			outcome = " failed"
		}
		fmt.Printf("← %s (%d ms)%s\n", event.ToolResult.Tool, event.ToolResult.DurationMS, outcome)
	case event.Final != nil && event.Final.FinishReason != mcpvisor.FinishReasonStop:
		fmt.Printf(" [%s]", event.Final.FinishReason)
	}
}
