package migrate

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func files(dir string) Files {
	return func(path string) ([]byte, error) {
		if rest, ok := strings.CutPrefix(path, "/etc/postfix/"); ok {
			path = filepath.Join(dir, rest)
		} else if !strings.HasPrefix(path, dir) {
			return nil, os.ErrNotExist
		}
		return os.ReadFile(path)
	}
}

func imported(t *testing.T, name string) Result {
	t.Helper()
	dir := filepath.Join("testdata", name)
	text, err := os.ReadFile(filepath.Join(dir, "main.cf"))
	if err != nil {
		t.Fatal(err)
	}
	return Import(Source{Main: text, MainFile: "main.cf", Dir: dir, Host: "host.example", Read: files(dir)})
}

// site imports a main.cf with other files, by their whole names; /etc/postfix/master.cf is
// one of them.
func site(main string, others map[string]string) Result {
	src := Source{Main: []byte(main), MainFile: "main.cf", MasterFile: "master.cf", Dir: "/etc/postfix", Host: "host.example", Read: func(path string) ([]byte, error) {
		if text, ok := others[path]; ok {
			return []byte(text), nil
		}
		return nil, ErrAbsent
	}}
	if text, ok := others["/etc/postfix/master.cf"]; ok {
		src.Master = []byte(text)
	}
	return Import(src)
}

// verdictOf finds what the report says of a parameter or key.
func verdictOf(r Result, what string) (v Verdict, ok bool) {
	for _, v := range r.Lines {
		if v.What == what {
			return v, true
		}
	}
	return Verdict{}, false
}

// Every logical line of main.cf has exactly one verdict, and what is carried over
// stands in the configuration.
func TestOffice(t *testing.T) {
	r := imported(t, "office")
	text, err := os.ReadFile("testdata/office/main.cf")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]int{}
	for _, v := range r.Lines {
		if v.File == "main.cf" && !strings.Contains(v.What, ": ") {
			seen[v.Line]++
		}
		if v.Text == "" || v.Word == "" {
			t.Errorf("%+v", v)
		}
	}
	for _, l := range logicalLines(string(text)) {
		if seen[l.number] != 1 {
			t.Errorf("line %d has %d verdicts: %s", l.number, seen[l.number], l.text)
		}
	}
	for what, kind := range map[string]Kind{
		"mynetworks": Lost, "mydestination": Carried, "virtual_alias_maps": Carried, "office_maps": Unneeded, "smtpd_milters": Carried, "mailbox_command": Lost,
		"virtual_transport": Carried, "relayhost": Carried, "smtp_sasl_password_maps": Carried, "smtpd_recipient_restrictions": Unneeded, "some_new_parameter": Lost,
		"sales@office.example": Carried, "outside@office.example": Carried, "@shop.example": Carried, "list": Lost, "robot": Lost, "trash": Lost, "postmaster": Carried,
	} {
		if v, ok := verdictOf(r, what); !ok || v.Kind != kind {
			t.Errorf("%s: %+v", what, v)
		}
	}
	config := string(r.Config)
	for _, want := range []string{
		`hostname = "mail.office.example"`, `detail   = "+"`, `mx = ["0.0.0.0:25"]`,
		"[domain.\"office.example\"]\ndeliver = \"maildir\"",
		"[domain.\"shop.example\"]\ndeliver = \"lmtp://127.0.0.1:2424\"",
		`"sales@office.example" = ["alice@office.example", "bob@office.example"]`,
		`"@shop.example" = ["shop@shop.example"]`, `"root@office.example" = ["alice@office.example"]`,
		`"root@mail.office.example" = ["root@office.example"]`,
		`"alice@mail.office.example" = ["alice@office.example"]`,
		`to = "smtp://smart.example:587"`, `tls = "required"`, `user = "office"`, `message_size = 20480000`, `cert = "/etc/ssl/certs/mail.pem"`,
	} {
		if !strings.Contains(config, want) {
			t.Errorf("%s is not in\n%s", want, config)
		}
	}
	for _, who := range []string{"alice@office.example", "bob@office.example"} {
		if !slices.Contains(r.People, who) {
			t.Errorf("%s is not among the accounts to make: %v", who, r.People)
		}
	}
	if strings.Contains(config, "127.0.0.0") || strings.Contains(config, "robot") || strings.Contains(config, "s3cret") || r.Secrets["smarthost.password"] != "s3cret\n" {
		t.Errorf("%s\n%q", config, r.Secrets)
	}
}

func TestRelay(t *testing.T) {
	r := imported(t, "relay")
	config := string(r.Config)
	for _, want := range []string{
		"[domain.\"inner.example\"]\ndeliver = \"smtp://10.0.0.5:25\"\nrecipients_file = \"inner.example.recipients\"",
		"[domain.\"static.example\"]\ndeliver = \"smtp://10.0.0.6:25\"",
		"[route.\"partner.example\"]\nto = \"smtp://mail.partner.example:25\"", `mx = ["0.0.0.0:25", "[::]:25"]`,
	} {
		if !strings.Contains(config, want) {
			t.Errorf("%s is not in\n%s", want, config)
		}
	}
	if v, _ := verdictOf(r, "virtual_alias_maps"); v.Kind != Lost || !strings.Contains(v.Text, "patterns") {
		t.Errorf("%+v", v)
	}
	if r.Secrets["inner.example.recipients"] != "# The recipients of inner.example, imported from Postfix\nann@inner.example\n" {
		t.Errorf("%q", r.Secrets)
	}
}

