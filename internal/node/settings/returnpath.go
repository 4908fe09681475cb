package settings

import (
	"sallyport/internal/config"
	"sallyport/internal/returnpath"
)

// ReturnRules are the rules of return paths that a configuration asks for.
func ReturnRules(cfg config.Config) returnpath.Rules {
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
