package maildir

import (
	"path/filepath"
	"slices"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
)

// letter is the one copy of a message that a mailbox gets, whichever addresses lead to
// it: details, aliases, groups, a catch-all. Else one small message with a thousand
// details of one address would be a thousand files.
type letter struct {
	box  string // the folder
	of   mail.Address
	name string // of the file
	// octets of the file; -1: it is not known.
	octets int64
	to     []nexthop.Recipient
	at     []int // their places in the job
}

// copies groups the recipients of a job by mailbox, in their order. Whoever has none is in
// no group.
func (t *Target) copies(j nexthop.Job) []*letter {
	var all []*letter
	of := map[string]*letter{}
	for i, to := range j.Recipients {
		whose := t.holder(to.Mailbox, j.Received)
		box, ok := t.Mailbox(whose)
		if !ok {
			continue
		}
		if j.Junk {
			box = filepath.Join(box, t.junkOf(box))
		}
		c := of[box]
		if c == nil {
			c = &letter{box: box, of: whose, octets: -1, name: t.fileName(j.ID, to.Mailbox)}
			of[box] = c
			all = append(all, c)
		}
		c.to, c.at = append(c.to, to), append(c.at, i)
	}
	return all
}

// junkOf returns how the folder for junk of a mailbox is called.
func (t *Target) junkOf(box string) string {
	if t.junk == nil {
		return junkFolder
	}
	if name := t.junk(box); isFolder(name) {
		return name
	}
	return junkFolder
}

// head returns the fields of this delivery. RFC 5321 §4.4: the server that makes the
// final delivery puts Return-Path at the beginning of the message. Delivered-To names
// each address by which the message came here, in the order of the envelope, up to a
// bound: a program that reads only the first finds what it would find with one
// recipient, and a filter that looks for a detail finds it.
func (t *Target) head(j nexthop.Job, c *letter) []byte {
	b := []byte("Return-Path: " + j.Envelope.From.String() + "\n")
	var named []string
	for _, to := range c.to {
		if a := to.Address.String(); len(named) < t.limits.Named && !slices.Contains(named, a) {
			named = append(named, a)
			b = append(b, "Delivered-To: "+a+"\n"...)
		}
	}
	return b
}

// names returns the names under which the file may lie already.
func (t *Target) names(j nexthop.Job, c *letter) map[string]bool {
	names := map[string]bool{c.name: true}
	for _, to := range c.to {
		names[t.formerName(j.ID, to)] = true
	}
	return names
}
