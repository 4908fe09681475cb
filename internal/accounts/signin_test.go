package accounts

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

const (
	ok235  = "235 2.7.0 signed in"
	bad535 = "535 5.7.8 user name or password not valid; the user name is your full address"
	bad501 = "501 5.5.2 malformed authentication response"
	bad504 = "504 5.5.4 authentication mechanism not offered"
)

// Rows H06, H07, H08, H11 and H16, as a session in TLS shows them.
func TestDialogues(t *testing.T) {
	f := withAlice(t, laxLimits())
	f.add(t, "andré@local.test", "rieu violin")
	f.add(t, "frozen@local.test", "ice ice baby")
	if _, err := f.Freeze(context.Background(), address(t, "frozen@local.test"), "sent 400 to strangers", nil); err != nil {
		t.Fatal(err)
	}
	pw := alicePassword
	for _, c := range []struct {
		mech string
		say  [][]byte
		want string
		rule Rule
	}{
		{"PLAIN", lines("\x00alice@local.test\x00" + pw), ok235, RuleSignedIn},
		{"plain", lines("\x00alice@local.test\x00" + pw), ok235, RuleSignedIn},
		{"PLAIN", [][]byte{nil, []byte("\x00alice@local.test\x00" + pw)}, "334 \n" + ok235, RuleSignedIn},
		{"PLAIN", lines("alice@local.test\x00alice@local.test\x00" + pw), ok235, RuleSignedIn},
		{"PLAIN", lines("ALICE@LOCAL.TEST\x00alice@local.test\x00" + pw), ok235, RuleSignedIn},
		{"PLAIN", lines("\x00ALICE@Local.Test\x00" + pw), ok235, RuleSignedIn},
		{"PLAIN", lines("\x00\"alice\"@local.test\x00" + pw), ok235, RuleSignedIn},
		{"PLAIN", lines("\x00andr\u00e9@local.test\x00rieu violin"), ok235, RuleSignedIn},
		{"PLAIN", lines("\x00andre\u0301@local.test\x00rieu violin"), ok235, RuleSignedIn}, // NFD is the same mailbox
		{"PLAIN", lines("\x00ANDRE\u0301@local.test\x00rieu violin"), ok235, RuleSignedIn},

		{"PLAIN", lines(""), bad501, RuleMalformed},
		{"PLAIN", lines("alice@local.test"), bad501, RuleMalformed},
		{"PLAIN", lines("alice@local.test\x00" + pw), bad501, RuleMalformed},
		{"PLAIN", lines("\x00alice@local.test\x00" + pw + "\x00"), bad501, RuleMalformed},
		{"PLAIN", lines("\x00\x00alice@local.test\x00" + pw), bad501, RuleMalformed},
		{"PLAIN", lines("\x00\x00"), bad501, RuleMalformed},
		{"PLAIN", lines("\x00\x00" + pw), bad501, RuleMalformed},
		{"PLAIN", lines("\x00alice@local.test\x00"), bad501, RuleMalformed},
		{"PLAIN", lines("\x00alice@local.test\x00\xff" + pw), bad501, RuleMalformed},
		{"PLAIN", lines("\x00alice\x00x@local.test\x00" + pw), bad501, RuleMalformed},
		{"PLAIN", lines("\x00alice@local.test\x00" + strings.Repeat("x", 5000)), bad501, RuleMalformed},

		{"PLAIN", lines("\x00alice@local.test\x00" + pw + "x"), bad535, RuleBadPassword},
		{"PLAIN", lines("\x00alice@local.test\x00" + strings.ToUpper(pw)), bad535, RuleBadPassword},
		{"PLAIN", lines("\x00alice@local.test\x00" + pw + "\n"), bad535, RuleBadPassword},
		{"PLAIN", lines("\x00alice@local.test\x00" + strings.Repeat("x", 1025)), bad535, RuleBadPassword},
		{"PLAIN", lines("\x00alice@local.test\x00builder builder builder"), bad535, RuleBadPassword},
		{"PLAIN", lines("\x00alice\x00" + pw), bad535, RuleNoAddress},
		{"PLAIN", lines("\x00 alice@local.test\x00" + pw), bad535, RuleNoAddress},
		{"PLAIN", lines("\x00alice@local.test \x00" + pw), bad535, RuleNoAddress},
		{"PLAIN", lines("\x00alice @local.test\x00" + pw), bad535, RuleNoAddress},
		{"PLAIN", lines("\x00alice@local.test.\x00" + pw), bad535, RuleNoAddress},
		{"PLAIN", lines("\x00<alice@local.test>\x00" + pw), bad535, RuleNoAddress},
		{"PLAIN", lines("\x00al\u200bice@local.test\x00" + pw), bad535, RuleNoAddress},
		{"PLAIN", lines("\x00\u0430lice@local.test\x00" + pw), bad535, RuleNoAccount}, // Cyrillic а
		{"PLAIN", lines("\x00alice+x@local.test\x00" + pw), bad535, RuleNoAccount},
		{"PLAIN", lines("\x00alice@sub.local.test\x00" + pw), bad535, RuleNoAccount},
		{"PLAIN", lines("\x00alice@[127.0.0.1]\x00" + pw), bad535, RuleNoAccount},
		{"PLAIN", lines("\x00nobody@local.test\x00" + pw), bad535, RuleNoAccount},
		{"PLAIN", lines("bob@local.test\x00alice@local.test\x00" + pw), bad535, RuleAuthzid},
		{"PLAIN", lines("admin\x00alice@local.test\x00" + pw), bad535, RuleAuthzid},
		{"PLAIN", lines("\x00frozen@local.test\x00ice ice baby"), bad535, RuleNotActive},
		{"PLAIN", lines("\x00frozen@local.test\x00wrong"), bad535, RuleNotActive},

		{"LOGIN", [][]byte{nil, []byte("alice@local.test"), []byte(pw)}, "334 Username:\n334 Password:\n" + ok235, RuleSignedIn},
		{"LOGIN", lines("alice@local.test", pw), "334 Password:\n" + ok235, RuleSignedIn},
		{"LOGIN", lines("alice@local.test", "wrong"), "334 Password:\n" + bad535, RuleBadPassword},
		{"LOGIN", lines("alice@local.test", ""), "334 Password:\n" + bad501, RuleMalformed},
		{"LOGIN", lines("alice@local.test", "\xff"), "334 Password:\n" + bad501, RuleMalformed},
		{"LOGIN", lines(""), bad501, RuleMalformed},
		{"LOGIN", lines("\xfe"), bad501, RuleMalformed},
		{"LOGIN", lines("alice\x00@local.test", pw), "334 Password:\n" + bad535, RuleNoAddress},
		{"LOGIN", lines("alice", pw), "334 Password:\n" + bad535, RuleNoAddress},
		{"LOGIN", lines("frozen@local.test", "ice ice baby"), "334 Password:\n" + bad535, RuleNotActive},

		{"SCRAM-SHA-256", lines("n,a=bob@local.test,n=alice@local.test,r=abc"), bad535, RuleAuthzid},
		{"SCRAM-SHA-256", lines("n,a=admin,n=alice@local.test,r=abc"), bad535, RuleAuthzid},
		{"SCRAM-SHA-256", lines("n,,n=alice,r=abc"), bad535, RuleNoAddress},
		{"SCRAM-SHA-256", lines("n,,n=,r=abc"), bad535, RuleNoAddress},
		{"SCRAM-SHA-256", lines("n,,n=a=2Glice@local.test,r=abc"), bad501, RuleMalformed},
		{"SCRAM-SHA-256", lines("n,,n=alice@local.test"), bad501, RuleMalformed},
		{"SCRAM-SHA-256", lines("n,,m=x,n=alice@local.test,r=abc"), bad501, RuleMalformed},
		{"SCRAM-SHA-256", lines("x,,n=alice@local.test,r=abc"), bad501, RuleMalformed},
		{"SCRAM-SHA-256", lines("n,,n=alice@local.test,r=a\x00bc"), bad501, RuleMalformed},
		{"SCRAM-SHA-256", lines(""), bad501, RuleMalformed},
		{"SCRAM-SHA-256", lines("p=tls-exporter,,n=alice@local.test,r=abc"), bad535, RuleBinding},

		{"ANONYMOUS", lines("x"), bad504, RuleNone},
		{"CRAM-MD5", lines(""), bad504, RuleNone},
		{"DIGEST-MD5", lines(""), bad504, RuleNone},
		{"NTLM", lines(""), bad504, RuleNone},
		{"GSSAPI", lines(""), bad504, RuleNone},
		{"SPA", lines(""), bad504, RuleNone},
		{"SCRAM-SHA-1", lines("n,,n=alice@local.test,r=abc"), bad504, RuleNone},
		{"EXTERNAL", lines("alice@local.test"), bad504, RuleNone},
		{"XOAUTH2", lines(""), bad504, RuleNone},
		{"", lines(""), bad504, RuleNone},
		{"SCRAM-SHA-256-PLUS", lines("n,,n=alice@local.test,r=abc"), bad504, RuleNone}, // nothing to bind to here
	} {
		got, x := say(f.Identity, home(), c.mech, c.say...)
		if got != c.want {
			t.Errorf("%s %q:\n%s\nwant\n%s", c.mech, c.say, got, c.want)
			continue
		}
		if x == nil {
			continue
		}
		if a := x.Attempt(); a.Rule != c.rule || a.Why == "" || strings.Contains(a.Why+a.User, pw) {
			t.Errorf("%s %q: attempt %+v, want rule %s", c.mech, c.say, a, c.rule)
		}
		acc, ok := x.Proof()
		if ok != strings.HasSuffix(c.want, ok235) {
			t.Errorf("%s %q: account %v %v", c.mech, c.say, acc, ok)
		}
		if _, done, err := x.Next(context.Background(), []byte("again")); !done || err == nil {
			t.Errorf("%s %q: the exchange went on after its end", c.mech, c.say)
		}
		if _, ok := x.Proof(); ok {
			t.Errorf("%s %q: signed in after a response too many", c.mech, c.say)
		}
	}
}

