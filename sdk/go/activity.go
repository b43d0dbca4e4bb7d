package mcpvisor

import (
	"context"
	"strconv"
)

// Activities are the calls of late, one by one: all for administrators, those of the key's member for others. They
// are kept in memory, the newest 100,000 unless the gateway is set otherwise.
type Activities struct{ c *Client }

// List goes through the calls that match, newest first. options.Limit is how many are fetched at a time, 1000 by
// default.
func (s *Activities) List(options *ActivityOptions) *Iterator[ActivityCall] {
	query := options.query()
	if query.Get("limit") == "" {
		query.Set("limit", "1000")
	}
	return &Iterator[ActivityCall]{fetch: func(ctx context.Context) ([]ActivityCall, bool, error) {
		page, err := data[Activity](s.c.get(ctx, "/v1/activity", query))
		if err != nil {
			return nil, true, err
		}
		if page.NextCursor == nil {
			return page.Calls, true, nil
		}
		query.Set("cursor", strconv.FormatInt(*page.NextCursor, 10))
		return page.Calls, false, nil
	}}
}

// Follow goes through the calls that match as they end, after the last options.Limit (10) that are there.
func (s *Activities) Follow(options *ActivityOptions) *Stream[ActivityCall] {
	return follow[ActivityCall](s.c, "/v1/activity", nil, options.query(), "call")
}
