package mcpvisor

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// described reads a block as encoding/json alone would.
func described(t *testing.T, data string) ContentBlock {
	t.Helper()
	var parts struct{ Type, Text *string }
	if err := json.Unmarshal([]byte(data), &parts); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return ContentBlock{Type: parts.Type, Text: parts.Text, Raw: json.RawMessage(data)}
}

func TestABlockIsReadAlikeHoweverItIsWritten(t *testing.T) {
	texts := []string{
		``, `sum`, `ü 🦀`, `a\nb`, `\"`, `\\`, `","text":"other`, `"},{"type":"text","text":"`, "\xff", `\ud83e`, strings.Repeat("long ", 20_000),
	}
	for _, text := range texts {
		for _, block := range []string{
			`{"type":"text","text":"` + text + `"}`,
			`{"text":"` + text + `","type":"text"}`,
			`{"type":"text","text":"` + text + `","annotations":{"a":"}"}}`,
			`{ "type": "text", "text": "` + text + `" }`,
			`{"type":"image","text":"` + text + `"}`,
		} {
			if !json.Valid([]byte(block)) {
				continue
			}
			wanted := described(t, block)
			// One that was used before has nothing of that left.
			read := ContentBlock{Raw: json.RawMessage("1")}
			if err := json.Unmarshal([]byte(block), &read); err != nil {
				t.Fatalf("%s: %v", block, err)
			}
			if !reflect.DeepEqual(read, wanted) {
				t.Errorf("%.80q was read as %.80q", block, read.Raw)
			}
		}
	}
}

func TestABlockKeepsNothingOfTheMemoryThatItWasReadFrom(t *testing.T) {
	data := []byte(`{"type":"text","text":"sum"}`)
	var read ContentBlock
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	copy(data, strings.Repeat("x", len(data)))
	if *read.Text != "sum" || string(read.Raw) != `{"type":"text","text":"sum"}` {
		t.Errorf("it has %q and %q", *read.Text, read.Raw)
	}
}
