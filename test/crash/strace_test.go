package crash

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// call is one system call of a trace by `strace -f -yy`: where it began and where
// it ended, counted in lines. A call that nothing interrupted has one line.
type call struct {
	name       string
	args       string // as strace prints them; the first is fd<path>
	result     string
	start, end int
}

// target returns the path, or the socket, that strace names for the first argument.
func (c call) target() string {
	_, rest, ok := strings.Cut(c.args, "<")
	if !ok {
		return ""
	}
	if i := strings.Index(rest, ">, "); i >= 0 {
		return rest[:i]
	}
	return strings.TrimSuffix(rest, ">")
}

// isWrite reports whether the call hands octets to the kernel.
func (c call) isWrite() bool {
	switch c.name {
	case "write", "pwrite64", "writev", "pwritev", "sendto", "sendmsg":
		return true
	}
	return false
}

// isSync reports whether the call promises durability of a file, and succeeded.
func (c call) isSync() bool {
	return (c.name == "fsync" || c.name == "fdatasync") && c.result == "0"
}

// maxTraceLine bounds a line of the trace: -s bounds the strings in it.
const maxTraceLine = 4 << 20

// parseTrace reads the output of `strace -f`. Lines have the form
//
//	PID call(args) = result
//	PID call(args <unfinished ...>
//	PID <... call resumed>args) = result
//
// Others (signals, exits) are skipped. A call that never ends is not returned.
func parseTrace(r io.Reader) ([]call, error) {
	var calls []call
	open := map[string]call{} // by process
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxTraceLine)
	for n := 0; sc.Scan(); n++ {
		pid, rest, ok := strings.Cut(sc.Text(), " ")
		if !ok {
			continue
		}
		rest = strings.TrimLeft(rest, " ")
		if after, resumed := strings.CutPrefix(rest, "<... "); resumed {
			c, ok := open[pid]
			if !ok {
				continue // begun before the trace
			}
			delete(open, pid)
			_, tail, ok := strings.Cut(after, " resumed>")
			if !ok {
				return nil, fmt.Errorf("line %d: %q", n+1, rest)
			}
			calls = append(calls, c.finish(tail, n))
			continue
		}
		name, args, ok := strings.Cut(rest, "(")
		if !ok || strings.ContainsAny(name, " +-") {
			continue
		}
		c := call{name: name, start: n}
		if begun, unfinished := strings.CutSuffix(args, " <unfinished ...>"); unfinished {
			c.args = begun
			open[pid] = c
			continue
		}
		calls = append(calls, c.finish(args, n))
	}
	return calls, sc.Err()
}

// finish adds the rest of a line to a call.
func (c call) finish(tail string, line int) call {
	args, result := tail, ""
	if i := strings.LastIndex(tail, ") = "); i >= 0 {
		args, result = tail[:i], tail[i+4:]
	} else if i := strings.LastIndex(tail, " = "); i >= 0 {
		// strace aligns short calls: "fsync(3</x>)        = 0"
		args, result = strings.TrimSuffix(strings.TrimRight(tail[:i], " "), ")"), tail[i+3:]
	}
	c.args += strings.TrimSuffix(strings.TrimRight(args, " "), ")")
	c.result, c.end = result, line
	return c
}
