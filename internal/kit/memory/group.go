package memory

import (
	"bytes"
	"os"
	"path"
	"strconv"
	"strings"
)

// noLimit is from which number of octets on a limit is none: control groups of the first version
// say the largest number of whole pages where nobody set one.
const noLimit = 1 << 62

// hierarchy is what control groups say, in one of the two versions that the kernel has: of the
// process's own group and of those above it, as far as they are seen from here.
type hierarchy struct {
	dirs   []string // the process's own first
	limits []figure
	kernel []figure
}

// figure is where a number of octets stands: the whole of a file, or behind a word in it.
type figure struct{ file, word string }

// first and second are what the versions call the same. hierarchical_memory_limit is the least of
// all groups above, also of those that a container does not see.
func first(dirs []string) hierarchy {
	return hierarchy{
		dirs, []figure{{"memory.limit_in_bytes", ""}, {"memory.stat", "hierarchical_memory_limit"}},
		[]figure{{"memory.kmem.usage_in_bytes", ""}},
	}
}

func second(dirs []string) hierarchy {
	return hierarchy{dirs, []figure{{"memory.max", ""}, {"memory.high", ""}}, []figure{{"memory.stat", "kernel"}, {"memory.stat", "sock"}}}
}

// groups finds the control groups of a process for memory, by its membership (/proc/self/cgroup)
// and by what is mounted where (/proc/self/mountinfo). A hybrid host has both versions mounted, and
// memory in one of them: the other has no figures.
func groups(membership, mounts string) []hierarchy {
	text, err := os.ReadFile(membership)
	if err != nil {
		return nil
	}
	mounted, err := os.ReadFile(mounts)
	if err != nil {
		return nil
	}
	var all []hierarchy
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[0] == "0":
			all = append(all, second(dirsOf(string(mounted), "cgroup2", "", parts[2])))
		case listed(parts[1], "memory"):
			all = append(all, first(dirsOf(string(mounted), "cgroup", "memory", parts[2])))
		}
	}
	return all
}

// dirsOf returns the folders of a group and of those above it, where the first file system of its
// kind, with an option ("": any), is mounted.
func dirsOf(mounts, kind, option, own string) []string {
	for line := range strings.Lines(mounts) {
		// proc_pid_mountinfo(5): id, parent, device, root, mount point, options, optional
		// fields, a hyphen, file system, source, its options.
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		m, fs := strings.Fields(before), strings.Fields(after)
		if !ok || len(m) < 5 || len(fs) < 3 || fs[0] != kind || option != "" && !listed(fs[2], option) {
			continue
		}
		return upward(plain(m[4]), plain(m[3]), own)
	}
	return nil
}

// upward returns the folder of a group, and those above it up to where root is mounted. A container
// may have a part mounted that its own name does not begin with: then that part is what it sees.
func upward(mount, root, own string) []string {
	rest, below := strings.CutPrefix(path.Clean("/"+own), strings.TrimSuffix(path.Clean(root), "/"))
	if !below || rest != "" && rest[0] != '/' {
		rest = ""
	}
	var dirs []string
	for at := path.Clean("/" + rest); ; at = path.Dir(at) {
		dirs = append(dirs, path.Join(mount, at))
		if at == "/" {
			return dirs
		}
	}
}

// listed reports whether a word is in a list with commas.
func listed(list, word string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one == word {
			return true
		}
	}
	return false
}

// plain undoes the escapes of mountinfo.
func plain(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// least is the least that any of the groups is allowed; 0 if none says.
func least(all []hierarchy) int64 {
	least := int64(0)
	for _, g := range all {
		for _, dir := range g.dirs {
			for _, f := range g.limits {
				if v := f.read(dir); v > 0 && v < noLimit && (least == 0 || v < least) {
					least = v
				}
			}
		}
	}
	return least
}

// kernels is what the kernel holds for the process's own group: sockets, tables of pages, names of
// files; 0 if it does not say.
func kernels(all []hierarchy) int64 {
	sum := int64(0)
	for _, g := range all {
		if len(g.dirs) == 0 {
			continue
		}
		for _, f := range g.kernel {
			sum += f.read(g.dirs[0])
		}
	}
	return sum
}

// read returns the number; 0 if there is none.
func (f figure) read(dir string) int64 {
	text, err := os.ReadFile(path.Join(dir, f.file))
	if err != nil {
		return 0
	}
	if f.word == "" {
		return number(bytes.TrimSpace(text))
	}
	for line := range bytes.Lines(text) {
		if word, value, ok := bytes.Cut(bytes.TrimSpace(line), []byte(" ")); ok && string(word) == f.word {
			return number(value)
		}
	}
	return 0
}

// number reads octets; "max", and what is no number, is 0.
func number(b []byte) int64 {
	v, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return 0
	}
	return v
}
