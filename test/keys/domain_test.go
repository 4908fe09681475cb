package keys

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// domain.NAME.tls, .ca, .connections and .messages, each at a server behind us of its own.
func TestServersBehind(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	stranger := s.authority("stranger") // whom nobody here trusts
	ours := s.authority("behind")
	servers := map[string]*behind{}
	var more strings.Builder
	for name, keys := range map[string]string{
		"clear": `tls = "none"`, "either": `tls = "opportunistic"`, "usual": "", "trusted": "tls = \"required\"\nca = \"behind/ca.pem\"",
		"unknown": "tls = \"required\"\nca = \"stranger/ca.pem\"", "system": `tls = "required"`,
		"narrow": "connections = 2", "wide": "", "short": "messages = 2", "long": "",
	} {
		files := ours
		if name == "either" {
			files = stranger
		}
		servers[name] = serveBehind(t, files)
		fmt.Fprintf(&more, "[domain.\"%s.test\"]\ndeliver = \"smtp://%s\"\nrecipients_file = \"names\"\n%s\n", name, servers[name].at, keys)
	}
	// Alice writes to ten places within seconds: she is judged, and nobody waits.
	s.configure(more.String() + "[hijack]\nmode = \"observe\"\n[auth]\nargon_memory = \"8MiB\"\nargon_rounds = 1\n")
	s.start(map[string]string{"alice@local.test": "person"})
	t.Run("tls", func(t *testing.T) { s.secured(t, servers) })
	t.Run("connections", func(t *testing.T) { s.connections(t, servers) })
	t.Run("messages", func(t *testing.T) { s.messages(t, servers) })
}

func (s *site) secured(t *testing.T, servers map[string]*behind) {
	c, err := s.signIn("alice@local.test")
	must(t, err)
	for name, want := range map[string]int{"clear": 0, "either": 1, "usual": 1, "trusted": 1} {
		b := servers[name]
		close(b.hold)
		send(t, c, "alice@local.test", "bob@"+name+".test")
		eventually(t, "the message for "+name, func() bool { return b.is(func() bool { return b.arrived == 1 }) })
		if !b.is(func() bool { return b.secured == want }) {
			t.Errorf("%s: %d messages under TLS, want %d", name, b.secured, want)
		}
	}
	// Who cannot be verified gets nothing: the message waits, and says why.
	for _, name := range []string{"unknown", "system"} {
		b := servers[name]
		close(b.hold)
		send(t, c, "alice@local.test", "bob@"+name+".test")
		eventually(t, "a failed attempt at "+name, func() bool { return strings.Contains(s.waiting(t, name), "certificate") })
		if !b.is(func() bool { return b.arrived == 0 }) {
			t.Errorf("%s got a message", name)
		}
	}
}

func (s *site) connections(t *testing.T, servers map[string]*behind) {
	c, err := s.signIn("alice@local.test")
	must(t, err)
	narrow, wide := servers["narrow"], servers["wide"]
	for range 6 {
		send(t, c, "alice@local.test", "bob@narrow.test")
		send(t, c, "alice@local.test", "bob@wide.test")
	}
	// The usual number is more than two, so that this many would come there, too.
	eventually(t, "more connections where nothing bounds them", func() bool { return wide.is(func() bool { return wide.open > 2 }) })
	eventually(t, "two connections", func() bool { return narrow.is(func() bool { return narrow.open == 2 }) })
	time.Sleep(100 * time.Millisecond)
	close(narrow.hold)
	close(wide.hold)
	eventually(t, "all of them", func() bool {
		return narrow.is(func() bool { return narrow.arrived == 6 }) && wide.is(func() bool { return wide.arrived == 6 })
	})
	if !narrow.is(func() bool { return narrow.most == 2 }) {
		t.Errorf("%d connections at once, want 2", narrow.most)
	}
}

func (s *site) messages(t *testing.T, servers map[string]*behind) {
	c, err := s.signIn("alice@local.test")
	must(t, err)
	// A message that comes before the last one's connection is back has a new one opened, so that it takes
	// some for one to have brought as many as it may.
	for name, most := range map[string]int{"short": 2, "long": 5} {
		b := servers[name]
		close(b.hold)
		var brought []int
		for n := 0; n < 5 || n < 100 && slices.Max(brought) < most; n++ {
			send(t, c, "alice@local.test", "bob@"+name+".test")
			eventually(t, "a message", func() bool { return b.is(func() bool { return b.arrived == n+1 }) })
			b.is(func() bool { brought = slices.Clone(b.sessions); return true })
		}
		if slices.Max(brought) < most || name == "short" && slices.Max(brought) > most {
			t.Errorf("%s: connections brought %v messages, want one that brought %d", name, brought, most)
		}
	}
}
