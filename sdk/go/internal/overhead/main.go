//go:build unix

// Command overhead measures the CPU time of a call with the client against one with bare net/http, which sends the same
// bytes and reads the same JSON:
//
//	go run ./internal/overhead ADDRESS [ROUNDS] [CALLS]
//
// sdk/overhead.sh calls it with the address of a server that answers all calls alike, and has the same for the other
// languages. In each round all ways take turns, some calls each, so that whatever else the machine does meets all
// alike; what the client takes on top is said of the round. The middle of the rounds decides, with the quarters around
// it: more than a tenth on top of net/http with a deadline, as the client has one, fails.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mcpvisor.invalid/go/mcpvisor"
)

const (
	most = 10.0 // percent
	turn = 20   // calls of one turn
	key  = "pk_live_0123456789abcdefghijklmnopqrstuvwxyz"
)

var arguments = map[string]any{"a": 2, "b": 40}

// call is what is sent.
type call struct {
	MCP       string `json:"mcp_id"`
	Tool      string `json:"tool"`
	Arguments any    `json:"arguments"`
}

// answer is what comes back, as a program without the client would read it.
type answer struct {
	Success bool `json:"success"`
	Data    struct {
		Result   json.RawMessage `json:"result"`
		Metadata struct {
			MCP       string    `json:"mcp_id"`
			Tool      string    `json:"tool"`
			Latency   int64     `json:"latency_ms"`
			Timestamp time.Time `json:"timestamp"`
		} `json:"metadata"`
		Content []struct {
			Type string `json:"type"`
			Text string `json:"text"`
		} `json:"content"`
		IsError bool `json:"is_error"`
	} `json:"data"`
}

// way is how a call is made; it gives the result.
type way func() (json.RawMessage, error)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: overhead ADDRESS [ROUNDS] [CALLS]")
		os.Exit(2)
	}
	rounds, calls := argument(2, 15), argument(3, 1000)
	good := true
	for _, size := range []string{"small", "large"} {
		one, err := compare(os.Args[1], size, rounds, calls)
		if err != nil {
			log.Fatal(err)
		}
		good = good && one
	}
	if !good {
		os.Exit(1)
	}
}

func argument(place, otherwise int) int {
	if len(os.Args) <= place {
		return otherwise
	}
	number, err := strconv.Atoi(os.Args[place])
	if err != nil || number < 1 {
		log.Fatalf("%q is no number of rounds or calls", os.Args[place])
	}
	return number
}

// compare says whether the client is within its bar with answers of a size.
func compare(address, size string, rounds, calls int) (bool, error) {
	client, err := mcpvisor.New(mcpvisor.WithBaseURL(address+"/"+size), mcpvisor.WithAPIKey(key))
	if err != nil {
		return false, err
	}
	ours := func() (json.RawMessage, error) {
		result, err := client.Invoke(context.Background(), "demo", "add", arguments, nil)
		if err != nil {
			return nil, err
		}
		return result.Result, nil
	}
	header, err := headerOf(ours, address)
	if err != nil {
		return false, err
	}
	url := address + "/" + size + "/v1/mcp/invoke"
	bare := func() (json.RawMessage, error) { return send(context.Background(), url, header) }
	bounded := func() (json.RawMessage, error) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return send(ctx, url, header)
	}
	ways := []way{bare, bounded, ours}
	if err := same(ways, address); err != nil {
		return false, err
	}
	times := make([][]float64, len(ways))
	for round := -1; round < rounds; round++ {
		spent, err := play(ways, calls)
		if err != nil {
			return false, err
		}
		for way := range ways {
			if round >= 0 { // The first round is for the caches.
				times[way] = append(times[way], spent[way])
			}
		}
	}
	onBare, _ := middle(onTop(times[2], times[0]), 1)
	onBounded, percent := middle(onTop(times[2], times[1]), 1)
	alone, _ := middle(times[0], 1)
	withDeadline, _ := middle(times[1], 1)
	withClient, _ := middle(times[2], 1)
	word := "ok  "
	if percent > most {
		word = "FAIL"
	}
	fmt.Printf("%s Go (%s), %s answers: net/http %s µs of CPU a call, with a deadline %s, the client %s: %s %% on top of net/http with a deadline, %s %% on top of net/http without\n",
		word, runtime.Version(), size, alone, withDeadline, withClient, onBounded, onBare)
	return percent <= most, nil
}

