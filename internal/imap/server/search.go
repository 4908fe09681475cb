package server

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/encoding"

	imapwire "sallyport/internal/imap/wire"
	"sallyport/internal/mailbox"
	"sallyport/internal/message"
	"sallyport/internal/message/structure"
)

// search answers SEARCH, SORT and THREAD. RFC 9051 §6.4.4, RFC 5256.
func (c *conn) search(ctx context.Context, a imapwire.Search, cmd imapwire.Command) result {
	key, known := read(a.Key, a.Charset)
	if !known {
		if a.Save { // RFC 5182 §2.1
			c.box.saved = nil
		}
		return no("BADCHARSET (UTF-8 US-ASCII)", "the charset is not known here")
	}
	if a.Key = key; a.Key.ModSeq() {
		c.condstore(ctx)
	}
	s := &searching{f: &fetching{conn: c, ctx: ctx}, now: c.o.Now(), reads: cost(a.Key) > 0}
	matches := s.matcher(a.Key)
	var found []int
	for i := range c.box.msgs {
		if c.Ended() || ctx.Err() != nil {
			return result{status: "-"}
		}
		hit, err := s.matches(matches, i)
		if err != nil {
			if a.Save { // RFC 5182 §2.1
				c.box.saved = nil
			}
			return c.failed(err)
		}
		if hit {
			found = append(found, i)
		}
	}
	if a.Save {
		c.box.saved = c.save(a, found)
	}
	switch {
	case a.Thread != "":
		return s.thread(a.Thread, found, cmd.UID)
	case a.Sort != nil:
		if err := s.sort(a.Sort, found); err != nil {
			return c.failed(err)
		}
	}
	c.tellFound(a, cmd, found)
	return ok("searched")
}

// read returns a key with its texts in UTF-8; false: the charset that they are in is not known. RFC 9051
// §6.4.4
func read(k imapwire.Key, charset string) (imapwire.Key, bool) {
	e, known := message.Charset(charset)
	switch {
	case charset == "", known && e == encoding.Nop:
		return k, true
	case !known:
		return k, false
	}
	return inUTF8(k, charset), true
}

func inUTF8(k imapwire.Key, charset string) imapwire.Key {
	switch k.Op {
	case imapwire.KeyHeader, imapwire.KeyBody, imapwire.KeyText:
		k.Text = message.DecodeOctets(charset, k.Text)
	}
	k.Keys = slices.Clone(k.Keys)
	for i := range k.Keys {
		k.Keys[i] = inUTF8(k.Keys[i], charset)
	}
	return k
}

// save returns what $ stands for from now on. RFC 5182 §2.1: with MIN or MAX alone, only those.
func (c *conn) save(a imapwire.Search, found []int) []mailbox.UID {
	if len(found) > 0 && (a.Min || a.Max) && !a.All && !a.Count {
		var few []int
		if a.Min {
			few = append(few, found[0])
		}
		if a.Max && (!a.Min || len(found) > 1) {
			few = append(few, found[len(found)-1])
		}
		return c.box.uids(few)
	}
	return c.box.uids(found)
}

// tellFound tells what was found: SORT in its order, SEARCH in that of the mailbox.
func (c *conn) tellFound(a imapwire.Search, cmd imapwire.Command, found []int) {
	numbers := make([]uint32, 0, len(found))
	var modseq mailbox.ModSeq
	for _, i := range found {
		n := uint32(i + 1)
		if cmd.UID {
			n = uint32(c.box.msgs[i].UID)
		}
		numbers = append(numbers, n)
		modseq = max(modseq, c.box.msgs[i].ModSeq)
	}
	if a.Extended || c.enabled.rev2 && cmd.Verb == "SEARCH" {
		c.tellESearch(a, cmd, found, numbers, modseq)
		return
	}
	b := []byte("* " + cmd.Verb)
	for _, n := range numbers {
		b = append(b, " "+decimal(n)...)
	}
	if a.Key.ModSeq() && len(found) > 0 { // RFC 7162 §3.1.5
		b = append(b, " (MODSEQ "+decimal(modseq)+")"...)
	}
	c.Write(append(b, "\r\n"...))
}

