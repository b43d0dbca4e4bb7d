module mcpvisor.invalid/go/mcpvisor

go 1.19
