package tlspolicy

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/tlspolicy/dane"
	"sallyport/internal/tlspolicy/mtasts"
)

// Every combination, with the property in other words than the code.
func TestEveryCombination(t *testing.T) {
	domain, err := mail.ParseDomain("x.test")
	check(t, err)
	host, err := dnsx.ParseName("mx.x.test")
	check(t, err)
	other, err := dnsx.ParseName("other.test")
	check(t, err)
	usable := dane.Usable([]dnsx.TLSA{{Usage: 3, Selector: 1, Matching: 1, Data: strings.Repeat("a", 32)}})
	fired := map[Rule]int{}
	n := 0
	lack := errors.New("too many open files")
	for _, demand := range []mail.TLSDemand{mail.TLSAsUsual, mail.RequireTLS, mail.TLSOptional} {
		for mode := mtasts.ModeUnknown; mode <= mtasts.ModeEnforce; mode++ {
			for _, named := range []bool{true, false} {
				for kind := dane.KindUndecided; kind <= dane.KindUnknown; kind++ {
					for _, secured := range []bool{true, false} {
						for _, without := range []string{"", "address literal", "lack"} {
							literal := without == "address literal"
							f := Facts{Demand: demand, Domain: domain, Host: host, NameSecured: secured}
							pattern := mtasts.Pattern{Name: other}
							if named {
								pattern.Name = host
							}
							f.STS = mtasts.Found{ID: "1", Policy: mtasts.Policy{Mode: mode, MaxAge: time.Hour}}
							if mode > mtasts.ModeNone {
								f.STS.Policy.MX = []mtasts.Pattern{pattern}
							}
							f.DANE = dane.Finding{Kind: kind, Base: host}
							if kind == dane.KindVerify {
								f.DANE.Set = usable
							}
							if kind == dane.KindUnknown {
								f.DANE.Err = errors.New("SERVFAIL")
							}
							if literal {
								f.Host, f.STS, f.DANE, f.NameSecured, f.Domain = dnsx.Name{}, mtasts.Found{}, dane.Finding{}, false, mail.Domain{}
							}
							if without == "lack" {
								f.STS = mtasts.Found{Lack: lack}
							}
							v := Decide(f)
							n++
							fired[v.Rule]++
							judge(t, f, v)
						}
					}
				}
			}
		}
	}
	for _, r := range []Rule{RuleDANE, RuleSTS, RuleRequireTLS, RuleEncrypt, RuleTesting, RuleUnknown, RuleNone, RuleOptional} {
		if fired[r] == 0 {
			t.Errorf("%s never decides", r)
		}
	}
	if n != 3*4*2*5*2*3 {
		t.Errorf("%d combinations", n)
	}
}

func judge(t *testing.T, f Facts, v Verdict) {
	t.Helper()
	refused := v.Level == LevelRefused
	enforced := f.STS.Policy.Mode == mtasts.ModeEnforce
	records := f.DANE.Kind == dane.KindVerify || f.DANE.Kind == dane.KindEncrypt || f.DANE.Kind == dane.KindUnknown
	for what, bad := range map[string]bool{
		"a refusal without a reply, or a reply without a refusal": refused != !v.Refusal.IsZero(),
		"a refusal that is none":                                  refused && v.Refusal.Code/100 != 4 && v.Refusal.Code/100 != 5,
		"a refusal that is not reported":                          refused && v.Result == "" && v.Rule != RuleUnknown,
		"our own want told as the domain's failure":               v.Rule == RuleUnknown && v.Result != "",
		"our own want opens what a policy could close":            f.STS.Lack != nil && f.Demand != mail.TLSOptional && f.DANE.Kind != dane.KindVerify && !refused,
		"our own want closes for good":                            v.Rule == RuleUnknown && v.Refusal.Code >= 500,
		"no rule":                                                 v.Rule == "",
		"less than a policy demands":                              f.Demand != mail.TLSOptional && (enforced || records) && v.Level == LevelOpportunistic,
		"a host that an enforced policy does not name": f.Demand != mail.TLSOptional &&
			enforced && f.DANE.Kind != dane.KindVerify && !f.STS.Policy.Allows(f.Host) && !refused,
		"MTA-STS before DANE":                        f.Demand != mail.TLSOptional && f.DANE.Kind == dane.KindVerify && v.Rule != RuleDANE,
		"a policy against a message that wants none": f.Demand == mail.TLSOptional && v.Level != LevelOpportunistic,
		"less than a message requires":               f.Demand == mail.RequireTLS && !refused && v.Level != LevelVerified,
		"a message that requires TLS to a host that could be forged": f.Demand == mail.RequireTLS &&
			!refused && v.Rule != RuleDANE && !f.NameSecured && !f.STS.Policy.Allows(f.Host),
		"a message that requires TLS to a literal": f.Demand == mail.RequireTLS && f.Host.IsZero() && !refused,
		"a permanent refusal of what may pass":     refused && v.Refusal.Code >= 500 && (f.Demand != mail.RequireTLS || f.DANE.Kind == dane.KindUnknown),
		"more than anybody demands":                f.Demand == mail.TLSAsUsual && !enforced && !records && f.STS.Lack == nil && v.Level != LevelOpportunistic,
		"a refusal that names no host":             refused && !strings.Contains(v.Refusal.Text, f.Host.String()),
	} {
		if bad {
			t.Errorf("%s: %+v gives %+v", what, f, v)
		}
	}
	for _, d := range []mail.TLSDemand{mail.TLSAsUsual, mail.RequireTLS} {
		if r := v.Unmet(d, "mx.x.test [192.0.2.1]:25", "no TLS"); !strings.Contains(r.Text, "mx.x.test") || (r.Code >= 500) != (d == mail.RequireTLS) {
			t.Errorf("%v", r)
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
