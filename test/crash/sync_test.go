package crash

import (
	"bytes"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"sallyport/test/load/rig"
)

// Sizes of the messages whose syncs are traced: one that is kept in the store's
// log, and one that is a file of its own.
const (
	smallOctets = 3000
	largeOctets = 400_000
	perClient   = 12
	everyLarge  = 4 // of a client's messages, each fourth is large
)

// sent is one message of a traced session.
type sent struct {
	id    string
	large bool
}

// session is one connection: its own address, and what it sent, in order.
type session struct {
	local string
	sent  []sent
}

// TestEachReplyWaitsForItsSync traces the server's system calls. For every 250
// that answers a message, the octets of that message were written below the data
// folder, and a sync of that file began after the write and had ended before the
// reply was handed to the kernel.
func TestEachReplyWaitsForItsSync(t *testing.T) {
	sessions := make([]session, 8)
	v := traced(t, ",openat,rename,renameat,renameat2", func(s *rig.Server) {
		var wg sync.WaitGroup
		for i := range sessions {
			wg.Go(func() { sessions[i] = speak(t, s, i) })
		}
		wg.Wait()
	})
	for _, x := range sessions {
		v.session(x)
	}
	t.Logf("%d system calls; %d replies verified, %d of them for files of their own", len(v.calls), v.verified, v.large)
	if want := len(sessions) * perClient; v.verified != want {
		t.Errorf("%d replies verified instead of %d", v.verified, want)
	}
}

// traced has a server do its work under strace, which sees what it writes and syncs, and further
// calls; it returns what was seen.
func traced(t *testing.T, further string, work func(*rig.Server)) *verifier {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: apt-get install strace")
	}
	s, _ := newServer(t)
	trace := filepath.Join(t.TempDir(), "trace")
	start(t, s, strace, "-f", "-yy", "-s", "600000", "-e", "signal=none", "-o", trace, "-e",
		"trace=write,pwrite64,writev,pwritev,sendto,sendmsg,fsync,fdatasync"+further)
	work(s)
	drain(t, s)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	calls, err := parseTrace(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return &verifier{t: t, calls: calls, store: filepath.Join(s.Data, "store")}
}

// speak sends perClient messages over one connection.
func speak(t *testing.T, s *rig.Server, client int) session {
	c, err := net.Dial("tcp", s.Listen.MX[0])
	if err != nil {
		t.Error(err)
		return session{}
	}
	defer c.Close()
	tc := textproto.NewConn(c)
	x := session{local: c.LocalAddr().String()}
	say := func(code int, format string, args ...any) bool {
		if format != "" {
			if _, err := tc.Cmd(format, args...); err != nil {
				t.Error(err)
				return false
			}
		}
		if _, text, err := tc.ReadResponse(code); err != nil {
			t.Errorf("%s: %v %s", format, err, text)
			return false
		}
		return true
	}
	ok := say(220, "") && say(250, "EHLO client.remote.test")
	for i := 0; ok && i < perClient; i++ {
		m := sent{id: fmt.Sprintf("sync%dx%dx", client, i), large: i%everyLarge == everyLarge-1}
		ok = say(250, "MAIL FROM:<x@remote.test>") && say(250, "RCPT TO:<bob@local.test>") &&
			say(354, "DATA") && say(250, "%s", m.text())
		x.sent = append(x.sent, m)
	}
	if ok {
		say(221, "QUIT")
	}
	return x
}

// text returns the message and its end of data, without the last CR LF. Its mark
// stands in every line of the body, and nowhere but in the body.
func (m sent) text() string {
	size := smallOctets
	if m.large {
		size = largeOctets
	}
	line := m.mark() + " the quick brown fox jumps over the lazy dog\r\n"
	return "From: <x@remote.test>\r\nSubject: traced\r\n\r\n" + strings.Repeat(line, size/len(line)) + "."
}

func (m sent) mark() string { return "mark-" + m.id }

// reporter is where a verifier tells what it misses.
type reporter interface {
	Errorf(format string, args ...any)
}

// verifier looks for the sync of each message in a trace.
type verifier struct {
	t        reporter
	calls    []call
	store    string // folder below which messages are durable
	verified int
	large    int
}

// session pairs the messages of a connection with their replies: the write on its
// socket that follows the one with 354.
func (v *verifier) session(x session) {
	for i, reply := range v.replies(x) {
		v.message(x.sent[i], reply)
	}
}

// replies are those to the messages of a connection: as many, or none.
func (v *verifier) replies(x session) (replies []call) {
	due := false
	for _, c := range v.calls {
		if !c.isWrite() || !strings.HasPrefix(c.target(), "TCP:[") || !strings.HasSuffix(c.target(), "->"+x.local+"]") {
			continue
		}
		if due {
			replies = append(replies, c)
		}
		due = strings.Contains(c.args, `, "354 `) || strings.Contains(c.args, `\n354 `)
	}
	if len(replies) != len(x.sent) {
		v.t.Errorf("%s: %d replies for %d messages", x.local, len(replies), len(x.sent))
		return nil
	}
	return replies
}

