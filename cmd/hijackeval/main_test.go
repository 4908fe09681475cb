package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/hijack/replay"
)

// A log is replayed, and told as a table and as JSON; what is no log or no threshold is
// an error that says where.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	log := write("log", "# a log\na b 1000\na c 1000\nb a 2000\n\na b 90000\n")
	try := func(args ...string) (string, error) {
		o, err := parse(args, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err = run(o, &out)
		return out.String(), err
	}
	if out, err := try("-edges", log, "-waves", "0"); err != nil || !strings.Contains(out, "3 messages, 4 deliveries, 2 accounts") {
		t.Errorf("%v: %s", err, out)
	}
	out, err := try("-edges", log, "-waves", "0", "-json")
	var r replay.Report
	if err != nil || json.Unmarshal([]byte(out), &r) != nil || r.Honest.Messages != 3 || r.Params.Odds != 1e4 {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := try("-people", "5", "-days", "3", "-waves", "1"); err != nil || !strings.Contains(out, "honest people") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := try("-edges", log, "-waves", "0", "-week"); err != nil || !strings.Contains(out, "first week of 20 made-up sites of 50 people") || !strings.Contains(out, "new           20-an-hour") {
		t.Errorf("%v: %s", err, out)
	}
	odds := write("odds", `{"Odds": 500}`)
	if out, err := try("-edges", log, "-waves", "0", "-json", "-params", odds); err != nil || !strings.Contains(out, `"Odds": 500`) {
		t.Errorf("%v: %s", err, out)
	}
	for name, args := range map[string][]string{
		"line 2":         {"-edges", write("bad", "a b 1\na b\n")},
		"no such file":   {"-edges", filepath.Join(dir, "none")},
		"unknown field":  {"-edges", log, "-params", write("unknown", `{"Odd": 1}`)},
		"bad parameters": {"-edges", log, "-params", write("low", `{"Odds": 1}`)},
	} {
		if _, err := try(args...); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, args := range [][]string{{"-people", "0"}, {"x"}, {"-nothing"}, {"-waves", "-1"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}
