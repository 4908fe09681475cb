package config

import (
	"bytes"
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// PathAt is a file or folder that a configuration names.
type PathAt struct {
	Key  string // as in Config.At: "tls.cert"
	Path string // absolute, or relative as the configuration's own path is
}

// Paths returns every file and folder that the text of a configuration names, in the
// order of the text, without looking whether they exist. It reads past faults other
// than those of TOML itself.
func Paths(file string, text []byte) ([]PathAt, error) {
	s := &source{file: file, text: text}
	nodes := s.pathNodes()
	if nodes == nil && len(s.faults) > 0 {
		return nil, s.faults
	}
	var all []PathAt
	for _, n := range nodes {
		p := n.text
		if !filepath.IsAbs(p) {
			p = filepath.Join(filepath.Dir(file), p)
		}
		all = append(all, PathAt{n.path, p})
	}
	return all, nil
}

// Relocate returns the text of a configuration with other files and folders: to says
// what stands for a key of Paths. Everything else, comments too, stays as it is.
func Relocate(file string, text []byte, to map[string]string) ([]byte, error) {
	s := &source{file: file, text: text}
	nodes := s.pathNodes()
	if nodes == nil && len(s.faults) > 0 {
		return nil, s.faults
	}
	var out bytes.Buffer
	at := 0
	for _, n := range nodes {
		path, ok := to[n.path]
		if !ok {
			continue
		}
		out.Write(text[at:n.at.offset])
		out.WriteString(basicString(path))
		at = n.at.offset + n.at.length
	}
	out.Write(text[at:])
	return out.Bytes(), nil
}

// pathNodes returns the values of keys that name a path, in the order of the text.
func (s *source) pathNodes() []*node {
	root := s.parseTree()
	if root == nil {
		return nil
	}
	var found []*node
	var walk func(n *node)
	walk = func(n *node) {
		if n.kind == unstable.String && isPathKey(n.path) {
			found = append(found, n)
		}
		for _, name := range n.names {
			walk(n.children[name])
		}
	}
	walk(root)
	slices.SortFunc(found, func(a, b *node) int { return cmp.Compare(a.at.offset, b.at.offset) })
	return found
}

// isPathKey reports whether a key of a file is one whose documentation says that it
// names a path; NAME in the documentation stands for any name.
func isPathKey(path string) bool {
	return slices.ContainsFunc(Keys(), func(k Key) bool {
		if k.Type != TypePath {
			return false
		}
		before, after, named := strings.Cut(k.Path, ".NAME.")
		if !named {
			return k.Path == path
		}
		rest, ok := strings.CutPrefix(path, before+".")
		return ok && strings.HasSuffix(rest, "."+after) && len(rest) > len(after)+1
	})
}

// basicString writes a text as TOML does between double quotes.
func basicString(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			const hex = "0123456789abcdef"
			b.WriteString(`\u00`)
			b.WriteByte(hex[r>>4])
			b.WriteByte(hex[r&15])
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
