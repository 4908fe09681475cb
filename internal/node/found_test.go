package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/returnpath/srs"
	"sallyport/test/load"
)

// mailbox returns the messages in a mailbox of local.test by their identifiers.
func boxOf(disk vfs.FS, root, local string) (map[string][]string, error) {
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
		id := identifier(text)
		found[id] = append(found[id], text)
	}
	return found, err
}

// arrived returns the messages at the foreign domain by identifier and recipient,
// from a number on.
func arrived(sink *load.Sink, from, to int) map[string][]string {
	found := map[string][]string{}
	for _, r := range sink.Kept()[from:to] {
		for _, rcpt := range r.To {
			key := identifier(string(r.Octets)) + " " + rcpt
			found[key] = append(found[key], string(r.Octets))
		}
	}
	return found
}

func identifier(text string) string {
	_, rest, _ := strings.Cut(text, "\r\n"+load.IDField)
	id, _, _ := strings.Cut(rest, "\r\n")
	return id
}

// exact reports why got is not sent below nothing but the fields that a server
// adds. RFC 5321 §4.4.
func exact(got, sent string) error {
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
