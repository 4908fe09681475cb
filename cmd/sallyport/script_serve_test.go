package main

import (
	"context"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sallyport/internal/config"
	"sallyport/internal/kit/pki"
	"sallyport/internal/operate"
)

// scriptServing starts a server on a configuration of the script's own and waits
// until it serves; halt ends it. It sets MX, SUBMISSION and SUBMISSIONS to the first
// address of each door, and SALLYPORT_CONFIG.
func scriptServing(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: serving CONFIG [FLAG...]")
	}
	path := ts.MkAbs(args[0])
	s := serverOf(ts)
	s.cmd = scriptCommand(ts, context.Background(), append([]string{"sallyport", "serve", "-c", path}, args[1:]...))
	s.stderr.Reset()
	s.cmd.Stderr = &s.stderr
	ts.Check(s.cmd.Start())
	running := s.cmd.Process
	ts.Defer(func() { _ = running.Kill() })
	place, err := config.Locate(path)
	ts.Check(err)
	for range 300 {
		time.Sleep(100 * time.Millisecond)
		// Without a server, status would open the data folder itself, and be in its way.
		if _, err := os.Stat(place.Socket()); err != nil {
			continue
		}
		out, err := scriptCommand(ts, context.Background(), []string{"sallyport", "status", "--json", "-c", path}).Output()
		var status operate.Status
		if err == nil && json.Unmarshal(out, &status) == nil && status.Server != nil {
			for door, at := range status.Server.Listen {
				if len(at) > 0 {
					ts.Setenv(strings.ToUpper(door), at[0])
				}
			}
			ts.Setenv("SALLYPORT_CONFIG", path)
			return
		}
	}
	_ = running.Kill()
	_ = s.cmd.Wait()
	ts.Fatalf("no server on %s:\n%s", path, s.stderr.String())
}

// scriptCertificate writes a certificate for mx.local.test and its key, which began some
// days ago and lasts 396.
func scriptCertificate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: certificate CERT KEY DAYS-AGO")
	}
	days, err := strconv.Atoi(args[2])
	ts.Check(err)
	names, from := pki.Names{Hosts: []string{"mx.local.test"}}, time.Now().AddDate(0, 0, -days)
	ca, err := pki.NewAuthority("test", names, from)
	ts.Check(err)
	cert, key, err := ca.Issue(names, from)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), cert, 0o644))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), key, 0o600))
}
