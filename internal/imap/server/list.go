package server

import (
	"context"
	"strings"

	imapwire "sallyport/internal/imap/wire"
	"sallyport/internal/mailbox"
)

// create answers CREATE. RFC 9051 §6.3.4, RFC 6154 §3.
func (c *conn) create(ctx context.Context, a imapwire.Create) result {
	use := mailbox.UseNone
	for _, word := range a.Use {
		u := useOf(word)
		if use != mailbox.UseNone || !u.Valid() {
			return no("USEATTR", "there is no such use, or a mailbox has one already")
		}
		use = u
	}
	if err := c.user().Create(ctx, a.Name, use); err != nil {
		return c.failed(err)
	}
	s, err := c.user().Status(ctx, a.Name, false)
	if err != nil { // somebody removed it at once
		return ok("created")
	}
	return okCode("MAILBOXID ("+mailboxID(s.UIDValidity)+")", "created") // RFC 8474 §4.1
}

// useOf returns the use that a word names, in any letters.
func useOf(word string) mailbox.Use {
	for _, u := range []mailbox.Use{mailbox.UseArchive, mailbox.UseDrafts, mailbox.UseJunk, mailbox.UseSent, mailbox.UseTrash} {
		if strings.EqualFold(word, `\`+string(u)) {
			return u
		}
	}
	return mailbox.Use(word)
}

// entry is a mailbox as LIST tells it.
type entry struct {
	mailbox.Folder
	exists    bool // the account has it, or others below it
	childInfo bool // one below it is subscribed and was not listed itself
}

// list answers LIST. RFC 9051 §6.3.9, RFC 5258, RFC 5819, RFC 6154.
func (c *conn) list(ctx context.Context, a imapwire.List) result {
	if !a.Extended && a.Patterns[0] == "" {
		// RFC 9051 §6.3.9: what separates levels.
		c.Line(`* LIST (\Noselect) "/" ""`)
		return ok("listed")
	}
	all, err := c.entries(ctx, a.Subscribed)
	if err != nil {
		return c.failed(err)
	}
	patterns := make([]string, 0, len(a.Patterns))
	for _, p := range a.Patterns {
		patterns = append(patterns, inboxed(a.Reference+p))
	}
	matches := func(name string) bool {
		for _, p := range patterns {
			if imapwire.Matches(p, name, '/') {
				return true
			}
		}
		return false
	}
	if a.RecursiveMatch {
		mark(all, a, matches)
	}
	for i := range all {
		if c.Lost() != nil || c.Ended() {
			break
		}
		e := &all[i]
		if !matches(e.Name) || !(selected(e, a) || e.childInfo) {
			continue
		}
		c.tellListed(e, a)
		if len(a.ReturnStatus) > 0 && e.exists && !e.Missing {
			if res := c.statusOf(ctx, e.Name, a.ReturnStatus); res.status != "OK" {
				continue // RFC 5819 §2: it went away meanwhile
			}
		}
	}
	return ok("listed")
}

// inboxed: INBOX matches in any letters.
func inboxed(pattern string) string {
	if len(pattern) >= 5 && strings.EqualFold(pattern[:5], "INBOX") {
		return "INBOX" + pattern[5:]
	}
	return pattern
}

// entries are the mailboxes of the account; with subscribed, names that are subscribed and are
// none any more as well, and those above them. RFC 9051 §6.3.9.1.
func (c *conn) entries(ctx context.Context, subscribed bool) (all []entry, err error) {
	folders, err := c.user().Folders(ctx)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, f := range folders {
		there[f.Name] = true
		all = append(all, entry{Folder: f, exists: true})
	}
	if !subscribed {
		return all, nil
	}
	for _, name := range c.user().Subscriptions() { // in order: what is above others comes first
		for is := true; name != "" && !there[name]; is = false {
			there[name] = true
			all = append(all, entry{Folder: mailbox.Folder{Name: name, Missing: true, Subscribed: is}})
			name = name[:max(strings.LastIndexByte(name, '/'), 0)]
		}
	}
	return all, nil
}

// selected reports whether a mailbox is among those that the selection options ask for.
func selected(e *entry, a imapwire.List) bool {
	switch {
	case a.Subscribed && !e.Subscribed, a.SpecialUse && e.Use == mailbox.UseNone:
		return false
	case e.Missing:
		// A level that is there for others only: LIST tells it so that a client may go down.
		return a.Subscribed || e.exists
	}
	return true
}

// mark notes which mailboxes have one below them that is selected, but is not listed by itself.
// RFC 5258 §3.5.
func mark(all []entry, a imapwire.List, matches func(string) bool) {
	at := map[string]int{}
	for i := range all {
		at[all[i].Name] = i
	}
	for i := range all {
		if !selected(&all[i], a) || matches(all[i].Name) {
			continue
		}
		for name := all[i].Name; ; {
			cut := strings.LastIndexByte(name, '/')
			if cut < 0 {
				break
			}
			name = name[:cut]
			if k, there := at[name]; there {
				all[k].childInfo = true
			}
		}
	}
}

// tellListed tells one mailbox. RFC 9051 §7.3.1.
func (c *conn) tellListed(e *entry, a imapwire.List) {
	var words []string
	switch {
	case e.Missing && a.Extended:
		words = append(words, `\NonExistent`)
	case e.Missing:
		words = append(words, `\Noselect`)
	}
	if e.exists {
		words = append(words, map[bool]string{true: `\HasChildren`, false: `\HasNoChildren`}[e.Children])
	}
	if e.Subscribed && (a.Subscribed || a.ReturnSubscribed) {
		words = append(words, `\Subscribed`)
	}
	if e.Use != mailbox.UseNone {
		words = append(words, `\`+string(e.Use))
	}
	b := append(imapwire.AppendWords([]byte("* LIST "), words), ` "/" `...)
	b = imapwire.AppendMailbox(b, e.Name, c.enabled.utf8)
	if e.childInfo {
		b = append(b, ` (CHILDINFO ("SUBSCRIBED"))`...)
	}
	c.Write(append(b, "\r\n"...))
}

// lsub answers LSUB. RFC 3501 §6.3.9: where % does not reach a name that is subscribed, its
// parent is told.
func (c *conn) lsub(_ context.Context, a imapwire.List) result {
	pattern := inboxed(a.Reference + a.Patterns[0])
	told := map[string]bool{}
	for _, name := range c.user().Subscriptions() {
		attributes := "()"
		for !imapwire.Matches(pattern, name, '/') {
			cut := strings.LastIndexByte(name, '/')
			if cut < 0 || !strings.HasSuffix(pattern, "%") {
				name = ""
				break
			}
			name, attributes = name[:cut], `(\Noselect)`
		}
		if name == "" || told[name] {
			continue
		}
		told[name] = true
		b := append([]byte("* LSUB "+attributes), ` "/" `...)
		c.Write(append(imapwire.AppendMailbox(b, name, c.enabled.utf8), "\r\n"...))
	}
	return ok("listed")
}

// status answers STATUS. RFC 9051 §6.3.11.
func (c *conn) status(ctx context.Context, a imapwire.Status) result {
	return c.statusOf(ctx, a.Name, a.Items)
}

// statusOf tells what is asked of one mailbox.
func (c *conn) statusOf(ctx context.Context, name string, items []string) result {
	size := false
	for _, item := range items {
		switch item {
		case "SIZE":
			size = true
		case "HIGHESTMODSEQ": // RFC 7162 §3.1.7
			c.condstore(ctx)
		}
	}
	s, err := c.user().Status(ctx, name, size)
	if err != nil {
		return c.failed(err)
	}
	var out []string
	for _, item := range items {
		value := ""
		switch item {
		case "MESSAGES":
			value = decimal(s.Messages)
		case "RECENT":
			value = decimal(s.Recent)
		case "UNSEEN":
			value = decimal(s.Unseen)
		case "DELETED":
			value = decimal(s.Deleted)
		case "UIDNEXT":
			value = decimal(s.UIDNext)
		case "UIDVALIDITY":
			value = decimal(s.UIDValidity)
		case "SIZE": // RFC 8438
			value = decimal(s.Size)
		case "DELETED-STORAGE": // RFC 9208 §4.1.4
			value = decimal(s.DeletedOctets)
		case "HIGHESTMODSEQ":
			value = decimal(s.HighestModSeq)
		case "APPENDLIMIT": // RFC 7889
			value = decimal(c.o.Limits.MessageOctets)
		case "MAILBOXID": // RFC 8474
			value = "(" + mailboxID(s.UIDValidity) + ")"
		default:
			return bad("unknown item of STATUS")
		}
		out = append(out, item+" "+value)
	}
	b := imapwire.AppendMailbox([]byte("* STATUS "), name, c.enabled.utf8)
	b = append(b, ' ')
	c.Write(append(imapwire.AppendWords(b, out), "\r\n"...))
	return ok("that is all")
}
