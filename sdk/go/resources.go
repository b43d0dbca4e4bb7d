package mcpvisor

import (
	"context"
	"net/http"
)

// Resources are what servers offer to be read.
type Resources struct{ c *Client }

// List fetches the resources and templates of a server, as it last announced them. They are in Contents and
// ResourceTemplates.
func (r *Resources) List(ctx context.Context, mcp string) (*ResourcesResult, error) {
	return r.fetch(ctx, mcp, nil)
}

// Read reads one resource, whose parts are in Contents. A deadline of the context is sent along. One that the
// server does not have is ErrNotFound.
func (r *Resources) Read(ctx context.Context, mcp, uri string) (*ResourcesResult, error) {
	return r.fetch(ctx, mcp, &uri)
}

func (r *Resources) fetch(ctx context.Context, mcp string, uri *string) (*ResourcesResult, error) {
	body := struct {
		MCP     string  `json:"mcp_id"`
		URI     *string `json:"uri,omitempty"`
		Timeout int64   `json:"timeout,omitempty"`
	}{MCP: mcp, URI: uri}
	post := &request{method: http.MethodPost, path: "/v1/mcp/resources"}
	return data[ResourcesResult](r.c.call(ctx, post, 0, func(timeout int64) any {
		body.Timeout = timeout
		return body
	}))
}