// Whoever may send as whom is not lost without a word.
func TestSenderLoginMapsAreToBeMadeDelegates(t *testing.T) {
	r := site("smtpd_sender_login_maps = hash:/a\n", nil)
	if v, ok := verdictOf(r, "smtpd_sender_login_maps: hash:/a"); !ok || v.Kind != Lost || !strings.Contains(v.Text, "delegate add") {
		t.Errorf("%+v", v)
	}
}

// Values are those that Postfix itself computes.
func TestValuesAsPostconf(t *testing.T) {
	postconf, err := exec.LookPath("/usr/sbin/postconf")
	if err != nil {
		t.Skip("needs Debian's postfix: scripts/install-test-tools")
	}
	for _, name := range []string{"office", "relay"} {
		dir, err := filepath.Abs(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, "main.cf"))
		if err != nil {
			t.Fatal(err)
		}
		settings, _ := ParseMain(string(text))
		p := NewParams(settings, dir, "host.example")
		for _, param := range []string{"mydestination", "myorigin", "virtual_alias_maps", "virtual_mailbox_maps", "smtp_tls_security_level", "relayhost", "inet_interfaces", "relay_domains", "transport_maps", "relay_recipient_maps"} {
			if _, given := p.Given(param); !given {
				continue
			}
			out, err := exec.Command(postconf, "-c", dir, "-x", "-h", param).Output()
			if err != nil {
				t.Fatal(err)
			}
			got, ok := p.Value(param)
			if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(string(out)), " ") || !ok {
				t.Errorf("%s %s: %q, and postconf says %q", name, param, got, out)
			}
		}
	}
}

func TestExpand(t *testing.T) {
	settings, _ := ParseMain("a = 1\nempty =\nb = x$a\nloop = $loop\nfat = $b$b$b\nd = $$a\n")
	p := NewParams(settings, "/etc/postfix", "host.example")
	for in, want := range map[string]string{
		"$b": "xx"[:1] + "1", "${a?yes}": "yes", "${empty?yes}": "", "${empty:no}": "no", "${a:no}": "", "${a?{y}:{n}}": "y", "${empty?{y}:{n$a}}": "n1",
		"${{$a} == {1}?{same}:{other}}": "same", "${{$a} < {10}?{less}:{more}}": "less", "$(a)b": "1b",
		"$d": "$a", "$myhostname": "host.example", "$mydomain": "example", "$": "$", "$ x": "$ x",
	} {
		if got, ok := p.expand(in, 0); got != want || !ok {
			t.Errorf("%s: %q, %v, want %q", in, got, ok, want)
		}
	}
	for _, in := range []string{"$loop", "${a", "${{x}}"} {
		if got, ok := p.expand(in, 0); ok {
			t.Errorf("%s: %q", in, got)
		}
	}
}

// Whatever stands in main.cf: every line has a verdict, and nothing panics or grows
// without end.
func FuzzImport(f *testing.F) {
	for _, s := range []string{"myhostname = a.b\nmydestination = $myhostname\n", "a = ${a?{b}:{c}}\n", " x\n=\n", "transport_maps = inline:{a.b=smtp:[1.2.3.4]}\nrelay_domains=a.b\n", "relayhost = [a]:x\n", "alias_maps = hash:/a\nvirtual_alias_maps = hash:/a\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		table := []byte("a@b.c: \"|x\", b\n@a.b x@a.b\n[a]:x u:p\n")
		r := Import(Source{
			Main: in, Master: in, MainFile: "main.cf", MasterFile: "master.cf", Dir: "/etc/postfix",
			Host: "host.example", Read: func(string) ([]byte, error) { return table, nil },
		})
		settings, faults := ParseMain(string(in))
		n := 0
		for _, v := range r.Lines {
			if v.File == "main.cf" && v.Line > 0 && !strings.Contains(v.What, ": ") {
				n++
			}
			if v.Text == "" {
				t.Fatalf("%+v", v)
			}
		}
		if n != len(settings)+len(faults) {
			t.Fatalf("%d verdicts of %d settings and %d faults", n, len(settings), len(faults))
		}
	})
}

