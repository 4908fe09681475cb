package server

import (
	"bytes"
	"context"
	"errors"
	"io"

	imapwire "sallyport/internal/imap/wire"
	"sallyport/internal/mailbox"
	"sallyport/internal/message/structure"
)

// fetch answers FETCH. RFC 9051 §6.4.5, RFC 7162 §3.1.4 and §3.2.6.
func (c *conn) fetch(ctx context.Context, a imapwire.Fetch, uid bool) result {
	b := c.box
	if a.Vanished && !uid {
		return bad("VANISHED is of UID FETCH")
	}
	places, res, good := c.places(a.Set, uid)
	if !good {
		return res
	}
	if uid && !c.enabled.uidOnly && !asks(a.Items, imapwire.ItemUID) { // RFC 9051 §6.4.9
		a.Items = append([]imapwire.Item{{Kind: imapwire.ItemUID, Name: "UID"}}, a.Items...)
	}
	if a.Changed || asks(a.Items, imapwire.ItemModSeq) {
		c.condstore(ctx)
	}
	if a.Changed {
		if !asks(a.Items, imapwire.ItemModSeq) { // RFC 7162 §3.1.4.1
			a.Items = append(a.Items, imapwire.Item{Kind: imapwire.ItemModSeq, Name: "MODSEQ"})
		}
		if a.Vanished {
			// mutt and NeoMutt ask for it whether they enabled QRESYNC or not: never refused.
			c.tellEarlier(mailbox.ModSeq(a.ChangedSince), a.Set.Within(uint32(b.mb.State().UIDNext)), nil)
		}
	}
	f := &fetching{
		conn: c, ctx: ctx, items: a.Items,
		parses: asks(a.Items, imapwire.ItemEnvelope) || asks(a.Items, imapwire.ItemBody) || asks(a.Items, imapwire.ItemBodyStructure),
	}
	if err := f.markSeen(places, a); err != nil {
		c.o.Logger.Debug("messages could not be marked as seen", "conn", c.info.ID, "err", err)
	}
	for _, i := range places {
		if a.Changed && b.msgs[i].ModSeq <= mailbox.ModSeq(a.ChangedSince) {
			continue
		}
		if err := f.message(i); err != nil {
			return f.broken(err)
		}
		if c.Lost() != nil || c.Ended() {
			return result{status: "-"}
		}
	}
	return f.result()
}

func asks(items []imapwire.Item, kind imapwire.ItemKind) bool {
	for _, i := range items {
		if i.Kind == kind {
			return true
		}
	}
	return false
}

// fetching is one FETCH.
type fetching struct {
	*conn
	ctx     context.Context
	items   []imapwire.Item
	parses  bool         // something is asked that is told of the parsed message
	changed map[int]bool // places of messages that this FETCH marked as seen
	gone    bool         // a message was not there any more
	unread  bool         // a message cannot be read
	unknown bool         // a transfer encoding is not known
}

func (f *fetching) result() result {
	switch {
	case f.unknown: // RFC 3516 §4.3
		return no("UNKNOWN-CTE", "the transfer encoding of a part is not known")
	case f.unread:
		return no(corruption, "some messages cannot be read")
	case f.gone:
		return no("EXPUNGEISSUED", "some messages no longer exist")
	}
	return ok("fetched")
}

// broken ends a FETCH that cannot go on. Where a literal has begun, nothing can be said any more.
func (f *fetching) broken(err error) result {
	if errors.Is(err, errCut) {
		f.o.Logger.Warn("a message changed while it was told", "conn", f.info.ID)
		_ = f.Flush()
		return result{status: "-", end: EndLost}
	}
	return f.failed(err)
}

// errCut is that a literal has fewer octets than it must have.
var errCut = errors.New("imap: a message ended within a literal")

