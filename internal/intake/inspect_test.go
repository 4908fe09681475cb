package intake_test

import (
	"context"
	"crypto/sha256"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
	"sallyport/internal/spool"
)

// reader is an inspector that notes what it is shown, and says what it is told to.
type reader struct {
	name string
	say  intake.Finding
	hang chan struct{} // Judge waits for it, whatever its context says
	skip bool

	mu    sync.Mutex
	saw   intake.Message
	body  []byte
	whole string
	added string
	size  int64
}

func (r *reader) Name() string { return r.name }

func (r *reader) Begin(m intake.Message) intake.Look {
	r.saw = m
	if r.skip {
		return nil
	}
	return r
}

func (r *reader) Body(p []byte) { r.body = append(r.body, p...) }

func (r *reader) Judge(_ context.Context, c intake.Content) intake.Finding {
	if r.hang != nil {
		<-r.hang
		return r.say
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for range 2 {
		in, err := c.Open()
		if err != nil {
			return intake.Finding{}
		}
		b, err := io.ReadAll(in)
		if err != nil {
			return intake.Finding{}
		}
		r.whole = string(b)
	}
	r.added, r.size = string(c.Added), c.Size
	return r.say
}

func pass(fields string) intake.Finding {
	return intake.Finding{Action: intake.Pass, Fields: []byte(fields), Notes: []fact.Pair{{Name: "seen", Value: "yes"}}}
}

// say sends a message of a stranger's to bob through these inspectors.
func say(t *testing.T, text string, with ...intake.Inspector) (*world, mail.Reply) {
	t.Helper()
	limits := intake.DefaultLimits()
	limits.InspectTime = 200 * time.Millisecond
	for _, i := range with {
		if r, ok := i.(*reader); ok && r.hang == nil {
			limits.InspectTime = time.Minute
		}
	}
	w := newWorldOf(t, setup{limits: limits, inspectors: with})
	c := w.connect(server.KindMX)
	c.want(c.from("<x@far.test>"), 250)
	c.want(c.to("<bob@local.test>"), 250)
	return w, c.data(text)
}

// An inspector sees the whole message: who brought it, its header as it came and as
// it is kept, its body while it comes, and all of it again at the end, in memory or
// in a file. What it adds stands before the message, which is otherwise untouched.
func TestInspectorsSeeTheWholeMessage(t *testing.T) {
	for _, size := range []int{0, 100, 200_000} {
		body := strings.Repeat("0123456789abcdef\r\n", size/18)
		text := "From: x@far.test\r\nReturn-Path: <forged@far.test>\r\nX-Sallyport-Junk: forged\r\nSubject: hi\r\n\r\n" + body
		kept := "From: x@far.test\r\nSubject: hi\r\n\r\n" + body
		one := &reader{name: "one", say: pass("X-One: 1\r\n")}
		two := &reader{name: "two", say: pass("X-Two: 2\r\n folded\r\n")}
		none := &reader{name: "none", skip: true}
		w, r := say(t, text, one, none, two)
		if r.Code != 250 {
			t.Fatalf("%v", r)
		}
		claim, stored := w.only()
		if stored != kept || one.whole != kept || string(one.body) != body || one.size != int64(len(kept)) {
			t.Errorf("size %d: stored %d octets, seen %d, body %d, told %d; want %d", size, len(stored), len(one.whole), len(one.body), one.size, len(kept))
		}
		if !strings.HasPrefix(string(claim.Entry.Prefix), "X-One: 1\r\nX-Two: 2\r\n folded\r\nReceived: ") || one.added != "" || two.added != "X-One: 1\r\n" {
			t.Errorf("prefix %q, added before: %q and %q", claim.Entry.Prefix, one.added, two.added)
		}
		m := one.saw
		if m.Door != gate.DoorMX || m.Peer.String() != "198.51.100.7" || m.Hello != "client.test" || m.TLS == nil || !m.Account.IsZero() ||
			m.ID != claim.Entry.ID || len(m.Envelope.To) != 1 || m.Header.Count("Return-Path") != 1 || m.Stored.Count("Return-Path") != 0 {
			t.Errorf("told %+v", m)
		}
		if sha256.Sum256([]byte(kept)) != claim.Entry.SHA256 {
			t.Error("the hash is of something else")
		}
		if f := w.oneFact("mx-local"); len(f.Evidence) != 2 || f.Evidence[0].Name != "seen" {
			t.Errorf("evidence %+v", f.Evidence)
		}
	}
}

// What a submission server adds is in the section that is kept, and the account is
// told.
func TestInspectorsSeeASubmission(t *testing.T) {
	one := &reader{name: "one", say: pass("")}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), inspectors: []intake.Inspector{one}})
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<x@remote.test>"), 250)
	c.want(c.data("From: alice@local.test\r\nBcc: y@remote.test\r\n\r\nx\r\n"), 250)
	m := one.saw
	if m.Door != gate.DoorSubmission || m.Account.String() != "alice@local.test" || m.Header.Count("Date") != 0 || m.Stored.Count("Date") != 1 ||
		m.Stored.Count("Message-ID") != 1 || m.Stored.Count("Bcc") != 0 || !strings.HasPrefix(one.whole, string(m.Stored.Raw())) {
		t.Errorf("told %+v, kept %q", m, one.whole)
	}
}