// message verifies the sync of one message before its reply.
func (v *verifier) message(m sent, reply call) {
	if !strings.Contains(reply.args, `, "250 `) {
		v.t.Errorf("%s: the reply is %.80s", m.id, reply.args)
		return
	}
	written := v.writes(m, reply.start)
	if len(written) == 0 {
		v.t.Errorf("%s: 250 without a write of its octets", m.id)
		return
	}
	for path, last := range written {
		if !v.synced(path, last.end, reply.start) {
			v.t.Errorf("%s: 250 without a sync of %s after its octets", m.id, path)
			return
		}
	}
	if m.large && !v.folderSynced(written, reply.start) {
		v.t.Errorf("%s: 250 without a sync of the folder of its file", m.id)
		return
	}
	v.verified++
	if m.large {
		v.large++
	}
}

// writes returns the last write of the message's octets before the reply, for
// each file below the store's folder.
func (v *verifier) writes(m sent, before int) map[string]call {
	written := map[string]call{}
	for _, c := range v.calls {
		if c.start >= before || !c.isWrite() || !strings.HasPrefix(c.target(), v.store+"/") {
			continue
		}
		if strings.Contains(c.args, m.mark()+" ") {
			written[c.target()] = c
		}
	}
	return written
}

// synced reports whether a sync of path began after line after and ended before
// line before.
func (v *verifier) synced(path string, after, before int) bool {
	return slices.ContainsFunc(v.calls, func(c call) bool {
		return c.isSync() && c.target() == path && c.start > after && c.end < before
	})
}

// folderSynced reports whether, for the file that holds a large message, its folder
// was synced after the file itself was: only then does the file have its name.
func (v *verifier) folderSynced(written map[string]call, before int) bool {
	for path, last := range written {
		if strings.HasSuffix(path, ".log") {
			continue
		}
		for _, c := range v.calls {
			if c.isSync() && c.target() == path && c.start > last.end && c.end < before &&
				v.synced(filepath.Dir(path), c.end, before) {
				return true
			}
		}
	}
	return false
}

// recorder keeps what a verifier tells.
type recorder struct{ faults []string }

func (r *recorder) Errorf(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// The verifier itself: each way of breaking the promise is seen in a trace.
func TestTheVerifierSeesEachBrokenPromise(t *testing.T) {
	const (
		accept = `7 write(9<TCP:[127.0.0.1:25->127.0.0.1:999]>, "354 go\r\n", 8) = 8` + "\n"
		wal    = `8 write(5</d/store/1.log>, "mark-a the quick", 16) = 16` + "\n"
		sync   = `8 fdatasync(5</d/store/1.log>)           = 0` + "\n"
		reply  = `7 write(9<TCP:[127.0.0.1:25->127.0.0.1:999]>, "250 2.0.0 ok\r\n", 14) = 14` + "\n"
		begun  = `8 fdatasync(5</d/store/1.log> <unfinished ...>` + "\n"
		ended  = `8 <... fdatasync resumed>)              = 0` + "\n"
		failed = `8 fdatasync(5</d/store/1.log>)           = -1 EIO (Input/output error)` + "\n"
		other  = `8 fdatasync(6</d/store/2.log>)           = 0` + "\n"
		noise  = `9 --- SIGURG {si_signo=SIGURG} ---` + "\n" + `9 +++ exited with 0 +++` + "\n"
	)
	for name, c := range map[string]struct {
		trace string
		want  int
	}{
		"kept":                     {accept + wal + sync + reply, 1},
		"kept, cut into two lines": {accept + wal + begun + noise + ended + reply, 1},
		"no sync":                  {accept + wal + reply, 0},
		"sync after the reply":     {accept + wal + reply + sync, 0},
		"sync before the write":    {accept + sync + wal + reply, 0},
		"sync begun before it":     {accept + begun + wal + ended + reply, 0},
		"sync ends after it":       {accept + wal + begun + reply + ended, 0},
		"sync failed":              {accept + wal + failed + reply, 0},
		"sync of another file":     {accept + wal + other + reply, 0},
		"never written":            {accept + sync + reply, 0},
	} {
		calls, err := parseTrace(strings.NewReader(c.trace))
		if err != nil {
			t.Fatal(err)
		}
		told := &recorder{}
		v := verifier{t: told, calls: calls, store: "/d/store"}
		v.session(session{local: "127.0.0.1:999", sent: []sent{{id: "a"}}})
		if v.verified != c.want || len(told.faults) != 1-c.want {
			t.Errorf("%s: %d verified, want %d; told %q", name, v.verified, c.want, told.faults)
		}
	}
}
