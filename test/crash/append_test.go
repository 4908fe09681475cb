package crash

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/test/load/rig"
)

// appended is how many messages are appended, one after the other.
const appended = 10

// TestEachAppendWaitsForItsSyncs traces the server's system calls. For every OK that answers
// APPEND, the octets of the message were written to a file in tmp and synced, the file got its name
// in cur, and after that the folder and the journal of the index were synced, all of it before the
// answer was handed to the kernel.
func TestEachAppendWaitsForItsSyncs(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: apt-get install strace")
	}
	s, err := rig.Prepare(context.Background(), rig.Options{Binary: binary, Dir: filepath.Join(t.TempDir(), "data"), Remote: "127.0.0.1:9", Reading: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	trace := filepath.Join(t.TempDir(), "trace")
	start(t, s, strace, "-f", "-yy", "-s", "4096", "-e", "signal=none", "-o", trace, "-e",
		"trace=write,pwrite64,writev,pwritev,sendto,sendmsg,fsync,fdatasync,rename,renameat,renameat2")
	local := appends(t, s)
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
	v := verifier{t: t, calls: calls}
	for i := range appended {
		if fault := v.appended(sent{id: fmt.Sprintf("append%dx", i)}, local); fault != "" {
			t.Errorf("message %d: %s", i, fault)
		}
	}
}

// appends appends messages over one connection, and returns its address at this end. The octets of each are
// sent with the command, so that the server writes nothing to the connection but the answer.
func appends(t *testing.T, s *rig.Server) (local string) {
	t.Helper()
	c, err := tls.Dial("tcp", s.Listen.IMAPS[0], &tls.Config{InsecureSkipVerify: true}) // nothing is proven by its name here
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	say := func(tag, command string) {
		t.Helper()
		if _, err := fmt.Fprintf(c, "%s %s\r\n", tag, command); err != nil {
			t.Fatal(err)
		}
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if rest, ended := strings.CutPrefix(line, tag+" "); ended {
				if !strings.HasPrefix(rest, "OK") {
					t.Fatalf("%.40s: %s", command, line)
				}
				return
			}
		}
	}
	say("a", fmt.Sprintf("LOGIN %q %q", s.Accounts[0].Address, s.Accounts[0].Password))
	for i := range appended {
		text := "Subject: traced\r\n\r\n" + sent{id: fmt.Sprintf("append%dx", i)}.mark() + " here\r\n"
		say(fmt.Sprintf("b%d", i), fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(text), text))
	}
	return c.LocalAddr().String()
}

// appended says what is missing before the answer to one APPEND; "" if nothing is.
func (v *verifier) appended(m sent, local string) string {
	var tmp, cur string
	var written, named, reply call
	for _, c := range v.calls {
		switch {
		case tmp == "" && c.isWrite() && strings.Contains(c.args, m.mark()+" ") && strings.Contains(c.target(), "/tmp/"):
			tmp, written = c.target(), c
		case tmp == "":
		case cur == "" && strings.HasPrefix(c.name, "rename") && strings.Contains(c.args, `"`+tmp+`"`) && c.result == "0":
			cur, named = filepath.Join(filepath.Dir(filepath.Dir(tmp)), "cur"), c
		case reply.name == "" && c.isWrite() && strings.HasSuffix(c.target(), "->"+local+"]"):
			reply = c
		}
	}
	journal := filepath.Join(filepath.Dir(cur), "sallyport", "journal")
	switch {
	case tmp == "" || reply.name == "":
		return "its octets or its answer are not in the trace"
	case cur == "" || named.end > reply.start:
		return "OK before the file had its name"
	case !v.synced(tmp, written.end, named.start):
		return "the file got its name before it was synced"
	case !v.synced(cur, named.end, reply.start):
		return "OK before the folder was synced"
	case !v.synced(journal, named.end, reply.start):
		return "OK before the index was synced"
	}
	return ""
}
