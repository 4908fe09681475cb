package outflow

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/budget/ledger"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/dispatch"
	"sallyport/internal/dnsx"
	"sallyport/internal/fact"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/letter/notify"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/node/settings"
	"sallyport/internal/node/watching"
	"sallyport/internal/spool"
	"sallyport/internal/tlspolicy"
)

const given = "[route.\"a.test\"]\nto = \"smtp://127.0.0.1:1\"\nuser = \"u\"\ntls = \"required\"\ntoken_url = \"https://127.0.0.1:1/token\"\nclient_id = \"us\"\nclient_secret_file = \"secret\"\n"

// yard is where mail leaves a data folder, with one account.
type yard struct {
	*Outflow
	t     *testing.T
	dir   string
	cfg   config.Config
	ways  *Ways
	data  *datafolder.Folder
	known *directory.Snapshot
	alice mail.Address

	mu    sync.Mutex // of fared
	fared []tlspolicy.Session
}

func open(t *testing.T) *yard {
	t.Helper()
	return openIn(t, settings.World{Resolver: &dnsx.Fake{}}.Complete())
}

// openIn opens it in a world.
func openIn(t *testing.T, w settings.World) *yard {
	t.Helper()
	y := &yard{t: t, dir: t.TempDir()}
	y.cfg = foldertest.Load(t, y.dir, "")
	y.data = foldertest.Open(t, y.cfg, w)
	y.alice = foldertest.Add(t, y.data, "alice@local.test")
	who, err := watching.Open(t.Context(), watching.Options{
		World: w, Config: func() config.Config { return y.cfg }, Data: y.data, EndSessions: func(mail.Address) int { return 0 }, Raised: func() {},
	})
	if err != nil {
		t.Fatal(err)
	}
	y.known = foldertest.Directory(t, y.cfg, y.alice)
	y.Outflow = Open(Options{
		World: w, Config: func() config.Config { return y.cfg }, InForce: func() *Ways { return y.ways }, Data: y.data, Directory: func() *directory.Snapshot { return y.known },
		Watch: who.Watch,
		Fared: func(s tlspolicy.Session) {
			y.mu.Lock()
			defer y.mu.Unlock()
			y.fared = append(y.fared, s)
		},
	})
	y.adopt("")
	t.Cleanup(func() { y.ways.Retire(nil) })
	return y
}

func (y *yard) adopt(more string) {
	y.t.Helper()
	cfg := foldertest.Load(y.t, y.dir, more)
	next, err := y.Build(y.t.Context(), cfg, y.ways)
	if err != nil {
		y.t.Fatal(err)
	}
	former := y.ways
	y.cfg, y.ways = cfg, next
	former.Retire(next)
}

// write queues a letter for alice, and has it offered to who is to deliver it.
func (y *yard) write(offer func(spool.Claim)) {
	y.t.Helper()
	dir := foldertest.Directory(y.t, y.cfg, y.alice)
	post := &notify.Post{Hostname: y.cfg.Hostname, Directory: func() *directory.Snapshot { return dir }, Queue: y.data.Spool, Handoff: offer, Now: y.o.Now, Rand: y.o.Rand, Logger: y.o.Logger}
	if err := post.Send(y.t.Context(), notify.Letter{Rule: "mailbox-nearly-full", To: y.alice, Subject: "x", Text: "y\n"}); err != nil {
		y.t.Fatal(err)
	}
}

// What is queued is delivered while it is served, into the mailbox of its account; who ends it waits no longer than
// the grace time.
func TestWhatIsQueuedIsDelivered(t *testing.T) {
	y := open(t)
	end := y.serve()
	y.write(y.Offer)
	y.arrives()
	end()
}

// serve delivers what is queued until end is called, which waits for that.
func (y *yard) serve() (end func()) {
	ctx, stop := context.WithCancel(y.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- y.Serve(ctx) }()
	return func() {
		y.t.Helper()
		stop()
		select {
		case err := <-ended:
			if err != nil {
				y.t.Error(err)
			}
		case <-time.After(30 * time.Second):
			y.t.Error("it does not end")
		}
	}
}

// arrives waits until alice has one message.
func (y *yard) arrives() {
	y.t.Helper()
	box := filepath.Join(y.cfg.Maildir.Root, "local.test", "alice", "new")
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if names, _ := os.ReadDir(box); len(names) == 1 {
			return
		}
		if time.Now().After(until) {
			y.t.Fatal("it is not delivered")
		}
	}
}

// told are the facts of a kind.
func (y *yard) told(kind fact.Kind) (all []fact.Fact) {
	y.t.Helper()
	err := y.data.Store.Facts(y.t.Context(), 1, y.data.Store.FactHead()+1, func(_ uint64, raw []byte) (bool, error) {
		f, err := fact.Decode(raw)
		if f.Kind == kind {
			all = append(all, f)
		}
		return true, err
	})
	if err != nil {
		y.t.Fatal(err)
	}
	return all
}