// Each finding has its own end: a refusal and a deferral leave nothing but their
// fact, a hold is kept and not handed over, junk is marked. What is no finding
// defers, and never accepts.
func TestFindings(t *testing.T) {
	refuse := intake.Finding{Action: intake.Refuse, Rule: "no", Reply: mail.R(550, "5.7.1", "no")}
	for _, row := range []struct {
		name string
		say  []intake.Finding
		code int
		rule string // of the fact
		text string // in it, or in the prefix
	}{
		{"refused", []intake.Finding{pass(""), refuse}, 550, "no", ""},
		{"deferred", []intake.Finding{{Action: intake.Defer, Rule: "later", Reply: mail.R(450, "4.7.1", "later")}, refuse}, 450, "later", ""},
		{"deferred without words", []intake.Finding{{Action: intake.Defer, Rule: "later"}}, 451, "later", ""},
		{"a hold is overruled", []intake.Finding{{Action: intake.Hold, Rule: "hm"}, refuse}, 550, "no", ""},
		{"the zero finding", []intake.Finding{{}}, 451, "inspection-failed", "it said nothing"},
		{"an action that is none", []intake.Finding{{Action: intake.Refuse + 1, Rule: "x"}}, 451, "inspection-failed", "it said nothing"},
		{"no rule", []intake.Finding{{Action: intake.Hold}}, 451, "inspection-failed", "no rule"},
		{"refused with a success", []intake.Finding{{Action: intake.Refuse, Rule: "no", Reply: mail.R(250, "2.0.0", "ok")}}, 451, "inspection-failed", "250"},
		{"refused without a reply", []intake.Finding{{Action: intake.Refuse, Rule: "no"}}, 451, "inspection-failed", "its reply"},
		{"deferred for good", []intake.Finding{{Action: intake.Defer, Rule: "no", Reply: mail.R(550, "5.0.0", "x")}}, 451, "inspection-failed", "550"},
		{"a field without end", []intake.Finding{pass("X: 1")}, 451, "inspection-failed", "no header field"},
		{"an end of the header", []intake.Finding{pass("X: 1\r\n\r\n")}, 451, "inspection-failed", "no header field"},
		{"a bare LF", []intake.Finding{pass("X: 1\nFrom: x\r\n")}, 451, "inspection-failed", "bare"},
		{"no colon", []intake.Finding{pass("hello\r\n")}, 451, "inspection-failed", "no header field"},
		{"not ASCII", []intake.Finding{pass("X: \xe9\r\n")}, 451, "inspection-failed", "ASCII"},
		{"too much", []intake.Finding{pass("X: " + strings.Repeat("x", 20<<10) + "\r\n"), pass("X: " + strings.Repeat("x", 20<<10) + "\r\n")}, 451, "inspection-failed", "octets"},
		{"junk", []intake.Finding{{Action: intake.Junk, Rule: "forged", Reason: "häßlich\r\nX: y"}, pass("X-Two: 2\r\n")}, 250, "mx-local", "X-Sallyport-Junk: forged: h??lich??X: y\r\nX-Two: 2\r\nReceived: "},
		{"held", []intake.Finding{{Action: intake.Hold, Rule: "hm", Reason: "too odd"}, {Action: intake.Junk, Rule: "forged"}}, 250, "mx-local", "X-Sallyport-Junk: forged"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var with []intake.Inspector
			for _, f := range row.say {
				with = append(with, &reader{name: "x", say: f})
			}
			w, r := say(t, message, with...)
			if r.Code != row.code {
				t.Errorf("answered %v, want %d", r, row.code)
			}
			if row.code != 250 {
				f := w.oneFact(row.rule)
				if w.empty(); row.text != "" && !strings.Contains(factText(f), row.text) {
					t.Errorf("fact %+v", f)
				}
				return
			}
			wantKept(t, w, row.name == "held", row.text)
		})
	}
}

