package main

import (
	"bytes"
	"context"
	netmail "net/mail"
	"slices"
	"strings"
	"time"

	"sallyport/internal/drill/sink"
)

const (
	// auditBack bounds the messages that are taken for an auditor, and the connections at once.
	auditBack = 100
	// auditLook is how often it is looked whether something came back.
	auditLook = 100 * time.Millisecond
)

// greets is the name by which the listener of --await greets.
func (a auditCommand) greets() string {
	if name := a.ourName(); name != "" {
		return name
	}
	return "auditor.invalid"
}

// isElsewhere reports whether a recipient is none of the auditor's own.
func (a auditCommand) isElsewhere(to string) bool {
	return !slices.ContainsFunc(a.Deliver, func(own string) bool { return strings.EqualFold(own, to) })
}

// awaited waits for a message that holds a mark, wherever in its beginning: error messages return what
// they are about.
func awaited(box *sink.Sink) func(context.Context, string, time.Duration) (from, subject string, came bool) {
	return func(ctx context.Context, mark string, most time.Duration) (from, subject string, came bool) {
		ctx, cancel := context.WithTimeout(ctx, most)
		defer cancel()
		for {
			for _, m := range box.Kept() {
				if bytes.Contains(m.Head, []byte(mark)) {
					return m.From, subjectOf(m.Head), true
				}
			}
			select {
			case <-ctx.Done():
				return "", "", false
			case <-time.After(auditLook):
			}
		}
	}
}

func subjectOf(head []byte) string {
	m, err := netmail.ReadMessage(bytes.NewReader(head))
	if err != nil {
		return ""
	}
	return m.Header.Get("Subject")
}
