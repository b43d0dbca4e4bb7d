package mcpvisor

import (
	"context"
	"net/http"
)

// MCPs are the servers behind the gateway. One is named by its id or its exact name.
type MCPs struct{ c *Client }

// List goes through the servers that the key may use, newest first.
func (m *MCPs) List(options *MCPListOptions) *Iterator[MCP] {
	return pages[MCP](m.c, "/v1/mcps", options.query())
}

// Page fetches one page of them, counted from 1.
func (m *MCPs) Page(ctx context.Context, number int64, options *MCPListOptions) (*Page[MCP], error) {
	return onePage[MCP](ctx, m.c, "/v1/mcps", number, options.query())
}

// Get fetches one with its tools and how it is doing.
func (m *MCPs) Get(ctx context.Context, mcp string) (*MCPDetail, error) {
	path, err := at("/v1/mcps/{}", mcp)
	if err != nil {
		return nil, err
	}
	return data[MCPDetail](m.c.get(ctx, path, nil))
}

// Logs fetches the last lines that it wrote beside its answers, the newest last. Only administrators may.
func (m *MCPs) Logs(ctx context.Context, mcp string, options *LogOptions) ([]LogLine, error) {
	path, err := at("/v1/mcps/{}/logs", mcp)
	if err != nil {
		return nil, err
	}
	lines, err := data[[]LogLine](m.c.get(ctx, path, options.query()))
	if err != nil {
		return nil, err
	}
	return *lines, nil
}

// Start starts one that was stopped or rests until its first call. Like the others below, it is for
// administrators, and has begun when it returns.
func (m *MCPs) Start(ctx context.Context, mcp string) error { return m.order(ctx, mcp, "start") }

// Stop ends its processes; it refuses calls until it is started or the daemon is.
func (m *MCPs) Stop(ctx context.Context, mcp string) error { return m.order(ctx, mcp, "stop") }

// Restart replaces its processes, each when its successor is ready.
func (m *MCPs) Restart(ctx context.Context, mcp string) error { return m.order(ctx, mcp, "restart") }

// Enable switches it on in its definition.
func (m *MCPs) Enable(ctx context.Context, mcp string) error { return m.order(ctx, mcp, "enable") }

// Disable switches it off in its definition, which holds when the daemon is started anew.
func (m *MCPs) Disable(ctx context.Context, mcp string) error { return m.order(ctx, mcp, "disable") }

func (m *MCPs) order(ctx context.Context, mcp, what string) error {
	path, err := at("/v1/mcps/{}/"+what, mcp)
	if err != nil {
		return err
	}
	_, err = data[struct{}](m.c.change(ctx, http.MethodPost, path, nil))
	return err
}
