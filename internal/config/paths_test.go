package config

import (
	"fmt"
	"slices"
	"testing"
)

const pathsText = `# A server.
hostname = "mx.example.org"   # data = "no"
data = '/var/lib/sallyport'
[listen]
mx = ["127.0.0.1:25"]
[tls]
cert = "tls/chain.pem" # ours
key  = "/etc/ssl/private/a \"key\".pem"
[maildir]
root = "/home/mail"
[domain."example.org"]
deliver = "maildir"
[route."remote.test"]
to = "smtp://127.0.0.1:2626"
ca = "ca.pem"
password_file = "cred"
user = "us"
tls = "required"
`

func TestPathsAreFoundAndMoved(t *testing.T) {
	paths, err := Paths("/etc/sallyport/sallyport.toml", []byte(pathsText))
	if err != nil {
		t.Fatal(err)
	}
	want := []PathAt{
		{"data", "/var/lib/sallyport"}, {"tls.cert", "/etc/sallyport/tls/chain.pem"}, {"tls.key", `/etc/ssl/private/a "key".pem`},
		{"maildir.root", "/home/mail"}, {"route.remote.test.ca", "/etc/sallyport/ca.pem"}, {"route.remote.test.password_file", "/etc/sallyport/cred"},
	}
	if !slices.Equal(paths, want) {
		t.Errorf("found %+v", paths)
	}
	to := map[string]string{}
	for i, p := range paths {
		to[p.Key] = fmt.Sprintf("new/\"%d\\", i)
	}
	moved, err := Relocate("/x/sallyport.toml", []byte(pathsText), to)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("/x/sallyport.toml", moved)
	if err != nil {
		t.Fatalf("%v\n%s", err, moved)
	}
	if c.Data != `/x/new/"0\` || c.TLS.Cert != `/x/new/"1\` || c.Maildir.Root != `/x/new/"3\` || c.Routes[0].PasswordFile != `/x/new/"5\` {
		t.Errorf("it reads %+v\n%s", c, moved)
	}
	same, err := Relocate("/x/sallyport.toml", []byte(pathsText), nil)
	if err != nil || string(same) != pathsText {
		t.Errorf("nothing moved, and the text is %q, %v", same, err)
	}
	if _, err := Paths("x", []byte("data = ")); err == nil {
		t.Error("what is no TOML has paths")
	}
}
