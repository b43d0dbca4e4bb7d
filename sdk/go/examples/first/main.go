package main

import (
	"context"
	"fmt"
	"log"

	"mcpvisor.invalid/go/mcpvisor"
)

func main() {
	client, err := mcpvisor.New() // http://127.0.0.1:5000, and the key in MCPVISOR_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()

	servers := client.MCPs.List(nil)
	for servers.Next(ctx) {
		fmt.Println(servers.Value().Name, servers.Value().Health)
	}
	if err := servers.Err(); err != nil {
		log.Fatal(err)
	}

	answer, err := client.Invoke(ctx, "demo", "add", map[string]any{"a": 2, "b": 40}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(answer.Result)) // {"sum":42}
}
