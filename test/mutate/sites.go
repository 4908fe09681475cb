package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// source is a package and the places where it can be changed.
type source struct {
	path, dir, name string
	files           []*file
	sites           []*site
	rapid           bool // its tests take the flags of pgregory.net/rapid
	dropped         int  // sites that don't compile
}

// file is one file of a package, and the text to put into it.
type file struct {
	path, name string // name is relative to the working directory
	text       []byte
	inserts    []insert
}

// insert is a text that goes before the octet at, and takes the place of as many.
type insert struct {
	at, instead int
	text        string
	order       int // an outer wrap has a lower number than what it holds
	closing     bool
	site        *site
}

// site is one mutant.
type site struct {
	id       int // the value of the environment variable that puts it in force
	file     *file
	line     int
	column   int
	body     [2]place // the function around it
	what     string
	takenOut bool // it doesn't compile
}

// place is a line and a column, as coverage profiles have them.
type place struct{ line, column int }

func (p place) before(q place) bool {
	return p.line < q.line || p.line == q.line && p.column < q.column
}

// load reads a package, with types, and finds its sites: of wires alone, or of all else.
func load(pattern string, wires bool) (*source, error) {
	set := token.NewFileSet()
	loaded, err := packages.Load(&packages.Config{Fset: set, Mode: packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports | packages.NeedDeps},
		pattern)
	if err != nil {
		return nil, err
	}
	if len(loaded) != 1 || len(loaded[0].Errors) > 0 || len(loaded[0].GoFiles) == 0 {
		return nil, fmt.Errorf("%d packages, %v", len(loaded), loaded[0].Errors)
	}
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	p := &source{path: loaded[0].PkgPath, name: loaded[0].Name, dir: filepath.Dir(loaded[0].GoFiles[0])}
	for i, tree := range loaded[0].Syntax {
		f := &file{path: loaded[0].GoFiles[i]}
		if f.text, err = os.ReadFile(f.path); err != nil {
			return nil, err
		}
		if f.name, err = filepath.Rel(here, f.path); err != nil {
			return nil, err
		}
		p.files = append(p.files, f)
		s := &seeker{source: p, file: f, set: set, info: loaded[0].TypesInfo, imports: tree.Imports, wires: wires}
		for _, d := range tree.Decls {
			if d, ok := d.(*ast.FuncDecl); ok && d.Body != nil {
				s.body = [2]place{s.place(d.Body.Lbrace), s.place(d.Body.End())}
				s.results = d.Type.Results
				ast.Walk(s, d.Body)
			}
		}
	}
	tests, err := filepath.Glob(filepath.Join(p.dir, "*_test.go"))
	for _, t := range tests {
		text, err := os.ReadFile(t)
		if err != nil {
			return nil, err
		}
		p.rapid = p.rapid || strings.Contains(string(text), `"pgregory.net/rapid"`)
	}
	return p, err
}

// seeker walks through one function.
type seeker struct {
	*source
	file    *file
	set     *token.FileSet
	info    *types.Info
	imports []*ast.ImportSpec // of the file
	wires   bool              // wires are looked for, and nothing else
	body    [2]place
	results *ast.FieldList
}

func (s *seeker) place(at token.Pos) place {
	p := s.set.Position(at)
	return place{p.Line, p.Column}
}

func (s *seeker) offset(at token.Pos) int { return s.set.Position(at).Offset }

func (s *seeker) text(n ast.Node) string {
	return string(s.file.text[s.offset(n.Pos()):s.offset(n.End())])
}

// add makes a site at n.
func (s *seeker) add(n ast.Node, format string, a ...any) *site {
	at := s.place(n.Pos())
	m := &site{id: len(s.sites) + 1, file: s.file, line: at.line, column: at.column, body: s.body, what: fmt.Sprintf(format, a...)}
	s.sites = append(s.sites, m)
	return m
}

// wrap puts texts around n for the site m.
func (s *seeker) wrap(m *site, n ast.Node, open, shut string) {
	order := len(s.file.inserts)
	s.file.inserts = append(s.file.inserts,
		insert{at: s.offset(n.Pos()), text: open, order: order, site: m},
		insert{at: s.offset(n.End()), text: shut, order: order, closing: true, site: m})
}

// Visit comes to outer nodes first, so that their texts go around those within.
func (s *seeker) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.FuncLit:
		inner := *s
		inner.results = n.Type.Results
		ast.Walk(&inner, n.Body)
		return nil
	case *ast.CompositeLit:
		if s.wires {
			s.handed(n)
		}
	}
	if !s.wires {
		return s.seek(n)
	}
	return s
}

// seek finds everything but wires.
func (s *seeker) seek(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.BlockStmt:
		s.block(n.List)
	case *ast.CommClause:
		s.block(n.Body)
	case *ast.CaseClause:
		s.block(n.Body)
	case *ast.SwitchStmt:
		if n.Tag == nil {
			for _, c := range n.Body.List {
				for _, e := range c.(*ast.CaseClause).List {
					s.condition(e, true)
				}
			}
		}
	case *ast.IfStmt:
		s.condition(n.Cond, true)
	case *ast.ForStmt:
		if n.Cond != nil {
			s.condition(n.Cond, false)
		}
	case *ast.BinaryExpr:
		s.binary(n)
	case *ast.GenDecl:
		if n.Tok == token.CONST {
			return nil
		}
	}
	return s
}

// condition makes e always false, and always true unless it would loop for ever.
func (s *seeker) condition(e ast.Expr, either bool) {
	if s.info.Types[e].Value != nil {
		return
	}
	if either {
		m := s.add(e, "condition always true")
		s.wrap(m, e, fmt.Sprintf("(mutant__ == %d || (", m.id), "))")
	}
	m := s.add(e, "condition always false")
	s.wrap(m, e, fmt.Sprintf("(mutant__ != %d && (", m.id), "))")
}