// tellESearch: RFC 4731, RFC 7162 §3.1.10. In IMAP4rev2 there is no other answer: RFC 9051 §7.3.4.
func (c *conn) tellESearch(a imapwire.Search, cmd imapwire.Command, found []int, numbers []uint32, modseq mailbox.ModSeq) {
	if a.Save && !a.Min && !a.Max && !a.All && !a.Count {
		return // RFC 5182 §2.2: nothing is told
	}
	b := append(imapwire.AppendString([]byte("* ESEARCH (TAG "), cmd.Tag, false), ')')
	if cmd.UID {
		b = append(b, " UID"...)
	}
	if n := len(numbers); n > 0 {
		if a.Min {
			b = append(b, " MIN "+decimal(numbers[0])...)
		}
		if a.Max {
			b = append(b, " MAX "+decimal(numbers[n-1])...)
		}
		if a.All || !a.Extended {
			b = append(b, " ALL "...)
			b = imapwire.AppendSet(b, numbers) // of SORT, in its order: RFC 5267 §3.1
		}
	}
	if a.Count {
		b = append(b, " COUNT "+decimal(len(numbers))...)
	}
	if a.Key.ModSeq() && len(found) > 0 {
		if !a.All && !a.Count { // RFC 7162 §3.1.10: of those that are told
			modseq = 0
			if a.Min {
				modseq = c.box.msgs[found[0]].ModSeq
			}
			if a.Max {
				modseq = max(modseq, c.box.msgs[found[len(found)-1]].ModSeq)
			}
		}
		b = append(b, " MODSEQ "+decimal(modseq)...)
	}
	c.Write(append(b, "\r\n"...))
}

// searching is one search. Its keys are asked one after the other, and share the memory that texts
// are read into.
type searching struct {
	f    *fetching
	now  time.Time
	text structure.Haystack
	// reads: some key asks for what must be read of a message.
	reads bool
}

// candidate is a message that is looked at; what must be read for it is read once.
type candidate struct {
	*source
	i      int
	m      *mailbox.Message
	header []byte // the header section
	read   bool   // it was
}

// match asks one thing of a message.
type match func(*candidate) (bool, error)

// matches judges one message. One that is gone, or cannot be read, matches nothing that must be read for.
func (s *searching) matches(m match, i int) (bool, error) {
	if s.reads {
		end, err := s.f.user().Turn(s.f.ctx)
		if err != nil {
			return false, err
		}
		defer end()
	}
	c := s.candidate(i)
	defer c.close()
	hit, err := m(c)
	if lost(err) {
		return false, nil
	}
	return hit, err
}

// lost reports whether there is no more of a message than what is known without it.
func lost(err error) bool {
	return errors.Is(err, mailbox.ErrGone) || errors.Is(err, mailbox.ErrUnreadable)
}

func (s *searching) candidate(i int) *candidate {
	m := &s.f.box.msgs[i]
	return &candidate{source: &source{f: s.f, uid: m.UID}, i: i, m: m}
}

// section returns the header of the message.
func (c *candidate) section() ([]byte, error) {
	if c.read {
		return c.header, nil
	}
	st, err := c.parsed()
	if err != nil {
		return nil, err
	}
	content, err := c.open()
	if err != nil {
		return nil, err
	}
	head, err := structure.DefaultLimits().HeaderOf(st.Part.Header, content)
	if err != nil {
		return nil, err
	}
	c.header, c.read = head, true
	return c.header, nil
}

func sure(hit bool) (bool, error) { return hit, nil }

// cost says what a key makes us read: nothing, the header, the message.
func cost(k imapwire.Key) (most int) {
	switch k.Op {
	case imapwire.KeyHeader, imapwire.KeySentBefore, imapwire.KeySentOn, imapwire.KeySentSince, imapwire.KeyLarger, imapwire.KeySmaller:
		return 1
	case imapwire.KeyBody, imapwire.KeyText:
		return 2
	}
	for _, inner := range k.Keys {
		most = max(most, cost(inner))
	}
	return most
}

