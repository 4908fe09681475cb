package metering

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/budget"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/budget/quota"
	"sallyport/internal/ca"
	"sallyport/internal/config"
	"sallyport/internal/damage"
	"sallyport/internal/directory"
	"sallyport/internal/dnsx"
	"sallyport/internal/fact"
	"sallyport/internal/filter/flood"
	"sallyport/internal/incident"
	"sallyport/internal/kit/pki"
	"sallyport/internal/letter/notify"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/message"
	"sallyport/internal/nexthop"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/node/doors"
	"sallyport/internal/node/identity"
	"sallyport/internal/node/letters"
	"sallyport/internal/node/outflow"
	"sallyport/internal/node/settings"
	"sallyport/internal/node/watching"
	"sallyport/internal/operate"
	"sallyport/internal/operate/metrics"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/tlspolicy"
	"sallyport/internal/trust"
)

const hall = `listen.submission = ["127.0.0.1:0"]
tls.cert = "server.pem"
tls.key = "server.key"
[auth]
argon_memory = "8MiB"
argon_rounds = 1
scram_rounds = 4096
[network.printers]
from = ["192.0.2.0/24"]
account = "alice@local.test"
[webhook]
url = "https://hooks.local.test/a"
key_file = "key"
[route."a.test"]
to = "smtp://127.0.0.1:1"
user = "u"
tls = "required"
token_url = "https://127.0.0.1:1/token"
client_id = "us"
client_secret_file = "secret"
`

// building is all rooms of a server that does not run, on a machine whose clock stands.
type building struct {
	*Metering
	Rooms
	t       *testing.T
	m       *foldertest.Machine
	cfg     config.Config
	ways    *outflow.Ways
	inForce *tls.Config
	dir     *directory.Snapshot
	alice   mail.Address
	began   time.Time
}

func open(t *testing.T) *building {
	t.Helper()
	b := &building{t: t, m: foldertest.NewMachine(), Metering: &Metering{}}
	b.began = b.m.Now().Add(-time.Hour)
	dir := t.TempDir()
	if err := pki.In(dir).Ensure("a test", pki.Names{Hosts: []string{"mx.local.test"}}, b.m.Now()); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"key": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz\n", "secret": "s\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.cfg = foldertest.Load(t, dir, hall)
	b.World = b.m.World(settings.World{
		Resolver: &dnsx.Fake{}, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("nobody answers") },
		Look: func() (trust.Host, error) { return trust.Host{Known: true}, nil },
	})
	b.Config, b.Started = func() config.Config { return b.cfg }, func() *time.Time { return &b.began }
	b.Data = foldertest.Open(t, b.cfg, b.World)
	b.alice = foldertest.Add(t, b.Data, "alice@local.test")
	b.dir = foldertest.Directory(t, b.cfg, b.alice)
	b.furnish()
	b.Read(b.Rooms)
	return b
}

