package fact

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/mail"
)

// Line renders the fact as one readable line of printable text, with the time of
// day in At's own location:
//
//	14:03:12 accepted 0r5… from <alice@local.test> to <bob@remote.test> (1.2 KB) rule submission-relay
func (f Fact) Line() string {
	f = f.normalIn(f.At.Location())
	l := line{}
	if !f.At.IsZero() {
		l.word(f.At.Format("15:04:05"))
	}
	l.word(f.verb())
	l.times(f)
	l.who(f)
	l.from(f)
	l.to(f)
	l.amounts(f)
	l.answer(f)
	l.why(f)
	return strings.Join(l.words, " ")
}

// TimelineIndent is what the lines below a fact begin with.
const TimelineIndent = "             "

// Timeline renders facts as lines, as a Chronicle does.
func Timeline(facts []Fact, loc *time.Location) string {
	var c Chronicle
	var b strings.Builder
	for _, f := range facts {
		b.WriteString(c.Add(f, loc))
	}
	return b.String()
}

// Chronicle renders facts one after another as lines, with a heading where the day changes
// and the evidence indented below its fact. The zero Chronicle begins with a heading.
type Chronicle struct{ day string }

// Add renders the next fact. loc is the reader's time zone; nil is UTC.
func (c *Chronicle) Add(f Fact, loc *time.Location) string {
	if loc == nil {
		loc = time.UTC
	}
	var b strings.Builder
	f.At, f.Until = f.At.In(loc), f.Until.In(loc)
	if d := f.At.Format("Monday, 2 January 2006 (MST)"); d != c.day && !f.At.IsZero() {
		c.day = d
		b.WriteString(d + "\n")
	}
	b.WriteString("  " + f.Line() + "\n")
	for _, p := range f.Normal().Evidence {
		b.WriteString(TimelineIndent + p.Name + ": " + p.Value + "\n")
	}
	return b.String()
}

// normalIn cleans every text of a fact that may not come from the store, and
// keeps the time zone of its reader.
func (f Fact) normalIn(loc *time.Location) Fact {
	n := f.Normal()
	n.At, n.Until = n.At.In(loc), n.Until.In(loc)
	return n
}

type line struct{ words []string }

func (l *line) word(s string) {
	if s != "" {
		l.words = append(l.words, s)
	}
}

func (l *line) named(name, value string) {
	if value != "" {
		l.word(name + " " + mail.Word(value))
	}
}

// free returns a text of several words, which a peer may have chosen: in quotes where it
// could be read as what may follow it on the line, a name with its value.
func free(s string) string {
	if strings.Contains(s, "=") || strings.Contains(" "+s, " rule ") ||
		strings.Contains(" "+s, " message-id ") || strings.Contains(s, " - ") {
		return mail.Word(s)
	}
	return mail.Shown(s)
}

// remote names a server: a host name, and its address behind a blank.
func (l *line) remote(name, value string) {
	if value != "" {
		l.word(name + " " + free(value))
	}
}

// reply writes an answer. RFC 5321 §4.2
func (l *line) reply(r mail.Reply) {
	text := r.Text
	r.Text = ""
	if text = strings.ReplaceAll(text, "\n", " / "); text != "" {
		text = free(text)
	}
	l.word(r.String() + text)
}

// value adds a text that a peer may have chosen, as one word.
func (l *line) value(s string) {
	if s != "" {
		l.word(mail.Word(s))
	}
}

// times says how often, for a fact that stands for several.
func (l *line) times(f Fact) {
	switch {
	case f.Kind == KindRefusals:
		l.word(strconv.Itoa(f.Count) + " of strangers, summed up")
	case f.Summed() && f.Count > 1:
		l.word(strconv.Itoa(f.Count) + " times until " + f.Until.Format("15:04:05"))
	case f.Kind == KindOutcome && f.Count > 0:
		l.word("at attempt " + strconv.Itoa(f.Count))
	case f.Kind == KindDisconnect && !f.Summed():
		l.word("after " + strconv.Itoa(f.Count) + " accepted")
	case f.Count > 0 && !f.Summed():
		l.word(strconv.Itoa(f.Count))
	}
}

func (l *line) who(f Fact) {
	l.word(f.Queue.String())
	l.named("about", f.About.String())
	if f.Kind == KindAccount || f.Kind == KindAuth || f.Kind == KindDirectory {
		l.value(f.Account)
	} else {
		l.named("account", f.Account)
	}
	switch {
	case f.Peer.IsValid() && f.Queue.IsZero():
		l.named("client", f.Peer.String())
	case f.Network.IsValid():
		l.named("network", f.Network.String())
	}
	if f.Queue.IsZero() {
		l.named("on", f.Door)
		l.named("hello", f.Hello)
	}
}

func (l *line) from(f Fact) {
	if f.Sender != "" {
		l.word("from " + bracketed(f.Sender))
	}
}

// shownRecipients is how many recipients one line names.
const shownRecipients = 3

func (l *line) to(f Fact) {
	list := f.Recipients
	if f.Recipient != "" {
		list = append([]string{f.Recipient}, list...)
	}
	if len(list) == 0 {
		return
	}
	var names []string
	for _, s := range list[:min(len(list), shownRecipients)] {
		names = append(names, bracketed(s))
	}
	text := "to " + strings.Join(names, ", ")
	if more := len(list) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	l.word(text)
}

func (l *line) amounts(f Fact) {
	if f.Size > 0 {
		l.word("(" + Octets(f.Size) + ")")
	}
}

func (l *line) answer(f Fact) {
	l.remote("via", f.Remote)
	if f.TLS != "" {
		l.word("[" + f.TLS + "]")
	}
	if !f.Reply.IsZero() {
		l.reply(f.Reply)
	}
}

func (l *line) why(f Fact) {
	if f.Text != "" {
		l.word("- " + free(f.Text))
	}
	l.named("rule", f.Rule)
	if f.Kind != KindRefusals {
		l.named("message-id", f.MessageID)
	}
}

// bracketed writes an address; of a recipient that leads to another mailbox, both.
func bracketed(s string) string {
	if to, mailbox, two := strings.Cut(strings.TrimSuffix(s, ")"), " ("); two && strings.HasSuffix(s, ")") &&
		!strings.ContainsAny(mail.Word("<"+to+">")+mail.Word("<"+mailbox+">"), `" `) {
		return "<" + s + ">"
	}
	if strings.HasPrefix(s, "<") {
		return mail.Word(s)
	}
	return mail.Word("<" + s + ">")
}

// Units of sizes.
const (
	kB = 1000
	mB = 1000 * kB
	gB = 1000 * mB
)

// Octets writes a size for people: "812 B", "1.2 KB", "3.4 MB".
func Octets(n int64) string {
	switch {
	case n < kB:
		return strconv.FormatInt(n, 10) + " B"
	case n < mB:
		return strconv.FormatFloat(float64(n)/kB, 'f', 1, 64) + " KB"
	case n < gB:
		return strconv.FormatFloat(float64(n)/mB, 'f', 1, 64) + " MB"
	}
	return strconv.FormatFloat(float64(n)/gB, 'f', 1, 64) + " GB"
}
