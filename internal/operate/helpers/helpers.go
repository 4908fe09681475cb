// Package helpers lets those who help, and are no administrators, ask: each of their questions is a fact of the trace before it
// is answered.
package helpers

import (
	"context"
	"errors"
	"strings"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/operate/call"
)

// RuleHelper is the rule of all that helpers ask.
const RuleHelper = "helper"

// Desk is where helpers ask. All fields are needed.
type Desk struct {
	Now   func() time.Time
	Write call.Record
}

// Refusal is what is said to helpers who want more.
func Refusal() *call.Error {
	return call.Forbidden("helpers may ask about the trace, the queue and the status; root and the server's own user may do everything else")
}

// Answer serves a question that has one answer. What is asked for is said in words.
func Answer[Q, A any](routes *call.Routes, name string, d Desk, what func(Q) string, act call.Action[Q, A]) {
	call.Answer(routes, name, func(ctx context.Context, by call.Caller, q Q) (none A, err error) {
		if err := d.asked(ctx, by, what(q)); err != nil {
			return none, err
		}
		return act(ctx, by, q)
	})
}

// Listing serves a question that has many.
func Listing[Q, A any](routes *call.Routes, name string, d Desk, what func(Q) string, act call.Listed[Q, A]) {
	call.Listing(routes, name, func(ctx context.Context, by call.Caller, q Q, fn func(A) error) error {
		if err := d.asked(ctx, by, what(q)); err != nil {
			return err
		}
		return act(ctx, by, q, fn)
	})
}

// asked records a question before it is answered: an answer of which nobody could learn is
// not given.
func (d Desk) asked(ctx context.Context, by call.Caller, what string) error {
	if d.Write == nil {
		return errors.New("operate: questions cannot be recorded")
	}
	return d.Write(ctx, fact.Asked{At: d.Now(), Rule: RuleHelper, What: "a helper asked for " + what, Evidence: call.DoneBy(by)}.Fact())
}

// Refuse refuses every other action, and records who asked for which.
func Refuse(routes *call.Routes, d Desk) {
	routes.Telling(Refusal(), func(ctx context.Context, by call.Caller, action string) {
		_ = d.asked(ctx, by, action+", and was refused") // as he is where that cannot be recorded
	})
}

// mostAsked is how many of the words that a question is about the trace keeps.
const mostAsked = 5

// About names the first of many words that a question is about; "": it is about everything.
func About(words []string) string {
	more := ""
	if len(words) > mostAsked {
		words, more = words[:mostAsked], " and more"
	}
	if len(words) == 0 {
		return ""
	}
	return " about " + strings.Join(words, ", ") + more
}
