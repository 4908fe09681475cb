package node

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/dnsx"
	"sallyport/internal/fact"
	"sallyport/internal/filter/sender"
	msg "sallyport/internal/message"
	"sallyport/internal/operate"

	"sallyport/test/load"
)

// What an account submits leaves signed with both keys once the DNS shows them, and
// unsigned before; another server of ours verifies it and records what it found.
func TestSubmittedMailIsSignedAndVerifies(t *testing.T) {
	s := newSite(t, nil, "[dkim]", `lasts = "6d"`)
	lasting := regexp.MustCompile(`; t=(\d+);\s+x=(\d+);`)
	o := s.options()
	dns := &dnsx.Fake{Texts: map[string][]string{}}
	o.Resolver = dns
	n, err := Open(t.Context(), s.cfg, o)
	must(t, err)
	s.populate(n)
	r := s.serve(n)
	made, err := r.Operator().DKIMRotate(t.Context(), root, operate.DKIMRef{Domain: "local.test"})
	must(t, err)
	c := s.signIn(r, true, "alice@local.test")
	c.send("alice@local.test", message1("before"), "x@remote.test")
	dns.Change(func() {
		for _, k := range made.Keys {
			dns.Texts[k.Name] = []string{k.Text}
		}
	})
	checked, err := r.Operator().DKIMCheck(t.Context(), root, operate.DKIMRef{Domain: "local.test"})
	must(t, err)
	if len(checked.Keys) != 2 || !checked.Keys[0].Signs || !checked.Keys[1].Signs || checked.Keys[0].Sight != "published" {
		t.Fatalf("%+v", checked)
	}
	id := queueID(c.send("alice@local.test", message1("after"), "x@remote.test", "bob@local.test"))
	r.idle()
	for _, m := range s.sink.Kept() {
		text := string(m.Octets)
		results := verified(t, text, sender.Keys{Resolver: dns})
		if strings.Contains(text, "Subject: before") != (len(results) == 0) {
			t.Errorf("%v for %q", results, text)
		}
		for _, res := range results {
			if !res.Passed() || res.Domain().ASCII() != "local.test" {
				t.Errorf("%v", res)
			}
		}
		for _, span := range lasting.FindAllStringSubmatch(text, -1) {
			made, _ := strconv.Atoi(span[1])
			if ends, _ := strconv.Atoi(span[2]); ends-made != 6*24*3600 {
				t.Errorf("it lasts from %d to %d", made, ends)
			}
		}
		if len(lasting.FindAllString(text, -1)) != len(results) {
			t.Errorf("%d signatures, and not all of them end: %q", len(results), text)
		}
		// Only fields were put before it.
		if !strings.HasSuffix(text, message1("before")) && !strings.HasSuffix(text, message1("after")) {
			t.Errorf("the message was changed: %q", text)
		}
	}
	wantNote(t, r, id, "signed d=local.test s="+made.Keys[0].Selector+","+made.Keys[1].Selector)
	stored := onlyMail(t, s, "bob")
	if got := verified(t, stored, sender.Keys{Resolver: dns}); len(got) != 2 || !got[0].Passed() || !got[1].Passed() {
		t.Errorf("in the mailbox: %v", got)
	}
}

func message1(subject string) string {
	return "From: Alice <alice@local.test>\r\nTo: x@remote.test\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <" + subject + "@local.test>\r\nSubject: " + subject + "\r\n\r\nHello  world \r\n\r\n"
}

func verified(t *testing.T, text string, keys sender.Keys) []dkim.Result {
	t.Helper()
	h, err := msg.ParseHeader([]byte(text[:strings.Index(text, "\r\n\r\n")+4]))
	must(t, err)
	check := dkim.NewCheck(h, dkim.DefaultLimits())
	check.Body([]byte(text[len(h.Raw()):]))
	return check.Results(time.Now(), keys.Find(t.Context(), check.Names()))
}

// onlyMail returns the one message in a mailbox.
func onlyMail(t *testing.T, s *site, who string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.cfg.Maildir.Root, "local.test", who, "new", "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q, %v", found, err)
	}
	b, err := os.ReadFile(found[0])
	must(t, err)
	return string(load.Wire(b))
}

// wantNote demands that the acceptance of a message carries a note about DKIM.
func wantNote(t *testing.T, r *running, queue, want string) {
	t.Helper()
	wantEvidence(t, r, queue, "dkim", want)
}

// wantEvidence demands what the trace notes of an accepted message under a name.
func wantEvidence(t *testing.T, r *running, queue, name, want string) {
	t.Helper()
	got := ""
	eventually(t, "the trace to know the message", func() bool {
		a, err := r.Operator().Trace(t.Context(), root, operate.TraceQuery{Text: queue})
		must(t, err)
		for _, e := range a.Entries {
			if e.Fact.Kind == fact.KindAccept {
				got, _ = e.Fact.Find(name)
				return true
			}
		}
		return false
	})
	if !strings.HasPrefix(got, want) {
		t.Errorf("noted %q, want %q", got, want)
	}
}

// proveDKIM shows that the signer, the verifier and the ring see a reload.
func proveDKIM(all map[string]keyProof) {
	signer := func(n *Node) sender.Signer {
		all := n.inspectors()
		s, _ := all[len(all)-1].(sender.Signer)
		return s
	}
	all["dkim.sign"] = keyProof{set: "[dkim]\nsign = \"off\"", see: func(n *Node) any { return signer(n).On() }}
	all["dkim.lasts"] = keyProof{set: "[dkim]\nlasts = \"9d\"", see: func(n *Node) any { return signer(n).Lasts() }}
	all["dkim.overlap"] = keyProof{set: "[dkim]\noverlap = \"9d\"", see: func(n *Node) any { return n.data.Ring.Overlap() }}
	policy := func(n *Node) sender.Policy { a, _ := n.inspectors()[0].(sender.Authenticator); return a.Policy() }
	proveDMARCReports(all)
	all["authentication.check"] = keyProof{set: "[authentication]\ncheck = \"off\"", see: func(n *Node) any { return policy(n).Check }}
	all["authentication.apply"] = keyProof{set: "[authentication]\napply = \"off\"", see: func(n *Node) any { return policy(n).Apply }}
	all["authentication.time"] = keyProof{set: "[authentication]\ntime = \"7s\"", see: func(n *Node) any { return policy(n).Time }}
	all["authentication.own"] = keyProof{set: "[authentication]\nown = \"junk\"", see: func(n *Node) any { return policy(n).Own }}
}
