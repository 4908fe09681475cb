package sender

import (
	"net/netip"
	"strings"
	"testing"

	"sallyport/internal/intake"
)

// What a relay in front of us brings is held against who gave it to the relay, as far as relays themselves wrote from whom they
// had it; what anybody else brings is held against him, whatever he writes.
func TestWhoGaveItToARelay(t *testing.T) {
	r, _ := resolving(t, nil,
		`a.test. TXT "v=spf1 ip4:198.51.100.7 ip6:2600::7 -all"`, `_dmarc.a.test. TXT "v=DMARC1; p=reject"`,
		`helo.a.test. TXT "v=spf1 ip4:198.51.100.7 -all"`, `own.test. TXT "v=spf1 ip4:192.0.2.25 -all"`, `_dmarc.own.test. TXT "v=DMARC1; p=reject"`)
	a := checker(t, r)
	var seen []Observation
	a.Observe = func(o Observation) { seen = append(seen, o) }
	a.Policy = func() Policy {
		p := checker(t, r).Policy()
		p.Relays = []netip.Prefix{netip.MustParsePrefix("192.0.2.25/32"), netip.MustParsePrefix("10.1.0.0/24")}
		return p
	}
	const (
		honest   = "Received: from mail.a.test (mail.a.test [198.51.100.7]) by mx2.local.test (Postfix) with ESMTPS id 1; Mon, 30 Nov 2026 10:00:00 +0000"
		thief    = "Received: from mail.a.test (unknown [203.0.113.9]) by mx2.local.test (Postfix) with ESMTPS id 1; Mon, 30 Nov 2026 10:00:00 +0000"
		itself   = "Received: from localhost (localhost [127.0.0.1]) by mx2.local.test (Postfix) with ESMTP id 2; Mon, 30 Nov 2026 10:00:00 +0000"
		inner    = "Received: from in.filter.test (in.filter.test [10.1.0.4]) by out.filter.test with ESMTP id 2; Mon, 30 Nov 2026 10:00:00 +0000"
		behind   = "Received: from in.filter.test (in.filter.test [10.9.0.4]) by out.filter.test with ESMTP id 2; Mon, 30 Nov 2026 10:00:00 +0000"
		unclear  = "Received: by mx2.local.test (Postfix, from userid 33) id 3; Mon, 30 Nov 2026 10:00:00 +0000"
		relay    = "192.0.2.25"
		relayed  = "192.0.2.25 had it from 198.51.100.7, HELO \"mail.a.test\""
		stranger = "203.0.113.9"
	)
	for name, c := range map[string]struct {
		strange
		want  intake.Action
		says  string // in Authentication-Results
		notes string // of the relay
		peer  string // in reports
	}{
		"through a relay":               {strange{relay, "mx2.local.test", "x@a.test", "u@a.test", []string{honest}}, intake.Pass, "spf=pass (of 198.51.100.7 through 192.0.2.25)", relayed, "198.51.100.7"},
		"forged, through a relay":       {strange{relay, "mx2.local.test", "x@a.test", "u@a.test", []string{thief, honest}}, intake.Refuse, "spf=fail (of 203.0.113.9 through 192.0.2.25)", "192.0.2.25 had it from 203.0.113.9, HELO \"mail.a.test\"", "203.0.113.9"},
		"through a filter beside it":    {strange{relay, "mx2.local.test", "x@a.test", "u@a.test", []string{itself, honest}}, intake.Pass, "dmarc=pass", relayed, "198.51.100.7"},
		"forged, through such a filter": {strange{relay, "mx2.local.test", "x@a.test", "u@a.test", []string{itself, thief, honest}}, intake.Refuse, "dmarc=fail", "", "203.0.113.9"},
		"through two relays":            {strange{relay, "mx2.local.test", "x@a.test", "u@a.test", []string{inner, itself, honest}}, intake.Pass, "dmarc=pass", relayed, "198.51.100.7"},
		"of the relay itself":           {strange{relay, "mx2.local.test", "x@own.test", "u@own.test", nil}, intake.Pass, "spf=pass smtp.mailfrom=own.test", "", relay},
		"of it, and through itself":     {strange{relay, "mx2.local.test", "x@own.test", "u@own.test", []string{itself}}, intake.Pass, "dmarc=pass", "", relay},
		"from where is not told":        {strange{relay, "mx2.local.test", "x@a.test", "u@a.test", []string{unclear, honest}}, intake.Junk, "spf=temperror", "192.0.2.25: its Received field 1 does not say from which address it came to the relay", relay},
		"nor below":                     {strange{relay, "mx2.local.test", "x@own.test", "u@own.test", []string{itself, unclear}}, intake.Junk, "spf=temperror", "its Received field 2 does not say", relay},
		"of somebody within":            {strange{relay, "mx2.local.test", "x@a.test", "u@a.test", []string{behind, honest}}, intake.Junk, "spf=temperror", "its Received field 1 names 10.9.0.4, which is no address of the world", relay},
		"another's, and not told":       {strange{relay, "mx2.local.test", "x@own.test", "u@a.test", []string{unclear}}, intake.Refuse, "dmarc=fail", "", relay},
		"a bounce":                      {strange{relay, "mx2.local.test", "", "u@a.test", []string{strings.Replace(honest, "from mail", "from helo", 1)}}, intake.Pass, "smtp.helo=helo.a.test", "HELO \"helo.a.test\"", "198.51.100.7"},
		"a stranger":                    {strange{stranger, "x.test", "x@a.test", "u@a.test", []string{honest}}, intake.Refuse, "spf=fail smtp.mailfrom", "", stranger},
		"a neighbour of the relay":      {strange{"192.0.2.24", "x.test", "x@a.test", "u@a.test", []string{itself, honest}}, intake.Refuse, "spf=fail smtp.mailfrom", "", "192.0.2.24"},
		"by IPv6":                       {strange{"::ffff:192.0.2.25", "x.test", "x@a.test", "u@a.test", []string{strings.Replace(honest, "198.51.100.7", "IPv6:2600::7", 1)}}, intake.Pass, "spf=pass (of 2600::7", "", "2600::7"},
	} {
		seen = nil
		f, words := judged(t, a, c.strange)
		if f.Action != c.want || !strings.Contains(words, c.says) {
			t.Errorf("%s: action %v by %q, %s", name, f.Action, f.Rule, words)
		}
		if got := note(f, "relay"); !strings.Contains(got, c.notes) || c.notes == "" && c.peer == c.strange.peer && c.want != intake.Refuse && got != "" {
			t.Errorf("%s: noted %q", name, got)
		}
		if len(seen) != 1 || seen[0].Peer.String() != c.peer {
			t.Errorf("%s: reported %+v", name, seen)
		}
	}
	a.Policy = checker(t, r).Policy
	if f, words := judged(t, a, strange{relay, "mx2.local.test", "x@a.test", "u@a.test", []string{honest}}); f.Action != intake.Refuse || note(f, "relay") != "" {
		t.Errorf("of no relay: %v, %s", f.Action, words)
	}
}
