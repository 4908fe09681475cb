package server

import (
	"context"
	"errors"
	"slices"
	"strings"

	"sallyport/internal/door/textconn"
	imapwire "sallyport/internal/imap/wire"
	"sallyport/internal/mailbox"
)

// box is the mailbox that is selected.
type box struct {
	view
	mb       *mailbox.Mailbox
	readOnly bool
	keywords map[string]bool // that the client was told of as FLAGS
	saved    []mailbox.UID   // what the last search saved. RFC 5182
}

// leave ends the selection.
func (c *conn) leave() {
	if c.box != nil {
		c.box.mb.Close()
		c.box = nil
	}
}

// news tells what others changed, as far as it may be told within a command. EXPUNGE is not
// told while a command is answered that has sequence numbers, since the client would not know
// whether it sent the next one before it heard. RFC 9051 §7.5.1.
func (c *conn) news(ctx context.Context, cmd imapwire.Command) {
	expunge := true
	switch cmd.Verb {
	case "FETCH", "STORE", "SEARCH", "SORT", "THREAD":
		expunge = cmd.UID
	case "NOOP", "CHECK":
		c.look(ctx)
		if c.box == nil {
			return
		}
	}
	c.tell(ctx, expunge)
}

// look takes in what other programs did to the files.
func (c *conn) look(ctx context.Context) {
	if _, err := c.box.mb.Refresh(ctx); errors.Is(err, mailbox.ErrEnded) || errors.Is(err, mailbox.ErrNoSuchMailbox) {
		c.lost()
	}
}

// lost ends the session: its mailbox is not there any more. RFC 9051 §7.1 has no other word for that.
func (c *conn) lost() {
	c.Interrupt(textconn.Ending{Why: EndLost, Text: "the mailbox was removed or renamed"})
}

// tell brings the client up to date; expunge says that it may be told of messages that are gone.
func (c *conn) tell(ctx context.Context, expunge bool) {
	b := c.box
	changes := b.mb.Since(b.told)
	if fresh(b.msgs, changes) {
		// By looking, this session becomes the one to which they are recent, before it tells of them.
		if c.look(ctx); c.Ended() {
			return
		}
		changes = b.mb.Since(b.told)
	}
	if changes.Forgotten {
		changes = difference(b.msgs, b.mb.State())
	}
	changed, added := b.take(changes)
	switch {
	case expunge:
		c.tellGone(b.drop())
	case len(b.gone) > c.o.Limits.Pending:
		c.Interrupt(textconn.Ending{Why: EndErrors, Text: "the mailbox has changed too much to go on"})
	}
	if added > 0 {
		c.tellAdded()
	}
	var places []int
	for _, u := range changed {
		if i, there := place(b.msgs, u); there {
			places = append(places, i)
		}
	}
	c.tellKeywords(places, added)
	for _, i := range places {
		c.tellFlags(i, c.enabled.qresync)
	}
}

// fresh reports whether messages came.
func fresh(known []mailbox.Message, c mailbox.Changes) bool {
	n := len(c.Messages)
	return n > 0 && (len(known) == 0 || c.Messages[n-1].UID > known[len(known)-1].UID)
}

// tellGone tells which messages are gone, the last one first, so that each number is the one
// that the client has at that moment; or their UIDs. RFC 9051 §7.5.1, RFC 7162 §3.2.10, RFC
// 9586 §3.
func (c *conn) tellGone(places []int, uids []mailbox.UID) {
	if len(places) == 0 {
		return
	}
	c.box.saved = slices.DeleteFunc(c.box.saved, func(u mailbox.UID) bool { // RFC 5182 §2.1
		_, gone := slices.BinarySearch(uids, u)
		return gone
	})
	if c.enabled.qresync || c.enabled.uidOnly {
		numbers := make([]uint32, 0, len(uids))
		for _, u := range uids {
			numbers = append(numbers, uint32(u))
		}
		c.Write(append(imapwire.AppendSet([]byte("* VANISHED "), numbers), "\r\n"...))
		return
	}
	for _, i := range slices.Backward(places) {
		c.Line("* ", decimal(i+1), " EXPUNGE")
	}
}

// tellAdded tells how many messages there are. \Recent is no part of IMAP4rev2.
func (c *conn) tellAdded() {
	c.Line("* ", decimal(len(c.box.msgs)), " EXISTS")
	if !c.enabled.rev2 {
		c.Line("* ", decimal(c.box.recent()), " RECENT")
	}
}

func (b *box) recent() (count int) {
	if !b.mb.AnyRecent() {
		return 0
	}
	for i := range b.msgs {
		if b.mb.Recent(b.msgs[i].UID) {
			count++
		}
	}
	return count
}

