package crash

import (
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/test/load"
	"sallyport/test/load/rig"
)

// What TestKilledAgainAndAgain does by default: SALLYPORT_KILLS is how often it kills,
// SALLYPORT_CUTS_SEED where the seed of its instants begins.
const (
	fewKills   = 8
	perKill    = 100 // messages that must be acknowledged for each kill
	longest    = 300 * time.Millisecond
	perSecond  = 250 // of strangers, and as many of ours
	traceEvery = 10
	// unsynced is how long the outcome of a delivery may stay unsynced, with what a busy machine
	// adds to it.
	unsynced = 5 * time.Second
)

// killed is a server that is killed again and again, and what is known of it.
type killed struct {
	t       *testing.T
	s       *rig.Server
	sink    *load.Sink
	rng     *rand.Rand
	kills   []time.Time
	traces  int
	frozen  string // standing of carol that was acknowledged; "": a command was cut off
	told    int    // commands that were acknowledged
	reports []load.Report
}

// TestKilledAgainAndAgain: one server takes mail of strangers and of ours all the time, an account
// is frozen and thawed, and SIGKILL comes at random instants. Everything acknowledged is where it
// belongs, whole; nothing is there twice but for a lost reply or an outcome that was not synced;
// the trace verifies, and a containment is whole.
func TestKilledAgainAndAgain(t *testing.T) {
	kills, seed := number(t, "SALLYPORT_KILLS", fewKills), number(t, "SALLYPORT_CUTS_SEED", 1)
	k := &killed{t: t, rng: rand.New(rand.NewPCG(uint64(seed), 2)), frozen: "active"}
	k.s, k.sink = newServerWith(t, load.SinkOptions{Keep: true}, "")
	start(t, k.s)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	acknowledged := k.load(ctx)
	var all sync.WaitGroup
	for i := range k.reports {
		all.Go(func() { k.reports[i] = acknowledged.run(i) })
	}
	for len(k.kills) < kills || acknowledged.count() < kills*perKill {
		k.kill()
		if t.Failed() {
			break
		}
	}
	stop()
	all.Wait()
	k.command("thaw")
	drain(t, k.s)
	k.verify()
	k.judge(acknowledged.options)
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// loads are the two that send without an end: a stranger to our mailboxes, and alice to the foreign domain.
type loads struct {
	ctx     context.Context
	options []load.Options
	counts  [2]atomic.Int64
}

func (k *killed) load(ctx context.Context) *loads {
	l := &loads{ctx: ctx}
	l.options = []load.Options{
		{Addr: func() string { return k.s.Listen.MX[0] }, From: "load@remote.test", To: []string{"alice@local.test", "bob@local.test"}, Prefix: "in"},
		{Addr: func() string { return k.s.Listen.Submissions[0] }, From: k.s.Accounts[0].Address, To: []string{"a@remote.test", "b@remote.test"}, Prefix: "out",
			User: k.s.Accounts[0].Address, Password: k.s.Accounts[0].Password, Security: load.Implicit, TLS: tlsConfig(k.t, k.s)},
	}
	for i := range l.options {
		o := &l.options[i]
		o.Connections, o.Messages, o.PerSecond, o.Size, o.Patience, o.Pipelining = 5, 1<<30, perSecond, 1500, time.Minute, true
		o.Progress = func(n int) { l.counts[i].Store(int64(n)) }
	}
	k.reports = make([]load.Report, len(l.options))
	return l
}

// run returns when the run is ended from outside: that is no error.
func (l *loads) run(i int) load.Report {
	rep, _ := load.Run(l.ctx, l.options[i])
	return rep
}

func (l *loads) count() int { return int(l.counts[0].Load() + l.counts[1].Load()) }

// kill kills the server at a random instant, perhaps within a command, and starts it again.
func (k *killed) kill() {
	k.t.Helper()
	told := make(chan struct{})
	verb, after := []string{"", "freeze", "thaw"}[k.rng.IntN(3)], time.Duration(k.rng.Int64N(int64(longest)))
	go func() {
		defer close(told)
		if verb != "" {
			k.command(verb)
		}
	}()
	time.Sleep(after)
	if err := k.s.Kill(); err != nil {
		k.t.Fatal(err)
	}
	k.kills = append(k.kills, time.Now())
	<-told // a command that finds no server does what it is told by itself: it has the folder until then
	if err := k.s.Start(context.Background()); err != nil {
		k.t.Fatal(err)
	}
	k.contained()
	if len(k.kills)%traceEvery == 0 {
		k.verify()
	}
}

// command freezes or thaws carol. What is not answered has happened or not.
func (k *killed) command(verb string) {
	_, err := k.s.CLI(context.Background(), "", "account", verb, "carol@local.test")
	switch {
	case err != nil:
		k.frozen = ""
	case verb == "freeze":
		k.frozen, k.told = "frozen", k.told+1
	default:
		k.frozen, k.told = "active", k.told+1
	}
}

// contained demands that carol is as she was acknowledged to be, and that a containment is whole.
func (k *killed) contained() {
	k.t.Helper()
	out, err := k.s.CLI(context.Background(), "", "account", "show", "carol@local.test", "--json")
	if err != nil {
		k.t.Fatal(err)
	}
	var is struct {
		Standing  string `json:"standing"`
		QueueHeld string `json:"queue_held"`
		Incidents []struct {
			State string `json:"state"`
		} `json:"incidents"`
	}
	if err := json.Unmarshal([]byte(out), &is); err != nil {
		k.t.Fatalf("%v: %.300s", err, out)
	}
	open := false
	for _, i := range is.Incidents {
		open = open || i.State == "open"
	}
	if frozen := is.Standing == "frozen"; frozen != (is.QueueHeld != "") || frozen != open || k.frozen != "" && k.frozen != is.Standing {
		k.t.Errorf("kill %d: carol is %s, was told to be %q, her queue held for %q, an incident open: %v", len(k.kills), is.Standing, k.frozen, is.QueueHeld, open)
	}
	k.frozen = is.Standing
}

func (k *killed) verify() {
	k.t.Helper()
	if _, err := k.s.CLI(context.Background(), "", "trace", "--verify"); err != nil {
		k.t.Errorf("kill %d: %v", len(k.kills), err)
	}
	k.traces++
}

// arrival is one copy of a message where it arrived.
type arrival struct {
	queue string // the id that our server gave it
	at    time.Time
	text  string
}

// judge holds what arrived to what was acknowledged, and prints the totals.
func (k *killed) judge(options []load.Options) {
	k.t.Helper()
	found := [2]map[string][]arrival{{}, {}}
	err := k.s.Mailboxes(func(m rig.Mail) error {
		id := field(m.Octets, strings.TrimSpace(load.IDField))
		if id == "" {
			return nil // what carol is told of her account
		}
		found[0][id] = append(found[0][id], arrival{queue: queueID(m.Octets), text: string(m.Octets)})
		return nil
	})
	if err != nil {
		k.t.Fatal(err)
	}
	for _, r := range k.sink.Kept() {
		id := field(r.Octets, strings.TrimSpace(load.IDField))
		found[1][id] = append(found[1][id], arrival{queueID(r.Octets), r.At, string(r.Octets)})
	}
	c := counts{}
	for i, rep := range k.reports {
		c.acknowledged += len(rep.Acks)
		for _, id := range rep.Acks {
			if len(found[i][id]) == 0 {
				c.lost++
				k.t.Errorf("%s was acknowledged and is nowhere", id)
			}
		}
		for _, id := range slices.Sorted(maps.Keys(found[i])) {
			k.copies(&c, id, found[i][id], rep.Again[id], i == 1, options[i].Size)
			if k.t.Failed() && c.lost+c.corrupted+c.unexplained > 20 {
				k.t.Fatal("and more")
			}
		}
	}
	k.t.Logf("%d kills, %d messages acknowledged: %d lost, %d corrupted; there twice: %d for a reply that was lost, %d for an outcome that was not synced, %d without a reason; %d commands acknowledged; %d times the trace verified, %d times a containment",
		len(k.kills), c.acknowledged, c.lost, c.corrupted, c.replies, c.outcomes, c.unexplained, k.told, k.traces, len(k.kills))
}

// counts are the totals of a judgement.
type counts struct{ acknowledged, lost, corrupted, replies, outcomes, unexplained int }

// copies judges all copies of one message, which was sent so many times without an answer.
func (k *killed) copies(c *counts, id string, all []arrival, again int, foreign bool, size int) {
	k.t.Helper()
	byQueue := map[string][]arrival{}
	for _, a := range all {
		byQueue[a.queue] = append(byQueue[a.queue], a)
		if !whole(a.text, id, size) {
			c.corrupted++
			k.t.Errorf("%s is not as it was sent: %d octets\n%.400s", id, len(a.text), a.text)
		}
	}
	if n := len(byQueue) - 1; n > again {
		c.unexplained++
		k.t.Errorf("%s was accepted %d times, and %d replies were lost", id, n+1, again)
	} else {
		c.replies += n
	}
	for queue, copies := range byQueue {
		slices.SortFunc(copies, func(a, b arrival) int { return a.at.Compare(b.at) })
		for i := range copies[1:] {
			if foreign && k.killedBetween(copies[i].at, copies[i+1].at) {
				c.outcomes++
				continue
			}
			c.unexplained++
			k.t.Errorf("%s, accepted once as %s, arrived at %v and again at %v", id, queue, copies[i].at, copies[i+1].at)
		}
	}
}

// killedBetween reports whether the server was killed between two moments, before the outcome of
// the first had to be synced.
func (k *killed) killedBetween(first, second time.Time) bool {
	return slices.ContainsFunc(k.kills, func(at time.Time) bool {
		return at.After(first.Add(-time.Second)) && at.Before(second) && at.Before(first.Add(unsynced))
	})
}

// whole reports whether a message is one that the generator made, with fields of ours before it.
func whole(text, id string, size int) bool {
	at := strings.Index(text, "From: <")
	if at < 0 || len(text)-at > size || len(text)-at < size-2 || !strings.Contains(text, "\r\nMessage-ID: <"+id+"@load.invalid>\r\n"+load.IDField+id+"\r\n\r\n") {
		return false
	}
	_, body, _ := strings.Cut(text, load.IDField+id+"\r\n\r\n")
	const line = "The quick brown fox jumps over the lazy dog, 0123456789 times over.\r\n"
	for len(body) >= len(line) {
		var is bool
		if body, is = strings.CutPrefix(body, line); !is {
			return false
		}
	}
	return body == "" || strings.HasPrefix(line, strings.TrimSuffix(body, "\r\n"))
}

// queueID is the id under which our server had a message: that of the Received field at its top.
func queueID(octets []byte) string {
	head, _, _ := strings.Cut(string(octets), "\r\n\r\n")
	_, after, _ := strings.Cut(head, " id ")
	id, _, _ := strings.Cut(strings.NewReplacer(";", " ", "\r\n", " ").Replace(after), " ")
	return id
}
