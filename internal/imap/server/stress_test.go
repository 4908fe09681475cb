package server_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/klauspost/compress/flate"
)

// stress is many clients who do whatever they may on the same mailboxes, at the same time.
type stress struct {
	t     *testing.T
	w     *world
	dated bool     // the disk keeps when a file was changed: one in memory shows a message that is seen as it comes with another date
	facts sync.Map // of messages, by mailbox and UID: what may never change
	until time.Time
	done  atomic.Int64
	stop  atomic.Bool
}

// immortal is the largest UID of those in the INBOX that nobody may remove.
const immortal = 10

// TestStress has eight clients on two mailboxes for some seconds, or as long as SALLYPORT_STRESS says. Each
// has its own program: with CONDSTORE, QRESYNC, IMAP4rev2 or COMPRESS, by sequence numbers and UIDs, one
// command at a time or several. Each holds the server to what RFC 3501, 9051 and 7162 promise to
// whom was told so much: numbers, flags, UIDs, what a message is, and what a search finds. On the
// disk, somebody else delivers and renames meanwhile.
func TestStress(t *testing.T) {
	long := 3 * time.Second
	if text := os.Getenv("SALLYPORT_STRESS"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(fromEnv(t, "SALLYPORT_SEED", int(time.Now().UnixNano()&0x7fffffff)))
	t.Logf("seed %d", seed)
	for name, disk := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.Default} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &stress{t: t, w: newWorldOn(t, disk), dated: disk == vfs.Default, until: time.Now().Add(long)}
			s.run(seed, disk == vfs.Default)
			t.Logf("%d commands", s.done.Load())
			if s.done.Load() < 50 {
				t.Error("too little was tried")
			}
		})
	}
}

func (s *stress) run(seed uint64, deliveries bool) {
	first := s.busy("first", rand.New(rand.NewPCG(seed, 99)))
	first.run("CREATE Other")
	for n := range immortal {
		first.append("INBOX", 1+n%2)
		if first.run("NOOP"); n >= immortal/2 { // the UIDs are those up to immortal by then
			break
		}
	}
	var wg sync.WaitGroup
	all := []*busy{first}
	for i := range 8 {
		b := s.busy(string(rune('A'+i)), rand.New(rand.NewPCG(seed, uint64(i))))
		all = append(all, b)
		wg.Go(func() {
			b.begin(i)
			for time.Now().Before(s.until) && !s.stop.Load() {
				b.act()
			}
		})
	}
	if deliveries {
		wg.Go(func() { s.deliver(rand.New(rand.NewPCG(seed, 77))) })
	}
	wg.Wait()
	if deliveries { // what another program does within the time of one tick of the kernel is found a little later
		time.Sleep(3 * time.Second)
	}
	if !s.stop.Load() {
		s.agree(all)
	}
}

// agree: when all is quiet everybody knows the same, and nothing that had to stay is gone.
func (s *stress) agree(all []*busy) {
	for _, box := range []string{"INBOX", "Other"} {
		want := ""
		for _, b := range all {
			b.choose(box)
			b.run("NOOP")
			b.run("UID FETCH 1:* (UID FLAGS)")
			have := fmt.Sprint(b.uids)
			for _, u := range b.uids {
				have += "\n" + strconv.Itoa(u) + " " + b.flags[u]
			}
			if want == "" {
				want = have
			} else if have != want {
				b.fail("it knows of %s\n%s\nand another\n%s", box, have, want)
			}
			if box == "INBOX" && (len(b.uids) < immortal/2 || b.uids[immortal/2-1] > immortal) {
				b.fail("what nobody removed is gone: %v", b.uids)
			}
		}
	}
}

// deliver does what other programs do: it puts files into the INBOX, and changes their flags.
func (s *stress) deliver(rnd *rand.Rand) {
	for n := 0; time.Now().Before(s.until) && !s.stop.Load(); n++ {
		name := fmt.Sprintf("%d.M%dP1.elsewhere", time.Now().Unix(), n)
		text := "Subject: from elsewhere\n\n" + strings.Repeat("x\n", rnd.IntN(50))
		at := filepath.Join(s.w.dir, "tmp", name)
		if os.WriteFile(at, []byte(text), 0o600) == nil {
			_ = os.Rename(at, filepath.Join(s.w.dir, "new", name))
		}
		if names, _ := filepath.Glob(filepath.Join(s.w.dir, "cur", "*elsewhere:2,")); len(names) > 0 {
			pick := names[rnd.IntN(len(names))]
			_ = os.Rename(pick, pick+[]string{"S", "F", "RS"}[rnd.IntN(3)])
		}
		time.Sleep(time.Duration(rnd.IntN(40)) * time.Millisecond)
	}
}

