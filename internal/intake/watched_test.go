package intake_test

import (
	"context"
	"slices"
	"strconv"
	"testing"

	"sallyport/internal/hijack/watch"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
	"sallyport/internal/store"
)

// watcher notes what it is told.
type watcher struct {
	told   []string
	signed []watch.Act
}

func (w *watcher) note(of watch.Act, what string) {
	w.told = append(w.told, of.Account.String()+": "+what)
}

func (w *watcher) Submitted(_ context.Context, m watch.Submission) watch.Judged {
	w.note(m.Act, "submitted, refused "+strconv.Itoa(m.Invalid))
	return watch.Judged{}
}

func (w *watcher) Heard(_ context.Context, from mail.Address, ways []watch.Way) watch.Judged {
	for _, way := range ways {
		w.told = append(w.told, "heard "+from.String()+" in "+way.Mailbox.String())
	}
	return watch.Judged{Also: []store.Mutation{{Key: []byte("hijack/heard/test"), Value: []byte("x")}}}
}

func (w *watcher) Keep(context.Context, []store.Mutation) {}

func (w *watcher) SignedIn(_ context.Context, by watch.Act) { w.signed = append(w.signed, by) }

func (w *watcher) BindingFailed(_ context.Context, by watch.Act, claimed mail.Address) {
	w.note(by, "claimed "+claimed.String())
}

func (w *watcher) Mistaken(_ context.Context, _, recipient mail.Address) bool {
	return recipient.String() != "again@local.test"
}

func (w *watcher) Refused(_ context.Context, by watch.Act, refused, of int) {
	w.note(by, strconv.Itoa(refused)+" of "+strconv.Itoa(of)+" refused")
}

func (w *watcher) want(t *testing.T, told ...string) {
	t.Helper()
	if !slices.Equal(w.told, told) {
		t.Errorf("told %q, want %q", w.told, told)
	}
	w.told = nil
}

// Whoever watches accounts is told of sign-ins, of claimed senders and of refused recipients.
func TestWhoWatchesIsTold(t *testing.T) {
	seen := &watcher{}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), watch: seen})
	c := w.signedIn("alice@local.test")
	if len(seen.signed) != 1 || seen.signed[0].Account.String() != "alice@local.test" || seen.signed[0].Network == "" || seen.signed[0].Program == "" {
		t.Fatalf("of the sign-in: %+v", seen.signed)
	}
	c.want(c.from("<bob@local.test>"), 553)
	seen.want(t, "alice@local.test: claimed bob@local.test")

	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<x@remote.test>"), 250)
	c.want(c.data("From: bob@local.test\r\n\r\nx\r\n"), 550)
	seen.want(t, "alice@local.test: claimed bob@local.test")

	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<x@remote.test>"), 250)
	c.want(c.to("<nobody@local.test>"), 550)
	c.t.Abort(t.Context())
	seen.want(t, "alice@local.test: 1 of 2 refused")

	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<x@remote.test>"), 250)
	c.want(c.to("<nobody@local.test>"), 550)
	c.want(c.to("<again@local.test>"), 550)
	c.want(c.data(message), 250)
	seen.want(t, "alice@local.test: submitted, refused 1")

	// Whoever looks for addresses spoils each message, so that none is taken: they count all the
	// same, once.
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<alice@local.test>"), 250)
	c.want(c.to("<nobody@local.test>"), 550)
	c.want(c.data("Subject: no author\r\n\r\nx\r\n"), 550)
	seen.want(t, "alice@local.test: 1 of 2 refused")
}

// A new program is told by its name, its TLS and its way of signing in, and by no digits.
func TestProgramsAreToldApart(t *testing.T) {
	programs := map[string]string{}
	for _, hello := range []string{"client.test", "CLIENT.elsewhere.test", "client42.test", "client90.test", "[192.0.2.1]", "[IPv6:2001:db8::1]", "evil.test"} {
		seen := &watcher{}
		w := newWorldOf(t, setup{limits: intake.DefaultLimits(), watch: seen})
		c := w.connect(server.KindSubmissions)
		c.want(c.s.Hello(t.Context(), server.Hello{Name: hello, Extended: true, TLS: w.tls}), 250)
		c.want(c.signIn("alice@local.test", password), 235)
		programs[hello] = seen.signed[0].Program
	}
	one, literal, other := programs["client.test"], programs["[192.0.2.1]"], programs["evil.test"]
	if programs["CLIENT.elsewhere.test"] != one || programs["client42.test"] != one ||
		programs["client90.test"] != one || programs["[IPv6:2001:db8::1]"] != literal || one == literal ||
		other == one {
		t.Errorf("%q", programs)
	}
}

// Whoever wrote from outside is told with the proof of it, and not where the message is junk or
// held.
func TestStrangersAreHeard(t *testing.T) {
	x, err := mail.ParseAddress("x@far.test", mail.ASCII)
	must(t, err)
	for _, row := range []struct {
		action intake.Action
		author mail.Address
		want   []string
	}{
		{intake.Pass, x, []string{"heard x@far.test in alice@local.test", "heard x@far.test in bob@local.test"}},
		{intake.Pass, mail.Address{}, []string{"heard  in alice@local.test", "heard  in bob@local.test"}},
		{intake.Junk, x, nil},
		{intake.Hold, x, nil},
	} {
		seen := &watcher{}
		proof := &reader{name: "proof", say: intake.Finding{Action: intake.Pass, Author: row.author}}
		other := &reader{name: "other", say: intake.Finding{Action: row.action, Rule: "odd", Reason: "odd"}}
		w := newWorldOf(t, setup{limits: intake.DefaultLimits(), watch: seen, inspectors: []intake.Inspector{proof, other}})
		c := w.connect(server.KindMX)
		c.want(c.from("<x@far.test>"), 250)
		c.want(c.to("<all@local.test>"), 250)
		c.want(c.data("From: x@far.test\r\n\r\nx\r\n"), 250)
		seen.want(t, row.want...)
		_, err := w.st.Get(t.Context(), []byte("hijack/heard/test"))
		if (err == nil) != (row.want != nil) {
			t.Errorf("%v: with the message was written: %v", row.action, err)
		}
	}
	// What our own people submit is theirs, whoever is said to have written it.
	seen := &watcher{}
	w := newWorldOf(t, setup{
		limits: intake.DefaultLimits(), watch: seen,
		inspectors: []intake.Inspector{&reader{name: "proof", say: intake.Finding{Action: intake.Pass, Author: x}}},
	})
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<bob@local.test>"), 250)
	c.want(c.data(message), 250)
	seen.want(t, "alice@local.test: submitted, refused 0")
}

// A mailbox that is full, or a group that takes its members' mail alone, is there: only who may not be there at all is counted.
func TestWhoIsThereIsNoMistake(t *testing.T) {
	seen := &watcher{}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), watch: seen, recipients: people()})
	c := w.signedIn("alice@local.test")
	for to, want := range map[string][]string{
		"<full@behind.test>": nil,
		"<gone@behind.test>": {"alice@local.test: 1 of 1 refused"},
	} {
		seen.told = nil
		c.want(c.from("<alice@local.test>"), 250)
		c.want(c.to(to), 550)
		c.t.Abort(t.Context())
		seen.want(t, want...)
	}
}