func factText(e entry) string {
	var b strings.Builder
	for _, p := range e.Evidence {
		b.WriteString(p.Name + "=" + p.Value + " ")
	}
	return b.String()
}

func wantKept(t *testing.T, w *world, held bool, prefix string) {
	t.Helper()
	var e spool.Entry
	err := w.spool.List(t.Context(), spool.Filter{}, func(found spool.Entry) (bool, error) {
		e = found
		return true, nil
	})
	must(t, err)
	if !strings.HasPrefix(string(e.Prefix), prefix) || !e.Junk || (e.Held != "") != held || (len(w.handed) == 0) != held {
		t.Errorf("prefix %q, junk %v, held %q, handed over %d", e.Prefix, e.Junk, e.Held, len(w.handed))
	}
	if f := w.oneFact("mx-local"); !strings.Contains(factText(f), "junk=forged") || strings.Contains(factText(f), "hold=hm") != held {
		t.Errorf("fact %+v", f)
	}
}

// An inspector that does not come back defers its message and keeps no other; when
// too many do not, messages are deferred at once.
func TestAnInspectorThatHangs(t *testing.T) {
	hangs := &reader{name: "slow", hang: make(chan struct{}), say: intake.Finding{Action: intake.Pass}}
	w, r := say(t, message, hangs)
	if r.Code != 451 {
		t.Errorf("answered %v", r)
	}
	if f := w.oneFact("inspection-timeout"); factText(f) != "inspector=slow " {
		t.Errorf("fact %+v", f)
	}
	w.empty()
	close(hangs.hang)

	limits := intake.DefaultLimits()
	limits.Inspections, limits.InspectTime = 1, 50*time.Millisecond
	hangs = &reader{name: "slow", hang: make(chan struct{}), say: intake.Finding{Action: intake.Pass}}
	defer close(hangs.hang)
	w = newWorldOf(t, setup{limits: limits, inspectors: []intake.Inspector{hangs}})
	for _, rule := range []string{"inspection-timeout", "inspection-crowded"} {
		c := w.connect(server.KindMX)
		c.want(c.from("<x@far.test>"), 250)
		c.want(c.to("<bob@local.test>"), 250)
		c.want(c.data(message), 451)
		w.oneFact(rule)
	}
	w.empty()
}

// late is an inspector that goes on to ask for a message long after its time.
type late struct {
	stop chan struct{}
	done chan error // what it was told at last
}

func (late) Name() string { return "late" }

func (l late) Begin(intake.Message) intake.Look { return l }

func (late) Body([]byte) {}

func (l late) Judge(_ context.Context, c intake.Content) intake.Finding {
	for {
		_, _ = c.Open()
		select {
		case <-l.stop:
			_, err := c.Open() // one that began before the end would say nothing
			l.done <- err
			return intake.Finding{Action: intake.Pass}
		default:
		}
	}
}

// An inspector that was not waited for gets nothing more of its message, and does not
// race with what becomes of it: go test -race shows that.
func TestALateInspectorHasNoMessage(t *testing.T) {
	limits := intake.DefaultLimits()
	limits.InspectTime = 20 * time.Millisecond
	l := late{make(chan struct{}), make(chan error, 1)}
	w := newWorldOf(t, setup{limits: limits, inspectors: []intake.Inspector{l}})
	c := w.connect(server.KindMX)
	c.want(c.from("<x@far.test>"), 250)
	c.want(c.to("<bob@local.test>"), 250)
	c.want(c.data(message), 451)
	close(l.stop)
	// It is the judgement that takes the message from it, not what became of the message.
	if err := <-l.done; err == nil || !strings.Contains(err.Error(), "was judged already") {
		t.Errorf("it asked for a message that was dropped: %v", err)
	}
	w.oneFact("inspection-timeout")
	w.empty()
}
