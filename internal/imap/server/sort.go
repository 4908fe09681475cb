package server

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	imapwire "sallyport/internal/imap/wire"
	"sallyport/internal/message"
	"sallyport/internal/message/structure"
)

// sortable is what a message is put in order by.
type sortable struct {
	place         int
	arrival, sent time.Time
	size          int64
	subject       string // its base. RFC 5256 §2.1
	from, to, cc  string
}

// sort puts the places in the order that the keys ask for. Among equals the order is that of
// the mailbox. RFC 5256 §3.
func (s *searching) sort(keys []imapwire.SortKey, found []int) error {
	all := make([]sortable, 0, len(found))
	for _, i := range found {
		one, err := s.sortable(i, keys)
		if err != nil {
			return err
		}
		all = append(all, one)
	}
	slices.SortStableFunc(all, func(a, b sortable) int {
		for _, k := range keys {
			d := a.compare(&b, k.By)
			if k.Reverse {
				d = -d
			}
			if d != 0 {
				return d
			}
		}
		return cmp.Compare(a.place, b.place)
	})
	for i := range all {
		found[i] = all[i].place
	}
	return nil
}

func (a *sortable) compare(b *sortable, by string) int {
	switch by {
	case "ARRIVAL":
		return a.arrival.Compare(b.arrival)
	case "DATE":
		return a.sent.Compare(b.sent)
	case "SIZE":
		return cmp.Compare(a.size, b.size)
	case "SUBJECT":
		return strings.Compare(a.subject, b.subject)
	case "FROM":
		return strings.Compare(a.from, b.from)
	case "TO":
		return strings.Compare(a.to, b.to)
	}
	return strings.Compare(a.cc, b.cc)
}

// sortable reads what the keys need of a message. One that is gone, or cannot be read, stands where one
// without anything would.
func (s *searching) sortable(i int, keys []imapwire.SortKey) (sortable, error) {
	out := sortable{place: i}
	end, err := s.f.user().Turn(s.f.ctx)
	if err != nil {
		return out, err
	}
	defer end()
	c := s.candidate(i)
	defer c.close()
	for _, k := range keys {
		var err error
		switch k.By {
		case "ARRIVAL":
			out.arrival, err = c.came()
		case "SIZE":
			out.size, err = s.f.box.mb.Size(s.f.ctx, c.m.UID)
		default:
			err = out.read(c)
		}
		if err != nil && !lost(err) {
			return out, err
		}
	}
	return out, nil
}

func (a *sortable) read(c *candidate) error {
	e, err := c.envelope()
	if err != nil {
		return err
	}
	sent, known := e.Time()
	if !known { // RFC 5256 §2.2
		if sent, err = c.came(); err != nil {
			return err
		}
	}
	a.sent = sent
	a.subject, _ = baseSubject(message.DecodeText(e.Subject.Value))
	a.from, a.to, a.cc = firstMailbox(e.From), firstMailbox(e.To), firstMailbox(e.Cc)
	return nil
}

// firstMailbox returns the local part of the first address. RFC 5256 §3.
func firstMailbox(list []structure.Address) string {
	for _, a := range list {
		if a.Kind != structure.GroupEnd {
			return folded(a.Mailbox)
		}
	}
	return ""
}

// folded is a text as it is compared: RFC 5051 §2, i;unicode-casemap.
func folded(text string) string { return norm.NFKD.String(strings.ToUpper(text)) }

// baseSubject takes off what programs put around a subject, and reports whether there was
// anything that says that it is a reply or was forwarded. It takes time that grows with the
// text: each step takes octets off. RFC 5256 §2.1.
func baseSubject(text string) (base string, reply bool) {
	text = folded(strings.Join(strings.Fields(text), " "))
	for {
		for { // step 2
			cut, found := strings.CutSuffix(text, "(FWD)")
			if !found {
				break
			}
			text, reply = strings.TrimRight(cut, " "), true
		}
		var lead bool
		if text, lead = withoutLeaders(text); lead {
			reply = true
		}
		inner, forwarded := strings.CutPrefix(text, "[FWD:") // step 6
		if !forwarded || !strings.HasSuffix(inner, "]") {
			return text, reply
		}
		text, reply = strings.TrimSpace(inner[:len(inner)-1]), true
	}
}

// withoutLeaders takes "Re:", "Fwd:" and marks in brackets off the front, and looks at each mark
// once, however many there are. Steps 3 to 5.
func withoutLeaders(text string) (rest string, reply bool) {
	for {
		text = strings.TrimLeft(text, " ")
		last, after := text, text // last: the rest with one mark left, for where nothing is behind it
		for {
			cut, found := withoutBlob(after)
			if !found {
				break
			}
			last, after = after, cut
		}
		cut, found := withoutReply(after)
		switch {
		case found:
			text, reply = cut, true
			continue
		case after == "":
			return last, reply
		}
		return after, reply
	}
}

// withoutBlob takes "[mark] " off.
func withoutBlob(text string) (rest string, found bool) {
	inner, found := strings.CutPrefix(text, "[")
	end := strings.IndexAny(inner, "[]")
	if !found || end < 0 || inner[end] != ']' {
		return text, false
	}
	return strings.TrimLeft(inner[end+1:], " "), true
}

// withoutReply takes "Re [mark]:" off.
func withoutReply(text string) (rest string, found bool) {
	for _, word := range []string{"RE", "FWD", "FW"} {
		after, has := strings.CutPrefix(text, word)
		if !has {
			continue
		}
		after, _ = withoutBlob(strings.TrimLeft(after, " "))
		if after, has = strings.CutPrefix(after, ":"); has {
			return after, true
		}
	}
	return text, false
}