// markSeen marks the messages as seen that are about to be read, if they are. RFC 9051 §6.4.5.
func (f *fetching) markSeen(places []int, a imapwire.Fetch) error {
	reads := false
	for _, i := range f.items {
		reads = reads || !i.Peek && (i.Kind == imapwire.ItemSection || i.Kind == imapwire.ItemBinary)
	}
	if !reads || f.box.readOnly {
		return nil
	}
	var unseen []mailbox.UID
	for _, i := range places {
		m := &f.box.msgs[i]
		if !m.Flags.Has(mailbox.Seen) && (!a.Changed || m.ModSeq > mailbox.ModSeq(a.ChangedSince)) {
			unseen = append(unseen, m.UID)
		}
	}
	if len(unseen) == 0 {
		return nil
	}
	stored, err := f.box.mb.Store(f.ctx, unseen, mailbox.Add, mailbox.NewFlags(mailbox.Seen), nil)
	f.changed = map[int]bool{}
	var marked []int
	for _, m := range stored.Messages {
		if i, there := place(f.box.msgs, m.UID); there {
			f.box.set(i, m)
			f.changed[i] = true
			marked = append(marked, i)
		}
	}
	f.tellKeywords(marked, 0)
	return err
}

// message tells one message. Everything but the octets of literals is gathered first, as far as
// Limits.OutOctets go, so that a message that is gone is left out whole.
func (f *fetching) message(i int) error {
	s := &source{f: f, uid: f.box.msgs[i].UID}
	defer s.close()
	start := len(f.Out)
	f.Out = append(f.Out, f.head(i, false)...)
	flags, streamed := false, false
	for n, item := range f.items {
		if n > 0 {
			f.Out = append(f.Out, ' ')
		}
		flags = flags || item.Kind == imapwire.ItemFlags
		body, err := f.inTurn(i, s, item)
		if err == nil && body != nil {
			// What is in front of a literal is sent with it, and cannot be taken back.
			if err = f.stream(body); err == nil {
				start, streamed = len(f.Out), true
			}
		}
		switch {
		case errors.Is(err, mailbox.ErrGone), errors.Is(err, mailbox.ErrUnreadable), errors.Is(err, structure.ErrEncoding):
			f.gone = f.gone || errors.Is(err, mailbox.ErrGone)
			f.unread = f.unread || errors.Is(err, mailbox.ErrUnreadable)
			f.unknown = f.unknown || errors.Is(err, structure.ErrEncoding)
			if f.Out = f.Out[:start]; streamed {
				f.Line(")")
			}
			return nil
		case err != nil:
			return err
		}
		// A client may ask for hundreds of pieces of one header: they are not held together.
		if len(f.Out) >= f.o.Limits.OutOctets {
			f.Spill()
			start, streamed = len(f.Out), true
		}
		if f.Lost() != nil || f.ctx.Err() != nil {
			return nil // fetch ends by itself
		}
	}
	m := &f.box.msgs[i]
	if f.changed[i] && !flags {
		f.Out = f.box.appendFlags(append(f.Out, " FLAGS "...), m, f.enabled.rev2)
	}
	if f.changed[i] && f.enabled.condstore && !asks(f.items, imapwire.ItemModSeq) {
		f.Out = append(f.Out, " MODSEQ ("+decimal(m.ModSeq)+")"...)
	}
	f.Line(")")
	return nil
}

// body is a literal that is streamed.
type body struct {
	from   io.Reader
	octets int64
	binary bool // it is a literal8, or has no NUL
}

// stream sends a literal, whose head was written.
func (f *fetching) stream(b *body) error {
	buf := make([]byte, min(b.octets, int64(f.o.Limits.OutOctets)))
	for left := b.octets; left > 0; {
		n, err := io.ReadFull(b.from, buf[:min(left, int64(len(buf)))])
		if err != nil {
			return errCut
		}
		left -= int64(n)
		if !b.binary {
			withoutNUL(buf[:n])
		}
		if f.Write(buf[:n]); f.Lost() != nil {
			return nil // fetch ends by itself
		}
	}
	return nil
}

// withoutNUL puts an octet that is none of a text in the place of each NUL, which may stand in a literal8 alone; how
// long the text is stays. A program that wrote into the Maildir may have left one. RFC 9051 §4.3.1
func withoutNUL(text []byte) {
	for {
		i := bytes.IndexByte(text, 0)
		if i < 0 {
			return
		}
		text[i], text = notText, text[i+1:]
	}
}

// notText is what Dovecot tells for NUL.
const notText = 0x80

