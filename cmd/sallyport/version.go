package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
)

type versionCommand struct{ jsonFlag }

// Run prints the version.
func (v versionCommand) Run(_ context.Context, c console) error {
	if v.JSON {
		return printJSON(c.out, struct {
			Version string `json:"version"`
			Go      string `json:"go"`
		}{version(), runtime.Version()})
	}
	c.printf("sallyport %s, %s\n", version(), runtime.Version())
	return nil
}

// shownRevision is how many characters tell one commit from others, as git says it.
const shownRevision = 12

// version returns what the Go tool noted when it built the program.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), shownRevision)]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " with changes"
		}
	}
	switch {
	case info.Main.Version != "" && info.Main.Version != "(devel)":
		return info.Main.Version
	case revision != "":
		return revision + changed
	}
	return "development"
}

// program is how this program can be started again.
func program() string {
	path, err := os.Executable()
	if err != nil {
		return "sallyport"
	}
	return path
}
