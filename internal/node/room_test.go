package node

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Strangers who take every connection that port 25 gives leave room for our people.
func TestStrangersLeaveRoom(t *testing.T) {
	noLeaks(t)
	s := newSite(t, nil)
	s.cfg.Limits.Connections = 8
	n := s.start()
	s.populate(n.Node)
	for range 6 {
		connect(t, n.Addrs().MX[0]).ok("250", "EHLO stranger.test")
	}
	seventh, err := net.Dial("tcp", n.Addrs().MX[0])
	must(t, err)
	defer seventh.Close()
	must(t, seventh.SetDeadline(time.Now().Add(10*time.Second)))
	if said, err := io.ReadAll(seventh); err != nil || !strings.HasPrefix(string(said), "421 ") {
		t.Errorf("the seventh stranger was answered %q, %v", said, err)
	}
	for i, implicit := range []bool{true, false} {
		alice := s.signIn(n, implicit, "alice@local.test")
		if r := alice.send("alice@local.test", message(fmt.Sprintf("room-%d", i), "alice@local.test", 100), "bob@local.test"); !strings.HasPrefix(r, "250") {
			t.Errorf("alice was answered %q", r)
		}
	}
}
