package datafolder_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/budget"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/budget/quota"
	"sallyport/internal/ca"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/letter/notify"
	"sallyport/internal/mail"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/node/settings"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// aging is a data folder on a machine whose clock somebody sets.
type aging struct {
	*datafolder.Folder
	t     *testing.T
	m     *foldertest.Machine
	w     settings.World
	cfg   config.Config
	alice mail.Address
}

func age(t *testing.T, more string) *aging {
	t.Helper()
	a := &aging{t: t, m: foldertest.NewMachine(), cfg: foldertest.Load(t, t.TempDir(), more)}
	a.w = a.m.World(settings.World{})
	a.Folder = foldertest.Open(t, a.cfg, a.w)
	a.alice = foldertest.Add(t, a.Folder, "alice@local.test")
	return a
}

// set sets the clock. The server sees what it showed before, and what it shows then.
func (a *aging) set(by time.Duration) {
	a.Clock.Now()
	a.m.Set(by)
	a.Clock.Now()
}

// kept is what the store keeps in a space whose keys and values have a text.
func (a *aging) kept(s store.Space, text string) (n int) {
	a.t.Helper()
	err := a.Store.Scan(a.t.Context(), s.All(), func(k, v []byte) (bool, error) {
		if bytes.Contains(k, []byte(text)) || bytes.Contains(v, []byte(text)) {
			n++
		}
		return true, nil
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return n
}

// send queues a letter for alice.
func (a *aging) send() error {
	dir := foldertest.Directory(a.t, a.cfg, a.alice)
	post := &notify.Post{
		Hostname: a.cfg.Hostname, Directory: func() *directory.Snapshot { return dir }, Queue: a.Spool,
		Handoff: func(spool.Claim) {}, Now: a.w.Now, Rand: a.w.Rand, Logger: a.w.Logger,
	}
	return post.Send(a.t.Context(), notify.Letter{Rule: "a test", To: a.alice, Subject: "x", Text: "y\n"})
}

// What an account may write to, and what a network may bring, is refilled by the time that passes,
// whatever the clock is set to.
func TestBudgetsGoByTheTimeThatPasses(t *testing.T) {
	a := age(t, "[inflow]\nnetwork_connections = 2\n")
	may := func() bool {
		c := a.Ledger.Charge(ledger.Account(a.alice))
		v, _ := c.Take(1, budget.Limits{Hour: 1, Day: 10})
		c.Done()
		return v.OK
	}
	comes := func() bool { return a.Inflow.Connect(netip.MustParseAddr("192.0.2.7")).OK }
	for n := range 10 {
		if may() != (n == 0) {
			t.Errorf("recipient %d", n)
		}
		comes()
	}
	if comes() {
		t.Error("a network is not bounded as the configuration says")
	}
	for _, by := range []time.Duration{10 * year, -20 * year} {
		if a.set(by); may() || comes() {
			t.Errorf("a clock that is set by %v gives anew what was used", by)
		}
	}
	if a.m.Pass(2 * time.Hour); !may() || !comes() {
		t.Error("what was used is not given anew")
	}
}

// What waits in the queue is due when its time has passed.
func TestTheQueueGoesByTheTimeThatPasses(t *testing.T) {
	a := age(t, "")
	a.set(year)
	if err := a.send(); err != nil {
		t.Fatal(err)
	}
	a.m.Pass(2 * time.Hour)
	if due, err := a.Spool.Due(t.Context(), a.Clock.Now(), 10); len(due) != 1 || err != nil {
		t.Errorf("due is %+v, %v", due, err)
	}
}

// What the trace tells is kept for as long as the configuration says, by the time that passed.
func TestTheTraceGoesByTheTimeThatPassed(t *testing.T) {
	a := age(t, "[trace]\nkeep = \"40d\"\n")
	if err := a.Trace.Write(t.Context(), fact.Started{At: a.m.Now(), Rule: "server"}.Fact()); err != nil {
		t.Fatal(err)
	}
	retain := func() uint64 {
		t.Helper()
		if err := a.Trace.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := a.Trace.Retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		return a.Trace.Oldest()
	}
	first := retain()
	a.set(10 * year)
	if got := retain(); got != first {
		t.Errorf("a clock that is set ahead takes the facts before %d", got)
	}
	a.m.Pass(41 * day)
	if got := retain(); got == first {
		t.Error("a fact is kept for ever")
	}
}

// From where an account signed in is known for as long as passes.
func TestKnownNetworksGoByTheTimeThatPassed(t *testing.T) {
	a := age(t, "")
	from := func(addr string) {
		t.Helper()
		if _, err := a.Accounts.SignIn(t.Context(), a.alice.String(), "a long password", accounts.Peer{Remote: netip.MustParseAddr(addr), Partner: accounts.Partner{Secured: true}, For: accounts.ScopeSend}); err != nil {
			t.Fatal(err)
		}
	}
	known := func(network string) bool { return a.kept(store.SpaceAccounts, network) > 0 }
	from("192.0.2.7")
	a.set(10 * year)
	if from("198.51.100.7"); !known("192.0.2.0/") || !known("198.51.100.0/") {
		t.Error("a clock that is set ahead takes a network")
	}
	a.m.Pass(a.accountLimits().KnownFor)
	a.set(-20 * year)
	if from("203.0.113.7"); known("192.0.2.0/") || !known("203.0.113.0/") {
		t.Error("a network is known for ever")
	}
}

func (a *aging) accountLimits() accounts.Limits {
	l, _ := a.Accounts.Bounds()
	return l
}

// What became of a device's certificate is known after its end for as long as passes.
func TestCertificatesGoByTheTimeThatPassed(t *testing.T) {
	a := age(t, "")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	enrol := func(s ca.Signed) error {
		tx, done, err := store.Tx{}.With(t.Context(), s.Note)
		if err == nil {
			_, err = a.Store.Apply(t.Context(), tx, store.Durable)
			err = done(err)
		}
		return err
	}
	if _, err := a.DeviceCA.Sign(t.Context(), ca.Request{Account: a.alice, Device: "phone", PKCS10: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}))}, enrol); err != nil {
		t.Fatal(err)
	}
	known := func() bool {
		t.Helper()
		if all, err := a.DeviceCA.Lists(t.Context()); len(all) != 1 || all[0].Fault != nil || err != nil {
			t.Fatalf("%+v, %v", all, err)
		}
		return a.kept(store.SpaceCA, "phone") > 0
	}
	if a.set(10 * year); !known() {
		t.Error("a clock that is set ahead takes a certificate")
	}
	a.set(-10 * year)
	a.m.Pass(year + a.DeviceCA.Limits().Kept + day)
	if known() {
		t.Error("a certificate is known for ever")
	}
}