func TestNothingInClearText(t *testing.T) {
	f := withAlice(t, laxLimits())
	if m := f.Mechanisms(false, true); len(m) != 0 {
		t.Errorf("in clear text: %v", m)
	}
	clear := Peer{Remote: home().Remote}
	for _, m := range KnownMechanisms() {
		_, err := f.Begin(m, clear)
		wantFailure(t, m, err, ErrClear, RuleClear)
	}
	wantFailure(t, "SignIn", f.signIn("alice@local.test", alicePassword, clear), ErrClear, RuleClear)
	if got := strings.Join(f.Mechanisms(true, false), " "); got != "SCRAM-SHA-256 PLAIN LOGIN" {
		t.Errorf("in TLS: %s", got)
	}
	if got := strings.Join(f.Mechanisms(true, true), " "); got != "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" {
		t.Errorf("in TLS 1.3: %s", got)
	}
	if n := f.HashStats().Started; n != 2 { // the two of Add
		t.Errorf("%d hashes", n)
	}
}

// -PLUS is offered only where it is asked for: its offer keeps GNU SASL out.
func TestChannelBindingIsAskedFor(t *testing.T) {
	f := withAlice(t, laxLimits())
	byDefault, err := Open(context.Background(), f.st, Options{Limits: laxLimits()})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(byDefault.Mechanisms(true, true), " "); got != "SCRAM-SHA-256 PLAIN LOGIN" {
		t.Errorf("by default: %s", got)
	}
	if _, err := byDefault.Begin(MechScramPlus, home()); err == nil {
		t.Error("what is not offered was begun")
	}
}

