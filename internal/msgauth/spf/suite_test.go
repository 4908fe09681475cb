package spf_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"sallyport/internal/msgauth/spf"
)

// suitePath is where Debian's python3-spf puts the test suite of the RFC.
const suitePath = "/usr/share/doc/python3-spf/rfc7208-tests.yml.gz"

// scenario is one document of the suite.
type scenario struct {
	Description string
	Tests       map[string]struct {
		Helo, Host, MailFrom string
		Result               words
		Explanation          string
	}
	Zone map[string][]yaml.Node `yaml:"zonedata"`
}

// words is one word or a list of them.
type words []string

func (w *words) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		return n.Decode((*[]string)(w))
	}
	*w = words{n.Value}
	return nil
}

// record is one record of a zone: its type and its data.
type record struct {
	kind string
	data yaml.Node
}

// zone answers as a name server with the zone of a scenario does.
type zone struct {
	records map[string][]record
	silent  map[string]bool
	asked   int
}

func newZone(t *testing.T, s scenario) *zone {
	z := &zone{records: map[string][]record{}, silent: map[string]bool{}}
	for name, list := range s.Zone {
		name = strings.ToLower(name)
		for _, n := range list {
			if n.Kind == yaml.ScalarNode {
				z.silent[name] = z.silent[name] || n.Value == "TIMEOUT"
				continue
			}
			for i := 0; i+1 < len(n.Content); i += 2 {
				z.records[name] = append(z.records[name], record{n.Content[i].Value, *n.Content[i+1]})
			}
		}
		z.spfAsTXT(name)
	}
	if len(z.records) == 0 {
		t.Fatal("a scenario without records")
	}
	return z
}

// spfAsTXT does what the suite asks of those who publish: a name that has SPF
// records, and neither a TXT record nor the word that there is to be none, has the
// same texts as TXT.
func (z *zone) spfAsTXT(name string) {
	for _, r := range z.records[name] {
		if r.kind == "TXT" {
			return
		}
	}
	for _, r := range z.records[name] {
		if r.kind == "SPF" {
			z.records[name] = append(z.records[name], record{"TXT", r.data})
		}
	}
}

var errSilent = errors.New("no answer")

// find returns the records of a type, following aliases.
func (z *zone) find(name, kind string) ([]yaml.Node, error) {
	z.asked++
	name = strings.ToLower(name)
	for range 10 {
		var found []yaml.Node
		alias := ""
		for _, r := range z.records[name] {
			switch {
			case r.kind == kind && r.data.Value != "NONE":
				found = append(found, r.data)
			case r.kind == "CNAME":
				alias = strings.ToLower(strings.TrimSuffix(r.data.Value, "."))
			}
		}
		switch {
		case len(found) > 0:
			return found, nil
		case z.silent[name]:
			return nil, errSilent
		case alias == "":
			return nil, spf.ErrAbsent
		}
		name = alias
	}
	return nil, errors.New("a circle of aliases")
}

func (z *zone) TXT(_ context.Context, name string) ([]string, error) {
	nodes, err := z.find(name, "TXT")
	var out []string
	for _, n := range nodes {
		var parts words
		if err := n.Decode(&parts); err != nil {
			return nil, err
		}
		out = append(out, strings.Join(parts, ""))
	}
	return out, err
}

func (z *zone) Addresses(_ context.Context, name string, ip6 bool) ([]netip.Addr, error) {
	kind := "A"
	if ip6 {
		kind = "AAAA"
	}
	nodes, err := z.find(name, kind)
	var out []netip.Addr
	for _, n := range nodes {
		ip, err := netip.ParseAddr(n.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, ip)
	}
	return out, err
}

func (z *zone) MX(_ context.Context, name string) ([]string, error) {
	nodes, err := z.find(name, "MX")
	type mx struct {
		preference int
		host       string
	}
	var all []mx
	for _, n := range nodes {
		p, err := strconv.Atoi(n.Content[0].Value)
		if err != nil {
			return nil, err
		}
		all = append(all, mx{p, n.Content[1].Value})
	}
	slices.SortFunc(all, func(a, b mx) int { return a.preference - b.preference })
	var out []string
	for _, m := range all {
		out = append(out, m.host)
	}
	return out, err
}

func (z *zone) PTR(_ context.Context, ip netip.Addr) ([]string, error) {
	nodes, err := z.find(reverse(ip), "PTR")
	var out []string
	for _, n := range nodes {
		out = append(out, strings.TrimSuffix(n.Value, "."))
	}
	return out, err
}

// reverse is the name at which the PTR records of an address stand.
func reverse(ip netip.Addr) string {
	if ip.Is4() {
		b := ip.As4()
		return fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa", b[3], b[2], b[1], b[0])
	}
	b := ip.As16()
	var s strings.Builder
	for i := 15; i >= 0; i-- {
		fmt.Fprintf(&s, "%x.%x.", b[i]&15, b[i]>>4)
	}
	return s.String() + "ip6.arpa"
}

// The suite of RFC 7208 passes whole: every test of it, with the explanations that
// it demands.
func TestSuite(t *testing.T) {
	dec := yaml.NewDecoder(strings.NewReader(suite(t)))
	ran := 0
	for {
		var s scenario
		err := dec.Decode(&s)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range s.Tests {
			ran++
			t.Run(name, func(t *testing.T) {
				z := newZone(t, s)
				q := spf.Query{IP: netip.MustParseAddr(c.Host), Hello: c.Helo, Domain: c.Helo, Receiver: "receiver.example.net", Now: time.Unix(1_800_000_000, 0)}
				if i := strings.LastIndexByte(c.MailFrom, '@'); c.MailFrom != "" {
					q.Local, q.Domain = c.MailFrom[:max(i, 0)], c.MailFrom[i+1:]
				}
				r := spf.Check(t.Context(), z, q, spf.DefaultLimits())
				if !slices.Contains(c.Result, r.Verdict.String()) {
					t.Errorf("%s: %s from %s (%s): %v, want %v: %v", s.Description, c.MailFrom, c.Host, c.Helo, r.Verdict, c.Result, r.Err)
				}
				if c.Explanation != "" && c.Explanation != "DEFAULT" && r.Explanation != c.Explanation {
					t.Errorf("%s: the explanation is %q, want %q", s.Description, r.Explanation, c.Explanation)
				}
				if c.Explanation == "DEFAULT" && r.Explanation != "" {
					t.Errorf("%s: an explanation %q of no use", s.Description, r.Explanation)
				}
				if z.asked > 150 {
					t.Errorf("%s: %d questions", s.Description, z.asked)
				}
			})
		}
	}
	if ran < 200 {
		t.Errorf("the suite has %d tests only", ran)
	}
	t.Logf("%d tests", ran)
}

// suite reads the file that Debian installed; where the system keeps documentation
// out, it is taken from the package itself.
func suite(t *testing.T) string {
	path := suitePath
	if _, err := os.Stat(path); err != nil {
		path = filepath.Join(unpacked(t), suitePath)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatalf("%v: it is in Debian's python3-spf", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func unpacked(t *testing.T) string {
	dir := t.TempDir()
	cmd := exec.Command("sh", "-c", "apt-get download -q python3-spf && dpkg-deb -x python3-spf_*.deb .")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the suite of RFC 7208 is not installed and cannot be had: %v\n%s", err, out)
	}
	return dir
}
