package mcpvisor

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Every block of Go in the README is a program or a part of an example, which are compiled with the tests.
func TestReadme(t *testing.T) {
	readme := contents(t, "README.md")
	program := contents(t, "examples/first/main.go")
	examples := strings.ReplaceAll(contents(t, "example_test.go"), "\n\t", "\n")
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readme, -1)
	if len(blocks) < 6 {
		t.Fatalf("only %d blocks were found", len(blocks))
	}
	for _, block := range blocks {
		if block[1] != program && !strings.Contains(examples, block[1]) {
			t.Errorf("this is no part of an example:\n%s", block[1])
		}
	}
}

func contents(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
