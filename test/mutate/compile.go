package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// variable names the environment variable that says which mutant is in force.
const variable = "SALLYPORT_MUTANT"

// helpers is the file that every mutated package gets.
const helpers = `package %s

import ("os"; "strconv")

var mutant__ = func() int { n, _ := strconv.Atoi(os.Getenv("` + variable + `")); return n }()

type number__ interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr | ~float32 | ~float64
}

func less__[T number__](m int, a, b T) bool { return a < b || mutant__ == m && a == b }
func most__[T number__](m int, a, b T) bool { return a < b || mutant__ != m && a == b }
func more__[T number__](m int, a, b T) bool { return a > b || mutant__ == m && a == b }
func least__[T number__](m int, a, b T) bool { return a > b || mutant__ != m && a == b }
func sum__[T number__](m int, a, b T) T { if mutant__ == m { return a - b }; return a + b }
func difference__[T number__](m int, a, b T) T { if mutant__ == m { return a + b }; return a - b }
func product__[T number__](m int, a, b T) T { if mutant__ == m { return a / b }; return a * b }
func quotient__[T number__](m int, a, b T) T { if mutant__ == m { return a * b }; return a / b }
func wire__[T any](m int, v T) T { if mutant__ == m { return *new(T) }; return v }
`

var (
	fault    = regexp.MustCompile(`(?m)^(\S+?\.go):(\d+):\d+: (.*)$`)
	attempts = 20
)

// compile writes the package with all its mutants and builds its tests. Sites on
// lines that don't compile are taken out, and it is tried again.
func compile(ctx context.Context, p *source, dir string) (string, error) {
	binary := filepath.Join(dir, "mutants.test")
	for range attempts {
		overlay, err := write(p, dir)
		if err != nil {
			return "", err
		}
		// -gcflags=-e prints all faults at once.
		out, err := run(ctx, "go", "test", "-c", "-vet=off", "-gcflags=-e", "-overlay", overlay, "-o", binary, p.path)
		if err == nil {
			return binary, nil
		}
		if takeOut(p, out) == 0 {
			return "", fmt.Errorf("the mutants don't compile: %w\n%s", err, out)
		}
	}
	return "", errors.New("the mutants don't compile")
}

// takeOut marks the sites on the lines that the compiler complains of, and counts them.
func takeOut(p *source, out []byte) (n int) {
	for _, m := range fault.FindAllSubmatch(out, -1) {
		line, _ := strconv.Atoi(string(m[2]))
		for _, s := range p.sites {
			if !s.takenOut && s.line == line && filepath.Base(s.file.path) == filepath.Base(string(m[1])) {
				s.takenOut = true
				n++
			}
		}
	}
	p.dropped += n
	return n
}

// write writes the overlay and returns its path.
func write(p *source, dir string) (string, error) {
	replace := map[string]string{filepath.Join(p.dir, "zz_mutant.go"): filepath.Join(dir, "zz_mutant.go")}
	if err := os.WriteFile(filepath.Join(dir, "zz_mutant.go"), fmt.Appendf(nil, helpers, p.name), 0o600); err != nil {
		return "", err
	}
	for i, f := range p.files {
		path := filepath.Join(dir, fmt.Sprintf("%d.go", i))
		replace[f.path] = path
		if err := os.WriteFile(path, f.mutated(), 0o600); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o600)
}

// mutated returns the file with every mutant in it.
func (f *file) mutated() []byte {
	inserts := slices.DeleteFunc(slices.Clone(f.inserts), func(i insert) bool { return i.site.takenOut })
	slices.SortStableFunc(inserts, func(a, b insert) int {
		if c := cmp.Compare(a.at, b.at); c != 0 {
			return c
		}
		if a.closing != b.closing {
			if a.closing {
				return -1
			}
			return 1
		}
		if a.closing {
			return cmp.Compare(b.order, a.order)
		}
		return cmp.Compare(a.order, b.order)
	})
	var out bytes.Buffer
	done := 0
	for _, i := range inserts {
		out.Write(f.text[done:i.at])
		out.WriteString(i.text)
		done = i.at + i.instead
	}
	out.Write(f.text[done:])
	return out.Bytes()
}

// run runs a command and returns all that it printed.
func run(ctx context.Context, name string, args ...string) ([]byte, error) {
	return exec.CommandContext(ctx, name, args...).CombinedOutput()
}
