package accounts

import (
	"slices"
	"time"
)

// deadTokens says which access tokens of an account were revoked. They are kept nowhere, so that
// it goes by when the provider made them: those from a moment on, up to the end of the
// containment. The zero deadTokens is none.
type deadTokens struct {
	Any   bool      `json:"any,omitempty"`  // there are some
	From  time.Time `json:"from,omitzero"`  // zero: from the first on
	Until time.Time `json:"until,omitzero"` // zero: there is no end yet
}

// with returns d with what a choice is on: those that were made since, or all where one of them
// was used.
func (d deadTokens) with(c Choice) deadTokens {
	used := slices.Contains(c.IDs, TokenID)
	if !used && c.Since.IsZero() {
		return d
	}
	from := c.Since.UTC().Truncate(time.Second) // in which providers count
	if used || d.Any && d.From.Before(from) {
		from = d.From
	}
	if used {
		from = time.Time{}
	}
	return deadTokens{Any: true, From: from}
}

// until returns d with its end, if it has none.
func (d deadTokens) until(now time.Time) deadTokens {
	if d.Any && d.Until.IsZero() {
		d.Until = now.Truncate(time.Second).Add(time.Second) // that second is of before
	}
	return d
}

// and returns those that are of either.
func (d deadTokens) and(o deadTokens) deadTokens {
	switch {
	case !o.Any:
		return d
	case !d.Any:
		return o
	}
	if o.From.Before(d.From) {
		d.From = o.From
	}
	if d.Until.IsZero() || o.Until.IsZero() {
		d.Until = time.Time{}
	} else if o.Until.After(d.Until) {
		d.Until = o.Until
	}
	return d
}

// dead reports whether the access token c is one of them.
func (d deadTokens) dead(c Credential) bool {
	return d.Any && !c.Created.Before(d.From) && (d.Until.IsZero() || c.Created.Before(d.Until))
}
