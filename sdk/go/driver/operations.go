package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"mcpvisor.invalid/go/mcpvisor"
)

// operations carries one operation out.
func operations(ctx context.Context, c *mcpvisor.Client, o *order) (any, error) {
	if len(o.Args) == 0 {
		o.Args = json.RawMessage("{}")
	}
	switch o.Op {
	case "invoke", "resources.list", "resources.read", "mcp_url":
		return calls(ctx, c, o)
	case "logs.follow", "api.query":
		return streams(ctx, c, o)
	case "api.status", "api.servers.list", "api.servers.get", "api.servers.create", "api.servers.delete", "api.tools.list":
		return definitions(ctx, c, o)
	case "keys.list", "keys.get", "keys.create", "keys.revoke", "keys.rotate":
		return keys(ctx, c, o)
	}
	return lists(ctx, c, o)
}

// named are the arguments that name something.
type named struct {
	ID     string  `json:"id"`
	MCP    string  `json:"mcp"`
	Name   string  `json:"name"`
	Server string  `json:"server"`
	URI    string  `json:"uri"`
	Grace  float64 `json:"grace"`
}

func calls(ctx context.Context, c *mcpvisor.Client, o *order) (any, error) {
	var n named
	if err := json.Unmarshal(o.Args, &n); err != nil {
		return nil, err
	}
	switch o.Op {
	case "resources.list":
		return c.Resources.List(ctx, n.MCP)
	case "resources.read":
		return c.Resources.Read(ctx, n.MCP, n.URI)
	case "mcp_url":
		address, header := c.MCPURL(n.Server)
		headers := map[string]string{}
		for name := range header {
			headers[name] = header.Get(name)
		}
		return map[string]any{"url": address, "headers": headers}, nil
	}
	var call struct {
		MCP            string          `json:"mcp"`
		Tool           string          `json:"tool"`
		Arguments      json.RawMessage `json:"arguments"`
		Timeout        float64         `json:"timeout"`
		Context        json.RawMessage `json:"context"`
		IdempotencyKey string          `json:"idempotency_key"`
	}
	if err := json.Unmarshal(o.Args, &call); err != nil {
		return nil, err
	}
	options := &mcpvisor.InvokeOptions{Timeout: seconds(call.Timeout), IdempotencyKey: call.IdempotencyKey}
	if call.Context != nil {
		options.Context = call.Context
	}
	var arguments any
	if call.Arguments != nil {
		arguments = call.Arguments
	}
	answer, err := c.Invoke(ctx, call.MCP, call.Tool, arguments, options)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"result": answer.Result, "content": answer.Content, "metadata": answer.Metadata, "request_id": answer.RequestID,
		"replayed": answer.Replayed,
	}, nil
}

func streams(ctx context.Context, c *mcpvisor.Client, o *order) (any, error) {
	if o.Op == "logs.follow" {
		var follow struct {
			named
			mcpvisor.LogOptions
			Take int `json:"take"`
		}
		if err := json.Unmarshal(o.Args, &follow); err != nil {
			return nil, err
		}
		lines := c.Logs.Follow(follow.MCP, &follow.LogOptions)
		defer lines.Close()
		found := []mcpvisor.LogLine{}
		for len(found) < follow.Take && lines.Next(ctx) {
			found = append(found, lines.Value())
		}
		return found, lines.Err()
	}
	var ask struct {
		mcpvisor.QueryRequest
		Stream bool `json:"stream"`
	}
	if err := json.Unmarshal(o.Args, &ask); err != nil {
		return nil, err
	}
	events := []json.RawMessage{}
	if !ask.Stream {
		answer, err := c.API.Query(ctx, &ask.QueryRequest)
		if err != nil {
			return nil, err
		}
		return map[string]any{"text": answer.Result, "events": events}, nil
	}
	text := ""
	stream := c.API.QueryStream(&ask.QueryRequest)
	defer stream.Close()
	for stream.Next(ctx) {
		events = append(events, stream.Value().Raw)
		if final := stream.Value().Final; final != nil {
			text = final.Result
		}
	}
	return map[string]any{"text": text, "events": events}, stream.Err()
}

