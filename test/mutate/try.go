package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// reached is what one test runs through, and how long it takes.
type reached struct {
	test   string
	took   time.Duration
	blocks map[string][][2]place // by the name of the file
}

// covers says whether the test comes to the site. Where the profile has no block, as
// around the conditions of a switch, coming into the function is enough.
func (r reached) covers(s *site, known [][2]place) bool {
	at := place{s.line, s.column}
	within := func(b [2]place) bool { return !at.before(b[0]) && at.before(b[1]) }
	mine := r.blocks[filepath.Base(s.file.path)]
	if slices.ContainsFunc(known, within) {
		return slices.ContainsFunc(mine, within)
	}
	return slices.ContainsFunc(mine, func(b [2]place) bool { return !b[0].before(s.body[0]) && b[0].before(s.body[1]) })
}

// coverage runs every test of the package by itself.
func coverage(ctx context.Context, p *source, dir string) ([]reached, error) {
	binary := filepath.Join(dir, "covered.test")
	if out, err := run(ctx, "go", "test", "-c", "-vet=off", "-cover", "-o", binary, p.path); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	list, err := command(ctx, p, binary, 0, "-test.list", ".").Output()
	if err != nil {
		return nil, err
	}
	var all []reached
	for name := range strings.Lines(string(list)) {
		if name = strings.TrimSpace(name); strings.HasPrefix(name, "Benchmark") {
			continue
		}
		profile := filepath.Join(dir, "profile")
		began := time.Now()
		out, err := command(ctx, p, binary, 0, "-test.short", "-test.run", "^"+name+"$", "-test.coverprofile", profile).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%s fails as it is: %w\n%s", name, err, out)
		}
		r := reached{test: name, took: time.Since(began)}
		if r.blocks, err = blocks(profile, false); err != nil {
			return nil, err
		}
		if all == nil {
			// The first profile has every block of the package, reached or not.
			every, err := blocks(profile, true)
			if err != nil {
				return nil, err
			}
			all = append(all, reached{blocks: every})
		}
		all = append(all, r)
	}
	return all, nil
}

var profileLine = regexp.MustCompile(`^(.*):(\d+)\.(\d+),(\d+)\.(\d+) \d+ (\d+)$`)

// blocks reads a profile: the blocks that were run, or all.
func blocks(profile string, all bool) (map[string][][2]place, error) {
	text, err := os.ReadFile(profile)
	if err != nil {
		return nil, err
	}
	found := map[string][][2]place{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		m := profileLine.FindStringSubmatch(lines.Text())
		if m == nil || !all && m[6] == "0" {
			continue
		}
		var b [2]place
		if _, err := fmt.Sscan(strings.Join(m[2:6], " "), &b[0].line, &b[0].column, &b[1].line, &b[1].column); err != nil {
			return nil, err
		}
		name := path.Base(m[1])
		found[name] = append(found[name], b)
	}
	return found, lines.Err()
}

// verdict is what became of a mutant.
type verdict int

const (
	survived verdict = iota
	unreached
	noticed
	hung
)

type result struct {
	site    *site
	verdict verdict
}

// try runs the tests against every mutant.
func try(ctx context.Context, p *source, binary string, reach []reached, o options) []result {
	var (
		wait    sync.WaitGroup
		lock    sync.Mutex
		results []result
		work    = make(chan *site)
	)
	for range o.parallel {
		wait.Go(func() {
			for s := range work {
				r := result{s, one(ctx, p, binary, reach, s, o)}
				if o.sample > 1 && (r.verdict == survived || r.verdict == unreached) && ctx.Err() == nil {
					fmt.Fprintf(os.Stderr, "%s:%d: %s\n", s.file.name, s.line, s.what)
				}
				lock.Lock()
				results = append(results, r)
				lock.Unlock()
			}
		})
	}
	for n, s := range p.sites {
		if n%max(1, o.sample) == o.offset%max(1, o.sample) && !s.takenOut && (o.only == nil || o.only.MatchString(fmt.Sprintf("%s:%d", s.file.name, s.line))) {
			work <- s
		}
	}
	close(work)
	wait.Wait()
	return results
}

// one tries one mutant with the tests that reach it, the quickest first.
func one(ctx context.Context, p *source, binary string, reach []reached, s *site, o options) verdict {
	var mine []reached
	var long time.Duration
	for _, r := range reach[1:] {
		if r.covers(s, reach[0].blocks[filepath.Base(s.file.path)]) {
			mine = append(mine, r)
			long += r.took
		}
	}
	if len(mine) == 0 {
		return unreached
	}
	slices.SortFunc(mine, func(a, b reached) int { return cmp.Compare(a.took, b.took) })
	// One run for the quick half of the time, one for the rest: most mutants end in
	// the first.
	var quick, rest []string
	var spent time.Duration
	for _, r := range mine {
		if spent += r.took; spent <= long/4 {
			quick = append(quick, r.test)
		} else {
			rest = append(rest, r.test)
		}
	}
	for _, tests := range [][]string{quick, rest} {
		if len(tests) == 0 {
			continue
		}
		if v := against(ctx, p, binary, s, tests, max(o.timeout, 5*long)); v != survived {
			return v
		}
	}
	return survived
}

func against(ctx context.Context, p *source, binary string, s *site, tests []string, limit time.Duration) verdict {
	ctx, cancel := context.WithTimeout(ctx, limit+5*time.Second)
	defer cancel()
	args := []string{"-test.short", "-test.failfast", "-test.timeout", limit.String(), "-test.run", "^(" + strings.Join(tests, "|") + ")$"}
	if p.rapid {
		args = append(args, "-rapid.shrinktime", "1ms", "-rapid.nofailfile")
	}
	out, err := command(ctx, p, binary, s.id, args...).CombinedOutput()
	switch {
	case err == nil:
		return survived
	case errors.Is(ctx.Err(), context.DeadlineExceeded), bytes.Contains(out, []byte("panic: test timed out")):
		return hung
	}
	return noticed
}

func command(ctx context.Context, p *source, binary string, mutant int, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, binary, args...)
	c.Dir = p.dir
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%d", variable, mutant))
	// What a killed test started may keep its output open.
	c.WaitDelay = time.Second
	return c
}
