"""Published MCP servers, as a plain client sees them and as mcpvisor shows them."""