// busy is one client and what it was told.
type busy struct {
	*client
	s     *stress
	name  string
	rnd   *rand.Rand
	kind  int
	box   string
	uids  []int // by sequence number; 0: not known yet
	flags map[int]string
	mute  map[int]bool // whose flags are being stored silently: what is told of them meanwhile is what they were
	next  int          // UIDs of what comes are at least this
	asked string       // the command that is being answered
	last  []string
}

func (s *stress) busy(name string, rnd *rand.Rand) *busy {
	b := &busy{client: s.w.login(), s: s, name: name, rnd: rnd, mute: map[int]bool{}}
	_ = b.conn.SetDeadline(time.Time{})
	return b
}

func (b *busy) qresync() bool { return b.kind%4 == 2 }

func (b *busy) begin(kind int) {
	b.kind = kind
	switch kind % 4 {
	case 1:
		b.run("ENABLE CONDSTORE")
	case 2:
		b.run("ENABLE QRESYNC")
	case 3:
		b.run("ENABLE IMAP4rev2")
	}
	if kind >= 4 {
		b.run("COMPRESS DEFLATE")
		out, _ := flate.NewWriter(b.conn, flate.BestSpeed)
		b.in = bufio.NewReader(flate.NewReader(b.conn))
		b.conn = deflating{b.conn, out}
	}
	b.choose([]string{"INBOX", "Other"}[kind/2%2])
}

// deflating compresses what is written.
type deflating struct {
	net.Conn
	out *flate.Writer
}

// Write implements io.Writer.
func (d deflating) Write(p []byte) (int, error) {
	n, err := d.out.Write(p)
	if err == nil {
		err = d.out.Flush()
	}
	return n, err
}

func (b *busy) fail(format string, args ...any) {
	if b.s.stop.CompareAndSwap(false, true) {
		b.s.t.Errorf("client %s (kind %d) in %s: %s\n%s", b.name, b.kind, b.box, fmt.Sprintf(format, args...), strings.Join(b.last[max(0, len(b.last)-60):], "\n"))
	}
}

func (b *busy) choose(box string) {
	b.uids, b.flags, b.next, b.box = nil, map[int]string{}, 0, box
	b.run([]string{"SELECT ", "SELECT ", "EXAMINE "}[b.rnd.IntN(3)*min(len(b.last), 1)] + box)
}

// run gives commands at once and takes in what is answered, in their order.
func (b *busy) run(commands ...string) {
	if b.s.stop.Load() {
		return
	}
	text := ""
	for i, c := range commands {
		text += fmt.Sprintf("%s%d %s\r\n", b.name, b.tag+1+i, c)
	}
	b.note("C: " + text)
	b.send(text)
	defer func() { b.mute = map[int]bool{} }()
	for _, c := range commands {
		b.tag++
		b.s.done.Add(1)
		b.answer(c, b.name+strconv.Itoa(b.tag)+" ")
	}
}

func (b *busy) note(line string) {
	if b.last = append(b.last, fmt.Sprintf("%.300s", line)); len(b.last) > 500 {
		b.last = slices.Clone(b.last[400:])
	}
}

func (b *busy) answer(command, tag string) {
	b.asked = command
	for !b.s.stop.Load() {
		line, err := b.client.next()
		if b.note("S: " + line); err != nil {
			b.fail("the connection broke: %v", err)
			return
		}
		rest, done := strings.CutPrefix(line, tag)
		if !done {
			b.told(command, line)
			continue
		}
		fair := strings.HasPrefix(rest, "OK") || strings.HasPrefix(rest, "NO [EXPUNGEISSUED]") || strings.HasPrefix(rest, "NO [READ-ONLY]") ||
			len(b.uids) == 0 && strings.HasPrefix(rest, "BAD a sequence number")
		if !fair {
			b.fail("%.200q was answered %q", command, rest)
		}
		b.learn(command, rest)
		return
	}
}

// some picks a message whose UID is known.
func (b *busy) some() (seq, uid int) {
	if len(b.uids) == 0 {
		return 0, 0
	}
	seq = 1 + b.rnd.IntN(len(b.uids))
	return seq, b.uids[seq-1]
}

// mortal reports whether a message may be removed.
func (b *busy) mortal(uid int) bool { return uid != 0 && (b.box != "INBOX" || uid > immortal) }