// furnish opens the rooms.
func (b *building) furnish() {
	t := b.t
	t.Helper()
	known := func() *directory.Snapshot { return b.dir }
	b.Doors = doors.New(doors.Options{World: b.World, Config: b.Config})
	b.Identity = identity.New(identity.Options{
		World: b.World, Config: b.Config, Store: b.Data.Store, Directory: known, InForce: func() *tls.Config { return b.inForce }, Change: func(fn func()) { fn() },
		Present: func(*tls.Config) {}, Record: func(context.Context, fact.Fact) {},
	})
	var err error
	if b.inForce, err = b.Identity.Build(t.Context(), b.cfg, nil); err != nil {
		t.Fatal(err)
	}
	if b.Watchers, err = watching.Open(t.Context(), watching.Options{World: b.World, Config: b.Config, Data: b.Data, EndSessions: func(mail.Address) int { return 0 }, Raised: func() {}}); err != nil {
		t.Fatal(err)
	}
	watched, err := b.Watchers.Build(b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	watched.Adopt()
	b.Letters = letters.Open(letters.Options{
		World: b.World, Config: b.Config, Data: b.Data, Directory: known, Handoff: func(spool.Claim) {}, Flood: flood.NewGauge(flood.DefaultLimits(), b.Now),
		Sign: func(mail.Domain, message.Header, []byte) ([]byte, error) { return nil, nil },
	})
	told, err := b.Letters.Build(b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	told.Adopt()
	b.Outflow = outflow.Open(outflow.Options{World: b.World, Config: b.Config, InForce: func() *outflow.Ways { return b.ways }, Data: b.Data, Directory: known, Watch: b.Watchers.Watch, Fared: func(tlspolicy.Session) {}})
	if b.ways, err = b.Outflow.Build(t.Context(), b.cfg, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.ways.Retire(nil) })
	b.Operator = operate.New(operate.Options{
		People: operate.People{
			Accounts: b.Data.Accounts, Credentials: b.Data.Accounts, DeviceCA: b.Data.DeviceCA, Ledger: b.Data.Ledger,
			Allowance: func(accounts.Account) budget.Limits { return budget.Limits{Hour: 1, Day: 1} },
		},
		Messages: operate.Messages{Queue: b.Data.Spool}, Now: b.Now,
	})
}

// eventually waits for something that happens in the background.
func (b *building) eventually(what string, is func() bool) {
	b.t.Helper()
	for until := time.Now().Add(30 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			b.t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// letter queues a letter to alice.
func (b *building) letter() {
	b.t.Helper()
	post := &notify.Post{Hostname: b.cfg.Hostname, Directory: func() *directory.Snapshot { return b.dir }, Queue: b.Data.Spool, Handoff: func(spool.Claim) {}, Now: b.Now, Rand: b.Rand, Logger: b.Logger}
	if err := post.Send(b.t.Context(), notify.Letter{Rule: "a test", To: b.alice, Subject: "x", Text: "y\n"}); err != nil {
		b.t.Fatal(err)
	}
}

// enrol enrols a certificate, and goes to five days before its end.
func (b *building) enrol() {
	b.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		b.t.Fatal(err)
	}
	signed, err := b.Data.DeviceCA.Sign(b.t.Context(), ca.Request{Account: b.alice, Device: "phone", PKCS10: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}))}, func(s ca.Signed) error {
		_, err := b.Data.Accounts.Enroll(b.t.Context(), b.alice, accounts.Device{Name: "phone", Certificate: s.Certificate, Scope: accounts.ScopeSend, Expires: s.Certificate.NotAfter}, func(accounts.Credential) [][]byte { return nil }, s.Note)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.m.Pass(signed.Certificate.NotAfter.Sub(b.m.Now()) - 5*24*time.Hour)
}

// fill puts a message of so many octets into alice's mailbox, of 1000.
func (b *building) fill(octets int) {
	b.t.Helper()
	b.Data.Quota.Adjust(quota.Policy{Warn: 50, Clear: 40, Of: func(mail.Address) (box, all quota.Quota) {
		return quota.Quota{Octets: 1000}.Or(quota.None()), quota.None()
	}})
	u, err := b.Data.Mail.User(b.t.Context(), b.alice)
	if err != nil {
		b.t.Fatal(err)
	}
	defer u.Close()
	box, err := u.Select(b.t.Context(), "INBOX", false)
	if err != nil {
		b.t.Fatal(err)
	}
	defer box.Close()
	text := "Subject: x\r\n\r\n"
	text += strings.Repeat("x", octets-len(text))
	if _, err := box.Append(b.t.Context(), strings.NewReader(text), int64(len(text)), mailbox.Flags{}, time.Time{}); err != nil {
		b.t.Fatal(err)
	}
}

// guess tries passwords of alice's from elsewhere.
func (b *building) guess() {
	peer := accounts.Peer{Remote: netip.MustParseAddr("198.51.100.7"), Partner: accounts.Partner{Secured: true}, For: accounts.ScopeSend}
	for n := range 30 {
		if _, err := b.Data.Accounts.SignIn(b.t.Context(), b.alice.String(), fmt.Sprintf("a guess %d", n), peer); err == nil {
			b.t.Fatal("a guess is right")
		}
	}
}

// leave has mail leave by the route that needs a token.
func (b *building) leave() {
	id, err := mail.NewID(b.Now(), b.Rand)
	if err != nil {
		b.t.Fatal(err)
	}
	const text = "Subject: x\r\n\r\n"
	route := outflow.Current(func() *outflow.Ways { return b.ways }).Route(b.cfg.Routes[0].Route)
	route.Deliver(b.t.Context(), nexthop.Job{ID: id, Envelope: mail.Envelope{From: mail.NullPath()}, Size: int64(len(text)), Recipients: []nexthop.Recipient{{Recipient: mail.Recipient{Address: foldertest.Address(b.t, "x@a.test")}}},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }})
}

