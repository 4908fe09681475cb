package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Grade says how bad a finding is. The zero Grade is fine.
type Grade uint8

const (
	Fine     Grade = iota
	Note           // to know
	Unknown        // can't be told without --deliver
	Weakness       // makes an attack easier, or a mistake
	Hole           // an attack
)

// String returns the word of a report.
func (g Grade) String() string {
	return [...]string{"fine", "note", "can't tell", "weakness", "HOLE"}[min(g, Hole)]
}

// Names of the probes of a door, as in probes.txt of the room that asks them.
const (
	ProbePostmaster = "postmaster"
	ProbeNull       = "null"
	ProbeVRFY       = "vrfy"
	ProbeEXPN       = "expn"
	ProbeETRN       = "etrn"
	ProbeXCLIENT    = "xclient"
	ProbeXFORWARD   = "xforward"
	ProbePROXY1     = "proxy1"
	ProbePROXY2     = "proxy2"
	ProbeBDAT       = "bdat"
	ProbeBDATEarly  = "bdat-early"
	ProbeAUTH       = "auth"
	ProbeAUTHLogin  = "auth-login"
	ProbeEXTERNAL   = "external"
)

// Finding is one thing that is to be told about a server.
type Finding struct {
	Check  string
	Grade  Grade
	Title  string
	Detail string   // of this server
	Doors  []string // at which it was found
	Said   []Said   // what shows it
	Why    string
	Mend   []Mend
}

// Result is a server with what was found.
type Result struct {
	Server   Server
	Relay    Relay
	Doors    []DoorResult
	Findings []Finding
	Rows     int // of the catalogue, that were asked at port 25
	AsStrict int // of these, answered as our own server would
}

// DoorResult is one door with its verdict.
type DoorResult struct {
	Door  Door
	Relay Relay
	Tally Tally
}

// Worst returns the grade of the worst finding.
func (r Result) Worst() Grade {
	g := Fine
	for _, f := range r.Findings {
		g = max(g, f.Grade)
	}
	return g
}

// maxEvidence bounds the commands that a finding shows.
const maxEvidence = 8

// Judge judges one server.
func Judge(s Server) (Result, error) {
	texts, err := advice()
	if err != nil {
		return Result{}, err
	}
	j := judge{texts: texts, res: Result{Server: s}}
	for _, d := range s.Doors {
		relay, tally := judgeDoor(d)
		j.res.Doors = append(j.res.Doors, DoorResult{d, relay, tally})
		if d.Fault == "" {
			j.door(d, relay)
		}
	}
	j.res.Relay = together(j.res.Doors)
	j.strictness(s.Doors)
	if j.unknown != "" {
		return Result{}, fmt.Errorf("%w: [%s] has no text", ErrAdvice, j.unknown)
	}
	slices.SortStableFunc(j.res.Findings, func(a, b Finding) int { return cmp.Compare(b.Grade, a.Grade) })
	return j.res, nil
}

// together is the verdict on a server: open if one door is, closed only if each door that was
// reached is.
func together(doors []DoorResult) Relay {
	all := Unreached
	for _, d := range doors {
		switch {
		case d.Relay == Open:
			return Open
		case d.Relay == CantTell:
			all = CantTell
		case d.Relay == Closed && all == Unreached:
			all = Closed
		}
	}
	return all
}

// judge gathers the findings of one server.
type judge struct {
	texts   map[string]text
	res     Result
	unknown string
}

// find notes a finding at a door. The same one at several doors is told once.
func (j *judge) find(d Door, check string, g Grade, detail string, said ...Said) {
	at := fmt.Sprintf("%s %s", d.At, d.Kind)
	for i, f := range j.res.Findings {
		if f.Check == check && f.Detail == detail && f.Grade == g {
			if !slices.Contains(f.Doors, at) {
				j.res.Findings[i].Doors = append(f.Doors, at)
			}
			return
		}
	}
	t, found := j.texts[check]
	if !found {
		j.unknown = check
	}
	j.res.Findings = append(j.res.Findings, Finding{Check: check, Grade: g, Title: t.title, Detail: detail,
		Doors: []string{at}, Said: said[:min(len(said), maxEvidence)], Why: t.why, Mend: t.mend})
}

func (j *judge) door(d Door, relay Relay) {
	j.relaying(d, relay)
	j.delivered(d)
	j.probes(d)
	j.names(d)
	j.timings(d)
	j.tls(d)
	if !d.Still {
		j.find(d, "gone", Weakness, "")
	}
	if v := versionIn(d.Greeting); v != "" {
		j.find(d, "version", Note, "It says "+v+".", Said{Sent: "(connecting)", Outcome: "220", Reply: replyOf(220, d.Greeting)})
	}
}

