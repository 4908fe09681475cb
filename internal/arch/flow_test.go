package arch

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	flowFile = "../../docs/flow.md"
	// flowTable begins the part of the map that is written from the packages' comments.
	flowTable = "\n## Every folder\n\n"
	flowWords = "Each package says itself what it does; `go test ./internal/arch -update` writes it down here.\n\n| folder | what it does |\n|---|---|\n"
)

// The map has every folder once, in the words of its package comment, and names none that
// is not there.
func TestTheMapIsWhole(t *testing.T) {
	rooms := readRooms(t)
	about := synopses(t)
	var b strings.Builder
	b.WriteString(flowTable + flowWords)
	for _, room := range slices.Sorted(maps.Keys(rooms)) {
		if about[room] == "" {
			t.Errorf("%s has no package comment that says in a sentence what it does", room)
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", room, about[room])
	}
	text := read(t, flowFile)
	story, _, _ := strings.Cut(text, flowTable)
	if *update {
		if err := os.WriteFile(flowFile, []byte(story+b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		text = story + b.String()
	}
	if text != story+b.String() {
		t.Error("docs/flow.md is behind the code: run go test ./internal/arch -update")
	}
	tops := map[string]bool{}
	for room := range rooms {
		top, _, _ := strings.Cut(room, "/")
		tops[top] = true
	}
	for _, m := range regexp.MustCompile("`([a-z]+/[a-z0-9/]+)`").FindAllStringSubmatch(story, -1) {
		top, _, _ := strings.Cut(m[1], "/")
		if _, ok := rooms[m[1]]; !ok && tops[top] {
			t.Errorf("docs/flow.md names %s, which is no folder", m[1])
		}
	}
}

// synopses returns the first sentence of each room's package comment, from its verb on.
func synopses(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, s := range sources(t) {
		if s.file.Doc == nil {
			continue
		}
		text := strings.Join(strings.Fields(s.file.Doc.Text()), " ")
		for _, head := range []string{"Package " + s.file.Name.Name + " ", "Command sallyport ", "Command hijackeval "} {
			if rest, ok := strings.CutPrefix(text, head); ok {
				sentence, _, _ := strings.Cut(rest+" ", ". ")
				out[s.room] = strings.TrimSuffix(strings.ReplaceAll(strings.NewReplacer("[", "", "]", "").Replace(sentence), "|", "\\|"), ".") + "."
			}
		}
	}
	return out
}
