package config

import (
	"sallyport/internal/directory"

	"strings"
	"testing"
)

// Every key belongs to the table that lists it, and every table is read from the list
// alone: an unknown key in it is a fault, and so is a table that is not in the list.
func TestTheListOfTablesIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, table := range tables() {
		if seen[table.name] || table.read == nil || len(table.keys) == 0 {
			t.Errorf("[%s] stands twice, or has no reader or no keys", table.name)
		}
		seen[table.name] = true
		for _, k := range table.keys {
			first, _, inTable := strings.Cut(k.Path, ".")
			if inTable && first != table.name || !inTable && table.name != "" && k.Path != table.name+".NAME" {
				t.Errorf("%s is listed in [%s]", k.Path, table.name)
			}
		}
		text := "[" + table.name + "]\nnot_a_key_at_all = 1\n"
		if table.name == "" {
			text = "not_a_key_at_all = 1\n"
		}
		if _, err := Parse("x.toml", []byte(text)); err == nil || !strings.Contains(err.Error(), "not_a_key_at_all") {
			t.Errorf("[%s] is not read: %v", table.name, err)
		}
		if table.name == "" {
			continue
		}
		if _, err := Parse("x.toml", []byte(table.name+" = 1\n")); err == nil || !strings.Contains(err.Error(), table.name+" must be a table") {
			t.Errorf("%s as a value: %v", table.name, err)
		}
	}
	if _, err := Parse("x.toml", []byte("[no_table_at_all]\n")); err == nil || !strings.Contains(err.Error(), "no_table_at_all: unknown key") {
		t.Errorf("a table that is not listed: %v", err)
	}
}

// A required key that is misspelt is one fault, and one that is not there at all is another.
func TestOneSlipIsOneFault(t *testing.T) {
	for text, want := range map[string]bool{"delivr = \"maildir\"\n": false, "nonsense_altogether = 1\n": true, "": true} {
		_, err := Parse("x.toml", []byte("[domain.\"b.example\"]\n"+text))
		if err == nil || strings.Contains(err.Error(), "domain.b.example.deliver: this key is missing") != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A domain and a route are found by their names, however the file writes them.
func TestWhereADomainStands(t *testing.T) {
	c := mustParse(t, minimal+"[domain.\"B\u00fcro.Example\"]\ndeliver = \"smtp://10.0.0.9\"\nrecipients = \"accounts\"\n[route.\"Far.Example\"]\nto = \"smtp://10.0.0.9\"\n")
	for _, s := range []directory.Subject{{Kind: directory.KindDomain, Name: "xn--bro-hoa.example"}, {Kind: directory.KindRoute, Name: "far.example"}} {
		if at, ok := c.Where(s); !ok || at.Line == 0 {
			t.Errorf("%v: %v, %v", s, at, ok)
		}
	}
	if at := c.At("domain.xn--bro-hoa.example.recipients"); at.Line == 0 {
		t.Errorf("a key of the domain stands at %v", at)
	}
}
