package authors

import (
	"bytes"
	"encoding/json"
	netmail "net/mail"
	nettextproto "net/textproto"
	"os"
	"os/exec"
	"strings"
	"testing"

	"bufio"
	gomail "github.com/emersion/go-message/mail"
	"github.com/emersion/go-message/textproto"
)

// program is one language's readers. A line is asked, a line is the answer: for each
// reader the addresses that it found, null where it refused the header.
type program struct {
	name    string
	command []string
	needs   string // a file or command without which it cannot run
}

func programs() []program {
	return []program{
		{"Python", []string{"python3", "readers/reader.py"}, ""},
		{"Perl", []string{"/usr/bin/perl", "readers/reader.pl"}, "/usr/share/perl5/Mail/Address.pm"},
		{"Ruby", []string{"/usr/bin/ruby", "readers/reader.rb"}, "/usr/lib/ruby/vendor_ruby/mail.rb"},
		{"PHP", []string{"/usr/bin/php", "readers/reader.php"}, ""},
		{"Node", []string{"node", "readers/node/reader.mjs"}, "readers/node/node_modules"},
	}
}

// ask gives the jobs to a program. One that is not installed is left out, unless all are
// demanded.
func (p program) ask(t *testing.T, jobs []job) map[string][][]string {
	_, err := exec.LookPath(p.command[0])
	if err == nil && p.needs != "" {
		_, err = os.Stat(p.needs)
	}
	if err != nil {
		if os.Getenv("AUTHORS_ALL") != "" || p.name == "Python" || p.name == "Perl" {
			t.Fatalf("%s: %v: scripts/install-author-readers", p.name, err)
		}
		t.Logf("%s is not installed: %v", p.name, err)
		return nil
	}
	c := exec.CommandContext(t.Context(), p.command[0], p.command[1:]...)
	var said bytes.Buffer
	c.Stdin, c.Stderr = bytes.NewReader(lines(jobs)), &said
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", p.name, err, said.String())
	}
	answers := map[string][][]string{}
	rows := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(rows) != len(jobs) {
		t.Fatalf("%s answers %d of %d: %s", p.name, len(rows), len(jobs), said.String())
	}
	for _, row := range rows {
		var one map[string][]string
		if err := json.Unmarshal([]byte(row), &one); err != nil {
			t.Fatalf("%s: %q: %v", p.name, row, err)
		}
		for reader, found := range one {
			answers[reader] = append(answers[reader], found)
		}
	}
	return answers
}

// goReaders are those of Go, in this process.
func goReaders(jobs []job) map[string][][]string {
	answers := map[string][][]string{}
	for _, j := range jobs {
		var std, emersion []string
		if m, err := netmail.ReadMessage(bytes.NewReader(j.raw)); err == nil {
			for _, value := range m.Header[nettextproto.CanonicalMIMEHeaderKey(j.Name)] {
				list, err := netmail.ParseAddressList(value)
				for _, a := range list {
					if err == nil {
						std = append(std, a.Address)
					}
				}
			}
		}
		if th, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(j.raw))); err == nil {
			h := gomail.Header{}
			h.Header.Header = th
			if list, err := h.AddressList(j.Name); err == nil {
				for _, a := range list {
					emersion = append(emersion, a.Address)
				}
			}
		}
		answers["go net/mail"] = append(answers["go net/mail"], std)
		answers["go go-message"] = append(answers["go go-message"], emersion)
	}
	return answers
}
