package verdict

import (
	"regexp"
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// Relay is whether a server relays. The zero Relay is that nothing was learnt.
type Relay uint8

const (
	Unreached Relay = iota // nothing could be asked
	CantTell               // the answers to RCPT don't tell
	Closed                 // every recipient elsewhere is refused
	Open                   // one is taken
)

// String returns the verdict in the words of a report.
func (r Relay) String() string {
	switch r {
	case CantTell:
		return "can't tell"
	case Closed:
		return "closed"
	case Open:
		return "relays"
	}
	return "not reached"
}

// Word is Relay as machines read it.
func (r Relay) Word() string {
	return [...]string{"unreached", "cant-tell", "closed", "open"}[min(r, Open)]
}

// answer says what a form showed.
type answer uint8

const (
	untold  answer = iota // it was not answered, or refused for another reason
	refused               // the recipient was refused, for good or for now
	unclear               // an address of its own to one reader was taken, and so is everybody
	around                // an address that leads elsewhere was taken where a plain one is not
	taken                 // a plain recipient elsewhere was taken
)

// Tally counts forms by what they showed.
type Tally struct {
	Asked, Refused, Taken, Unclear, Untold int
}

func (t *Tally) add(a answer) {
	t.Asked++
	switch a {
	case refused:
		t.Refused++
	case taken, around:
		t.Taken++
	case unclear:
		t.Unclear++
	default:
		t.Untold++
	}
}

// aboutName is the text of a refusal that is about a name that is not found, and so would be
// another for a name that is. It is looked for only where the enhanced code does not say it.
var aboutName = [...]string{
	"domain not found", "host not found", "unknown host", "host unknown", "unrouteable", "unroutable", "domain does not exist",
	"null mx", "nullmx", "no such domain", "sender verify", "sender address", "invalid sender", "cannot resolve", "does not resolve",
	"domain of sender", "unknown sender", "name service error", "dns", "nonexistent domain", "helo command rejected",
}

// AboutNames reports whether a refusal is about a name that does not exist, or about the
// sender: with another it might be none. RFC 3463 §3.2: X.1.2, X.1.7, X.1.8; RFC 7505 §4.2:
// X.1.10.
func AboutNames(r mail.Reply) bool {
	if e := r.Enhanced; e.Subject == 1 && (e.Detail == 2 || e.Detail == 7 || e.Detail == 8 || e.Detail == 10) {
		return true
	}
	text := strings.ToLower(r.Text)
	for _, w := range aboutName {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// aboutClient is the text of a refusal that is about who asks, or about that it asks for the first time: whoever has
// another address, or comes again, may be told otherwise.
var aboutClient = [...]string{
	"greylist", "graylist", "grey-list", "gray-list", "grey list", "gray list", "blocked using", "cannot find your", "spamhaus", "blacklist",
	"black list", "blocklist", "block list", "dnsbl", "denylist", "poor reputation", "bad reputation", "reverse dns", "rdns", "ptr record", "dynamic ip",
}

// AboutClient reports whether a refusal is about the client, so that it says nothing of relaying. RFC 7372 §3.3: X.7.25
// is about the client's name.
func AboutClient(r mail.Reply) bool {
	text := strings.ToLower(r.Text)
	if e := r.Enhanced; e.Subject == 7 && e.Detail == 25 {
		return true
	}
	return slices.ContainsFunc(aboutClient[:], func(w string) bool { return strings.Contains(text, w) })
}

// aboutRelaying reports whether a refusal says itself that it is one of relaying, whatever it names beside, as Sendmail's
// "Relaying denied. IP name lookup failed".
func aboutRelaying(r mail.Reply) bool {
	text := strings.ToLower(r.Text)
	return slices.ContainsFunc([]string{"relay access denied", "relay denied", "relaying denied", "relay not permitted"}, func(w string) bool { return strings.Contains(text, w) })
}

// wantsSignIn is how a server says that it takes nothing of strangers. Some say so by 503, as if AUTH were only late.
func wantsSignIn(r mail.Reply) bool {
	return r.Code == 530 || r.Code == 535 || r.Code == 538 || r.Code == 503 && strings.Contains(strings.ToLower(r.Text), "auth")
}

// judgeForm says what a form showed, and the command that showed it.
func judgeForm(f Form, d Door) (answer, Said) {
	worst, by := untold, Said{}
	for _, s := range f.Said {
		if s.Verb != "rcpt" {
			if s.Verb == "mail" && wantsSignIn(s.Reply) && worst < refused {
				worst, by = refused, s
			}
			continue
		}
		if a := judgeRecipient(s, d); a > worst {
			worst, by = a, s
		}
	}
	return worst, by
}

func judgeRecipient(s Said, d Door) answer {
	path := pathOf(s.Line)
	to := classify(path, d.Names, d.At.Addr().Unmap())
	switch {
	case to == own, s.Reply.Code == 0, s.Reply.Code == 503 && !wantsSignIn(s.Reply):
		return untold
	case !s.Took() && !aboutRelaying(s.Reply) && (AboutNames(s.Reply) || AboutClient(s.Reply)):
		return untold
	case !s.Took():
		return refused
	case to == away:
		return taken
	case d.takesNobody(path):
		return around
	}
	return unclear
}

// takesNobody reports whether a server refuses a name that nobody has at the domain of path, so
// that taking path is no sign of taking everything.
func (d Door) takesNobody(path string) bool {
	tail, _ := tailOf(path)
	s, asked := d.Nobodies[tail]
	return asked && s.Reply.Code != 0 && !s.Took()
}

// asksElsewhere reports whether a form names anybody who may be elsewhere.
func asksElsewhere(f Form, d Door) bool {
	return slices.ContainsFunc(f.Said, func(s Said) bool {
		return s.Verb == "rcpt" && classify(pathOf(s.Line), d.Names, d.At.Addr().Unmap()) != own
	})
}

// judgeDoor says whether a door relays, and counts its forms.
func judgeDoor(d Door) (Relay, Tally) {
	var t Tally
	for _, f := range d.Forms {
		if asksElsewhere(f, d) {
			a, _ := judgeForm(f, d)
			t.add(a)
		}
	}
	switch {
	case d.Fault != "":
		return Unreached, t
	case t.Taken > 0:
		return Open, t
	case !d.refusesPlainly(), d.putsEverybodyOff():
		return CantTell, t
	}
	return Closed, t
}

// refusesPlainly reports whether the door refused a recipient of whom every reader knows that he is elsewhere, or takes
// nothing of strangers: that it refuses odd forms says nothing of how it answers the plain ones.
func (d Door) refusesPlainly() bool {
	return slices.ContainsFunc(d.Forms, func(f Form) bool {
		return asksElsewhere(f, d) && slices.ContainsFunc(f.Said, func(s Said) bool {
			if s.Verb == "mail" {
				return wantsSignIn(s.Reply)
			}
			return s.Verb == "rcpt" && judgeRecipient(s, d) == refused && classify(pathOf(s.Line), d.Names, d.At.Addr().Unmap()) == away
		})
	})
}

// putsEverybodyOff reports whether the door answers 4xx even for its own postmaster: then that
// it takes nobody else now says nothing of later.
func (d Door) putsEverybodyOff() bool {
	asked := false
	for _, s := range d.Probes[ProbePostmaster] {
		if s.Verb != "rcpt" {
			continue
		}
		asked = true
		if s.Reply.Class() != mail.ClassTransient {
			return false
		}
	}
	if !asked {
		return false
	}
	for _, f := range d.Forms {
		for _, s := range f.Said {
			if s.Verb == "rcpt" && s.Reply.Class() == mail.ClassPermanent && s.Reply.Code != 503 {
				return false
			}
		}
	}
	return true
}

// versionIn finds the number of a version in a greeting.
func versionIn(greeting string) string {
	return regexp.MustCompile(`\b\d+\.\d+(\.\d+)*\b`).FindString(strings.Join(strings.Fields(greeting)[min(1, len(strings.Fields(greeting))):], " "))
}
