package node

import (
	"context"

	"sallyport/internal/config"
	"sallyport/internal/operate"
	"sallyport/internal/returnpath"
)

func (n *Node) openReturnPaths(_ context.Context, k keys) error {
	n.returnPaths = returnpath.New(returnpath.Options{Keys: k.returns, Note: returnpath.NoteIn(n.config().KeysDir()), Now: n.o.Now, Logger: n.log})
	return nil
}

// returnRules are those that a configuration asks for.
func returnRules(cfg config.Config) returnpath.Rules {
	p := cfg.ReturnPath
	r := returnpath.Rules{Life: p.Age, Detail: cfg.Detail, ForwardAge: cfg.Forward.ReturnAge, Exempt: map[string]bool{}}
	for _, a := range p.Exempt {
		r.Exempt[a.Key()] = true
	}
	switch p.Sign {
	case config.SignTag:
		r.Mode = returnpath.ModeTag
	case config.SignRequire:
		r.Mode = returnpath.ModeRequire
	}
	return r
}

func (n *Node) buildReturnPath(_ context.Context, next, _ *generation) error {
	state, err := n.returnPaths.Build(returnRules(next.cfg))
	if err != nil {
		return next.cfg.Fault("return_path.sign", err.Error(), "")
	}
	next.then = append(next.then, state.Adopt)
	next.undo = append(next.undo, state.Abandon)
	return nil
}

// ReturnPathOf reads how far the signing of return paths has come; nil: none are signed.
func ReturnPathOf(cfg config.Config) (*operate.ReturnPath, error) {
	rules := returnRules(cfg)
	if rules.Mode == returnpath.ModeOff {
		return nil, nil
	}
	var err error
	rules.Since, err = returnpath.NoteIn(cfg.KeysDir()).Read()
	return &operate.ReturnPath{Sign: cfg.ReturnPath.Sign.String(), Since: rules.Since, RefusesFrom: rules.RefusesFrom()}, err
}
