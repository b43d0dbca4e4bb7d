package mcpvisor

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// answer is a 2xx that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// envelope is a success of /v1.
type envelope[T any] struct {
	Success    bool        `json:"success"`
	Data       *T          `json:"data"`
	Pagination *Pagination `json:"pagination"`
	Warnings   []string    `json:"warnings"`
}

// unwrap reads a success of /v1.
func unwrap[T any](a *answer) (*envelope[T], error) {
	var whole envelope[T]
	if err := json.Unmarshal(a.body, &whole); err != nil {
		return nil, a.unusable(err.Error(), err)
	}
	if !whole.Success || whole.Data == nil {
		return nil, a.unusable("it has no `data` of a success", nil)
	}
	return &whole, nil
}

// bare reads a success of /api, in which `required` has to be there and not null.
func bare[T any](a *answer, required string) (*T, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(a.body, &members); err != nil {
		return nil, a.unusable(err.Error(), err)
	}
	if value := members[required]; len(value) == 0 || string(value) == "null" {
		return nil, a.unusable(fmt.Sprintf("it has no `%s`", required), nil)
	}
	var whole T
	if err := json.Unmarshal(a.body, &whole); err != nil {
		return nil, a.unusable(err.Error(), err)
	}
	return &whole, nil
}

// unusable is the error of an answer that is not what the API says.
func (a *answer) unusable(why string, cause error) *Error {
	return &Error{
		Kind:      ErrProtocol,
		Message:   fmt.Sprintf("the answer is not what the API says: %s (%s, %d bytes)", why, a.header.Get("Content-Type"), len(a.body)),
		Status:    a.status,
		RequestID: a.header.Get("X-Request-Id"),
		Fault:     FaultGateway,
		Phase:     PhaseUnknown,
		cause:     cause,
	}
}
