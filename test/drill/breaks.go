package drill

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// planted is one promise broken on purpose.
type planted struct {
	name, promise, about string
	edits                []edit
}

// edit replaces a text in a file of the source.
type edit struct{ file, old, fresh string }

// readBreaks reads breaks.txt.
func readBreaks(text string) (all []planted, err error) {
	var file string
	var now *planted
	for number, line := range strings.Split(text, "\n") {
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "== "):
			name, promise, ok := strings.Cut(line[3:], " ")
			if !ok {
				return nil, fmt.Errorf("line %d: a name and a promise", number+1)
			}
			all = append(all, planted{name: name, promise: promise})
			now, file = &all[len(all)-1], ""
		case now == nil:
			return nil, fmt.Errorf("line %d: before the first break", number+1)
		case strings.HasPrefix(line, "in "):
			file = line[3:]
		case line[0] == '-':
			last := len(now.edits) - 1
			if last < 0 || now.edits[last].file != file || now.edits[last].fresh != "" {
				now.edits = append(now.edits, edit{file: file})
				last++
			}
			now.edits[last].old += line[1:] + "\n"
		case line[0] == '+':
			now.edits[len(now.edits)-1].fresh += line[1:] + "\n"
		default:
			now.about = line
		}
	}
	return all, nil
}

// applied is a file of the source with every edit of a break.
func applied(root string, p planted) (map[string]string, error) {
	files := map[string]string{}
	for _, e := range p.edits {
		text, ok := files[e.file]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		// A last line may go on behind what is quoted of it.
		old, fresh := strings.TrimSuffix(e.old, "\n"), strings.TrimSuffix(e.fresh, "\n")
		if n := strings.Count(text, old); n != 1 {
			return nil, fmt.Errorf("%s: %s has %d times what is replaced:\n%s", p.name, e.file, n, e.old)
		}
		files[e.file] = strings.Replace(text, old, fresh, 1)
	}
	return files, nil
}

// overlay writes the changed files into dir and returns what go build -overlay takes.
func overlay(root, dir string, p planted) (string, error) {
	files, err := applied(root, p)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for name, text := range files {
		to := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, name)] = to
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o600)
}
