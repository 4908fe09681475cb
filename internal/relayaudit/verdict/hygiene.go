package verdict

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/mail"
)

// replyOf makes evidence of a greeting.
func replyOf(code int, text string) mail.Reply { return mail.Reply{Code: code, Text: text} }

// delivered tells what became of messages for an address of the auditor's own.
func (j *judge) delivered(d Door) {
	for _, m := range d.Messages {
		if m.Whole {
			what := "Look whether it arrives: its subject holds " + m.Mark + "."
			if m.Back != nil {
				what = fmt.Sprintf("It arrived %s later.", seconds(m.Back.After))
			}
			j.find(d, "relay.open", Hole, fmt.Sprintf("It took a whole message for %s (form %s). %s", m.To, m.Form, what), m.Said...)
		}
	}
	s := d.Smuggled
	switch {
	case s.Ended != "":
		j.find(d, "smuggling", Hole,
			fmt.Sprintf("It took the message to end at %s. One message went to your own address; its subject holds %s.", s.Ended, s.Mark),
			s.Answer)
	case !s.Asked && d.Kind == SMTP:
		j.find(d, "smuggling.untold", Unknown, s.Why)
	}
}

// firstOf returns the first command of a probe with a verb.
func firstOf(said []Said, verb string) (Said, bool) {
	i := slices.IndexFunc(said, func(s Said) bool { return s.Verb == verb })
	if i < 0 {
		return Said{}, false
	}
	return said[i], true
}

// took reports whether a probe's command of that verb got a 2xx.
func (d Door) took(probe, verb string) bool {
	s, found := firstOf(d.Probes[probe], verb)
	return found && s.Took()
}

func (j *judge) probes(d Door) {
	for _, p := range []struct{ probe, verb, check string }{
		{ProbeXCLIENT, "xclient", "xclient"}, {ProbeXFORWARD, "xforward", "xclient"},
		{ProbeBDAT, "bdat", "bdat"}, {ProbeBDATEarly, "bdat", "bdat"}, {ProbeEXTERNAL, "auth", "external"},
	} {
		if said := d.Probes[p.probe]; d.took(p.probe, p.verb) || p.verb == "xclient" && greetsAgain(said) {
			j.find(d, p.check, Hole, "", said...)
		}
	}
	for _, probe := range []string{ProbePROXY1, ProbePROXY2} {
		if said := d.Probes[probe]; believedProxy(said) {
			j.find(d, "proxy", Hole, "", said...)
		}
	}
	for _, probe := range []string{ProbeAUTH, ProbeAUTHLogin} {
		if s, found := firstOf(d.Probes[probe], "auth"); found && s.Reply.Code == 334 {
			j.find(d, "tls.strip", Weakness, "It asks for the password in clear.", s)
		}
	}
	j.questions(d)
}

// greetsAgain reports whether XCLIENT was answered with a new greeting.
func greetsAgain(said []Said) bool {
	s, found := firstOf(said, "xclient")
	return found && s.Reply.Code == 220
}

// believedProxy reports whether a server took a PROXY header as one: it greets, and its next
// reply is the one to EHLO, whereas one that read the header as a command has refused that.
func believedProxy(said []Said) bool {
	hello, asked := firstOf(said, "ehlo")
	return len(said) > 0 && said[0].Verb == "greet" && said[0].Reply.Code == 220 && asked && hello.Took() &&
		strings.Contains(hello.Reply.Text, "\n")
}

// questions judges VRFY, EXPN and ETRN.
func (j *judge) questions(d Door) {
	said := d.Probes[ProbeVRFY]
	// Postfix answers 252 for who is there, and 550 for nobody.
	knows := slices.ContainsFunc(said, Said.Took)
	denies := slices.ContainsFunc(said, func(s Said) bool { return s.Reply.Code == 550 || s.Reply.Code == 551 || s.Reply.Code == 553 })
	if knows && denies {
		j.find(d, "vrfy", Weakness, "", said...)
	}
	if said := d.Probes[ProbeEXPN]; slices.ContainsFunc(said, func(s Said) bool { return s.Reply.Code == 250 }) {
		j.find(d, "expn", Weakness, "", said...)
	}
	if said := d.Probes[ProbeETRN]; slices.ContainsFunc(said, func(s Said) bool { return s.Took() && s.Verb == "etrn" }) {
		j.find(d, "etrn", Weakness, "", said...)
	}
}

// names judges what RCPT says of names at the server's own domain.
func (j *judge) names(d Door) {
	nobody, asked := d.Nobodies[d.Names.Local.ASCII()]
	postmaster, there := firstOf(d.Probes[ProbePostmaster], "rcpt")
	known := len(d.Names.Taken) > 0
	switch {
	case d.Kind != SMTP && asked && there && postmaster.Took() && !nobody.Took() && nobody.Reply.Class() == mail.ClassPermanent:
		j.find(d, "enumeration", Weakness, "", postmaster, nobody)
	case d.Kind != SMTP:
		return
	case asked && known && nobody.Took():
		j.bounces(d, nobody)
	case asked && there && postmaster.Took() && nobody.Reply.Class() == mail.ClassPermanent:
		j.find(d, "recipients", Note, "", postmaster, nobody)
	case there && postmaster.Reply.Class() == mail.ClassPermanent && !wantsSignIn(postmaster.Reply):
		j.find(d, "postmaster", Note, "As far as its domain could be found out: "+d.Names.Local.ASCII()+".", postmaster)
		if !known && postmaster.Reply.Code != 503 { // which is about the order of commands, and no word about a domain
			j.find(d, "domain", Unknown, "What depends on it was asked at "+d.Names.Local.ASCII()+".", postmaster)
		}
	}
	if s, found := firstOf(d.Probes[ProbeNull], "mail"); found && s.Reply.Class() == mail.ClassPermanent && !wantsSignIn(s.Reply) {
		j.find(d, "null-sender", Weakness, "", s)
	}
}

