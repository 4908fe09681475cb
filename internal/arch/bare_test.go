package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const bareFile = "bare.txt"

// A number that bounds something has a name wherever it stands: it is a constant of its package or
// a field of its Limits, and so in docs/bounds.md. Taken for a bound is a number of 3 or more,
// alone or with others, or a length of time,
//
//   - that something is compared with by order;
//   - that min or max is given, with which something is made (make, a buffered or limited reader),
//     or that a parameter says to be a bound, by its name (boundWord);
//   - up to which a range counts;
//   - that is put into a field whose name says so, outside the defaults of a package;
//   - that a timer or a deadline is given;
//   - that is a constant of a function, where nobody finds it.
//
// None is what a text must have before it is taken apart (len(x) < 4 beside x[3]), a letter or a
// hexadecimal number, a code of a reply, a factor beside a name (2*l.Most), with what capacity
// something begins that grows, and a cut that no length decides (a part of a sum, a head of a
// form). What is neither, and yet has no name, stands in bare.txt with its reason.
func TestNoBoundIsBare(t *testing.T) {
	free := bareReasons(t)
	for _, b := range bareBounds(sources(t)) {
		if _, ok := free[b.in]; ok {
			free[b.in] = true
		} else {
			t.Errorf("%s: %s bounds something (%s): give it a name, or say in %s what it is in %s", b.at, b.value, b.as, bareFile, b.in)
		}
	}
	for in, used := range free {
		if !used {
			t.Errorf("%s: no number in %s looks like a bound any more", bareFile, in)
		}
	}
}

// Each kind of place in which a number bounds something is found, and each that only looks like one is not.
func TestBareBoundsAreFound(t *testing.T) {
	found := bareBounds([]source{parsedText(t, "bare", bareText)})
	have := map[string]bool{}
	for _, b := range found {
		have[strings.TrimPrefix(b.in, "bare/text.go:")] = true
	}
	for _, d := range parsedText(t, "bare", bareText).file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if want := strings.HasPrefix(f.Name.Name, "bare"); have[f.Name.Name] != want {
			t.Errorf("%s: found %v, want %v", f.Name.Name, have[f.Name.Name], want)
		}
	}
}

// bare is a number that bounds something and has no name.
type bare struct{ at, in, value, as string }

// bareReasons are the functions whose numbers need no name, as "path:function".
func bareReasons(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, line := range lines(t, bareFile) {
		in, reason, ok := strings.Cut(line, " | ")
		if !ok || reason == "" {
			t.Errorf("%s: %q has no reason", bareFile, line)
		}
		out[in] = false
	}
	return out
}

func bareBounds(all []source) (out []bare) {
	takers := boundParams(all)
	for _, s := range all {
		if s.room == "hijack/replay" || s.room == "store/conformance" || strings.HasSuffix(s.room, "test") {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				out = append(out, bareOf(s, f, takers)...)
			}
		}
	}
	return out
}

// bareOf are those of one function.
func bareOf(s source, f *ast.FuncDecl, takers map[string]map[int]bool) (out []bare) {
	inDefaults := strings.HasPrefix(f.Name.Name, "Default")
	apart := takenApart(s, f)
	note := func(e ast.Expr, as string) {
		if sum, ok := e.(*ast.BinaryExpr); ok && sum.Op == token.ADD && !literal(sum) && strings.HasPrefix(as, "put into") {
			e = sum.Y
		}
		if bareNumber(e) {
			out = append(out, bare{s.at(e), s.path + ":" + f.Name.Name, text(s, e), as})
		}
	}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			x, y, op := n.X, n.Y, n.Op
			if bareNumber(x) {
				x, y, op = y, x, turned(op)
			}
			if ordered(op) && !isCode(s, x) && !(isLength(x) && apart[text(s, x.(*ast.CallExpr).Args[0])] && (op == token.LSS || op == token.GEQ)) {
				note(y, "compared")
			}
		case *ast.RangeStmt:
			note(n.X, "counted up to")
		case *ast.CallExpr:
			for i, a := range n.Args {
				if as := given(s, n, i, takers); as != "" {
					note(a, as)
				}
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && !inDefaults && fieldWord(key.Name) {
				note(n.Value, "put into "+key.Name)
			}
		case *ast.AssignStmt:
			for i, l := range n.Lhs {
				if sel, ok := l.(*ast.SelectorExpr); ok && !inDefaults && len(n.Lhs) == len(n.Rhs) && fieldWord(sel.Sel.Name) {
					note(n.Rhs[i], "put into "+sel.Sel.Name)
				}
			}
		case *ast.GenDecl:
			if n.Tok == token.CONST {
				for _, spec := range n.Specs {
					for i, v := range spec.(*ast.ValueSpec).Values {
						if spec.(*ast.ValueSpec).Names[i].Name != "day" {
							note(v, "a constant of a function")
						}
					}
				}
				return false
			}
		}
		return true
	})
	return out
}

