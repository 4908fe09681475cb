package site

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/operate"
	"sallyport/internal/trace"
)

// keeper is a server with something of each kind that it keeps for a time alone.
type keeper struct {
	jumped
	tmp string // a file that a delivery left behind
}

func (k *keeper) trace() trace.Stats {
	k.t.Helper()
	s, err := k.n.Operator().Status(k.t.Context(), operate.Self(), struct{}{})
	Must(k.t, err)
	return s.Trace
}

// message brings a message in, and waits until its facts are in their order.
func (k *keeper) message(id string) {
	k.t.Helper()
	c := Connect(k.t, k.n.Addrs().MX[0])
	defer c.Conn.Close()
	c.OK("250", "EHLO client.test")
	reply := c.Send("eve@elsewhere.test", Message(id, "eve@elsewhere.test", 300), "bob@local.test")
	if !strings.HasPrefix(reply, "250") {
		k.t.Fatal(reply)
	}
	k.n.Idle()
	Eventually(k.t, "the facts to be in their order", func() bool { s := k.trace(); return s.Sequenced == s.Facts })
}

// again starts the server anew, after what happens meanwhile, and waits until what is old was looked for.
func (k *keeper) again(meanwhile func()) {
	k.t.Helper()
	k.restart(meanwhile)
	// Each round of the trace ends with that.
	k.message("one")
	k.message("two")
}

// keeps demands that everything is there.
func (k *keeper) keeps(when string) {
	k.t.Helper()
	s := k.trace()
	if s.Oldest != 1 || s.Strangers < 1 || len(k.n.Facts(fact.KindAccept)) == 0 || !strings.Contains(k.first(), "first") {
		k.t.Errorf("%s: the oldest fact is %d, %d bodies of strangers are kept, and the first message is %q", when, s.Oldest, s.Strangers, k.first())
	}
	if _, err := os.Stat(k.tmp); err != nil {
		k.t.Errorf("%s: %v", when, err)
	}
}

// first is the identifier of the first message that is known to have come in.
func (k *keeper) first() string {
	k.t.Helper()
	all := k.n.Facts(fact.KindAccept)
	if len(all) == 0 {
		return ""
	}
	return all[0].MessageID
}

// What is kept for a time is kept for as much time as passes, whatever the clock of a server is set
// to, by a day and by ten years, ahead and back, while it runs, while it is down, and while its
// machine is off; and no longer, with a trace that verifies.
func TestWhatIsKeptOutlivesASetClock(t *testing.T) {
	const day, years = 24 * time.Hour, 10 * 365 * 24 * time.Hour
	for name, set := range map[string]time.Duration{"a day ahead": day, "ten years ahead": years, "a day back": -day, "ten years back": -years} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := &keeper{jumped: jumped{Site: New(t, nil, `keep = "3d"`, `keep_strangers = "2d"`), w: newWatch()}}
			k.Log = Quiet() // the certificate ends meanwhile
			k.w.pass(0, 2*max(0, -set))
			k.start()
			k.Populate(k.n.Node)
			k.message("first")
			c := Connect(t, k.n.Addrs().MX[0])
			c.OK("250", "EHLO client.test")
			c.OK("250", "MAIL FROM:<eve@elsewhere.test>")
			c.OK("550", "RCPT TO:<nobody@local.test>")
			_ = c.Conn.Close()
			Eventually(t, "the refusal to be kept", func() bool { return k.trace().Strangers > 0 })
			k.tmp = filepath.Join(k.Config.Maildir.Root, "local.test", "bob", "tmp", "left")
			Must(t, os.WriteFile(k.tmp, nil, 0o600))
			Must(t, os.Chtimes(k.tmp, k.w.now(), k.w.now()))

			k.w.pass(0, set)
			k.message("ahead")
			k.again(func() {})
			k.keeps("set while it runs")
			k.again(func() { k.w.pass(0, -set) })
			k.keeps("set right while it was down")
			k.again(func() { k.w.pass(0, set) })
			k.keeps("set while it was down")
			k.again(func() { k.w.reboot(0); k.w.pass(0, -set) })
			k.keeps("set right while the machine was off") // a day passed at most

			before := k.trace()
			k.again(func() { k.w.pass(36*time.Hour+time.Minute, 0) })
			if _, err := os.Stat(k.tmp); err == nil {
				t.Error("what a delivery left behind stays")
			}
			// A time that the clock shows a second time is taken for the later one: a day more.
			k.again(func() { k.w.pass(36*time.Hour+day+time.Hour, 0) })
			k.again(func() {}) // what one round forgot another one tells of
			if s := k.trace(); s.Oldest < before.Facts || strings.Contains(k.first(), "first") {
				t.Errorf("the oldest fact is %d, of %d of which each is four days old; the first message is %q", s.Oldest, before.Facts, k.first())
			}
			report, err := k.n.Operator().TraceVerify(t.Context(), operate.Self(), struct{}{})
			Must(t, err)
			if !report.OK() {
				t.Errorf("%q", report.Faults)
			}
		})
	}
}
