package dispatch

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
)

func aPath(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// noticeOf is about one recipient.
func noticeOf(t *testing.T, change func(*notice, *report)) notice {
	t.Helper()
	host, err := mail.ParseDomain("mx.local.test")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	id, err := mail.NewID(at, strings.NewReader(strings.Repeat("7", 64)))
	if err != nil {
		t.Fatal(err)
	}
	n := notice{host: host, id: id, to: aPath(t, "alice@local.test"), at: at, until: at.Add(time.Hour), limits: DefaultLimits(), entry: spool.Entry{Received: at.Add(-time.Hour)}}
	r := report{
		state:   spool.RecipientState{Delivery: spool.Delivery{Kind: spool.KindOutbound, Recipient: mail.Recipient{Address: aPath(t, "x@remote.test")}}},
		outcome: mail.Outcome{Recipient: aPath(t, "x@remote.test"), Reply: mail.R(550, "5.1.1", "no such user"), Remote: "mx.remote.test (192.0.2.1:25)", Said: true}, action: actionFailed,
	}
	if change != nil {
		change(&n, &r)
	}
	n.reports = []report{r}
	return n
}

// Whoever answered is named by his host alone, and by a literal where he has no name.
func TestTheNameOfWhoAnswered(t *testing.T) {
	for remote, want := range map[string]string{
		"mx.remote.test (192.0.2.1:25)": "mx.remote.test", "mx.remote.test:25": "mx.remote.test", "mx.remote.test": "mx.remote.test",
		"192.0.2.1:25": "[192.0.2.1]", "192.0.2.1": "[192.0.2.1]", "[2001:db8::1]:25": "[IPv6:2001:db8::1]", "2001:db8::1": "[IPv6:2001:db8::1]", "[2001:db8::1]": "[IPv6:2001:db8::1]",
		"[::ffff:192.0.2.1]:25": "[192.0.2.1]", "/run/lmtp": "/run/lmtp", "mx.remote.test:smtp": "mx.remote.test:smtp", "": "",
	} {
		if got := remoteName(remote); got != want {
			t.Errorf("%q is named %q, want %q", remote, got, want)
		}
	}
}

// What a person reads says which server writes, of whom, what was answered, by whom, and how the
// message is called.
func TestWhatAPersonReads(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*notice, *report)
		has    []string
		hasNot string
	}{
		"failed": {nil, []string{"This is the mail server mx.local.test.\r\n\r\n", "could not be delivered to x@remote.test.\r\nmx.remote.test (192.0.2.1:25) said:\r\n    550 5.1.1 no such user\r\n",
			"Your message was accepted on Sun, 1 Mar 2026 11:00:00 +0000 as "}, "yet"},
		"found by us":       {func(_ *notice, r *report) { r.outcome.Said = false }, []string{"This server tried mx.remote.test (192.0.2.1:25) and found:\r\n"}, "said:"},
		"our own word":      {func(_ *notice, r *report) { r.outcome.Said, r.outcome.Remote = false, ourName }, []string{"This server says:\r\n"}, "said:"},
		"delayed":           {func(_ *notice, r *report) { r.action = actionDelayed }, []string{"to x@remote.test yet.\r\n", "goes on trying until Sun, 1 Mar 2026 13:00:00 +0000.\r\n"}, "could not be delivered to x@remote.test.\r\n"},
		"relayed":           {func(_ *notice, r *report) { r.action = actionRelayed }, []string{"was relayed to x@remote.test: the next server took it"}, "could not"},
		"delivered":         {func(_ *notice, r *report) { r.action = "delivered" }, []string{"Your message was delivered to x@remote.test.\r\n"}, "could not"},
		"of a forward":      {func(n *notice, _ *report) { n.entry.Forward = spool.ForwardSent }, []string{"A message for you could not be forwarded to x@remote.test.", "The message itself is in your mailbox.", "The forward was accepted on"}, "Your message"},
		"several lines":     {func(_ *notice, r *report) { r.outcome.Reply.Text = "no\r\nX-Evil: yes" }, []string{"550 5.1.1 no"}, "\nX-Evil"},
		"a remote of lines": {func(_ *notice, r *report) { r.outcome.Remote = "mx\r\nX-Evil: yes" }, nil, "\nX-Evil"},
	} {
		text := noticeOf(t, row.change).words()
		for _, want := range row.has {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is not in\n%s", name, want, text)
			}
		}
		if row.hasNot != "" && strings.Contains(text, row.hasNot) {
			t.Errorf("%s: %q is in\n%s", name, row.hasNot, text)
		}
	}
}

