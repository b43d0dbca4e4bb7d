package mcpvisor

import (
	"context"
	"net/http"
	"time"
)

// API is the dialect /api, of the MCP CLI: definitions of servers, and questions to a model. The daemon's own user
// needs no key for it; others need an owner's or administrator's.
type API struct {
	// Servers are the definitions.
	Servers *Servers
	// Config is the definitions as a file at the gateway.
	Config *Config

	c *Client
}

func newAPI(c *Client) *API { return &API{Servers: &Servers{c}, Config: &Config{c}, c: c} }

// Status fetches whether the dialect answers.
func (a *API) Status(ctx context.Context) (*APIStatus, error) {
	return read[APIStatus]("status")(a.c.get(ctx, "/api/status", nil))
}

// Query has a model answer a question with the tools of a server. The deadline of the context is sent along, if it
// is before the request's Timeout. Cancelling the context gives the question up, with the calls under way for it.
func (a *API) Query(ctx context.Context, question *QueryRequest) (*QueryAnswer, error) {
	timeout := time.Duration(question.Timeout) * time.Millisecond
	r := &request{method: http.MethodPost, path: "/api/query", asks: true}
	return read[QueryAnswer]("result")(a.c.call(ctx, r, timeout, func(timeout int64) any {
		return asked{question, timeout, false}.body()
	}))
}

// Servers are the definitions of servers. Names are exact.
type Servers struct{ c *Client }

// List fetches all, in the order in which they were added.
func (s *Servers) List(ctx context.Context) ([]Server, error) {
	all, err := read[struct {
		Servers []Server `json:"servers"`
	}]("servers")(s.c.get(ctx, "/api/servers", nil))
	if err != nil {
		return nil, err
	}
	return all.Servers, nil
}

// Get fetches one.
func (s *Servers) Get(ctx context.Context, name string) (*Server, error) {
	path, err := at("/api/servers/{}", name)
	if err != nil {
		return nil, err
	}
	return read[Server]("name")(s.c.get(ctx, path, nil))
}

// Create adds one, which starts in the background. The same again is no error; another one of its name is
// ErrConflict.
func (s *Servers) Create(ctx context.Context, server *NewServer) (*Done, error) {
	return read[Done]("message")(s.c.change(ctx, http.MethodPost, "/api/servers", server))
}

// Update replaces the members that are not nil or "", each as a whole: an empty list or map clears.
func (s *Servers) Update(ctx context.Context, name string, change *ServerChange) (*Done, error) {
	path, err := at("/api/servers/{}", name)
	if err != nil {
		return nil, err
	}
	return read[Done]("message")(s.c.change(ctx, http.MethodPut, path, change))
}

// Delete removes one; its process ends in the background.
func (s *Servers) Delete(ctx context.Context, name string) (*Done, error) {
	path, err := at("/api/servers/{}", name)
	if err != nil {
		return nil, err
	}
	return read[Done]("message")(s.c.change(ctx, http.MethodDelete, path, nil))
}

// Tools fetches the tools of one, after its start if it is starting.
func (s *Servers) Tools(ctx context.Context, name string) ([]ServerTool, error) {
	path, err := at("/api/servers/{}/tools", name)
	if err != nil {
		return nil, err
	}
	all, err := read[struct {
		Tools []ServerTool `json:"tools"`
	}]("tools")(s.c.get(ctx, path, nil))
	if err != nil {
		return nil, err
	}
	return all.Tools, nil
}

// BeginLogin begins a login at a remote server: its AuthorizationURL is to be opened in a browser, which ends at
// redirectURI, an http address of the person's own machine.
func (s *Servers) BeginLogin(ctx context.Context, name, redirectURI string) (*Login, error) {
	path, err := at("/api/servers/{}/login", name)
	if err != nil {
		return nil, err
	}
	body := map[string]string{"redirect_uri": redirectURI}
	return read[Login]("authorization_url")(s.c.change(ctx, http.MethodPost, path, body))
}

// FinishLogin takes what the browser came back with, within ten minutes.
func (s *Servers) FinishLogin(ctx context.Context, name string, reply *LoginReply) (*Done, error) {
	path, err := at("/api/servers/{}/login/finish", name)
	if err != nil {
		return nil, err
	}
	return read[Done]("message")(s.c.change(ctx, http.MethodPost, path, reply))
}

// Config is the definitions of all servers as a file on the machine of the gateway, in its data directory unless
// it is set otherwise.
type Config struct{ c *Client }

// Export writes the file.
func (f *Config) Export(ctx context.Context, path string) (*Done, error) {
	body := map[string]string{"filepath": path}
	return read[Done]("message")(f.c.change(ctx, http.MethodPost, "/api/config/export", body))
}

// Import replaces all servers by those of the file, or none where something is wrong with it.
func (f *Config) Import(ctx context.Context, path string) (*Done, error) {
	body := map[string]string{"filepath": path}
	return read[Done]("message")(f.c.change(ctx, http.MethodPost, "/api/config/import", body))
}

// read is bare for what send answers.
func read[T any](required string) func(*answer, error) (*T, error) {
	return func(a *answer, err error) (*T, error) {
		if err != nil {
			return nil, err
		}
		return bare[T](a, required)
	}
}
