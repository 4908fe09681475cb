package main

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// page is what there is to know of one command: the one source of its man page and of the
// completion of shells. Help is written from the same grammar.
type page struct {
	path   []string // below the program: "queue", "ls"
	help   string
	detail string
	flags  []flagOf
	args   []argOf
	below  []*page
}

type flagOf struct {
	name   string
	short  string // "": none
	value  string // what stands for its value; "": it takes none
	help   string
	values []string // the only ones; none: any
}

type argOf struct {
	name, help string
	values     []string // the only ones; none: any
}

// name is the command as it is typed.
func (p *page) name() string { return strings.Join(append([]string{"sallyport"}, p.path...), " ") }

// pages reads the whole grammar.
func pages() (*page, error) {
	parser, err := grammar(commands())
	if err != nil {
		return nil, err
	}
	return pageOf(parser.Model.Node, nil), nil
}

func pageOf(n *kong.Node, path []string) *page {
	p := &page{path: path, help: n.Help, detail: n.Detail}
	for _, f := range n.Flags {
		if f.Hidden {
			continue
		}
		flag := flagOf{name: "--" + f.Name, help: f.Help}
		if f.Short != 0 {
			flag.short = "-" + string(f.Short)
		}
		if f.Tag != nil && f.Tag.Negatable != "" {
			flag.name = "--[no-]" + f.Name
		}
		if !f.IsBool() {
			flag.value = f.FormatPlaceHolder()
		}
		if flag.values = choice(f.Enum); flag.values != nil {
			flag.value = strings.Join(flag.values, "|")
		}
		p.flags = append(p.flags, flag)
	}
	for _, a := range n.Positional {
		p.args = append(p.args, argOf{a.Summary(), a.Help, choice(a.Enum)})
	}
	for _, c := range n.Children {
		if !c.Hidden {
			p.below = append(p.below, pageOf(c, append(slices.Clone(path), c.Name)))
		}
	}
	return p
}

// choice reads the values of an enumeration; nil where there is none.
func choice(enum string) []string {
	var out []string
	for s := range strings.SplitSeq(enum, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// all returns the page and those below it, each before its own.
func (p *page) all() []*page {
	out := []*page{p}
	for _, b := range p.below {
		out = append(out, b.all()...)
	}
	return out
}

// names returns every way in which the flag is written.
func (f flagOf) names() []string {
	out := []string{f.name}
	if rest, ok := strings.CutPrefix(f.name, "--[no-]"); ok {
		out = []string{"--" + rest, "--no-" + rest}
	}
	if f.short != "" {
		out = append(out, f.short)
	}
	return out
}

// takesFile reports whether the value of the flag is the name of a file or folder.
func (f flagOf) takesFile() bool {
	return slices.Contains([]string{"FILE", "DIR", "PATH", "FOLDER"}, strings.Trim(f.value, `"`))
}
