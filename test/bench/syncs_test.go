package main

import (
	"strings"
	"testing"
)

// What strace writes of servers of different make: calls whole and in two pieces, several
// processes, replies of other connections, and what only looks like a reply or a sync.
func TestASyncMustEndBetweenThe354AndThe250(t *testing.T) {
	const socket = `<socket:[77]>`
	for _, c := range []struct {
		name  string
		trace []string
		want  syncSample
	}{
		{"whole", []string{
			`10 write(9` + socket + `, "354 go a"..., 37) = 37`,
			`11 fdatasync(7</q/log>) = 0`,
			`10 write(9` + socket + `, "250 2.0."..., 37) = 37`,
		}, syncSample{Messages: 1, Covered: 1, Files: 1}},
		{"by another process, in two pieces, of a folder too", []string{
			`10 sendto(9` + socket + `, "354 go a"..., 37, 0, NULL, 0) = 37`,
			`11 fsync(7</q/1> <unfinished ...>`,
			`10 write(3<pipe:[5]>, "250 OK\r\n", 8) = 8`,
			`11 <... fsync resumed>)               = 0`,
			`12 fsync(8</q>)                       = 0`,
			`10 writev(9` + socket + `, [{iov_base="250 2.0."..., iov_len=40}], 1) = 40`,
		}, syncSample{Messages: 1, Covered: 1, Files: 1, Folders: 1}},
		{"too late", []string{
			`10 write(9` + socket + `, "354 go a"..., 37) = 37`,
			`11 fsync(7</q/1> <unfinished ...>`,
			`10 write(9` + socket + `, "250 2.0."..., 37) = 37`,
			`11 <... fsync resumed>)               = 0`,
		}, syncSample{Messages: 1, Files: 1}},
		{"too early", []string{
			`11 fsync(7</q/1>)                     = 0`,
			`10 write(9` + socket + `, "354 go a"..., 37) = 37`,
			`10 write(9` + socket + `, "250 2.0."..., 37) = 37`,
		}, syncSample{Messages: 1, Files: 1}},
		{"failed", []string{
			`10 write(9` + socket + `, "354 go a"..., 37) = 37`,
			`11 fdatasync(7</q/log>)               = -1 EIO (Input/output error)`,
			`10 write(9` + socket + `, "250 2.0."..., 37) = 37`,
		}, syncSample{Messages: 1}},
		{"of two connections, one each", []string{
			`10 write(9<socket:[1]>, "354 go a"..., 37) = 37`,
			`11 fdatasync(7</q/log>)               = 0`,
			`10 write(9<socket:[1]>, "250 2.0."..., 37) = 37`,
			`10 write(8<socket:[2]>, "354 go a"..., 37) = 37`,
			`10 write(9<socket:[1]>, "250 2.1."..., 37) = 37`,
			`10 write(8<socket:[2]>, "250 2.0."..., 37) = 37`,
		}, syncSample{Messages: 2, Covered: 1, Files: 1}},
		{"refused", []string{
			`10 write(9` + socket + `, "354 go a"..., 37) = 37`,
			`10 write(9` + socket + `, "451 4.3."..., 37) = 37`,
		}, syncSample{}},
	} {
		got := judge(strings.Join(c.trace, "\n")+"\n", func(path string) bool { return path == "/q" })
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
