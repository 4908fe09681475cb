package filter

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"sallyport/internal/fact"
	"sallyport/internal/filter/milter"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/message"
)

// Milter shows messages to one milter. It is an intake.Inspector.
type Milter struct {
	Client   *milter.Client
	Label    string // the name that the configuration gives it
	Hostname mail.Domain
	Scope    Scope
	// Fields are names of header fields that it may add beside those that begin with
	// "X-".
	Fields []string
	Limits message.Limits // of a header section
	Named  Named          // nil: no client's name is known

	health health
}

// What inspectors before a milter may have added to the header section that it is shown.
const (
	mostAddedOctets = 64 << 10
	mostAddedFields = 100
)

// NewMilter returns an inspector that shows messages to c.
func NewMilter(c *milter.Client, label string, hostname mail.Domain, s Scope, fields []string, l message.Limits, log *slog.Logger) *Milter {
	// What inspectors before this one added stands before the section.
	l.HeaderOctets, l.Fields = l.HeaderOctets+mostAddedOctets, l.Fields+mostAddedFields
	return &Milter{Client: c, Label: label, Hostname: hostname, Scope: s, Fields: fields, Limits: l, health: health{logger: log}}
}

// Name implements intake.Inspector.
func (m *Milter) Name() string { return "milter " + m.Label }

// Begin implements intake.Inspector.
func (m *Milter) Begin(of intake.Message) intake.Look {
	if !m.Scope.covers(of) {
		return nil
	}
	return milterLook{m, of}
}

type milterLook struct {
	m *Milter
	// of is the message as it was announced.
	of intake.Message
}

// Body implements intake.Look.
func (milterLook) Body([]byte) {}

// Judge implements intake.Look.
func (l milterLook) Judge(ctx context.Context, c intake.Content) intake.Finding {
	if c.Size > l.m.Scope.MaxSize {
		return l.named(l.m.Scope.oversize("milter", c.Size))
	}
	a, err := l.ask(ctx, c)
	l.m.health.saw(l.m.Name(), err)
	if err != nil {
		return l.named(l.m.Scope.failed("milter", err, &l.m.health))
	}
	return l.named(l.m.finding(a))
}

// named says in the evidence which milter it was.
func (l milterLook) named(f intake.Finding) intake.Finding {
	for i := range f.Notes {
		f.Notes[i].Name = strings.Replace(f.Notes[i].Name, "milter", l.m.Name(), 1)
	}
	return f
}

func (l milterLook) ask(ctx context.Context, c intake.Content) (milter.Advice, error) {
	all, _, err := whole(c)
	if err != nil {
		return milter.Advice{}, err
	}
	h, rest, err := message.ReadHeader(all, l.m.Limits)
	if err != nil {
		return milter.Advice{}, err
	}
	q := milter.Message{
		Hostname: l.m.Hostname, Door: l.of.Door.String(), ID: l.of.ID, Client: l.of.Peer, ClientName: l.m.Named.of(ctx, l.of), Hello: l.of.Hello, Account: l.of.Account,
		From: l.of.Envelope.From, To: l.of.Envelope.To,
	}
	q.TLSVersion, q.TLSCipher = security(l.of.TLS)
	h.All(func(f message.Field) bool {
		if name, value, ok := bytes.Cut(f.Raw, []byte(":")); ok {
			q.Fields = append(q.Fields, milter.Field{
				Name: string(bytes.TrimRight(name, " \t")), Value: strings.TrimSuffix(string(value), "\r\n"),
			})
		}
		return true
	})
	return l.m.Client.Check(ctx, q, io.MultiReader(bytes.NewReader(rest), all))
}

// finding says what becomes of a message by a milter's advice.
func (m *Milter) finding(a milter.Advice) intake.Finding {
	f := intake.Finding{Action: intake.Pass}
	verdict := "accept"
	switch a.Action {
	case milter.Accept:
	case milter.Reject:
		verdict = "reject"
		f.Action, f.Rule, f.Reply = intake.Refuse, RuleMilterReject, replyOr(a.Reply, mail.R(550, "5.7.1", "the message is not accepted here"))
	case milter.TempFail:
		verdict = "tempfail"
		f.Action, f.Rule, f.Reply = intake.Defer, RuleMilterTempfail, replyOr(a.Reply, mail.R(451, "4.7.1", "try again later"))
	case milter.Quarantine:
		verdict = "quarantine"
		f.Action, f.Rule, f.Reason = intake.Hold, RuleMilterQuarantine, m.Label+": "+orText(words(a.Reason), "no reason given")
	case milter.Discard:
		// RFC 5321 §4.2.5: what was accepted may not vanish.
		verdict = "discard"
		f.Action, f.Rule, f.Reason = intake.Hold, RuleMilterDiscard, m.Label+" wants it discarded"
	default:
		return intake.Finding{} // nothing is known of it: it is deferred
	}
	f.Notes = append(f.Notes, fact.Pair{Name: "milter", Value: verdict + " at " + a.Stage})
	if a.Cut > 0 {
		f.Notes = append(f.Notes, fact.Pair{Name: "milter", Value: fmt.Sprintf("was shown the first 64 KiB of %d header fields", a.Cut)})
	}
	if f.Action == intake.Pass || f.Action == intake.Hold {
		for _, add := range a.Fields {
			field, why := m.field(add)
			if why != "" {
				a.Undone = append(a.Undone, "added field "+mail.Printable(add.Name, mail.NameShown)+" ("+why+")")
			}
			f.Fields = append(f.Fields, field...)
		}
	}
	for _, u := range a.Undone {
		f.Notes = append(f.Notes, fact.Pair{Name: "milter not done", Value: u})
	}
	return f
}

// replyOr completes a filter's own reply with the enhanced code and the words of ours.
func replyOr(r, other mail.Reply) mail.Reply {
	if r.IsZero() {
		return other
	}
	if r.Enhanced == (mail.Enhanced{}) {
		r.Enhanced = other.Enhanced
	}
	r.Text = orText(r.Text, other.Text)
	return r
}

// field returns a header field that a milter wants added, or why it may not.
func (m *Milter) field(f milter.Field) (field []byte, why string) {
	lower := strings.ToLower(f.Name)
	listed := slices.ContainsFunc(m.Fields, func(n string) bool { return strings.EqualFold(n, f.Name) })
	if strings.HasPrefix(lower, "x-sallyport-") || !strings.HasPrefix(lower, "x-") && !listed {
		return nil, "not among the fields that it may add"
	}
	field = fmt.Appendf(nil, "%s:%s\r\n", f.Name, f.Value)
	h, err := message.ParseHeader(field)
	if err != nil || h.Fault() != "" || h.Len() != 1 || h.Ended() || slices.ContainsFunc(field, func(c byte) bool { return c >= 0x80 }) {
		return nil, "malformed"
	}
	return field, ""
}
