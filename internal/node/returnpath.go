package node

import (
	"context"
	"io"
	"path/filepath"

	"sallyport/internal/config"
	"sallyport/internal/kit/keyfile"
	"sallyport/internal/kit/secret"
	"sallyport/internal/operate"
	"sallyport/internal/returnpath"
	"sallyport/internal/returnpath/prvs"
	"sallyport/internal/returnpath/srs"
)

// The keys of return paths, below DATA/keys, and since when the second signs. Unlike the
// other keys they may be made at any time: a lost one only makes the return paths that
// are out in the world look forged.
const (
	forwardKeyFile  = "forward.key"
	returnKeyFile   = "return-path.key"
	returnSinceFile = "return-path.since"
)

func loadReturnKeys(cfg config.Config, rnd io.Reader) (k returnpath.Keys, err error) {
	path := filepath.Join(cfg.KeysDir(), forwardKeyFile)
	octets, err := keyfile.Load(path, true, func() ([]byte, error) { return keyfile.Random(rnd, secret.Octets) })
	if err != nil {
		return k, err
	}
	if k.Forward, err = srs.NewKey(octets); err != nil {
		return k, keyfile.Damaged(path, err)
	}
	path = filepath.Join(cfg.KeysDir(), returnKeyFile)
	octets, err = keyfile.Load(path, true, func() ([]byte, error) {
		// What was signed until now was signed with a key that is gone.
		if err := returnNote(cfg).End(); err != nil {
			return nil, err
		}
		return keyfile.Random(rnd, secret.Octets)
	})
	if err != nil {
		return k, err
	}
	if k.Signed, err = prvs.NewKey(octets); err != nil {
		return k, keyfile.Damaged(path, err)
	}
	return k, nil
}

func returnNote(cfg config.Config) returnpath.Note {
	return returnpath.Note(filepath.Join(cfg.KeysDir(), returnSinceFile))
}

func (n *Node) openReturnPaths(_ context.Context, k keys) error {
	n.returnPaths = returnpath.New(returnpath.Options{Keys: k.returns, Note: returnNote(n.config()), Now: n.o.Now, Logger: n.log})
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
	rules.Since, err = returnNote(cfg).Read()
	return &operate.ReturnPath{Sign: cfg.ReturnPath.Sign.String(), Since: rules.Since, RefusesFrom: rules.RefusesFrom()}, err
}