// matcher makes a match of a key. Sets are resolved once, and what costs nothing is asked first.
func (s *searching) matcher(k imapwire.Key) match {
	switch k.Op {
	case imapwire.KeyAll:
		return func(*candidate) (bool, error) { return sure(true) }
	case imapwire.KeyAnd, imapwire.KeyOr, imapwire.KeyNot:
		return s.combined(k)
	case imapwire.KeySeq, imapwire.KeyUID:
		return s.inSet(k)
	case imapwire.KeyFlag:
		return s.flagged(k.Text)
	case imapwire.KeyHeader:
		return s.headed(k)
	case imapwire.KeyBody, imapwire.KeyText:
		return s.contains(k)
	}
	return s.measured(k)
}

func (s *searching) combined(k imapwire.Key) match {
	keys := slices.Clone(k.Keys)
	slices.SortStableFunc(keys, func(a, b imapwire.Key) int { return cost(a) - cost(b) })
	inner := make([]match, 0, len(keys))
	for _, key := range keys {
		inner = append(inner, s.matcher(key))
	}
	// The first that is not as wanted decides.
	wanted, otherwise := k.Op == imapwire.KeyAnd, k.Op != imapwire.KeyAnd
	if k.Op == imapwire.KeyNot {
		return func(c *candidate) (bool, error) {
			hit, err := inner[0](c)
			return !hit && err == nil, err
		}
	}
	return func(c *candidate) (bool, error) {
		for _, m := range inner {
			if hit, err := m(c); err != nil || hit != wanted {
				return otherwise && err == nil, err
			}
		}
		return wanted, nil
	}
}

func (s *searching) inSet(k imapwire.Key) match {
	b := s.f.box
	if k.Set.Saved {
		saved := slices.Sorted(slices.Values(b.saved))
		return func(c *candidate) (bool, error) {
			_, in := slices.BinarySearch(saved, c.m.UID)
			return sure(in)
		}
	}
	uid := k.Op == imapwire.KeyUID
	ranges := k.Set.Within(largest(b.msgs, uid))
	return func(c *candidate) (bool, error) {
		n := uint32(c.i + 1)
		if uid {
			n = uint32(c.m.UID)
		}
		_, in := within(ranges, n)
		return sure(in)
	}
}

func (s *searching) flagged(word string) match {
	if word == imapwire.FlagRecent {
		return func(c *candidate) (bool, error) { return sure(s.f.box.mb.Recent(c.m.UID)) }
	}
	if f := flagsOf([]string{word}); f.System != 0 {
		return func(c *candidate) (bool, error) { return sure(c.m.Flags.Has(f.System)) }
	}
	return func(c *candidate) (bool, error) { return sure(c.m.Flags.HasKeyword(word)) }
}

// headed asks for a text in a field, or with an empty one for the field. RFC 9051 §6.4.4.
func (s *searching) headed(k imapwire.Key) match {
	needle := s.text.Needle(k.Text)
	if known := enveloped(k); known != nil {
		return func(c *candidate) (bool, error) {
			text, err := known(c)
			return err == nil && needle.In(text), err
		}
	}
	return func(c *candidate) (bool, error) {
		head, err := c.section()
		return err == nil && structure.DefaultLimits().InField(needle, k.Field, head), err
	}
}

// enveloped returns what reads the text of a field out of the envelope, which is kept, so that no
// file is read; nil where the envelope does not tell it.
func enveloped(k imapwire.Key) func(*candidate) (string, error) {
	if k.Text == "" {
		return nil // whether the field is there
	}
	switch strings.ToLower(k.Field) {
	case "subject":
		return func(c *candidate) (string, error) {
			subject, err := c.subject()
			return message.DecodeText(subject), err
		}
	case "from":
		return addressed(func(e *structure.Envelope) []structure.Address { return e.From })
	case "to":
		return addressed(func(e *structure.Envelope) []structure.Address { return e.To })
	case "cc":
		return addressed(func(e *structure.Envelope) []structure.Address { return e.Cc })
	case "bcc":
		return addressed(func(e *structure.Envelope) []structure.Address { return e.Bcc })
	}
	return nil
}

