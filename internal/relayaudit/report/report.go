// Package report writes what an audit found: as text for a terminal, as JSON and JUnit for
// machines, and as one HTML page that needs nothing else and runs nothing.
//
// What a server said is printable when it comes here, and is escaped for where it is written.
package report

import (
	"strconv"
	"strings"
	"time"

	"sallyport/internal/relayaudit/verdict"
)

// Run is one run of the program over some servers.
type Run struct {
	Summary string   `json:"summary"`
	Began   string   `json:"began"` // RFC 3339, UTC
	Code    int      `json:"code"`  // the exit code
	Servers []Server `json:"servers"`
}

// Server is one that was named on the command line.
type Server struct {
	Asked    string    `json:"asked"`
	Verdict  string    `json:"verdict"` // open, closed, cant-tell, unreached; refused
	Words    string    `json:"words"`
	Refused  string    `json:"refused,omitempty"`
	Advice   string    `json:"advice,omitempty"`
	Seconds  float64   `json:"seconds"`
	Rows     int       `json:"rows"`      // of the catalogue, asked at port 25
	AsStrict int       `json:"as_strict"` // of these, answered as our own server would
	Doors    []Door    `json:"doors,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
	Laxer    []Row     `json:"laxer,omitempty"` // those answered otherwise
}

// Door is one address and port.
type Door struct {
	At        string   `json:"at"`
	Kind      string   `json:"kind"`
	Verdict   string   `json:"verdict"`
	Words     string   `json:"words"`
	Fault     string   `json:"fault,omitempty"`
	Greeting  string   `json:"greeting,omitempty"`
	Names     []string `json:"names,omitempty"` // taken for the server's own
	Asked     int      `json:"forms_asked"`
	Refused   int      `json:"forms_refused"`
	Taken     int      `json:"forms_taken"`
	Unclear   int      `json:"forms_unclear"`
	Untold    int      `json:"forms_untold"`
	Early     bool     `json:"wants_sign_in,omitempty"`
	TLS       string   `json:"tls,omitempty"`
	WantsCert bool     `json:"wants_client_certificate,omitempty"`
}

// Finding is one thing to be told.
type Finding struct {
	Check  string         `json:"check"`
	Grade  string         `json:"grade"` // hole, weakness, unknown, note
	Words  string         `json:"words"`
	Title  string         `json:"title"`
	Detail string         `json:"detail,omitempty"`
	Doors  []string       `json:"doors"`
	Said   []Exchange     `json:"said,omitempty"`
	Why    string         `json:"why"`
	Mend   []verdict.Mend `json:"mend,omitempty"`
}

// Exchange is what was sent and what came back.
type Exchange struct {
	Sent string `json:"sent"`
	Back string `json:"back"`
}

// Row is one of the catalogue.
type Row struct {
	ID     string     `json:"id"`
	Source string     `json:"source"`
	Faults []string   `json:"faults"`
	Said   []Exchange `json:"said"`
}

// Of returns the report of judged servers.
func Of(all []verdict.Result, began time.Time, code int) Run {
	r := Run{Summary: verdict.Summary(all), Began: began.UTC().Format(time.RFC3339), Code: code, Servers: []Server{}}
	for _, one := range all {
		r.Servers = append(r.Servers, serverOf(one))
	}
	return r
}

// tookStep is how exactly it is told how long an audit took.
const tookStep = 10 * time.Millisecond

func serverOf(r verdict.Result) Server {
	s := Server{Asked: r.Server.Asked, Verdict: r.Relay.Word(), Words: r.Relay.String(), Refused: r.Server.Refused, Advice: r.Server.Advice,
		Seconds: r.Server.Took.Round(tookStep).Seconds(), Rows: r.Rows, AsStrict: r.AsStrict}
	if s.Refused != "" {
		s.Verdict, s.Words = "refused", "not audited"
	}
	for _, d := range r.Doors {
		s.Doors = append(s.Doors, doorOf(d))
	}
	for _, f := range r.Findings {
		s.Findings = append(s.Findings, Finding{
			Check: f.Check, Grade: gradeWord(f.Grade), Words: f.Grade.String(), Title: f.Title,
			Detail: f.Detail, Doors: f.Doors, Said: exchanges(f.Said), Why: f.Why, Mend: f.Mend,
		})
	}
	for _, f := range r.Laxer() {
		s.Laxer = append(s.Laxer, Row{f.ID, f.Source, f.Laxer, exchanges(f.Said)})
	}
	return s
}

func gradeWord(g verdict.Grade) string {
	return [...]string{"fine", "note", "unknown", "weakness", "hole"}[min(g, verdict.Hole)]
}

func doorOf(r verdict.DoorResult) Door {
	d, t := r.Door, r.Tally
	out := Door{At: d.At.String(), Kind: d.Kind.String(), Verdict: r.Relay.Word(), Words: r.Relay.String(), Fault: d.Fault,
		Greeting: strings.ReplaceAll(d.Greeting, "\n", " / "), Asked: t.Asked, Refused: t.Refused,
		Taken: t.Taken, Unclear: t.Unclear, Untold: t.Untold,
		Early: d.Early, TLS: d.TLS.Version, WantsCert: d.TLS.WantsCert}
	for _, n := range d.Names.Taken {
		out.Names = append(out.Names, n.ASCII())
	}
	return out
}

func exchanges(said []verdict.Said) (all []Exchange) {
	for _, s := range said {
		back := s.Outcome
		if s.Reply.Code != 0 {
			back = strings.TrimSpace(s.Reply.String())
		}
		sent := s.Sent
		if sent == "" {
			sent = "(" + s.Verb + ")"
		}
		all = append(all, Exchange{sent, back})
	}
	return all
}

// forms says in words what the forms at a door showed.
func (d Door) forms() string {
	switch {
	case d.Fault != "":
		return d.Fault
	case d.Early:
		return "takes nothing before signing in"
	}
	words := []string{strconv.Itoa(d.Asked) + " forms asked"}
	for _, w := range []struct {
		n    int
		word string
	}{{d.Taken, "taken"}, {d.Refused, "refused"}, {d.Unclear, "unclear"}, {d.Untold, "refused for other reasons"}} {
		if w.n > 0 {
			words = append(words, strconv.Itoa(w.n)+" "+w.word)
		}
	}
	return strings.Join(words, ", ")
}
