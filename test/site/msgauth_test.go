package site

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
	"sallyport/internal/node"
	"sallyport/internal/operate"

	"sallyport/test/load"
)

// What an account submits leaves signed with both keys once the DNS shows them, and
// unsigned before; another server of ours verifies it and records what it found.
func TestSubmittedMailIsSignedAndVerifies(t *testing.T) {
	s := New(t, nil, "[dkim]", `lasts = "6d"`)
	lasting := regexp.MustCompile(`; t=(\d+);\s+x=(\d+);`)
	o := s.Options()
	dns := &dnsx.Fake{Texts: map[string][]string{}}
	o.Resolver = dns
	n, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Populate(n)
	r := s.Serve(n)
	made, err := r.Operator().DKIMRotate(t.Context(), operate.Self(), operate.DKIMRef{Domain: "local.test"})
	Must(t, err)
	c := s.SignIn(r, true, "alice@local.test")
	c.Send("alice@local.test", message1("before"), "x@remote.test")
	dns.Change(func() {
		for _, k := range made.Keys {
			dns.Texts[k.Name] = []string{k.Text}
		}
	})
	checked, err := r.Operator().DKIMCheck(t.Context(), operate.Self(), operate.DKIMRef{Domain: "local.test"})
	Must(t, err)
	if len(checked.Keys) != 2 || !checked.Keys[0].Signs || !checked.Keys[1].Signs || checked.Keys[0].Sight != "published" {
		t.Fatalf("%+v", checked)
	}
	id := QueueID(c.Send("alice@local.test", message1("after"), "x@remote.test", "bob@local.test"))
	r.Idle()
	for _, m := range s.Sink.Kept() {
		text := string(m.Octets)
		results := verified(t, text, time.Now(), sender.Keys{Resolver: dns})
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
	if got := verified(t, stored, time.Now(), sender.Keys{Resolver: dns}); len(got) != 2 || !got[0].Passed() || !got[1].Passed() {
		t.Errorf("in the mailbox: %v", got)
	}
}

func message1(subject string) string {
	return "From: Alice <alice@local.test>\r\nTo: x@remote.test\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <" + subject + "@local.test>\r\nSubject: " + subject + "\r\n\r\nHello  world \r\n\r\n"
}

func verified(t *testing.T, text string, at time.Time, keys sender.Keys) []dkim.Result {
	t.Helper()
	h, err := msg.ParseHeader([]byte(text[:strings.Index(text, "\r\n\r\n")+4]))
	Must(t, err)
	check := dkim.NewCheck(h, dkim.DefaultLimits())
	check.Body([]byte(text[len(h.Raw()):]))
	return check.Results(at, keys.Find(t.Context(), check.Names()))
}

// onlyMail returns the one message in a mailbox.
func onlyMail(t *testing.T, s *Site, who string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.Config.Maildir.Root, "local.test", who, "new", "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q, %v", found, err)
	}
	b, err := os.ReadFile(found[0])
	Must(t, err)
	return string(load.Wire(b))
}

// wantNote demands that the acceptance of a message carries a note about DKIM.
func wantNote(t *testing.T, r *Running, queue, want string) {
	t.Helper()
	wantEvidence(t, r, queue, "dkim", want)
}

// wantEvidence demands what the trace notes of an accepted message under a name.
func wantEvidence(t *testing.T, r *Running, queue, name, want string) {
	t.Helper()
	got := ""
	Eventually(t, "the trace to know the message", func() bool {
		a, err := r.Operator().Trace(t.Context(), operate.Self(), operate.TraceQuery{Text: queue})
		Must(t, err)
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
