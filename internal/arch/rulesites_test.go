package arch

import (
	"go/ast"
	"go/token"
	"strings"
	"testing"
)

// ruleConstants returns the rules that a file declares, by the name of the constant: those that are
// called Rule or RuleX and have a text of their own. One that is another room's under a name of
// this room has none.
func ruleConstants(s source) map[string]*ast.BasicLit {
	out := map[string]*ast.BasicLit{}
	for _, d := range s.file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			for i, name := range v.Names {
				if i >= len(v.Values) || !strings.HasPrefix(name.Name, "Rule") {
					continue
				}
				if lit, ok := v.Values[i].(*ast.BasicLit); ok && ruleWord.MatchString(lit.Value) {
					out[name.Name] = lit
				}
			}
		}
	}
	return out
}

// declaredRules are where constants have their texts.
func declaredRules(t *testing.T) map[*ast.BasicLit]bool {
	out := map[*ast.BasicLit]bool{}
	for _, s := range sources(t) {
		for _, lit := range ruleConstants(s) {
			out[lit] = true
		}
	}
	return out
}

// usedNames are the constants that code outside of their declaration names, as "room.name".
func usedNames(t *testing.T) map[string]bool {
	out, rooms := map[string]bool{}, map[string][]string{} // the rooms of a package's name
	for _, s := range sources(t) {
		rooms[s.file.Name.Name] = append(rooms[s.file.Name.Name], s.room)
	}
	for _, s := range sources(t) {
		var use func(n ast.Node) bool
		use = func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec: // its own names are declared here
				for _, v := range n.Values {
					ast.Inspect(v, use)
				}
				return false
			case *ast.SelectorExpr:
				x, of := n.X.(*ast.Ident)
				if of {
					for _, room := range rooms[x.Name] {
						out[room+"."+n.Sel.Name] = true
					}
				}
				return !of
			case *ast.Ident:
				out[s.room+"."+n.Name] = true
			}
			return true
		}
		ast.Inspect(s.file, use)
	}
	return out
}

// called is the name of a function or a type, and whose it is; "" for one of the same package, "?"
// where that is no name.
func called(e ast.Expr) (of, name string) {
	switch e := e.(type) {
	case *ast.Ident:
		return "", e.Name
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok {
			return x.Name, e.Sel.Name
		}
		return "?", e.Sel.Name
	}
	return "", ""
}

// place is where among the parameters of functions of a name, or the fields of structs of a name, a
// room has the rule.
type place struct {
	room  string
	index int
}

// rulePlaces are those of all functions and of all structs, by name.
func rulePlaces(t *testing.T) (functions, structs map[string][]place) {
	functions, structs = map[string][]place{}, map[string][]place{}
	note := func(in map[string][]place, name, room string, l *ast.FieldList) {
		for i, p := range ruleNames(l) {
			if p {
				in[name] = append(in[name], place{room, i})
			}
		}
	}
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				note(functions, n.Name.Name, s.room, n.Type.Params)
			case *ast.AssignStmt:
				for i, r := range n.Rhs {
					if lit, ok := r.(*ast.FuncLit); ok && i < len(n.Lhs) {
						if id, ok := n.Lhs[i].(*ast.Ident); ok {
							note(functions, id.Name, s.room, lit.Type.Params)
						}
					}
				}
			case *ast.TypeSpec:
				if st, ok := n.Type.(*ast.StructType); ok {
					note(structs, n.Name.Name, s.room, st.Fields)
				}
			}
			return true
		})
	}
	return functions, structs
}

// ruleNames says of each name of a list whether it is a rule, by its name or its type.
func ruleNames(l *ast.FieldList) (out []bool) {
	if l == nil {
		return nil
	}
	for _, f := range l.List {
		typed, _ := f.Type.(*ast.Ident)
		is := typed != nil && typed.Name == "Rule"
		if len(f.Names) == 0 {
			out = append(out, is)
		}
		for _, n := range f.Names {
			out = append(out, is || isRule(n))
		}
	}
	return out
}

// isRule reports whether an expression is called rule.
func isRule(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return strings.EqualFold(e.Name, "rule")
	case *ast.SelectorExpr:
		return strings.EqualFold(e.Sel.Name, "rule")
	}
	return false
}

// ruleSites returns every text of a file that is a rule by where it stands: the value of a
// constant, field, variable, parameter or result of that name or type, what is compared with one,
// and what is returned beside a reply.
func ruleSites(s source, functions, structs map[string][]place) (out []*ast.BasicLit) {
	add := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && ruleWord.MatchString(lit.Value) {
			out = append(out, lit)
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			ruleResults(n.Type, n.Body, add)
		case *ast.FuncLit:
			ruleResults(n.Type, n.Body, add)
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if i < len(n.Values) && strings.HasPrefix(strings.ToLower(name.Name), "rule") {
					add(n.Values[i])
				}
			}
		case *ast.KeyValueExpr:
			if isRule(n.Key) {
				add(n.Value)
			}
		case *ast.AssignStmt:
			for i, l := range n.Lhs {
				if len(n.Lhs) == len(n.Rhs) && isRule(l) {
					add(n.Rhs[i])
				}
			}
		case *ast.BinaryExpr:
			if isRule(n.X) {
				add(n.Y)
			} else if isRule(n.Y) {
				add(n.X)
			}
		case *ast.CallExpr:
			_, name := called(n.Fun)
			for _, p := range functions[name] {
				if (p.room == s.room || ast.IsExported(name)) && p.index < len(n.Args) {
					add(n.Args[p.index])
				}
			}
		case *ast.CompositeLit:
			of, name := called(n.Type)
			for _, p := range structs[name] {
				if (of != "" || p.room == s.room) && p.index < len(n.Elts) {
					add(n.Elts[p.index])
				}
			}
		}
		return true
	})
	return out
}

// ruleResults adds what a function returns as a rule, by the name or type of a result, or because a
// reply stands beside it.
func ruleResults(f *ast.FuncType, body *ast.BlockStmt, add func(ast.Expr)) {
	if body == nil {
		return
	}
	named := ruleNames(f.Results)
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			for i, e := range n.Results {
				if i < len(named) && named[i] {
					add(e)
				}
			}
			if len(n.Results) == 2 {
				if call, ok := n.Results[1].(*ast.CallExpr); ok {
					if x, name := called(call.Fun); x == "mail" && name == "R" {
						add(n.Results[0])
					}
				}
			}
		}
		return true
	})
}
