package fromfield

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	netmail "net/mail"
	"os/exec"
	"strings"
	"testing"

	"sallyport/internal/message"
)

// fieldMaker draws valid From fields by the grammar of RFC 5322 with its obsolete forms.
type fieldMaker struct{ *rand.Rand }

func (m fieldMaker) pick(from ...string) string { return from[m.IntN(len(from))] }

// gap is white space and comments, or nothing.
func (m fieldMaker) gap() string {
	return m.pick("", "", "", " ", "\t", "\r\n ", " (c) ", "(a (b) \\) c)", "\r\n\t(x@y.test)")
}

func (m fieldMaker) local() string {
	return m.pick("u", "a.b", "a+b=c", `"q"`, `"a b"`, `"a\"b"`, `"x@y.test"`, "a"+m.gap()+"."+m.gap()+"b")
}

func (m fieldMaker) domain() string {
	return m.pick("a2.test", "b"+m.gap()+"."+m.gap()+"test", "x-1.example", "MAIL.Example", "my_host.a2.test", "em--1.a2.test")
}

func (m fieldMaker) spec() string { return m.local() + m.gap() + "@" + m.gap() + m.domain() }

func (m fieldMaker) mailbox() string {
	switch m.IntN(4) {
	case 0:
		return m.gap() + m.spec() + m.gap()
	case 1:
		return m.gap() + "<" + m.gap() + m.spec() + m.gap() + ">" + m.gap()
	}
	name := m.pick("Alice", "Alice B", `"Smith, John"`, "J. R. Smith", `"x@y.test"`, "=?utf-8?q?=C3=BC?=", `"a <b@c.test>"`)
	return m.gap() + name + m.gap() + "<" + m.gap() + m.spec() + m.gap() + ">" + m.gap()
}

func (m fieldMaker) field() string {
	switch m.IntN(5) {
	case 0:
		return m.mailbox() + "," + m.mailbox()
	case 1:
		return "Group" + m.gap() + ":" + m.mailbox() + ";" + m.gap()
	}
	return m.mailbox()
}

// What is read of a valid field is what widely used parsers read, where they read it at
// all: no field without a fault names another domain to them.
func TestNamedLikeOtherReaders(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m := fieldMaker{rand.New(rand.NewPCG(seed, 1))}
	const fields = 2000
	var all [fields]string
	for i := range all {
		all[i] = strings.TrimSpace(m.field())
	}
	python := askPython(t, all[:])
	agreed := map[string]int{}
	for i, f := range all {
		h, err := message.ParseHeader([]byte("From: " + f + "\r\n\r\n"))
		if err != nil {
			t.Fatalf("%q: %v", f, err)
		}
		n := h.Named("From")
		var domains []string
		for _, c := range n.Claims {
			domains = append(domains, c.Domain.ASCII())
		}
		if n.Fault != "" || len(domains) == 0 {
			t.Fatalf("%q is not read: %+v", f, n)
		}
		ours := fmt.Sprint(domains)
		for reader, theirs := range map[string][]string{"Go": readByGo(f), "getaddresses": python[i].Old, "headerregistry": python[i].New} {
			if len(theirs) == 0 {
				continue // it gave up
			}
			if got := fmt.Sprint(domainsOf(theirs)); got != ours {
				t.Errorf("%q: %s reads %q, we %s", f, reader, theirs, ours)
			}
			agreed[reader]++
		}
	}
	// Go's own reader takes few of the obsolete forms.
	for reader, least := range map[string]int{"Go": fields / 100, "getaddresses": fields * 9 / 10, "headerregistry": fields * 8 / 10} {
		if agreed[reader] < least {
			t.Errorf("%s read %d of %d fields alone", reader, agreed[reader], fields)
		}
	}
	t.Logf("agreed: %v", agreed)
}

func readByGo(field string) (out []string) {
	list, err := netmail.ParseAddressList(strings.ReplaceAll(field, "\r\n", ""))
	if err != nil {
		return nil
	}
	for _, a := range list {
		out = append(out, a.Address)
	}
	return out
}

func domainsOf(addresses []string) (out []string) {
	for _, a := range addresses {
		out = append(out, strings.ToLower(a[strings.LastIndexByte(a, '@')+1:]))
	}
	return out
}

// reading is what the two parsers of Python's standard library make of a field.
type reading struct{ Old, New []string }

// readers answers each line, a field in JSON. A parser that finds a defect, or loses the
// domain, has given up.
const readers = `
import json, sys
from email.utils import getaddresses
from email.headerregistry import HeaderRegistry
make = HeaderRegistry()
for line in sys.stdin:
    field = json.loads(line)
    flat = field.replace("\r\n", "")
    old = [a for _, a in getaddresses([flat])]
    if not all("@" in a and a.rpartition("@")[2] for a in old):
        old = []
    try:
        h = make("From", flat)
        new = [a.addr_spec for a in h.addresses]
        if any("Invalid" in type(d).__name__ for d in h.defects) or not all(a.domain for a in h.addresses):
            new = []
    except Exception:
        new = []
    print(json.dumps({"Old": old, "New": new}))
`

func askPython(t *testing.T, fields []string) []reading {
	t.Helper()
	var in strings.Builder
	for _, f := range fields {
		b, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(b, '\n'))
	}
	cmd := exec.Command("/usr/bin/python3", "-c", readers)
	cmd.Stdin = strings.NewReader(in.String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: scripts/install-test-tools installs python3", err)
	}
	var all []reading
	for s := bufio.NewScanner(out); s.Scan(); {
		var r reading
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	if err := cmd.Wait(); err != nil || len(all) != len(fields) {
		t.Fatalf("%d answers, %v", len(all), err)
	}
	return all
}