// Whoever writes to a full mailbox is told to come again until it was full for as long as somebody
// must be refused for good.
func TestAFullMailboxGoesByTheTimeThatPassed(t *testing.T) {
	a := age(t, "")
	a.Quota.Adjust(quota.Policy{Warn: 90, Clear: 80, Of: func(mail.Address) (box, all quota.Quota) {
		return quota.Quota{Octets: 1000}.Or(quota.None()), quota.None()
	}})
	if code := a.deliver("Subject: x\r\n\r\n" + strings.Repeat("x", 950) + "\r\n"); code != 250 {
		t.Fatal(code)
	}
	told := func() int {
		t.Helper()
		h, v := a.Quota.Add(t.Context(), a.alice, quota.Usage{Octets: 100, Messages: 1})
		if v.OK {
			h.End(false)
			held, err := a.Quota.Of(t.Context(), a.alice)
			t.Fatalf("it is not full: %+v, %v", held, err)
		}
		return v.Reply().Code
	}
	if got := told(); got != 452 {
		t.Errorf("at first %d", got)
	}
	for _, by := range []time.Duration{10 * year, -20 * year} {
		if a.set(by); told() != 452 {
			t.Errorf("a clock that is set by %v refuses for good", by)
		}
	}
	if a.m.Pass(quota.DefaultLimits().Lasting); told() != 552 {
		t.Error("nobody is refused for good")
	}
}

// The key that signed mail is known for as long as passes after another took its place.
func TestRetiredKeysGoByTheTimeThatPassed(t *testing.T) {
	a := age(t, "")
	d := a.alice.Domain()
	var retired string
	for n := range 2 {
		changes, err := a.Ring.Rotate(t.Context(), d, nil)
		if err != nil || len(changes) == 0 {
			t.Fatalf("%v, %v", changes, err)
		}
		if _, err := a.Ring.Activate(t.Context(), d, "", nil); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			retired = changes[0].Key.Name.Selector
		}
	}
	known := func() bool {
		t.Helper()
		if _, _, err := a.Ring.Look(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		for _, k := range a.Ring.Keys(d) {
			if k.Name.Selector == retired {
				return true
			}
		}
		return false
	}
	if a.set(10 * year); !known() {
		t.Error("a clock that is set ahead takes a key that retired")
	}
	if a.m.Pass(2 * time.Hour); known() { // an hour, as the test has it
		t.Error("a key is known for ever")
	}
}
