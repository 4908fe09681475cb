package outflow

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/dispatch"
	"sallyport/internal/dnsx"
	"sallyport/internal/fact"
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
	alice mail.Address
}

func open(t *testing.T) *yard {
	t.Helper()
	y := &yard{t: t, dir: t.TempDir()}
	y.cfg = foldertest.Load(t, y.dir, "")
	w := settings.World{Resolver: &dnsx.Fake{}}.Complete()
	y.data = foldertest.Open(t, y.cfg, w)
	y.alice = foldertest.Add(t, y.data, "alice@local.test")
	who, err := watching.Open(t.Context(), watching.Options{
		World: w, Config: func() config.Config { return y.cfg }, Data: y.data, EndSessions: func(mail.Address) int { return 0 }, Raised: func() {},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := foldertest.Directory(t, y.cfg, y.alice)
	y.Outflow = Open(Options{
		World: w, Config: func() config.Config { return y.cfg }, InForce: func() *Ways { return y.ways }, Data: y.data, Directory: func() *directory.Snapshot { return dir },
		Watch: who.Watch, Fared: func(tlspolicy.Session) {},
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

// write queues a letter for alice.
func (y *yard) write() {
	y.t.Helper()
	dir := foldertest.Directory(y.t, y.cfg, y.alice)
	post := &notify.Post{Hostname: y.cfg.Hostname, Directory: func() *directory.Snapshot { return dir }, Queue: y.data.Spool, Handoff: y.Offer, Now: time.Now, Rand: y.o.Rand, Logger: y.o.Logger}
	if err := post.Send(y.t.Context(), notify.Letter{Rule: "mailbox-nearly-full", To: y.alice, Subject: "x", Text: "y\n"}); err != nil {
		y.t.Fatal(err)
	}
}

// What is queued is delivered while it is served, into the mailbox of its account; who ends it waits no longer than
// the grace time.
func TestWhatIsQueuedIsDelivered(t *testing.T) {
	y := open(t)
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- y.Serve(ctx) }()
	y.write()
	box := filepath.Join(y.cfg.Maildir.Root, "local.test", "alice", "new")
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if names, _ := os.ReadDir(box); len(names) == 1 {
			break
		}
		if time.Now().After(until) {
			t.Fatal("it is not delivered")
		}
	}
	end()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("it does not end")
	}
}

// A route whose endpoint gives no token waits, which is told with its name, and told again when it does not any more;
// its mail is asked about by the ways in force.
func TestARouteWithoutAToken(t *testing.T) {
	y := open(t)
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
	told := 0
	err = y.data.Store.Facts(t.Context(), 1, y.data.Store.FactHead()+1, func(_ uint64, raw []byte) (bool, error) {
		f, err := fact.Decode(raw)
		if f.Kind == fact.KindAlarm && f.Rule == "next-hop-token" {
			told++
		}
		return true, err
	})
	if err != nil || told != 1 {
		t.Errorf("told %d times, %v", told, err)
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