func TestMechanismsCanBeNarrowed(t *testing.T) {
	f := fresh(t, laxLimits())
	only := open(t, f.st, Options{Limits: laxLimits(), Mechanisms: []string{MechScram}})
	if got := strings.Join(only.Mechanisms(true, true), " "); got != MechScram {
		t.Errorf("offered: %s", got)
	}
	_, err := only.Begin(MechPlain, home())
	wantFailure(t, "PLAIN", err, ErrMechanism, RuleMechanism)
	if _, err := Open(context.Background(), f.st, Options{Limits: laxLimits(), Mechanisms: []string{"CRAM-MD5"}}); err == nil {
		t.Error("CRAM-MD5 was accepted as a mechanism to offer")
	}
	none := open(t, f.st, Options{Limits: laxLimits(), Mechanisms: []string{}})
	if got := none.Mechanisms(true, true); len(got) != 0 {
		t.Errorf("offered: %v", got)
	}
}

// Repeated sign-ins cost no repeated hash; nor does the same wrong password.
func TestRepeatedSignInsCostNoHash(t *testing.T) {
	f := withAlice(t, laxLimits())
	hashes := func(what string, want uint64, n int, try func() error, ok bool) {
		t.Helper()
		before := f.HashStats().Started
		for range n {
			if err := try(); (err == nil) != ok {
				t.Fatalf("%s: %v", what, err)
			}
		}
		if got := f.HashStats().Started - before; got != want {
			t.Errorf("%s: %d hashes for %d sign-ins, want %d", what, got, n, want)
		}
	}
	right := func() error { return f.signIn("alice@local.test", alicePassword, home()) }
	wrong := func() error { return f.signIn("alice@local.test", "old password", home()) }
	missing := func() error { return f.signIn("nobody@local.test", "old password", home()) }
	hashes("right", 1, 50, right, true)
	hashes("wrong", 1, 50, wrong, false)
	hashes("no such account", 1, 50, missing, false)
	f.clock.advance(f.o.Limits.CacheTTL - time.Second)
	hashes("right, still remembered", 0, 5, right, true)
	f.clock.advance(time.Second)
	hashes("right, forgotten", 1, 5, right, true)
	hashes("wrong, still remembered", 0, 5, wrong, false)
	f.clock.advance(f.o.Limits.WrongFor)
	hashes("wrong, forgotten", 1, 5, wrong, false)
}

