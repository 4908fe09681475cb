package intake

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"sallyport/internal/callout"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/returnpath"
	"sallyport/internal/spool"
)

// Recipients is what intake needs of the servers behind us.
type Recipients interface {
	// Ask returns what is known of an address at the server that a domain of ours
	// has behind us, which a client writes to. It waits for a bounded time.
	Ask(ctx context.Context, client netip.Addr, d directory.Domain, a mail.Address) callout.Answer
}

// International is what intake needs to know of a server behind us before it accepts a
// sender or a recipient that is not ASCII. known: somebody could be asked.
type International interface {
	International(ctx context.Context, d directory.Domain, a mail.Address) (takes, known bool)
}

// international refuses a sender that a server behind us cannot be given: RFC 6531 §3.5.
// After the message nobody could be told of it. The recipient himself it was asked about.
func (t *transaction) international(ctx context.Context, ways []spool.Delivery) mail.Reply {
	from, named := t.env.From.Address()
	if !named || from.IsASCII() || t.s.in.International == nil {
		return mail.Reply{}
	}
	ctx, cancel := context.WithTimeout(ctx, t.limit.AskTime)
	defer cancel()
	for _, w := range ways {
		d, ok := t.dir.Domain(w.Mailbox.Domain())
		if w.Kind != spool.KindLocal || !ok || !d.Deliver.Behind() {
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
	for _, w := range t.deliveries {
		d, ok := t.dir.Domain(w.Mailbox.Domain())
		if w.Kind != spool.KindLocal || !ok || d.Deliver != directory.DeliverSMTP || asked[d.Name.ASCII()] {
			continue
		}
		asked[d.Name.ASCII()] = true
		switch takes, known := t.s.in.International.International(ctx, d, w.Mailbox); {
		case !known:
			return &errRefused{rule: "message-international", reply: mail.R(451, "4.4.1", "the server of "+d.Name.ASCII()+" does not answer; try again later")}
		case !takes:
			return &errRefused{rule: "message-international", reply: mail.R(550, "5.6.7", "the server of "+d.Name.ASCII()+" takes no address beyond ASCII in a header")}
		}
	}
	return nil
}

// maxHeard is how many answers of servers behind us the fact of one message tells.
const maxHeard = 10

// heard is what a server behind us said of a recipient.
type heard struct {
	about  mail.Address
	answer callout.Answer
}

// decide has the gate judge a recipient. A server behind us is asked only when
// nothing but its answer is missing.
func (t *transaction) decide(ctx context.Context, m returnpath.Reading) (gate.Verdict, directory.Class, []heard) {
	class, addr := t.class(m), m.Address
	v := t.verdict(class.Destination, addr)
	if len(class.Ask) == 0 || v.Rule != gate.RuleDirectoryUnavailable || t.s.in.Recipients == nil {
		return v, class, nil
	}
	ctx, cancel := context.WithTimeout(ctx, t.limit.AskTime)
	defer cancel()
	var answers []heard
	class = class.Resolve(func(m directory.Mailbox) directory.Answer {
		d, ok := t.dir.Domain(m.Behind.Domain())
		if !ok {
			return directory.AnswerUnknown
		}
		a := t.s.in.Recipients.Ask(ctx, peer(t.s.conn), d, m.Behind)
		answers = append(answers, heard{m.Behind, a})
		return answerOf(a.Known)
	})
	// The account's standing is asked again: an answer may have taken its time.
	return t.verdict(class.Destination, addr), class, answers
}

// verdict asks the gate about a recipient of a class. The account's standing is
// asked again: permission given at MAIL is none now.
func (t *transaction) verdict(to gate.Destination, addr mail.Address) gate.Verdict {
	f := t.now()
	f.Destination = to
	return gate.Decide(f, gate.Subject{Transaction: t.id, Account: t.s.account.Address, Sender: t.env.From, Recipient: addr})
}

func answerOf(k callout.Knowledge) directory.Answer {
	switch k {
	case callout.Yes:
		return directory.AnswerYes
	case callout.No:
		return directory.AnswerNo
	}
	return directory.AnswerUnknown
}

// refuseRecipient answers a recipient that the gate did not let in. Who is refused
// by the server behind us is refused in its words, so that a full mailbox is not
// called a missing one.
func (t *transaction) refuseRecipient(ctx context.Context, v gate.Verdict, addr mail.Address, said []heard, m returnpath.Reading) mail.Reply {
	f := fact.Fact{Rule: string(v.Rule), Reply: v.Reply, Sender: t.env.From.String(), Recipients: []string{addr.String()}, Evidence: readEvidence(m)}
	if t.s.anonymous() && m.Note != "" {
		f.Text = "signed return path: " + m.Note // of a stranger's refusal the trace keeps no evidence but this
	}
	for i, h := range said {
		if i < maxHeard {
			f.Evidence = append(f.Evidence, h.pair())
		}
	}
	if v.Rule == gate.RuleNoSuchUser && len(said) == 1 {
		f.Reply = said[0].refusal(v.Reply)
	}
	return t.s.refuse(ctx, f)
}

// refusal is the server's own reply where it is one, and what the gate says where
// it gave no more than that.
func (h heard) refusal(otherwise mail.Reply) mail.Reply {
	r := h.answer.Reply
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

// pair is what was said as evidence.
func (h heard) pair() fact.Pair {
	words := []string{h.about.String() + " is not known"}
	switch h.answer.Known {
	case callout.Yes:
		words[0] = h.about.String() + " is taken"
	case callout.No:
		words[0] = h.about.String() + " is refused"
	}
	if !h.answer.Reply.IsZero() {
		words = append(words, h.answer.Reply.String())
	}
	if h.answer.Remote != "" {
		words = append(words, "says "+h.answer.Remote)
	}
	if h.answer.Age > 0 {
		words = append(words, h.answer.Age.Round(time.Second).String()+" ago")
	}
	if h.answer.Why != "" {
		words = append(words, h.answer.Why)
	}
	return fact.Pair{Name: "server behind", Value: strings.Join(words, "; ")}
}

// note keeps what was said and found of an accepted recipient for the message's fact.
func (t *transaction) note(said []heard, found []fact.Pair) {
	t.said = append(t.said, found[:min(len(found), max(maxHeard-len(t.said), 0))]...)
	for _, h := range said {
		if len(t.said) < maxHeard {
			t.said = append(t.said, h.pair())
		}
	}
}
