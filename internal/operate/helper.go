package operate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/trace/query"
)

// HelpersMode is that of the helpers' socket: of its group alone, which the kernel holds
// everybody to who connects.
const HelpersMode = 0o660

// ListenHelpers binds the socket of those who help and are no administrators, for a group of
// this host, and makes its folder where it is missing. It replaces one that an earlier process
// left behind; call it only while holding the data folder. Only root, or a member of the group,
// can give it to the group.
func ListenHelpers(path string, group int) (net.Listener, error) {
	return listenGroup(path, group, DefaultSocketLimits().PerUser)
}

// listenGroup binds a socket for a group of this host, each of whom has perUser connections.
func listenGroup(path string, group, perUser int) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return listen(path, perUser, func() error {
		if err := os.Chown(path, -1, group); err != nil {
			return fmt.Errorf("%w: the server's user must belong to the group, to give it a socket", err)
		}
		return os.Chmod(path, HelpersMode)
	}, mayAsk)
}

// ServeHelpers answers the questions of helpers on ln until ctx is done.
func ServeHelpers(ctx context.Context, ln net.Listener, op *Operator, log *slog.Logger) error {
	return serveSocket(ctx, ln, HelpersHandler(op, uint32(os.Geteuid())), log)
}

// HelpersHandler serves the questions about trace, queue and status, and no other action. No
// message is read by it, and nothing is changed but that each question is a fact of the trace.
func HelpersHandler(op *Operator, owner uint32) http.Handler {
	mux := http.NewServeMux()
	answer(mux, "trace", askedFor(op, func(q TraceQuery) string { return "the trace" + q.about() }, op.Trace))
	listing(mux, "trace.summary", askedForEach(op, func(q TraceQuery) string { return "a summary of the trace" + q.about() }, op.TraceSummary))
	listing(mux, "queue.ls", askedForEach(op, func(q Select) string { return "the queue" + q.about() }, op.QueueList))
	listing(mux, "queue.summary", askedForEach(op, func(QueueSummary) string { return "a summary of the queue" }, op.QueueSummary))
	answer(mux, "queue.show", askedFor(op, func(q QueueRef) string { return "a message of the queue, " + mail.Printable(q.ID, 60) }, op.QueueShow))
	answer(mux, "status", askedFor(op, func(struct{}) string { return "the status" }, op.Status))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, &Error{CodeForbidden, "helpers may ask about the trace, the queue and the status; root and the server's own user may do everything else"})
	})
	return admitting(mux, owner, mayAsk)
}

// mayAsk refuses whom the kernel did not name. That he belongs to the group of helpers is what
// the socket's mode sees to.
func mayAsk(c Caller, _ uint32) *Error {
	if c.Known {
		return nil
	}
	return &Error{CodeForbidden, "the kernel does not say who asks"}
}

// askedFor records a question before it is answered: an answer of which nobody could learn is
// not given.
func askedFor[Q, A any](op *Operator, what func(Q) string, act func(context.Context, Caller, Q) (A, error)) func(context.Context, Caller, Q) (A, error) {
	return func(ctx context.Context, by Caller, q Q) (none A, err error) {
		if err := op.helped(ctx, by, what(q)); err != nil {
			return none, err
		}
		return act(ctx, by, q)
	}
}

func askedForEach[Q, A any](op *Operator, what func(Q) string, act func(context.Context, Caller, Q, func(A) error) error) func(context.Context, Caller, Q, func(A) error) error {
	return func(ctx context.Context, by Caller, q Q, fn func(A) error) error {
		if err := op.helped(ctx, by, what(q)); err != nil {
			return err
		}
		return act(ctx, by, q, fn)
	}
}

// RuleHelper is the rule of all that helpers ask.
const RuleHelper = "helper"

func (op *Operator) helped(ctx context.Context, by Caller, what string) error {
	if op.o.Write == nil {
		return errors.New("operate: questions cannot be recorded")
	}
	return op.o.Write(ctx, fact.Asked{At: op.o.Now(), Rule: RuleHelper, What: "a helper asked for " + what, Evidence: doneBy(by)}.Fact())
}

// about says in words what a question is about.
func (r TraceQuery) about() string {
	var words []string
	if r.Text != "" {
		// A pasted header or bounce holds what the trace must not: what it names is enough.
		if terms, err := query.ParseQuery(r.Text); err == nil {
			for _, t := range terms.Terms {
				if w := mail.Printable(t.Text, 100); !slices.Contains(words, w) {
					words = append(words, w)
				}
			}
		}
	}
	for _, k := range r.Kinds {
		words = append(words, "kind "+mail.Printable(string(k), 40))
	}
	for _, rule := range r.Rules {
		words = append(words, "rule "+mail.Printable(rule, 60))
	}
	return list(words)
}

func (r Select) about() string {
	var words []string
	for _, w := range append([]string{r.Account, r.Sender, r.Recipient, r.Domain}, r.IDs...) {
		if w != "" {
			words = append(words, mail.Printable(w, 100))
		}
	}
	return list(words)
}

// list names the first of many.
func list(words []string) string {
	const most = 5
	more := ""
	if len(words) > most {
		words, more = words[:most], " and more"
	}
	if len(words) == 0 {
		return ""
	}
	return " about " + strings.Join(words, ", ") + more
}
