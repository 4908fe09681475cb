package config

import (
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/kit/timespan"
	"sallyport/internal/kit/toml"
	"sallyport/internal/mail"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2/unstable"
)

const (
	document = "../../docs/config.md"
	begin    = "<!-- keys: written by go test ./internal/config -update -->\n"
	end      = "<!-- end of keys -->\n"
)

// TestDocumentIsTheKeyTable holds docs/config.md to the code: the same keys,
// types, defaults and bounds.
func TestDocumentIsTheKeyTable(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has lost its marks", document)
	}
	if *update {
		got = Reference()
		if err := os.WriteFile(document, []byte(before+begin+got+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(Reference(), got); d != "" {
		t.Errorf("%s differs from the code (-code +document):\n%s", document, d)
	}
}

// TestExamplesOfTheDocumentAreTaken parses every whole example, and looks for
// unknown keys in the prose.
func TestExamplesOfTheDocumentAreTaken(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(examples) < 3 {
		t.Fatalf("%d examples, want 3 at least", len(examples))
	}
	for _, e := range examples {
		if _, err := Parse("config.md", []byte(e[1])); err != nil {
			t.Errorf("an example is refused:\n%v", err)
		}
	}
	known := map[string]bool{}
	for _, k := range Keys() {
		known[k.Path] = true
	}
	tables := regexp.MustCompile("`((?:listen|tls|mx|limits|retry|maildir|trace|auth)\\.[a-z_]+)`")
	for _, m := range tables.FindAllStringSubmatch(string(text), -1) {
		if !known[m[1]] {
			t.Errorf("the document names %s, and there is no such key", m[1])
		}
	}
}

// TestEveryKeyIsDocumentedAndBounded holds the table to what it promises.
func TestEveryKeyIsDocumentedAndBounded(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Keys() {
		if seen[k.Path] {
			t.Errorf("%s stands twice", k.Path)
		}
		seen[k.Path] = true
		if !strings.HasSuffix(k.Doc, ".") || strings.ContainsAny(k.Doc, "|\n") {
			t.Errorf("%s: its meaning is no sentence for a table: %q", k.Path, k.Doc)
		}
		if k.Type == TypeNone || k.Required && k.Example == "" {
			t.Errorf("%s has no type, or no example", k.Path)
		}
		s := &source{file: "default"}
		n := defaultNode(k)
		ok := true
		switch k.Type {
		case TypeCount:
			_, ok = number(s, n, k, parseCount)
		case TypeSize:
			_, ok = number(s, n, k, parseSize)
		case TypeDuration:
			_, ok = number(s, n, k, timespan.Parse)
		case TypeFactor:
			_, ok = number(s, n, k, parseFactor)
		}
		if !ok {
			t.Errorf("%s: its default %q is refused: %v", k.Path, k.Default, s.faults)
		}
	}
}

// TestEveryBoundHolds writes each number just outside its bounds.
func TestEveryBoundHolds(t *testing.T) {
	for _, k := range Keys() {
		if k.Min == "" || strings.Contains(k.Path, "NAME") {
			continue
		}
		table := ""
		if s := sectionOf(k.Path); s != "" {
			table = "[" + s + "]\n"
		}
		for _, v := range outside(k) {
			_, err := Parse("x.toml", []byte(minimal+table+lastName(k.Path)+" = "+v+"\n"))
			if err == nil || !strings.Contains(err.Error(), k.Path) {
				t.Errorf("%s = %s: %v", k.Path, v, err)
			}
		}
	}
}

func outside(k Key) []string {
	switch k.Type {
	case TypeCount:
		lo, _ := parseCount(k.Min)
		hi, _ := parseCount(k.Max)
		return []string{itoa(lo - 1), itoa(hi + 1)}
	case TypeSize:
		hi, _ := parseSize(k.Max)
		return []string{itoa(int(hi) + 1)}
	case TypeDuration:
		hi, _ := timespan.Parse(k.Max)
		return []string{toml.Quote((hi + 1).String())}
	case TypeFactor:
		hi, _ := parseFactor(k.Max)
		return []string{"-0.5", itoa(int(hi) + 1)}
	}
	return nil
}

// TestTemplatesAreTaken shows that what init and quickstart write is read back.
func TestTemplatesAreTaken(t *testing.T) {
	host, _ := mail.ParseDomain("mx.local.test")
	domain, _ := mail.ParseDomain("local.test")
	full := Template{Hostname: host, Domain: domain, Data: `da"ta\`, Cert: "c", Key: "k", MX: "127.0.0.1:0",
		Submission: "127.0.0.1:0", Submissions: "127.0.0.1:0", Routes: []TemplateRoute{{"*", "smtp://10.0.0.1:25"}}, Preamble: []string{"a", ""}}
	c := mustParse(t, string(full.Text()))
	if c.Hostname != host || len(c.Routes) != 1 || len(c.Listen.Submissions) != 1 || !strings.HasSuffix(c.Data, `/da"ta\`) {
		t.Errorf("read back as %+v", c)
	}
	closed := mustParse(t, string(Template{Hostname: host, Domain: domain, Data: "d", MX: "0.0.0.0:25"}.Text()))
	if len(closed.Listen.Submission)+len(closed.Listen.Submissions)+len(closed.Routes)+len(closed.Aliases) != 0 {
		t.Errorf("a template without routes and certificate opened something: %+v", closed)
	}
}

// TestUnitsAgreeWithTemplates shows that the units open the addresses that init writes, of both
// families: where they differ the server does not start.
func TestUnitsAgreeWithTemplates(t *testing.T) {
	host, _ := mail.ParseDomain("mx.local.test")
	domain, _ := mail.ParseDomain("local.test")
	template := Template{Hostname: host, Domain: domain, Data: "d", MX: "0.0.0.0:25", Submission: "0.0.0.0:587", Submissions: "0.0.0.0:465", Both: true}
	served := template
	served.Cert, served.Key = "c", "k"
	obtains := "[acme]\nagree = \"yes\"\n"
	for line := range strings.Lines(string(template.Text())) {
		if rest, ok := strings.CutPrefix(line, "# listen = "); ok {
			obtains += "listen = " + rest
		}
	}
	obtained := mustParse(t, strings.Replace(string(served.Text()), "[tls]\ncert = \"c\"\nkey  = \"k\"\n", obtains, 1))
	for door, at := range map[string][]netip.AddrPort{
		"mx": obtained.Listen.MX, "submission": obtained.Listen.Submission, "submissions": obtained.Listen.Submissions, "acme": obtained.ACME.Listen,
	} {
		unit, err := os.ReadFile("../../packaging/systemd/sallyport-" + door + ".socket")
		if err != nil {
			t.Fatal(err)
		}
		var opens []netip.AddrPort
		for line := range strings.Lines(string(unit)) {
			if addr, ok := strings.CutPrefix(strings.TrimSpace(line), "ListenStream="); ok {
				opens = append(opens, netip.MustParseAddrPort(addr))
			}
		}
		if len(opens) != 2 || !slices.Equal(opens, at) {
			t.Errorf("sallyport-%s.socket opens %v, and init writes %v", door, opens, at)
		}
	}
}

// FuzzParse looks for a text that makes the reader panic, or a refusal that
// points nowhere.
func FuzzParse(f *testing.F) {
	f.Add(minimal)
	for _, dir := range []string{"testdata/bad/", "testdata/good/"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			f.Fatal(err)
		}
		for _, e := range entries {
			text, err := os.ReadFile(dir + e.Name())
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("f.toml", []byte(text))
		if err == nil {
			if c.Hostname.IsZero() || c.Data == "" || len(c.Domains) == 0 {
				t.Fatalf("taken without its required keys: %+v", c)
			}
			return
		}
		for _, fault := range err.(Faults) {
			if fault.Message == "" || fault.Position.File != "f.toml" || fault.Position.Line > strings.Count(text, "\n")+1 {
				t.Fatalf("a fault that points nowhere: %+v", fault)
			}
		}
		_ = err.Error()
	})
}

func TestKindsAreNamed(t *testing.T) {
	for k := unstable.String; k <= unstable.DateTime; k++ {
		if article(k) == "" {
			t.Errorf("kind %d has no name", k)
		}
	}
}
