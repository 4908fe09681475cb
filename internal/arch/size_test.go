package arch

import (
	"strconv"
	"strings"
	"testing"
)

// How large the root may be, and how many rooms one may need. docs/decisions/0191 has the figures and
// what they were. Each may only be lowered; a later topic may add its one import to the root's.
const (
	maxRootLines   = 1000
	maxRootImports = 25
	maxImports     = 25  // of one room, but for those in sizesFile
	maxMeanImports = 3.9 // of all rooms but node and those beneath it, kit and cmd
	sizesFile      = "imports.txt"
)

// The root lists, orders and wires, and no room needs half of the house.
func TestTheHouseIsLoose(t *testing.T) {
	size, imports := 0, map[string]map[string]bool{}
	for _, s := range sources(t) {
		if s.room == "node" {
			size += s.fset.File(s.file.FileStart).LineCount()
		}
		if imports[s.room] == nil {
			imports[s.room] = map[string]bool{}
		}
		for _, imp := range s.file.Imports {
			if inner, ours := strings.CutPrefix(strings.Trim(imp.Path.Value, `"`), module+"/"); ours {
				imports[s.room][inner] = true
			}
		}
	}
	if n := len(imports["node"]); n > maxRootImports || size > maxRootLines {
		t.Errorf("node imports %d rooms and has %d lines; at most %d and %d: a topic is a room of its own", n, size, maxRootImports, maxRootLines)
	}
	allowed := readSizes(t)
	sum, counted := 0, 0
	for room, of := range imports {
		top, _, _ := strings.Cut(room, "/")
		if top != "node" && top != "kit" && top != "cmd" && top != "arch" {
			sum, counted = sum+len(of), counted+1
		}
		if most := max(maxImports, allowed[room]); len(of) > most && top != "cmd" {
			t.Errorf("%s imports %d rooms; at most %d", room, len(of), most)
		}
		if _, named := allowed[room]; named && len(of) <= maxImports {
			t.Errorf("%s stands in %s and no longer needs to", room, sizesFile)
		}
	}
	mean := float64(sum) / float64(counted)
	t.Logf("node: %d lines, %d imports; %d rooms import %.2f others in the mean", size, len(imports["node"]), counted, mean)
	if mean > maxMeanImports {
		t.Errorf("a room imports %.2f others in the mean; at most %.2f", mean, maxMeanImports)
	}
}

func readSizes(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, line := range lines(t, sizesFile) {
		number, room, ok := strings.Cut(line, " ")
		n, err := strconv.Atoi(number)
		if !ok || err != nil {
			t.Fatalf("%s: %q", sizesFile, line)
		}
		out[room] = n
	}
	return out
}