// Row H27 without a stopwatch: an account that exists and one that does not
// cost the same hashes, in every situation that an observer can make.
func TestMissingAccountsCostTheSame(t *testing.T) {
	f := withAlice(t, cheapLimits())
	probe := func(user string) (trail []string) {
		for n := range 40 {
			password := []string{"one", "two", "three", "one"}[n%4] + string(rune('a'+n/8))
			before := f.HashStats().Started
			err := f.signIn(user, password, peerN(n))
			trail = append(trail, Reply(err).String()+strings.Repeat(" #", int(f.HashStats().Started-before)))
		}
		return trail
	}
	exists, missing := probe("alice@local.test"), probe("nobody@local.test")
	for n := range exists {
		if exists[n] != missing[n] {
			t.Errorf("step %d: %q for an account, %q for none", n, exists[n], missing[n])
		}
	}
	if !strings.Contains(strings.Join(exists, "\n"), "454") || !strings.Contains(strings.Join(exists, "\n"), "535") {
		t.Error("the probe did not reach both answers")
	}
	r, s := f.secretOf("nobody@local.test")
	if r != nil || s.cost() != f.record("alice@local.test").secret.cost() || s.validate() != nil {
		t.Errorf("a decoy costs %+v", s.cost())
	}
}

// Row H24 through the real thing: strangers are judged ten times, and a few beside, the owner
// on a known network is not locked out, and a password known already is no way round.
func TestBruteForce(t *testing.T) {
	f := withAlice(t, cheapLimits())
	if err := f.signIn("alice@local.test", alicePassword, home()); err != nil {
		t.Fatal(err)
	}
	before := f.HashStats().Started
	for n := range 3000 {
		err := f.signIn("alice@local.test", "guess"+string(rune('a'+n%26))+strings.Repeat("x", n/26), peerN(n%1000))
		if err == nil {
			t.Fatal("a guess was right")
		}
		f.clock.advance(200 * time.Millisecond)
	}
	if got := f.HashStats().Started - before; got < 10 || got > 15 {
		t.Errorf("%d guesses were judged in 10 minutes, want 10 and at most 5 of the reserve", got)
	}
	// The right password from a network without a record, though it is remembered:
	// to answer would be to judge an eleventh guess.
	wantFailure(t, "stranger", f.signIn("alice@local.test", alicePassword, peerN(2000)), ErrTooMany, Rule("signin-account-rate"))
	if err := f.signIn("alice@local.test", alicePassword, home()); err != nil {
		t.Errorf("the owner is locked out: %v", err)
	}
	x, _ := f.Begin(MechScram, home())
	if got := converse(t, x, scramClient(t, "alice@local.test", alicePassword).NewConversation()); got != ok235 {
		t.Errorf("the owner is locked out of SCRAM: %s", got)
	}
	f.clock.advance(10 * time.Minute)
	if err := f.signIn("alice@local.test", alicePassword, peerN(2000)); err != nil {
		t.Errorf("after ten quiet minutes: %v", err)
	}
}