// A route whose endpoint gives no token waits, which is told with its name, and told again when it does not any more;
// its mail is asked about by the ways in force.
func TestARouteWithoutAToken(t *testing.T) {
	m := foldertest.NewMachine()
	y := openIn(t, m.World(settings.World{Resolver: &dnsx.Fake{}}))
	if all := y.Tokenless(); all != nil {
		t.Errorf("without a route: %+v", all)
	}
	if err := os.WriteFile(filepath.Join(y.dir, "secret"), []byte("s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	y.adopt(given)
	route := y.o.InForce.Route(y.cfg.Routes[0].Route)
	text := "Subject: x\r\n\r\n"
	id, err := mail.NewID(time.Now(), y.o.Rand)
	if err != nil {
		t.Fatal(err)
	}
	out := route.Deliver(t.Context(), nexthop.Job{ID: id, Envelope: mail.Envelope{From: mail.NullPath()}, Size: int64(len(text)), Recipients: []nexthop.Recipient{{Recipient: mail.Recipient{Address: foldertest.Address(t, "x@a.test")}}},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }})
	if len(out) != 1 || out[0].Reply.Code/100 != 4 {
		t.Fatalf("%+v", out)
	}
	if all := y.Tokenless(); len(all) != 1 || !slices.Equal(all[0].Routes, []string{"a.test"}) || all[0].Fault == "" || all[0].Since.IsZero() {
		t.Errorf("waits: %+v", all)
	}
	if told := y.told(fact.KindAlarm); len(told) != 1 || told[0].Rule != "next-hop-token" || !told[0].At.Equal(m.Now()) {
		t.Errorf("told: %+v", told)
	}
}

// What a forward may send, who is asked about recipients and which deliveries wait follow the configuration and the
// watch in force; what is charged is counted.
func TestAtWhoseExpense(t *testing.T) {
	y := open(t)
	before := y.Callouts()
	y.adopt("[budget]\nforward_hour = 7\nforward_day = 8\n")
	if got := y.Allowance(); got.Hour != 7 || got.Day != 8 || before == nil || y.Callouts() == nil {
		t.Errorf("a forward may send %+v", got)
	}
	if c := y.charge(y.alice, foldertest.Address(t, "x@far.test")); c == nil {
		t.Error("nothing is charged")
	}
	id, err := mail.NewID(time.Now(), y.o.Rand)
	if err != nil {
		t.Fatal(err)
	}
	pending := []spool.RecipientState{{Delivery: spool.Delivery{Recipient: mail.Recipient{Address: foldertest.Address(t, "x@far.test")}}}}
	if waiting, again := y.waits(t.Context(), id, pending); len(waiting) != 0 || again != 0 {
		t.Errorf("a message that nobody holds waits: %v, %v", waiting, again)
	}
	y.answered(t.Context(), dispatch.Answers{})
}

// What is wrong with the ways is told, and there is something to retire all the same.
func TestWaysThatCannotBe(t *testing.T) {
	y := open(t)
	cfg := foldertest.Load(t, y.dir, "")
	cfg.TLSPolicy.CA = filepath.Join(y.dir, "sallyport.toml") // which holds no certificate
	next, err := y.Build(t.Context(), cfg, y.ways)
	if next == nil {
		t.Fatal("nothing to retire")
	}
	next.Retire(y.ways)
	if told := settings.Faults(err); len(told) != 1 || told[0].Text != "tls_policy.ca" {
		t.Errorf("told: %+v", told)
	}
}

// What deliveries are held to is that of the server: its schedule and bounds, the budget of forwards, who may send now, the room on the
// disk, and the ways that lead out.
func TestWhatDeliveriesAreHeldTo(t *testing.T) {
	y := open(t)
	cfg := foldertest.Load(t, y.dir, "limits.active_messages = 17\n[retry]\nfirst = \"7m\"\n")
	o := y.o
	o.Config = func() config.Config { return cfg }
	f := Open(o)
	if p, l := f.Bounds(); p.First != 7*time.Minute || l.Active != 17 {
		t.Errorf("by the configuration: %+v, %+v", p, l)
	}
	far := foldertest.Address(t, "x@far.test")
	c := f.Charge(y.alice, far)
	c.Take(3, f.Options.Allowance())
	if c.Done(); y.data.Ledger.Use(ledger.Forward(y.alice, far)).Hour != 3 {
		t.Error("what a forward sends is not counted")
	}
	if f.Options.Allowance() != cfg.Budget.Forward || cfg.Budget.Forward.Hour == 0 {
		t.Errorf("a forward may send %+v", f.Options.Allowance())
	}
	if low := f.Low(1); low {
		t.Error("there is no room at first")
	}
	if y.data.Disks.Reserve(1 << 60); !f.Low(1) {
		t.Error("what would go into the reserve has room")
	}
	if was := f.Holder(y.alice, time.Now()); was != y.alice {
		t.Errorf("the mailbox was that of %v", was)
	}
	if !f.Active(y.alice) {
		t.Error("an account that may send may not")
	}
	if _, err := y.data.Accounts.Freeze(t.Context(), y.alice, "a test", nil); err != nil {
		t.Fatal(err)
	}
	if f.Active(y.alice) {
		t.Error("an account that is frozen may send")
	}
}

// What another server says of recipients for good counts against whose message it was; what the watch keeps waits.
func TestTheWatchIsAsked(t *testing.T) {
	y := open(t)
	id, err := mail.NewID(time.Now(), y.o.Rand)
	if err != nil {
		t.Fatal(err)
	}
	to := foldertest.Address(t, "new@far.test")
	j := y.o.Watch.Submitted(t.Context(), watch.Submission{Act: watch.Act{Account: y.alice}, ID: id, Ways: []watch.Way{{Recipient: to}}})
	j.Done(true)
	pending := []spool.RecipientState{{Delivery: spool.Delivery{Recipient: mail.Recipient{Address: to}}}}
	if waits, again := y.Options.Waits(t.Context(), id, pending); !waits[0] || again <= 0 {
		t.Errorf("who is new waits: %v, %v", waits, again)
	}
	for n := 0; y.data.Accounts.Active(y.alice); n++ {
		if n > 1000 {
			t.Fatal("what others refuse is no evidence")
		}
		y.Options.Answered(t.Context(), dispatch.Answers{Account: y.alice, Message: id, Refused: []mail.Address{foldertest.Address(t, fmt.Sprintf("gone%d@far.test", n))}, All: 1})
	}
}
