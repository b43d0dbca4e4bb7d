package mcpvisor_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"time"

	"mcpvisor.invalid/go/mcpvisor"
)

// The examples have no output, because they need a gateway. TestReadme keeps them and the README one.

func ExampleNew() {
	client, err := mcpvisor.New(
		mcpvisor.WithBaseURL("https://mcp.example.org"),
		mcpvisor.WithAPIKey("pk_live_example"),
		mcpvisor.WithTimeout(20*time.Second),
		mcpvisor.WithMaxRetries(0),
	)
	_, _ = client, err
}

func ExampleClient_Invoke() {
	ctx, client := context.Background(), newClient()

	answer, err := client.Invoke(ctx, "demo", "add", map[string]any{"a": 2, "b": 40}, &mcpvisor.InvokeOptions{
		Timeout: 5 * time.Second, // goes along as the deadline of the call
	})
	if err == nil {
		fmt.Println(string(answer.Result), len(answer.Content), answer.Metadata.Tool, answer.RequestID)
	}

	type sum struct{ Sum int64 }
	total, _, err := mcpvisor.InvokeAs[sum](ctx, client, "demo", "add", map[string]any{"a": 2, "b": 40}, nil)
	fmt.Println(total.Sum, err)
}

func ExampleInvokeOptions_idempotencyKey() {
	ctx, client := context.Background(), newClient()

	key := uniqueID() // such as a UUID: one for each call that is to be carried out once
	var answer *mcpvisor.InvokeResult
	for attempt := 1; ; attempt++ {
		var err error
		answer, err = client.Invoke(ctx, "demo", "add", map[string]any{"a": 2, "b": 40}, &mcpvisor.InvokeOptions{IdempotencyKey: key})
		if err == nil {
			break
		}
		lost := errors.Is(err, mcpvisor.ErrConnection) || errors.Is(err, mcpvisor.ErrProtocol)
		if !lost || attempt == 3 {
			log.Fatal(err)
		}
	}
	fmt.Println(string(answer.Result), answer.Replayed)
}

func ExampleError() {
	ctx, client := context.Background(), newClient()

	_, err := client.Invoke(ctx, "demo", "fail", map[string]string{"message": "out of paper"}, nil)
	var failure *mcpvisor.Error
	switch {
	case errors.Is(err, mcpvisor.ErrToolFailed):
		fmt.Println("the tool says no:", err)
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Println("too late")
	case errors.As(err, &failure):
		fmt.Println(failure.Kind, failure.Code, failure.Fault, failure.Phase, failure.Retryable, failure.RequestID)
	}
}

func ExampleIterator() {
	ctx, client := context.Background(), newClient()

	keys := client.Keys.List(&mcpvisor.KeyListOptions{Status: "active"})
	for keys.Next(ctx) {
		fmt.Println(keys.Value().Name)
	}
	if err := keys.Err(); err != nil {
		log.Fatal(err)
	}

	members, err := client.Organization.Members(nil).All(ctx) // all at once
	page, err2 := client.MCPs.Page(ctx, 1, nil)               // one page, with how many there are
	if err == nil && err2 == nil {
		fmt.Println(len(members), page.Total)
	}
}

func ExampleStream() {
	ctx, client := context.Background(), newClient()

	lines := client.Logs.Follow("demo", &mcpvisor.LogOptions{Tail: 20})
	defer lines.Close()
	for lines.Next(ctx) {
		fmt.Println(lines.Value().At, lines.Value().Line)
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}

func ExampleAPI_QueryStream() {
	ctx, client := context.Background(), newClient()

	answer := client.API.QueryStream(&mcpvisor.QueryRequest{Server: "demo", Query: "What is 19 and 23?"})
	defer answer.Close()
	for answer.Next(ctx) {
		fmt.Print(answer.Value().Text)
	}
	if err := answer.Err(); err != nil {
		log.Fatal(err)
	}
}

func ExampleKeys_Create() {
	ctx, client := context.Background(), newClient()

	key, err := client.Keys.Create(ctx, &mcpvisor.NewKey{
		Name:        "Bob",
		Member:      &mcpvisor.NewKeyMember{ID: "user_bob"},
		Permissions: &mcpvisor.NewKeyPermissions{MCPs: mcpvisor.Only("demo"), Tools: mcpvisor.OnlyTools("echo", "add")},
	})
	if err == nil {
		fmt.Println(key.Key) // shown this once
	}
}

func uniqueID() string {
	var bits [16]byte
	if _, err := rand.Read(bits[:]); err != nil {
		log.Fatal(err)
	}
	return hex.EncodeToString(bits[:])
}

func newClient() *mcpvisor.Client {
	client, err := mcpvisor.New()
	if err != nil {
		log.Fatal(err)
	}
	return client
}