// inTurn writes one item in the turn of the account, if the message must be read for it; nothing is
// sent meanwhile.
func (f *fetching) inTurn(i int, s *source, item imapwire.Item) (*body, error) {
	switch item.Kind {
	case imapwire.ItemUID, imapwire.ItemFlags, imapwire.ItemModSeq, imapwire.ItemInternalDate, imapwire.ItemEmailID, imapwire.ItemThreadID:
		return f.item(i, s, item)
	}
	end, err := f.user().Turn(f.ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	return f.item(i, s, item)
}

// item writes one item, or what stands before the octets of a literal.
func (f *fetching) item(i int, s *source, item imapwire.Item) (*body, error) {
	m := &f.box.msgs[i]
	out := func(text string) (*body, error) {
		f.Out = append(f.Out, item.Name+" "+text...)
		return nil, nil
	}
	switch item.Kind {
	case imapwire.ItemUID:
		return out(decimal(m.UID))
	case imapwire.ItemModSeq:
		return out("(" + decimal(m.ModSeq) + ")")
	case imapwire.ItemFlags:
		f.Out = f.box.appendFlags(append(f.Out, "FLAGS "...), m, f.enabled.rev2)
		return nil, nil
	case imapwire.ItemInternalDate:
		came, err := s.came()
		if err == nil {
			f.Out = imapwire.AppendDateTime(append(f.Out, "INTERNALDATE "...), came.UTC())
		}
		return nil, err
	case imapwire.ItemEmailID: // RFC 8474 §5.1
		id, err := f.box.mb.EmailID(m.UID)
		if err != nil {
			return nil, err
		}
		return out("(" + id.String() + ")")
	case imapwire.ItemThreadID:
		return out("NIL")
	case imapwire.ItemSize:
		octets, err := s.octets()
		if err != nil {
			return nil, err
		}
		return out(decimal(octets))
	case imapwire.ItemEnvelope, imapwire.ItemBody, imapwire.ItemBodyStructure:
		return nil, f.structured(s, item)
	case imapwire.ItemPreview:
		return nil, f.preview(s, item)
	case imapwire.ItemBinary, imapwire.ItemBinarySize:
		return f.binary(s, item)
	}
	return f.section(s, item)
}

// structured writes what is told of the parsed message.
func (f *fetching) structured(s *source, item imapwire.Item) error {
	st, err := s.parsed()
	if err != nil {
		return err
	}
	f.Out = append(f.Out, item.Name+" "...)
	switch item.Kind {
	case imapwire.ItemEnvelope:
		f.Out = appendEnvelope(f.Out, st.Envelope, f.enabled.utf8)
	default:
		f.Out = appendPart(f.Out, &st.Part, item.Kind == imapwire.ItemBodyStructure, f.enabled.utf8)
	}
	return nil
}

// preview: RFC 8970.
func (f *fetching) preview(s *source, item imapwire.Item) error {
	if item.Lazy { // reading the message is not what the client wants to wait for
		f.Out = append(f.Out, item.Name+" NIL"...)
		return nil
	}
	st, err := s.parsed()
	if err != nil {
		return err
	}
	content, err := s.open()
	if err != nil {
		return err
	}
	text, err := structure.DefaultLimits().Preview(*st, st.Over(content))
	if err != nil {
		return err
	}
	f.Out = imapwire.AppendString(append(f.Out, item.Name+" "...), text, f.enabled.utf8)
	return nil
}

// literalHead writes the name of an item with its partial origin, and the head of a literal.
// RFC 9051 §7.5.2.
func (f *fetching) literalHead(item imapwire.Item, binary bool, octets int64) {
	f.Out = append(f.Out, item.Name...)
	if item.Partial {
		f.Out = append(f.Out, "<"+decimal(item.Offset)+">"...)
	}
	f.Out = append(f.Out, ' ')
	if binary {
		f.Out = append(f.Out, '~')
	}
	f.Out = append(f.Out, "{"+decimal(octets)+"}\r\n"...)
}

// cut applies a partial to what there is.
func cut(item imapwire.Item, size int64) (from, octets int64) {
	if !item.Partial {
		return 0, size
	}
	from = min(item.Offset, size)
	return from, min(item.Octets, size-from)
}

// section writes a part of a message as it is. RFC 9051 §6.4.5.1.
func (f *fetching) section(s *source, item imapwire.Item) (*body, error) {
	content, err := s.open()
	if err != nil {
		return nil, err
	}
	t := item.Section
	if len(t.Part) == 0 && t.Of == imapwire.SectionWhole {
		from, octets := cut(item, content.Size())
		f.literalHead(item, false, octets)
		return &body{from: io.NewSectionReader(content, from, octets), octets: octets}, nil
	}
	st, err := s.parsed()
	if err != nil {
		return nil, err
	}
	span, there := st.Section(path(t.Part), whatOf(t.Of))
	if !there {
		f.Out = append(f.Out, item.Name+" NIL"...)
		return nil, nil
	}
	file := st.Over(content)
	if t.Of == imapwire.SectionFields || t.Of == imapwire.SectionNotFields {
		head, err := structure.DefaultLimits().HeaderOf(span, file)
		if err != nil {
			return nil, err
		}
		text := structure.Fields(head, t.Fields, t.Of == imapwire.SectionNotFields)
		withoutNUL(text)
		from, octets := cut(item, int64(len(text)))
		f.literalHead(item, false, octets)
		f.Out = append(f.Out, text[from:from+octets]...)
		return nil, nil
	}
	from, octets := cut(item, span.End-span.Start)
	f.literalHead(item, false, octets)
	return &body{from: io.NewSectionReader(file, span.Start+from, octets), octets: octets}, nil
}

func path(numbers []int) []uint32 {
	out := make([]uint32, 0, len(numbers))
	for _, n := range numbers {
		out = append(out, uint32(n))
	}
	return out
}

// whatOf: the fields of a header are taken out of the whole of it.
func whatOf(of imapwire.SectionOf) structure.What {
	switch of {
	case imapwire.SectionHeader, imapwire.SectionFields, imapwire.SectionNotFields:
		return structure.Header
	case imapwire.SectionText:
		return structure.Body
	case imapwire.SectionMIME:
		return structure.MIME
	}
	return structure.Whole
}

// binary writes a part without its transfer encoding, or how long that is. RFC 3516 §4.2.
func (f *fetching) binary(s *source, item imapwire.Item) (*body, error) {
	st, err := s.parsed()
	if err != nil {
		return nil, err
	}
	content, err := s.open()
	if err != nil {
		return nil, err
	}
	decoded, there := decoding(st, content, item.Section)
	if !there {
		f.Out = append(f.Out, item.Name+map[bool]string{true: " 0", false: " NIL"}[item.Kind == imapwire.ItemBinarySize]...)
		return nil, nil
	}
	size, nul, err := measure(decoded)
	if err != nil {
		return nil, err
	}
	if item.Kind == imapwire.ItemBinarySize {
		f.Out = append(f.Out, item.Name+" "+decimal(size)...)
		return nil, nil
	}
	from, octets := cut(item, size)
	r, err := decoded()
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, r, from); err != nil {
		return nil, err
	}
	f.literalHead(item, nul, octets)
	return &body{from: r, octets: octets, binary: true}, nil
}

