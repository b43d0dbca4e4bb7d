// Package mcpvisor is a client of mcpvisor, which runs MCP servers and puts one HTTP address before
// them. It speaks both REST dialects of the daemon, /v1 (the PlexMCP API) and /api (the MCP CLI API),
// and the former also with PlexMCP's own service.
//
//	client, err := mcpvisor.New()
//	result, err := client.Invoke(ctx, "demo", "add", map[string]any{"a": 2, "b": 40}, nil)
//
// A Client is safe for concurrent use and keeps no state but its pool of connections.
//
// # Contexts
//
// Every method takes a context. Cancelling it ends the request, and closing the connection cancels the
// call at the MCP server, with an IdempotencyKey after five seconds in which nobody comes back for it.
// A deadline of the context is sent along as the deadline of the call (Invoke, Resources and Query), a
// little early, so that the gateway's own answer, which knows how far the call came, is there in time. A context without a deadline is bounded by WithTimeout.
//
// # Errors
//
// What goes wrong with a request is an *Error, whose Kind is one of a closed set:
//
//	var failure *mcpvisor.Error
//	if errors.As(err, &failure) && failure.Phase == mcpvisor.PhaseNotSent { … }
//	if errors.Is(err, mcpvisor.ErrNotFound) { … }
//
// An error of a cancelled or expired context is also context.Canceled or context.DeadlineExceeded.
//
// # Repeated requests
//
// A request is repeated only where provably nothing of it was carried out, and a GET also after a lost
// connection; see WithMaxRetries. A call that an MCP server may have seen is never carried out again. Given an
// InvokeOptions.IdempotencyKey, a caller may make it again, and gets its reply without a second execution.
package mcpvisor

//go:generate go run ./internal/generate -specs ../../src/http -out .