// given says what a call takes its i-th argument for, if that bounds something.
func given(s source, call *ast.CallExpr, i int, takers map[string]map[int]bool) string {
	of, name := called(call.Fun)
	if id, ok := call.Fun.(*ast.Ident); ok {
		of, name = "", id.Name
	}
	switch {
	case of == "" && name == "make":
		if i == 1 && (len(call.Args) == 2 && !isMap(call.Args[0])) {
			return "made with"
		}
		return ""
	case of == "" && (name == "min" || name == "max"):
		return "given to " + name
	case of == "" && takers[s.room+"."+name][i], of != "" && (takers[of+"/"+name][i] || takers["#"+name][i]):
		return "given to " + name
	}
	if slices.Contains([]string{"LimitReader", "NewReaderSize", "NewWriterSize", "MaxBytesReader", "Buffer", "SetLimit", "CopyN",
		"WithTimeout", "After", "AfterFunc", "NewTimer", "NewTicker", "Sleep", "Tick", "NewLRUClientSessionCache", "ReadN", "DialTimeout"}, name) {
		return "given to " + name
	}
	return ""
}

// boundParams are the parameters of the house's functions that are bounds by their names, by place:
// those of functions as "room.function" and "package/function", those of methods as "#method",
// since whose method is called the syntax does not say.
func boundParams(all []source) map[string]map[int]bool {
	out := map[string]map[int]bool{}
	for _, s := range all {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			at := 0
			for _, p := range f.Type.Params.List {
				for _, name := range p.Names {
					if boundWord(name.Name) {
						keys := []string{s.room + "." + f.Name.Name, s.file.Name.Name + "/" + f.Name.Name}
						if f.Recv != nil {
							keys = []string{"#" + f.Name.Name}
						}
						for _, key := range keys {
							if out[key] == nil {
								out[key] = map[int]bool{}
							}
							out[key][at] = true
						}
					}
					at++
				}
			}
		}
	}
	return out
}

// boundWord reports whether a parameter of this name is a bound.
func boundWord(name string) bool {
	return slices.Contains([]string{"most", "max", "limit", "bound", "within", "atMost", "atOnce", "octets", "timeout", "tries", "width", "least", "wait", "pause", "rate"},
		name) ||
		strings.HasPrefix(name, "max") || strings.HasPrefix(name, "most")
}

// fieldWord reports whether a field of this name is a bound.
func fieldWord(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"max", "most", "limit", "bound", "timeout", "octets", "bytes", "threshold", "depth", "idle", "retries", "atonce"}, func(w string) bool {
		return strings.Contains(name, w)
	})
}

// bareNumber reports whether an expression is a number of 3 or more, or a length of time, by itself.
func bareNumber(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		n, err := strconv.ParseFloat(strings.ReplaceAll(e.Value, "_", ""), 64)
		return (e.Kind == token.INT || e.Kind == token.FLOAT) && err == nil && n > 2 && !strings.HasPrefix(e.Value, "0x") && !strings.HasPrefix(e.Value, "0o")
	case *ast.ParenExpr:
		return bareNumber(e.X)
	case *ast.UnaryExpr:
		return e.Op == token.SUB && bareNumber(e.X)
	case *ast.BinaryExpr:
		return literal(e.X) && literal(e.Y) && (bareNumber(e.X) || bareNumber(e.Y))
	case *ast.CallExpr:
		id, ok := e.Fun.(*ast.Ident)
		return ok && len(e.Args) == 1 && slices.Contains([]string{"int", "int64", "uint32", "uint64", "float64"}, id.Name) && bareNumber(e.Args[0])
	case *ast.SelectorExpr:
		x, ok := e.X.(*ast.Ident)
		return ok && x.Name == "time" && slices.Contains([]string{"Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"}, e.Sel.Name)
	}
	return false
}

// literal reports whether an expression has no name in it but those of units.
func literal(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Kind == token.INT || e.Kind == token.FLOAT
	case *ast.ParenExpr:
		return literal(e.X)
	case *ast.UnaryExpr:
		return literal(e.X)
	case *ast.BinaryExpr:
		return literal(e.X) && literal(e.Y)
	}
	return bareNumber(e)
}