// tellKeywords tells the flags of the mailbox again when a message has a keyword that the
// client was not told of. RFC 9051 §7.3.5.
func (c *conn) tellKeywords(changed []int, added int) {
	fresh := false
	for _, i := range changed {
		fresh = c.box.learn(c.box.msgs[i].Flags) || fresh
	}
	for i := len(c.box.msgs) - added; i < len(c.box.msgs); i++ {
		fresh = c.box.learn(c.box.msgs[i].Flags) || fresh
	}
	if fresh {
		c.tellMailboxFlags()
	}
}

// learn notes the keywords of a message, and reports whether one was new.
func (b *box) learn(f mailbox.Flags) (fresh bool) {
	for _, k := range f.Keywords() {
		if len(b.keywords) < maxKeywords && !b.keywords[k] {
			b.keywords[k], fresh = true, true
		}
	}
	return fresh
}

// maxKeywords is how many keywords of a mailbox are told as its flags.
const maxKeywords = 1000

// tellMailboxFlags: RFC 9051 §7.3.5, and PERMANENTFLAGS of §7.1.
func (c *conn) tellMailboxFlags() {
	words := make([]string, 0, len(c.box.keywords))
	for k := range c.box.keywords {
		words = append(words, k)
	}
	slices.Sort(words)
	all := strings.Join(append(imapwire.SystemFlags(), words...), " ")
	c.Line("* FLAGS (", all, ")")
	if c.box.readOnly {
		c.Line("* OK [PERMANENTFLAGS ()] nothing can be changed here")
		return
	}
	c.Line("* OK [PERMANENTFLAGS (", all, ` \*)] flags that stay`)
}

// appendFlags writes the flags of a message.
func (b *box) appendFlags(out []byte, m *mailbox.Message, rev2 bool) []byte {
	words := systemWords(m.Flags.System)
	if !rev2 && b.mb.Recent(m.UID) {
		words = append(words, imapwire.FlagRecent)
	}
	return imapwire.AppendWords(out, append(words, m.Flags.Keywords()...))
}

// systemFlags pairs the flags with their words.
var systemFlags = []struct {
	flag mailbox.System
	word string
}{
	{mailbox.Answered, imapwire.FlagAnswered}, {mailbox.Flagged, imapwire.FlagFlagged}, {mailbox.Deleted, imapwire.FlagDeleted},
	{mailbox.Seen, imapwire.FlagSeen}, {mailbox.Draft, imapwire.FlagDraft},
}

func systemWords(s mailbox.System) (out []string) {
	for _, f := range systemFlags {
		if s&f.flag != 0 {
			out = append(out, f.word)
		}
	}
	return out
}

// flagsOf makes flags of words, of which those with a backslash are known.
func flagsOf(words []string) mailbox.Flags {
	var system mailbox.System
	var keywords []string
next:
	for _, w := range words {
		for _, f := range systemFlags {
			if w == f.word {
				system |= f.flag
				continue next
			}
		}
		keywords = append(keywords, w)
	}
	return mailbox.NewFlags(system, keywords...)
}

// tellFlags tells the flags of one message, and its mod-sequence where the client keeps those.
// RFC 7162 §3.1.4 and §3.2.4: with QRESYNC, its UID too.
func (c *conn) tellFlags(i int, uid bool) {
	m := &c.box.msgs[i]
	c.Out = append(c.Out, c.head(i, uid)...)
	c.Out = c.box.appendFlags(append(c.Out, "FLAGS "...), m, c.enabled.rev2)
	if c.enabled.condstore {
		c.Out = append(c.Out, " MODSEQ ("+decimal(m.ModSeq)+")"...)
	}
	c.Line(")")
}

// places returns where the messages of a set stand. RFC 9051 §9: a sequence number that is
// not in use is a fault, a UID is not.
func (c *conn) places(set imapwire.Set, uid bool) (places []int, res result, good bool) {
	b := c.box
	if set.Saved {
		for _, u := range b.saved {
			if i, there := place(b.msgs, u); there {
				places = append(places, i)
			}
		}
		return places, res, true
	}
	ranges := set.Within(largest(b.msgs, uid))
	if !uid && (len(b.msgs) == 0 || int(ranges[len(ranges)-1].To) > len(b.msgs)) {
		return nil, bad("a sequence number is not in use"), false
	}
	return numbered(b.msgs, ranges, uid), res, true
}

// uids returns the UIDs at places.
func (b *box) uids(places []int) []mailbox.UID {
	out := make([]mailbox.UID, 0, len(places))
	for _, i := range places {
		out = append(out, b.msgs[i].UID)
	}
	return out
}
