package intake

import (
	"context"
	"slices"
	"strings"
	"time"

	"sallyport/internal/callout"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/returnpath"
	"sallyport/internal/spool"
)

// Recipients is what intake needs of the servers behind us.
type Recipients = letter.Servers

// International is what intake needs to know of a server behind us before it accepts a
// sender or a recipient that is not ASCII. known: somebody could be asked.
type International interface {
	International(ctx context.Context, d directory.Domain, a mail.Address) (takes, known bool)
}

// international refuses a sender that a server behind us cannot be given: RFC 6531 §3.5.
// After the message nobody could be told of it. The recipient itself was asked about.
func (t *transaction) international(ctx context.Context, ways []spool.Delivery) mail.Reply {
	from, named := t.draft.Envelope.From.Address()
	if !named || from.IsASCII() || t.s.in.International == nil {
		return mail.Reply{}
	}
	ctx, cancel := context.WithTimeout(ctx, t.limit.AskTime)
	defer cancel()
	for _, w := range ways {
		d, ok := t.dir.Domain(w.Mailbox.Domain())
		if !ok || !d.Deliver.Behind() { // what leaves has no mailbox
			continue
		}
		switch takes, known := t.s.in.International.International(ctx, d, w.Mailbox); {
		case !known:
			return mail.R(451, "4.4.1", "the server of this domain does not answer; try again later")
		case !takes:
			return mail.R(550, "5.6.7", "the server of this domain takes no sender beyond ASCII")
		}
	}
	return mail.Reply{}
}

// takesHeader refuses a stranger's message with an address beyond ASCII in its header, where an
// SMTP server behind us takes no such one. (What LMTP stores, it stores as it is.)
func (t *transaction) takesHeader(ctx context.Context) error {
	if !t.s.anonymous() || t.s.in.International == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, t.limit.AskTime)
	defer cancel()
	asked := map[string]bool{}
	for _, w := range t.draft.Deliveries() {
		d, ok := t.dir.Domain(w.Mailbox.Domain())
		if !ok || d.Deliver != directory.DeliverSMTP || asked[d.Name.ASCII()] {
			continue
		}
		asked[d.Name.ASCII()] = true
		switch takes, known := t.s.in.International.International(ctx, d, w.Mailbox); {
		case !known:
			return &errRefused{
				rule:  RuleMessageInternational,
				reply: mail.R(451, "4.4.1", "the server of "+d.Name.ASCII()+" does not answer; try again later"),
			}
		case !takes:
			return &errRefused{
				rule:  RuleMessageInternational,
				reply: mail.R(550, "5.6.7", "the server of "+d.Name.ASCII()+" takes no address beyond ASCII in a header"),
			}
		}
	}
	return nil
}

// maxHeard is how many answers of servers behind us the fact of one message tells.
const maxHeard = 10

// decide has the gate judge a recipient. A server behind us is asked only when
// nothing but its answer is missing.
func (t *transaction) decide(ctx context.Context, m returnpath.Reading) (letter.Judged, []letter.Heard) {
	class := t.class(m)
	if len(class.Ask) == 0 {
		return t.draft.Judge(m.Address, class, nil), nil
	}
	ctx, cancel := context.WithTimeout(ctx, t.limit.AskTime)
	defer cancel()
	ask, said := letter.Asking(ctx, t.s.in.Recipients, t.dir, peer(t.s.conn))
	j := t.draft.Judge(m.Address, class, ask)
	return j, *said
}

// circle finds that it is this server itself that asks: by its own name and the null sender, about a recipient that it is
// asking the server behind about just now. It would wait for its own answer until the time for that is over. Whoever
// else gives our name is told so in that moment alone.
func (t *transaction) circle(ctx context.Context, m returnpath.Reading) (r mail.Reply) {
	in := t.s.in
	if in.Asks == nil || t.door != gate.DoorMX || t.draft.Ownership != gate.OwnershipNull || !strings.EqualFold(t.s.hello.Name, in.Hostname.ASCII()) {
		return r
	}
	for _, box := range t.class(m).Ask {
		if d, ok := t.dir.Domain(box.Behind.Domain()); ok && in.Asks(d, box.Behind) {
			r = mail.R(451, "4.4.6", "this server asks itself: "+d.Server.String()+", which is named as the server behind "+d.Name.ASCII()+", leads back here")
			return t.refuse(ctx, RuleCalloutLoop, r, m.Address.String())
		}
	}
	return r
}