func ordered(op token.Token) bool {
	return slices.Contains([]token.Token{token.LSS, token.LEQ, token.GTR, token.GEQ}, op)
}

// turned is the operator of the same comparison with its sides changed.
func turned(op token.Token) token.Token {
	return map[token.Token]token.Token{token.LSS: token.GTR, token.LEQ: token.GEQ, token.GTR: token.LSS, token.GEQ: token.LEQ}[op]
}

// isCode reports whether an expression is the code of a reply.
func isCode(s source, e ast.Expr) bool {
	return slices.ContainsFunc([]string{"code", "status"}, func(w string) bool {
		return strings.HasSuffix(strings.ToLower(text(s, e)), w) || strings.HasSuffix(text(s, e), "StatusCode")
	})
}

func isLength(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok || len(call.Args) != 1 {
		return false
	}
	id, ok := call.Fun.(*ast.Ident)
	return ok && id.Name == "len"
}

func isMap(e ast.Expr) bool {
	_, ok := e.(*ast.MapType)
	return ok
}

// takenApart are the texts and lists of which a function takes single elements or parts.
func takenApart(s source, f *ast.FuncDecl) map[string]bool {
	out := map[string]bool{}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IndexExpr:
			out[text(s, n.X)] = true
		case *ast.SliceExpr:
			out[text(s, n.X)] = true
		case *ast.CallExpr:
			if _, name := called(n.Fun); slices.Contains([]string{"Uint16", "Uint32", "Uint64"}, name) && len(n.Args) == 1 {
				out[text(s, n.Args[0])] = true
			}
		}
		return true
	})
	return out
}

// parsedText is a source that is written out here.
func parsedText(t *testing.T, room, code string) source {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "text.go", code, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return source{path: room + "/text.go", room: room, file: file, fset: fset}
}

// bareText has a bound without a name in each function that is called bare, and none in the others.
const bareText = `package bare

import "time"

func bareCompared(s string) bool            { return len(s) > 200 }
func bareTurned(s string) bool              { return 1<<10 <= len(s) }
func bareSwitched(n int) bool               { switch { case n >= 4096: return true }; return false }
func bareLooped() (n int)                   { for i := 0; i < 5; i++ { n += i }; return n }
func bareRanged() (n int)                   { for range 7 { n++ }; return n }
func bareTook(d time.Duration) bool         { return d > time.Minute }
func bareLeast(s string) bool               { return len(s) < 8 }
func bareCut(s string) string               { return s[:min(len(s), 80)] }
func bareRead(r io.Reader) io.Reader        { return io.LimitReader(r, 1<<20) }
func bareBuffered(r io.Reader) io.Reader    { return bufio.NewReaderSize(r, 64<<10) }
func bareChannel() chan int                 { return make(chan int, 64) }
func bareBuffer() []byte                    { return make([]byte, 4096) }
func bareWaited() <-chan time.Time          { return time.After(3 * time.Second) }
func bareUnit()                             { time.Sleep(time.Second) }
func bareGiven(s string) string             { return fineShown(s, 200) }
func bareKept() server                      { return server{MaxHeaderBytes: 8 << 10} }
func bareAdded(l *limits, most int)         { l.HeaderOctets = most + 64<<10 }
func bareSet(s *server)                     { s.ReadTimeout = 5 * time.Second }
func bareInside(s string) bool              { const most = 40; return len(s) > most }

func fineShown(s string, max int) string    { return s[:min(len(s), max)] }
func fineApart(s string) bool               { return len(s) < 4 || s[3] == ' ' }
func fineSecond(s string) bool              { return len(s) >= 2 }
func fineNamed(s string) bool               { return len(s) > mostOctets }
func fineFactor(l limits) bool              { return l.Have > 3*l.Most/4 }
func fineLetter(c byte) bool                { return c < 0x20 || c > '~' }
func fineCode(r reply) bool                 { return r.Code >= 500 && r.StatusCode < 600 }
func fineSum(sum []byte) []byte             { return sum[:16] }
func fineGrows(n int) []byte                { return make([]byte, 0, 64) }
func fineCounted(list []string) bool        { return len(list) == 3 }
func fineBase(s string) (uint64, error)     { return strconv.ParseUint(s, 10, 64) }
func DefaultServer() server                 { return server{MaxHeaderBytes: 8 << 10, ReadTimeout: 5 * time.Second} }
`