// bounces judges what became of a message for a name that nobody has.
func (j *judge) bounces(d Door, nobody Said) {
	b := d.Bounce
	switch {
	case b.Back != nil:
		back := Said{
			Verb: "back", Sent: "(" + seconds(b.Back.After) + " later, at " + b.From + ")",
			Outcome: fmt.Sprintf("a message from <%s>: %s", b.Back.From, b.Back.Subject),
		}
		j.find(d, "backscatter", Hole,
			fmt.Sprintf("A message for %s was taken, and %s was told that it could not be delivered.", b.To, b.From),
			append(lastOf(b.Said, maxEvidence-1), back)...)
	case b.Whole && b.Awaited > 0:
		j.find(d, "bounces.none", Note,
			fmt.Sprintf("Within %s nothing came to %s. What comes later holds %s.", seconds(b.Awaited), b.From, b.Mark),
			b.Said...)
	case b.Whole:
		j.find(d, "bounces", Unknown,
			fmt.Sprintf("A message for %s was taken. Look whether an error message comes to %s: it holds %s.", b.To, b.From, b.Mark),
			b.Said...)
	case b.To != "" && refusedForGood(b.Said):
		j.find(d, "bounces.late", Note, "", b.Said...)
	case b.To != "":
		j.find(d, "bounces", Unknown, "A message for "+b.To+" was put off, or not answered.", b.Said...)
	default:
		j.find(d, "bounces", Unknown, "", nobody)
	}
}

// refusedForGood reports whether the last thing that was said was refused with a 5xx.
func refusedForGood(said []Said) bool {
	return len(said) > 0 && said[len(said)-1].Reply.Class() == mail.ClassPermanent
}

func lastOf(said []Said, n int) []Said {
	return slices.Clone(said[max(0, len(said)-n):])
}

// seconds writes how long something took.
func seconds(d time.Duration) string { return d.Round(tookStep).String() }

// tls judges the TLS of a door.
func (j *judge) tls(d Door) {
	t := d.TLS
	people := d.Kind != SMTP
	if t.Surplus {
		j.find(d, "starttls.injection", Hole, "", t.Injected...)
	}
	if !t.Asked || t.Fault != "" {
		grade := Weakness
		if !t.Asked && !slices.ContainsFunc(d.Clear, func(s string) bool { return strings.HasPrefix(s, "AUTH") }) && people {
			grade = Note // nobody can sign in there
		}
		j.find(d, "tls.none", grade, t.Fault)
		return
	}
	if d.Kind == Submission {
		j.stripped(d)
	}
	grade := Note
	if people {
		grade = Weakness
	}
	if len(t.Old) > 0 {
		j.find(d, "tls.old", grade, strings.Join(t.Old, ", ")+".")
	}
	if len(t.Weak) > 0 {
		j.find(d, "tls.weak", Weakness, strings.Join(t.Weak, ", ")+".")
	}
	j.certificate(d, grade)
}

// stripped judges what a submission door does for a client from whom STARTTLS is kept.
func (j *judge) stripped(d Door) {
	if slices.ContainsFunc(d.Clear, func(s string) bool { return strings.HasPrefix(s, "AUTH") }) {
		j.find(d, "tls.strip", Weakness, "It offers AUTH before TLS.")
	}
	if s, found := firstOf(d.Probes[ProbeNull], "mail"); found && s.Took() {
		j.find(d, "tls.strip", Weakness, "It takes MAIL before TLS and before anybody signed in.", s)
	}
}

// certificate judges who a server proves to be. Between servers it is seldom asked for, so
// that at port 25 only a wrong one that some insist on is to know.
func (j *judge) certificate(d Door, grade Grade) {
	c := d.TLS.Cert
	if !c.Seen {
		return
	}
	begun := d.TLS.Cert.NotAfter
	switch {
	case c.Untrusted != "":
		j.find(d, "certificate", grade, c.Untrusted)
	case !c.Matches:
		j.find(d, "certificate", grade, fmt.Sprintf("It is for %s, and not for %s.", strings.Join(c.Names, ", "), c.AskedFor))
	case !begun.IsZero() && !j.res.Server.Began.IsZero() && begun.Sub(j.res.Server.Began) < soon:
		j.find(d, "certificate", grade, "It ends on "+begun.UTC().Format("2 January 2006")+".")
	}
	if c.WeakKey {
		j.find(d, "certificate.weak", Weakness, "Its key: "+c.Key+".")
	}
	if c.WeakSig {
		j.find(d, "certificate.weak", Weakness, "Its signature: "+c.Signature+".")
	}
}
