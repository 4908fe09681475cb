package surroundings

import (
	"strings"
	"testing"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/dnsx/dnstest"
	"sallyport/internal/mail"
	"sallyport/internal/operate/doctor"
	"sallyport/internal/screen/dnsbl"
)

// A list that is silent takes its own time alone: those that stand behind it are asked
// meanwhile, and are what they are.
func TestListsAreExaminedSideBySide(t *testing.T) {
	const six = ".0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0." // of ::FFFF:7F00:2 and :1, RFC 5782 §5
	zone, err := dnstest.NewZone("2.0.0.127.good.test. 60 IN A 127.0.0.2", "2.0.0.127.all.test. 60 IN A 127.0.0.2", "1.0.0.127.all.test. 60 IN A 127.0.0.2",
		"2"+six+"six.test. 60 IN A 127.0.0.2", "2"+six+"all6.test. 60 IN A 127.0.0.2", "1"+six+"all6.test. 60 IN A 127.0.0.2",
		"2.0.0.127.both.test. 60 IN A 127.0.0.2", "2"+six+"both.test. 60 IN A 127.0.0.2", "2.0.0.127.half.test. 60 IN A 127.0.0.2", "1"+six+"half.test. 60 IN A 127.0.0.2",
		"2.0.0.127.shy.test. 60 IN A 127.0.0.2", "1"+six+"shy.test. 60 IN A 127.255.255.254",
		"SILENCE *.mute1.test.", "SILENCE *.mute2.test.", "SILENCE *.mute3.test.")
	if err != nil {
		t.Fatal(err)
	}
	limits := dnsx.DefaultLimits()
	limits.Query, limits.Total, limits.Rounds = 10*time.Second, 20*time.Second, 1
	client, err := dnsx.NewClient(dnsx.Options{Servers: []dnsx.Server{{Addr: dnstest.Serve(t, zone.Play).Addr}}, Limits: limits, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	var lists []dnsbl.List
	for _, name := range []string{"mute1.test", "mute2.test", "mute3.test", "good.test", "all.test", "gone.test", "six.test", "all6.test", "both.test", "half.test", "shy.test"} {
		d, err := mail.ParseDomain(name)
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, dnsbl.List{Zone: d, Of: dnsbl.Client, Weight: 10})
	}
	const each = 700 * time.Millisecond
	began := time.Now()
	found := examineLists(t.Context(), client, lists, each)
	if took := time.Since(began); took < each || took >= 3*each {
		t.Errorf("it took %s", took)
	}
	for i, want := range []struct {
		state doctor.State
		what  string
	}{{doctor.Wrong, "it lists nobody"}, {doctor.Wrong, "it lists nobody"}, {doctor.Wrong, "it lists nobody"}, {doctor.Fine, "it answers"}, {doctor.Wrong, "it lists everybody"}, {doctor.Wrong, "it does not list its test entry, 127.0.0.2 or ::ffff:7f00:2"},
		{doctor.Fine, "it answers about IPv6 addresses alone"}, {doctor.Wrong, "it lists everybody: ::ffff:7f00:1"}, {doctor.Fine, "it answers, "}, {doctor.Wrong, "it lists everybody: ::ffff:7f00:1"}, {doctor.Fine, "it answers, "}} {
		if f := found[i]; f.Subject != lists[i].Zone.String() || f.State != want.state || !strings.HasPrefix(f.What, want.what) {
			t.Errorf("%s: %+v", lists[i].Zone, f)
		}
	}
}
