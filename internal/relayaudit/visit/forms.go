package visit

import (
	_ "embed"
	"slices"
	"strings"

	"sallyport/internal/relayaudit"
	"sallyport/internal/relayaudit/verdict"
)

//go:embed relay.txt
var relayTable string

//go:embed probes.txt
var probeTable string

// relayRows returns every form of the catalogue that a stranger's server can be asked, ours first.
func relayRows() ([]relayaudit.Case, error) {
	ours, err := relayaudit.ParseCases(strings.NewReader(relayTable))
	if err != nil {
		return nil, err
	}
	catalogue, err := relayaudit.Cases()
	return append(ours, catalogue...), err
}

// inTLS are the rows that are asked once more inside TLS, and with a certificate: the plain
// forms. What operators do does not depend on either.
var inTLS = [...]string{"R01", "R02", "R04", "R05", "R06", "R21", "A01", "A03", "A20", "A24"}

// forms asks every form at this door.
func (v *visitor) forms() {
	var rows, plain []relayaudit.Case
	for _, c := range v.rows {
		a, ok := relayaudit.Asking(c, v.nobody)
		if !ok {
			continue
		}
		a = a.At(v.opened())
		rows = append(rows, a)
		if slices.Contains(inTLS[:], a.ID) {
			plain = append(plain, a)
		}
	}
	sets := v.sets(rows, plain)
	for _, s := range sets {
		v.step(0, len(s.rows))
	}
	for i, s := range sets {
		for len(s.rows) > 0 && !v.d.Early {
			n := min(len(s.rows), v.o.Limits.Session)
			v.target.Shown = nil
			if s.shown >= 0 {
				v.target.Shown = &v.o.Shown[s.shown]
			}
			for _, r := range v.session(s.rows[:n], relayaudit.Mode{TLS: s.tls}) {
				v.d.Forms = append(v.d.Forms, formOf(r, s.tls, s.shown >= 0))
			}
			s.rows = s.rows[n:]
			v.d.Early = i == 0 && v.d.Kind != verdict.SMTP && v.wantsSignIn()
		}
		v.step(len(s.rows), 0)
	}
	v.target.Shown = nil
}

// set is rows that are asked in one way.
type set struct {
	rows  []relayaudit.Case
	tls   bool
	shown int // which certificate is shown; -1: none
}

func (v *visitor) sets(rows, plain []relayaudit.Case) []set {
	starts := v.d.Kind != verdict.Submissions && v.d.Hidden != nil
	sets := []set{{rows, false, -1}}
	if starts {
		sets = append(sets, set{plain, true, -1})
	}
	if starts || v.d.Kind == verdict.Submissions {
		for i := range v.o.Shown {
			sets = append(sets, set{plain, starts, i})
		}
	}
	return sets
}

// wantsSignIn reports whether the door has refused every MAIL so far until somebody signs in:
// then it makes no difference what else would follow.
func (v *visitor) wantsSignIn() bool {
	for _, f := range v.d.Forms {
		for _, s := range f.Said {
			if s.Verb == "mail" && s.Reply.Code != 530 {
				return false
			}
		}
	}
	return len(v.d.Forms) > 0
}

// probes asks what is to be asked beside relaying.
func (v *visitor) probes() {
	rows, err := relayaudit.ParseCases(strings.NewReader(probesFor(v.d.At.Addr().Unmap().Is6(), v.nobody)))
	if err != nil {
		return // a test excludes it
	}
	v.step(0, len(rows))
	for _, c := range rows {
		switch {
		case c.State == relayaudit.StateFresh:
			c = c.At(v.fresh())
		default:
			c = c.At(v.opened())
		}
		inClear := c.ID == verdict.ProbeAUTH || c.ID == verdict.ProbeAUTHLogin
		if !inClear || v.d.Kind != verdict.Submissions {
			if r := v.probe(c, relayaudit.Mode{}); r.Err == nil {
				v.d.Probes[c.ID] = saidOf(r)
			}
		}
		v.step(1, 0)
	}
	v.external()
}

// probesFor returns the table of probes as it reads for a family of addresses.
func probesFor(v6 bool, nobody string) string {
	table := strings.NewReplacer("VRFY bob", "VRFY "+nobody, "| |", "|  |").Replace(probeTable)
	if v6 {
		table = strings.Replace(table, "TCP4 127.0.0.1 127.0.0.1", "TCP6 ::1 ::1", 1)
	}
	return table
}

// external tries to sign in with each certificate.
func (v *visitor) external() {
	for i := range v.o.Shown {
		v.target.Shown = &v.o.Shown[i]
		m := relayaudit.Mode{TLS: v.d.Kind != verdict.Submissions}
		if m.TLS && v.d.Hidden == nil {
			break
		}
		r := v.ask("AUTH EXTERNAL =", v.opened(), m)
		if said := saidOf(r); r.Err == nil && (i == 0 || len(said) > 0 && said[0].Took()) {
			v.d.Probes[verdict.ProbeEXTERNAL] = said
		}
	}
	v.target.Shown = nil
}
