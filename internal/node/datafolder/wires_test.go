package datafolder_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/accounts"
	"sallyport/internal/auth/dkim"
	"sallyport/internal/bind"
	"sallyport/internal/budget/quota"
	"sallyport/internal/ca"
	"sallyport/internal/config"
	"sallyport/internal/damage"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/nexthop"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/node/settings"
	"sallyport/internal/oidc"
	"sallyport/internal/returnpath"
	"sallyport/internal/spool"
)

// openWith opens the folder of a configuration until the test ends, with more than tests give it as a rule.
func openWith(t *testing.T, cfg config.Config, w settings.World, more func(*datafolder.Options)) *datafolder.Folder {
	t.Helper()
	o := datafolder.Options{
		World: w, FS: vfs.Default, Version: "test", Overlap: func() time.Duration { return time.Hour },
		Find: func(context.Context, []dkim.KeyName) map[dkim.KeyName]dkim.Found { return nil },
	}
	more(&o)
	f, err := datafolder.Open(t.Context(), cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// unbounded lets every mailbox hold what there is room for.
func (a *aging) unbounded() {
	a.Quota.Adjust(quota.Policy{Of: func(mail.Address) (box, all quota.Quota) { return quota.None(), quota.None() }})
}

// append puts a message of so many octets into alice's mailbox, and returns when it came, as the mailbox has it.
func (a *aging) append(octets int) (time.Time, error) {
	a.t.Helper()
	u, err := a.Mail.User(a.t.Context(), a.alice)
	if err != nil {
		a.t.Fatal(err)
	}
	defer u.Close()
	box, err := u.Select(a.t.Context(), "INBOX", false)
	if err != nil {
		a.t.Fatal(err)
	}
	defer box.Close()
	text := "Subject: x\r\n\r\n"
	text += strings.Repeat("x", octets-len(text))
	uid, err := box.Append(a.t.Context(), strings.NewReader(text), int64(len(text)), mailbox.Flags{}, time.Time{})
	if err != nil {
		return time.Time{}, err
	}
	return box.Date(a.t.Context(), uid)
}

// queued is the one message that waits.
func (a *aging) queued() (one spool.Entry) {
	a.t.Helper()
	n := 0
	if err := a.Spool.List(a.t.Context(), spool.Filter{}, func(e spool.Entry) (bool, error) { one, n = e, n+1; return true, nil }); err != nil || n != 1 {
		a.t.Fatalf("%d messages wait, %v", n, err)
	}
	return one
}

// Whatever is kept says when it was made by the clock of the world.
func TestWhatIsKeptTellsTheTimeOfTheClock(t *testing.T) {
	a := age(t, "")
	a.unbounded()
	at := a.m.Now()
	is := func(what string, got time.Time, err error) {
		t.Helper()
		if err != nil || !got.Equal(at) {
			t.Errorf("%s is of %v, and the clock showed %v; %v", what, got, at, err)
		}
	}
	account, _ := a.Accounts.Lookup(a.alice)
	is("an account", account.Created, nil)
	boss := foldertest.Address(t, "boss@local.test")
	a.Findings.Keep(t.Context(), a.Findings.Used(a.alice, true, func(mail.Domain) bool { return true }, bind.Use{Where: bind.InFrom, Address: boss}))
	for _, f := range a.Findings.List(a.alice) {
		is("a finding", f.First, nil)
	}
	changes, err := a.Ring.Rotate(t.Context(), a.alice.Domain(), nil)
	for _, c := range changes {
		is("a key", c.Key.Created, err)
	}
	authority, err := a.DeviceCA.Rollover(t.Context(), false, func(ca.Authority) [][]byte { return nil })
	is("an authority", authority.Made, err)
	err = a.Damage.Note(damage.Found{Kind: damage.Body, File: "x", What: "y"})
	all, _ := a.Damage.All()
	for _, d := range all {
		is("damage", d.At, err)
	}
	if len(changes) != 2 || len(all) != 1 || len(a.Findings.List(a.alice)) != 1 {
		t.Errorf("%d keys, %d damages", len(changes), len(all))
	}
	err = a.send()
	is("a message that waits", a.queued().Received, err)
	date, err := a.append(100)
	is("a message in a mailbox", date, err)
	err = a.Trace.Write(t.Context(), fact.Started{At: at, Rule: "server"}.Fact())
	if err == nil {
		err = a.Trace.Sync(t.Context())
	}
	is("what is signed of the trace", a.Trace.Stats().SignedAt, err)
}

// What the queue held when a folder was opened is told with the time that the clock showed then.
func TestRecoveryTellsTheTimeOfTheClock(t *testing.T) {
	a := &aging{t: t, m: foldertest.NewMachine(), cfg: foldertest.Load(t, t.TempDir(), "")}
	a.w = a.m.World(settings.World{})
	t.Run("put", func(t *testing.T) {
		b := *a
		b.t, b.Folder = t, foldertest.Open(t, a.cfg, a.w)
		b.alice = foldertest.Add(t, b.Folder, "alice@local.test")
		if err := b.send(); err != nil {
			t.Fatal(err)
		}
	})
	a.m.Pass(time.Minute)
	a.Folder = foldertest.Open(t, a.cfg, a.w)
	told := 0
	err := a.Store.Facts(t.Context(), 1, a.Store.FactHead()+1, func(_ uint64, raw []byte) (bool, error) {
		f, err := fact.Decode(raw)
		counted := slices.ContainsFunc(f.Evidence, func(p fact.Pair) bool { return p == fact.Pair{Name: "resumed", Value: "1"} })
		if f.Kind == fact.KindRecover && f.At.Equal(a.m.Now()) && f.Rule == datafolder.RuleRecovery && counted {
			told++
		}
		return true, err
	})
	if err != nil || told != 1 {
		t.Errorf("told %d times, %v", told, err)
	}
}

// A checkpoint that was exported and is another now is on the list of damage.
func TestACheckpointOfAnotherIsDamage(t *testing.T) {
	cfg, w := foldertest.Load(t, t.TempDir(), ""), foldertest.NewMachine().World(settings.World{})
	t.Run("sign", func(t *testing.T) {
		f := foldertest.Open(t, cfg, w)
		if err := errors.Join(f.Trace.Write(t.Context(), fact.Started{At: w.Now(), Rule: "server"}.Fact()), f.Trace.Sync(t.Context())); err != nil {
			t.Fatal(err)
		}
	})
	path := filepath.Join(cfg.CheckpointDir(), "checkpoint")
	if was, err := os.ReadFile(path); err != nil || len(was) == 0 {
		t.Fatalf("%q, %v", was, err)
	}
	if err := os.WriteFile(path, []byte("another's\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := foldertest.Open(t, cfg, w)
	if all, _ := f.Damage.All(); len(all) != 1 || all[0].Kind != damage.Trace || all[0].File != path {
		t.Errorf("%+v", all)
	}
}

// What the configuration says of sign-ins, the queue and mailboxes holds from the start.
func TestBoundsHoldFromTheStart(t *testing.T) {
	cfg := foldertest.Load(t, t.TempDir(), "")
	cfg.Auth.WrongFor, cfg.Auth.Mechanisms, cfg.Retry.First, cfg.Limits.QueueMessages, cfg.Mailbox.Folders = 3*time.Hour, []string{accounts.MechPlain}, 7*time.Minute, 17, 19
	f := foldertest.Open(t, cfg, settings.World{}.Complete())
	if l, offered := f.Accounts.Bounds(); l.WrongFor != cfg.Auth.WrongFor || !slices.Equal(offered, cfg.Auth.Mechanisms) {
		t.Errorf("of sign-ins: %v, %q", l.WrongFor, offered)
	}
	if p, l := f.Spool.Bounds(); p.First != cfg.Retry.First || l.Entries != cfg.Limits.QueueMessages {
		t.Errorf("of the queue: %v, %d", p.First, l.Entries)
	}
	if l := f.Mail.Bounds(); l.Folders != cfg.Mailbox.Folders {
		t.Errorf("of mailboxes: %d", l.Folders)
	}
}

// Where nobody delivers, what is put into the queue was not tried.
func TestAFolderWhoseQueueRests(t *testing.T) {
	for _, rests := range []bool{false, true} {
		a := &aging{t: t, m: foldertest.NewMachine(), cfg: foldertest.Load(t, t.TempDir(), "")}
		a.w = a.m.World(settings.World{})
		a.Folder = openWith(t, a.cfg, a.w, func(o *datafolder.Options) { o.Paused = rests })
		a.alice = foldertest.Add(t, a.Folder, "alice@local.test")
		if err := a.send(); err != nil {
			t.Fatal(err)
		}
		if tried := a.queued().Attempts > 0; tried == rests {
			t.Errorf("rests: %v; tried: %v", rests, tried)
		}
	}
}

// staff is a directory that knows one password.
type staff struct{}

// Of implements accounts.Elsewhere.
func (staff) Of(mail.Domain) string { return "staff" }

// Password implements accounts.Elsewhere.
func (staff) Password(_ context.Context, _ string, _ mail.Address, password string) (accounts.Said, error) {
	return accounts.Said{Right: password == "known elsewhere"}, nil
}

// Feign implements accounts.Elsewhere.
func (staff) Feign(context.Context, string) error { return nil }

// Who comes from a directory signs in with the password that it knows, and a token is judged by whom the configuration
// names at that time.
func TestWhoElseJudgesSignIns(t *testing.T) {
	asked := 0
	f := openWith(t, foldertest.Load(t, t.TempDir(), ""), settings.World{}.Complete(), func(o *datafolder.Options) {
		o.Elsewhere, o.Provider = staff{}, func() *oidc.Judge { asked++; return nil }
	})
	bob := foldertest.Address(t, "bob@local.test")
	listing := accounts.Listing{Directory: "staff", People: []accounts.Listed{{Address: bob, DN: "cn=bob", Sends: true}}}
	if done, err := f.Accounts.Adopt(t.Context(), listing, func(mail.Address, string) [][]byte { return nil }); done.Added != 1 || err != nil {
		t.Fatalf("%+v, %v", done, err)
	}
	peer := accounts.Peer{Remote: netip.MustParseAddr("192.0.2.7"), TLS: &tls.ConnectionState{HandshakeComplete: true}, For: accounts.ScopeSend}
	if _, err := f.Accounts.SignIn(t.Context(), bob.String(), "known elsewhere", peer); err != nil {
		t.Errorf("with a password that the directory knows: %v", err)
	}
	if _, err := f.Accounts.SignIn(t.Context(), bob.String(), "known nowhere", peer); err == nil {
		t.Error("any password is one that the directory knows")
	}
	if _, err := f.Accounts.SignInByToken(t.Context(), bob.String(), "a token", peer); !errors.Is(err, accounts.ErrMechanism) || asked != 1 {
		t.Errorf("%d times it was looked who judges tokens; %v", asked, err)
	}
}

// A certificate is on the list of revocations once its device is an account's no more, and not before.
func TestARevokedDeviceIsListed(t *testing.T) {
	a := age(t, "")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	none := func(accounts.Credential) [][]byte { return nil }
	var c accounts.Credential
	_, err = a.DeviceCA.Sign(t.Context(), ca.Request{Account: a.alice, Device: "phone", PKCS10: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}))}, func(s ca.Signed) (err error) {
		c, err = a.Accounts.Enroll(t.Context(), a.alice, accounts.Device{Name: "phone", Certificate: s.Certificate, Scope: accounts.ScopeSend, Expires: s.Certificate.NotAfter}, none, s.Note)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	listed := func() int {
		t.Helper()
		all, err := a.DeviceCA.Lists(t.Context())
		if len(all) != 1 || all[0].Fault != nil || err != nil {
			t.Fatalf("%+v, %v", all, err)
		}
		return all[0].Listed
	}
	if n := listed(); n != 0 {
		t.Errorf("%d of one that is used are listed", n)
	}
	if _, err := a.Accounts.Revoke(t.Context(), a.alice, accounts.Choice{IDs: []string{c.ID}}, func([]accounts.Credential) [][]byte { return nil }); err != nil {
		t.Fatal(err)
	}
	if n := listed(); n != 1 {
		t.Errorf("%d of one that is revoked are listed", n)
	}
}

// A key signs once it is seen where it is to be published.
func TestAKeyIsLookedForInTheDNS(t *testing.T) {
	published := map[dkim.KeyName]dkim.Found{}
	f := openWith(t, foldertest.Load(t, t.TempDir(), ""), settings.World{}.Complete(), func(o *datafolder.Options) {
		o.Find = func(context.Context, []dkim.KeyName) map[dkim.KeyName]dkim.Found { return published }
	})
	d := foldertest.Address(t, "alice@local.test").Domain()
	changes, err := f.Ring.Rotate(t.Context(), d, nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		if _, _, err := f.Ring.Look(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if signs := len(f.Ring.Signing(d)) > 0; signs != (n == 1) {
			t.Errorf("published: %v; signs: %v", n == 1, signs)
		}
		for _, c := range changes {
			published[c.Key.Name] = dkim.Found{Records: []string{c.Key.Record}}
		}
	}
}

// Who puts a message into a full mailbox is told that it is full.
func TestWhoReadsAsksTheQuota(t *testing.T) {
	a := age(t, "")
	a.Quota.Adjust(quota.Policy{Warn: 90, Clear: 80, Of: func(mail.Address) (box, all quota.Quota) {
		return quota.Quota{Octets: 1000}.Or(quota.None()), quota.None()
	}})
	if _, err := a.append(900); err != nil {
		t.Fatal(err)
	}
	var full *mailbox.QuotaError
	if _, err := a.append(900); !errors.As(err, &full) {
		t.Errorf("a mailbox takes more than it may hold: %v", err)
	}
}

// Mail that came for an account under the address that it had is in its mailbox; and whoever has that open where it was,
// has it no more.
func TestAMailboxMoves(t *testing.T) {
	a := age(t, "")
	a.unbounded()
	smith := foldertest.Address(t, "smith@local.test")
	u, err := a.Mail.User(t.Context(), a.alice)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	box, err := u.Select(t.Context(), "INBOX", false)
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	came := a.m.Now()
	a.m.Pass(time.Minute)
	rename := func() error {
		_, err := a.Accounts.Rename(t.Context(), a.alice, smith, nil)
		return err
	}
	if err := a.Mailboxes.Rename(a.alice, smith, rename); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Select(t.Context(), "INBOX", false); !errors.Is(err, mailbox.ErrEnded) {
		t.Errorf("it is open where it was: %v", err)
	}
	if code := a.deliverOf(came, "Subject: x\r\n\r\nHello.\r\n"); code != 250 {
		t.Fatal(code)
	}
	if names, err := os.ReadDir(filepath.Join(a.cfg.Maildir.Root, "local.test", "smith", "new")); len(names) != 1 || err != nil {
		t.Errorf("in its mailbox are %v, %v", names, err)
	}
}

// Junk goes into the folder that its owner has for it, whatever that is called.
func TestJunkFollowsItsFolder(t *testing.T) {
	a := age(t, "")
	a.unbounded()
	u, err := a.Mail.User(t.Context(), a.alice)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if err := u.Rename(t.Context(), "Junk", "Spam"); err != nil {
		t.Fatal(err)
	}
	id, err := mail.NewID(a.m.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const text = "Subject: x\r\n\r\nHello.\r\n"
	out := a.Mailboxes.Deliver(t.Context(), nexthop.Job{
		ID: id, Envelope: mail.Envelope{From: mail.NullPath()}, Received: a.m.Now(), Junk: true, Attempt: 1, Size: int64(len(text)),
		Recipients: []nexthop.Recipient{{Recipient: mail.Recipient{Address: a.alice}, Mailbox: a.alice}},
		Open:       func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	})
	if len(out) != 1 || !out[0].Delivered() {
		t.Fatalf("%v", out)
	}
	if s, err := u.Status(t.Context(), "Spam", false); s.Messages != 1 || err != nil {
		t.Errorf("in Spam are %d messages: %v", s.Messages, err)
	}
	if _, err := u.Status(t.Context(), "Junk", false); !errors.Is(err, mailbox.ErrNoSuchMailbox) {
		t.Errorf("there is a folder Junk again: %v", err)
	}
}

// The return paths that a server signs end by its clock, and since when it signs them is noted with its keys.
func TestReturnPathsGoByTheClock(t *testing.T) {
	a := age(t, "")
	state, err := a.ReturnPaths.Build(returnpath.Rules{Mode: returnpath.ModeTag, Life: 14 * day, ForwardAge: day})
	if err != nil {
		t.Fatal(err)
	}
	state.Adopt()
	if since, err := returnpath.NoteIn(a.cfg.KeysDir()).Read(); err != nil || !since.Equal(a.m.Now()) {
		t.Errorf("it is noted that they are signed since %v, %v", since, err)
	}
	dir := foldertest.Directory(t, a.cfg, a.alice)
	signed, ok := a.ReturnPaths.Sign(dir, a.alice, a.m.Now())
	if !ok {
		t.Fatal("nothing is signed")
	}
	if got := a.ReturnPaths.Read(dir, signed, true); got.Address != a.alice {
		t.Errorf("what was signed just now is %+v", got)
	}
	a.m.Pass(30 * day)
	if got := a.ReturnPaths.Read(dir, signed, true); got.Class.Destination != gate.DestinationMarkForged {
		t.Errorf("what was signed a month ago is %+v", got)
	}
	a.ReturnPaths.Learn([]mail.Address{a.alice})
	forward, err := a.ReturnPaths.Forward(a.alice, a.m.Now())
	if err != nil || !a.ReturnPaths.ForForward(dir, forward) {
		t.Errorf("the return path of a forward is nobody's: %v", err)
	}
}

// A folder says which version of the program wrote it.
func TestAFolderSaysWhoWroteIt(t *testing.T) {
	cfg := foldertest.Load(t, t.TempDir(), "")
	openWith(t, cfg, settings.World{}.Complete(), func(o *datafolder.Options) { o.Version = "the program of a test" })
	if text, err := os.ReadFile(filepath.Join(cfg.Data, "format")); err != nil || !strings.Contains(string(text), "the program of a test") {
		t.Errorf("%q, %v", text, err)
	}
}
