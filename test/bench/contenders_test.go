package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func names(cs []contender) (all []string) {
	for _, c := range cs {
		all = append(all, c.name)
	}
	return all
}

// sallyport always takes part, others when they are named, and a name that nobody has is an error.
func TestWhoTakesPart(t *testing.T) {
	own := []string{ours, oursUngreeted, oursOrdinary}
	for beside, want := range map[string][]string{
		"": own, "floor": append([]string{floor}, own...), "Haraka, exim": append(slices.Clone(own), exim, haraka),
		"floor,postfix,exim,opensmtpd,haraka": names(contenders()),
	} {
		if cs, err := chosen(options{beside: beside}); err != nil || !slices.Equal(names(cs), want) {
			t.Errorf("beside %q: %q, %v; want %q", beside, names(cs), err, want)
		}
	}
	if _, err := chosen(options{beside: "exim,sendmail"}); err == nil || !strings.Contains(err.Error(), `"sendmail"`) {
		t.Errorf("a server that there is not: %v", err)
	}
}

// A server that is not there is never left out in silence: the error names each, and what helps.
func TestWhoIsMissingIsNamed(t *testing.T) {
	o := options{peers: t.TempDir()}
	err := require(o, slices.DeleteFunc(contenders(), func(c contender) bool { return c.name == theirs }))
	if err == nil {
		t.Fatal("an empty folder holds all servers")
	}
	for _, want := range []string{"Exim: ", "OpenSMTPD: ", "Haraka: ", "install-audit-peers", "-beside"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	for _, program := range []string{eximProgram, opensmtpdProgram} {
		path := filepath.Join(o.peers, program)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o755)); err != nil {
			t.Fatal(err)
		}
		if err := unpacked(program)(o); err != nil {
			t.Error(err)
		}
	}
}

// Each scenario is measured with sallyport, and with servers that there are.
func TestScenariosNameServers(t *testing.T) {
	for _, s := range scenarios() {
		if !slices.Contains(s.servers, ours) {
			t.Errorf("%s is not measured with sallyport", s.name)
		}
		for _, name := range s.servers {
			if !slices.Contains(names(contenders()), name) {
				t.Errorf("%s: there is no %s", s.name, name)
			}
		}
	}
	b := bench{contenders: contenders()}
	for _, c := range b.contenders {
		if len(b.of(c, true))+len(b.of(c, false)) == 0 {
			t.Errorf("%s is measured at nothing", c.name)
		}
	}
}

// The files that a server sees have its user once, whoever has that name in the system's.
func TestApartFiles(t *testing.T) {
	files, err := apartFiles(func(path string) ([]byte, error) {
		return []byte(map[string]string{
			"/etc/passwd": "root:x:0:0::/root:/bin/sh\nDebian-exim:x:101:103::/var/spool/exim4:/bin/false", "/etc/group": "root:x:0:\n",
		}[path]), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"/etc/passwd": "root:x:0:0::/root:/bin/sh\nDebian-exim:x:64901:64901::/nonexistent:/usr/sbin/nologin\nopensmtpd:x:64902:64902::/nonexistent:/usr/sbin/nologin\nopensmtpq:x:64903:64903::/nonexistent:/usr/sbin/nologin\n",
		"/etc/group":  "root:x:0:\nDebian-exim:x:64901:\nopensmtpd:x:64902:\nopensmtpq:x:64903:\n",
	}
	for path, text := range want {
		if files[path] != text {
			t.Errorf("%s is %q, want %q", path, files[path], text)
		}
	}
}

func TestDebianVersion(t *testing.T) {
	if v, err := debianVersion("none.gz")(options{peers: t.TempDir()}); err == nil {
		t.Errorf("a changelog that is not there says %q", v)
	}
}

// The floor's log is counted by the lengths in it, and one that breaks off is told.
func TestRecords(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	for text, want := range map[string]int{"": 0, "\x00\x00\x00\x02hi": 1, "\x00\x00\x00\x02hi\x00\x00\x00\x00\x00\x00\x00\x01x": 3} {
		if err := os.WriteFile(log, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if n, err := records(log); err != nil || n != want {
			t.Errorf("%q holds %d, %v; want %d", text, n, err, want)
		}
	}
	for _, text := range []string{"\x00\x00", "\x00\x00\x00\x02h", "\x00\x00\x00\x02hi\x00"} {
		if err := os.WriteFile(log, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if n, err := records(log); err == nil {
			t.Errorf("%q holds %d", text, n)
		}
	}
}