func definitions(ctx context.Context, c *mcpvisor.Client, o *order) (any, error) {
	var n named
	if err := json.Unmarshal(o.Args, &n); err != nil {
		return nil, err
	}
	switch o.Op {
	case "api.status":
		return c.API.Status(ctx)
	case "api.servers.list":
		return c.API.Servers.List(ctx)
	case "api.servers.get":
		return c.API.Servers.Get(ctx, n.Name)
	case "api.servers.delete":
		return c.API.Servers.Delete(ctx, n.Name)
	case "api.tools.list":
		if n.Server == "" {
			n.Server = n.Name
		}
		return c.API.Servers.Tools(ctx, n.Server)
	}
	var server mcpvisor.NewServer
	if strict(o.Args, &server) != nil {
		// What the type cannot hold goes as it is, so that the gateway's opinion of it can be asked.
		var done mcpvisor.Done
		err := c.Do(ctx, http.MethodPost, "/api/servers", nil, o.Args, &done)
		return done, err
	}
	return c.API.Servers.Create(ctx, &server)
}

func keys(ctx context.Context, c *mcpvisor.Client, o *order) (any, error) {
	var n named
	if err := json.Unmarshal(o.Args, &n); err != nil {
		return nil, err
	}
	switch o.Op {
	case "keys.list":
		var options mcpvisor.KeyListOptions
		if err := json.Unmarshal(o.Args, &options); err != nil {
			return nil, err
		}
		return c.Keys.List(&options).All(ctx)
	case "keys.get":
		return c.Keys.Get(ctx, n.ID)
	case "keys.revoke":
		return c.Keys.Revoke(ctx, n.ID)
	case "keys.rotate":
		return c.Keys.Rotate(ctx, n.ID, seconds(n.Grace))
	}
	var key mcpvisor.NewKey
	if strict(o.Args, &key) != nil {
		var answer struct {
			Data mcpvisor.NewAPIKey `json:"data"`
		}
		err := c.Do(ctx, http.MethodPost, "/v1/api-keys", nil, o.Args, &answer)
		return answer.Data, err
	}
	return c.Keys.Create(ctx, &key)
}

// strict reads what a type can hold completely.
func strict(data []byte, into any) error {
	reader := json.NewDecoder(bytes.NewReader(data))
	reader.DisallowUnknownFields()
	return reader.Decode(into)
}

func lists(ctx context.Context, c *mcpvisor.Client, o *order) (any, error) {
	var args struct {
		ID   string `json:"id"`
		Page int64  `json:"page"`
	}
	if err := json.Unmarshal(o.Args, &args); err != nil {
		return nil, err
	}
	switch o.Op {
	case "mcps.list":
		return with(o, func(options *mcpvisor.MCPListOptions) (any, error) { return c.MCPs.List(options).All(ctx) })
	case "mcps.page":
		return with(o, func(options *mcpvisor.MCPListOptions) (any, error) {
			page, err := c.MCPs.Page(ctx, args.Page, options)
			if err != nil {
				return nil, err
			}
			return map[string]any{"items": page.Items, "total": page.Total, "page": page.Page, "per_page": page.PerPage,
				"total_pages": page.TotalPages}, nil
		})
	case "mcps.get":
		return c.MCPs.Get(ctx, args.ID)
	case "mcps.logs":
		return with(o, func(options *mcpvisor.LogOptions) (any, error) { return c.MCPs.Logs(ctx, args.ID, options) })
	case "usage.get":
		return with(o, func(options *mcpvisor.UsageOptions) (any, error) { return c.Usage.Get(ctx, options) })
	case "usage.history":
		return with(o, func(options *mcpvisor.UsageHistoryOptions) (any, error) { return c.Usage.History(options).All(ctx) })
	case "organization.get":
		return c.Organization.Get(ctx)
	case "organization.members":
		return with(o, func(options *mcpvisor.MemberListOptions) (any, error) {
			return c.Organization.Members(options).All(ctx)
		})
	case "activity.list":
		return with(o, func(options *mcpvisor.ActivityOptions) (any, error) { return c.Activity.List(options).All(ctx) })
	}
	return nil, fmt.Errorf("there is no operation %q", o.Op)
}

// with reads the arguments as options.
func with[T any](o *order, carryOut func(*T) (any, error)) (any, error) {
	var options T
	if err := json.Unmarshal(o.Args, &options); err != nil {
		return nil, err
	}
	return carryOut(&options)
}
