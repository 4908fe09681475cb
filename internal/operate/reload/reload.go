// Package reload has a running server read its configuration again, and reports the outcome.
package reload

import (
	"context"

	"sallyport/internal/operate/call"
)

// Options are what Actions act on.
type Options struct {
	// Reload reads the configuration again; nil: there is none.
	Reload func(ctx context.Context, by string) (Reloaded, error)
}

// Actions are what an operator can do with a configuration.
type Actions struct{ o Options }

// New returns Actions.
func New(o Options) *Actions { return &Actions{o} }

// Client calls them.
type Client struct{ *call.Client }

// Routes lead to the actions.
func Routes(routes *call.Routes, op *Actions) { call.Answer(routes, "reload", op.Reload) }

// Reloaded is what became of a reload: in force, or refused for its faults.
type Reloaded struct {
	Generation int            `json:"generation"` // of the configuration in force; the start's is 1
	Changed    []ReloadChange `json:"changed"`    // keys that are in force as they stand now
	Restart    []ReloadChange `json:"restart"`    // keys that keep their former value until the next start
	Faults     []ReloadFault  `json:"faults,omitempty"`
	Warnings   []string       `json:"warnings,omitempty"` // what is in force, and should be looked at
}

// ReloadChange is a key that stands differently than before.
type ReloadChange struct {
	Key      string `json:"key"`
	Position string `json:"position"`
	Why      string `json:"why,omitempty"` // it needs a restart
}

// ReloadFault is one thing that is wrong with a configuration.
type ReloadFault struct {
	Position string `json:"position,omitempty"` // file:line:column
	Text     string `json:"text,omitempty"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
	Excerpt  string `json:"excerpt,omitempty"` // the source line with a caret
}

// Line returns one line: where, what, why and what to do.
func (f ReloadFault) Line() string {
	s := f.Message
	if f.Text != "" {
		s = f.Text + ": " + s
	}
	if f.Position != "" {
		s = f.Position + ": " + s
	}
	if f.Hint != "" {
		s += "; " + f.Hint
	}
	return s
}

// Reload makes the running server read its configuration again. A refused one is no
// error: the answer holds its faults.
func (op *Actions) Reload(ctx context.Context, by call.Caller, _ struct{}) (Reloaded, error) {
	if op.o.Reload == nil {
		return Reloaded{}, call.Refused("there is no server here to reload")
	}
	return op.o.Reload(ctx, by.Name())
}

// Reload calls Actions.Reload.
func (c Client) Reload(ctx context.Context) (Reloaded, error) {
	return call.Do[Reloaded](ctx, c.Client, "reload", struct{}{})
}
