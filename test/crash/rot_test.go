package crash

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport/test/load"
	"sallyport/test/load/rig"
)

// One bit flips in each log and in the manifest of the store while the server is off: it starts,
// has every message that it had acknowledged and a trace that verifies, and tells of each damage
// until somebody acknowledges it.
func TestABitFlipsWhileTheServerIsOff(t *testing.T) {
	const messages = 40
	s, err := rig.Prepare(t.Context(), rig.Options{
		Binary: binary, Dir: filepath.Join(t.TempDir(), "data"), Remote: "127.0.0.1:9",
		Extra: "[limits]\ngreet_delay = \"0s\"\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Flags = []string{"--paused"} // so that what is accepted stays in the queue
	start(t, s)
	rep, err := load.Run(t.Context(), load.Options{
		Addr: func() string { return s.Listen.MX[0] }, From: "load@elsewhere.test", To: []string{"alice@local.test"}, Prefix: "rot",
		Connections: 1, Messages: messages, Size: msgOctets,
	})
	if err != nil || rep.Acknowledged != messages {
		t.Fatalf("%d acknowledged, %v", rep.Acknowledged, err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	flipped := flip(t, s)
	start(t, s)
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if out := cli(t, s, "queue", "ls", "--json"); strings.Count(out, "load@elsewhere.test") < messages {
		t.Errorf("of %d messages there are left:\n%.2000s", messages, out)
	}
	cli(t, s, "trace", "--verify")
	told := cli(t, s, "damage", "ls")
	for _, name := range flipped {
		if !strings.Contains(told, filepath.Base(name)) {
			t.Errorf("nothing is told of %s:\n%s", name, told)
		}
	}
	if strings.Count(told, "lost: nothing") != len(flipped) {
		t.Errorf("of single bits nothing is lost:\n%s", told)
	}
	if out := cli(t, s, "status"); !strings.Contains(out, "damage ") {
		t.Errorf("the status is silent:\n%s", out)
	}
	if out, _ := s.CLI(context.Background(), "", "doctor"); !strings.Contains(out, "wrong    damage") {
		t.Errorf("doctor is silent:\n%s", out)
	}
	cli(t, s, "damage", "acknowledge", "--all")
	if out := cli(t, s, "status"); strings.Contains(out, "damage ") {
		t.Errorf("the status tells of what is acknowledged:\n%s", out)
	}
	if out := cli(t, s, "damage", "ls"); !strings.Contains(out, "nothing is damaged") {
		t.Errorf("there is left: %s", out)
	}
}

// flip flips a bit in each log and in the manifest that counts, which is the last, and returns their names.
func flip(t *testing.T, s *rig.Server) (flipped []string) {
	t.Helper()
	for _, kind := range []string{"*.log", "MANIFEST-*"} {
		all, err := filepath.Glob(filepath.Join(s.Data, "store", "db", kind))
		if err != nil {
			t.Fatal(err)
		}
		if kind == "MANIFEST-*" && len(all) > 0 {
			all = all[len(all)-1:]
		}
		for _, name := range all {
			octets, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(octets) == 0 {
				continue
			}
			octets[len(octets)/3] ^= 4
			if err := os.WriteFile(name, octets, 0o600); err != nil {
				t.Fatal(err)
			}
			flipped = append(flipped, name)
		}
	}
	if len(flipped) < 2 || !slices.ContainsFunc(flipped, func(name string) bool { return strings.HasSuffix(name, ".log") }) {
		t.Fatalf("flipped: %v", flipped)
	}
	return flipped
}