// decoding returns what opens a section without its transfer encoding: parts alone have one. There is
// nothing to decode in headers, and in whole messages nothing is decoded.
func decoding(st *structure.Structure, content *mailbox.Content, t imapwire.Section) (open func() (io.Reader, error), there bool) {
	file := st.Over(content)
	if len(t.Part) > 0 && t.Of == imapwire.SectionWhole {
		part, found := st.Find(path(t.Part))
		return func() (io.Reader, error) { return part.Decoded(file) }, found
	}
	if len(t.Part) == 0 && t.Of == imapwire.SectionWhole {
		return func() (io.Reader, error) { return io.NewSectionReader(content, 0, content.Size()), nil }, true
	}
	span, found := st.Section(path(t.Part), whatOf(t.Of))
	return func() (io.Reader, error) {
		if t.Of != imapwire.SectionFields && t.Of != imapwire.SectionNotFields {
			return io.NewSectionReader(file, span.Start, span.End-span.Start), nil
		}
		head, err := structure.DefaultLimits().HeaderOf(span, file)
		return bytes.NewReader(structure.Fields(head, t.Fields, t.Of == imapwire.SectionNotFields)), err
	}, found
}

// measure reads to the end, and returns how many octets there are and whether NUL is among them.
func measure(open func() (io.Reader, error)) (size int64, nul bool, err error) {
	r, err := open()
	if err != nil {
		return 0, false, err
	}
	m := &meter{}
	_, err = io.Copy(m, r)
	return m.octets, m.nul, err
}

// meter counts what is written to it.
type meter struct {
	octets int64
	nul    bool
}

// Write implements io.Writer.
func (m *meter) Write(p []byte) (int, error) {
	m.octets += int64(len(p))
	for _, c := range p {
		if c == 0 {
			m.nul = true
			break
		}
	}
	return len(p), nil
}
