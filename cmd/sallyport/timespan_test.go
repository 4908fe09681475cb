package main

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// Every command that takes a length of time takes it as all others and the
// configuration do.
func TestEveryDurationIsReadAlike(t *testing.T) {
	parser, err := grammar(commands())
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, leaf := range parser.Model.Leaves(false) {
		for _, f := range leaf.Flags {
			if f.Target.Type() == reflect.TypeFor[time.Duration]() {
				t.Errorf("%s --%s is read by another parser", leaf.Path(), f.Name)
			}
			if f.PlaceHolder != "DURATION" && f.PlaceHolder != "WHEN" {
				continue
			}
			found++
			command := strings.TrimPrefix(leaf.Path(), "sallyport ")
			for _, text := range []string{"3d", "1w2d", "1d12h", "90m"} {
				if err := understood(command + " --" + f.Name + " " + text); err != nil {
					t.Errorf("%s --%s %s: %v", command, f.Name, text, err)
				}
			}
			for _, text := range []string{"3", "-1h", "yesterday"} {
				if err := understood(command + " --" + f.Name + "=" + text); err == nil {
					t.Errorf("%s --%s %s is taken", command, f.Name, text)
				}
			}
		}
	}
	if found < 3 {
		t.Errorf("only %d flags found", found)
	}
}
