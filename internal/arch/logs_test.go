package arch

import (
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const logsFile = "../../docs/logs.md"

// Every key of a log line stands in docs/logs.md, and every one that stands there is
// used: whoever reads logs by program may rely on them.
func TestLogKeysAreDocumented(t *testing.T) {
	text, err := os.ReadFile(logsFile)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		listed[m[1]] = false
	}
	lines := 0
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			keys, isLog := logKeys(t, s, call)
			if isLog {
				lines++
			}
			for _, k := range keys {
				if _, ok := listed[k]; !ok {
					t.Errorf("%s: the key %q does not stand in docs/logs.md", s.at(n), k)
					continue
				}
				listed[k] = true
			}
			return true
		})
	}
	if lines < 60 {
		t.Errorf("only %d log lines found", lines)
	}
	for k, used := range listed {
		if !used {
			t.Errorf("docs/logs.md lists %q, which nothing logs", k)
		}
	}
}

// logKeys returns the keys of a call of a logger: Info("text", "key", value, …), also
// with a context before it.
func logKeys(t *testing.T, s source, call *ast.CallExpr) (keys []string, ok bool) {
	t.Helper()
	f, isMethod := call.Fun.(*ast.SelectorExpr)
	if !isMethod {
		return nil, false
	}
	name, withContext := strings.CutSuffix(f.Sel.Name, "Context")
	if !slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, name) && f.Sel.Name != "With" {
		return nil, false
	}
	args := call.Args
	if withContext && len(args) > 0 {
		args = args[1:]
	}
	if f.Sel.Name != "With" {
		if len(args) == 0 {
			return nil, false // an Error method of something else
		}
		args = args[1:]
	}
	if call.Ellipsis.IsValid() && len(args) > 0 {
		args = args[:len(args)-1] // gathered elsewhere, from pairs that are judged there
	}
	if len(args)%2 != 0 {
		if _, isText := args[0].(*ast.BasicLit); isText {
			t.Errorf("%s: a key without a value", s.at(call))
		}
		return nil, false
	}
	for i := 0; i < len(args); i += 2 {
		literal, isText := args[i].(*ast.BasicLit)
		if !isText {
			return nil, false
		}
		key, err := strconv.Unquote(literal.Value)
		if err != nil {
			return nil, false
		}
		keys = append(keys, key)
	}
	return keys, true
}
