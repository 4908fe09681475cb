package main

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sallyport/internal/config"
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
