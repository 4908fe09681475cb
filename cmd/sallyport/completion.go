package main

import (
	"fmt"
	"slices"
	"strings"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help shows examples.
func (completionCommand) Help() string {
	return `The packages install it for all users. For one shell alone:

  source <(sallyport completion bash)
  source <(sallyport completion zsh)
  sallyport completion fish | source`
}

// Run writes what a shell needs to complete our command lines.
func (k completionCommand) Run(c console) error {
	root, err := pages()
	if err != nil {
		return err
	}
	switch k.Shell {
	case "bash":
		c.lines(completeBash(root))
	case "zsh":
		c.lines(completeZsh(root))
	default:
		c.lines(completeFish(root))
	}
	return nil
}

// offer is one word that may come next, and what it means.
type offer struct{ word, help string }

// offers are the words that may follow the command: those below it, its arguments where
// there is a choice, and its flags.
func (p *page) offers() []offer {
	var out []offer
	for _, a := range p.args {
		for _, v := range a.values {
			out = append(out, offer{v, a.help})
		}
	}
	for _, b := range p.below {
		out = append(out, offer{b.path[len(b.path)-1], b.help})
	}
	for _, f := range p.flags {
		for _, name := range f.names() {
			out = append(out, offer{name, f.help})
		}
	}
	return out
}

// completeBash is a function that follows the words before the cursor through the grammar,
// and offers what may come next.
func completeBash(root *page) string {
	var walk, values, words strings.Builder
	for _, p := range root.all() {
		at := strings.Join(p.path, " ")
		var next []string
		for _, o := range p.offers() {
			next = append(next, o.word)
		}
		fmt.Fprintf(&words, "\t%s) words=%s ;;\n", quoted(at), quoted(strings.Join(next, " ")))
		if len(p.path) > 0 {
			fmt.Fprintf(&walk, "%s|", quoted(at))
		}
		for _, f := range p.flags {
			for _, name := range f.names() {
				switch {
				case f.takesFile():
					fmt.Fprintf(&values, "\t%s) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n", quoted(at+" "+name))
				case len(f.values) > 0:
					fmt.Fprintf(&values, "\t%s) COMPREPLY=($(compgen -W %s -- \"$cur\")); return ;;\n",
						quoted(at+" "+name), quoted(strings.Join(f.values, " ")))
				case f.value != "":
					fmt.Fprintf(&values, "\t%s) COMPREPLY=(); return ;;\n", quoted(at+" "+name))
				}
			}
		}
	}
	return `# bash completion for sallyport, written by: sallyport completion bash
_sallyport() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} at= next words= i
	# --flag=value is three words to bash.
	if [[ $cur == = ]]; then
		cur=
	elif [[ $prev == = ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		next=${at:+$at }${COMP_WORDS[i]}
		case "$next" in
		` + strings.TrimSuffix(walk.String(), "|") + `) at=$next ;;
		esac
	done
	compopt -o filenames 2>/dev/null
	case "$at $prev" in
` + values.String() + `	esac
	case "$at" in
` + words.String() + `	esac
	compopt +o filenames 2>/dev/null
	COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _sallyport sallyport
`
}

// completeZsh does the same for zsh, with a word about each offer.
func completeZsh(root *page) string {
	var walk, values, words strings.Builder
	for _, p := range root.all() {
		at := strings.Join(p.path, " ")
		fmt.Fprintf(&words, "\t%s) offers=(", quoted(at))
		for _, o := range p.offers() {
			words.WriteString(quoted(strings.ReplaceAll(o.word, ":", `\:`)+":"+firstSentence(o.help)) + " ")
		}
		words.WriteString(") ;;\n")
		if len(p.path) > 0 {
			fmt.Fprintf(&walk, "%s|", quoted(at))
		}
		for _, f := range p.flags {
			for _, name := range f.names() {
				switch {
				case f.takesFile():
					fmt.Fprintf(&values, "\t%s) _files; return ;;\n", quoted(at+" "+name))
				case len(f.values) > 0:
					fmt.Fprintf(&values, "\t%s) compadd -- %s; return ;;\n", quoted(at+" "+name), strings.Join(f.values, " "))
				case f.value != "":
					fmt.Fprintf(&values, "\t%s) _message %s; return ;;\n", quoted(at+" "+name), quoted(strings.Trim(f.value, `"`)))
				}
			}
		}
	}
	return `#compdef sallyport
# zsh completion for sallyport, written by: sallyport completion zsh
_sallyport() {
	local at= next i
	local -a offers
	for ((i = 2; i < CURRENT; i++)); do
		next=${at:+$at }${words[i]}
		case "$next" in
		` + strings.TrimSuffix(walk.String(), "|") + `) at=$next ;;
		esac
	done
	case "$at ${words[CURRENT - 1]}" in
` + values.String() + `	esac
	case "$at" in
` + words.String() + `	esac
	_describe sallyport offers || _files
}
if [ "$funcstack[1]" = _sallyport ]; then _sallyport "$@"; else compdef _sallyport sallyport; fi
`
}

// completeFish is one line for each word that may come next.
func completeFish(root *page) string {
	var b strings.Builder
	b.WriteString(`# fish completion for sallyport, written by: sallyport completion fish
function __sallyport_at
	set -l at
	for word in (commandline -opc)[2..-1]
		contains -- "$at $word" $__sallyport_commands; and set at "$at $word"
	end
	test "$at" = "$argv[1]"
end
complete -c sallyport -f
`)
	var all []string
	for _, p := range root.all()[1:] {
		all = append(all, quoted(" "+strings.Join(p.path, " ")))
	}
	fmt.Fprintf(&b, "set -g __sallyport_commands %s\n", strings.Join(all, " "))
	for _, p := range root.all() {
		at := ""
		if len(p.path) > 0 {
			at = " " + strings.Join(p.path, " ")
		}
		line := "complete -c sallyport -n " + quoted(`__sallyport_at "`+at+`"`)
		for _, c := range p.below {
			fmt.Fprintf(&b, "%s -a %s -d %s\n", line, c.path[len(c.path)-1], quoted(firstSentence(c.help)))
		}
		for _, a := range p.args {
			for _, v := range a.values {
				fmt.Fprintf(&b, "%s -a %s\n", line, v)
			}
		}
		for _, f := range p.flags {
			for _, name := range f.names() {
				fmt.Fprintf(&b, "%s%s -d %s\n", line, fishFlag(f, name), quoted(firstSentence(f.help)))
			}
		}
	}
	return b.String()
}

func fishFlag(f flagOf, name string) string {
	out := " -l " + strings.TrimPrefix(name, "--")
	if !strings.HasPrefix(name, "--") {
		out = " -s " + strings.TrimPrefix(name, "-")
	}
	switch {
	case f.takesFile():
		return out + " -r -F"
	case len(f.values) > 0:
		return out + " -x -a " + quoted(strings.Join(f.values, " "))
	case f.value != "":
		return out + " -x"
	}
	return out
}

// quoted is a word of any of the three shells.
func quoted(s string) string {
	return "'" + strings.NewReplacer("'", `'\''`).Replace(s) + "'"
}

// firstSentence is enough beside a word.
func firstSentence(s string) string {
	if i := slices.Index([]byte(s), '\n'); i >= 0 {
		s = s[:i]
	}
	if i := strings.Index(s, ". "); i >= 0 {
		s = s[:i]
	}
	return strings.TrimSuffix(s, ".")
}
