package main

import (
	"fmt"
	"go/ast"
	"go/types"
	"strings"
)

// handed leaves out what n hands to another room: each field of a struct that another package of
// the same module declares.
func (s *seeker) handed(n *ast.CompositeLit) {
	of := s.info.TypeOf(n)
	if p, ok := of.Underlying().(*types.Pointer); ok { // within a list of them
		of = p.Elem()
	}
	named, ok := types.Unalias(of).(*types.Named)
	if !ok || !s.another(named.Obj().Pkg()) {
		return
	}
	if _, ok := named.Underlying().(*types.Struct); !ok {
		return
	}
	for _, e := range n.Elts {
		field, ok := e.(*ast.KeyValueExpr)
		if !ok || zero(field.Value) || s.zeroConstant(field.Value) {
			continue
		}
		key, ok := field.Key.(*ast.Ident)
		if !ok {
			continue
		}
		if as, ok := s.written(field.Value, s.info.ObjectOf(key).Type()); ok {
			m := s.add(field.Value, "%s.%s without %s", named.Obj().Pkg().Name(), named.Obj().Name(), key.Name)
			s.wrap(m, field.Value, fmt.Sprintf("wire__%s(%d, ", as, m.id), ")")
		}
	}
}

// another says whether p is another package of the same module.
func (s *seeker) another(p *types.Package) bool {
	module, _, _ := strings.Cut(s.path, "/")
	return p != nil && p.Path() != s.path && strings.HasPrefix(p.Path(), module+"/")
}

// written returns how the helper is told the type of a field, in brackets: it has to be said where
// the value has another one, as what implements an interface. false: the file cannot name it.
func (s *seeker) written(value ast.Expr, field types.Type) (string, bool) {
	if types.Identical(s.info.TypeOf(value), field) {
		return "", true
	}
	named := true
	text := types.TypeString(field, func(p *types.Package) string {
		if p.Path() == s.path {
			return ""
		}
		for _, spec := range s.imports {
			if name := s.info.PkgNameOf(spec); name != nil && name.Imported().Path() == p.Path() {
				return name.Name()
			}
		}
		named = false
		return p.Name()
	})
	return "[" + text + "]", named
}
