package migrate

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// masterOf imports a master.cf alone.
func masterOf(text []byte) (of []Verdict) {
	r := Import(Source{Main: []byte("smtpd_tls_cert_file = /c\nvirtual_transport = dovecot\nmynetworks = 10.0.0.0/8\n"), MainFile: "main.cf", Master: text, MasterFile: "master.cf", Dir: "/etc/postfix", Host: "host.example",
		Read: func(string) ([]byte, error) { return nil, os.ErrNotExist }})
	for _, v := range r.Lines {
		if v.File == "master.cf" {
			of = append(of, v)
		}
	}
	return of
}

// Every service and every setting of its own has a verdict, with its line.
func TestMasterVerdicts(t *testing.T) {
	text, err := os.ReadFile("testdata/services/master.cf")
	if err != nil {
		t.Fatal(err)
	}
	want := `
3 smtp/inet carried over
4 submission/inet carried over
4 submission -o syslog_name not needed
4 submission -o smtpd_tls_security_level not needed
4 submission -o smtpd_recipient_restrictions could not be carried over
4 submission -o smtpd_milters could not be carried over
10 smtps/inet carried over
10 smtps -o smtpd_tls_wrappermode not needed
12 127.0.0.1:10025/inet could not be carried over
12 127.0.0.1:10025 -o content_filter not needed
13 pickup/unix carried over
14 smtp/unix not needed
15 dovecot/unix could not be carried over
17 policyd/unix could not be carried over
18 pump/inet could not be carried over
19 half a line could not be carried over
`
	var got strings.Builder
	for _, v := range masterOf(text) {
		fmt.Fprintf(&got, "%d %s %s\n", v.Line, v.What, v.Word)
		if v.File != "master.cf" || v.Text == "" {
			t.Errorf("%+v says too little", v)
		}
	}
	if got.String() != strings.TrimPrefix(want, "\n") {
		t.Errorf("got\n%s", got.String())
	}
}

// Whatever stands in master.cf: every logical line has a verdict at its place.
func FuzzMaster(f *testing.F) {
	text, err := os.ReadFile("testdata/services/master.cf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add("smtp inet n - y - - smtpd -o { a = b c } -oq=r")
	f.Add("smtp inet n - y - - smtpd -o {")
	f.Fuzz(func(t *testing.T, in string) {
		seen := map[int]bool{}
		for _, v := range masterOf([]byte(in)) {
			seen[v.Line] = true
		}
		for _, l := range logicalLines(in) {
			if !seen[l.number] {
				t.Fatalf("line %d has no verdict", l.number)
			}
		}
	})
}