// functions are the names, in the helper file, of what stands for an operator.
var functions = map[token.Token][2]string{
	token.LSS: {"less__", "< becomes <="},
	token.LEQ: {"most__", "<= becomes <"},
	token.GTR: {"more__", "> becomes >="},
	token.GEQ: {"least__", ">= becomes >"},
	token.ADD: {"sum__", "+ becomes -"},
	token.SUB: {"difference__", "- becomes +"},
	token.MUL: {"product__", "* becomes /"},
	token.QUO: {"quotient__", "/ becomes *"},
}

func (s *seeker) binary(n *ast.BinaryExpr) {
	if s.info.Types[n].Value != nil {
		return
	}
	switch n.Op {
	case token.LAND, token.LOR:
		keep, joint := "(mutant__ == %d || (", "without its %s half (&&)"
		if n.Op == token.LOR {
			keep, joint = "(mutant__ != %d && (", "without its %s half (||)"
		}
		for i, e := range []ast.Expr{n.X, n.Y} {
			m := s.add(e, joint, []string{"first", "second"}[i])
			s.wrap(m, e, fmt.Sprintf(keep, m.id), "))")
		}
		return
	}
	f, known := functions[n.Op]
	if !known || !s.numbers(n) {
		return
	}
	m := s.add(n, "%s", f[1])
	// The line stays as long as it was in lines: the operator becomes the comma.
	s.wrap(m, n, fmt.Sprintf("%s(%d, ", f[0], m.id), ")")
	s.file.inserts = append(s.file.inserts, insert{
		at: s.offset(n.OpPos), instead: len(n.Op.String()), text: ",", order: len(s.file.inserts), site: m,
	})
}

// numbers says whether both sides of n are numbers of one type.
func (s *seeker) numbers(n *ast.BinaryExpr) bool {
	for _, e := range []ast.Expr{n.X, n.Y} {
		b, ok := s.info.TypeOf(e).Underlying().(*types.Basic)
		if !ok || b.Info()&types.IsNumeric == 0 || b.Info()&types.IsComplex != 0 {
			return false
		}
	}
	return true
}

// block takes out statements and changes what is returned.
func (s *seeker) block(list []ast.Stmt) {
	for _, n := range list {
		switch n := n.(type) {
		case *ast.ReturnStmt:
			s.returned(n)
		case *ast.ExprStmt:
			if !s.logs(n.X) {
				s.without(n)
			}
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE && !blank(n.Lhs) {
				s.without(n)
			}
		case *ast.IncDecStmt, *ast.SendStmt, *ast.DeferStmt, *ast.GoStmt:
			s.without(n)
		case *ast.BranchStmt:
			if n.Tok == token.CONTINUE || n.Tok == token.BREAK {
				s.without(n)
			}
		}
	}
}

func (s *seeker) without(n ast.Stmt) {
	m := s.add(n, "without `%s`", short(s.text(n)))
	s.wrap(m, n, fmt.Sprintf("if mutant__ != %d { ", m.id), " }")
}

func blank(list []ast.Expr) bool {
	return !slices.ContainsFunc(list, func(e ast.Expr) bool {
		i, ok := e.(*ast.Ident)
		return !ok || i.Name != "_"
	})
}

// logs says whether e writes a log line, or ends the control flow.
func (s *seeker) logs(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	if i, ok := call.Fun.(*ast.Ident); ok {
		return i.Name == "panic"
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	return ok && s.info.TypeOf(f.X) != nil && strings.HasSuffix(s.info.TypeOf(f.X).String(), "log/slog.Logger")
}

// returned returns zero values instead, and true for false.
func (s *seeker) returned(n *ast.ReturnStmt) {
	if len(n.Results) == 0 || s.results == nil {
		return
	}
	var zeros, flipped []string
	all, flip := true, false
	i := 0
	for _, f := range s.results.List {
		for range max(len(f.Names), 1) {
			zeros = append(zeros, "*new("+s.text(f.Type)+")")
			if len(n.Results) == s.results.NumFields() {
				text := s.text(n.Results[i])
				all = all && (zero(n.Results[i]) || s.zeroConstant(n.Results[i]))
				if text == "false" {
					flip, text = true, "true"
				}
				flipped = append(flipped, text)
			} else {
				all = false
			}
			i++
		}
	}
	if !all {
		m := s.add(n, "`%s` with zero values", short(s.text(n)))
		s.wrap(m, n, fmt.Sprintf("if mutant__ == %d { return %s }; ", m.id, strings.Join(zeros, ", ")), "")
	}
	if flip {
		m := s.add(n, "`%s` with true", short(s.text(n)))
		s.wrap(m, n, fmt.Sprintf("if mutant__ == %d { return %s }; ", m.id, strings.Join(flipped, ", ")), "")
	}
}

// zero says whether e is written as a zero value.
func zero(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "nil" || e.Name == "false"
	case *ast.BasicLit:
		return e.Value == "0" || e.Value == `""`
	case *ast.CompositeLit:
		return len(e.Elts) == 0
	}
	return false
}

// zeroConstant says whether e is a constant that is its type's zero value, by whatever name.
func (s *seeker) zeroConstant(e ast.Expr) bool {
	v := s.info.Types[e].Value
	if v == nil {
		return false
	}
	switch v.Kind() {
	case constant.Bool:
		return !constant.BoolVal(v)
	case constant.String:
		return constant.StringVal(v) == ""
	}
	return constant.Sign(v) == 0
}

// short is the first line of a text.
func short(text string) string {
	line, _, more := strings.Cut(text, "\n")
	if more {
		line += " …"
	}
	return strings.ReplaceAll(line, "\t", "")
}
