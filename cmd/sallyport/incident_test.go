package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/accounts"
	"sallyport/internal/incident"
	"sallyport/internal/incident/bundle"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/operate/migrate"
)

// Whoever looks at an incident is told whether somebody still reads the mailbox.
func TestAnIncidentSaysWhoReadsOn(t *testing.T) {
	alice, err := mail.ParseAddress("alice@local.test", mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	for readsOn, want := range map[bool]string{
		false: "is still delivered; it can neither sign in nor send. What next",
		true:  "is still delivered; it sends nothing, and programs that sign in with what was not revoked read on. What next",
	} {
		var out bytes.Buffer
		tellIncident(console{out: &out}, operate.IncidentShown{Incident: incident.Incident{Number: 7, State: incident.StateOpen, Account: alice}, ReadsOn: readsOn})
		if !strings.Contains(out.String(), want) {
			t.Errorf("read on %v:\n%s", readsOn, &out)
		}
	}
}

// What is printed to be given next can be pasted, whatever the address is.
func TestWhatIsNextCanBePasted(t *testing.T) {
	owner, err := mail.ParseAddress("o'brien@local.test", mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	tellIncident(console{out: &out}, operate.IncidentShown{Incident: incident.Incident{Number: 7, State: incident.StateOpen, Account: owner}})
	if want := `  sallyport account passwd 'o'\''brien@local.test' --generate `; !strings.Contains(out.String(), want) {
		t.Errorf("no %s in:\n%s", want, &out)
	}
}

// A configuration of Postfix is imported whole or not at all, so that the command can be given again.
func TestAnImportIsWholeOrNotThere(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "new.toml")
	// The second file is in a folder that is not there, and comes last.
	r := migrate.Result{Config: []byte("a"), Secrets: map[string]string{"one": "b", "z/two": "c"}}
	if err := writeImport(out, r); err == nil || !strings.Contains(err.Error(), "nothing was written") {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	delete(r.Secrets, "z/two")
	if err := writeImport(out, r); err != nil {
		t.Error(err)
	}
}

// Evidence is exported whole or not at all: a part of it is none, and would be in the way.
func TestEvidenceIsWholeOrNotThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "evidence")
	e := incidentExport{To: dir}
	if err := e.write([]bundle.File{{Name: "a", Data: []byte("1")}, {Name: "a/b", Data: []byte("2")}}); err == nil || !strings.Contains(err.Error(), "nothing was exported") {
		t.Errorf("%v", err)
	}
	if err := e.free(); err != nil {
		t.Errorf("the next attempt: %v", err)
	}
}

// Whoever may not write where a configuration is to be is told what helps; any other fault stays as it is.
func TestWhoMayNotWriteIsToldWhatHelps(t *testing.T) {
	if got := unwritable(fmt.Errorf("mkdir /etc/sallyport: %w", fs.ErrPermission)).Error(); !strings.HasSuffix(got, "run this as root, or name folders of your own with --dir and --data") {
		t.Errorf("%s", got)
	}
	if got := unwritable(fs.ErrClosed); got != fs.ErrClosed {
		t.Errorf("%v", got)
	}
}

// What is printed to be typed next works as it stands, also where a directory keeps the account's password.
func TestAnIncidentNamesTheWayToAnotherPassword(t *testing.T) {
	alice, err := mail.ParseAddress("alice@local.test", mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	for directory, want := range map[string]string{
		"":       "sallyport account passwd alice@local.test --generate",
		"people": "sallyport account passwd alice@local.test --directory",
	} {
		i := incident.Incident{Number: 7, State: incident.StateOpen, Account: alice, Directory: directory, Used: []string{accounts.TokenID}}
		var show, end bytes.Buffer
		tellIncident(console{out: &show}, operate.IncidentShown{Incident: i})
		if err := (incidentArg{}).tell(console{out: &end}, operate.IncidentEnd{Incident: i}, nil); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(show.String(), "at the OpenID provider, first") {
			t.Errorf("what a token needs is not said:\n%s", &show)
		}
		for what, text := range map[string]string{"show": show.String(), "purge": end.String()} {
			if !strings.Contains(text, want) || directory != "" && !strings.Contains(text, "changed in the directory "+directory) {
				t.Errorf("%s, directory %q:\n%s", what, directory, text)
			}
		}
	}
}