// Proofs of SCRAM are guesses as well, and share the account's rate.
func TestBruteForceThroughScram(t *testing.T) {
	f := withAlice(t, cheapLimits())
	judged := 0
	for n := range 40 {
		x, err := f.Begin(MechScram, peerN(n%2))
		if err != nil {
			t.Fatal(err)
		}
		switch got := converse(t, x, scramClient(t, "alice@local.test", "guess").NewConversation()); got {
		case bad535:
			judged++
		case "454 4.7.0 too many failed sign-ins, try again later":
		default:
			t.Fatal(got)
		}
	}
	if judged != 5+4 { // of two networks, each has two tries beside the account's rate
		t.Errorf("%d proofs were judged at once, want 9", judged)
	}
	wantFailure(t, "PLAIN after SCRAM", f.signIn("alice@local.test", "guess", peerN(1)), ErrTooMany, Rule("signin-account-rate"))
}

// Row H20: the right password of a frozen account is answered as a wrong one is,
// in words, cost and count.
func TestFrozenLooksLikeWrong(t *testing.T) {
	f := withAlice(t, cheapLimits())
	if _, err := f.Freeze(context.Background(), address(t, "bob@local.test"), "hijacked", nil); err != nil {
		t.Fatal(err)
	}
	trail := func(user, password string) (out []string) {
		for n := range 20 {
			before := f.HashStats().Started
			err := f.signIn(user, password+strings.Repeat("!", n%2), peerN(n))
			out = append(out, Reply(err).String()+strings.Repeat(" #", int(f.HashStats().Started-before)))
		}
		return out
	}
	frozen, wrong := trail("bob@local.test", "builder builder builder"), trail("alice@local.test", "builder builder builder")
	if a, b := strings.Join(frozen, "\n"), strings.Join(wrong, "\n"); a != b {
		t.Errorf("frozen:\n%s\nwrong:\n%s", a, b)
	}
}

// Row H21: a change of standing or password holds at once.
func TestAChangeHoldsAtOnce(t *testing.T) {
	ctx := context.Background()
	f := withAlice(t, laxLimits())
	alice := address(t, "alice@local.test")
	in := func() error { return f.signIn("alice@local.test", alicePassword, home()) }
	if err := in(); err != nil {
		t.Fatal(err)
	}
	before, _ := f.Lookup(alice)
	frozen, err := f.Freeze(ctx, alice, "hijacked", nil)
	if err != nil || frozen.Standing != StandingFrozen || frozen.FrozenReason != "hijacked" || frozen.Revision <= before.Revision {
		t.Fatalf("%+v %v", frozen, err)
	}
	if now, _ := f.Lookup(alice); now != frozen {
		t.Errorf("Lookup after Freeze = %+v", now)
	}
	wantFailure(t, "frozen", in(), ErrBadCredentials, RuleNotActive)
	if _, err := f.Thaw(ctx, alice, nil); err != nil {
		t.Fatal(err)
	}
	if err := in(); err != nil {
		t.Errorf("thawed: %v", err)
	}
	if _, err := f.SetPassword(ctx, alice, "another password", nil); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, "old password", in(), ErrBadCredentials, RuleBadPassword)
	if err := f.signIn("alice@local.test", "another password", home()); err != nil {
		t.Errorf("new password: %v", err)
	}
	if err := f.Remove(ctx, alice, nil); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, "removed", f.signIn("alice@local.test", "another password", home()), ErrBadCredentials, RuleNoAccount)
	f.add(t, "alice@local.test", "a third password")
	wantFailure(t, "added again", f.signIn("alice@local.test", "another password", home()), ErrBadCredentials, RuleBadPassword)
}

