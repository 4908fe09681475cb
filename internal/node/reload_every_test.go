package node_test

import (
	"os"
	"path/filepath"
	"sallyport/internal/config"
	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/internal/screen/geo/geotest"
	"sallyport/test/site"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// with returns siteText with what a keyProof sets. Tables and keys of its own stand
// for those of siteText.
func with(set string) string {
	head, rest, _ := strings.Cut(set, "\n")
	switch {
	case strings.HasPrefix(head, "listen."):
		door, _, _ := strings.Cut(strings.TrimPrefix(head, "listen."), " ")
		return strings.Replace(site.Text, "\n"+door+" = [\"127.0.0.1:0\"]", "\n"+strings.TrimPrefix(head, "listen."), 1)
	case strings.HasPrefix(head, "tls = "):
		return strings.ReplaceAll(site.Text, "\"tls/server.", "\"other/server.")
	case !strings.HasPrefix(head, "["):
		return head + "\n" + site.Text
	case strings.HasPrefix(head, "[route."):
		old := site.Text[strings.Index(site.Text, "[route."):strings.Index(site.Text, "[limits]")]
		return strings.Replace(site.Text, old, set+"\n\n", 1)
	case !strings.Contains(site.Text, head):
		return site.Text + "\n" + set + "\n"
	}
	out := site.Text
	for _, line := range strings.Split(rest, "\n") {
		key, _, _ := strings.Cut(line, " = ")
		out = without(out, head, key)
	}
	return strings.Replace(out, head+"\n", head+"\n"+rest+"\n", 1)
}

// without drops a key from a table of a configuration.
func without(text, head, key string) string {
	var out []string
	in := ""
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "[") {
			in = line
		}
		if in != head || !strings.HasPrefix(line, key+" = ") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// TestEveryKeyTakesPartInReload holds each key to what the key table says of it: one
// that needs no restart has an effect on the running server, shown here.
func TestEveryKeyTakesPartInReload(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, vfs.NewMem())
	site.Must(t, os.WriteFile(filepath.Join(s.Dir, "names"), []byte("carl\n"), 0o600))
	geotest.Write(t, filepath.Join(s.Dir, "as.mmdb"), 6, map[string]mmdbtype.DataType{"192.0.2.0/24": geotest.System(64500)})
	geotest.Write(t, filepath.Join(s.Dir, "country.mmdb"), 6, map[string]mmdbtype.DataType{"192.0.2.0/24": geotest.Country("ZZ")})
	site.Must(t, os.WriteFile(filepath.Join(s.Dir, "screen"), []byte("refuse network 192.0.2.0/24\n"), 0o600))
	site.Must(t, os.WriteFile(filepath.Join(s.Dir, "secret"), []byte("x\n"), 0o600))
	site.Must(t, os.WriteFile(filepath.Join(s.Dir, "webhook-a"), []byte("whsec_"+strings.Repeat("aaaa", 8)+"\n"), 0o600))
	site.Must(t, os.WriteFile(filepath.Join(s.Dir, "webhook-b"), []byte("whsec_"+strings.Repeat("bbbb", 8)+"\n"), 0o600))
	s.Certificate("other")
	n := s.Start()
	s.Populate(n.Node)
	all := node.Proofs()
	for _, k := range config.Keys() {
		if k.Path == "acme.names" {
			continue // it matters only to a server that began with [acme]: TestNamesAreTakenIn
		}
		p, ok := all[k.Path]
		delete(all, k.Path)
		if k.Restart != "" {
			if ok {
				t.Errorf("%s needs a restart, and yet has a keyProof that it does not", k.Path)
			}
			continue
		}
		if !ok {
			t.Errorf("%s: nothing shows that a reload takes it in; add it to proofs, or say in the key table why it needs a restart", k.Path)
			continue
		}
		start := site.Text
		if p.On != "" {
			start = with(p.On)
			s.Write(start)
			s.Reload(n)
		}
		before := p.See(n.Node)
		s.Write(with(p.Set))
		s.Reload(n)
		if after := p.See(n.Node); after == before {
			t.Errorf("%s: the running server shows no difference after a reload: %v", k.Path, after)
		}
		s.Write(start)
		s.Reload(n)
		if again := p.See(n.Node); again != before && !strings.HasPrefix(k.Path, "route.") && !strings.HasPrefix(k.Path, "mx.") && !strings.HasPrefix(k.Path, "callout.") && !strings.HasPrefix(k.Path, "tls_policy.") {
			t.Errorf("%s: after taking it back, %v is %v", k.Path, before, again)
		}
	}
	for path := range all {
		t.Errorf("there is a keyProof for %s, and no such key", path)
	}
}

// Keys that need a restart keep their values, and the answer names them.
func TestKeysThatNeedARestartAreNamed(t *testing.T) {
	s := site.New(t, vfs.NewMem())
	n := s.Start()
	// Where certificates come from is one decision, and changes at a start alone.
	withACME := strings.Replace(site.Text, "[tls]\ncert = \"tls/server.pem\"\nkey = \"tls/server.key\"\n", `[acme]
agree = "yes"
listen = ["127.0.0.1:9080"]
challenge = "tls-alpn-01"
contact = "alice@local.test"
directory = "https://127.0.0.1:9443/"
names = ["smtp.local.test"]
ca = "tls/ca.pem"
`, 1)
	site.Must(t, os.WriteFile(filepath.Join(s.Dir, "kick.key"), []byte("sesame\n"), 0o600))
	s.Write(strings.NewReplacer(`"mx.local.test"`, `"mx2.local.test"`, `"data"`, `"data2"`).Replace(strings.Replace(withACME, "[listen]", "[listen]\nsendmail = \"s.sock\"", 1)) + "origin = \"other\"\n[tls_policy]\nlisten = [\"127.0.0.1:9443\"]\n[metrics]\nlisten = [\"127.0.0.1:9025\"]\nbeyond_loopback = \"on\"\n[maildir]\nroot = \"boxes\"\n[helpers]\nsocket = \"h.sock\"\ngroup = \"games\"\n[checkpassword]\nsocket = \"c.sock\"\ngroup = \"games\"\nkick = \"http\"\nkick_key_file = \"kick.key\"\n[autoconfig]\nlisten = [\"127.0.0.1:9444\"]\n[authentication]\ncheck = \"off\"\n")
	answer, err := n.Reload(t.Context(), "test")
	site.Must(t, err)
	named := map[string]string{}
	for _, k := range answer.Restart {
		named[k.Key] = k.Why
	}
	for _, k := range config.Keys() {
		if k.Restart != "" && named[k.Path] != k.Restart {
			t.Errorf("%s: the answer says %q, want %q", k.Path, named[k.Path], k.Restart)
		}
	}
	if got := n.InForce(); got.ACME.On() || got.TLS != s.Config.TLS || n.Leaf() == nil {
		t.Errorf("the certificate of the running server comes from %+v and %+v", got.ACME, got.TLS)
	}
	if len(answer.Changed) != 0 || len(answer.Faults) != 0 {
		t.Errorf("changed %v, faults %v", answer.Changed, answer.Faults)
	}
	if got := n.InForce(); got.Hostname != s.Config.Hostname || got.Data != s.Config.Data {
		t.Errorf("the running server goes by %v and %s", got.Hostname, got.Data)
	}
	if status, err := n.Operator().Status(t.Context(), operate.Self(), struct{}{}); err != nil || status.Hostname != s.Config.Hostname.ASCII() {
		t.Errorf("the directory goes by %v, %v", status.Hostname, err)
	}
}
