package site

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/fact"
	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/internal/returnpath/srs"
	"sallyport/internal/trace/query"
	"sallyport/test/load"
)

// BoxOf returns the messages in a mailbox of local.test by their identifiers.
func BoxOf(disk vfs.FS, root, local string) (map[string][]string, error) {
	dir := path.Join(root, "local.test", local, "new")
	names, err := disk.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	found := map[string][]string{}
	for _, name := range names {
		f, err := disk.Open(path.Join(dir, name))
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		text := string(load.Wire(b))
		id := Identifier(text)
		found[id] = append(found[id], text)
	}
	return found, err
}

// Arrived returns the messages at the foreign domain by identifier and recipient,
// from a number on.
func Arrived(sink *load.Sink, from, to int) map[string][]string {
	found := map[string][]string{}
	for _, r := range sink.Kept()[from:to] {
		for _, rcpt := range r.To {
			key := Identifier(string(r.Octets)) + " " + rcpt
			found[key] = append(found[key], string(r.Octets))
		}
	}
	return found
}

// Identifier is what a message of Message calls itself.
func Identifier(text string) string {
	_, rest, _ := strings.Cut(text, "\r\n"+load.IDField)
	id, _, _ := strings.Cut(rest, "\r\n")
	return id
}

// Exact reports why got is not sent below nothing but the fields that a server
// adds. RFC 5321 §4.4.
func Exact(got, sent string) error {
	head, ok := strings.CutSuffix(got, sent)
	if !ok {
		return fmt.Errorf("the message is not as it was sent: %d octets, sent were %d", len(got), len(sent))
	}
	received := 0
	for line := range strings.Lines(head) {
		field, _, _ := strings.Cut(line, ":")
		switch {
		case field == "Received":
			received++
		case field == "Return-Path", field == "Delivered-To", field == srs.MarkField, line[0] == ' ', line[0] == '\t':
		default:
			return fmt.Errorf("a line of unknown origin above the message: %q", line)
		}
	}
	if received != 1 {
		return fmt.Errorf("%d Received fields were added, want 1", received)
	}
	return nil
}

// DemandFacts asks the trace about a message for facts of these kinds.
func DemandFacts(t *testing.T, n *node.Node, id string, kinds ...fact.Kind) {
	t.Helper()
	answer, err := n.Operator().Trace(t.Context(), operate.Self(), operate.TraceQuery{Text: id})
	Must(t, err)
	for _, k := range kinds {
		if !slices.ContainsFunc(answer.Entries, func(e query.Entry) bool { return e.Fact.Kind == k && e.Fact.Queue.String() == id }) {
			t.Errorf("the trace has no fact %q of %s", k, id)
		}
	}
}
