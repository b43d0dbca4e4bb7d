package mcpvisor

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// Keys are the API keys: a member's own, and all for administrators.
type Keys struct{ c *Client }

// CreatedKey is a key that was made.
type CreatedKey struct {
	NewAPIKey
	// Warnings say what of the key does not come true today, such as a tool that there is not.
	Warnings []string
}

// List goes through the keys, newest first.
func (k *Keys) List(options *KeyListOptions) *Iterator[APIKey] {
	return pages[APIKey](k.c, "/v1/api-keys", options.query())
}

// Page fetches one page of them, counted from 1.
func (k *Keys) Page(ctx context.Context, number int64, options *KeyListOptions) (*Page[APIKey], error) {
	return onePage[APIKey](ctx, k.c, "/v1/api-keys", number, options.query())
}

// Get fetches one key; "self" is the one that is sent.
func (k *Keys) Get(ctx context.Context, id string) (*APIKey, error) {
	path, err := at("/v1/api-keys/{}", id)
	if err != nil {
		return nil, err
	}
	return data[APIKey](k.c.get(ctx, path, nil))
}

// Create makes a key. Its text is in Key, and is shown this once.
func (k *Keys) Create(ctx context.Context, key *NewKey) (*CreatedKey, error) {
	a, err := k.c.change(ctx, http.MethodPost, "/v1/api-keys", key)
	if err != nil {
		return nil, err
	}
	whole, err := unwrap[NewAPIKey](a)
	if err != nil {
		return nil, err
	}
	return &CreatedKey{NewAPIKey: *whole.Data, Warnings: whole.Warnings}, nil
}

// Revoke ends a key, which is refused from the very next request on. Again, it answers the same.
func (k *Keys) Revoke(ctx context.Context, id string) (*KeyRevocation, error) {
	path, err := at("/v1/api-keys/{}", id)
	if err != nil {
		return nil, err
	}
	return data[KeyRevocation](k.c.change(ctx, http.MethodDelete, path, nil))
}

// Rotate gives a key another text, which is shown this once. The one before is refused after the grace, at most
// 168 hours, to the millisecond; 0 is at once.
func (k *Keys) Rotate(ctx context.Context, id string, grace time.Duration) (*RotatedAPIKey, error) {
	path, err := at("/v1/api-keys/{}/rotate", id)
	if err != nil {
		return nil, err
	}
	body := map[string]string{}
	if grace > 0 {
		body["grace"] = strconv.FormatInt(grace.Milliseconds(), 10) + "ms"
	}
	return data[RotatedAPIKey](k.c.change(ctx, http.MethodPost, path, body))
}

// Usage fetches how much was called with one key.
func (k *Keys) Usage(ctx context.Context, id string, options *KeyUsageOptions) (*Usage, error) {
	path, err := at("/v1/api-keys/{}/usage", id)
	if err != nil {
		return nil, err
	}
	return data[Usage](k.c.get(ctx, path, options.query()))
}

// Usages is how much was called: by all keys for administrators, by those of the member for others.
type Usages struct{ c *Client }

// Get fetches the calls of a span, the current month by default.
func (u *Usages) Get(ctx context.Context, options *UsageOptions) (*Usage, error) {
	return data[Usage](u.c.get(ctx, "/v1/usage", options.query()))
}

// History goes through the hours, days or months of a span, newest first, also those without calls.
func (u *Usages) History(options *UsageHistoryOptions) *Iterator[UsageBucket] {
	return pages[UsageBucket](u.c, "/v1/usage/history", options.query())
}

// HistoryPage fetches one page of them, counted from 1.
func (u *Usages) HistoryPage(ctx context.Context, number int64, options *UsageHistoryOptions) (*Page[UsageBucket], error) {
	return onePage[UsageBucket](ctx, u.c, "/v1/usage/history", number, options.query())
}

// Organizations is the one organization of a gateway.
type Organizations struct{ c *Client }

// Get fetches it, with its limits and what is used of them.
func (o *Organizations) Get(ctx context.Context) (*Organization, error) {
	return data[Organization](o.c.get(ctx, "/v1/organization", nil))
}

// Members goes through its members, newest first.
func (o *Organizations) Members(options *MemberListOptions) *Iterator[Member] {
	return pages[Member](o.c, "/v1/organization/members", options.query())
}

// MembersPage fetches one page of them, counted from 1.
func (o *Organizations) MembersPage(ctx context.Context, number int64, options *MemberListOptions) (*Page[Member], error) {
	return onePage[Member](ctx, o.c, "/v1/organization/members", number, options.query())
}