// see shows that addresses of clients are real.
func (b *building) see() {
	for _, a := range []string{"203.0.113.1", "198.51.100.1", "198.51.101.1"} {
		b.Watchers.Networks.Saw(b.t.Context(), trust.Sighting{From: netip.MustParseAddr(a), MX: true, Domain: "remote.test"})
	}
}

// trip has strangers come from the network of the printers, which contains its account.
func (b *building) trip() {
	for n := range trust.DefaultLimits().Domains {
		b.Watchers.Networks.Saw(b.t.Context(), trust.Sighting{From: netip.MustParseAddr("192.0.2.7"), MX: true, Domain: fmt.Sprintf("d%d.test", n)})
	}
}

// Each figure is that of its room: it changes when something happens there.
func TestEachFigureIsThatOfItsRoom(t *testing.T) {
	b := open(t)
	leaf := b.Identity.Leaf()
	if leaf == nil {
		t.Fatal("there is no certificate")
	}
	none := func() {}
	for _, c := range []struct {
		what    string
		happens func()
		figure  func(metrics.State) any
		before  any
		after   any
	}{
		{"the start", none, func(s metrics.State) any { return s.Started.Equal(b.began) }, true, true},
		{"the certificate", none, func(s metrics.State) any { return s.CertificateExpires.Equal(leaf.NotAfter) }, true, true},
		{"free space", none, func(s metrics.State) any { return s.DiskFree > 0 }, true, true},
		{"guesses", b.guess, func(s metrics.State) any { return s.Guessed }, 0, 1},
		{"accounts that may write to nobody more", func() {
			c := b.Data.Ledger.Charge(ledger.Account(b.alice))
			c.Take(1, budget.Limits{Hour: 1, Day: 1})
			c.Done()
		}, func(s metrics.State) any { return s.Capped }, 0, 1},
		{"mailboxes that are nearly full", func() { b.fill(600) }, func(s metrics.State) any { return fmt.Sprint(s.Filling, s.Full) }, "0 0", "1 0"},
		{"mailboxes that are full", func() { b.fill(400) }, func(s metrics.State) any { return fmt.Sprint(s.Filling, s.Full) }, "1 0", "1 1"},
		{"certificates that end", b.enrol, func(s metrics.State) any { return s.Ending }, 0, 1},
		{"messages", b.letter, func(s metrics.State) any { return fmt.Sprint(s.Messages, s.Active, s.Octets > 0, s.Oldest) }, "0 0 false 0s", "1 1 true 1ms"},
		{"their age", func() { b.m.Pass(time.Hour) }, func(s metrics.State) any { return s.Oldest }, leastAge, time.Hour},
		{"those that are held", func() {
			if n, err := b.Data.Spool.Hold(t.Context(), spool.Filter{}, "a test", nil); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}, func(s metrics.State) any { return s.Held }, 0, 1},
		{"endpoints without a token", b.leave, func(s metrics.State) any { return s.Tokenless }, 0, 1},
		{"networks that are proven", b.see, func(s metrics.State) any { return fmt.Sprint(s.NetworksWaiting, s.NetworksOpen, s.NetworksClosed) }, "1 0 0", "0 1 0"},
		{"incidents", b.trip, func(s metrics.State) any {
			return fmt.Sprint(s.Incidents, s.WebhookWaiting, s.NetworksWaiting, s.NetworksOpen, s.NetworksClosed)
		}, "0 0 0 1 0", "1 1 0 0 1"},
		{"memory that was refused", func() { b.Doors.Memory().Hold(false).Take(1 << 60) }, func(s metrics.State) any { return s.MemoryRefused }, uint64(0), uint64(1)},
		{"damage", func() {
			if err := b.Data.Damage.Note(damage.Found{Kind: damage.Body, File: "x", What: "y"}); err != nil {
				t.Fatal(err)
			}
		}, func(s metrics.State) any { return s.Damaged }, 0, 1},
		{"what is signed of the trace", func() {
			if err := b.Data.Trace.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, func(s metrics.State) any {
			return fmt.Sprint(s.Facts > 0, s.Sequenced == s.Facts, s.Signed == int64(s.Facts), s.SignedAt.Equal(b.m.Now()))
		}, "true false false false", "true true true true"},
	} {
		if got := c.figure(b.state(t.Context())); got != c.before {
			t.Errorf("before: %s: %v, want %v", c.what, got, c.before)
		}
		c.happens()
		if got := c.figure(b.state(t.Context())); got != c.after {
			t.Errorf("after: %s: %v, want %v", c.what, got, c.after)
		}
	}
}

// How telling a program goes is that of the letters.
func TestFiguresOfTheWebhook(t *testing.T) {
	b := open(t)
	if _, _, _, err := b.Watchers.Incidents.Contain(t.Context(), incident.Incident{Account: b.alice, Rule: "hijack", By: "a test", Reason: "somebody else"}); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.Letters.Webhook.Run(ctx)
	}()
	b.eventually("it fails", func() bool {
		s := b.state(t.Context())
		return s.WebhookFailed > 0 && s.WebhookWaiting == 1 && s.WebhookTold == 0
	})
	end()
	<-ended
}

