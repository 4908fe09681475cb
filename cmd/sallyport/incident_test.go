package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
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

// Whoever may not write where a configuration is to be is told what helps; any other fault stays as it is.
func TestWhoMayNotWriteIsToldWhatHelps(t *testing.T) {
	if got := unwritable(fmt.Errorf("mkdir /etc/sallyport: %w", fs.ErrPermission)).Error(); !strings.HasSuffix(got, "run this as root, or name folders of your own with --dir and --data") {
		t.Errorf("%s", got)
	}
	if got := unwritable(fs.ErrClosed); got != fs.ErrClosed {
		t.Errorf("%v", got)
	}
}
