package operate

import "context"

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
func (op *Operator) Reload(ctx context.Context, by Caller, _ struct{}) (Reloaded, error) {
	if op.o.Reload == nil {
		return Reloaded{}, &Error{CodeInvalid, "there is no server here to reload"}
	}
	return op.o.Reload(ctx, "uid "+utoa(by.UID))
}

// Reload calls Operator.Reload.
func (c *Client) Reload(ctx context.Context) (Reloaded, error) {
	return call[Reloaded](ctx, c, "reload", struct{}{})
}