// send makes a call without the client.
func send(ctx context.Context, url string, header http.Header) (json.RawMessage, error) {
	body, err := json.Marshal(call{MCP: "demo", Tool: "add", Arguments: arguments})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", response.Status, text)
	}
	var read answer
	if err := json.Unmarshal(text, &read); err != nil {
		return nil, err
	}
	return read.Data.Result, nil
}

// play is a round: how many microseconds of CPU a call takes each way.
func play(ways []way, calls int) ([]float64, error) {
	times := make([]float64, len(ways))
	turns := (calls + turn - 1) / turn
	for number := 0; number < turns; number++ {
		for step := range ways {
			place := (number + step) % len(ways)
			took, err := measure(ways[place])
			if err != nil {
				return nil, err
			}
			times[place] += float64(took) / float64(turns*turn)
		}
	}
	return times, nil
}

// measure is how many microseconds of CPU a turn takes, each answer of which is looked at.
func measure(one way) (int64, error) {
	before, err := spent()
	if err != nil {
		return 0, err
	}
	for done := 0; done < turn; done++ {
		result, err := one()
		if err != nil {
			return 0, err
		}
		if !bytes.HasPrefix(result, []byte(`{"sum":42`)) {
			return 0, fmt.Errorf("another answer: %s", result)
		}
	}
	after, err := spent()
	return after - before, err
}

// spent is how many microseconds of CPU this process has had, for itself and in the system.
func spent() (int64, error) {
	var usage syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return (usage.Utime.Nano() + usage.Stime.Nano()) / 1000, err
}

// seen is the last call as the server saw it.
func seen(address string) (http.Header, string, error) {
	response, err := http.Get(address + "/seen")
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	var last struct{ Head, Body string }
	if err := json.NewDecoder(response.Body).Decode(&last); err != nil {
		return nil, "", err
	}
	header := http.Header{}
	for _, line := range strings.Split(last.Head, "\r\n")[1:] {
		if name, value, found := strings.Cut(line, ": "); found {
			header.Set(name, value)
		}
	}
	return header, last.Body, nil
}

// headerOf is what a way sends beside what net/http does by itself.
func headerOf(one way, address string) (http.Header, error) {
	if _, err := one(); err != nil {
		return nil, err
	}
	header, _, err := seen(address)
	for _, name := range []string{"Host", "Content-Length", "Accept-Encoding"} {
		header.Del(name)
	}
	return header, err
}

// same fails unless the ways send the same; ids, of which each call has its own, need to be as long.
func same(ways []way, address string) error {
	var first http.Header
	var text string
	for place, one := range ways {
		if _, err := one(); err != nil {
			return err
		}
		header, body, err := seen(address)
		if err != nil {
			return err
		}
		for name, values := range header {
			if strings.Contains(name, "Id") || strings.Contains(name, "Key") {
				header[name] = []string{strconv.Itoa(len(values[0]))}
			}
		}
		if place == 0 {
			first, text = header, body
		} else if body != text || !reflect.DeepEqual(header, first) {
			return fmt.Errorf("the requests differ:\n%v %s\n%v %s", first, text, header, body)
		}
	}
	return nil
}

// onTop is by how many percent the one took longer than the other, round by round.
func onTop(ours, bare []float64) []float64 {
	percent := make([]float64, len(ours))
	for round := range ours {
		percent[round] = (ours[round]/bare[round] - 1) * 100
	}
	return percent
}

// middle is the middle and the quarters around it, as a text, and the middle.
func middle(numbers []float64, digits int) (string, float64) {
	sorted := append([]float64(nil), numbers...)
	sort.Float64s(sorted)
	at := func(part float64) float64 { return sorted[int(part*float64(len(sorted)-1)+0.5)] }
	return fmt.Sprintf("%.*f (%.*f to %.*f)", digits, at(0.5), digits, at(0.25), digits, at(0.75)), at(0.5)
}