// refuseRecipient answers a recipient that the gate did not let in. Whoever is refused
// by the server behind us is refused in its words, so that a full mailbox is not
// called a missing one.
func (t *transaction) refuseRecipient(ctx context.Context, v gate.Verdict, addr mail.Address,
	said []letter.Heard, m returnpath.Reading) mail.Reply {
	f := fact.Fact{
		Rule: string(v.Rule), Reply: v.Reply, Sender: t.draft.Envelope.From.String(),
		Recipients: []string{addr.String()}, Evidence: readEvidence(m),
	}
	if t.s.anonymous() && m.Note != "" {
		f.Text = "signed return path: " + m.Note // of a stranger's refusal the trace keeps no evidence but this
	}
	if t.s.anonymous() && v.Rule == gate.RuleDirectoryUnavailable {
		if i := slices.IndexFunc(said, func(h letter.Heard) bool { return h.Answer.Known != callout.Yes && h.Answer.Known != callout.No }); i >= 0 {
			f.Text = "server behind: " + pairOf(said[i]).Value // and who keeps this server must see why nobody could tell
		}
	}
	for i, h := range said {
		if i < maxHeard {
			f.Evidence = append(f.Evidence, pairOf(h))
		}
	}
	if v.Rule == gate.RuleNoSuchUser && len(said) == 1 {
		f.Reply = refusalOf(said[0], v.Reply)
	}
	if w := t.s.in.Watch; w != nil && f.Reply.Class() == mail.ClassPermanent && f.Reply.OfRecipient() && !t.s.anonymous() && w.Mistaken(ctx, t.s.account().Address, addr) {
		t.invalid++
	}
	return t.s.refuse(ctx, f)
}

// refusalOf is the server's own reply where it is one, and what the gate says where
// it gave no more than that.
func refusalOf(h letter.Heard, otherwise mail.Reply) mail.Reply {
	r := h.Answer.Reply
	if r.Class() != mail.ClassPermanent || r.Enhanced.Class != 5 || r.Enhanced == otherwise.Enhanced {
		return otherwise
	}
	return mail.R(550, r.Enhanced.String(), "the server of this domain refuses the recipient: "+said(r))
}

// maxSaid bounds what a client is told of another server's words.
const maxSaid = 200

// said is what another server's reply says, in one line for a reply of ours.
func said(r mail.Reply) string {
	return mail.PlainLine(strings.ReplaceAll(r.Text, "\n", " "), maxSaid)
}

// pairOf is what was said as evidence.
func pairOf(h letter.Heard) fact.Pair {
	words := []string{h.About.String() + " is not known"}
	switch h.Answer.Known {
	case callout.Yes:
		words[0] = h.About.String() + " is taken"
	case callout.No:
		words[0] = h.About.String() + " is refused"
	}
	if !h.Answer.Reply.IsZero() {
		words = append(words, h.Answer.Reply.String())
	}
	if h.Answer.Remote != "" {
		words = append(words, "says "+h.Answer.Remote)
	}
	if h.Answer.Age > 0 {
		words = append(words, h.Answer.Age.Round(time.Second).String()+" ago")
	}
	if h.Answer.Why != "" {
		words = append(words, h.Answer.Why)
	}
	return fact.Pair{Name: "server behind", Value: strings.Join(words, "; ")}
}

// note keeps what was said and found of an accepted recipient for the message's fact.
func (t *transaction) note(said []letter.Heard, found []fact.Pair) {
	t.said = append(t.said, found[:min(len(found), max(maxHeard-len(t.said), 0))]...)
	for _, h := range said {
		if len(t.said) < maxHeard {
			t.said = append(t.said, pairOf(h))
		}
	}
}