// addressed returns what reads addresses out of the envelope.
func addressed(list func(*structure.Envelope) []structure.Address) func(*candidate) (string, error) {
	return func(c *candidate) (string, error) {
		e, err := c.envelope()
		if err != nil {
			return "", err
		}
		return shown(list(e)), nil
	}
}

// shown writes addresses as a person reads them.
func shown(list []structure.Address) string {
	var b strings.Builder
	for i, a := range list {
		if i > 0 && a.Kind != structure.GroupEnd {
			b.WriteString(", ")
		}
		switch {
		case a.Kind == structure.GroupBegin:
			b.WriteString(message.DecodeText(a.Mailbox) + ":")
		case a.Kind == structure.GroupEnd:
			b.WriteString(";")
		case a.Host == "":
			b.WriteString(message.DecodeText(a.Name) + " " + message.DecodeText(a.Mailbox))
		case a.Name == "":
			b.WriteString(a.Mailbox + "@" + a.Host)
		default:
			b.WriteString(message.DecodeText(a.Name) + " <" + a.Mailbox + "@" + a.Host + ">")
		}
	}
	return b.String()
}

func (s *searching) contains(k imapwire.Key) match {
	needle, l := s.text.Needle(k.Text), structure.DefaultLimits()
	return func(c *candidate) (bool, error) {
		st, err := c.parsed()
		if err != nil {
			return false, err
		}
		content, err := c.open()
		if err != nil {
			return false, err
		}
		if k.Op == imapwire.KeyText {
			if hit, err := l.InHeader(needle, *st, content); hit || err != nil {
				return hit, err
			}
		}
		return l.InBody(needle, *st, st.Over(content))
	}
}

// mostAge is beyond the age of any message, in seconds: a search may ask for more than a time holds.
const mostAge = 100 * 365 * 24 * 60 * 60

// measured asks for sizes, dates and identities.
func (s *searching) measured(k imapwire.Key) match {
	age := time.Duration(min(k.Number, mostAge)) * time.Second
	wanted, named := mailbox.ParseEmailID(k.Text)
	return func(c *candidate) (bool, error) {
		switch k.Op {
		case imapwire.KeyBefore, imapwire.KeyOn, imapwire.KeySince:
			came, err := c.came()
			return err == nil && onDay(k.Op, came.UTC(), k.Date), err
		case imapwire.KeyOlder:
			came, err := c.came()
			return err == nil && !came.After(s.now.Add(-age)), err
		case imapwire.KeyYounger:
			came, err := c.came()
			return err == nil && !came.Before(s.now.Add(-age)), err
		case imapwire.KeyModSeq:
			return sure(c.m.ModSeq >= mailbox.ModSeq(k.Number))
		case imapwire.KeyEmailID:
			id, err := s.f.box.mb.EmailID(c.m.UID)
			return err == nil && named && id == wanted, err
		case imapwire.KeyLarger, imapwire.KeySmaller:
			octets, err := s.f.box.mb.Size(s.f.ctx, c.m.UID)
			return err == nil && (k.Op == imapwire.KeyLarger && octets > k.Number || k.Op == imapwire.KeySmaller && octets < k.Number), err
		case imapwire.KeySentBefore, imapwire.KeySentOn, imapwire.KeySentSince:
			e, err := c.envelope()
			if err != nil {
				return false, err
			}
			sent, known := e.Time()
			return known && onDay(k.Op, sent, k.Date), nil
		}
		return false, nil // THREADID: nothing has one
	}
}

// onDay compares days: time and zone do not matter. RFC 9051 §6.4.4.
func onDay(op imapwire.KeyOp, at, day time.Time) bool {
	y, m, d := at.Date()
	have := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	switch op {
	case imapwire.KeyBefore, imapwire.KeySentBefore:
		return have.Before(day)
	case imapwire.KeyOn, imapwire.KeySentOn:
		return have.Equal(day)
	}
	return !have.Before(day)
}
