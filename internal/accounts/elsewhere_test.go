package accounts

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/store/mem"
)

// office is a directory that has the passwords of local.test.
type office struct {
	mu       sync.Mutex
	of       string
	said     map[string]Said // by address and password
	away     error
	asked    int
	feigned  int
	observed []string
}

func (o *office) Of(d mail.Domain) string {
	if d.ASCII() == "local.test" {
		return o.of
	}
	return ""
}

func (o *office) Password(_ context.Context, directory string, a mail.Address, password string) (Said, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked++
	o.observed = append(o.observed, directory+" "+a.String()+" "+password)
	return o.said[a.String()+" "+password], o.away
}

func (o *office) Feign(context.Context, string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.feigned++
	return o.away
}

func (o *office) counts() (asked, feigned int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked, o.feigned
}

// listing is that of the office, of these people.
func listing(t testing.TB, names ...string) Listing {
	t.Helper()
	l := Listing{Directory: "office"}
	for _, n := range names {
		l.People = append(l.People, Listed{Address: address(t, n+"@local.test"), DN: "uid=" + n, Entry: "entry-" + n, Sends: true, Aliases: []mail.Address{address(t, n+".alias@local.test")}})
	}
	return l
}

func (f *fixture) adopt(t testing.TB, l Listing) (done Adopted, told []string) {
	t.Helper()
	done, err := f.Adopt(context.Background(), l, func(a mail.Address, change string) [][]byte {
		told = append(told, a.String()+": "+change)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return done, told
}

// inOffice has alice and carol from the office, and the printer, which is ours.
func inOffice(t testing.TB, l Limits) (*fixture, *office) {
	t.Helper()
	o := &office{of: "office", said: map[string]Said{"alice@local.test " + alicePassword: {Right: true}}}
	f := open(t, mem.New(), Options{Limits: l, Elsewhere: o})
	f.add(t, "printer@local.test", alicePassword)
	f.adopt(t, listing(t, "alice", "carol"))
	return f, o
}

func (f *fixture) rule(user, password string, p Peer) Rule {
	err := f.signIn(user, password, p)
	var e *SignInError
	if errors.As(err, &e) {
		return e.Rule
	}
	if err != nil {
		return RuleUnavailable
	}
	return RuleSignedIn
}

func TestPasswordsOfADirectory(t *testing.T) {
	f, o := inOffice(t, laxLimits())
	for _, c := range []struct {
		user, password string
		want           Rule
	}{
		{"alice@local.test", alicePassword, RuleSignedIn},
		{"ALICE@local.test", alicePassword, RuleSignedIn},
		{"alice@local.test", "wrong", RuleBadPassword},
		{"carol@local.test", alicePassword, RuleBadPassword},
		{"nobody@local.test", alicePassword, RuleNoAccount},
		{"printer@local.test", alicePassword, RuleSignedIn},
		{"printer@local.test", "wrong", RuleBadPassword},
		{"alice.alias@local.test", alicePassword, RuleNoAccount},
	} {
		if got := f.rule(c.user, c.password, home()); got != c.want {
			t.Errorf("%s %s: %s instead of %s", c.user, c.password, got, c.want)
		}
	}
	for _, seen := range o.observed {
		if seen != "office alice@local.test "+alicePassword && seen != "office alice@local.test wrong" && seen != "office carol@local.test "+alicePassword {
			t.Errorf("the directory saw %s", seen)
		}
	}
	// Whatever has no account there, and an account of ours, is not asked about; and takes as long.
	if asked, feigned := o.counts(); asked != 3 || feigned != 3 {
		t.Errorf("%d asked, %d feigned", asked, feigned)
	}
	// Names that the directory lacks never reach it.
	for n := range 300 {
		f.rule(fmt.Sprintf("n%d@local.test", n), "wrong", peerN(n))
	}
	if asked, _ := o.counts(); asked != 3 {
		t.Errorf("%d asked", asked)
	}
}

// While the directory does not tell, nobody learns whether there is an account, nothing counts as
// a guess, and nobody gets in but who was let in a moment ago.
func TestADirectoryThatDoesNotTell(t *testing.T) {
	f, o := inOffice(t, cheapLimits())
	if f.rule("alice@local.test", alicePassword, home()) != RuleSignedIn {
		t.Fatal("she does not get in")
	}
	o.away = errors.New("connection refused")
	for n := range 40 {
		for _, user := range []string{"carol@local.test", "nobody@local.test"} {
			if err := f.signIn(user, fmt.Sprint("guess ", n), peerAt("198.51.100.7")); !errors.Is(err, ErrElsewhere) || Reply(err).String() != "454 4.7.0 temporary authentication failure" {
				t.Fatalf("%d %s: %v", n, user, err)
			}
		}
	}
	if err := f.signIn("printer@local.test", "wrong", peerAt("198.51.100.7")); !errors.Is(err, ErrElsewhere) {
		t.Errorf("an account of ours tells itself: %v", err)
	}
	if f.rule("printer@local.test", alicePassword, home()) != RuleSignedIn {
		t.Error("an account of ours waits for the directory")
	}
	if f.rule("alice@local.test", alicePassword, home()) != RuleSignedIn {
		t.Error("what was right a moment ago is forgotten")
	}
	if got := f.rule("alice@local.test", "wrong", home()); got != RuleElsewhere {
		t.Error(got)
	}
	f.clock.advance(DefaultLimits().CacheTTL)
	if got := f.rule("alice@local.test", alicePassword, home()); got != RuleElsewhere {
		t.Errorf("it is remembered for ever: %s", got)
	}
	o.away = nil
	if got := f.rule("carol@local.test", "guess 0", peerAt("198.51.100.7")); got != RuleBadPassword {
		t.Errorf("something was counted: %s", got)
	}
}

func TestWhatADirectorySaysBesideWrong(t *testing.T) {
	f, o := inOffice(t, cheapLimits())
	for n := range 30 { // nothing of it is a guess, since the password is right
		o.said["carol@local.test due"] = Said{Refused: true, Proved: true, Why: "it must be changed"}
		err := f.signIn("carol@local.test", "due", peerAt("198.51.100.7"))
		if !errors.Is(err, ErrMustChange) || Reply(err).Code != 535 {
			t.Fatalf("%d: %v", n, err)
		}
	}
	o.said["carol@local.test due"] = Said{Right: true}
	if got := f.rule("carol@local.test", "due", peerAt("198.51.100.7")); got != RuleSignedIn {
		t.Errorf("changed, it opens nothing: %s", got)
	}
	o.said["alice@local.test locked"] = Said{Refused: true, Why: "locked"}
	err := f.signIn("alice@local.test", "locked", peerAt("198.51.100.8"))
	if wrong := f.signIn("alice@local.test", "wrong", peerAt("198.51.100.8")); Reply(err) != Reply(wrong) {
		t.Errorf("%v tells itself from %v", err, wrong)
	}
	o.said["alice@local.test locked"] = Said{Right: true}
	if got := f.rule("alice@local.test", "locked", peerAt("198.51.100.8")); got != RuleSignedIn {
		t.Errorf("the lock is remembered: %s", got)
	}
}

// The same wrong password is not shown to the directory again for a while, which would lock the
// person out there, and is no new guess; afterwards it may have become right.
func TestWrongPasswordsBecomeRightElsewhere(t *testing.T) {
	f, o := inOffice(t, cheapLimits())
	for range 50 {
		if got := f.rule("carol@local.test", "new one", home()); got != RuleBadPassword {
			t.Fatal(got)
		}
	}
	if asked, _ := o.counts(); asked != 1 {
		t.Errorf("%d asked", asked)
	}
	o.said["carol@local.test new one"] = Said{Right: true}
	f.clock.advance(DefaultLimits().DeniedFor)
	if got := f.rule("carol@local.test", "new one", home()); got != RuleSignedIn {
		t.Errorf("it is wrong for ever: %s", got)
	}
}

// A freeze, a revocation and a thaw empty what is remembered, and hold whatever the directory says.
func TestOursHoldsWhateverADirectorySays(t *testing.T) {
	ctx := context.Background()
	f, o := inOffice(t, laxLimits())
	alice := address(t, "alice@local.test")
	in := func() Rule { return f.rule("alice@local.test", alicePassword, home()) }
	if in() != RuleSignedIn || in() != RuleSignedIn {
		t.Fatal("she does not get in")
	}
	if asked, _ := o.counts(); asked != 1 {
		t.Errorf("%d asked: good answers are not remembered", asked)
	}
	if _, err := f.Freeze(ctx, alice, "misuse", nil); err != nil {
		t.Fatal(err)
	}
	if in() != RuleNotActive {
		t.Error("frozen, she gets in")
	}
	f.adopt(t, listing(t, "alice", "carol"))
	f.adopt(t, listing(t, "carol"))
	if a, _ := f.Lookup(alice); a.Standing != StandingFrozen || a.Receives() {
		t.Errorf("%+v", a)
	}
	f.adopt(t, listing(t, "alice", "carol"))
	if a, _ := f.Lookup(alice); a.Standing != StandingFrozen || !a.Receives() || in() != RuleNotActive {
		t.Errorf("the directory thaws: %+v", a)
	}
	if asked, _ := o.counts(); asked != 1 {
		t.Errorf("%d asked: the directory sees passwords of the frozen", asked)
	}
	if _, err := f.Thaw(ctx, alice, nil); err != nil {
		t.Fatal(err)
	}
	if in() != RuleSignedIn {
		t.Error("thawed, she does not get in")
	}
	if asked, _ := o.counts(); asked != 2 {
		t.Errorf("%d asked: the freeze has emptied nothing", asked)
	}
	app, secret, err := f.AddApp(ctx, alice, AppPassword{Name: "phone", Scope: ScopeAll}, func(Credential) [][]byte { return nil })
	if err != nil {
		t.Fatal(err)
	}
	pw, err := f.Credentials(alice)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Revoke(ctx, alice, Choice{IDs: []string{pw[0].ID}}, func([]Credential) [][]byte { return nil }); err != nil {
		t.Fatal(err)
	}
	if in() != RuleRevoked {
		t.Error("revoked, the password of the directory opens")
	}
	o.away = errors.New("down")
	if got := f.rule("alice@local.test", secret, home()); got != RuleSignedIn {
		t.Errorf("the app password %s: %s", app.ID, got)
	}
	o.away = nil
	if _, err := f.SetPassword(ctx, alice, "a password of ours", nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
	if _, err := f.TrustPassword(ctx, alice, nil); err != nil || in() != RuleSignedIn {
		t.Errorf("%v", err)
	}
	if _, err := f.TrustPassword(ctx, address(t, "printer@local.test"), nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestAListingIsAdopted(t *testing.T) {
	ctx := context.Background()
	f, o := inOffice(t, laxLimits())
	alice := address(t, "alice@local.test")
	proof, err := f.SignIn(ctx, "alice@local.test", alicePassword, home())
	if err != nil {
		t.Fatal(err)
	}
	if done, told := f.adopt(t, listing(t, "carol", "alice")); len(told) != 0 || done.Added+done.Changed+done.Absent != 0 || f.Fallen(proof) != "" {
		t.Errorf("the same again changes %v", told)
	}
	aliases := func() int {
		all, err := f.Aliases(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if aliases() != 2 {
		t.Errorf("%d aliases", aliases())
	}
	// An app password of hers, which another entry of this address must not inherit.
	_, secret, err := f.AddApp(ctx, alice, AppPassword{Name: "phone", Scope: ScopeAll}, func(Credential) [][]byte { return nil })
	if err != nil {
		t.Fatal(err)
	}
	l := listing(t, "alice", "carol")
	l.People[0].Sends = false
	f.adopt(t, l)
	if f.Fallen(proof) == "" || f.Active(alice) || f.rule("alice@local.test", alicePassword, home()) != RuleSilent || f.rule("alice@local.test", secret, home()) != RuleSilent {
		t.Error("she may not send, and does")
	}
	f.adopt(t, listing(t, "alice", "carol"))
	if !f.Active(alice) || f.rule("alice@local.test", secret, home()) != RuleSignedIn {
		t.Error("she may send, and does not")
	}
	if _, told := f.adopt(t, listing(t, "carol")); len(told) != 1 || told[0] != "alice@local.test: "+ListedAbsent {
		t.Errorf("%v", told)
	}
	if a, _ := f.Lookup(alice); a.Standing != StandingUnlisted || a.Receives() || aliases() != 1 || f.Active(alice) {
		t.Errorf("%+v", a)
	}
	if got := f.rule("alice@local.test", secret, home()); got != RuleNotActive {
		t.Errorf("absent, she gets in: %s", got)
	}
	// Nobody can tell: she stays as she is.
	l = listing(t, "carol")
	l.Doubtful = map[string]bool{"alice@local.test": true}
	if _, told := f.adopt(t, l); len(told) != 0 {
		t.Errorf("%v", told)
	}
	l = listing(t, "alice", "carol")
	l.People[0].Entry = "entry-of-another"
	if _, told := f.adopt(t, l); len(told) != 1 || told[0] != "alice@local.test: "+ListedOther {
		t.Errorf("%v", told)
	}
	if got := f.rule("alice@local.test", secret, home()); got == RuleSignedIn {
		t.Error("another person inherits the app password")
	}
	if got := f.rule("alice@local.test", alicePassword, home()); got != RuleSignedIn {
		t.Error(got)
	}
	// What was adopted is there after a start, with the directory away.
	o.away = errors.New("down")
	again := open(t, f.st, Options{Limits: laxLimits(), Elsewhere: o})
	if a, ok := again.Lookup(alice); !ok || a.Source.Directory != "office" || a.Standing != StandingActive {
		t.Errorf("%+v", a)
	}
	// The directory is none of the configuration any more: it says nothing, and nothing is lost.
	o.away, o.of = nil, ""
	if got := f.rule("carol@local.test", "x", home()); got != RuleElsewhere {
		t.Error(got)
	}
}

// calls is a listing of one person, under the name that an entry has now.
func calls(t testing.TB, entry, name string) Listing {
	t.Helper()
	l := listing(t, name)
	l.People[0].Entry = entry
	return l
}

// A freeze, a revocation, limits and ways to sign in hold for an entry, whatever its directory calls it: whoever is
// contained does not get in under another address with the same password, nor under the former one again.
func TestAnotherAddressIsTheSameAccount(t *testing.T) {
	ctx := context.Background()
	f, o := inOffice(t, laxLimits())
	alice, smith := address(t, "alice@local.test"), address(t, "smith@local.test")
	for _, who := range []string{"smith", "jones"} {
		o.said[who+"@local.test "+alicePassword] = Said{Right: true}
	}
	in := func(who string) Rule { return f.rule(who+"@local.test", alicePassword, home()) }
	if _, err := f.SetSending(ctx, alice, Sending{Role: RolePerson, RecipientsHour: 7}, nil); err != nil {
		t.Fatal(err)
	}
	pw, err := f.Credentials(alice)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Contain(ctx, alice, Containment{Freeze: "misuse", ReadsOn: true, Revoke: Choice{IDs: []string{pw[0].ID}}}, nothingTold); err != nil {
		t.Fatal(err)
	}
	f.adopt(t, listing(t, "alice", "carol"))
	l := calls(t, "entry-alice", "smith")
	l.People = append(l.People, listing(t, "carol").People...)
	if done, told := f.adopt(t, l); done.Added != 1 || done.Absent != 1 || len(told) != 2 || told[1] != "smith@local.test: "+ListedAdded+" in the place of alice@local.test" {
		t.Errorf("%+v, %q", done, told)
	}
	if a, _ := f.Lookup(smith); a.Standing != StandingFrozen || a.FrozenReason != "misuse, as alice@local.test" || !a.PasswordRevoked || a.RecipientsHour != 7 || !a.Receives() {
		t.Errorf("%+v", a)
	}
	if got := in("smith"); got == RuleSignedIn {
		t.Error("the stolen password opens the same person's other address")
	}
	if _, told := f.adopt(t, l); len(told) != 0 {
		t.Errorf("the same again changes %v", told)
	}
	// Only a person ends it, for the address that there is; and from then on that holds.
	if _, err := f.Thaw(ctx, smith, nil); err != nil {
		t.Fatal(err)
	}
	if got := in("smith"); got != RuleRevoked {
		t.Errorf("thawed, and revoked: %s", got)
	}
	if _, err := f.TrustPassword(ctx, smith, nil); err != nil || in("smith") != RuleSignedIn {
		t.Errorf("freed, she does not get in: %v", err)
	}
	f.adopt(t, calls(t, "entry-alice", "jones"))
	if got := in("jones"); got != RuleSignedIn {
		t.Errorf("who was freed is frozen under a third address: %s", got)
	}
	if _, err := f.Freeze(ctx, address(t, "jones@local.test"), "again", nil); err != nil {
		t.Fatal(err)
	}
	f.adopt(t, calls(t, "entry-alice", "smith"))
	if got := in("smith"); got == RuleSignedIn {
		t.Error("who is frozen gets in by the address that she had before")
	}
	// Another entry is another person, whatever it is called; one that nothing names for good goes by its name.
	f.adopt(t, calls(t, "entry-other", "jones.junior"))
	if a, _ := f.Lookup(address(t, "jones.junior@local.test")); a.Standing != StandingActive {
		t.Errorf("somebody else is %s", a.Standing)
	}
	for _, c := range []struct {
		dn   string
		want Standing
	}{{"uid=smith", StandingFrozen}, {"uid=nobody", StandingActive}} {
		n := calls(t, "", "n"+c.dn[4:])
		n.People[0].DN = c.dn
		f.adopt(t, n)
		if a, _ := f.Lookup(n.People[0].Address); a.Standing != c.want {
			t.Errorf("%s: %s", c.dn, a.Standing)
		}
	}
	// The address of somebody else who is there.
	f.adopt(t, calls(t, "entry-carol", "carol"))
	f.adopt(t, calls(t, "entry-alice", "carol"))
	if a, _ := f.Lookup(address(t, "carol@local.test")); a.Standing != StandingFrozen {
		t.Errorf("who is frozen is %s by the address of somebody else", a.Standing)
	}
	// What several bear who are there tells nothing of who had it before.
	two := calls(t, "entry-alice", "carol")
	two.People = append(two.People, calls(t, "entry-alice", "twin").People...)
	f.adopt(t, two)
	if a, _ := f.Lookup(address(t, "twin@local.test")); a.Standing != StandingActive {
		t.Errorf("by a name that two bear, a third one is %s", a.Standing)
	}
	again := open(t, f.st, Options{Limits: laxLimits(), Elsewhere: o})
	if r := again.record(smith.Key()); r == nil || r.Account != f.record(smith.Key()).Account {
		t.Errorf("after a start: %+v", r)
	}
}

// Tokens that are dead for either are dead for both.
func TestDeadTokensOfTwo(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1_000_000+int64(s), 0).UTC() }
	none, open, over, all := deadTokens{}, deadTokens{Any: true, From: at(10)}, deadTokens{Any: true, From: at(5), Until: at(20)}, deadTokens{Any: true, Until: at(8)}
	for n, row := range []struct{ a, b, want deadTokens }{
		{none, none, none}, {none, open, open}, {over, none, over}, {open, over, deadTokens{Any: true, From: at(5)}}, {over, open, deadTokens{Any: true, From: at(5)}},
		{over, all, deadTokens{Any: true, Until: at(20)}}, {all, over, deadTokens{Any: true, Until: at(20)}},
	} {
		if got := row.a.and(row.b); got != row.want {
			t.Errorf("%d: %+v, want %+v", n, got, row.want)
		}
	}
}

// An account of ours that a directory lists too is nobody's until it is in one place alone.
func TestTwoPlacesAreNone(t *testing.T) {
	f, o := inOffice(t, laxLimits())
	printer := address(t, "printer@local.test")
	o.said["printer@local.test theirs"] = Said{Right: true}
	for range 2 {
		done, _ := f.adopt(t, listing(t, "alice", "carol", "printer"))
		if len(done.Disputed) != 1 || done.Disputed[0] != printer {
			t.Fatalf("%+v", done)
		}
		for _, password := range []string{alicePassword, "theirs"} {
			if got := f.rule("printer@local.test", password, home()); got != RuleNotActive {
				t.Errorf("%s: %s", password, got)
			}
		}
	}
	if a, _ := f.Lookup(printer); a.Standing != StandingDisputed || !a.Receives() || f.Active(printer) {
		t.Errorf("%+v", a)
	}
	if a, _ := open(t, f.st, Options{Limits: laxLimits(), Elsewhere: o}).Lookup(printer); a.Standing != StandingDisputed {
		t.Errorf("after a start: %+v", a)
	}
	if done, _ := f.adopt(t, listing(t, "alice", "carol")); len(done.Disputed) != 0 || f.rule("printer@local.test", alicePassword, home()) != RuleSignedIn {
		t.Errorf("%+v", done)
	}
	l := listing(t, "alice")
	l.Directory = "annex"
	if done, _ := f.adopt(t, l); len(done.Disputed) != 1 {
		t.Errorf("%+v", done)
	}
	if got := f.rule("alice@local.test", alicePassword, home()); got != RuleNotActive {
		t.Errorf("two directories: %s", got)
	}
}

// A large list is adopted in parts, within the bound of accounts.
func TestALargeListing(t *testing.T) {
	limits := laxLimits()
	limits.Accounts = 1000
	o := &office{of: "office"}
	f := open(t, mem.New(), Options{Limits: limits, Elsewhere: o})
	var names []string
	for n := range 1001 {
		names = append(names, fmt.Sprint("p", n))
	}
	if done, _ := f.adopt(t, listing(t, names[:1000]...)); done.Added != 1000 {
		t.Errorf("%+v", done)
	}
	if _, err := f.Adopt(context.Background(), listing(t, names...), func(mail.Address, string) [][]byte { return nil }); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	if all, _ := f.List(context.Background()); len(all) != 1000 {
		t.Errorf("%d", len(all))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := f.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
