package site

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
	NoLeaks(t)
	s := New(t, nil)
	s.Config.Limits.Connections = 8
	n := s.Start()
	s.Populate(n.Node)
	for range 6 {
		Connect(t, n.Addrs().MX[0]).OK("250", "EHLO stranger.test")
	}
	seventh, err := net.Dial("tcp", n.Addrs().MX[0])
	Must(t, err)
	defer seventh.Close()
	Must(t, seventh.SetDeadline(time.Now().Add(10*time.Second)))
	if said, err := io.ReadAll(seventh); err != nil || !strings.HasPrefix(string(said), "421 ") {
		t.Errorf("the seventh stranger was answered %q, %v", said, err)
	}
	for i, implicit := range []bool{true, false} {
		alice := s.SignIn(n, implicit, "alice@local.test")
		if r := alice.Send("alice@local.test", Message(fmt.Sprintf("room-%d", i), "alice@local.test", 100), "bob@local.test"); !strings.HasPrefix(r, "250") {
			t.Errorf("alice was answered %q", r)
		}
	}
}