// That a disk is low is a figure, and is told once with the time of the clock.
func TestDisksAreWatched(t *testing.T) {
	b := open(t)
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.WatchDisks(ctx)
	}()
	if b.state(t.Context()).DiskLow {
		t.Error("it is low at first")
	}
	b.Data.Disks.Reserve(1 << 60)
	b.eventually("it is low", func() bool { return b.state(t.Context()).DiskLow })
	told := func() (all []fact.Fact) {
		err := b.Data.Store.Facts(t.Context(), 1, b.Data.Store.FactHead()+1, func(_ uint64, raw []byte) (bool, error) {
			f, err := fact.Decode(raw)
			if f.Rule == "disk-low" {
				all = append(all, f)
			}
			return true, err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	b.eventually("it is told", func() bool { return len(told()) > 0 })
	end()
	<-ended
	if all := told(); len(all) != 1 || !all[0].At.Equal(b.m.Now()) {
		t.Errorf("told: %+v", all)
	}
}

// The list of damage is shown as it is, and an entry of it is acknowledged there.
func TestDamageIsShown(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	list, err := damage.Open(filepath.Join(t.TempDir(), "damage.json"), damage.DefaultLimits(), func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	found := damage.Found{Kind: damage.Body, File: "a file", What: "a flipped bit", Lost: "a message", Aside: "another file"}
	if err := list.Note(found); err != nil {
		t.Fatal(err)
	}
	shown := Damaged(list)
	want := operate.DamageEntry{Number: 1, At: at, Kind: "body", File: "a file", What: "a flipped bit", Lost: "a message", Aside: "another file"}
	if all := shown.All(); shown.Count() != 1 || len(all) != 1 || all[0] != want {
		t.Errorf("%d: %+v", shown.Count(), all)
	}
	want.Acknowledged = at
	if done, err := shown.Acknowledge(1); err != nil || len(done) != 1 || done[0] != want || shown.Count() != 0 {
		t.Errorf("%d: %+v, %v", shown.Count(), done, err)
	}
	if all := shown.All(); len(all) != 1 || all[0] != want {
		t.Errorf("%+v", all)
	}
}

// What the database ails of is told as the store says it, and nothing while it does not ail.
func TestWhatTheDatabaseAilsOf(t *testing.T) {
	if Ailing(nil) != nil {
		t.Error("a store that never tells tells something")
	}
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	trouble, ails := store.Trouble{Since: at, Cause: "no space", Full: true, Tries: 3, Last: "none", Next: at.Add(time.Minute)}, false
	tells := Ailing(func() (store.Trouble, bool) { return trouble, ails })
	if got := tells(); got != nil {
		t.Errorf("while it is well: %+v", got)
	}
	ails = true
	if got := tells(); got == nil || *got != (operate.Database{Since: at, Cause: "no space", Full: true, Tries: 3, Last: "none", Next: at.Add(time.Minute)}) {
		t.Errorf("%+v", got)
	}
}
