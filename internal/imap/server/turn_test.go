package server_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// gated is a disk on which files of messages are opened when a test lets them be.
type gated struct {
	vfs.FS
	armed      atomic.Bool
	busy, most atomic.Int64
	open       chan struct{}
}

func (g *gated) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if g.armed.Load() && strings.Contains(name, "/cur/") {
		n := g.busy.Add(1)
		for m := g.most.Load(); n > m && !g.most.CompareAndSwap(m, n); m = g.most.Load() {
		}
		<-g.open
		g.busy.Add(-1)
	}
	return g.FS.Open(name, opts...)
}

// However many sessions of an account search and read at once, two of them are at work, the others
// get their turn, and what needs no message is answered meanwhile.
func TestReadersOfOneAccountTakeTurns(t *testing.T) {
	disk := &gated{FS: vfs.NewMem(), open: make(chan struct{})}
	w := newWorldOn(t, disk)
	commands := []string{
		"SEARCH BODY words", "FETCH 1 BODY.PEEK[1]", "SORT (SUBJECT) UTF-8 BODY words", "THREAD REFERENCES UTF-8 BODY words", "FETCH 1 BINARY.SIZE[1]",
		"SEARCH TEXT words", "FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject)]",
	}
	var all []*client
	for i := range commands {
		c := w.login()
		name := fmt.Sprintf("F%d", i)
		c.ok("CREATE " + name)
		c.append(name, "", "Subject: x\n\nsome words\n")
		c.ok("SELECT " + name)
		all = append(all, c)
	}
	idle := w.login()
	idle.append("INBOX", "", "Subject: y\n\ny\n")
	idle.ok("SELECT INBOX")
	release := sync.OnceFunc(func() { close(disk.open) })
	t.Cleanup(release)
	disk.armed.Store(true)
	answered := make(chan string, len(all))
	for i, c := range all {
		c.send("z " + commands[i] + "\r\n")
		go func() {
			for {
				line, err := c.next()
				if err != nil || strings.HasPrefix(line, "z ") {
					answered <- fmt.Sprintf("%.4s %v", line, err)
					return
				}
			}
		}()
	}
	for until := time.Now().Add(20 * time.Second); disk.busy.Load() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%d are at work", disk.busy.Load())
		}
	}
	idle.ok("FETCH 1 FLAGS")
	idle.ok("SEARCH UNSEEN")
	time.Sleep(50 * time.Millisecond) // in which the others would begin
	release()
	for range all {
		if got := <-answered; got != "z OK <nil>" {
			t.Errorf("answered %q", got)
		}
	}
	if n := disk.most.Load(); n != 2 {
		t.Errorf("%d were at work at the same time", n)
	}
}
