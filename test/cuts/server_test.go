package cuts

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/operate"
	"sallyport/test/site"
)

const (
	alice = "alice@local.test"
	bob   = "bob@local.test"
	carol = "carol@local.test" // whose mailbox is read
)

// posted is a message that somebody gave away.
type posted struct {
	text  string
	to    []string // addresses of mailboxes, or of the foreign domain
	fails bool     // the foreign domain refuses it for good
}

// told is what the world knew of a server at a moment.
type told struct {
	sent     map[string]posted // by identifier, everything that was ever offered
	acked    map[string]string // queue ids of those with a 250
	held     map[string]bool   // that an operator holds, or an account's containment
	final    map[string]bool   // whose deliveries were settled and synced
	standing string            // of alice; "": it is being changed
	box      map[string]bool   // what carol's folders hold or do not, as "folder identifier"
	moving   string            // an identifier that is in one of her folders at least
	// renamed is one whose file gets another name: the disk in memory may show it under both until
	// the folder is synced, which one with a journal does not.
	renamed string
}

func (k told) clone() told {
	k.sent, k.acked, k.held = maps.Clone(k.sent), maps.Clone(k.acked), maps.Clone(k.held)
	k.final, k.box = maps.Clone(k.final), maps.Clone(k.box)
	return k
}

// outage is a moment at which a server lost its power.
type outage struct {
	moment      string
	number      int
	left        remains
	checkpoints map[string][]byte // that were exported by then
	arrived     int               // at the foreign domain
	told
}

// server is a whole server to which a script happens.
type server struct {
	t     *testing.T
	seed  uint64
	every int
	rng   *rand.Rand
	mem   *vfs.MemFS
	disk  *disk
	s     *site.Site
	n     *site.Running
	size  extent

	mu    sync.Mutex
	now   told
	step  string
	ops   int
	kinds map[kind]int
	steps []string
	cuts  []outage
	done  map[string]bool // delivered, and perhaps not synced
}

// operation is called before each operation of the disk.
func (v *server) operation(k kind, path string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ops++
	v.kinds[k]++
	if v.ops%v.every != 0 {
		return
	}
	// What was promised is read before the disk, what others got after it.
	o := outage{moment: moment(v.step, v.ops, k, path), number: v.ops, told: v.now.clone(), checkpoints: exported(v.s.Config.CheckpointDir())}
	v.disk.stopped(func() { o.left = cut(v.mem, chance(v.seed, v.ops)) })
	o.arrived = v.s.Sink.Messages()
	v.cuts = append(v.cuts, o)
}

func exported(dir string) map[string][]byte {
	files := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return files // not made yet
	}
	for _, e := range entries {
		if b, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil && !strings.HasPrefix(e.Name(), ".") {
			files[e.Name()] = b
		}
	}
	return files
}

// know changes what the world knows.
func (v *server) know(change func(*told)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(&v.now)
}

// serve runs the script on a new server, and ends it.
func serve(t *testing.T, size extent) *server {
	v := &server{
		t: t, seed: size.seed, every: 1 << 40, rng: rand.New(rand.NewPCG(size.seed, 1)), mem: vfs.NewCrashableMem(), size: size,
		now: told{
			sent: map[string]posted{}, acked: map[string]string{}, held: map[string]bool{}, final: map[string]bool{},
			standing: "active", box: map[string]bool{},
		},
		kinds: map[kind]int{}, done: map[string]bool{},
	}
	v.disk = &disk{FS: v.mem, before: v.operation}
	v.s = site.New(t, v.disk)
	v.s.Config.Trace.CheckpointEvery = 10 * time.Millisecond
	v.n = v.s.Start()
	v.s.Populate(v.n.Node)
	_, err := v.n.Operator().AccountAdd(t.Context(), operate.Self(), operate.AccountAdd{Address: carol, Password: site.Password, Role: "person"})
	site.Must(t, err)
	v.mu.Lock()
	v.every = size.parts
	v.mu.Unlock()
	v.script()
	v.n.Stopped()
	return v
}

// begin names the step that begins. What was delivered before is synced once something of it is.
func (v *server) begin(name string) (synced func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.step = fmt.Sprintf("step %d (%s)", len(v.steps)+1, name)
	v.steps = append(v.steps, name)
	before := maps.Clone(v.done)
	return func() { v.know(func(k *told) { maps.Copy(k.final, before) }) }
}

// delivered notes that all of what was accepted has left the queue.
func (v *server) delivered(ids ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range ids {
		v.done[id] = true
	}
}

// give has a client send a message, and notes its 250.
func (v *server) give(c *site.Client, from, id string, size int, to ...string) {
	v.t.Helper()
	m := posted{text: site.Message(id, from, size), to: to}
	if len(to) == 1 && to[0] == "both@local.test" {
		m.to = []string{alice, bob}
	}
	for _, r := range to {
		m.fails = m.fails || strings.HasPrefix(r, "dead-")
	}
	v.know(func(k *told) { k.sent[id] = m })
	reply := c.Send(from, m.text, to...)
	if !strings.HasPrefix(reply, "250") {
		v.t.Fatalf("%s: got %q", id, reply)
	}
	v.know(func(k *told) { k.acked[id] = site.QueueID(reply) })
}

// reader signs carol in.
func (v *server) reader(n *site.Running) *reader {
	c, err := tls.Dial("tcp", n.Addrs().IMAPS[0], v.s.ClientTLS())
	site.Must(v.t, err)
	site.Must(v.t, c.SetDeadline(time.Now().Add(time.Minute)))
	r := &reader{v.t, c, bufio.NewReader(c), 0}
	_, err = r.in.ReadString('\n')
	site.Must(v.t, err)
	r.ok("LOGIN %s %q", carol, site.Password)
	return r
}

// reader is a client of IMAP that says what it is told.
type reader struct {
	t  *testing.T
	c  *tls.Conn
	in *bufio.Reader
	n  int
}

// ok says a command and returns everything before its OK.
func (r *reader) ok(format string, args ...any) string {
	r.t.Helper()
	r.n++
	tag := fmt.Sprintf("a%d ", r.n)
	_, err := fmt.Fprintf(r.c, tag+format+"\r\n", args...)
	site.Must(r.t, err)
	var all strings.Builder
	for {
		line, err := r.in.ReadString('\n')
		site.Must(r.t, err)
		if rest, ended := strings.CutPrefix(line, tag); ended {
			if !strings.HasPrefix(rest, "OK") {
				r.t.Fatalf("%s: %s", fmt.Sprintf(format, args...), line)
			}
			return all.String()
		}
		all.WriteString(line)
	}
}

// folder returns the identifiers of what a folder holds.
func (r *reader) folder(name string) map[string]int {
	r.ok("SELECT %s", name)
	found := map[string]int{}
	for line := range strings.Lines(r.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (X-LOAD-ID)])")) {
		if id, is := strings.CutPrefix(line, "X-Load-ID: "); is {
			found[strings.TrimSpace(id)]++
		}
	}
	return found
}
