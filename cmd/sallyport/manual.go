package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sallyport/internal/kit/words"
)

type manualCommand struct {
	Dir string `arg:"" type:"path" help:"The folder, such as /usr/share/man/man1."`
}

// Help says what comes of it.
func (manualCommand) Help() string {
	return `The packages install them. There is a page for the program, and one for each of its
commands: man sallyport, man sallyport-queue.`
}

// Run writes the man pages.
func (m manualCommand) Run(c console) error {
	root, err := pages()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(m.Dir, 0o755); err != nil {
		return err
	}
	all := append([]*page{root}, root.below...)
	for _, p := range all {
		name := strings.Join(append([]string{"sallyport"}, p.path...), "-") + ".1"
		if err := os.WriteFile(filepath.Join(m.Dir, name), []byte(manualOf(p, root)), 0o644); err != nil {
			return err
		}
	}
	c.printf("wrote %s to %s\n", words.Count(len(all), "page"), m.Dir)
	return nil
}

// manualOf is the man page of the program or of one of its commands.
func manualOf(p, root *page) string {
	var b strings.Builder
	title := strings.ReplaceAll(p.name(), " ", "-")
	fmt.Fprintf(&b, ".TH %s 1 \"\" sallyport \"sallyport\"\n.SH NAME\n%s \\- %s\n", strings.ToUpper(title),
		title, rest(strings.TrimSuffix(p.help, ".")))
	b.WriteString(".SH SYNOPSIS\n")
	for _, s := range p.leaves() {
		fmt.Fprintf(&b, ".B %s\n%s\n.br\n", text(s.name()), text(s.usage()))
	}
	if p == root {
		b.WriteString(".SH COMMANDS\n")
		for _, c := range p.below {
			fmt.Fprintf(&b, ".TP\n.B %s\n%s See\n.BR sallyport-%s (1).\n", text(c.path[0]), text(c.help), rest(c.path[0]))
		}
	} else {
		describe(&b, p)
	}
	b.WriteString(".SH EXIT STATUS\n0 when all is well, 1 when something is wrong or was not found, 2 when the command was not\nunderstood.\n")
	b.WriteString(".SH ENVIRONMENT\n.TP\n.B SALLYPORT_CONFIG\nThe configuration, where \\-c names none.\n.TP\n.B NO_COLOR\nSet to anything: no colours on a terminal.\n")
	if p != root {
		b.WriteString(".SH SEE ALSO\n.BR sallyport (1)\n")
	} else {
		b.WriteString(".SH FILES\n.TP\n.I " + text(defaultConfig) + "\nThe configuration. Its keys are explained in /usr/share/doc/sallyport.\n")
	}
	return b.String()
}

// describe writes what a command and those below it do.
func describe(b *strings.Builder, p *page) {
	b.WriteString(".SH DESCRIPTION\n" + text(p.help) + "\n")
	for _, c := range p.all() {
		if len(c.below) > 0 {
			continue
		}
		if c != p {
			fmt.Fprintf(b, ".SS %s\n%s\n", text(c.name()), text(c.help))
		}
		for _, a := range c.args {
			fmt.Fprintf(b, ".TP\n.I %s\n%s\n", text(a.name), text(a.help))
		}
		for _, f := range c.flags {
			name := f.name
			if f.short != "" {
				name = f.short + ", " + name
			}
			if f.value != "" {
				name += "=" + strings.Trim(f.value, `"`)
			}
			fmt.Fprintf(b, ".TP\n.B %s\n%s\n", text(name), text(f.help))
		}
		if c.detail != "" {
			b.WriteString(filled(c.detail))
		}
	}
}

// filled writes paragraphs as such, and examples line by line.
func filled(detail string) string {
	var b strings.Builder
	asIs := false
	b.WriteString(".PP\n")
	for line := range strings.SplitSeq(detail, "\n") {
		if example := strings.HasPrefix(line, " "); example != asIs {
			asIs = example
			b.WriteString(map[bool]string{true: ".nf\n", false: ".fi\n"}[asIs])
		}
		if line == "" {
			b.WriteString(".PP\n")
			continue
		}
		b.WriteString(text(line) + "\n")
	}
	if asIs {
		b.WriteString(".fi\n")
	}
	return b.String()
}

// leaves are the commands that do something, at or below the page.
func (p *page) leaves() []*page {
	if len(p.path) == 0 {
		return []*page{{help: p.help, args: []argOf{{name: "COMMAND ..."}}}}
	}
	var out []*page
	for _, c := range p.all() {
		if len(c.below) == 0 {
			out = append(out, c)
		}
	}
	return out
}

func (p *page) usage() string {
	var words []string
	for _, a := range p.args {
		words = append(words, a.name)
	}
	if len(p.flags) > 0 {
		words = append(words, "[flags]")
	}
	return strings.Join(words, " ")
}

// text is a text as groff takes it: no line of it is a request, and its hyphens are those
// of a command line.
func text(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		l = rest(l)
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			l = `\&` + l
		}
		lines[i] = l
	}
	return strings.Join(lines, "\n")
}

// rest is text within a line.
func rest(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(s)
}
