// Command generate derives the types of the client from the OpenAPI documents of the daemon.
//
//	go run ./internal/generate -specs ../../src/http -out .          # writes the files
//	go run ./internal/generate -specs ../../src/http -out . -check   # fails if they are not what would be written
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	specs := flag.String("specs", "", "directory that has plexmcp/openapi.json and mcp_cli/openapi.json")
	out := flag.String("out", ".", "directory of the package")
	check := flag.Bool("check", false, "compare with the files that are there, and write nothing")
	flag.Parse()
	if err := run(*specs, *out, *check); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(specs, out string, check bool) error {
	taken := map[string]string{}
	for _, d := range dialects {
		source, err := os.ReadFile(filepath.Join(specs, filepath.FromSlash(d.document)))
		if err != nil {
			return err
		}
		code, err := generate(d, source, taken)
		if err != nil {
			return fmt.Errorf("%s: %w", d.document, err)
		}
		if err := settle(filepath.Join(out, d.file), code, check); err != nil {
			return err
		}
	}
	return nil
}

// settle writes the file, or compares it.
func settle(path string, code []byte, check bool) error {
	if !check {
		return os.WriteFile(path, code, 0o644)
	}
	there, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(there, code) {
		return fmt.Errorf("%s is not what the OpenAPI document says: run go generate", path)
	}
	return nil
}
