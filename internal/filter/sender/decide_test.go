package sender

import (
	"testing"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/auth/dmarc"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
)

func domainOf(t *testing.T, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// judgement is one combination of all that decide looks at.
type judgement struct {
	policy Policy
	author author
	found  found
}

// each calls fn with every combination: whose name the message bears and how well it
// can be read, what its signatures came to, what DMARC says, and what is configured.
func each(t *testing.T, fn func(judgement)) {
	ours, other := domainOf(t, "ours.test"), domainOf(t, "other.test")
	var signatures [][]dkim.Result
	signatures = append(signatures, nil)
	for _, d := range []mail.Domain{ours, other} {
		for _, s := range []dkim.Status{dkim.StatusNone, dkim.StatusPass, dkim.StatusFail, dkim.StatusPolicy, dkim.StatusNeutral, dkim.StatusTempError, dkim.StatusPermError} {
			one := dkim.Result{Status: s, Key: dkim.KeyName{Selector: "s", Domain: d}}
			signatures = append(signatures, []dkim.Result{one}, []dkim.Result{{Status: dkim.StatusPass, Key: dkim.KeyName{Selector: "s", Domain: other}}, one})
		}
	}
	var verdicts []dmarc.Result
	for _, v := range []dmarc.Verdict{dmarc.None, dmarc.Pass, dmarc.Fail, dmarc.TempError} {
		for _, p := range []dmarc.Policy{dmarc.PolicyAbsent, dmarc.PolicyNone, dmarc.PolicyQuarantine, dmarc.PolicyReject} {
			verdicts = append(verdicts, dmarc.Result{Verdict: v, Author: other, Policy: p, Disposition: dmarc.PolicyNone})
			if v == dmarc.TempError {
				verdicts = append(verdicts, dmarc.Result{Verdict: dmarc.PermError, Author: other, Policy: p, Disposition: min(p, dmarc.PolicyQuarantine)},
					dmarc.Result{Verdict: dmarc.TempError, Author: other, Policy: p, Disposition: min(p, dmarc.PolicyQuarantine)},
					dmarc.Result{Verdict: dmarc.TempError, Author: other, Disposition: min(p, dmarc.PolicyQuarantine)}) // whose record is not known
			}
			if v == dmarc.Fail {
				verdicts = append(verdicts, dmarc.Result{Verdict: v, Author: other, Policy: p, Disposition: p})
			}
		}
	}
	yesNo := []bool{false, true}
	for bits := range 64 {
		a, shown := author{domain: other, many: bits&1 > 0, unread: bits&2 > 0}, bits&16 > 0
		if bits&4 > 0 {
			a.ours, a.domain = []mail.Domain{ours}, ours
		}
		if bits&8 > 0 {
			a.fault, a.domain = "it cannot be read", mail.Domain{}
		}
		for _, apply := range yesNo {
			for _, own := range []Own{OwnRefuse, OwnJunk, OwnDMARC} {
				for _, s := range signatures {
					for _, v := range verdicts {
						fn(judgement{Policy{Check: true, Apply: apply, Own: own}, a, found{dkim: s, dmarc: v, shown: shown, exhausted: bits&32 > 0}})
					}
				}
			}
		}
	}
}

// signedByUs reports whether a signature of ours passed, and whether one may yet.
func (j judgement) signedByUs() (signed, unknown bool) {
	for _, s := range j.found.dkim {
		if s.Domain().ASCII() == "ours.test" {
			signed, unknown = signed || s.Passed(), unknown || s.Status == dkim.StatusTempError
		}
	}
	return signed, unknown
}

// What we had no room to ask about is deferred unless DMARC passes all the same. Mail in
// our own name without our signature never passes as such; nothing else is deferred; only
// the p=reject of a domain that is named, where it is applied, refuses others; no mail
// whose author cannot be told gets into the inbox where policies are applied; every
// finding names its rule.
func TestEveryDecision(t *testing.T) {
	n, count := 0, map[intake.Action]int{}
	each(t, func(j judgement) {
		n++
		g := &authentication{policy: j.policy, author: j.author}
		f := g.decide(j.found)
		count[f.Action]++
		signed, unknown := j.signedByUs()
		guarded := len(j.author.ours) > 0 && j.policy.Own != OwnDMARC
		good := signed && j.author.fault == ""
		switch {
		case j.found.exhausted && j.found.dmarc.Verdict != dmarc.Pass && (j.policy.Apply || len(j.author.ours) > 0):
			expect(t, j, f, intake.Defer)
		case guarded && !good && unknown:
			expect(t, j, f, intake.Defer)
		case guarded && !good && j.policy.Own == OwnJunk:
			expect(t, j, f, intake.Junk)
		case guarded && !good:
			expect(t, j, f, intake.Refuse)
		case !j.policy.Apply:
			expect(t, j, f, intake.Pass)
		case f.Action == intake.Pass && j.found.dmarc.Disposition > dmarc.PolicyNone && (j.found.dmarc.Verdict != dmarc.Fail || j.found.dmarc.Disposition == j.found.dmarc.Policy):
			t.Fatalf("%+v gets into the inbox", j)
		case f.Action == intake.Pass && (j.author.unread || j.author.many):
			t.Fatalf("%+v gets into the inbox", j)
		case f.Action == intake.Refuse:
			if d := j.found.dmarc; d.Verdict != dmarc.Fail || d.Disposition != dmarc.PolicyReject || j.found.shown {
				t.Fatalf("%+v is refused by %s", j, f.Rule)
			}
		case f.Action == intake.Defer:
			t.Fatalf("%+v is deferred by %s", j, f.Rule)
		}
		whole(t, j, f)
	})
	t.Logf("%d combinations: %v", n, count)
	for _, a := range []intake.Action{intake.Pass, intake.Junk, intake.Defer, intake.Refuse} {
		if count[a] == 0 {
			t.Errorf("nothing leads to action %v", a)
		}
	}
}

func expect(t *testing.T, j judgement, f intake.Finding, want intake.Action) {
	t.Helper()
	if f.Action != want {
		t.Fatalf("%+v: action %v by %q, want %v", j, f.Action, f.Rule, want)
	}
}

// whole demands that a finding says by which rule, and what the client or the mailbox
// is told.
func whole(t *testing.T, j judgement, f intake.Finding) {
	t.Helper()
	bad := f.Action != intake.Pass && f.Rule == ""
	switch f.Action {
	case intake.Refuse:
		bad = bad || f.Reply.Code/100 != 5
	case intake.Defer:
		bad = bad || f.Reply.Code/100 != 4
	case intake.Junk:
		bad = bad || f.Reason == ""
	}
	if bad {
		t.Fatalf("%+v: %+v says too little", j, f)
	}
}
