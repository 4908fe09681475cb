package surroundings

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate/doctor"
)

// What the DNS says to mail programs is held against the doors, service by service.
func TestProgramsInTheDNS(t *testing.T) {
	domain := func(s string) mail.Domain {
		d, err := mail.ParseDomain(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	at := func(s string) []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort(s)} }
	cfg := config.Config{Hostname: domain("mx.local.test")}
	d := domain("local.test")
	if got := examinePrograms(t.Context(), &dnsx.Fake{}, cfg, []mail.Domain{d}, time.Second); len(got) != 0 {
		t.Errorf("without doors: %v", got)
	}
	cfg.Listen.Submissions, cfg.Listen.Submission = at("0.0.0.0:465"), at("127.0.0.1:587")
	s := settings.Programs(cfg, d)
	_, digest := s.TXT()
	good := map[string][]dnsx.SRV{"_submissions._tcp.local.test": {{Port: 465, Weight: 5, Target: "MX.local.test."}}, "_imap._tcp.local.test": {{Target: "."}}}
	here := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	hosts := map[string][]netip.Addr{"autoconfig.local.test": here, "autodiscover.local.test": here, "ua-auto-config.local.test": here}
	for name, v := range map[string]struct {
		services map[string][]dnsx.SRV
		texts    []string
		fails    error
		told     bool
		hosts    map[string][]netip.Addr
		silent   string // a host of which nothing is heard
		want     []doctor.State
		words    string
	}{
		"nothing":       {want: []doctor.State{doctor.Note}, words: "no records by which"},
		"all":           {services: good, want: []doctor.State{doctor.Fine}},
		"another port":  {services: map[string][]dnsx.SRV{"_submissions._tcp.local.test": {{Port: 466, Target: "mx.local.test."}}}, want: []doctor.State{doctor.Warning}, words: "_submissions._tcp.local.test"},
		"another host":  {services: map[string][]dnsx.SRV{"_submissions._tcp.local.test": {{Port: 465, Target: "old.local.test."}}}, want: []doctor.State{doctor.Warning}},
		"a door gone":   {services: map[string][]dnsx.SRV{"_submissions._tcp.local.test": good["_submissions._tcp.local.test"], "_submission._tcp.local.test": {{Port: 587, Target: "mx.local.test."}}}, want: []doctor.State{doctor.Warning}, words: "_submission._tcp"},
		"silence":       {fails: errors.New("no answer"), want: []doctor.State{doctor.Unknown}, words: "no answer"},
		"vouched":       {services: good, told: true, texts: []string{"x", digest}, hosts: hosts, want: []doctor.State{doctor.Fine, doctor.Fine, doctor.Fine}},
		"no names":      {services: good, told: true, texts: []string{digest}, hosts: map[string][]netip.Addr{"autoconfig.local.test": here}, want: []doctor.State{doctor.Fine, doctor.Fine, doctor.Note}, words: "no address has autodiscover.local.test, ua-auto-config.local.test,"},
		"silent names":  {services: good, told: true, texts: []string{digest}, hosts: hosts, silent: "autodiscover.local.test", want: []doctor.State{doctor.Fine, doctor.Fine, doctor.Unknown}, words: "autodiscover.local.test could not"},
		"not vouched":   {services: good, told: true, hosts: hosts, want: []doctor.State{doctor.Fine, doctor.Note, doctor.Fine}},
		"vouched wrong": {services: good, told: true, texts: []string{digest + "x"}, hosts: hosts, want: []doctor.State{doctor.Fine, doctor.Warning, doctor.Fine}, words: "programs refuse them"},
	} {
		fake := &dnsx.Fake{Services: v.services, Hosts: v.hosts, Texts: map[string][]string{}, Failures: map[string]error{}}
		if v.silent != "" {
			fake.Failures["ADDR "+v.silent] = errors.New("no answer")
		}
		if v.texts != nil {
			fake.Texts["_ua-auto-config.local.test"] = v.texts
		}
		if v.fails != nil {
			fake.Failures["SRV _imaps._tcp.local.test"] = v.fails
		}
		cfg.Autoconfig.Listen = nil
		if v.told {
			cfg.Autoconfig.Listen = at("0.0.0.0:443")
		}
		found := examinePrograms(t.Context(), fake, cfg, []mail.Domain{d}, time.Second)
		var states []doctor.State
		var words strings.Builder
		for _, f := range found {
			states = append(states, f.State)
			words.WriteString(f.What + "\n")
		}
		if !slices.Equal(states, v.want) || !strings.Contains(words.String(), v.words) {
			t.Errorf("%s: %v %s", name, states, words.String())
		}
	}
}