// What a program reads names the recipient as the sender wrote him, as long as that fits a line, and
// the host that answered only where one did.
func TestWhatAProgramReads(t *testing.T) {
	fits := strings.Repeat("a", maxText-len("rfc822; "))
	for name, row := range map[string]struct {
		change func(*notice, *report)
		has    []string
		hasNot string
	}{
		"failed":         {nil, []string{"Reporting-MTA: dns; mx.local.test\r\n", "Arrival-Date: Sun, 1 Mar 2026 11:00:00 +0000\r\n\r\nFinal-Recipient: rfc822; x@remote.test\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.remote.test\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n"}, "Will-Retry-Until"},
		"as written":     {func(_ *notice, r *report) { r.state.Recipient.ORcpt = mail.ORcpt{Type: "rfc822", Address: fits} }, []string{"Original-Recipient: rfc822; " + fits + "\r\n"}, ""},
		"too long":       {func(_ *notice, r *report) { r.state.Recipient.ORcpt = mail.ORcpt{Type: "rfc822", Address: fits + "a"} }, nil, "Original-Recipient"},
		"an envelope id": {func(n *notice, _ *report) { n.entry.Envelope.EnvID = "id7" }, []string{"Original-Envelope-Id: id7\r\n"}, ""},
		"found by us":    {func(_ *notice, r *report) { r.outcome.Said = false }, []string{"Diagnostic-Code: x-sallyport; 550"}, "Remote-MTA"},
		"delayed":        {func(_ *notice, r *report) { r.action = actionDelayed }, []string{"Action: delayed\r\nStatus: 4.0.0\r\n", "Will-Retry-Until: Sun, 1 Mar 2026 13:00:00 +0000\r\n"}, ""},
	} {
		text := noticeOf(t, row.change).status()
		for _, want := range row.has {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is not in\n%s", name, want, text)
			}
		}
		if row.hasNot != "" && strings.Contains(text, row.hasNot) {
			t.Errorf("%s: %q is in\n%s", name, row.hasNot, text)
		}
	}
}

// The header section comes back up to its end, or as far as whole lines are known of it; the whole
// message where that was asked for, something failed, it is small and may travel.
func TestWhatComesBack(t *testing.T) {
	const text = "From: a@local.test\r\nSubject: x\r\n\r\nThe body.\r\n"
	const head = "From: a@local.test\r\nSubject: x\r\n"
	full := func(n *notice) { n.entry.Envelope.Ret, n.entry.Size = mail.RetFull, int64(len(text)) }
	for name, row := range map[string]struct {
		change func(*notice, *report)
		kind   string
		want   string
	}{
		"the head":           {nil, "text/rfc822-headers", head},
		"cut within a field": {func(n *notice, _ *report) { n.limits.ReturnedHeader = int64(len("From: a@local.test\r\nSub")) }, "text/rfc822-headers", "From: a@local.test\r\n"},
		"no line at all":     {func(n *notice, _ *report) { n.limits.ReturnedHeader = 5 }, "text/rfc822-headers", "From:"},
		"all":                {func(n *notice, _ *report) { full(n); n.limits.ReturnedMessage = int64(len(text)) }, "message/rfc822", text},
		"too large":          {func(n *notice, _ *report) { full(n); n.limits.ReturnedMessage = int64(len(text)) - 1 }, "text/rfc822-headers", head},
		"only delayed":       {func(n *notice, r *report) { full(n); r.action = actionDelayed }, "text/rfc822-headers", head},
		"not in clear":       {func(n *notice, _ *report) { full(n); n.entry.Envelope.TLS = mail.RequireTLS }, "text/rfc822-headers", head},
		"all beyond ASCII":   {func(n *notice, _ *report) { full(n); n.entry.Envelope.SMTPUTF8 = true }, "message/global", text},
		"the head of that":   {func(n *notice, _ *report) { n.entry.Envelope.SMTPUTF8 = true }, "message/global-headers", head},
	} {
		kind, part, err := noticeOf(t, row.change).returned(strings.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := io.ReadAll(part)
		if err != nil || kind != row.kind || string(got) != row.want {
			t.Errorf("%s: %s %q, %v; want %s %q", name, kind, got, err, row.kind, row.want)
		}
	}
	lost := errors.New("the disk is gone")
	if _, _, err := noticeOf(t, nil).returned(iotest.ErrReader(lost)); !errors.Is(err, lost) {
		t.Errorf("of a message that cannot be read: %v", err)
	}
	if err := noticeOf(t, nil).write(io.Discard, iotest.ErrReader(lost)); !errors.Is(err, lost) {
		t.Errorf("a notification of a message that cannot be read: %v", err)
	}
	for n := range 6 {
		if err := noticeOf(t, nil).write(&brief{left: n}, strings.NewReader(text)); err == nil {
			t.Errorf("a notification that ends after %d writes is a whole one", n)
		}
	}
}

// brief is a disk that takes so many writes.
type brief struct{ left int }

func (b *brief) Write(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.ErrShortWrite
	}
	b.left--
	return len(p), nil
}

// Three are named, and the others counted.
func TestSomeAreNamed(t *testing.T) {
	all := []mail.Address{aPath(t, "a@x.test"), aPath(t, "b@x.test"), aPath(t, "c@x.test"), aPath(t, "d@x.test"), aPath(t, "e@x.test")}
	for n, want := range []string{"", "a@x.test", "a@x.test, b@x.test", "a@x.test, b@x.test, c@x.test", "a@x.test, b@x.test, c@x.test, and 1 more", "a@x.test, b@x.test, c@x.test, and 2 more"} {
		if got := some(all[:n]); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}