// "bob: bob, alice" is a copy, in each of its forms; a mailbox past another's alias is not.
func TestCopies(t *testing.T) {
	const main = "myhostname = mail.firm.example\nmyorigin = firm.example\nmydestination = firm.example\nvirtual_alias_maps = hash:/etc/virtual\n"
	files := map[string]string{
		"/etc/aliases": "anna: \\anna, ben\nben: ben, anna\ncarl: carl\ndora: \\anna\nemil: \\emil, |/bin/x\n",
		"/etc/virtual": "fred@firm.example Fred@firm.example ben@firm.example\n@firm.example @firm.example, ben@firm.example\n",
	}
	r := site(main, files)
	for _, want := range []string{`"anna@firm.example" = ["anna@firm.example", "ben@firm.example"]`, `"ben@firm.example" = ["ben@firm.example", "anna@firm.example"]`,
		`"fred@firm.example" = ["fred@firm.example", "ben@firm.example"]`} {
		if !strings.Contains(string(r.Config), want) {
			t.Errorf("%s is not in\n%s", want, r.Config)
		}
	}
	for what, kind := range map[string]Kind{"anna": Carried, "ben": Carried, "carl": Unneeded, "dora": Lost, "emil": Lost, "fred@firm.example": Carried, "@firm.example": Lost} {
		if v, ok := verdictOf(r, what); !ok || v.Kind != kind {
			t.Errorf("%s: %+v", what, v)
		}
	}
	for _, a := range []string{"anna@firm.example", "ben@firm.example", "fred@firm.example"} {
		if !slices.Contains(r.People, a) {
			t.Errorf("%s is no account to make: %v", a, r.People)
		}
	}
}

// The example of virtual(5) itself: the table names its domains, whose addresses are aliases.
// A local name may have dots, and localhost is where local names are.
func TestDomainsOfVirtual(t *testing.T) {
	const main = "myhostname = mail.firm.example\nmydestination = firm.example, localhost, localhost.localdomain\nvirtual_alias_maps = hash:/etc/virtual\n"
	table := "shop.example anything\ninfo@shop.example anna\njoe@SHOP.example root@localhost\n@club.example anna@firm.example\nClub.example x\n" +
		"anna.b anna\nroot@localhost.localdomain anna\nlost@third.example anna\n"
	for _, more := range []string{"", "virtual_alias_domains = shop.example, club.example\n"} {
		r := site(main+more, map[string]string{"/etc/virtual": table})
		for _, want := range []string{`[domain."shop.example"]`, `[domain."club.example"]`, `"info@shop.example" = ["anna@firm.example"]`, `"joe@shop.example" = ["root@firm.example"]`,
			`"@club.example" = ["anna@firm.example"]`, `"anna.b@firm.example" = ["anna@firm.example"]`} {
			if !strings.Contains(string(r.Config), want) {
				t.Errorf("%q: %s is not in\n%s", more, want, r.Config)
			}
		}
		for what, kind := range map[string]Kind{"shop.example": Unneeded, "Club.example": Unneeded, "anna.b": Carried, "lost@third.example": Lost} {
			if v, ok := verdictOf(r, what); !ok || v.Kind != kind {
				t.Errorf("%q: %s: %+v", more, what, v)
			}
		}
		if !slices.Equal(r.People, []string{"anna@firm.example", "root@firm.example"}) {
			t.Errorf("%q: accounts to make: %v", more, r.People)
		}
	}
}

// Debian keeps myorigin in a file.
func TestOriginInAFile(t *testing.T) {
	const main = "myhostname = mail.firm.example\nmyorigin = /etc/mailname\nmydestination = other.example, firm.example\n"
	for mailname, want := range map[string]string{"firm.example\n": `"info@firm.example" = ["anna@firm.example"]`, "": `"info@other.example" = ["anna@other.example"]`} {
		others := map[string]string{"/etc/aliases": "info: anna\n", "/etc/mailname": mailname}
		if mailname == "" {
			delete(others, "/etc/mailname")
		}
		r := site(main, others)
		if !strings.Contains(string(r.Config), want) {
			t.Errorf("%s is not in\n%s", want, r.Config)
		}
		if v, ok := verdictOf(r, "myorigin"); mailname == "" && (!ok || v.Kind != Lost) {
			t.Errorf("%+v", v)
		}
	}
}

// Every parameter of Postfix has a verdict of its own, whether it is set as it is by default
// or otherwise.
func TestEveryParameterIsKnown(t *testing.T) {
	postconf, err := exec.LookPath("/usr/sbin/postconf")
	if err != nil {
		t.Skip("needs Debian's postfix: scripts/install-test-tools")
	}
	out, err := exec.Command(postconf, "-d").Output()
	if err != nil {
		t.Fatal(err)
	}
	master, err := os.ReadFile("/etc/postfix/master.cf")
	if err != nil {
		t.Fatal(err)
	}
	var other strings.Builder
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(line, " =")
		other.WriteString(name + " = hash:/nowhere 17\n")
	}
	for what, main := range map[string]string{"by default": string(out), "otherwise": other.String()} {
		r := site(main, map[string]string{"/etc/postfix/master.cf": string(master)})
		if len(r.Lines) < 900 {
			t.Fatalf("%s: only %d lines", what, len(r.Lines))
		}
		for _, v := range r.Lines {
			if strings.Contains(v.Text, "does not know it") || v.Text == "" || v.Topic == "" {
				t.Errorf("%s: %+v", what, v)
			}
			if what == "by default" && v.Kind == Lost && v.What != "mynetworks" && !strings.HasPrefix(v.What, "alias_maps") {
				t.Errorf("by default something is lost: %+v", v)
			}
		}
	}
}
