package mcpvisor

import (
	"encoding/json"
	"math/rand"
	"net/http"
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

// pieces of which texts, values and whole answers are put together.
var (
	texts  = []string{``, `sum`, `ü 🦀`, `\n`, `\"`, `\\`, `\/`, `\b\f\r\t`, `\u00e9`, `\u0000`, `\uD83E\uDD80`, `\ud83e`, `\udd80`, `\ufffd`, "\xff", `{[,]}`, `"`, `\x`, `\u12g4`}
	values = []string{`null`, `true`, `0`, `-1.5e+9`, `9223372036854775807`, `{}`, `[]`, `{"a":[1,{"b":"}"}],"c":"]"}`, `[[1,2],[3]]`, `{"a": 1}`}
)

func textOf(source *rand.Rand) string {
	var whole strings.Builder
	for pieces := source.Intn(6); pieces > 0; pieces-- {
		whole.WriteString(texts[source.Intn(len(texts))])
	}
	return `"` + whole.String() + `"`
}

func blockOf(source *rand.Rand) string {
	forms := []string{`{"type":"text","text":TEXT}`, `{"type":"text","text":TEXT}`, `{"text":TEXT,"type":"text"}`, `{"type":"image","data":TEXT}`, `{"type":"text","text":TEXT,"_meta":{}}`, `null`}
	return strings.Replace(forms[source.Intn(len(forms))], "TEXT", textOf(source), 1)
}

func answerOf(source *rand.Rand) string {
	result := values[source.Intn(len(values))]
	if source.Intn(2) == 0 {
		result = textOf(source)
	}
	var content []string
	for blocks := source.Intn(4); blocks > 0; blocks-- {
		content = append(content, blockOf(source))
	}
	whole := `{"success":true,"data":{"result":` + result +
		`,"metadata":{"mcp_id":"mcp_1","tool":` + textOf(source) + `,"latency_ms":1,"timestamp":"2026-12-01T03:04:33Z"},"content":[` +
		strings.Join(content, ",") + `],"is_error":false}}`
	if source.Intn(3) > 0 {
		return whole
	}
	// As no daemon writes it: a byte is missing, doubled or another one.
	at := source.Intn(len(whole))
	return whole[:at] + []string{"", whole[at:at+1] + whole[at:at+1], " ", ",", `"`, "]"}[source.Intn(6)] + whole[at+1:]
}

// Where the quick way takes an answer, encoding/json reads the same.
func TestAnAnswerIsReadAsEncodingJSONWouldReadIt(t *testing.T) {
	source, quickly := rand.New(rand.NewSource(1)), 0
	for turn := 0; turn < 50_000; turn++ {
		body := answerOf(source)
		var read Invocation
		if !read.readAnswer([]byte(body)) {
			continue
		}
		quickly++
		whole, err := unwrap[Invocation](&answer{status: 200, header: http.Header{}, body: []byte(body)})
		if err != nil {
			t.Fatalf("%s was taken: %v", body, err)
		}
		if !reflect.DeepEqual(read, *whole.Data) {
			t.Fatalf("%s was read as %+v, not %+v", body, read, *whole.Data)
		}
	}
	if quickly < 5_000 {
		t.Errorf("only %d answers were read in the quick way", quickly)
	}
}

func TestTextsWithoutWhatIsReplacedAreReadQuickly(t *testing.T) {
	for _, text := range append(texts, `a\nb \"c\" \uD83E\uDD80`, strings.Repeat("long ", 20_000)) {
		var wanted string
		valid := json.Unmarshal([]byte(`"`+text+`"`), &wanted) == nil
		read, is := unquote([]byte(text))
		if replaced := strings.ContainsRune(wanted, '\ufffd') && text != `\ufffd`; is != (valid && !replaced) {
			t.Errorf("%.40q: taken %v", text, is)
		}
		if is && read != wanted {
			t.Errorf("%.40q was read as %.40q", text, read)
		}
	}
}

// A caller may write behind what it was given without changing what lies there.
func TestPartsOfAnAnswerEndWhereTheyEnd(t *testing.T) {
	body := []byte(`{"success":true,"data":{"result":7,"metadata":{},"content":[{"type":"text","text":"7"}],"is_error":false}}`)
	before := string(body)
	var read Invocation
	if !read.readAnswer(body) {
		t.Fatal("it was not read quickly")
	}
	_, _ = append(read.Result, "xx"...), append(read.Content[0].Raw, "xx"...)
	if string(body) != before {
		t.Errorf("the body is %s now", body)
	}
}
