package filter

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"sallyport/internal/fact"
	"sallyport/internal/filter/rspamd"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
)

// Spam says what becomes of mail that Rspamd wants marked. The zero value keeps it
// apart.
type Spam uint8

const (
	SpamJunk  Spam = iota // mailboxes of ours keep it apart
	SpamField             // only the header fields say so
)

// Rspamd asks an Rspamd. It is an intake.Inspector.
type Rspamd struct {
	Client   *rspamd.Client
	Hostname mail.Domain
	Scope    Scope
	Spam     Spam
	Named    Named // nil: no client's name is known

	health health
}

// NewRspamd returns an inspector that asks c.
func NewRspamd(c *rspamd.Client, hostname mail.Domain, s Scope, spam Spam, log *slog.Logger) *Rspamd {
	return &Rspamd{Client: c, Hostname: hostname, Scope: s, Spam: spam, health: health{logger: log}}
}

// SpamFields are the header fields that an Rspamd may add, and that nobody may bring
// along where one is asked.
func SpamFields() []string {
	return []string{
		"X-Spam", "X-Spam-Flag", "X-Spam-Status", "X-Spam-Score", "X-Spam-Level", "X-Spam-Action", "X-Spam-Report", "X-Spam-Result",
		"X-Spamd-Bar", "X-Spamd-Result", "X-Rspamd-Score", "X-Rspamd-Action", "X-Rspamd-Queue-Id", "X-Rspamd-Server",
	}
}

const rspamdName = "rspamd"

// Name implements intake.Inspector.
func (*Rspamd) Name() string { return rspamdName }

// Begin implements intake.Inspector.
func (r *Rspamd) Begin(m intake.Message) intake.Look {
	if !r.Scope.covers(m) {
		return nil
	}
	return rspamdLook{r, m}
}

type rspamdLook struct {
	r *Rspamd
	m intake.Message
}

// Body implements intake.Look.
func (rspamdLook) Body([]byte) {}

// Judge implements intake.Look.
func (l rspamdLook) Judge(ctx context.Context, c intake.Content) intake.Finding {
	body, size, err := whole(c)
	switch {
	case err != nil:
		return l.r.Scope.failed(rspamdName, err, &l.r.health)
	case size > l.r.Scope.MaxSize:
		return l.r.Scope.oversize(rspamdName, size)
	}
	q := rspamd.Request{
		IP: l.m.Peer, Client: l.r.Named.of(ctx, l.m), Hello: l.m.Hello, From: l.m.Envelope.From, To: l.m.Envelope.To, User: l.m.Account,
		QueueID: l.m.ID, Hostname: l.r.Hostname, Size: size,
	}
	q.TLSVersion, q.TLSCipher = security(l.m.TLS)
	a, err := l.r.Client.Check(ctx, q, body)
	l.r.health.saw(rspamdName, err)
	if err != nil {
		return l.r.Scope.failed(rspamdName, err, &l.r.health)
	}
	f := RspamdFinding(a, l.r.Spam, !l.m.Account.IsZero())
	if told := q.Told(); told < len(q.To) {
		f.Notes = append(f.Notes, fact.Pair{Name: rspamdName, Value: fmt.Sprintf("was told the first %d of %d recipients", told, len(q.To))})
	}
	return f
}