// relaying tells how a door relays, or why that can't be told.
func (j *judge) relaying(d Door, relay Relay) {
	by := map[string][]Form{}
	uncertain := []Form{}
	for _, f := range d.Forms {
		switch a, _ := judgeForm(f, d); a {
		case taken, around:
			check := cause(f, a, d)
			by[check] = append(by[check], f)
		case unclear:
			uncertain = append(uncertain, f)
		}
	}
	for _, check := range []string{"relay.open", "relay.own-sender", "relay.form", "relay.certificate", "relay.second"} {
		if forms := by[check]; len(forms) > 0 {
			j.find(d, check, Hole, countOf(forms), forms[0].Said...)
		}
	}
	if relay == Open && d.Own {
		j.find(d, "relay.loopback", Note, "")
	}
	if len(uncertain) > 0 && relay != Open {
		j.find(d, "relay.local", Unknown, countOf(uncertain), uncertain[0].Said...)
	}
	if relay == CantTell {
		j.find(d, "relay.untold", Unknown, "", firstSaid(d.Forms)...)
	}
}

// cause says by which of its ways a form that was taken got through.
func cause(f Form, a answer, d Door) string {
	plain := func(g Form) bool { return !g.Shown && takenPlain(g, d) }
	switch {
	case f.Shown && !slices.ContainsFunc(d.Forms, plain):
		return "relay.certificate"
	case asksTwice(d):
		return "relay.second"
	case a == around:
		return "relay.form"
	case ownSender(f, d) && !slices.ContainsFunc(d.Forms, func(g Form) bool { return plain(g) && !ownSender(g, d) }):
		return "relay.own-sender"
	}
	return "relay.open"
}

func takenPlain(f Form, d Door) bool {
	a, _ := judgeForm(f, d)
	return a == taken
}

// ownSender reports whether the sender of a form claims to be of the server's own.
func ownSender(f Form, d Door) bool {
	for _, s := range f.Said {
		if s.Verb != "mail" {
			continue
		}
		tail, found := tailOf(pathOf(s.Line))
		if pathOf(s.Line) != "" && (!found || isOwn(tail, d.Names, d.At.Addr().Unmap())) {
			return true
		}
	}
	return false
}

// asksTwice reports whether a recipient was taken in one session that had been refused in it:
// then the forms that follow a refusal are taken for that.
func asksTwice(d Door) bool {
	for _, f := range d.Forms {
		before := map[string]bool{}
		for _, s := range f.Said {
			if s.Verb != "rcpt" || f.Shown {
				continue
			}
			switch judgeRecipient(s, d) {
			case refused:
				before[s.Line] = true
			case taken:
				if before[s.Line] {
					return true
				}
			}
		}
	}
	return false
}

// mostForms is how many forms of an address a finding names.
const mostForms = 4

func countOf(forms []Form) string {
	names := make([]string, 0, mostForms)
	for _, f := range forms[:min(len(forms), mostForms)] {
		names = append(names, f.ID)
	}
	more := ""
	if len(forms) > len(names) {
		more = ", …"
	}
	word := "forms"
	if len(forms) == 1 {
		word = "form"
	}
	return fmt.Sprintf("%d %s of the catalogue: %s%s.", len(forms), word, strings.Join(names, ", "), more)
}

func firstSaid(forms []Form) []Said {
	if len(forms) == 0 {
		return nil
	}
	return forms[0].Said
}

// strictness counts the rows that port 25 answers as our own server does.
func (j *judge) strictness(doors []Door) {
	for _, d := range doors {
		if d.Kind != SMTP || j.res.Rows > 0 {
			continue
		}
		for _, f := range d.Forms {
			if f.TLS || f.Shown || f.Fault != "" {
				continue
			}
			j.res.Rows++
			if len(f.Laxer) == 0 {
				j.res.AsStrict++
			}
		}
	}
}

// Laxer returns the forms that port 25 answered otherwise than our own server would.
func (r Result) Laxer() (forms []Form) {
	for _, d := range r.Server.Doors {
		if d.Kind != SMTP || d.Fault != "" {
			continue
		}
		for _, f := range d.Forms {
			if !f.TLS && !f.Shown && f.Fault == "" && len(f.Laxer) > 0 {
				forms = append(forms, f)
			}
		}
		break
	}
	return forms
}
