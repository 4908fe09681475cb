package survey

import (
	"time"

	"sallyport/internal/config"
	"sallyport/internal/operate"
	"sallyport/internal/operate/doctor"
	"sallyport/internal/returnpath"
)

// examineReturnPath says how far the signing of return paths has come.
func examineReturnPath(cfg config.Config, now time.Time) []doctor.Finding {
	r, err := ReturnPath(cfg)
	f := doctor.Finding{Check: "return paths", Subject: "return_path.sign", State: doctor.Fine}
	switch {
	case err != nil:
		f.State, f.What, f.Remedy = doctor.Wrong, err.Error(), "put the file back from a backup, or remove it"
	case r == nil:
		return nil
	default:
		f.What = "return paths " + r.Words(now)
		if r.Since.IsZero() || now.Before(r.RefusesFrom) {
			f.State = doctor.Note
		}
	}
	return []doctor.Finding{f}
}

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

// ReturnPath reads how far the signing of return paths has come; nil: none are signed.
func ReturnPath(cfg config.Config) (*operate.ReturnPath, error) {
	rules := ReturnRules(cfg)
	if rules.Mode == returnpath.ModeOff {
		return nil, nil
	}
	var err error
	rules.Since, err = returnpath.NoteIn(cfg.KeysDir()).Read()
	return &operate.ReturnPath{Sign: cfg.ReturnPath.Sign.String(), Since: rules.Since, RefusesFrom: rules.RefusesFrom()}, err
}
