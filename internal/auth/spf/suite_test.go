package spf_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.yaml.in/yaml/v4"

	"sallyport/internal/auth/spf"
	"sallyport/internal/dnsx"
	"sallyport/internal/dnsx/dnstest"
)

// suitePath is where Debian's python3-spf puts the test suites of the RFCs.
const suitePath = "/usr/share/doc/python3-spf/"

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

// zoneOf puts the records of a scenario into a name server.
func zoneOf(t *testing.T, s scenario, timeout dnstest.Fault) *dnstest.Zone {
	t.Helper()
	z := &dnstest.Zone{Records: map[string][]dns.RR{}, Faults: map[string]dnstest.Fault{}}
	for text, list := range s.Zone {
		name := wire(t, text)
		text, spf := false, []yaml.Node(nil)
		for _, n := range list {
			if n.Kind == yaml.ScalarNode {
				if n.Value == "TIMEOUT" {
					z.Faults[name] = timeout
				}
				continue
			}
			for i := 0; i+1 < len(n.Content); i += 2 {
				kind, data := n.Content[i].Value, n.Content[i+1]
				switch kind {
				case "TXT":
					text = true
				case "SPF":
					spf = append(spf, *data)
				}
				if data.Value != "NONE" {
					z.Add(recordOf(t, name, kind, data))
				}
			}
		}
		// The suite asks of those who publish that a name which has SPF records, and
		// neither a TXT record nor the word that there is to be none, has them as TXT.
		for _, data := range spf {
			if !text {
				z.Add(recordOf(t, name, "TXT", &data))
			}
		}
	}
	if len(z.Records) == 0 {
		t.Fatal("a scenario without records")
	}
	return z
}

// wire is a name as the library writes it.
func wire(t *testing.T, text string) string {
	t.Helper()
	if text == "" {
		return "."
	}
	n, err := dnsx.NameOfOctets(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return n.String() + "."
}

// recordOf makes one record of the suite's notation.
func recordOf(t *testing.T, name, kind string, data *yaml.Node) dns.RR {
	t.Helper()
	h := dns.RR_Header{Name: name, Rrtype: dns.StringToType[kind], Class: dns.ClassINET, Ttl: 60}
	switch kind {
	case "A":
		return &dns.A{Hdr: h, A: net.ParseIP(data.Value)}
	case "AAAA":
		return &dns.AAAA{Hdr: h, AAAA: net.ParseIP(data.Value)}
	case "MX":
		preference, err := strconv.ParseUint(data.Content[0].Value, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		return &dns.MX{Hdr: h, Preference: uint16(preference), Mx: wire(t, data.Content[1].Value)}
	case "PTR":
		return &dns.PTR{Hdr: h, Ptr: wire(t, data.Value)}
	case "CNAME":
		return &dns.CNAME{Hdr: h, Target: wire(t, data.Value)}
	case "TXT":
		return &dns.TXT{Hdr: h, Txt: stringsOf(t, data)}
	case "SPF":
		return &dns.SPF{Hdr: h, Txt: stringsOf(t, data)}
	}
	t.Fatalf("a record of type %s", kind)
	return nil
}

// stringsOf are the character-strings of a text, escaped as in a zone file.
func stringsOf(t *testing.T, data *yaml.Node) (out []string) {
	t.Helper()
	var parts words
	if err := data.Decode(&parts); err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		for chunk := range slices.Chunk([]byte(part), 255) {
			var b strings.Builder
			for _, c := range chunk {
				fmt.Fprintf(&b, "\\%03d", c)
			}
			out = append(out, b.String())
		}
	}
	return out
}

// silence is UDP where what times out in the suite is not answered at all; elsewhere
// the server says that it failed.
const silence = "udp with silence"

// Both suites of the authors of SPF pass whole over a real name server, by our own
// resolver, over UDP and over TCP: every test, with the explanations that they demand.
func TestSuites(t *testing.T) {
	for _, file := range []string{"rfc7208-tests.yml.gz", "rfc4408-tests.yml.gz"} {
		for _, network := range []string{"udp", "tcp", silence} {
			t.Run(file[:7]+" over "+network, func(t *testing.T) {
				t.Parallel()
				runSuite(t, suite(t, file), network)
			})
		}
	}
}

func runSuite(t *testing.T, text, network string) {
	dec := yaml.NewDecoder(strings.NewReader(text))
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
		timeout, limits := dnstest.Failure, dnsx.DefaultLimits()
		if network == silence {
			timeout, limits.Query, limits.Rounds = dnstest.Silence, time.Second/2, 1
		}
		z := zoneOf(t, s, timeout)
		z.TCP = network == "tcp"
		server := dnstest.Serve(t, z.Play)
		for name, c := range s.Tests {
			ran++
			t.Run(name, func(t *testing.T) {
				if network == silence {
					t.Parallel() // they wait
				}
				before := server.Asked()
				q := spf.Query{IP: netip.MustParseAddr(c.Host), Hello: c.Helo, Domain: c.Helo, Receiver: "receiver.example.net", Now: time.Unix(1_800_000_000, 0)}
				if i := strings.LastIndexByte(c.MailFrom, '@'); c.MailFrom != "" {
					q.Local, q.Domain = c.MailFrom[:max(i, 0)], c.MailFrom[i+1:]
				}
				r := spf.Check(t.Context(), spf.FromDNS(client(t, limits, server)), q, spf.DefaultLimits())
				if !slices.Contains(c.Result, r.Verdict.String()) {
					t.Errorf("%s: %s from %s (%s): %v, want %v: %v", s.Description, c.MailFrom, c.Host, c.Helo, r.Verdict, c.Result, r.Err)
				}
				if c.Explanation != "" && c.Explanation != "DEFAULT" && r.Explanation != c.Explanation {
					t.Errorf("%s: the explanation is %q, want %q", s.Description, r.Explanation, c.Explanation)
				}
				if c.Explanation == "DEFAULT" && r.Explanation != "" {
					t.Errorf("%s: an explanation %q of no use", s.Description, r.Explanation)
				}
				if asked := server.Asked() - before; network != silence && asked > 300 {
					t.Errorf("%s: %d questions", s.Description, asked)
				}
			})
		}
	}
	if ran < 190 {
		t.Errorf("the suite has %d tests only", ran)
	}
	t.Logf("%d tests", ran)
}

// client is our own resolver, which remembers nothing yet and asks the server.
func client(t *testing.T, limits dnsx.Limits, server *dnstest.Server) *dnsx.Client {
	t.Helper()
	c, err := dnsx.NewClient(dnsx.Options{Servers: []dnsx.Server{{Addr: server.Addr}}, Limits: limits, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// suite reads the file that Debian installed; where the system keeps documentation
// out, it is taken from the package itself.
func suite(t *testing.T, file string) string {
	path := suitePath + file
	if _, err := os.Stat(path); err != nil {
		path = filepath.Join(unpacked(t), path)
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
		t.Fatalf("the suites of SPF are not installed and cannot be had: %v\n%s", err, out)
	}
	return dir
}
