package mcpvisor

import (
	"context"
	"net/url"
	"strconv"
)

// mostOnPage is what a list asks for on a page where it is not told: the most that the gateway gives.
const mostOnPage = 100

// Page is one page of a list.
type Page[T any] struct {
	// Items are the entries on this page.
	Items []T
	// Pagination is its place in the list.
	Pagination
}

// Iterator goes through a list, whose pages are fetched when they are reached:
//
//	list := client.MCPs.List(nil)
//	for list.Next(ctx) {
//		fmt.Println(list.Value().Name)
//	}
//	if err := list.Err(); err != nil { … }
//
// What is added or removed meanwhile may be missing or come twice. It is not safe for concurrent use.
type Iterator[T any] struct {
	fetch func(context.Context) (items []T, last bool, err error)
	items []T // those that are still to come; the first is the value
	value T
	last  bool
	err   error
}

// Next goes to the next entry. It is false at the end of the list, and after an error, which Err has.
func (i *Iterator[T]) Next(ctx context.Context) bool {
	for len(i.items) == 0 {
		if i.last || i.err != nil {
			return false
		}
		i.items, i.last, i.err = i.fetch(ctx)
	}
	i.value, i.items = i.items[0], i.items[1:]
	return true
}

// Value is the entry that Next went to.
func (i *Iterator[T]) Value() T { return i.value }

// Err is what ended the list before its end, an *Error, or nil.
func (i *Iterator[T]) Err() error { return i.err }

// All goes through the rest of the list.
func (i *Iterator[T]) All(ctx context.Context) ([]T, error) {
	all := []T{}
	for i.Next(ctx) {
		all = append(all, i.Value())
	}
	return all, i.Err()
}

// pages goes through a list of /v1 that has pages.
func pages[T any](c *Client, path string, query url.Values) *Iterator[T] {
	if query.Get("per_page") == "" {
		query.Set("per_page", strconv.Itoa(mostOnPage))
	}
	number := int64(0)
	return &Iterator[T]{fetch: func(ctx context.Context) ([]T, bool, error) {
		number++
		page, err := onePage[T](ctx, c, path, number, query)
		if err != nil {
			return nil, true, err
		}
		return page.Items, number >= page.TotalPages || len(page.Items) == 0, nil
	}}
}

// onePage fetches one page of a list of /v1.
func onePage[T any](ctx context.Context, c *Client, path string, number int64, query url.Values) (*Page[T], error) {
	query.Set("page", strconv.FormatInt(number, 10))
	a, err := c.get(ctx, path, query)
	if err != nil {
		return nil, err
	}
	whole, err := unwrap[[]T](a)
	if err != nil {
		return nil, err
	}
	if whole.Pagination == nil {
		return nil, a.unusable("it has no `pagination`", nil)
	}
	return &Page[T]{Items: *whole.Data, Pagination: *whole.Pagination}, nil
}

// data reads what a route of /v1 answers.
func data[T any](a *answer, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	whole, err := unwrap[T](a)
	if err != nil {
		return nil, err
	}
	return whole.Data, nil
}