// A wrong password that is remembered as wrong may become the right one.
func TestAWrongPasswordMayBecomeRight(t *testing.T) {
	ctx := context.Background()
	f := withAlice(t, laxLimits())
	in := func(user string) error { return f.signIn(user, "the new password", home()) }
	wantFailure(t, "before", in("alice@local.test"), ErrBadCredentials, RuleBadPassword)
	wantFailure(t, "before", in("carol@local.test"), ErrBadCredentials, RuleNoAccount)
	if _, err := f.SetPassword(ctx, address(t, "alice@local.test"), "the new password", nil); err != nil {
		t.Fatal(err)
	}
	f.add(t, "carol@local.test", "the new password")
	for _, user := range []string{"alice@local.test", "carol@local.test"} {
		if err := in(user); err != nil {
			t.Errorf("%s: %v", user, err)
		}
	}
}

// The account is frozen after the password was found right, before the end.
func TestAChangeDuringTheExchangeHolds(t *testing.T) {
	ctx := context.Background()
	alice := address(t, "alice@local.test")
	for name, change := range map[string]func(f *fixture) error{
		"frozen":   func(f *fixture) error { _, err := f.Freeze(ctx, alice, "hijacked", nil); return err },
		"password": func(f *fixture) error { _, err := f.SetPassword(ctx, alice, "another password", nil); return err },
		"removed":  func(f *fixture) error { return f.Remove(ctx, alice, nil) },
	} {
		f := withAlice(t, laxLimits())
		r := f.record("alice@local.test")
		x, err := f.Begin(MechScram, home())
		if err != nil {
			t.Fatal(err)
		}
		c := scramClient(t, "alice@local.test", alicePassword).NewConversation()
		msg, _ := c.Step("")
		for range 2 { // up to the server's signature
			challenge, done, err := x.Next(ctx, []byte(msg))
			if done {
				t.Fatal(err)
			}
			msg, _ = c.Step(string(challenge))
		}
		if err := change(f); err != nil {
			t.Fatal(err)
		}
		_, done, err := x.Next(ctx, []byte{})
		if !done {
			t.Fatal("not over")
		}
		wantFailure(t, name, err, ErrBadCredentials, RuleChanged)
		_, err = f.admit(ctx, r, r.password(), home())
		wantFailure(t, name+" during a hash", err, ErrBadCredentials, RuleChanged)
	}
}

func TestReplies(t *testing.T) {
	for err, want := range map[error]string{
		nil:                             ok235,
		ErrBadCredentials:               bad535,
		ErrBusy:                         "454 4.7.0 too many sign-ins at once, try again later",
		ErrTooMany:                      "454 4.7.0 too many failed sign-ins, try again later",
		ErrMalformed:                    bad501,
		ErrCancelled:                    "501 5.7.0 authentication cancelled",
		ErrMechanism:                    bad504,
		ErrClear:                        "538 5.7.11 authentication needs TLS",
		store.ErrUnavailable:            "454 4.7.0 temporary authentication failure",
		errors.New("something unheard"): "454 4.7.0 temporary authentication failure",
	} {
		if got := Reply(err).String(); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
		if err != nil && Reply(err).Class() == mail.ClassSuccess {
			t.Errorf("%v is a success", err)
		}
	}
}

func TestCancel(t *testing.T) {
	f := withAlice(t, laxLimits())
	x, err := f.Begin(MechLogin, home())
	if err != nil {
		t.Fatal(err)
	}
	x.Next(context.Background(), []byte("alice@local.test"))
	x.Cancel()
	if a := x.Attempt(); a.Rule != RuleCancelled || a.Account.String() != "alice@local.test" || a.Network.String() != "192.0.2.0/24" || a.Mechanism != MechLogin {
		t.Errorf("%+v", a)
	}
	_, done, err := x.Next(context.Background(), []byte(alicePassword))
	if !done || !errors.Is(err, ErrMalformed) {
		t.Errorf("%v %v", done, err)
	}
}