// RspamdFinding says what becomes of a message by Rspamd's answer. Mail of our own
// people is refused, put off or held like any other, and never marked: the mark would
// go out into the world.
func RspamdFinding(a rspamd.Answer, spam Spam, own bool) intake.Finding {
	f := intake.Finding{Action: intake.Pass, Notes: rspamdNotes(a)}
	marked := false
	switch a.Action {
	case rspamd.Reject:
		f.Action, f.Rule, f.Reply = intake.Refuse, RuleRspamdReject, mail.R(550, "5.7.1", orText(words(a.Message), "the message looks like spam"))
	case rspamd.SoftReject:
		f.Action, f.Rule, f.Reply = intake.Defer, RuleRspamdSoftReject, mail.R(451, "4.7.1", orText(words(a.Message), "try again later"))
	case rspamd.Discard:
		// RFC 5321 §4.2.5: what was accepted may not vanish.
		f.Action, f.Rule, f.Reason = intake.Hold, RuleRspamdDiscard, "Rspamd wants it discarded; "+score(a)
	case rspamd.AddHeader, rspamd.RewriteSubject, rspamd.Quarantine:
		marked = true
		if spam == SpamJunk && !own {
			f.Action, f.Rule, f.Reason = intake.Junk, RuleRspamdSpam, a.Action.String()+"; "+score(a)
		}
	case rspamd.NoAction, rspamd.Greylist, rspamd.Custom:
		// Whoever is to come again gets "soft reject" from its greylisting module. The bare
		// word is a score, which is the same each time: where that module or its Redis is
		// missing, such mail would never get in. Nor would mail with an action that the
		// administrator invented: 451 belongs to "soft reject" alone.
	default:
		return intake.Finding{} // nothing is known of it: it is deferred
	}
	if !own && (f.Action == intake.Pass || f.Action == intake.Junk || f.Action == intake.Hold) {
		f.Fields = spamFields(a, marked || a.Action == rspamd.Discard)
	}
	return f
}

func orText(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func score(a rspamd.Answer) string { return fmt.Sprintf("score %.2f of %.2f", a.Score, a.Required) }

func rspamdNotes(a rspamd.Answer) []fact.Pair {
	action := a.Action.String()
	if a.Action == rspamd.Custom {
		action = fmt.Sprintf("%s action %.40q", action, a.Word)
	}
	if a.Instead != rspamd.ActionUnknown {
		action = a.Instead.String() + ", for which it asks for " + action
	}
	notes := []fact.Pair{{Name: rspamdName, Value: action + ", " + score(a)}}
	if a.Skipped {
		notes[0].Value += ", without its rules"
	}
	var b strings.Builder
	for i, s := range a.Symbols {
		if i > 0 {
			b.WriteString(" ")
		}
		fmt.Fprintf(&b, "%s(%.2f)", words(s.Name), s.Score)
	}
	if b.Len() > 0 {
		notes = append(notes, fact.Pair{Name: "rspamd symbols", Value: b.String()})
	}
	return notes
}

// spamFields are those that Rspamd names and may add, and ours where it names none
// of that name.
func spamFields(a rspamd.Answer, spam bool) []byte {
	var b []byte
	has := func(name string) bool {
		return slices.ContainsFunc(a.Fields, func(f rspamd.Field) bool { return strings.EqualFold(f.Name, name) })
	}
	flag := "No"
	if spam {
		flag = "Yes"
		if !has("X-Spam") {
			b = append(b, "X-Spam: Yes\r\n"...)
		}
	}
	if !has("X-Spam-Status") {
		b = fmt.Appendf(b, "X-Spam-Status: %s, score=%.2f required=%.2f\r\n", flag, a.Score, a.Required)
	}
	for _, f := range a.Fields {
		allowed := slices.IndexFunc(SpamFields(), func(n string) bool { return strings.EqualFold(n, f.Name) })
		if allowed >= 0 {
			// Folded lines of its own are joined: RFC 5322 §2.1.1 lets a line have 998.
			b = append(b, SpamFields()[allowed]+": "+spamValue(f.Value)+"\r\n"...)
		}
	}
	return b
}

// What is kept of a field of an answer, and how long a line of it may become; RFC 5322 §2.1.1 lets one have 998.
const (
	mostValue = 4000
	mostLine  = 200
)

// spamValue brings a value into one line, or into folded ones where it is long.
// RFC 5322 §2.2.3.
func spamValue(s string) string {
	var b strings.Builder
	line := 0
	for _, word := range strings.Fields(s[:min(len(s), mostValue)]) {
		word = words(word)
		switch {
		case b.Len() == 0:
		case line+len(word) > mostLine:
			b.WriteString("\r\n\t")
			line = 0
		default:
			b.WriteString(" ")
		}
		b.WriteString(word)
		line += len(word) + 1
	}
	return b.String()
}
